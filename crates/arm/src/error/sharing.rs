//! Errors of sharing: what a gallery's sharing state does not allow, and what is not shared.

use super::{ArmError, quoted};

impl ArmError {
    /// 409: the gallery's sharing state has no such operation. `remedy` is a sentence.
    #[must_use]
    pub fn sharing_operation_not_allowed(operation: &str, gallery: &str, permissions: &str, remedy: &str) -> Self {
        let message = format!(
            "The sharing operation '{operation}' is not allowed on the gallery '{gallery}', whose \
             sharingProfile.permissions is '{permissions}'. {remedy}"
        );
        Self::operation_not_allowed(&message).with_target("sharingUpdate.operationType")
    }

    /// 409: a published gallery, or a group that holds one, is to be deleted.
    #[must_use]
    pub fn gallery_is_published(gallery: &str) -> Self {
        let message = format!(
            "The gallery '{gallery}' is shared with the community and cannot be deleted. Stop sharing it first, with the \
             sharing operation 'Reset', and try again."
        );
        Self::operation_not_allowed(&message)
    }

    /// 409: more groups than a gallery may be shared with.
    #[must_use]
    pub fn too_many_sharing_groups(kind: &str, most: usize, wanted: usize) -> Self {
        let message = format!(
            "A gallery can be shared with at most {most} groups of the type '{kind}', and this would make it {wanted}. \
             Remove some first."
        );
        Self::operation_not_allowed(&message).with_target("sharingUpdate.groups")
    }

    /// 404: a proxy that the viewer does not see: absent, not shared, or not in the region.
    #[must_use]
    pub fn proxy_not_found(unique_id: &str, region: &str) -> Self {
        let message = format!(
            "The resource '{}' is not found in the region '{region}', or it is not shared with you there.",
            quoted(unique_id)
        );
        Self::new(404, "ResourceNotFound", message)
    }

    /// 401: a token in `x-ms-authorization-auxiliary` that is not as good as the main one.
    #[must_use]
    pub fn invalid_auxiliary_token(reason: &str) -> Self {
        let message =
            format!("Authentication failed for an auxiliary token of 'x-ms-authorization-auxiliary': {reason}");
        Self::new(401, "InvalidAuxiliaryTokens", message)
    }

    /// 403: the request names a resource of another tenant, and brings no token of that tenant. `main` are the request's own
    /// action and scope, `linked` is the other tenant's subscription.
    #[must_use]
    pub fn linked_tenant_not_authorized(client: &str, main: [&str; 2], tenant: &str, linked: &str) -> Self {
        let [action, scope] = main;
        let message = format!(
            "The client '{client}' has permission to perform action '{action}' on scope '{}', however the current tenant \
             '{tenant}' is not authorized to access linked subscription '{linked}'.",
            quoted(scope)
        );
        Self::new(403, "LinkedAuthorizationFailed", message)
    }

    /// 400: a Resource Graph query that is not one of those that are understood.
    #[must_use]
    pub fn invalid_graph_query(reason: &str) -> Self {
        Self::new(400, "InvalidQuery", format!("Query is invalid. {reason}"))
    }
}
