//! Every path that is answered outside Azure Resource Manager, by protocol. ARM's own table is `arm::route`.
//!
//! A protocol answers what is here and nothing else: its handlers are asked only for a path that a pattern stands for. So a
//! new path must be added here first, and then `access_table` asks for it with every method and as everybody.

use crate::route_class::RouteClass;

/// The patterns of a class. `{name}` stands for any segment, `{...}` at the end for any number of them; what follows
/// `?comp=` is that parameter's value, and without it there is none.
pub(crate) const ALL: &[(RouteClass, &[&str])] = &[
    (RouteClass::Home, &["/"]),
    (RouteClass::Health, &["/healthz", "/healthz/ready", "/healthz/{...}"]),
    (RouteClass::Metadata, &["/metadata/endpoints"]),
    (RouteClass::OAuth, OAUTH),
    (RouteClass::Graph, GRAPH),
    (RouteClass::Blob, BLOB),
    (RouteClass::Content, CONTENT),
];

const OAUTH: &[&str] = &[
    "/devicelogin",
    "/setup",
    "/adfs/.well-known/openid-configuration",
    "/adfs/oauth2/authorize",
    "/adfs/oauth2/devicecode",
    "/adfs/oauth2/token",
    "/common/discovery/instance",
    "/{tenant}/discovery/keys",
    "/{tenant}/discovery/v2.0/keys",
    "/{tenant}/.well-known/openid-configuration",
    "/{tenant}/v2.0/.well-known/openid-configuration",
    "/{tenant}/oauth2/authorize",
    "/{tenant}/oauth2/v2.0/authorize",
    "/{tenant}/oauth2/deviceauth",
    "/{tenant}/oauth2/devicecode",
    "/{tenant}/oauth2/v2.0/devicecode",
    "/{tenant}/oauth2/token",
    "/{tenant}/oauth2/v2.0/token",
];

