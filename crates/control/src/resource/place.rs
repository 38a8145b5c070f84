//! Where a resource stands: its group and the resources above it.

use galerie_arm::{ArmError, ProvisioningState, ResourceId};
use uuid::Uuid;

use crate::db::{self, Connection};

/// A place in which a resource may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The subscription.
    pub(crate) subscription: Uuid,
    /// The group's key.
    pub(crate) group: String,
    /// The key of the resource above.
    pub(crate) parent: Option<String>,
    /// Whether the group or a resource above is being deleted; then nothing may be written here.
    pub(crate) going: Option<ArmError>,
}

impl Place {
    /// Refuses a write into what is being deleted.
    ///
    /// # Errors
    /// `ResourceGroupBeingDeleted`, or that the resource above is marked for deletion.
    pub(crate) fn check_stays(&self) -> Result<(), ArmError> {
        self.going.clone().map_or(Ok(()), Err)
    }
}

/// Finds the place of a resource.
///
/// # Errors
/// `ResourceGroupNotFound`, `ParentResourceNotFound`.
pub(crate) async fn find(tx: &mut Connection, id: &ResourceId) -> Result<Place, ArmError> {
    let (Some(subscription), Some(group)) = (id.subscription(), id.group()) else {
        return Err(id.not_found());
    };
    let group_id = ResourceId::of_group(subscription, group);
    let Some(group_row) = db::resource_group::find(tx, group_id.key()).await? else {
        return Err(ArmError::resource_group_not_found(group.as_str()));
    };
    let mut going = (group_row.state == ProvisioningState::Deleting)
        .then(|| ArmError::resource_group_being_deleted(group.as_str()));
    let mut parent = None;
    for above in ancestors(id) {
        let Some(row) = db::resource::find(tx, above.key()).await? else {
            return Err(ArmError::parent_resource_not_found(&joined_names(&above)));
        };
        if row.provisioning_state == ProvisioningState::Deleting {
            going = Some(ArmError::marked_for_deletion("Create", &row.name));
        }
        parent = Some(row.key);
    }
    Ok(Place { subscription: subscription.as_uuid(), group: group_row.key, parent, going })
}

/// The resources above, the outermost first.
fn ancestors(id: &ResourceId) -> Vec<ResourceId> {
    let mut above = Vec::new();
    let mut current = id.clone();
    while current.chain().len() > 1 {
        let Some(parent) = current.parent() else { break };
        above.push(parent.clone());
        current = parent;
    }
    above.reverse();
    above
}

fn joined_names(id: &ResourceId) -> String {
    id.chain().map(|(_, name)| name).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::testing::{DEFINITION, GALLERY, VERSION};

    #[test]
    fn outermost_first() {
        let id: ResourceId = VERSION.parse().unwrap();
        let above: Vec<String> = ancestors(&id).iter().map(ToString::to_string).collect();
        assert_eq!(above, [GALLERY, DEFINITION]);
        assert_eq!(joined_names(&DEFINITION.parse().unwrap()), "myGallery/web");
        assert!(ancestors(&GALLERY.parse().unwrap()).is_empty());
    }
}
