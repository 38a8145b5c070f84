//! `Microsoft.Authorization`, at any scope: `/`, a subscription, a group or a resource.

use galerie_arm::ArmError;
use galerie_control::Scope;

use super::{Answer, call::Call, permission, role_assignment, role_definition, unsupported};

/// The provider's name in folded paths.
pub(super) const NAMESPACE: &str = "microsoft.authorization";

/// Where the provider stands in a folded path: the last place where it does, so that a group called `providers` is a group.
pub(super) fn position(folded: &[&str]) -> Option<usize> {
    folded.windows(2).rposition(|pair| pair == ["providers", NAMESPACE]).filter(|at| at.is_multiple_of(2))
}

/// Answers a path that has the provider in it.
pub(super) async fn answer(call: Call, folded: &[&str]) -> Answer {
    let at = position(folded).unwrap_or_default();
    let scope = scope_of(&call, at);
    match folded[at + 2..] {
        ["roledefinitions"] => role_definition::list(call, scope?).await,
        ["roledefinitions", _] => role_definition::answer(call, scope?).await,
        ["roleassignments"] => role_assignment::list(call, scope?).await,
        ["roleassignments", _] => role_assignment::answer(call, scope?).await,
        ["permissions"] => permission::list(call, scope?).await,
        ref rest => unsupported::answer(&call, NAMESPACE, rest),
    }
}

fn scope_of(call: &Call, at: usize) -> Result<Scope, ArmError> {
    let path = format!("/{}", call.segments[..at].join("/"));
    Scope::parse(&path, "scope")
}
