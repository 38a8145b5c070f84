//! What reads meet is looked into, healed or named, though nobody scrubs.

use galerie_arm::{ReplicationState, ResourceId, VersionReference};
use galerie_region::Region;
use galerie_store::{Manifest, ManifestId, Segment};
use serde_json::{Value, json};

use super::super::tests::damage;
use crate::{
    db::{self, disk_image, replica, transact},
    testing::{GUEST_BYTES, World},
};

const VERSION: &str = "galleries/g/images/i/versions/1.0.0";

/// A version in these regions, and the world as another process finds it, whose caches are empty.
async fn published(regions: &[&str], damaged: &[&str]) -> World {
    let world = World::new().await;
    world.start();
    world.furnish().await;
    let import = world.upload(b"guest bytes", true).await;
    world.ended(&import).await;
    let copy = world.publish(regions).await.unwrap();
    world.ended(&copy).await;
    world.control.shutdown().await;
    damaged.iter().for_each(|region| damage(&world, region));
    let world = world.reopen().await;
    world.start();
    world
}

/// Downloads the version's one chunk, as `galerie pull` does.
async fn download(world: &World, region: &str) -> Result<(), galerie_arm::ArmError> {
    let reference = VersionReference::parse(world.id(VERSION).as_str(), "version").unwrap();
    let content = world.control.open_content(&world.ctx(), &reference, Some(region), None).await?;
    let manifest = Manifest::decode(&content.manifest_blob().await?.decode().unwrap()).unwrap();
    let (_, segment) = manifest.segments()[0];
    let list = Segment::decode(&content.segments(&[segment]).await?[0].decode().unwrap()).unwrap();
    let chunks: Vec<_> = list.entries().iter().filter_map(|entry| entry.chunk).collect();
    for blob in content.chunks(segment, &chunks).await? {
        blob.decode().expect("what is given out is what it says it is");
    }
    Ok(())
}

async fn manifest(world: &World, id: &ResourceId) -> ManifestId {
    disk_image::list_for(&mut world.control.db().read().await.unwrap(), id.key()).await.unwrap()[0].manifest
}

async fn stats(world: &World, region: &str) -> Value {
    world.control.store_stats(&world.ctx(), region).await.unwrap()["scrub"].clone()
}

async fn until_complete(world: &World, region: &str) {
    world
        .until("the replica was copied again", || async {
            let copied = world.regions[region].copies.load(std::sync::atomic::Ordering::SeqCst) > 0;
            let mut tx = world.control.db().read().await.unwrap();
            let found = replica::find(&mut tx, world.id(VERSION).key(), region).await.unwrap().unwrap();
            (copied && found.state == ReplicationState::Completed).then_some(())
        })
        .await;
}

/// Regression: the damaged bytes were handed on, and nobody on this side ever noticed.
#[tokio::test]
async fn what_a_download_meets_is_not_served_and_heals() {
    let world = published(&["eastus", "westus"], &["eastus"]).await;
    assert_eq!(download(&world, "eastus").await.unwrap_err().status, 500);
    until_complete(&world, "eastus").await;
    download(&world, "eastus").await.unwrap();
    assert_eq!(stats(&world, "eastus").await["hurtResourceCount"], 0);
    world.control.shutdown().await;
}

/// Regression: while it was copied again, it was said not to be in the region, and to ask its owner for that.
#[tokio::test]
async fn what_is_being_healed_is_damaged_and_not_absent() {
    let world = published(&["eastus", "westus"], &["eastus"]).await;
    world.regions["eastus"].set_open(false);
    download(&world, "eastus").await.unwrap_err();
    let state = async || {
        let mut tx = world.control.db().read().await.unwrap();
        replica::find(&mut tx, world.id(VERSION).key(), "eastus").await.unwrap().unwrap().state
    };
    world.until("healing begins", async || (state().await == ReplicationState::Replicating).then_some(())).await;
    assert_eq!(download(&world, "eastus").await.unwrap_err().code, "ImageDamaged");
    assert_eq!(download(&world, "westeurope").await.unwrap_err().code, "GalleryImageNotFound", "it never was there");
    world.regions["eastus"].set_open(true);
    until_complete(&world, "eastus").await;
    download(&world, "eastus").await.unwrap();
    world.control.shutdown().await;
}

