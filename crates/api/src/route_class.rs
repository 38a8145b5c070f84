//! Which protocol a path belongs to. Chosen once, from the path alone: it decides who answers and in which words.

/// A family of routes; also the label of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RouteClass {
    /// `/`
    Home,
    /// `/healthz`, `/healthz/ready`
    Health,
    /// `/metadata/endpoints`
    Metadata,
    /// Azure Resource Manager, and our own administration beside it.
    Arm,
    /// Tokens, discovery, keys.
    OAuth,
    /// Microsoft Graph.
    Graph,
    /// Pages and blobs, by SAS.
    Blob,
    /// Versions' content, by token.
    Content,
}

/// What follows a tenant in the identity provider's paths.
const OAUTH_SECOND: [&str; 4] = ["oauth2", ".well-known", "discovery", "v2.0"];

impl RouteClass {
    /// The class of a path.
    pub(crate) fn of(path: &str) -> Self {
        let mut segments = path.split('/').filter(|segment| !segment.is_empty());
        let first = segments.next().unwrap_or_default().to_ascii_lowercase();
        let second = segments.next().unwrap_or_default().to_ascii_lowercase();
        match first.as_str() {
            "" => Self::Home,
            "healthz" => Self::Health,
            "metadata" => Self::Metadata,
            "blob" => Self::Blob,
            "content" => Self::Content,
            "msgraph" => Self::Graph,
            "subscriptions" | "tenants" | "providers" | "galerie" => Self::Arm,
            "adfs" | "devicelogin" | "setup" => Self::OAuth,
            "common" | "organizations" | "consumers" => Self::OAuth,
            _ if OAUTH_SECOND.contains(&second.as_str()) => Self::OAuth,
            _ => Self::Arm,
        }
    }

    /// The label in metrics.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Health => "health",
            Self::Metadata => "metadata",
            Self::Arm => "arm",
            Self::OAuth => "oauth",
            Self::Graph => "graph",
            Self::Blob => "blob",
            Self::Content => "content",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_one_class() {
        for (path, expected) in [
            ("/", RouteClass::Home),
            ("//", RouteClass::Home),
            ("/healthz", RouteClass::Health),
            ("/Subscriptions/x", RouteClass::Arm),
            ("//subscriptions/x", RouteClass::Arm),
            ("/metadata/endpoints", RouteClass::Metadata),
            ("/t/oauth2/v2.0/token", RouteClass::OAuth),
            ("/t/v2.0/.well-known/openid-configuration", RouteClass::OAuth),
            ("/adfs/oauth2/token", RouteClass::OAuth),
            ("/common/userrealm/x", RouteClass::OAuth),
            ("/devicelogin", RouteClass::OAuth),
            ("/setup", RouteClass::OAuth),
            ("/msgraph/v1.0/me", RouteClass::Graph),
            ("/favicon.ico", RouteClass::Arm),
        ] {
            assert_eq!(RouteClass::of(path), expected, "{path}");
        }
    }
}
