//! What we add to Azure's API or do otherwise. Each is in `docs/compatibility.md`, too.
//!
//! One more is not a table: a PATCH may hold whatever a PUT may, and must hold nothing. Azure's models of PATCH have fewer members,
//! and require some that a change has no need of.

use super::{
    Violation,
    bundle::Found,
    path::Target,
    schema::{MISSING, NO_BODY, NOT_DECLARED, NULL},
};

/// Paths of ARM that no description of ours has: (a segment of them, why).
const PATHS: &[(&str, &str)] = &[
    ("microsoft.features", "feature flags: az asks for one before it deletes softly"),
    ("microsoft.resourcegraph", "az finds community galleries there"),
    ("microsoft.subscription", "aliases make subscriptions"),
    ("permissions", "what one may do is asked of any scope; Azure describes it for groups and resources"),
    ("virtualmachines", "there are none, and their list says so"),
];

/// What a rule is broken by on purpose: (operation, where, rule, why). An operation ends with `*` for all that begin so; of a JSON
/// pointer `*` is any one step, and `**` at the end any number of them.
const RULES: &[(&str, &str, &str, &str)] = &[
    ("*", "response/etag", NOT_DECLARED, "every resource has one, for If-Match; Azure has it on some"),
    ("*", "response/value/*/etag", NOT_DECLARED, "the same in lists"),
    ("*", "request/etag", NOT_DECLARED, "who reads, changes and writes back sends it along; it is ignored"),
    ("Role*", "request/**", NOT_DECLARED, "the real service reads what it knows of a role, and ignores the rest"),
    ("*", "query/$skiptoken", NOT_DECLARED, "next links have it; a client takes them as they are"),
    (
        "GalleryImageVersions_Delete",
        "query/bypasssoftdelete",
        NOT_DECLARED,
        "of later api-versions; earlier ones ignore it",
    ),
    ("ActivityLogs_List", "response/value/*/channels", NOT_DECLARED, "the real service has it, and its documentation"),
    ("Subscriptions_List", "response/nextLink", MISSING, "the real service has none on the last page"),
    ("Tenants_List", "response/nextLink", MISSING, "the same"),
    ("GallerySharingProfile_Update", "response", NO_BODY, "recordings of the real service: 202 and no body"),
];

/// Where the real service answers null for what there is not: (operations that begin so, members of `properties`, why).
const NULLS: &[(&str, &[&str], &str)] = &[
    (
        "RoleAssignments_",
        &["condition", "conditionVersion", "delegatedManagedIdentityResourceId", "description"],
        "an assignment without them",
    ),
    (
        "RoleDefinitions_",
        &["createdOn", "updatedOn", "createdBy", "updatedBy"],
        "a built-in role, which nobody made at any time",
    ),
];

/// Whether a path without a description is known to have none.
pub(super) fn is_ours(target: &Target) -> bool {
    PATHS.iter().any(|(segment, _)| target.segments.iter().any(|found| found == segment))
}

/// Whether a violation is one of ours.
pub(super) fn is_known(found: &Found, violation: &Violation) -> bool {
    is_known_null(found, violation)
        || RULES.iter().any(|(operation, at, rule, _)| {
            let is_operation = match operation.strip_suffix('*') {
                Some(beginning) => found.id().starts_with(beginning),
                None => found.id() == *operation,
            };
            is_operation && violation.rule == *rule && is_at(at, &violation.at)
        })
}

fn is_known_null(found: &Found, violation: &Violation) -> bool {
    violation.rule == NULL
        && NULLS.iter().filter(|(operations, ..)| found.id().starts_with(operations)).any(|(_, members, _)| {
            members.iter().any(|member| {
                ["response/properties", "response/value/*/properties"]
                    .iter()
                    .any(|above| is_at(&format!("{above}/{member}"), &violation.at))
            })
        })
}

fn is_at(pattern: &str, pointer: &str) -> bool {
    if let Some(beginning) = pattern.strip_suffix("**") {
        return pointer.starts_with(beginning);
    }
    let (pattern, pointer): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), pointer.split('/').collect());
    pattern.len() == pointer.len()
        && pattern.iter().zip(&pointer).all(|(wanted, found)| *wanted == "*" || wanted == found)
}
