//! Random versions and policies, held against the rule as `docs/design/retention.md` tells it: a version goes when it was
//! made, is not excluded, `keep` higher ones like it stay, it is old, `latest` nowhere, not pinned, not used and not protected.

use std::collections::{BTreeMap, BTreeSet};

use galerie_arm::{ProvisioningState, ReplicationState, ResourceType};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::json;
use uuid::Uuid;

use super::{DAY_MS, reasons};
use crate::{
    RetentionSettings,
    db::{
        self, Connection, image_version::ImageVersionRow, pinned_version::PinnedVersionRow, replica::ReplicaRow,
        resource::ResourceRow, transact,
    },
    latest,
    resource::testing::location,
    testing::World,
};

const REGIONS: [&str; 2] = ["eastus", "westus"];
type Numbers = [u32; 3];

#[derive(Debug, Clone)]
struct Version {
    numbers: Numbers,
    state: ProvisioningState,
    age_days: i64,
    is_excluded: bool,
    /// In each region: the copy's state, and whether it is excluded there.
    replicas: [Option<(ReplicationState, bool)>; 2],
    is_pinned: bool,
    /// How many disks were made from it.
    disks: u8,
    /// Whether a disk is being made from it, in another tenant.
    is_copied: bool,
    is_protected: bool,
}

fn version() -> impl Strategy<Value = Version> {
    let state = prop_oneof![
        8 => Just(ProvisioningState::Succeeded),
        1 => Just(ProvisioningState::Failed),
        1 => Just(ProvisioningState::Creating),
        1 => Just(ProvisioningState::Updating),
    ];
    let copy = prop_oneof![
        5 => Just(ReplicationState::Completed),
        1 => Just(ReplicationState::Replicating),
        1 => Just(ReplicationState::Failed),
    ];
    let replica = prop::option::weighted(0.8, (copy, prop::bool::weighted(0.2)));
    let often = prop::bool::weighted(0.12);
    let numbers = prop::array::uniform3(prop_oneof![0_u32..4, Just(i32::MAX as u32)]);
    let use_count = prop_oneof![8 => Just(0_u8), 1 => 1..3_u8];
    let flags = (often, often, often, often);
    (numbers, state, 0..12_i64, [replica.clone(), replica], use_count, flags).prop_map(
        |(numbers, state, age_days, replicas, disks, (is_excluded, is_pinned, is_copied, is_protected))| Version {
            numbers,
            state,
            age_days,
            is_excluded,
            replicas,
            is_pinned,
            disks,
            is_copied,
            is_protected,
        },
    )
}

/// `latest` in a region.
fn latest_of(versions: &[Version], region: usize) -> Option<Numbers> {
    let is_there = |version: &&Version| {
        !version.is_excluded && version.replicas[region] == Some((ReplicationState::Completed, false))
    };
    versions.iter().filter(is_there).map(|version| version.numbers).max()
}

/// The rule.
fn expected(versions: &[Version], keep: usize, days: i64) -> BTreeSet<Numbers> {
    let is_good = |version: &&Version| version.state == ProvisioningState::Succeeded && !version.is_excluded;
    let mut good: Vec<Numbers> = versions.iter().filter(is_good).map(|version| version.numbers).collect();
    good.sort_unstable_by(|one, other| other.cmp(one));
    let last: BTreeSet<Numbers> = good.into_iter().take(keep).collect();
    let latest: BTreeSet<Numbers> = (0..REGIONS.len()).filter_map(|region| latest_of(versions, region)).collect();
    let goes = |version: &&Version| {
        let is_needed = last.contains(&version.numbers) || latest.contains(&version.numbers);
        let is_held = version.is_pinned || version.disks > 0 || version.is_copied || version.is_protected;
        version.age_days >= days && !is_needed && !is_held
    };
    versions.iter().filter(is_good).filter(goes).map(|version| version.numbers).collect()
}

fn name([major, minor, patch]: Numbers) -> String {
    format!("{major}.{minor}.{patch}")
}

fn row(world: &World, below: &str, resource_type: ResourceType, parent: Option<String>) -> ResourceRow {
    let id = world.id(below);
    ResourceRow {
        key: id.key().to_owned(),
        uid: Uuid::new_v4(),
        id: id.as_str().to_owned(),
        resource_type,
        tenant: world.caller.tenant,
        subscription: world.subscription,
        resource_group: world.id("").key().to_owned(),
        parent,
        name: id.name().to_owned(),
        location: "eastus".to_owned(),
        unique_key: None,
        provisioning_state: ProvisioningState::Succeeded,
        generation: 1,
        etag: String::new(),
        document: json!({ "properties": {} }),
        created_ms: 0,
        updated_ms: 0,
    }
}

