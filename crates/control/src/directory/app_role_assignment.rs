//! Who is what to an application: its roles, given to users, groups and service principals (Graph's `appRoleAssignment`).

use galerie_arm::ArmError;
use serde_json::Value;
use uuid::Uuid;

use super::{access, app_role, error, role::DirectoryRole, service_principal};
use crate::{
    Control, audit,
    db::{
        Connection,
        app_role_assignment::{self, AppRoleAssignmentRow},
        application,
        directory_object::{self, DirectoryObjectRow, ObjectKind},
        directory_role,
        service_principal::ServicePrincipalRow,
        transact,
    },
    request::{Caller, RequestContext},
};

/// Assignments of one principal, as in Graph.
const MOST_OF_PRINCIPAL: u64 = 1500;

/// Somebody's role at an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppRoleAssignment {
    /// Its own.
    pub id: Uuid,
    /// The role; nil: assigned, without a role.
    pub role: Uuid,
    /// Who has it.
    pub principal: Uuid,
    /// A user, a group or a service principal.
    pub principal_kind: ObjectKind,
    /// What people call who has it.
    pub principal_name: String,
    /// The application's service principal in the tenant.
    pub resource: Uuid,
    /// What people call the application.
    pub resource_name: String,
    /// When it was given, ms since 1970.
    pub created_ms: i64,
}

impl From<AppRoleAssignmentRow> for AppRoleAssignment {
    fn from(row: AppRoleAssignmentRow) -> Self {
        let AppRoleAssignmentRow {
            id,
            principal,
            principal_kind,
            principal_name,
            resource,
            resource_name,
            role,
            created_ms,
        } = row;
        Self { id, role, principal, principal_kind, principal_name, resource, resource_name, created_ms }
    }
}

/// Which end of assignments is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssignmentEnd {
    /// What a user, group or service principal is to applications (`appRoleAssignments`).
    Principal(Uuid),
    /// Who is something to an application (`appRoleAssignedTo`).
    Resource(Uuid),
}

impl AssignmentEnd {
    /// Whether an assignment is one of these.
    fn has(self, row: &AppRoleAssignmentRow) -> bool {
        match self {
            Self::Principal(id) => row.principal == id,
            Self::Resource(id) => row.resource == id,
        }
    }
}

/// A role to be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewAppRoleAssignment {
    /// To whom.
    pub principal: Uuid,
    /// The application's service principal.
    pub resource: Uuid,
    /// One of its roles, or nil.
    pub role: Uuid,
}

