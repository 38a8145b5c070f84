//! Backups of a catalogue with its regions, and what a restore makes of them.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use galerie_arm::OperationStatus;
use galerie_region::Region;
use galerie_store::{
    Identity,
    backend::LocalBackend,
    backup::{BackupManifest, Repository, restore_domain},
    region_store::prepare_restored,
};
use serde_json::json;
use uuid::Uuid;

use super::{BackupRequest, CatalogueRestore, restore_catalogue};
use crate::{
    Error, StoreIdentity,
    reconcile::Ledger,
    testing::{StillClock, World, empty_database},
};

pub(crate) async fn back_up(world: &World, folder: &Path) -> BackupManifest {
    let repository = Repository::open_or_create(folder, world.control.catalogue_id()).await.unwrap();
    world.control.back_up(&repository, BackupRequest::default()).await.unwrap()
}

fn restored_as(manifest: &BackupManifest) -> BTreeMap<String, StoreIdentity> {
    let of = |region: &galerie_store::backup::RegionBackup| {
        (region.name.clone(), StoreIdentity { store_id: Uuid::new_v4(), epoch: region.epoch + 1 })
    };
    manifest.regions.iter().map(of).collect()
}

/// The world of a backup of another world, in a directory of its own.
pub(crate) async fn restore(world: &World, folder: &Path, manifest: &BackupManifest) -> World {
    let master_key = world.directory.path().join("master.key");
    restore_elsewhere(folder, manifest, &master_key, world.clock.clone()).await
}

/// As `restore`, of a gallery that is not here.
pub(crate) async fn restore_elsewhere(
    folder: &Path,
    manifest: &BackupManifest,
    master_key: &Path,
    clock: Arc<StillClock>,
) -> World {
    let repository = Repository::open(folder, galerie_store::backup::Access::Read).await.unwrap();
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let stores = restored_as(manifest);
    for region in &manifest.regions {
        let backend = LocalBackend::open(directory.path().join("regions").join(&region.name)).await.unwrap();
        let StoreIdentity { store_id, epoch } = stores[&region.name];
        let catalogue_id = manifest.catalogue.catalogue_id;
        let identity = Identity { catalogue_id, region: region.name.clone(), expected_store_id: None, epoch };
        prepare_restored(&backend, &identity, store_id).await.unwrap();
        for tenant in &region.tenants {
            assert!(restore_domain(&repository, &region.name, tenant, &backend).await.unwrap().is_whole());
        }
    }
    let copy = repository.catalogue(&manifest.id, &manifest.catalogue).await.unwrap();
    let tenants = |region: &galerie_store::backup::RegionBackup| {
        let waits = |tenant: &galerie_store::backup::TenantBackup| {
            (region.name.clone(), tenant.tenant.as_str().parse::<Uuid>().unwrap())
        };
        region.tenants.iter().map(waits).collect::<Vec<_>>()
    };
    let waiting = manifest.regions.iter().flat_map(tenants).collect();
    let catalogue = CatalogueRestore {
        backup: manifest.id.to_string(),
        restore_id: Uuid::new_v4(),
        copy: &copy,
        stores,
        waiting,
        discard_keys: false,
        now_ms: 1,
    };
    let database = empty_database(directory.path()).await;
    assert_eq!(restore_catalogue(&database, &catalogue).await.unwrap(), manifest.catalogue.rows);
    // Interrupted after that, it goes on; another one does not.
    assert_eq!(restore_catalogue(&database, &catalogue).await.unwrap(), 0);
    let other = CatalogueRestore { restore_id: Uuid::new_v4(), ..catalogue };
    assert!(matches!(restore_catalogue(&database, &other).await, Err(Error::CatalogueExists)));
    std::fs::copy(master_key, directory.path().join("master.key")).unwrap();
    World::in_directory(directory, clock).await
}