async fn insert(tx: &mut Connection, world: &World, definition: &str, number: usize, version: &Version, now_ms: i64) {
    let definition_key = world.id(definition).key().to_owned();
    let below = format!("{definition}/versions/{}", name(version.numbers));
    let mut row_of = row(world, &below, ResourceType::ImageVersion, Some(definition_key.clone()));
    row_of.provisioning_state = version.state;
    if version.is_protected {
        row_of.document = json!({ "properties": { "safetyProfile": { "blockDeletionBeforeEndOfLife": true },
            "publishingProfile": { "endOfLifeDate": "2099-01-01T00:00:00Z" } } });
    }
    db::resource::insert(tx, &row_of).await.unwrap();
    let (key, numbers) = (row_of.key.clone(), version.numbers);
    let (exclude_from_latest, published_ms) = (version.is_excluded, now_ms - version.age_days * DAY_MS);
    let stored =
        ImageVersionRow { key: key.clone(), definition: definition_key, numbers, exclude_from_latest, published_ms };
    db::image_version::upsert(tx, &stored).await.unwrap();
    for (region, replica) in REGIONS.iter().zip(version.replicas) {
        let Some((state, exclude_from_latest)) = replica else { continue };
        let replica = ReplicaRow { state, exclude_from_latest, ..ReplicaRow::wanted(&key, region, 0) };
        db::replica::upsert(tx, &replica).await.unwrap();
    }
    if version.is_pinned {
        let pin = PinnedVersionRow { version: key.clone(), pinned_by: "somebody".to_owned(), pinned_ms: 0 };
        db::pinned_version::insert(tx, &pin).await.unwrap();
    }
    let case = world.id(definition).name().to_owned();
    for disk in 0..version.disks + u8::from(version.is_copied) {
        let mut used = row(world, &format!("disks/{case}-{number}-{disk}"), ResourceType::Disk, None);
        if disk == version.disks {
            used.tenant = Uuid::from_u128(1);
            used.provisioning_state = ProvisioningState::Creating;
        }
        db::resource::insert(tx, &used).await.unwrap();
        db::version_use::put(tx, &used.key, &key, row_of.uid).await.unwrap();
    }
    // What another tenant made, and the disk of an earlier version of the same name, hold nothing.
    let mut done = row(world, &format!("disks/{case}-{number}-done"), ResourceType::Disk, None);
    done.tenant = Uuid::from_u128(1);
    db::resource::insert(tx, &done).await.unwrap();
    db::version_use::put(tx, &done.key, &key, row_of.uid).await.unwrap();
    let other = row(world, &format!("disks/{case}-{number}-other"), ResourceType::Disk, None);
    db::resource::insert(tx, &other).await.unwrap();
    db::version_use::put(tx, &other.key, &key, Uuid::new_v4()).await.unwrap();
}

async fn latest_everywhere(tx: &mut Connection, definition: &str) -> BTreeMap<&'static str, Option<String>> {
    let mut found = BTreeMap::new();
    for region in REGIONS {
        found.insert(region, latest::find(tx, definition, &location(region)).await.unwrap());
    }
    found
}

/// Makes the versions in a definition of their own, and runs.
async fn check(world: &World, case: usize, versions: &[Version], keep: u32, days: u32) -> Result<(), TestCaseError> {
    let definition = format!("galleries/g/images/case{case}");
    let now_ms = world.control.now_ms();
    let id = world.id(&definition);
    transact!(world.control.db(), |tx| -> db::Result<()> {
        let parent = Some(world.id("galleries/g").key().to_owned());
        db::resource::insert(tx, &row(world, &definition, ResourceType::ImageDefinition, parent)).await?;
        for (number, version) in versions.iter().enumerate() {
            insert(tx, world, &definition, number, version, now_ms).await;
        }
        Ok(())
    })
    .unwrap();
    let settings = RetentionSettings { keep, older_than_days: days, automatic: false };
    let ctx = world.ctx();
    world.control.set_retention_policy(&ctx, &id, Ok(settings)).await.unwrap();
    let before = latest_everywhere(&mut world.control.db().read().await.unwrap(), id.key()).await;
    let dry = world.control.retention_dry_run(&ctx, &id, None).await.unwrap();
    let run = world.control.retention_run(&ctx, &id, Ok(None)).await.unwrap();

    let expected: BTreeSet<String> = expected(versions, keep as usize, i64::from(days)).into_iter().map(name).collect();
    let going: BTreeSet<String> =
        reasons(&dry).into_iter().filter(|(_, reason)| reason == "Superseded").map(|(name, _)| name).collect();
    prop_assert_eq!(&going, &expected, "the dry run");
    prop_assert_eq!(reasons(&dry), reasons(&run), "the run decided as the dry run");
    prop_assert_eq!(super::deleted(&run).into_iter().collect::<BTreeSet<_>>(), expected.clone(), "the run");
    let mut tx = world.control.db().read().await.unwrap();
    let left: BTreeSet<String> =
        db::resource::first_children(&mut tx, id.key(), 100).await.unwrap().into_iter().map(|row| row.name).collect();
    let all: BTreeSet<String> = versions.iter().map(|version| name(version.numbers)).collect();
    prop_assert_eq!(&left, &all.difference(&expected).cloned().collect::<BTreeSet<_>>(), "what is left");
    prop_assert_eq!(latest_everywhere(&mut tx, id.key()).await, before, "never the last good one of a region");
    let good = |version: &&Version| version.state == ProvisioningState::Succeeded && !version.is_excluded;
    if let Some(last) = versions.iter().filter(good).map(|version| version.numbers).max() {
        prop_assert!(left.contains(&name(last)), "never the last good one");
    }
    for version in versions.iter().filter(|version| version.disks > 0 || version.is_copied || version.is_pinned) {
        prop_assert!(left.contains(&name(version.numbers)), "nothing in use: {version:?}");
    }
    drop(tx);
    let again = world.control.retention_run(&ctx, &id, Ok(None)).await.unwrap();
    prop_assert!(super::deleted(&again).is_empty(), "a second run finds nothing");
    Ok(())
}

#[test]
fn random_versions_go_as_the_rule_says() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(async {
        let world = World::new().await;
        world.furnish().await;
        world
    });
    let case = std::cell::Cell::new(0);
    let config = Config { cases: 96, ..Config::default() };
    let given = (prop::collection::vec(version(), 0..24), 1..6_u32, 0..12_u32);
    let outcome = TestRunner::new(config).run(&given, |(mut versions, keep, days)| {
        versions.sort_by_key(|version| version.numbers);
        versions.dedup_by_key(|version| version.numbers);
        case.set(case.get() + 1);
        runtime.block_on(check(&world, case.get(), &versions, keep, days))
    });
    runtime.block_on(world.control.shutdown());
    outcome.unwrap();
}
