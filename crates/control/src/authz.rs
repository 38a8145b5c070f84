//! Who may do what. Asked inside every transaction, before anything is looked up.
//!
//! For now an administrator of the subscription's tenant may do everything there and everybody else nothing; the
//! evaluation of role assignments takes the place of that one line. The answer to a caller without the right is the
//! same whether or not the thing exists.

use galerie_arm::{ArmError, ResourceId};
use uuid::Uuid;

use crate::{
    db::{Connection, subscription},
    request::Caller,
};

/// Whether `caller` may perform `action` (`Microsoft.Compute/galleries/write`) over `scope`.
///
/// # Errors
/// `SubscriptionNotFound` for a subscription that is not the caller's tenant's, whether or not it exists;
/// `AuthorizationFailed` for everything else that is not allowed.
pub(crate) async fn authorize(
    tx: &mut Connection,
    caller: &Caller,
    action: &'static str,
    scope: &ResourceId,
) -> Result<(), ArmError> {
    if let Some(id) = scope.subscription() {
        let found = subscription::find(tx, id.as_uuid()).await?;
        if found.is_none_or(|found| found.tenant != caller.tenant) {
            return Err(ArmError::subscription_not_found(&id.to_string()));
        }
    }
    if caller.administrator { Ok(()) } else { Err(refusal(caller, action, scope.as_str())) }
}

/// Whether `caller` may look after its tenant's stores.
///
/// # Errors
/// `AuthorizationFailed`.
pub(crate) fn require_administrator(caller: &Caller, action: &'static str) -> Result<(), ArmError> {
    if caller.administrator { Ok(()) } else { Err(refusal(caller, action, "/")) }
}

/// What a caller without a right over the whole gallery is told.
pub(crate) fn refuse(caller: &Caller, action: &'static str) -> ArmError {
    refusal(caller, action, "/")
}

/// Ends what a principal that is being deleted may do, in the transaction that deletes it.
///
/// # Errors
/// The catalogue's.
pub(crate) async fn forget_principal(_tx: &mut Connection, _principal: Uuid) -> Result<(), ArmError> {
    Ok(())
}

/// Makes a principal Owner of a scope (`/`: of everything in its tenant), in the transaction that makes the principal or the
/// scope.
///
/// # Errors
/// The catalogue's.
pub(crate) async fn own(_tx: &mut Connection, _tenant: Uuid, _scope: &str, _principal: Uuid) -> Result<(), ArmError> {
    Ok(())
}

fn refusal(caller: &Caller, action: &str, scope: &str) -> ArmError {
    ArmError::authorization_failed(&caller.client(), &caller.principal.to_string(), action, scope)
}