#[tokio::test]
async fn a_restored_catalogue_is_the_one_that_was_backed_up() {
    let (world, folder) = (World::new().await, tempfile::tempdir().unwrap());
    world.furnish().await;
    world.start();
    let operation = world.upload(b"content", true).await;
    assert_eq!(world.ended(&operation).await.0, OperationStatus::Succeeded);
    let operation = world.publish(&["eastus", "westus"]).await.unwrap();
    assert_eq!(world.ended(&operation).await.0, OperationStatus::Succeeded);
    let below = "galleries/g/images/i/versions/1.0.0";
    let before = (world.get(below).await.unwrap(), world.get("disks/d").await.unwrap());
    let manifest = back_up(&world, folder.path()).await;
    assert_eq!(manifest.missing_blobs().count(), 0);
    let after = restore(&world, folder.path(), &manifest).await;
    assert_eq!((after.get(below).await.unwrap(), after.get("disks/d").await.unwrap()), before);
    assert_eq!(after.control.catalogue_id(), world.control.catalogue_id());
    assert_eq!(after.caller, world.caller);

    // Nothing is collected before it was verified.
    after.delete(below).await;
    let tenant = after.caller.tenant;
    let refused = after.control.store_collect(&after.ctx(), "westus").await.unwrap_err();
    assert!(refused.status == 409 && refused.message.contains("galerie store verify"), "{refused}");
    crate::reconcile::collect_once(&after.control).await;
    assert_eq!(after.regions["westus"].collections.load(std::sync::atomic::Ordering::SeqCst), 0);
    let stats = after.control.store_stats(&after.ctx(), "westus").await.unwrap();
    assert_eq!(stats["collection"], "waits for a verification");
    let report = after.control.store_verify(&after.ctx(), "westus").await.unwrap();
    assert_eq!(report["sound"], true, "{report}");
    assert!(!after.control.is_collection_waiting("westus", tenant).await.unwrap());
    assert!(after.control.is_collection_waiting("eastus", tenant).await.unwrap());
    after.control.store_collect(&after.ctx(), "westus").await.unwrap();
    assert_eq!(after.control.store_stats(&after.ctx(), "westus").await.unwrap()["collection"], "hourly");
}

/// What a region lost is named after a restore, and heals from another one; collection waits until it has.
#[tokio::test]
async fn a_restored_region_that_lacks_something_waits_until_it_is_whole() {
    let (world, folder) = (World::new().await, tempfile::tempdir().unwrap());
    world.furnish().await;
    world.start();
    let operation = world.upload(b"content", true).await;
    world.ended(&operation).await;
    let operation = world.publish(&["eastus", "westus"]).await.unwrap();
    world.ended(&operation).await;
    let mut manifest = back_up(&world, folder.path()).await;
    // As if the repository had lost the packs of one region.
    for region in manifest.regions.iter_mut().filter(|region| region.name == "westus") {
        region.tenants.iter_mut().for_each(|tenant| tenant.packs.clear());
    }
    let after = restore(&world, folder.path(), &manifest).await;
    let tenant = after.caller.tenant;
    let report = after.control.store_verify(&after.ctx(), "westus").await.unwrap();
    assert_eq!(report["hurtResources"][0]["healing"], true, "{report}");
    assert!(after.control.is_collection_waiting("westus", tenant).await.unwrap());
    after.start();
    after
        .until("the replica is whole", || async {
            let report = after.control.store_verify(&after.ctx(), "westus").await.unwrap();
            let waits = after.control.is_collection_waiting("westus", tenant).await.unwrap();
            (report["sound"] == true && !waits).then_some(())
        })
        .await;
}

/// Regression: a region without images that the process did not serve which made the backup, or that was left out of the
/// configuration, was remembered with its old store, and could never be served again.
#[tokio::test]
async fn a_region_that_had_nothing_and_was_not_restored_gets_a_new_store() {
    let (world, folder) = (World::new().await, tempfile::tempdir().unwrap());
    world.furnish().await;
    let mut manifest = back_up(&world, folder.path()).await;
    manifest.regions.retain(|region| region.name != "westeurope");
    let after = restore(&world, folder.path(), &manifest).await;
    assert_ne!(after.regions["westeurope"].store_id(), world.regions["westeurope"].store_id());
    after.start();
    let operation = after.upload(b"content", true).await;
    after.ended(&operation).await;
    let operation = after.publish(&["eastus", "westeurope"]).await.unwrap();
    assert_eq!(after.ended(&operation).await.0, OperationStatus::Succeeded);
}

