//! Below the watermark nothing new comes in; what is there can be read, deleted and collected; and room mends all.

use std::sync::{Arc, atomic::AtomicU64};

use bytes::Bytes;
use galerie_arm::{ArmError, OperationStatus, ReplicationState};
use galerie_region::{MinFreeSpace, Region, UploadId, Watermark};
use serde_json::json;

use crate::{
    db::replica,
    testing::{FreeBytes, GUEST_BYTES, LEAST_FREE_BYTES, World, upload_body},
};

fn is_low(error: &ArmError, free_bytes: u64) {
    assert_eq!((error.status, error.code.as_ref()), (507, "InsufficientStorage"), "{error}");
    assert!(error.message.contains(&format!("{free_bytes} bytes are free")), "{error}");
    assert!(error.message.contains(&format!("{LEAST_FREE_BYTES} are kept free")), "{error}");
}

#[tokio::test]
async fn a_full_region_takes_no_new_bytes_until_there_is_room() {
    let world = World::new().await;
    world.start();
    world.furnish().await;
    let import = world.upload(b"guest bytes", true).await;
    assert_eq!(world.ended(&import).await, (OperationStatus::Succeeded, None));
    world.put("disks/e", upload_body()).await.unwrap();
    let east = &world.regions["eastus"];
    let (control, ctx) = (&world.control, world.ctx());
    let grant = json!({ "access": "Write", "durationInSeconds": 3600 });
    control.begin_get_access(&ctx, &world.id("disks/e"), grant.clone()).await.unwrap();
    let row = crate::db::resource::find(&mut control.db().read().await.unwrap(), world.id("disks/e").key()).await;
    let upload = UploadId(row.unwrap().unwrap().uid);
    east.write_pages(upload, 0, Bytes::from(vec![1; 512])).await.unwrap();
    east.write_pages(upload, GUEST_BYTES, Bytes::copy_from_slice(&crate::testing::vhd_footer(GUEST_BYTES)))
        .await
        .unwrap();

    east.set_free(LEAST_FREE_BYTES - 1);
    let empty =
        json!({ "location": "eastus", "properties": { "diskSizeGB": 1, "creationData": { "createOption": "Empty" } } });
    is_low(&world.put("disks/f", upload_body()).await.unwrap_err(), LEAST_FREE_BYTES - 1);
    is_low(&world.put("disks/f", empty.clone()).await.unwrap_err(), LEAST_FREE_BYTES - 1);
    assert_eq!(world.get("disks/f").await.unwrap_err().status, 404);
    let refused = east.write_pages(upload, 512, Bytes::from(vec![1; 512])).await.unwrap_err();
    assert!(refused.is_passing() && refused.to_string().contains("999 bytes are free"), "{refused}");
    is_low(&control.end_get_access(&ctx, &world.id("disks/e")).await.unwrap_err(), LEAST_FREE_BYTES - 1);
    assert_eq!(world.get("disks/e").await.unwrap()["properties"]["diskState"], "ActiveUpload", "nothing has changed");
    // What moves no bytes goes on, and so does what frees some.
    world.publish(&["eastus"]).await.unwrap();
    let copy = json!({ "location": "eastus", "properties": {
        "creationData": { "createOption": "Copy", "sourceResourceId": world.id("disks/d").as_str() } } });
    world.put("disks/copy", copy).await.unwrap();
    east.read_pages(upload, 0..512).await.unwrap();
    east.clear_pages(upload, 512..1024).await.unwrap();
    control.store_collect(&ctx, "eastus").await.unwrap();
    world.delete("disks/copy").await;
    // Another region is not concerned.
    let west = json!({ "location": "westus", "properties": empty["properties"].clone() });
    world.put("disks/w", west).await.unwrap();

    east.set_free(u64::MAX);
    let ended = control.end_get_access(&ctx, &world.id("disks/e")).await.unwrap().operation;
    assert_eq!(world.ended(&ended).await, (OperationStatus::Succeeded, None));
    world.put("disks/f", empty).await.unwrap();
    world.control.shutdown().await;
}

#[tokio::test]
async fn a_copy_tries_again_until_there_is_room() {
    let world = World::new().await;
    world.start();
    world.furnish().await;
    let import = world.upload(b"guest bytes", true).await;
    world.ended(&import).await;
    world.regions["westus"].set_free(0);
    let publish = world.publish(&["eastus", "westus"]).await.unwrap();
    let west = async || {
        let version = world.id("galleries/g/images/i/versions/1.0.0");
        replica::find(&mut world.control.db().read().await.unwrap(), version.key(), "westus").await.unwrap().unwrap()
    };
    world
        .until("the copy has said what it lacks", || async {
            west().await.details.contains("0 bytes are free and 1000 are kept free").then_some(())
        })
        .await;
    assert_eq!(west().await.state, ReplicationState::Replicating);
    world.regions["westus"].set_free(u64::MAX);
    world
        .until("the copy has arrived", || async {
            world.clock.advance(1000);
            (west().await.state == ReplicationState::Completed).then_some(())
        })
        .await;
    assert_eq!(world.ended(&publish).await, (OperationStatus::Succeeded, None));
    world.control.shutdown().await;
}

#[tokio::test]
async fn a_full_catalogue_takes_nothing_new() {
    let world = World::new().await;
    world.furnish().await;
    let free = FreeBytes(Arc::new(AtomicU64::new(LEAST_FREE_BYTES)));
    let keep = MinFreeSpace { bytes: Some(LEAST_FREE_BYTES), percent: None };
    world.control.watch_catalogue_space(Watermark::new(keep, free.clone()));
    let gallery = || world.put("galleries/h", json!({ "location": "eastus" }));
    gallery().await.unwrap();
    free.0.store(7, std::sync::atomic::Ordering::SeqCst);
    world.put("galleries/h", json!({ "location": "eastus", "tags": { "a": "b" } })).await.expect("it is there");
    world.delete("galleries/h").await.expect("it was there");
    is_low(&gallery().await.unwrap_err(), 7);
    free.0.store(LEAST_FREE_BYTES, std::sync::atomic::Ordering::SeqCst);
    gallery().await.unwrap();
}
