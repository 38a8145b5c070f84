//! What a token can be asked for: Azure Resource Manager here, Graph, storage, Key Vault, and the tenant's own applications.
//!
//! The audience is the resource exactly as it was asked for, with or without a slash at the end; each service accepts its
//! own and refuses the others. An application is named by its client id or by one of its URIs, as it was registered.

use uuid::Uuid;

use super::error::OAuthError;
use crate::{
    hosts::{AcceptedHost, Hosts},
    state::ApiState,
};

/// Resources beside Azure Resource Manager, without a slash at the end.
const OTHERS: [&str; 5] = [
    "https://graph.microsoft.com",
    "https://graph.windows.net",
    "https://storage.azure.com",
    "https://vault.azure.net",
    "https://managedhsm.azure.net",
];

/// The resource of a v2 scope: exactly one, with `/.default`, which is cut off once (`https://x//.default` asks for
/// `https://x/`). OpenID's own scopes may stand beside it.
///
/// # Errors
/// `invalid_scope`.
pub(super) fn of_scope(scope: &str) -> Result<String, OAuthError> {
    let openid = |scope: &&str| !matches!(*scope, "openid" | "profile" | "email" | "offline_access");
    let mut asked = scope.split_whitespace().filter(openid);
    match (asked.next().and_then(|scope| scope.strip_suffix("/.default")), asked.next()) {
        (Some(resource), None) if !resource.is_empty() => Ok(resource.to_owned()),
        _ => Err(OAuthError::invalid_scope(scope)),
    }
}

/// What a user may do with a resource; whoever asks for it asks for the resource.
const DELEGATED: &str = "/user_impersonation";

/// The resource of a scope that a user's token is asked for. There may be several scopes of one resource; with OpenID's own
/// alone it is Graph, as in Entra.
///
/// # Errors
/// `invalid_scope`.
pub(super) fn of_user_scope(scope: &str, host: &AcceptedHost) -> Result<String, OAuthError> {
    let mut resource: Option<&str> = None;
    for asked in scope.split_whitespace() {
        if matches!(asked, "openid" | "profile" | "email" | "offline_access") {
            continue;
        }
        let named = asked.strip_suffix("/.default").or_else(|| asked.strip_suffix(DELEGATED));
        match (named.filter(|named| !named.is_empty()), resource) {
            (Some(named), None) => resource = Some(named),
            (Some(named), Some(other)) if named == other => {}
            _ => return Err(OAuthError::invalid_scope(scope)),
        }
    }
    Ok(resource.map_or_else(|| format!("{}/msgraph", host.url()), str::to_owned))
}

/// Version 1's resource, as a scope.
pub(super) fn as_scope(resource: &str) -> String {
    format!("{resource}/.default")
}

/// Whether it is a service of this gallery, or one that Azure's clients ask for beside it; what is none may be an application
/// of the tenant.
pub(super) fn is_service(hosts: &Hosts, resource: &str) -> bool {
    let plain = resource.strip_suffix('/').unwrap_or(resource);
    let is_our_graph = || hosts.accept_url(plain).is_some_and(|(_, path)| path == "/msgraph");
    hosts.is_arm_audience(resource) || OTHERS.contains(&plain) || is_our_graph()
}

/// Checks that there is such a resource, before a user is asked for anything. `None`: the user's tenant is not known yet, and nobody
/// is told what other tenants have. Whoever issues the token looks again.
///
/// # Errors
/// `invalid_resource`.
pub(super) async fn check(state: &ApiState, tenant: Option<Uuid>, resource: &str) -> Result<(), OAuthError> {
    let Some(tenant) = tenant else { return Ok(()) };
    let is_there = is_service(&state.hosts, resource)
        || state.control.identity().is_application(tenant, resource).await.map_err(OAuthError::from)?;
    if is_there { Ok(()) } else { Err(OAuthError::unknown_resource(resource)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_is_cut_off_once() {
        for (scope, expected) in [
            ("https://x/.default", Some("https://x")),
            ("https://x//.default", Some("https://x/")),
            ("https://x/.default openid profile offline_access", Some("https://x")),
            ("https://x/.default https://y/.default", None),
            ("/.default", None),
            ("https://x", None),
            ("", None),
        ] {
            assert_eq!(of_scope(scope).ok().as_deref(), expected, "{scope}");
        }
    }

    #[test]
    fn what_users_ask_for() {
        let hosts = Hosts::new(&[], "127.0.0.1:8443".parse().expect("an address"));
        let host = hosts.accept("localhost:8443").expect("ours");
        for (scope, expected) in [
            ("https://x/.default offline_access openid profile", Some("https://x")),
            ("https://x//.default", Some("https://x/")),
            ("https://x/user_impersonation https://x/.default", Some("https://x")),
            ("openid profile", Some("https://localhost:8443/msgraph")),
            ("", Some("https://localhost:8443/msgraph")),
            ("https://x/.default https://y/.default", None),
            ("https://x/other", None),
            ("/.default", None),
        ] {
            assert_eq!(of_user_scope(scope, &host).ok().as_deref(), expected, "{scope}");
        }
    }

    #[test]
    fn services() {
        let hosts = Hosts::new(&[], "127.0.0.1:8443".parse().expect("an address"));
        for resource in [
            "https://localhost:8443",
            "https://management.azure.com/",
            "https://vault.azure.net",
            "https://127.0.0.1:8443/msgraph",
        ] {
            assert!(is_service(&hosts, resource), "{resource}");
        }
        for resource in ["https://evil.example", "", "https://localhost:8443/other", "api://app"] {
            assert!(!is_service(&hosts, resource), "{resource}");
        }
    }
}
