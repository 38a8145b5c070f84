//! Tables that promise more than to give back what was put in: paging, `latest`, fences, condemnations.

use galerie_arm::{ProvisioningState, ReplicationState, ResourceId, ResourceType};
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::{
    Db, condemned_pack, image_version,
    image_version::ImageVersionRow,
    pin, replica,
    replica::ReplicaRow,
    resource::{self, ResourceRow},
    tests::fresh,
};

const SUBSCRIPTION: &str = "f4662c1d-e072-46af-8700-b8ca2968ccab";

fn row(below: &str, parent: Option<&str>) -> ResourceRow {
    let id: ResourceId =
        format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/RG/providers/Microsoft.Compute/{below}").parse().unwrap();
    ResourceRow {
        key: id.key().to_owned(),
        uid: Uuid::new_v4(),
        id: id.as_str().to_owned(),
        resource_type: id.resource_type().unwrap(),
        tenant: Uuid::nil(),
        subscription: SUBSCRIPTION.parse().unwrap(),
        resource_group: format!("/subscriptions/{SUBSCRIPTION}/resourcegroups/rg"),
        parent: parent.map(|parent| row(parent, None).key),
        name: id.name().to_owned(),
        location: "eastus".to_owned(),
        unique_key: None,
        provisioning_state: ProvisioningState::Succeeded,
        generation: 1,
        etag: "a".to_owned(),
        document: json!({ "location": "eastus", "tags": { "b": "", "a": "ü" } }),
        created_ms: 1,
        updated_ms: 2,
    }
}

/// Puts a gallery and a definition there; the definition's key.
async fn definition(tx: &mut super::Connection) -> String {
    resource::insert(tx, &row("galleries/g", None)).await.unwrap();
    let definition = row("galleries/g/images/i", Some("galleries/g"));
    resource::insert(tx, &definition).await.unwrap();
    definition.key
}

#[tokio::test]
async fn a_row_comes_back_as_it_was() {
    let (_directory, db) = fresh().await;
    let mut tx = db.write().await.unwrap();
    let mut gallery = row("galleries/G", None);
    gallery.unique_key = Some("gallery:x".to_owned());
    resource::insert(&mut tx, &gallery).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = db.read().await.unwrap();
    assert_eq!(resource::find(&mut tx, &gallery.key).await.unwrap().as_ref(), Some(&gallery));
    assert_eq!(resource::find_by_uid(&mut tx, gallery.uid).await.unwrap().as_ref(), Some(&gallery));
    assert_eq!(resource::find_by_unique_key(&mut tx, "gallery:x").await.unwrap().as_ref(), Some(&gallery));
}

#[tokio::test]
async fn updates_are_fenced() {
    let (_directory, db) = fresh().await;
    let mut tx = db.write().await.unwrap();
    let mut gallery = row("galleries/g", None);
    resource::insert(&mut tx, &gallery).await.unwrap();
    gallery.generation = 2;
    assert!(resource::update(&mut tx, &gallery, 1).await.unwrap());
    assert!(!resource::update(&mut tx, &gallery, 1).await.unwrap());
    let other = ResourceRow { uid: Uuid::new_v4(), ..gallery.clone() };
    assert!(!resource::update(&mut tx, &other, 2).await.unwrap());
    assert!(!resource::set_state(&mut tx, &other.key, other.uid, ProvisioningState::Failed).await.unwrap());
    assert!(!resource::delete_with_everything(&mut tx, &other, 0).await.unwrap());
    assert!(resource::delete_with_everything(&mut tx, &gallery, 0).await.unwrap());
}

#[tokio::test]
async fn a_taken_unique_key_is_named() {
    let (_directory, db) = fresh().await;
    let mut tx = db.write().await.unwrap();
    for (below, expected) in [("galleries/a", true), ("galleries/b", false)] {
        let row = ResourceRow { unique_key: Some("k".to_owned()), ..row(below, None) };
        let inserted = resource::insert(&mut tx, &row).await;
        assert!(inserted.is_ok() == expected && !matches!(inserted, Err(super::Error::Sql(_))));
    }
}

fn key(row: &resource::ListedRow<'_>) -> String {
    row.key.to_owned()
}

/// Every page of a list, until the last.
async fn pages(db: &Db, resource_type: Option<ResourceType>, limit: u32) -> Vec<String> {
    let (mut keys, mut tx) = (Vec::new(), db.read().await.unwrap());
    loop {
        let after = keys.last().cloned();
        let group = format!("/subscriptions/{SUBSCRIPTION}/resourcegroups/rg");
        let page = resource::list_in_group(&mut tx, &group, resource_type, after.as_deref(), limit, key).await.unwrap();
        assert!(page.len() <= limit as usize);
        if page.is_empty() {
            return keys;
        }
        keys.extend(page);
    }
}

