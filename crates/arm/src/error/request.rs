//! Errors of Azure Resource Manager's front door: versions, tokens, bodies, what exists, preconditions.

use super::{ArmError, quoted};

impl ArmError {
    /// 400: no `api-version`.
    #[must_use]
    pub fn missing_api_version() -> Self {
        let text = "The api-version query parameter (?api-version=) is required for all requests.";
        Self::new(400, "MissingApiVersionParameter", text)
    }

    /// 400: an `api-version` that is none.
    #[must_use]
    pub fn invalid_api_version(text: &str) -> Self {
        let message = format!(
            "The api-version '{}' is invalid. The supported versions are every 'yyyy-MM-dd' and 'yyyy-MM-dd-preview'.",
            quoted(text)
        );
        Self::new(400, "InvalidApiVersionParameter", message)
    }

    /// 401: no bearer token.
    #[must_use]
    pub fn authentication_missing() -> Self {
        let text = "Authentication failed. The 'Authorization' header is missing.";
        Self::new(401, "AuthenticationFailed", text)
    }

    /// 401: a bearer token that cannot be read or is not ours.
    #[must_use]
    pub fn invalid_token(reason: &str) -> Self {
        Self::new(401, "InvalidAuthenticationToken", format!("The access token is invalid. {reason}").trim_end())
    }

    /// 401: a token past its end.
    #[must_use]
    pub fn expired_token() -> Self {
        Self::new(401, "ExpiredAuthenticationToken", "The access token expiry UTC time has passed.")
    }

    /// 401: a token for another resource.
    #[must_use]
    pub fn invalid_token_audience(audience: &str) -> Self {
        let message = format!(
            "The access token has been obtained for wrong audience or resource '{}'. It should exactly match with one of the \
             allowed audiences.",
            quoted(audience)
        );
        Self::new(401, "InvalidAuthenticationTokenAudience", message)
    }

    /// 403: the principal may not perform `action` over `scope`. The same whether or not the thing exists.
    #[must_use]
    pub fn authorization_failed(client: &str, object_id: &str, action: &str, scope: &str) -> Self {
        let message = format!(
            "The client '{client}' with object id '{object_id}' does not have authorization to perform action '{action}' \
             over scope '{scope}' or the scope is invalid. If access was recently granted, please refresh your credentials."
        );
        Self::new(403, "AuthorizationFailed", message).refusing(action, scope)
    }

    /// 403: the principal may do `action` over `scope`, but lacks a right over another resource that the request names (a
    /// source). The same whether or not that resource exists.
    #[must_use]
    pub fn linked_authorization_failed(
        client: &str,
        object_id: &str,
        [action, scope]: [&str; 2],
        [linked_action, linked_scope]: [&str; 2],
    ) -> Self {
        let message = format!(
            "The client '{client}' with object id '{object_id}' has permission to perform action '{action}' on scope \
             '{scope}'; however, it does not have permission to perform action(s) '{linked_action}' on the linked scope(s) \
             '{linked_scope}' (respectively) or the linked scope(s) are invalid."
        );
        Self::new(403, "LinkedAuthorizationFailed", message).refusing(linked_action, linked_scope)
    }

    /// 404: no such subscription, or none of this tenant's.
    #[must_use]
    pub fn subscription_not_found(subscription: &str) -> Self {
        let message = format!("The subscription '{}' could not be found.", quoted(subscription));
        Self::new(404, "SubscriptionNotFound", message)
    }

    /// 400: a subscription id that is no GUID.
    #[must_use]
    pub fn invalid_subscription_id(subscription: &str) -> Self {
        let message =
            format!("The provided subscription identifier '{}' is malformed or invalid.", quoted(subscription));
        Self::new(400, "InvalidSubscriptionId", message)
    }

    /// 404: the path names a type that the provider does not have.
    #[must_use]
    pub fn invalid_resource_type(resource_type: &str, namespace: &str, api_version: &str) -> Self {
        let message = format!(
            "The resource type '{}' could not be found in the namespace '{}' for api version '{}'.",
            quoted(resource_type),
            quoted(namespace),
            quoted(api_version)
        );
        Self::new(404, "InvalidResourceType", message)
    }

    /// 404: no such provider.
    #[must_use]
    pub fn invalid_resource_namespace(namespace: &str) -> Self {
        Self::new(
            404,
            "InvalidResourceNamespace",
            format!("The resource namespace '{}' is invalid.", quoted(namespace)),
        )
    }

    /// 409: the subscription has not registered the provider. Clients register and try again.
    #[must_use]
    pub fn missing_subscription_registration(namespace: &str) -> Self {
        let message = format!(
            "The subscription is not registered to use namespace '{}'. See https://aka.ms/rps-not-found for how to register \
             subscriptions.",
            quoted(namespace)
        );
        Self::new(409, "MissingSubscriptionRegistration", message)
    }

