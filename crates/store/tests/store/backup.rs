//! Backups of a domain: what they copy, what they survive, and what comes back.

use std::{collections::HashSet, path::PathBuf, sync::Arc};

use bytes::Bytes;
use galerie_store::{
    BlobId, Compression, Error, ManifestId, PackId,
    backend::{Backend, MemoryBackend},
    backup::{
        Access, BackupManifest, CatalogueCopy, DomainBackup, RegionBackup, Repository, TenantBackup, back_up_domain,
        restore_domain,
    },
    region_store::prepare_restored,
    verify,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{MIB, TestStore, identity, noise, tenant, words};

/// A repository, and the folder that it is in.
struct TestRepository {
    folder: tempfile::TempDir,
    repository: Repository,
}

impl TestRepository {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::open_or_create(folder.path(), Uuid::from_u128(1)).await.unwrap();
        Self { folder, repository }
    }

    async fn copy(&self, store: &TestStore, roots: &[ManifestId]) -> DomainBackup {
        back_up_domain(&store.domain, "eastus", roots, &self.repository, &CancellationToken::new()).await.unwrap()
    }

    /// Makes a backup of what was copied.
    async fn commit(&self, id: &str, tenant: TenantBackup) -> BackupManifest {
        let catalogue = Bytes::from(format!("rows of {id}"));
        let manifest = BackupManifest {
            id: id.parse().unwrap(),
            created_ms: 0,
            program_version: "test".to_owned(),
            catalogue: CatalogueCopy {
                catalogue_id: Uuid::from_u128(1),
                schema_version: 1,
                rows: 1,
                size_bytes: catalogue.len() as u64,
                checksum: blake3::hash(&catalogue),
            },
            sealed_master_key: None,
            regions: vec![RegionBackup {
                name: "eastus".to_owned(),
                store_id: Uuid::nil(),
                epoch: 1,
                tenants: vec![tenant],
            }],
            copied_packs: 0,
            copied_bytes: 0,
        };
        self.repository.put_catalogue(&manifest.id, catalogue).await.unwrap();
        self.repository.commit(&manifest).await.unwrap();
        manifest
    }

    fn pack(&self, pack: PackId) -> PathBuf {
        self.folder.path().join(format!("packs/eastus/{}/{pack}", tenant()))
    }

    fn packs(&self) -> HashSet<String> {
        let folder = self.folder.path().join(format!("packs/eastus/{}", tenant()));
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// A store that was restored into memory.
    async fn restore(&self, backup: &TenantBackup) -> (TestStore, galerie_store::backup::RestoredDomain) {
        let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
        prepare_restored(&*backend, &identity(), Uuid::from_u128(9)).await.unwrap();
        let restored = restore_domain(&self.repository, "eastus", backup, &*backend).await.unwrap();
        (TestStore::on(backend).await, restored)
    }
}

/// Changes a byte of a file in the middle of its blobs.
fn damage(file: &std::path::Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

#[tokio::test]
async fn a_store_of_lz4_comes_back() {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
    let (store, backups) = (TestStore::compressed_on(backend, Compression::Lz4).await, TestRepository::new().await);
    let guest = words(1, 2 * MIB);
    let image = store.import(&guest).await.unwrap();
    let copied = backups.copy(&store, &[image]).await;
    let (restored, report) = backups.restore(&copied.backup).await;
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(restored.read(image).await.unwrap(), guest);
    // As it was: it can be opened for LZ4, too.
    let again = TestStore::compressed_on(Arc::clone(&restored.backend), Compression::Lz4).await;
    assert_eq!(again.import(&guest).await.unwrap(), image);
}

#[tokio::test]
async fn only_what_images_need_is_copied_and_only_once() {
    let (store, backups) = (TestStore::memory().await, TestRepository::new().await);
    let first = noise(1, 5 * MIB);
    let kept = store.import(&first).await.unwrap();
    let before: HashSet<PackId> = store.domain.packs().iter().map(|pack| pack.pack).collect();
    store.import(&noise(2, 3 * MIB)).await.unwrap();
    let copied = backups.copy(&store, &[kept]).await;
    assert_eq!(copied.backup.packs.iter().map(|pack| pack.pack).collect::<HashSet<_>>(), before);
    assert_eq!(copied.copied_packs, before.len() as u64);
    assert_eq!(copied.copied_bytes, copied.backup.packs.iter().map(|pack| pack.size_bytes).sum::<u64>());
    assert!(copied.copied_bytes > 5 * MIB as u64 && copied.backup.missing.is_empty());
    // Again: nothing. With an image more: that image's packs.
    let again = backups.copy(&store, &[kept]).await;
    assert_eq!((again.copied_packs, again.copied_bytes, again.backup), (0, 0, copied.backup.clone()));
    let third = noise(3, 2 * MIB);
    let new = store.import(&third).await.unwrap();
    let more = backups.copy(&store.elsewhere().await, &[kept, new]).await;
    assert!(more.copied_packs >= 2 && more.copied_bytes < 3 * MIB as u64, "{more:?}");

    let (restored, report) = backups.restore(&more.backup).await;
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(restored.read(kept).await.unwrap(), first);
    assert_eq!(restored.read(new).await.unwrap(), third);
    assert_eq!(restored.store.store_id(), Uuid::from_u128(9));
    let verified = verify(&restored.domain, &Default::default(), &CancellationToken::new()).await.unwrap();
    assert!(verified.is_sound(), "{verified:?}");
}

#[tokio::test]
async fn a_pack_that_was_cut_or_changed_in_the_repository_is_copied_anew() {
    let (store, backups) = (TestStore::memory().await, TestRepository::new().await);
    let image = store.import(&noise(1, 3 * MIB)).await.unwrap();
    let first = backups.copy(&store, &[image]).await.backup;
    let manifest = backups.commit("a", first.clone()).await;
    let [cut, changed] = [first.packs[0].pack, first.packs[1].pack];
    let whole = std::fs::read(backups.pack(cut)).unwrap();
    std::fs::write(backups.pack(cut), &whole[..whole.len() - 1]).unwrap();
    damage(&backups.pack(changed));
    // Its size and table tell of the one; only reading it all tells of the other.
    let again = backups.copy(&store, &[image]).await;
    assert_eq!(again.copied_packs, 1);
    let report = backups.repository.verify().await.unwrap();
    let wrong: Vec<_> = report.wrong_packs.iter().map(|wrong| (wrong.pack, wrong.backups.clone())).collect();
    assert_eq!(wrong, [(changed, vec![manifest.id])]);
    assert_eq!(backups.copy(&store, &[image]).await.copied_packs, 1);
    let report = backups.repository.verify().await.unwrap();
    assert!(report.is_sound() && report.packs == first.packs.len() as u64, "{report:?}");
}

#[tokio::test]
async fn damage_in_the_gallery_is_named_and_another_copy_serves() {
    let (store, backups) = (TestStore::memory().await, TestRepository::new().await);
    let guest = noise(1, MIB / 2);
    let image = store.import(&guest).await.unwrap();
    let first = store.domain.packs()[0].pack;
    // A second copy of everything, in another pack.
    store.import_with(&guest, [first].into_iter().collect()).await.unwrap();
    damage_object(&store, first).await;
    let copied = backups.copy(&store.elsewhere().await, &[image]).await;
    assert!(copied.backup.missing.is_empty(), "{copied:?}");
    let (restored, report) = backups.restore(&copied.backup).await;
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(restored.read(image).await.unwrap(), guest);
}

#[tokio::test]
async fn what_is_damaged_everywhere_is_missing_and_the_rest_is_kept() {
    let (store, backups) = (TestStore::memory().await, TestRepository::new().await);
    let (hurt, whole) = (noise(1, MIB / 2), noise(2, MIB / 2));
    let image = store.import(&hurt).await.unwrap();
    let pack = store.domain.packs()[0].pack;
    let other = store.import(&whole).await.unwrap();
    let blob = damage_object(&store, pack).await;
    let copied = backups.copy(&store.elsewhere().await, &[image, other]).await.backup;
    let missing: Vec<_> = copied.missing.iter().map(|missing| (missing.manifest, missing.blob)).collect();
    assert_eq!(missing, [(image, blob)]);
    assert_eq!(
        copied.quarantined.iter().map(|damaged| (damaged.pack, damaged.blob)).collect::<Vec<_>>(),
        [(pack, blob)]
    );
    // A repository is sound when it has what the gallery had.
    backups.commit("a", copied.clone()).await;
    assert!(backups.repository.verify().await.unwrap().is_sound());
    let (restored, report) = backups.restore(&copied).await;
    assert!(report.is_whole(), "what was known is no news: {report:?}");
    assert_eq!(restored.read(other).await.unwrap(), whole);
    assert!(restored.read(image).await.is_err());
    // It is not deduplicated against: equal bytes heal it.
    assert_eq!(restored.import(&hurt).await.unwrap(), image);
    assert_eq!(restored.read(image).await.unwrap(), hurt);
}

/// Changes a byte of a chunk in a store; the chunk.
async fn damage_object(store: &TestStore, pack: PackId) -> BlobId {
    let key = pack.key(&tenant());
    let mut bytes = store.backend.get(&key, u64::MAX).await.unwrap().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let table = galerie_store::pack::split_pack(&bytes.clone().into(), pack).unwrap();
    store.backend.delete(&key).await.unwrap();
    store.backend.put(&key, vec![bytes.into()]).await.unwrap();
    let contains = |entry: &&galerie_store::pack::PackEntry| {
        (entry.offset_bytes..entry.offset_bytes + entry.stored_bytes).contains(&(middle as u32))
    };
    table.entries.iter().find(contains).unwrap().id
}

#[tokio::test]
async fn what_a_repository_lost_is_told_and_the_rest_comes_back() {
    let (store, backups) = (TestStore::memory().await, TestRepository::new().await);
    let image = store.import(&noise(1, 4 * MIB)).await.unwrap();
    let backup = backups.copy(&store, &[image]).await.backup;
    let [gone, changed] = [backup.packs[0].pack, backup.packs[1].pack];
    std::fs::remove_file(backups.pack(gone)).unwrap();
    damage(&backups.pack(changed));
    let (restored, report) = backups.restore(&backup).await;
    assert_eq!(report.lacking_packs.iter().map(|(pack, _)| *pack).collect::<Vec<_>>(), [gone]);
    assert_eq!(report.damaged_blobs.iter().map(|(pack, _)| *pack).collect::<Vec<_>>(), [changed]);
    assert_eq!(report.packs, backup.packs.len() as u64 - 1);
    assert_eq!(restored.domain.stats().quarantined, 1);
    assert!(restored.read(image).await.is_err());
}

#[tokio::test]
async fn backups_share_packs_and_deleting_one_takes_only_its_own() {
    let (store, backups) = (TestStore::memory().await, TestRepository::new().await);
    let old = store.import(&noise(1, 2 * MIB)).await.unwrap();
    let shared = store.import(&noise(2, 2 * MIB)).await.unwrap();
    let first = backups.copy(&store, &[old, shared]).await.backup;
    let first = backups.commit("a", first).await;
    let new = store.import(&noise(3, 2 * MIB)).await.unwrap();
    let second = backups.copy(&store, &[shared, new]).await.backup;
    let second = backups.commit("b", second).await;
    // What a backup that was killed left: packs without a manifest, and a catalogue.
    let unfinished = store.import(&noise(4, 2 * MIB)).await.unwrap();
    backups.copy(&store, &[unfinished]).await;
    backups.repository.put_catalogue(&"c".parse().unwrap(), Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(backups.repository.backups().await.unwrap(), [first.id.clone(), second.id.clone()]);
    let needed =
        |manifest: &BackupManifest| manifest.packs().map(|(_, _, pack)| pack.pack.to_string()).collect::<HashSet<_>>();
    let all = &needed(&first) | &needed(&second);
    assert!(backups.packs().is_superset(&all) && backups.packs().len() > all.len());
    assert!(backups.repository.verify().await.unwrap().unneeded_bytes > 2 * MIB as u64);

    let swept = backups.repository.sweep().await.unwrap();
    assert!(swept.unfinished == 1 && swept.packs > 0, "{swept:?}");
    assert_eq!(backups.packs(), all);
    backups.repository.delete(&first.id).await.unwrap();
    backups.repository.sweep().await.unwrap();
    assert_eq!(backups.packs(), needed(&second));
    let (restored, report) = backups.restore(&second.regions[0].tenants[0]).await;
    assert!(report.is_whole());
    assert_eq!(restored.read(shared).await.unwrap(), noise(2, 2 * MIB));
    // A manifest that cannot be read names nobody knows what: nothing is removed.
    let file = backups.folder.path().join("backups/b/manifest.json");
    damage(&file);
    assert!(matches!(backups.repository.sweep().await, Err(Error::Corrupt(_))));
    assert_eq!(backups.packs(), needed(&second));
}

#[tokio::test]
async fn a_restore_that_was_interrupted_brings_only_the_rest() {
    let (store, backups) = (TestStore::memory().await, TestRepository::new().await);
    let guest = noise(1, 4 * MIB);
    let image = store.import(&guest).await.unwrap();
    let backup = backups.copy(&store, &[image]).await.backup;
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
    prepare_restored(&*backend, &identity(), Uuid::from_u128(9)).await.unwrap();
    let half = TenantBackup { packs: backup.packs[..2].to_vec(), ..backup.clone() };
    restore_domain(&backups.repository, "eastus", &half, &*backend).await.unwrap();
    // The rest comes even if what is there already is gone from the repository.
    for pack in &half.packs {
        std::fs::remove_file(backups.pack(pack.pack)).unwrap();
    }
    prepare_restored(&*backend, &identity(), Uuid::from_u128(9)).await.unwrap();
    let report = restore_domain(&backups.repository, "eastus", &backup, &*backend).await.unwrap();
    assert!(report.is_whole(), "{report:?}");
    // Another restore does not take it over.
    let other = prepare_restored(&*backend, &identity(), Uuid::from_u128(8)).await;
    assert!(matches!(other, Err(Error::Foreign(_))), "{other:?}");
    assert_eq!(TestStore::on(backend).await.read(image).await.unwrap(), guest);
}

#[tokio::test]
async fn a_repository_can_be_read_while_nobody_changes_it() {
    let backups = TestRepository::new().await;
    let path = backups.folder.path();
    assert!(matches!(Repository::open(path, Access::Change).await, Err(Error::Unavailable(_))));
    drop(backups.repository);
    let reader = Repository::open(path, Access::Read).await.unwrap();
    assert!(matches!(Repository::open(path, Access::Change).await, Err(Error::Unavailable(_))));
    drop(reader);
    Repository::open(path, Access::Change).await.unwrap();
}
