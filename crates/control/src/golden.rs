//! Galleries of every released schema and format, kept in `tests/golden`: this program opens, migrates and reads them, and
//! restores their backups.
//!
//! `schema-N-store-M` is a gallery that the program with schema N and store format M (1 where it does not say) made: the
//! catalogue (packed), its master key, the regions' stores and a repository with one backup. To add the next one, when a migration is added or a format changes, run on the
//! program that is about to be released
//!
//! ```text
//! cargo nextest run --workspace --run-ignored only -E 'test(golden::make_the_next_one)'
//! ```
//!
//! and commit the new folder. A folder that is there is never changed: galleries like it are in use.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicI64},
};

use galerie_arm::OperationStatus;
use galerie_store::{
    backup::{Access, Repository},
    region_store::STORE_FORMAT_VERSION,
};

use crate::{
    BackupRequest,
    backup::restore_elsewhere,
    db::{self, disk_image},
    testing::{REGIONS, StillClock, World},
};

/// What the golden disks begin with.
const CONTENT: &[u8] = b"the bytes of a golden disk";
const VERSION: &str = "galleries/g/images/i/versions/1.0.0";
/// Regions that have the version.
const TARGETS: [&str; 2] = ["eastus", "westus"];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// That of this program.
fn newest() -> PathBuf {
    golden().join(format!("schema-{}-store-{STORE_FORMAT_VERSION}", db::schema_version()))
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn clock() -> Arc<StillClock> {
    Arc::new(StillClock(AtomicI64::new(1_800_000_000_000)))
}

/// Every image is there with its bytes, wherever it should be, and everything that is stored is sound.
async fn check(world: &World) {
    assert_eq!(world.state(VERSION).await, "Succeeded");
    for (below, regions) in [(VERSION, &TARGETS[..]), ("disks/d", &TARGETS[..1])] {
        let id = world.id(below);
        let images = disk_image::list_for(&mut world.control.db().read().await.unwrap(), id.key()).await.unwrap();
        let [image] = &images[..] else { panic!("{below} has {images:?}") };
        for region in regions {
            let reader = world.control.region(region).unwrap().open_image(world.caller.tenant, image.manifest).await;
            let read = reader.unwrap().read(0, CONTENT.len() as u64).await.unwrap();
            assert_eq!(read, CONTENT, "{below} in {region}");
        }
    }
    for region in REGIONS {
        let report = world.control.store_verify(&world.ctx(), region).await.unwrap();
        assert_eq!(report["sound"], true, "{region}: {report}");
    }
    // And it goes on: another version is made of what was there.
    world.start();
    let operation = world.publish_as("2.0.0", &REGIONS).await.unwrap();
    assert_eq!(world.ended(&operation).await.0, OperationStatus::Succeeded);
}

fn folders() -> Vec<PathBuf> {
    let folders: Vec<PathBuf> = fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let newest = newest();
    assert!(folders.contains(&newest), "there is no golden gallery of this program: {}", newest.display());
    folders
}

#[tokio::test]
async fn galleries_of_every_schema_are_opened_and_read() {
    if std::env::var_os(galerie_testdb::VARIABLE).is_some() {
        // They are SQLite's; their backups are restored into PostgreSQL below.
        return;
    }
    for folder in folders() {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        copy_folder(&folder.join("regions"), &directory.path().join("regions"));
        fs::copy(folder.join("master.key"), directory.path().join("master.key")).unwrap();
        let catalogue = zstd::decode_all(fs::File::open(folder.join("catalogue.db.zst")).unwrap()).unwrap();
        fs::write(directory.path().join("catalogue.db"), catalogue).unwrap();
        check(&World::in_directory(directory, clock()).await).await;
    }
}

#[tokio::test]
async fn backups_of_every_format_are_restored() {
    for folder in folders() {
        let place = tempfile::tempdir().unwrap();
        copy_folder(&folder.join("backup"), place.path());
        let repository = Repository::open(place.path(), Access::Read).await.unwrap();
        let id = repository.backups().await.unwrap().pop().unwrap();
        let manifest = repository.manifest(&id).await.unwrap();
        drop(repository);
        check(&restore_elsewhere(place.path(), &manifest, &folder.join("master.key"), clock()).await).await;
    }
}

#[tokio::test]
#[ignore = "makes files in the source tree: when the schema or a format changes"]
async fn make_the_next_one() {
    let target = newest();
    assert!(!target.exists(), "{} is there, and is never changed", target.display());
    let world = World::new().await;
    world.furnish().await;
    world.start();
    // Much of the same, so that there is something to compress.
    let operation = world.upload(&CONTENT.repeat(150), true).await;
    assert_eq!(world.ended(&operation).await.0, OperationStatus::Succeeded);
    let operation = world.publish(&TARGETS).await.unwrap();
    assert_eq!(world.ended(&operation).await.0, OperationStatus::Succeeded);
    let repository = Repository::open_or_create(&target.join("backup"), world.control.catalogue_id()).await.unwrap();
    world.control.back_up(&repository, BackupRequest::default()).await.unwrap();
    drop(repository);
    fs::remove_file(target.join("backup/.lock")).unwrap();
    world.control.shutdown().await;
    let made = world.directory.path();
    for region in REGIONS {
        copy_folder(&made.join("regions").join(region), &target.join("regions").join(region));
    }
    fs::copy(made.join("master.key"), target.join("master.key")).unwrap();
    let catalogue = fs::read(made.join("catalogue.db")).unwrap();
    fs::write(target.join("catalogue.db.zst"), zstd::encode_all(catalogue.as_slice(), 19).unwrap()).unwrap();
}
