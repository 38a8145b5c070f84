//! Which handler a path belongs to.

use galerie_arm::{ArmError, ResourceId, ResourceType};

use super::{
    Answer, activity_log, audit, backup, call::Call, compute, feature, operation, processes, provider, quota,
    resource_group, resources, store_admin, subscription, unsupported,
};

/// Whether ARM serves anything at this path's beginning; only then a token is asked for.
pub(super) fn is_known_root(segments: &[String]) -> bool {
    let roots = ["subscriptions", "tenants", "providers", "galerie"];
    segments.first().is_some_and(|first| roots.iter().any(|root| first.eq_ignore_ascii_case(root)))
}

/// Hands the call to its handler.
pub(super) async fn route(call: Call) -> Answer {
    let folded: Vec<String> = call.segments.iter().map(|segment| segment.to_lowercase()).collect();
    let folded: Vec<&str> = folded.iter().map(String::as_str).collect();
    match folded[..] {
        ["tenants"] => subscription::tenants(call).await,
        ["subscriptions"] => subscription::list(call).await,
        ["galerie", "audit", action] => audit::act(call, action).await,
        ["galerie", "backup"] => backup::create(call).await,
        ["galerie", "processes"] => processes::list(call).await,
        ["galerie", "store", region, action] => store_admin::act(call, region, action).await,
        ["galerie", "quota", action] => quota::act(call, action).await,
        ["subscriptions", _, ref rest @ ..] => in_subscription(call, rest).await,
        ["providers", namespace, ref rest @ ..] => unsupported::answer(&call, namespace, rest),
        _ => Err(ArmError::path_not_found(&call.path()).into()),
    }
}

/// Everything below a subscription.
async fn in_subscription(call: Call, rest: &[&str]) -> Answer {
    match *rest {
        [] => subscription::get(call).await,
        ["locations"] => subscription::locations(call).await,
        ["resources"] => resources::in_subscription(call).await,
        ["operationresults", id] => operation::group_result(call, id).await,
        ["resourcegroups"] => resource_group::list(call).await,
        ["resourcegroups", _] => resource_group::answer(call).await,
        ["resourcegroups", _, "resources"] => resources::in_group(call).await,
        ["resourcegroups", _, "providers", "microsoft.compute", ref rest @ ..] => in_group(call, rest).await,
        ["resourcegroups", _, "providers", namespace, ref rest @ ..] => unsupported::answer(&call, namespace, rest),
        ["providers"] => provider::list(call).await,
        ["providers", namespace] => provider::get(call, namespace).await,
        ["providers", namespace, "register"] => provider::register(call, namespace).await,
        ["providers", "microsoft.features", "providers", namespace, "features", feature] => {
            feature::get(call, namespace, feature).await
        }
        ["providers", "microsoft.features", "providers", namespace, "features", feature, "register"] => {
            feature::register(call, namespace, feature).await
        }
        ["providers", "microsoft.insights", "eventtypes", "management", "values"] => activity_log::list(call).await,
        ["providers", "microsoft.compute", "locations", _, kind, id] if operation::is_kind(kind) => {
            operation::answer(call, id).await
        }
        ["providers", "microsoft.compute", collection] => compute::in_subscription(call, collection).await,
        ["providers", namespace, ref rest @ ..] => unsupported::answer(&call, namespace, rest),
        _ => Err(ArmError::path_not_found(&call.path()).into()),
    }
}

/// Compute's resources: pairs of type and name; an odd number of segments names a collection or an action.
async fn in_group(call: Call, rest: &[&str]) -> Answer {
    // A resource that extends another: `.../galleries/g/providers/Microsoft.Authorization/roleAssignments/...`.
    if let Some(at) = rest.iter().step_by(2).position(|segment| *segment == "providers") {
        let (namespace, below) = rest[at * 2 + 1..].split_first().unwrap_or((&"", &[]));
        return unsupported::answer(&call, namespace, below);
    }
    if rest.len().is_multiple_of(2) && !rest.is_empty() {
        return compute::resource(call).await;
    }
    let Some((last, above)) = rest.split_last() else {
        return Err(ArmError::path_not_found(&call.path()).into());
    };
    let types: Vec<&str> = above.iter().step_by(2).copied().collect();
    if let Some(resource_type) = compute_type(&types)
        && compute::is_action(resource_type, last)
    {
        return compute::action(call, last).await;
    }
    compute::collection(call).await
}

/// The resource type of a chain of type segments.
pub(super) fn compute_type(types: &[&str]) -> Option<ResourceType> {
    ResourceType::parse(&format!("Microsoft.Compute/{}", types.join("/")))
}

/// The id that the call's path is, without the last `dropped` segments.
///
/// # Errors
/// What is wrong with the path as an id.
pub(super) fn id_of(call: &Call, dropped: usize) -> Result<ResourceId, ArmError> {
    let kept = call.segments.len().saturating_sub(dropped);
    let path = format!("/{}", call.segments[..kept].join("/"));
    ResourceId::parse(&path, "path")
}