#[tokio::test]
async fn every_page_size_lists_the_same() {
    let (_directory, db) = fresh().await;
    let mut tx = db.write().await.unwrap();
    let mut expected = Vec::new();
    for n in 0..7 {
        for below in [format!("disks/d{n}"), format!("snapshots/s.{n}"), format!("images/i-{n}")] {
            let row = row(&below, None);
            resource::insert(&mut tx, &row).await.unwrap();
            expected.push(row.key);
        }
    }
    // Beside the group, and named so that a careless range would have it.
    let mut beside = row("disks/x", None);
    beside.key = beside.key.replace("/rg/", "/rg0/");
    beside.resource_group.push('0');
    resource::insert(&mut tx, &beside).await.unwrap();
    tx.commit().await.unwrap();
    expected.sort();
    for limit in [1, 2, 5, 100] {
        assert_eq!(pages(&db, None, limit).await, expected);
        let disks: Vec<_> = expected.iter().filter(|key| key.contains("/disks/")).cloned().collect();
        assert_eq!(pages(&db, Some(ResourceType::Disk), limit).await, disks);
    }
    let mut tx = db.read().await.unwrap();
    let subscription = SUBSCRIPTION.parse().unwrap();
    let all = resource::list_in_subscription(&mut tx, subscription, None, None, 1000, key).await.unwrap();
    assert_eq!(all.len(), expected.len() + 1);
    let none = resource::list_in_subscription(&mut tx, Uuid::nil(), None, None, 1000, key).await.unwrap();
    assert!(none.is_empty());
}

#[tokio::test]
async fn condemnations_and_pins_draw_from_one_counter() {
    let (_directory, db) = fresh().await;
    let mut tx = db.write().await.unwrap();
    let (tenant, pack) = (Uuid::new_v4(), galerie_store::PackId::random());
    let first = pin::take(&mut tx, "eastus", tenant, None, "a", 10).await.unwrap();
    let sequence = pin::next_sequence(&mut tx).await.unwrap();
    condemned_pack::insert(&mut tx, "eastus", tenant, pack, sequence, 1).await.unwrap();
    // Condemned for ever: a second condemnation is not a younger one.
    let again = pin::next_sequence(&mut tx).await.unwrap();
    condemned_pack::insert(&mut tx, "eastus", tenant, pack, again, 2).await.unwrap();
    let second = pin::take(&mut tx, "eastus", tenant, None, "b", 20).await.unwrap();
    assert!(first < sequence && sequence < again && again < second);
    let listed = condemned_pack::list(&mut tx, "eastus", tenant).await.unwrap();
    assert_eq!(listed.iter().map(|row| row.sequence).collect::<Vec<_>>(), [sequence]);
    assert_eq!(pin::oldest(&mut tx, "eastus", tenant).await.unwrap(), Some(first));
    assert_eq!(pin::oldest(&mut tx, "westus", tenant).await.unwrap(), None);
    assert_eq!(pin::expire(&mut tx, 10).await.unwrap(), 1);
    assert!(!pin::renew(&mut tx, first, 100).await.unwrap(), "what expired is not revived");
    assert_eq!(pin::oldest(&mut tx, "eastus", tenant).await.unwrap(), Some(second));
    condemned_pack::forget(&mut tx, "eastus", tenant, pack).await.unwrap();
    assert!(condemned_pack::list(&mut tx, "eastus", tenant).await.unwrap().is_empty());
}

/// A version as `latest` sees it: numbers, excluded everywhere, excluded in the region, state there.
type Candidate = ([u32; 3], bool, bool, Option<ReplicationState>);

fn candidate() -> impl Strategy<Value = Candidate> {
    let number = prop_oneof![0_u32..4, Just(9), Just(10), Just(i32::MAX as u32)];
    let state = prop_oneof![
        Just(Some(ReplicationState::Completed)),
        Just(Some(ReplicationState::Completed)),
        Just(Some(ReplicationState::Replicating)),
        Just(Some(ReplicationState::Failed)),
        Just(None)
    ];
    ([number.clone(), number.clone(), number], prop::bool::weighted(0.2), prop::bool::weighted(0.2), state)
        .prop_map(|(numbers, everywhere, here, state)| (numbers, everywhere, here, state))
}

async fn latest_of(candidates: &[Candidate]) -> Option<[u32; 3]> {
    let (_directory, db) = fresh().await;
    let mut tx = db.write().await.unwrap();
    let definition = definition(&mut tx).await;
    for (numbers, everywhere, here, state) in candidates {
        let [major, minor, patch] = numbers;
        let below = format!("galleries/g/images/i/versions/{major}.{minor}.{patch}");
        let version = row(&below, Some("galleries/g/images/i"));
        if resource::find(&mut tx, &version.key).await.unwrap().is_some() {
            continue;
        }
        resource::insert(&mut tx, &version).await.unwrap();
        let numbered = ImageVersionRow {
            key: version.key.clone(),
            definition: definition.clone(),
            numbers: *numbers,
            exclude_from_latest: *everywhere,
            published_ms: 0,
        };
        image_version::upsert(&mut tx, &numbered).await.unwrap();
        if let Some(state) = state {
            let wanted = ReplicaRow::wanted(&version.key, "westus", 0);
            let replica = ReplicaRow { state: *state, exclude_from_latest: *here, ..wanted };
            replica::upsert(&mut tx, &replica).await.unwrap();
        }
    }
    assert_eq!(image_version::latest(&mut tx, &definition, "eastus").await.unwrap(), None);
    image_version::latest(&mut tx, &definition, "westus").await.unwrap().map(|version| version.numbers)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn latest_is_the_highest_complete_number_that_nobody_excludes(mut candidates in prop::collection::vec(candidate(), 0..12)) {
        let mut seen = std::collections::HashSet::new();
        candidates.retain(|candidate| seen.insert(candidate.0));
        let usable = candidates.iter().filter(|(_, everywhere, here, state)| {
            !everywhere && !here && *state == Some(ReplicationState::Completed)
        });
        let expected = usable.map(|candidate| candidate.0).max();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        prop_assert_eq!(runtime.block_on(latest_of(&candidates)), expected);
    }
}
