//! What a token can be asked for: Azure Resource Manager here, Graph, storage, Key Vault.
//!
//! The audience is the resource exactly as it was asked for, with or without a slash at the end; each service accepts its
//! own and refuses the others.

use crate::hosts::Hosts;

use super::error::OAuthError;

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

/// Checks that there is such a resource.
///
/// # Errors
/// `invalid_resource`.
pub(super) fn check(hosts: &Hosts, resource: &str) -> Result<(), OAuthError> {
    let plain = resource.strip_suffix('/').unwrap_or(resource);
    let is_our_graph = || hosts.accept_url(plain).is_some_and(|(_, path)| path == "/msgraph");
    if hosts.is_arm_audience(resource) || OTHERS.contains(&plain) || is_our_graph() {
        Ok(())
    } else {
        Err(OAuthError::unknown_resource(resource))
    }
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
    fn known_resources() {
        let hosts = Hosts::new(&[], "127.0.0.1:8443".parse().expect("an address"));
        for resource in [
            "https://localhost:8443",
            "https://management.azure.com/",
            "https://vault.azure.net",
            "https://127.0.0.1:8443/msgraph",
        ] {
            assert_eq!(check(&hosts, resource), Ok(()), "{resource}");
        }
        for resource in ["https://evil.example", "", "https://localhost:8443/other"] {
            assert!(check(&hosts, resource).is_err(), "{resource}");
        }
    }
}
