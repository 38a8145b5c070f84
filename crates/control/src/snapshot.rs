//! The rules of snapshots: a disk's or a snapshot's content, held still. No byte moves.

use galerie_arm::{ArmError, SnapshotName, disk::DiskState};

use crate::{
    disk::{self, creation_data},
    resource::{
        document::{self, set, set_default},
        plan::{Effect, Plan, Write},
    },
    source::Source,
};

const INCREMENTAL: &str = "properties.incremental";

/// Decides about a write to a snapshot. `source` is what a new snapshot's `creationData` names.
///
/// # Errors
/// Options that this server does not have, a change of what the snapshot was made from.
pub(crate) fn plan(write: Write<'_>, source: Option<&Source>) -> Result<Plan, ArmError> {
    write.id.name_at::<SnapshotName>(0)?;
    let mut document = write.document.clone();
    if let Some(existing) = write.existing {
        disk::hold_still(&mut document, &existing.document, "snapshot")?;
        document::hold_still(&mut document, &existing.document, "snapshot", &[INCREMENTAL])?;
        document::keep(&mut document, &existing.document, "properties.incrementalSnapshotFamilyId");
        return Ok(Plan::immediate(document));
    }
    creation_data::wanted(&document, "snapshot")?;
    disk::fill_in(&mut document, &write, source);
    set_default(&mut document, INCREMENTAL, false);
    if document::is_true(&document, INCREMENTAL) {
        let family = source.and_then(|source| source.unique_id).unwrap_or(write.uid);
        set(&mut document, "properties.incrementalSnapshotFamilyId", family.as_hyphenated().to_string());
    }
    let mut plan = Plan::immediate(document);
    plan.effects.push(Effect::Disk { state: DiskState::Unattached, upload_bytes: None });
    disk::hold_source(&mut plan, source)?;
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use galerie_store::{BlobId, ManifestId};
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::{
        resource::{
            plan::{HeldImage, OS_LUN},
            testing::{Given, SNAPSHOT},
        },
        source::{SourceDisk, SourceFacts},
    };

    fn source() -> Source {
        let image = HeldImage { lun: OS_LUN, manifest: ManifestId(BlobId::of(b"x")), virtual_size_bytes: 1 << 30 };
        Source {
            id: "/disk".to_owned(),
            unique_id: Some(Uuid::from_u128(9)),
            foreign: None,
            version: None,
            facts: SourceFacts::default(),
            disks: vec![SourceDisk { image, host_caching: None }],
        }
    }

    #[test]
    fn it_holds_its_sources_bytes() {
        for incremental in [false, true] {
            let body = json!({ "location": "eastus", "properties": { "incremental": incremental,
                "creationData": { "createOption": "Copy", "sourceResourceId": "/disk" } } });
            let plan = plan(Given::new(SNAPSHOT, body).write(), Some(&source())).unwrap();
            assert!(plan.effects.contains(&Effect::HoldImages(vec![source().disks[0].image])));
            assert_eq!(plan.document["properties"]["incremental"], incremental);
            assert_eq!(plan.document["properties"]["incrementalSnapshotFamilyId"].is_string(), incremental);
        }
    }

    #[test]
    fn other_options_are_refused_by_name() {
        for option in ["Import", "CopyStart", "Empty"] {
            let body =
                json!({ "properties": { "creationData": { "createOption": option, "sourceResourceId": "/disk" } } });
            let error = plan(Given::new(SNAPSHOT, body).write(), Some(&source())).unwrap_err();
            assert!(error.message.contains(&format!("'{option}'")), "{}", error.message);
        }
    }

    #[test]
    fn incremental_is_chosen_once() {
        let body = |incremental: bool| {
            json!({ "location": "eastus", "properties": { "incremental": incremental,
            "creationData": { "createOption": "Copy", "sourceResourceId": "/disk" } } })
        };
        let stored = plan(Given::new(SNAPSHOT, body(true)).write(), Some(&source())).unwrap().document;
        assert!(plan(Given::new(SNAPSHOT, body(true)).over(stored.clone()).write(), None).is_ok());
        assert!(plan(Given::new(SNAPSHOT, body(false)).over(stored).write(), None).is_err());
    }
}
