//! What kinds of principals there are, in ARM's words.

use std::str::FromStr;

/// What a role is assigned to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PrincipalType {
    /// A person.
    User,
    /// Its members have what it has, and so have theirs.
    Group,
    /// An application.
    ServicePrincipal,
}

impl PrincipalType {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
            Self::ServicePrincipal => "ServicePrincipal",
        }
    }
}

impl FromStr for PrincipalType {
    type Err = ();

    /// Without regard to case, as clients write it.
    fn from_str(text: &str) -> Result<Self, ()> {
        let all = [Self::User, Self::Group, Self::ServicePrincipal];
        all.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(text)).ok_or(())
    }
}