#[tokio::test]
async fn what_was_under_way_ends_in_a_restored_gallery() {
    let (world, folder) = (World::new().await, tempfile::tempdir().unwrap());
    world.furnish().await;
    // Accepted and not begun: no worker runs.
    let operation = world.upload(b"content", true).await;
    world
        .put(
            "disks/e",
            json!({ "location": "eastus", "properties": { "osType": "Linux", "hyperVGeneration": "V2",
        "creationData": { "createOption": "Upload", "uploadSizeBytes": 20_972_032 } } }),
        )
        .await
        .unwrap();
    let grant = json!({ "access": "Write", "durationInSeconds": 3600 });
    world.control.begin_get_access(&world.ctx(), &world.id("disks/e"), grant.clone()).await.unwrap();
    let manifest = back_up(&world, folder.path()).await;
    let after = restore(&world, folder.path(), &manifest).await;
    after.start();
    let (status, error) = after.ended(&operation).await;
    assert_eq!(status, OperationStatus::Failed, "an image was made of pages that are not there: {error:?}");
    for disk in ["disks/d", "disks/e"] {
        let document = after.get(disk).await.unwrap();
        assert_eq!(document["properties"]["diskState"], "ReadyToUpload", "{document}");
        // Whoever uploads begins again.
        after.control.begin_get_access(&after.ctx(), &after.id(disk), grant.clone()).await.unwrap();
    }
}

#[tokio::test]
async fn there_is_one_backup_at_a_time_and_a_dead_ones_hold_runs_out() {
    let (world, folder) = (World::new().await, tempfile::tempdir().unwrap());
    let hold = world.control.hold_collection().await.unwrap();
    let repository = Repository::open_or_create(folder.path(), world.control.catalogue_id()).await.unwrap();
    let refused = world.control.back_up(&repository, BackupRequest::default()).await.unwrap_err();
    assert!(matches!(refused, Error::BackupUnderWay), "{refused}");
    assert!(repository.backups().await.unwrap().is_empty());
    // Of a process that died nobody renews it.
    world.clock.advance(60_001);
    world.control.back_up(&repository, BackupRequest::default()).await.unwrap();
    drop(hold);
    // Nor does it hold anything up when the next process knows itself alone.
    let _held = world.control.hold_collection().await.unwrap();
    world.control.take_over().await.unwrap();
    world.control.back_up(&repository, BackupRequest::default()).await.unwrap();
    assert_eq!(repository.backups().await.unwrap().len(), 2);
}

/// A pack that was condemned before the backup, and that only its snapshot still needs, stays until it is copied.
#[tokio::test]
async fn while_collection_is_held_nothing_condemned_goes() {
    use galerie_store::{CollectorLedger, TenantId};
    let world = World::new().await;
    world.furnish().await;
    world.start();
    let operation = world.upload(b"content", true).await;
    world.ended(&operation).await;
    let tenant = world.caller.tenant;
    let ledger = Ledger::new(&world.control, "eastus");
    let pack: galerie_store::PackId = {
        let folder = world.directory.path().join(format!("regions/eastus/tenants/{tenant}/packs"));
        let entry = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap();
        entry.file_name().to_str().unwrap().parse().unwrap()
    };
    ledger.condemn(&TenantId::from(tenant), &[pack]).await.unwrap();
    let hold = world.control.hold_collection().await.unwrap();
    world.delete("disks/d").await;
    let collect = async || world.control.store_collect_alone(&world.ctx(), "eastus").await.unwrap();
    let report = collect().await;
    assert_eq!((&report["deletedPacks"], &report["waitingPacks"]), (&json!(0), &json!(1)), "{report}");
    hold.release(&world.control).await.unwrap();
    assert_eq!(collect().await["deletedPacks"], 1);
}