impl Control {
    /// The assignments at one end, after one, in the order of their ids.
    ///
    /// # Errors
    /// `Request_ResourceNotFound` for an object that is not there, or can be no such end.
    pub async fn app_role_assignments(
        &self,
        caller: &Caller,
        end: AssignmentEnd,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<AppRoleAssignment>, ArmError> {
        let mut tx = self.db().read().await?;
        let rows = match end {
            AssignmentEnd::Principal(id) => {
                principal(&mut tx, caller, id).await?;
                app_role_assignment::list_of_principal(&mut tx, id, after, limit).await?
            }
            AssignmentEnd::Resource(id) => {
                service_principal::find(&mut tx, caller, id).await?;
                app_role_assignment::list_to_resource(&mut tx, id, after, limit).await?
            }
        };
        Ok(rows.into_iter().map(AppRoleAssignment::from).collect())
    }

    /// One of the assignments at an end.
    ///
    /// # Errors
    /// `Request_ResourceNotFound`.
    pub async fn app_role_assignment(
        &self,
        caller: &Caller,
        end: AssignmentEnd,
        id: Uuid,
    ) -> Result<AppRoleAssignment, ArmError> {
        let mut tx = self.db().read().await?;
        match end {
            AssignmentEnd::Principal(id) => drop(principal(&mut tx, caller, id).await?),
            AssignmentEnd::Resource(id) => drop(service_principal::find(&mut tx, caller, id).await?),
        }
        let found = app_role_assignment::find(&mut tx, id).await?.filter(|found| end.has(found));
        found.map(AppRoleAssignment::from).ok_or_else(|| error::not_found(&id.to_string()))
    }

    /// Gives a role.
    ///
    /// # Errors
    /// `Authorization_RequestDenied`; `Request_ResourceNotFound` for a principal or resource that is not there;
    /// `Request_BadRequest` for a role that the application does not offer to this kind of principal, and for one that the
    /// principal has.
    pub async fn add_app_role_assignment(
        &self,
        ctx: &RequestContext,
        new: NewAppRoleAssignment,
    ) -> Result<AppRoleAssignment, ArmError> {
        transact!(self.db(), |tx| -> Result<AppRoleAssignment, ArmError> {
            let resource = require_resource(tx, &ctx.caller, new.resource).await?;
            let principal = principal(tx, &ctx.caller, new.principal).await?;
            let application = application::find_by_app(tx, resource.app_id).await?;
            let roles = application.map(|found| app_role::list(&found.document)).unwrap_or_default();
            if !is_offered(&roles, new.role, principal.kind) {
                return Err(error::bad_request(format!(
                    "Permission being assigned was not found on application '{}', is disabled, or is not offered to a \
                     principal of the type '{}'.",
                    resource.app_id,
                    principal.kind.as_str()
                )));
            }
            let row = AppRoleAssignmentRow {
                id: Uuid::new_v4(),
                principal: principal.id,
                principal_kind: principal.kind,
                principal_name: principal.display_name,
                resource: resource.object.id,
                resource_name: resource.object.display_name,
                role: new.role,
                created_ms: tx.now_ms().await?,
            };
            if app_role_assignment::count_of_principal(tx, row.principal).await? >= MOST_OF_PRINCIPAL {
                return Err(error::quota_exceeded(MOST_OF_PRINCIPAL));
            }
            if !app_role_assignment::insert(tx, &row).await? {
                return Err(error::bad_request("Permission being assigned already exists on the object."));
            }
            record(tx, ctx, "microsoft.directory/appRoleAssignments/create", &row).await?;
            Ok(row.into())
        })
    }

    /// Takes a role.
    ///
    /// # Errors
    /// `Authorization_RequestDenied`; `Request_ResourceNotFound`.
    pub async fn remove_app_role_assignment(
        &self,
        ctx: &RequestContext,
        end: AssignmentEnd,
        id: Uuid,
    ) -> Result<(), ArmError> {
        transact!(self.db(), |tx| -> Result<(), ArmError> {
            // Who may not change any learns nothing of which there are.
            let Some(found) = app_role_assignment::find(tx, id).await?.filter(|found| end.has(found)) else {
                access::require(tx, &ctx.caller, DirectoryRole::ApplicationAdministrator).await?;
                return Err(error::not_found(&id.to_string()));
            };
            require_resource(tx, &ctx.caller, found.resource).await?;
            app_role_assignment::delete(tx, id).await?;
            record(tx, ctx, "microsoft.directory/appRoleAssignments/delete", &found).await
        })
    }
}

/// Whoever can be something to an application.
async fn principal(tx: &mut Connection, caller: &Caller, id: Uuid) -> Result<DirectoryObjectRow, ArmError> {
    let found = directory_object::find(tx, id).await?;
    let found = found.filter(|found| found.tenant == caller.tenant && found.kind != ObjectKind::Application);
    found.ok_or_else(|| error::not_found(&id.to_string()))
}

/// The application whose roles are given, if the caller may give them: an administrator of applications, or an owner of it, as
/// it was registered or as it is in the tenant.
async fn require_resource(tx: &mut Connection, caller: &Caller, id: Uuid) -> Result<ServicePrincipalRow, ArmError> {
    let found = service_principal::find(tx, caller, id).await;
    if let Ok(resource) = &found {
        let application = application::find_by_app(tx, resource.app_id).await?;
        let application = application.filter(|found| found.object.tenant == caller.tenant);
        for owned in [Some(id), application.map(|found| found.object.id)].into_iter().flatten() {
            if directory_role::is_owner(tx, owned, caller.principal).await? {
                return found;
            }
        }
    }
    access::require(tx, caller, DirectoryRole::ApplicationAdministrator).await?;
    found
}

/// Whether an application's roles have one that a principal of this kind may be given now. None in particular is given only
/// where there are none.
fn is_offered(roles: &[Value], role: Uuid, kind: ObjectKind) -> bool {
    if role.is_nil() {
        return roles.is_empty();
    }
    let member = if kind == ObjectKind::ServicePrincipal { "Application" } else { "User" };
    roles.iter().filter_map(Value::as_object).any(|known| {
        let is_member = |value: &Value| value.as_str() == Some(member);
        app_role::id(known) == Some(role)
            && app_role::is_enabled(known)
            && known
                .get("allowedMemberTypes")
                .and_then(Value::as_array)
                .is_some_and(|types| types.iter().any(is_member))
    })
}

async fn record(
    tx: &mut Connection,
    ctx: &RequestContext,
    action: &'static str,
    row: &AppRoleAssignmentRow,
) -> Result<(), ArmError> {
    let now_ms = tx.now_ms().await?;
    let resource = format!("/servicePrincipals/{}/appRoleAssignedTo/{}", row.resource, row.id);
    audit::record(tx, ctx, now_ms, action, &resource, None).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_role_is_given_to_whom_it_is_offered() {
        let (users, apps, off) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        let roles = [
            json!({ "id": users, "allowedMemberTypes": ["User"] }),
            json!({ "id": apps, "allowedMemberTypes": ["Application"], "isEnabled": true }),
            json!({ "id": off, "allowedMemberTypes": ["User", "Application"], "isEnabled": false }),
        ];
        for (role, kind, expected) in [
            (users, ObjectKind::User, true),
            (users, ObjectKind::Group, true),
            (users, ObjectKind::ServicePrincipal, false),
            (apps, ObjectKind::ServicePrincipal, true),
            (apps, ObjectKind::Group, false),
            (off, ObjectKind::User, false),
            (Uuid::from_u128(4), ObjectKind::User, false),
            (Uuid::nil(), ObjectKind::User, false),
        ] {
            assert_eq!(is_offered(&roles, role, kind), expected, "{role} to {kind:?}");
        }
        assert!(is_offered(&[], Uuid::nil(), ObjectKind::User) && !is_offered(&[], users, ObjectKind::User));
    }
}
