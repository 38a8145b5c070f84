//! Owners of applications, service principals and groups.

use galerie_arm::ArmError;
use uuid::Uuid;

use super::{DirectoryObject, MOST_OWNERS, access, error, read, role::DirectoryRole};
use crate::{
    Control, audit,
    db::{
        Connection,
        directory_object::{self, DirectoryObjectRow, ObjectKind},
        directory_role, transact,
    },
    request::{Caller, RequestContext},
};

/// An object of a kind in the caller's tenant.
///
/// # Errors
/// `Request_ResourceNotFound`.
pub(super) async fn find(
    tx: &mut Connection,
    caller: &Caller,
    kind: ObjectKind,
    id: Uuid,
) -> Result<DirectoryObjectRow, ArmError> {
    let found = directory_object::find(tx, id).await?;
    let found = found.filter(|found| found.tenant == caller.tenant && found.kind == kind);
    found.ok_or_else(|| error::not_found(&id.to_string()))
}

/// The role that changes objects of a kind beside their owners.
pub(super) fn role_for(kind: ObjectKind) -> DirectoryRole {
    match kind {
        ObjectKind::Application | ObjectKind::ServicePrincipal => DirectoryRole::ApplicationAdministrator,
        ObjectKind::User | ObjectKind::Group => DirectoryRole::GlobalAdministrator,
    }
}

impl Control {
    /// The owners of an application, a service principal or a group.
    ///
    /// # Errors
    /// `Request_ResourceNotFound`.
    pub async fn owners(&self, caller: &Caller, kind: ObjectKind, id: Uuid) -> Result<Vec<DirectoryObject>, ArmError> {
        let mut tx = self.db().read().await?;
        find(&mut tx, caller, kind, id).await?;
        let mut owners = Vec::new();
        for row in directory_role::list_owners(&mut tx, id, MOST_OWNERS).await? {
            owners.extend(read(&mut tx, &row).await?);
        }
        Ok(owners)
    }

    /// Makes a user or service principal an owner.
    ///
    /// # Errors
    /// `Authorization_RequestDenied`; `Request_ResourceNotFound`; `Request_BadRequest` for what owns nothing, or owns it already.
    pub async fn add_owner(
        &self,
        ctx: &RequestContext,
        kind: ObjectKind,
        id: Uuid,
        owner: Uuid,
    ) -> Result<(), ArmError> {
        transact!(self.db(), |tx| -> Result<(), ArmError> {
            access::require_or_owner(tx, &ctx.caller, role_for(kind), id).await?;
            find(tx, &ctx.caller, kind, id).await?;
            access::require_no_greater_power_over(tx, &ctx.caller, id).await?;
            let found = directory_object::find(tx, owner).await?.filter(|found| found.tenant == ctx.caller.tenant);
            match found.map(|found| found.kind) {
                Some(ObjectKind::User | ObjectKind::ServicePrincipal) => {}
                Some(_) => return Err(error::bad_request("An owner is a user or a service principal.")),
                None => return Err(error::not_found(&owner.to_string())),
            }
            let most = MOST_OWNERS as usize;
            if directory_role::list_owners(tx, id, MOST_OWNERS).await?.len() >= most {
                return Err(error::quota_exceeded(u64::from(MOST_OWNERS)));
            }
            if !directory_role::add_owner(tx, id, owner).await? {
                return Err(error::already_referenced("owners"));
            }
            let now_ms = tx.now_ms().await?;
            audit::record(tx, ctx, now_ms, "microsoft.directory/owners/add", &format!("/{id}/owners/{owner}"), None)
                .await
        })
    }

    /// Ends an ownership.
    ///
    /// # Errors
    /// `Authorization_RequestDenied`; `Request_ResourceNotFound`.
    pub async fn remove_owner(
        &self,
        ctx: &RequestContext,
        kind: ObjectKind,
        id: Uuid,
        owner: Uuid,
    ) -> Result<(), ArmError> {
        transact!(self.db(), |tx| -> Result<(), ArmError> {
            access::require_or_owner(tx, &ctx.caller, role_for(kind), id).await?;
            find(tx, &ctx.caller, kind, id).await?;
            if owner != ctx.caller.principal {
                access::require_no_greater_power_over(tx, &ctx.caller, id).await?;
            }
            if !directory_role::remove_owner(tx, id, owner).await? {
                return Err(error::not_found(&owner.to_string()));
            }
            let now_ms = tx.now_ms().await?;
            audit::record(tx, ctx, now_ms, "microsoft.directory/owners/remove", &format!("/{id}/owners/{owner}"), None)
                .await
        })
    }
}