const GRAPH: &[&str] = &[
    "/msgraph/{graphVersion}/me",
    "/msgraph/{graphVersion}/me/ownedObjects",
    "/msgraph/{graphVersion}/me/revokeSignInSessions",
    "/msgraph/{graphVersion}/me/getMemberGroups",
    "/msgraph/{graphVersion}/me/getMemberObjects",
    "/msgraph/{graphVersion}/me/checkMemberGroups",
    "/msgraph/{graphVersion}/me/memberOf",
    "/msgraph/{graphVersion}/me/transitiveMemberOf",
    "/msgraph/{graphVersion}/users",
    "/msgraph/{graphVersion}/users/{user}",
    "/msgraph/{graphVersion}/users/{user}/revokeSignInSessions",
    "/msgraph/{graphVersion}/users/{user}/ownedObjects",
    "/msgraph/{graphVersion}/users/{user}/appRoleAssignments",
    "/msgraph/{graphVersion}/users/{user}/appRoleAssignments/{appRoleAssignment}",
    "/msgraph/{graphVersion}/users/{user}/getMemberGroups",
    "/msgraph/{graphVersion}/users/{user}/getMemberObjects",
    "/msgraph/{graphVersion}/users/{user}/checkMemberGroups",
    "/msgraph/{graphVersion}/users/{user}/memberOf",
    "/msgraph/{graphVersion}/users/{user}/transitiveMemberOf",
    "/msgraph/{graphVersion}/groups",
    "/msgraph/{graphVersion}/groups/{group}",
    "/msgraph/{graphVersion}/groups/{group}/members",
    "/msgraph/{graphVersion}/groups/{group}/members/$ref",
    "/msgraph/{graphVersion}/groups/{group}/members/{member}/$ref",
    "/msgraph/{graphVersion}/groups/{group}/owners",
    "/msgraph/{graphVersion}/groups/{group}/owners/$ref",
    "/msgraph/{graphVersion}/groups/{group}/owners/{owner}/$ref",
    "/msgraph/{graphVersion}/groups/{group}/appRoleAssignments",
    "/msgraph/{graphVersion}/groups/{group}/appRoleAssignments/{appRoleAssignment}",
    "/msgraph/{graphVersion}/groups/{group}/getMemberGroups",
    "/msgraph/{graphVersion}/groups/{group}/getMemberObjects",
    "/msgraph/{graphVersion}/groups/{group}/checkMemberGroups",
    "/msgraph/{graphVersion}/groups/{group}/memberOf",
    "/msgraph/{graphVersion}/groups/{group}/transitiveMemberOf",
    "/msgraph/{graphVersion}/applications",
    "/msgraph/{graphVersion}/applications/{application}",
    "/msgraph/{graphVersion}/applications/{application}/addPassword",
    "/msgraph/{graphVersion}/applications/{application}/removePassword",
    "/msgraph/{graphVersion}/applications/{application}/owners",
    "/msgraph/{graphVersion}/applications/{application}/owners/$ref",
    "/msgraph/{graphVersion}/applications/{application}/owners/{owner}/$ref",
    "/msgraph/{graphVersion}/applications/{application}/federatedIdentityCredentials",
    "/msgraph/{graphVersion}/applications/{application}/federatedIdentityCredentials/{...}",
    "/msgraph/{graphVersion}/servicePrincipals",
    "/msgraph/{graphVersion}/servicePrincipals/{servicePrincipal}",
    "/msgraph/{graphVersion}/servicePrincipals/{servicePrincipal}/addPassword",
    "/msgraph/{graphVersion}/servicePrincipals/{servicePrincipal}/removePassword",
    "/msgraph/{graphVersion}/servicePrincipals/{servicePrincipal}/owners",
    "/msgraph/{graphVersion}/servicePrincipals/{servicePrincipal}/owners/$ref",
    "/msgraph/{graphVersion}/servicePrincipals/{servicePrincipal}/owners/{owner}/$ref",
    "/msgraph/{graphVersion}/servicePrincipals/{servicePrincipal}/ownedObjects",
    "/msgraph/{graphVersion}/servicePrincipals/{servicePrincipal}/appRoleAssignments",
    "/msgraph/{graphVersion}/servicePrincipals/{servicePrincipal}/appRoleAssignments/{appRoleAssignment}",
    "/msgraph/{graphVersion}/servicePrincipals/{servicePrincipal}/appRoleAssignedTo",
    "/msgraph/{graphVersion}/servicePrincipals/{servicePrincipal}/appRoleAssignedTo/{appRoleAssignment}",
    "/msgraph/{graphVersion}/servicePrincipals/{servicePrincipal}/getMemberGroups",
    "/msgraph/{graphVersion}/servicePrincipals/{servicePrincipal}/getMemberObjects",
    "/msgraph/{graphVersion}/servicePrincipals/{servicePrincipal}/checkMemberGroups",
    "/msgraph/{graphVersion}/servicePrincipals/{servicePrincipal}/memberOf",
    "/msgraph/{graphVersion}/servicePrincipals/{servicePrincipal}/transitiveMemberOf",
    "/msgraph/{graphVersion}/directoryObjects/getByIds",
    "/msgraph/{graphVersion}/directoryObjects/microsoft.graph.getByIds",
    "/msgraph/{graphVersion}/directoryObjects/{user}",
    "/msgraph/{graphVersion}/directoryObjects/{user}/getMemberGroups",
    "/msgraph/{graphVersion}/directoryObjects/{user}/getMemberObjects",
    "/msgraph/{graphVersion}/directoryObjects/{user}/checkMemberGroups",
    "/msgraph/{graphVersion}/directoryObjects/{user}/memberOf",
    "/msgraph/{graphVersion}/directoryObjects/{user}/transitiveMemberOf",
    "/msgraph/{graphVersion}/roleManagement/directory/roleDefinitions",
    "/msgraph/{graphVersion}/roleManagement/directory/roleDefinitions/{role}",
    "/msgraph/{graphVersion}/roleManagement/directory/roleAssignments",
    "/msgraph/{graphVersion}/roleManagement/directory/roleAssignments/{assignment}",
    "/msgraph/{graphVersion}/organization",
    "/msgraph/{graphVersion}/domains",
    "/msgraph/{graphVersion}/oauth2PermissionGrants",
];