/// A collector that had begun before the backup deletes what the snapshot still names: then the snapshot is taken again.
#[tokio::test]
async fn an_image_that_goes_while_it_is_backed_up_is_in_no_backup() {
    let (world, folder) = (World::new().await, tempfile::tempdir().unwrap());
    world.furnish().await;
    world.start();
    let operation = world.upload(b"content", true).await;
    world.ended(&operation).await;
    let tenant = world.caller.tenant;
    let repository = Repository::open_or_create(folder.path(), world.control.catalogue_id()).await.unwrap();
    // Between the snapshot and the copy, as the region sees it.
    let packs = world.directory.path().join(format!("regions/eastus/tenants/{tenant}/packs"));
    let (control, ctx, id) = (world.control.clone(), world.ctx(), world.id("disks/d"));
    world.regions["eastus"].before_backup(Box::new(move || {
        Box::pin(async move {
            control.delete(&ctx, &id).await.unwrap();
            for entry in std::fs::read_dir(packs).unwrap() {
                std::fs::remove_file(entry.unwrap().path()).unwrap();
            }
        })
    }));
    let manifest = world.control.back_up(&repository, BackupRequest::default()).await.unwrap();
    assert_eq!(manifest.missing_blobs().count(), 0, "{manifest:?}");
    drop(repository);
    let after = restore(&world, folder.path(), &manifest).await;
    assert!(after.get("disks/d").await.is_err());
}

/// What is still an image and has gone from its store is damage: the backup is made, and says so.
#[tokio::test]
async fn a_damaged_gallery_is_backed_up_all_the_same() {
    let (world, folder) = (World::new().await, tempfile::tempdir().unwrap());
    world.furnish().await;
    world.start();
    let operation = world.upload(b"content", true).await;
    world.ended(&operation).await;
    let packs = world.directory.path().join(format!("regions/eastus/tenants/{}/packs", world.caller.tenant));
    std::fs::remove_dir_all(packs).unwrap();
    let report = world.control.backup_create(&world.ctx(), folder.path(), BackupRequest::default()).await.unwrap();
    assert_ne!(report["missingBlobCount"], 0, "{report}");
    assert_eq!(report["missingBlobs"][0]["region"], "eastus");
}

#[tokio::test]
async fn only_the_first_tenants_administrators_make_backups_and_only_elsewhere() {
    let (world, folder) = (World::new().await, tempfile::tempdir().unwrap());
    let create = async |ctx, path: &Path| world.control.backup_create(&ctx, path, BackupRequest::default()).await;
    let other = world.control.add_tenant("Other").await.unwrap();
    let mut ctx = world.ctx();
    ctx.caller.tenant = other.tenant;
    assert_eq!(create(ctx, folder.path()).await.unwrap_err().status, 403);
    let mut ctx = world.ctx();
    ctx.caller.administrator = false;
    assert_eq!(create(ctx, folder.path()).await.unwrap_err().status, 403);
    for inside in [world.directory.path().to_owned(), world.directory.path().join("new/backups"), "relative".into()] {
        let refused = create(world.ctx(), &inside).await.unwrap_err();
        assert_eq!(refused.status, 400, "{refused}");
    }
    std::os::unix::fs::symlink(world.directory.path(), folder.path().join("link")).unwrap();
    assert_eq!(create(world.ctx(), &folder.path().join("link/x")).await.unwrap_err().status, 400);
    create(world.ctx(), &folder.path().join("here")).await.unwrap();
}

#[tokio::test]
async fn a_backup_of_a_later_schema_is_refused_with_both_versions() {
    let lines = b"{\"catalogue\":1,\"schema\":9999}\n{\"rows\":0}\n";
    let copy = zstd::encode_all(lines.as_slice(), 1).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let restore = CatalogueRestore {
        backup: "b".to_owned(),
        restore_id: Uuid::nil(),
        copy: &copy,
        stores: BTreeMap::new(),
        waiting: Vec::new(),
        discard_keys: false,
        now_ms: 0,
    };
    let refused = restore_catalogue(&empty_database(directory.path()).await, &restore).await.unwrap_err().to_string();
    assert!(refused.contains("in backup b") && refused.contains("9999"), "{refused}");
}