/// Regression: only scrubbing and verifying had anything healed.
#[tokio::test]
async fn what_a_reader_or_the_collector_meets_heals() {
    for by_collecting in [false, true] {
        let world = published(&["eastus", "westus"], &["westus"]).await;
        if by_collecting {
            // A pack that is gone without a trace.
            let packs = world.directory.path().join(format!("regions/westus/tenants/{}/packs", world.caller.tenant));
            for pack in std::fs::read_dir(packs).unwrap() {
                std::fs::remove_file(pack.unwrap().path()).unwrap();
            }
            world.control.store_collect(&world.ctx(), "westus").await.expect("the lists are read in eastus");
            download(&world, "westus").await.expect_err("it is gone");
        } else {
            let image = manifest(&world, &world.id(VERSION)).await;
            let read = async || {
                let reader = world.regions["westus"].open_image(world.caller.tenant, image).await.map_err(drop)?;
                reader.read(0, GUEST_BYTES).await.map_err(drop)
            };
            read().await.unwrap_err();
        }
        until_complete(&world, "westus").await;
        // Each pack was damaged, and a read stops at the first damage that it meets: the next one meets what is left.
        world.until("all of it is whole again", || async { download(&world, "westus").await.ok() }).await;
        world.control.shutdown().await;
    }
}

/// Regression: a record of damage that a process left, killed before it told the catalogue, was looked into by the next scrub.
#[tokio::test]
async fn what_an_earlier_process_met_heals() {
    let world = published(&["eastus", "westus"], &[]).await;
    world.control.shutdown().await;
    damage(&world, "eastus");
    let killed = world.reopen().await;
    download(&killed, "eastus").await.unwrap_err();
    let world = killed.reopen().await;
    world.start();
    world.regions["eastus"].stats(world.caller.tenant).await.unwrap();
    until_complete(&world, "eastus").await;
    download(&world, "eastus").await.unwrap();
    world.control.shutdown().await;
}

/// Regression: a disk healed only with a version that had a replica beside it.
#[tokio::test]
async fn a_disk_heals_from_another_region_s_disk() {
    let world = published(&["eastus"], &[]).await;
    let (east, west) = (&world.regions["eastus"], &world.regions["westus"]);
    let (tenant, disk) = (world.caller.tenant, world.id("disks/d"));
    let image = manifest(&world, &disk).await;
    let empty = json!({ "location": "westus",
        "properties": { "creationData": { "createOption": "Empty" }, "diskSizeGB": 1 } });
    let create = world.put("disks/w", empty).await.unwrap();
    world.ended(&create).await;
    west.replicate(
        tenant,
        image,
        east.blobs(tenant).await.unwrap(),
        &Default::default(),
        Default::default(),
        Default::default(),
    )
    .await
    .unwrap();
    let row = {
        let mut tx = world.control.db().read().await.unwrap();
        disk_image::list_for(&mut tx, world.id("disks/w").key()).await.unwrap().remove(0)
    };
    let row = disk_image::DiskImageRow { manifest: image, ..row };
    transact!(world.control.db(), |tx| -> db::Result<()> { disk_image::insert(tx, &row).await }).unwrap();
    world.control.shutdown().await;
    damage(&world, "eastus");
    let world = world.reopen().await;
    world.start();
    download(&world, "eastus").await.unwrap_err();
    world.until("the disk is whole again", || async { download(&world, "eastus").await.ok() }).await;
    assert_eq!(stats(&world, "eastus").await["hurtResourceCount"], 0);
    world.control.shutdown().await;
}

#[tokio::test]
async fn what_nobody_has_is_named() {
    let world = published(&["eastus"], &["eastus"]).await;
    download(&world, "eastus").await.unwrap_err();
    let named = world
        .until("what is hurt is named", || async {
            let stats = stats(&world, "eastus").await;
            (stats["hurtResourceCount"] != 0).then(|| stats["hurtResources"].clone())
        })
        .await;
    let hurt = |below: &str| json!({ "id": world.id(below).as_str(), "healing": false });
    let named: Vec<Value> =
        named.as_array().unwrap().iter().map(|hurt| json!({ "id": hurt["id"], "healing": hurt["healing"] })).collect();
    assert_eq!(named, [hurt("disks/d"), hurt(VERSION)]);
    world.control.shutdown().await;
}
