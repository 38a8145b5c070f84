//! `latest`: the highest version number, by its three numbers and not by date, among the versions that are replicated to
//! a region and are excluded neither everywhere nor there. So it differs from region to region.
//!
//! The catalogue answers it with one index range ([`db::image_version::latest`]); the tests hold that against the rule as
//! it is told here.

use galerie_arm::{ArmError, Location};

use crate::db::{self, Connection};

/// The key of the latest version of a definition in a region.
///
/// # Errors
/// Of the catalogue only.
pub(crate) async fn find(tx: &mut Connection, definition: &str, region: &Location) -> Result<Option<String>, ArmError> {
    let version = db::image_version::latest(tx, definition, region.as_str()).await?;
    Ok(version.map(|version| version.key))
}

#[cfg(test)]
mod tests {
    use galerie_arm::{ProvisioningState, ReplicationState, ResourceType};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::{
        db::{image_version::ImageVersionRow, replica::ReplicaRow, resource::ResourceRow},
        resource::testing::{DEFINITION, location},
    };

    /// A version as the rule sees it: its number, whether it is excluded, its replica in each of two regions.
    #[derive(Debug, Clone)]
    struct Version {
        numbers: [u32; 3],
        is_excluded: bool,
        replicas: [Option<(ReplicationState, bool)>; 2],
    }

    const REGIONS: [&str; 2] = ["eastus", "westus"];

    fn version() -> impl Strategy<Value = Version> {
        let state = prop_oneof![
            4 => Just(ReplicationState::Completed),
            1 => Just(ReplicationState::Replicating),
            1 => Just(ReplicationState::Failed),
        ];
        let replica = prop::option::weighted(0.7, (state, prop::bool::weighted(0.2)));
        let numbers = prop::array::uniform3(prop_oneof![0_u32..12, Just(i32::MAX as u32)]);
        (numbers, prop::bool::weighted(0.2), [replica.clone(), replica])
            .prop_map(|(numbers, is_excluded, replicas)| Version { numbers, is_excluded, replicas })
    }

    /// The rule, as it is told above.
    fn expected(versions: &[Version], region: usize) -> Option<[u32; 3]> {
        let eligible = |version: &&Version| {
            !version.is_excluded && version.replicas[region] == Some((ReplicationState::Completed, false))
        };
        versions.iter().filter(eligible).map(|version| version.numbers).max()
    }

    fn key([major, minor, patch]: [u32; 3]) -> String {
        format!("{}/versions/{major}.{minor}.{patch}", DEFINITION.to_lowercase())
    }

    async fn insert(tx: &mut Connection, version: &Version) {
        let key = key(version.numbers);
        let definition = DEFINITION.to_lowercase();
        let row = ResourceRow {
            key: key.clone(),
            uid: Uuid::new_v4(),
            id: key.clone(),
            resource_type: ResourceType::ImageVersion,
            tenant: Uuid::nil(),
            subscription: Uuid::nil(),
            resource_group: String::new(),
            parent: Some(definition.clone()),
            name: String::new(),
            location: "eastus".to_owned(),
            unique_key: None,
            provisioning_state: ProvisioningState::Succeeded,
            generation: 1,
            etag: String::new(),
            document: serde_json::json!({}),
            created_ms: 0,
            updated_ms: 0,
        };
        db::resource::insert(tx, &row).await.unwrap();
        let (numbers, exclude_from_latest) = (version.numbers, version.is_excluded);
        let row = ImageVersionRow { key: key.clone(), definition, numbers, exclude_from_latest, published_ms: 0 };
        db::image_version::upsert(tx, &row).await.unwrap();
        for (region, replica) in REGIONS.iter().zip(version.replicas) {
            let Some((state, exclude_from_latest)) = replica else { continue };
            let row = ReplicaRow { state, exclude_from_latest, ..ReplicaRow::wanted(&key, region, 0) };
            db::replica::upsert(tx, &row).await.unwrap();
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn the_catalogue_follows_the_rule(mut versions in prop::collection::vec(version(), 0..40)) {
            versions.sort_by_key(|version| version.numbers);
            versions.dedup_by_key(|version| version.numbers);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (_directory, db) = db::tests::fresh().await;
                let mut tx = db.write().await.unwrap();
                for version in &versions {
                    insert(&mut tx, version).await;
                }
                for (index, region) in REGIONS.iter().enumerate() {
                    let found = find(&mut tx, &DEFINITION.to_lowercase(), &location(region)).await.unwrap();
                    prop_assert_eq!(found, expected(&versions, index).map(key));
                }
                Ok(())
            })?;
        }
    }
}
