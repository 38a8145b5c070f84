//! Who may change a directory. Asked in the transaction of the change, before what it changes is looked up.

use galerie_arm::ArmError;
use uuid::Uuid;

use super::{error, role::DirectoryRole};
use crate::{
    db::{Connection, application, directory_role, service_principal},
    request::Caller,
};

/// Whether the caller has a role, or one that includes it. The operator of the gallery has all of them.
pub(crate) async fn has_role(tx: &mut Connection, caller: &Caller, role: DirectoryRole) -> Result<bool, ArmError> {
    if caller.administrator {
        return Ok(true);
    }
    let held = directory_role::of(tx, caller.tenant, caller.principal).await?;
    Ok(held.iter().any(|held| held == role.as_str() || held == DirectoryRole::GlobalAdministrator.as_str()))
}

/// # Errors
/// `Authorization_RequestDenied`.
pub(super) async fn require(tx: &mut Connection, caller: &Caller, role: DirectoryRole) -> Result<(), ArmError> {
    if has_role(tx, caller, role).await? { Ok(()) } else { Err(error::denied()) }
}

/// The role, or ownership of the object.
///
/// # Errors
/// `Authorization_RequestDenied`.
pub(super) async fn require_or_owner(
    tx: &mut Connection,
    caller: &Caller,
    role: DirectoryRole,
    object: Uuid,
) -> Result<(), ArmError> {
    if directory_role::is_owner(tx, object, caller.principal).await? {
        return Ok(());
    }
    require(tx, caller, role).await
}

/// Whoever can show an application's secret is its principals: nobody gets more power in their tenant that way than they had. What
/// other tenants trust an application with is their affair: it must not keep its owners from changing it, nor they their own.
///
/// # Errors
/// `Authorization_RequestDenied`.
pub(super) async fn require_no_greater_power(
    tx: &mut Connection,
    caller: &Caller,
    app_id: Uuid,
) -> Result<(), ArmError> {
    for principal in service_principal::list_by_app(tx, app_id).await? {
        // The operator of the gallery answers to the machine's owner alone (`galerie admin reset`).
        if principal.administrator && !caller.administrator {
            return Err(error::denied());
        }
        if principal.object.tenant != caller.tenant {
            continue;
        }
        let held = directory_role::of(tx, caller.tenant, principal.object.id).await?;
        if held.iter().any(|held| held == DirectoryRole::GlobalAdministrator.as_str()) {
            require(tx, caller, DirectoryRole::GlobalAdministrator).await?;
        }
    }
    Ok(())
}

/// The same for an object by its id: an application, or a service principal. Nobody has to have power over others.
///
/// # Errors
/// `Authorization_RequestDenied`.
pub(super) async fn require_no_greater_power_over(
    tx: &mut Connection,
    caller: &Caller,
    object: Uuid,
) -> Result<(), ArmError> {
    let principal = service_principal::find(tx, object).await?.map(|principal| principal.app_id);
    let app_id = match principal {
        Some(app_id) => Some(app_id),
        None => application::find(tx, object).await?.map(|application| application.app_id),
    };
    match app_id {
        Some(app_id) => require_no_greater_power(tx, caller, app_id).await,
        None => Ok(()),
    }
}
