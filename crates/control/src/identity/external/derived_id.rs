//! Object ids of what comes from outside.
//!
//! SHA-256 over what it is, the tenant, the issuer and the issuer's own name for it, each with its length before it, cut to a
//! GUID of version 8 (RFC 9562, section 5.8). Every other object's id is random, of version 4, so none of them can be met; and
//! who could find two inputs with one id would have broken 122 bits of SHA-256.

use aws_lc_rs::digest::{Context, SHA256};
use uuid::{Builder, Uuid};

/// What an id is of, by the issuer's name for it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Derived<'a> {
    /// A user, by the subject.
    User(&'a str),
    /// A service principal, by the subject.
    ServicePrincipal(&'a str),
    /// The client id of a service principal, by the subject.
    Application(&'a str),
    /// A group, by the value in the groups claim.
    Group(&'a str),
    /// The keys of the issuer itself.
    Keys,
}

impl Derived<'_> {
    pub(super) fn id(self, tenant: Uuid, issuer: &str) -> Uuid {
        let (kind, name) = match self {
            Self::User(subject) => ("user", subject),
            Self::ServicePrincipal(subject) => ("service principal", subject),
            Self::Application(subject) => ("application", subject),
            Self::Group(value) => ("group", value),
            Self::Keys => ("keys", ""),
        };
        let mut context = Context::new(&SHA256);
        for part in ["galerie external issuer", kind, &tenant.to_string(), issuer, name] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&context.finish().as_ref()[..16]);
        Builder::from_custom_bytes(bytes).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_differ_in_everything_and_are_never_random_ones() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let ids = [
            Derived::User("a").id(one, "https://i"),
            Derived::User("b").id(one, "https://i"),
            Derived::User("a").id(two, "https://i"),
            Derived::User("a").id(one, "https://j"),
            // The same letters, cut elsewhere.
            Derived::User("ia").id(one, "https://"),
            Derived::ServicePrincipal("a").id(one, "https://i"),
            Derived::Application("a").id(one, "https://i"),
            Derived::Group("a").id(one, "https://i"),
            Derived::Keys.id(one, "https://i"),
        ];
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        assert!(ids.iter().all(|id| id.get_version_num() == 8), "made here they are of version 4");
        // Rows name these ids: they must not change.
        assert_eq!(ids[0].to_string(), "82d9daba-a4f1-8dfb-9d6d-806f0af43433");
    }
}
