//! Directory roles: who may change what in a tenant's directory.

use std::str::FromStr;

use galerie_arm::ArmError;
use uuid::{Uuid, uuid};

use super::{access, error};
use crate::{
    Control, audit,
    db::{
        directory_object::{self, ObjectKind},
        directory_role, transact,
    },
    request::{Caller, RequestContext},
};

/// A role; Entra's ids of their templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DirectoryRole {
    /// Everything.
    GlobalAdministrator,
    /// Applications, service principals and their credentials.
    ApplicationAdministrator,
}

impl DirectoryRole {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::GlobalAdministrator, Self::ApplicationAdministrator];

    /// As the table spells it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::GlobalAdministrator => "GlobalAdministrator",
            Self::ApplicationAdministrator => "ApplicationAdministrator",
        }
    }

    /// As people call it.
    #[must_use]
    pub const fn display_name(self) -> &'static str {
        match self {
            Self::GlobalAdministrator => "Global Administrator",
            Self::ApplicationAdministrator => "Application Administrator",
        }
    }

    /// Entra's id of the role, the same everywhere.
    #[must_use]
    pub const fn template_id(self) -> Uuid {
        match self {
            Self::GlobalAdministrator => uuid!("62e90394-69f5-4237-9190-012177145e10"),
            Self::ApplicationAdministrator => uuid!("9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3"),
        }
    }

    /// The role of an id.
    #[must_use]
    pub fn of_template(id: Uuid) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.template_id() == id)
    }
}

impl FromStr for DirectoryRole {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(())
    }
}

/// Somebody's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleMember {
    /// Which.
    pub role: DirectoryRole,
    /// Whose.
    pub principal: Uuid,
}

impl RoleMember {
    /// What Graph calls a role assignment's id: the same for the same role of the same principal.
    #[must_use]
    pub fn id(self) -> Uuid {
        Uuid::new_v5(&self.role.template_id(), self.principal.as_bytes())
    }
}

/// Most role members that are listed.
const MOST_LISTED: u32 = 1000;

impl Control {
    /// Who has which role in the caller's tenant, or which roles one principal has.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn role_members(&self, caller: &Caller, principal: Option<Uuid>) -> Result<Vec<RoleMember>, ArmError> {
        let mut tx = self.db().read().await?;
        let rows = match principal {
            Some(principal) => {
                let held = directory_role::of(&mut tx, caller.tenant, principal).await?;
                held.into_iter().map(|role| (role, principal)).collect()
            }
            None => {
                let rows = directory_role::list(&mut tx, caller.tenant, None, MOST_LISTED).await?;
                rows.into_iter().map(|row| (row.role, row.member)).collect::<Vec<_>>()
            }
        };
        let known = |(role, principal): (String, Uuid)| Some(RoleMember { role: role.parse().ok()?, principal });
        Ok(rows.into_iter().filter_map(known).collect())
    }

    /// Gives a user or service principal a role.
    ///
    /// # Errors
    /// `Authorization_RequestDenied`; `Request_ResourceNotFound`; `Request_BadRequest` for what can have none, and for a
    /// role that is held.
    pub async fn add_role_member(&self, ctx: &RequestContext, new: RoleMember) -> Result<(), ArmError> {
        transact!(self.db(), |tx| -> Result<(), ArmError> {
            access::require(tx, &ctx.caller, DirectoryRole::GlobalAdministrator).await?;
            let found = directory_object::kind_of(tx, new.principal).await?;
            match found {
                Some((tenant, ObjectKind::User | ObjectKind::ServicePrincipal)) if tenant == ctx.caller.tenant => {}
                Some((tenant, _)) if tenant == ctx.caller.tenant => {
                    return Err(error::bad_request("A directory role is given to a user or a service principal."));
                }
                _ => return Err(error::not_found(&new.principal.to_string())),
            }
            if !directory_role::add(tx, ctx.caller.tenant, new.role.as_str(), new.principal).await? {
                return Err(error::bad_request(
                    "A conflicting object with one or more of the specified property values is present in the directory: \
                     the principal has the role.",
                ));
            }
            let now_ms = tx.now_ms().await?;
            let resource = format!("/roleManagement/directory/roleAssignments/{}", new.id());
            audit::record(tx, ctx, now_ms, "microsoft.directory/roleAssignments/create", &resource, None).await
        })
    }

    /// Takes a role.
    ///
    /// # Errors
    /// `Authorization_RequestDenied`; `Request_ResourceNotFound`.
    pub async fn remove_role_member(&self, ctx: &RequestContext, member: RoleMember) -> Result<(), ArmError> {
        transact!(self.db(), |tx| -> Result<(), ArmError> {
            access::require(tx, &ctx.caller, DirectoryRole::GlobalAdministrator).await?;
            let tenant = ctx.caller.tenant;
            if !directory_role::remove(tx, tenant, member.role.as_str(), member.principal).await? {
                return Err(error::not_found(&member.id().to_string()));
            }
            let now_ms = tx.now_ms().await?;
            let resource = format!("/roleManagement/directory/roleAssignments/{}", member.id());
            audit::record(tx, ctx, now_ms, "microsoft.directory/roleAssignments/delete", &resource, None).await
        })
    }
}
