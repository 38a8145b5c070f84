//! Compute's resources by type: which file answers, and which types we do not have.

use galerie_arm::{ArmError, ResourceType};
use galerie_control::ListScope;

use super::{
    Answer, access_control_profile, application,
    call::Call,
    disk, gallery, image_definition, image_version, managed_image,
    route::{compute_type, id_of},
    script, share, snapshot, tracked, unsupported,
};

/// A resource: `.../{type}/{name}`.
pub(super) async fn resource(call: Call) -> Answer {
    let types = type_segments(&call, 0);
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    match compute_type(&types) {
        Some(ResourceType::Gallery) => gallery::answer(call).await,
        Some(ResourceType::ImageDefinition) => image_definition::answer(call).await,
        Some(ResourceType::ImageVersion) => image_version::answer(call).await,
        Some(ResourceType::Application | ResourceType::ApplicationVersion) => application::answer(call).await,
        Some(ResourceType::Script | ResourceType::ScriptVersion) => script::answer(call).await,
        Some(ResourceType::AccessControlProfile | ResourceType::AccessControlProfileVersion) => {
            access_control_profile::answer(call).await
        }
        Some(ResourceType::ManagedImage) => managed_image::answer(call).await,
        Some(ResourceType::Disk) => disk::answer(call).await,
        Some(ResourceType::Snapshot) => snapshot::answer(call).await,
        Some(ResourceType::VirtualMachine) => unsupported::virtual_machine(call).await,
        _ => unsupported::answer(&call, "microsoft.compute", &types),
    }
}

/// Whether `name` is an action of `resource_type` rather than a collection below it.
pub(super) fn is_action(resource_type: ResourceType, name: &str) -> bool {
    match resource_type {
        ResourceType::Disk | ResourceType::Snapshot => disk::ACTIONS.contains(&name),
        ResourceType::Gallery => name == "share",
        _ => false,
    }
}

/// An action: `POST .../{type}/{name}/{action}`.
pub(super) async fn action(call: Call, name: &str) -> Answer {
    match name {
        "begingetaccess" => disk::begin_get_access(call).await,
        "endgetaccess" => disk::end_get_access(call).await,
        "share" => share::answer(call).await,
        _ => unsupported::answer(&call, "microsoft.compute", &[name]),
    }
}

/// A collection in a group or below a resource.
pub(super) async fn collection(call: Call) -> Answer {
    let types = type_segments(&call, 1);
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    let listed = compute_type(&types).filter(|found| tracked::TYPES.contains(found));
    let Some(resource_type) = listed else {
        return unsupported::list(&call, &types);
    };
    let scope = if types.len() == 1 {
        ListScope::Group { group: id_of(&call, 3)?, resource_type: Some(resource_type) }
    } else {
        ListScope::Children { parent: id_of(&call, 1)?, resource_type }
    };
    tracked::list(call, scope).await
}

/// A collection in the whole subscription.
pub(super) async fn in_subscription(call: Call, collection: &str) -> Answer {
    let listed = compute_type(&[collection]).filter(|found| tracked::TYPES.contains(found));
    let Some(resource_type) = listed else {
        return unsupported::list(&call, &[collection]);
    };
    let subscription = id_of(&call, call.segments.len() - 2)?.subscription();
    let subscription = subscription.ok_or_else(|| ArmError::path_not_found(&call.path()))?.as_uuid();
    tracked::list(call, ListScope::Subscription { subscription, resource_type: Some(resource_type) }).await
}

/// The type segments after `providers/Microsoft.Compute`; `odd` is 1 when the last stands without a name.
fn type_segments(call: &Call, odd: usize) -> Vec<String> {
    let chain = call.segments.get(6..).unwrap_or_default();
    debug_assert_eq!(chain.len() % 2, odd);
    chain.iter().step_by(2).cloned().collect()
}