const BLOB: &[&str] = &[
    "/blob/{resource}/{name}",
    "/blob/{resource}/{name}?comp=page",
    "/blob/{resource}/{name}?comp=pagelist",
    "/blob/{resource}/{name}?comp=galerie-bases",
    "/blob/{resource}/{name}?comp=galerie-blobs",
    "/blob/{resource}/{name}?comp=galerie-manifest",
];

const CONTENT: &[&str] = &[
    "/content/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/images/{image}/versions/{version}",
    "/content/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/images/{image}/versions/{version}/manifest",
    "/content/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/images/{image}/versions/{version}/segments",
    "/content/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/images/{image}/versions/{version}/segments/{segment}/chunks",
    "/content/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/applications/{application}/versions/{version}",
    "/content/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/applications/{application}/versions/{version}/manifest",
    "/content/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/applications/{application}/versions/{version}/segments",
    "/content/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/applications/{application}/versions/{version}/segments/{segment}/chunks",
    "/content/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/scripts/{script}/versions/{version}",
    "/content/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/scripts/{script}/versions/{version}/manifest",
    "/content/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/scripts/{script}/versions/{version}/segments",
    "/content/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/scripts/{script}/versions/{version}/segments/{segment}/chunks",
];

/// The patterns of a class; ARM's are its own.
pub(crate) fn of(class: RouteClass) -> &'static [&'static str] {
    ALL.iter().find(|(of, _)| *of == class).map_or(&[], |(_, patterns)| patterns)
}

/// Whether a class answers a path, given as its segments, and a `comp`.
pub(crate) fn is_known<S: AsRef<str>>(class: RouteClass, segments: &[S], comp: Option<&str>) -> bool {
    of(class).iter().any(|pattern| fits(pattern, segments, comp))
}

/// Whether a pattern stands for a path, without regard to case.
fn fits<S: AsRef<str>>(pattern: &str, segments: &[S], comp: Option<&str>) -> bool {
    let (pattern, wanted_comp) = match pattern.split_once("?comp=") {
        Some((path, comp)) => (path, Some(comp)),
        None => (pattern, None),
    };
    if wanted_comp != comp {
        return false;
    }
    let mut left = segments.iter();
    for wanted in pattern.split('/').filter(|segment| !segment.is_empty()) {
        match (wanted, left.next()) {
            ("{...}", _) => return true,
            (_, None) => return false,
            (wanted, Some(found)) if !wanted.starts_with('{') && !wanted.eq_ignore_ascii_case(found.as_ref()) => {
                return false;
            }
            _ => {}
        }
    }
    left.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stands_for_whole_paths_of_its_class() {
        for (class, path, comp, expected) in [
            (RouteClass::Home, "", None, true),
            (RouteClass::Graph, "msgraph/v1.0/Users/x", None, true),
            (RouteClass::Graph, "msgraph/v1.0/users/x/photo", None, false),
            (RouteClass::Graph, "msgraph/v1.0", None, false),
            (RouteClass::Blob, "blob/u/n", Some("page"), true),
            (RouteClass::Blob, "blob/u/n", Some("lease"), false),
            (RouteClass::OAuth, "t/oauth2/token", None, true),
            (RouteClass::OAuth, "t/oauth2/token/x", None, false),
            (RouteClass::Health, "healthz/x/y", None, true),
            (RouteClass::Arm, "tenants", None, false),
        ] {
            let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
            assert_eq!(is_known(class, &segments, comp), expected, "{path}");
        }
    }

    /// Each pattern is a path of its class, so its protocol is asked for it.
    #[test]
    fn every_pattern_is_of_its_class() {
        for (class, patterns) in ALL {
            for pattern in *patterns {
                let path = pattern.split('?').next().unwrap_or_default().replace("{...}", "x").replace(['{', '}'], "");
                assert_eq!(RouteClass::of(&path), *class, "{pattern}");
            }
        }
    }
}