    /// 404: nothing is served at this path.
    #[must_use]
    pub fn path_not_found(path: &str) -> Self {
        Self::new(404, "NotFound", format!("No resource or operation was found at '{}'.", quoted(path)))
    }

    /// 405: the path exists, the method does not.
    #[must_use]
    pub fn method_not_allowed(method: &str, path: &str) -> Self {
        let message =
            format!("The requested resource '{}' does not support http method '{}'.", quoted(path), quoted(method));
        Self::new(405, "HttpMethodNotSupported", message)
    }

    /// 415: a body that is not JSON by its own word.
    #[must_use]
    pub fn unsupported_media_type(content_type: &str) -> Self {
        let message = format!(
            "The content media type '{}' is not supported. Only 'application/json' is supported.",
            quoted(content_type)
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 421: a Host that this server does not answer for.
    #[must_use]
    pub fn misdirected_request(host: &str) -> Self {
        let message =
            format!("This server does not answer for the host '{}'; add it to 'hosts' in its config.", quoted(host));
        Self::new(421, "MisdirectedRequest", message)
    }

    /// 413: a body over the limit.
    #[must_use]
    pub fn request_too_large(limit_bytes: usize) -> Self {
        let message = format!("The request content size exceeds the maximum size of '{limit_bytes}' bytes.");
        Self::new(413, "RequestContentTooLarge", message)
    }

    /// 400: a body that is no JSON.
    #[must_use]
    pub fn invalid_request_content(reason: &str) -> Self {
        let message = format!("The request content was invalid and could not be deserialized: '{}'.", quoted(reason));
        Self::new(400, "InvalidRequestContent", message)
    }

    /// 400: an id that does not parse, sent in the property or parameter `target`.
    #[must_use]
    pub fn linked_invalid_property_id(id: &str, target: &str) -> Self {
        let message = format!(
            "Property id '{}' at path '{target}' is invalid. Expect fully qualified resource Id that start with \
             '/subscriptions/{{subscriptionId}}' or '/providers/{{resourceProviderNamespace}}/'.",
            quoted(id)
        );
        Self::new(400, "LinkedInvalidPropertyId", message)
    }

    /// 400: a query parameter with a value that it cannot have.
    #[must_use]
    pub fn invalid_query(parameter: &str, value: &str) -> Self {
        let message = format!("The value '{}' of the query parameter '{parameter}' is invalid.", quoted(value));
        Self::new(400, "InvalidParameter", message).with_target(parameter)
    }

    /// 400: a continuation token that we did not make.
    #[must_use]
    pub fn invalid_skip_token() -> Self {
        Self::new(400, "InvalidSkipToken", "The provided skip token is not valid.").with_target("$skiptoken")
    }

    /// 412: `If-Match` or `If-None-Match` does not hold.
    #[must_use]
    pub fn precondition_failed(reason: &str) -> Self {
        Self::new(412, "PreconditionFailed", format!("The condition of the request is not met: {reason}"))
    }

    /// 409: the resource's state does not allow the operation.
    #[must_use]
    pub fn operation_not_allowed(reason: &str) -> Self {
        Self::new(409, "OperationNotAllowed", reason)
    }

    /// 409: two requests change the same thing; the caller may try again.
    #[must_use]
    pub fn conflict(reason: &str) -> Self {
        Self::new(409, "Conflict", reason)
    }

    /// 409: another request on the same resource took its place.
    #[must_use]
    pub fn operation_preempted(operation: &str) -> Self {
        let message = format!("Operation execution has been preempted by a more recent operation ({operation}).");
        Self::new(409, "OperationPreempted", message)
    }

    /// 404: no such asynchronous operation.
    #[must_use]
    pub fn operation_not_found(operation: &str) -> Self {
        Self::new(404, "NotFound", format!("The operation '{}' could not be found.", quoted(operation)))
    }

    /// 429: too many requests of one kind.
    #[must_use]
    pub fn too_many_requests() -> Self {
        Self::new(
            429,
            "TooManyRequests",
            "The request is being throttled as the limit has been reached. Try again later.",
        )
    }

    /// 500: our fault. The log has the rest under the same correlation id.
    #[must_use]
    pub fn internal(correlation_id: &str) -> Self {
        let message = format!("An internal error occurred. Correlation id: '{correlation_id}'.");
        Self::new(500, "InternalServerError", message)
    }

    /// 503: something that this needs is away for now.
    #[must_use]
    pub fn service_unavailable(reason: &str) -> Self {
        Self::new(503, "ServiceUnavailable", reason)
    }

    /// 507: no room. Unlike a 500 or 503, Azure's clients do not try it again by themselves: somebody must make room first.
    #[must_use]
    pub fn insufficient_storage(reason: &str) -> Self {
        Self::new(507, "InsufficientStorage", reason)
    }
}
