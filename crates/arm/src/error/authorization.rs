//! Errors of role definitions and role assignments. Codes and texts follow what the real service answers, as its own
//! troubleshooting page and public reports have them; where none is known, ours say what is wrong.

use super::{ArmError, quoted};

impl ArmError {
    /// 400: a body that cannot be read as a role or an assignment; `why` names the property and the rule.
    #[must_use]
    pub fn bad_request_format(why: &str, target: &str) -> Self {
        Self::bad_request("BadRequestFormat", &format!("The request was incorrectly formatted. {why}"))
            .with_target(target)
    }

    /// 400: the last segment of a role assignment's path is no GUID.
    #[must_use]
    pub fn invalid_role_assignment_id(name: &str) -> Self {
        let name = quoted(name);
        let message = format!("The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID.");
        Self::new(400, "InvalidRoleAssignmentId", message)
    }

    /// 400: what should be a role definition's id is none.
    #[must_use]
    pub fn invalid_role_definition_id(id: &str) -> Self {
        Self::new(400, "InvalidRoleDefinitionId", format!("The role definition ID '{}' is not valid.", quoted(id)))
    }

    /// 404: no such role, or none that may be assigned at that scope.
    #[must_use]
    pub fn role_definition_does_not_exist(id: &str) -> Self {
        let message = format!("The specified role definition with ID '{}' does not exist.", quoted(id));
        Self::new(404, "RoleDefinitionDoesNotExist", message)
    }

    /// 404: no assignment of that name at that scope.
    #[must_use]
    pub fn role_assignment_not_found(id: &str) -> Self {
        Self::new(404, "RoleAssignmentNotFound", format!("The role assignment '{}' is not found.", quoted(id)))
    }

    /// 409: another assignment of the same role to the same principal at the same scope.
    #[must_use]
    pub fn role_assignment_exists(id: &str) -> Self {
        let message =
            format!("The role assignment already exists. The ID of the existing role assignment is {}.", quoted(id));
        Self::new(409, "RoleAssignmentExists", message)
    }

    /// 400: an assignment's name is taken by one with another principal, role or scope.
    #[must_use]
    pub fn role_assignment_update_not_permitted() -> Self {
        let message = "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.";
        Self::new(400, "RoleAssignmentUpdateNotPermitted", message)
    }

    /// 400: nobody in the tenant has that object id. Azure writes the ids without dashes.
    #[must_use]
    pub fn principal_not_found(principal: &str, tenant: &str) -> Self {
        let message = format!(
            "Principal {principal} does not exist in the directory {tenant}. Check that you have the correct principal ID. \
             If you are creating this principal and then immediately assigning a role, this error might be related to a \
             replication delay. In this case, set the role assignment principalType property to a value, such as \
             ServicePrincipal, User, or Group.  See https://aka.ms/docs-principaltype"
        );
        Self::new(400, "PrincipalNotFound", message)
    }

    /// 400: the principal is of another type than the request says. The misspelling is the real service's.
    #[must_use]
    pub fn unmatched_principal_type(principal: &str, actual: &str, stated: &str) -> Self {
        let message = format!(
            "The PrincipalId '{principal}' has type '{actual}' , which is different from specified PrinciaplType '{}'.",
            quoted(stated)
        );
        Self::new(400, "UnmatchedPrincipalType", message)
    }

    /// 400: an assignment or a role with a condition. One that is not evaluated must not be taken: it would grant more.
    #[must_use]
    pub fn conditions_not_supported(target: &str) -> Self {
        let message = "Conditions on role assignments are not supported by this server. A condition that nobody evaluates \
                       would grant more than it says, so the request is refused.";
        Self::new(400, "RoleAssignmentConditionNotSupported", message).with_target(target)
    }

    /// 412: nobody could give access at that scope any more.
    #[must_use]
    pub fn cannot_delete_last_owner() -> Self {
        Self::new(412, "CannotDeleteLastRbacAdminAssignment", "Cannot delete the last RBAC admin assignment")
    }

    /// 400: the tenant has as many assignments as it may.
    #[must_use]
    pub fn role_assignment_limit_exceeded(limit: i64) -> Self {
        let message = format!("No more role assignments can be created; the limit is {limit} for each tenant.");
        Self::new(400, "RoleAssignmentLimitExceeded", message)
    }

    /// 400: the tenant has as many custom roles as it may.
    #[must_use]
    pub fn role_definition_limit_exceeded(limit: i64) -> Self {
        let message =
            format!("Role definition limit exceeded. No more role definitions can be created; the limit is {limit}.");
        Self::new(400, "RoleDefinitionLimitExceeded", message)
    }

    /// 409: a role of that name is there already, built in or the tenant's.
    #[must_use]
    pub fn role_definition_with_same_name_exists(name: &str) -> Self {
        let name = quoted(name);
        let message = format!(
            "A custom role with the same name already exists in this directory. Use a different name. The name is '{name}'."
        );
        Self::new(409, "RoleDefinitionWithSameNameExists", message)
    }

    /// 409: a role that somebody has cannot go, nor lose the scopes where they have it.
    #[must_use]
    pub fn role_definition_has_assignments(role: &str) -> Self {
        let message = format!("There are existing role assignments referencing role {}.", quoted(role));
        Self::new(409, "RoleDefinitionHasAssignments", message)
    }

    /// 400: a built-in role is what it is.
    #[must_use]
    pub fn built_in_role_cannot_change(name: &str) -> Self {
        let message = format!("The built-in role '{name}' cannot be changed or deleted. Create a custom role.");
        Self::new(400, "BuiltInRoleCannotBeChanged", message)
    }

    /// 400: an action or notAction of a custom role that no provider has.
    #[must_use]
    pub fn invalid_action_or_not_action(action: &str) -> Self {
        let message = format!("'{}' does not match any of the actions supported by the providers.", quoted(action));
        Self::new(400, "InvalidActionOrNotAction", message)
    }

    /// 400: the same of a dataAction or notDataAction.
    #[must_use]
    pub fn invalid_data_action_or_not_data_action(action: &str) -> Self {
        let message =
            format!("'{}' does not match any of the data actions supported by the providers.", quoted(action));
        Self::new(400, "InvalidDataActionOrNotDataAction", message)
    }

    /// 400: a scope that a custom role may not name.
    #[must_use]
    pub fn invalid_assignable_scope(scope: &str) -> Self {
        let message = format!(
            "The assignable scope '{}' is not valid. A custom role is assignable in subscriptions and resource groups of its \
             own tenant.",
            quoted(scope)
        );
        Self::new(400, "InvalidAssignableScope", message).with_target("properties.assignableScopes")
    }

    /// 400: a `$filter` that is not understood; it is never taken for none.
    #[must_use]
    pub fn unsupported_filter(filter: &str) -> Self {
        let message = format!("The filter '{}' is not supported.", quoted(filter));
        Self::new(400, "UnsupportedQuery", message).with_target("$filter")
    }
}
