//! Two regions on real directories: upload, import, copy, read, and what each must refuse.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use galerie_disk::{
    BlockDevice,
    export::{ExportFormat, ExportLayout},
};
use galerie_region::{ChunkUpload, Compression, Error, LocalRegion, LocalRegionOptions, Region, UploadId};
use galerie_store::{
    BlobId, BlobKind, BlobSink, ChunkId, CondemnedPacks, GuestBytes, ImportOptions, ManifestId, MemoryGuest, PackId,
    StoredBlob, import::import_blocking, manifest::Manifest, segment::Segment,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{MIB, TENANT, options};

async fn region(root: &Path, name: &str) -> LocalRegion {
    LocalRegion::open(options(root, name)).await.expect("open the region")
}

/// Bytes that neither compress nor repeat, with holes.
fn disk(mebibytes: usize, seed: u8) -> Bytes {
    let mut bytes = vec![0; mebibytes * MIB];
    let mut words = blake3::Hasher::new().update(&[seed]).finalize_xof();
    for mebibyte in (0..mebibytes).step_by(2) {
        words.fill(&mut bytes[mebibyte * MIB..(mebibyte + 1) * MIB]);
    }
    bytes.into()
}

async fn vhd(disk: &Bytes) -> Bytes {
    let manifest = ManifestId(BlobId::of(disk));
    let layout = ExportLayout::new(ExportFormat::FixedVhd, disk.len() as u64, &manifest).expect("a layout");
    let device: Arc<dyn BlockDevice> =
        Arc::new(galerie_disk::GuestDevice::new(Arc::new(MemoryGuest(disk.clone())) as Arc<dyn GuestBytes>));
    let parts: Vec<Bytes> =
        layout.stream(&*device, 0..layout.length_bytes()).expect("a stream").try_collect().await.expect("bytes");
    parts.concat().into()
}

async fn upload(region: &LocalRegion, file: &Bytes) -> UploadId {
    let upload = UploadId(Uuid::new_v4());
    region.create_upload(upload, file.len() as u64).await.expect("create");
    for (index, pages) in file.chunks(4 * MIB).enumerate() {
        let written = region.write_pages(upload, (index * 4 * MIB) as u64, file.slice_ref(pages)).await;
        written.expect("write pages");
    }
    upload
}

async fn read_all(region: &LocalRegion, manifest: ManifestId) -> Bytes {
    let image = region.open_image(TENANT, manifest).await.expect("open");
    let size_bytes = image.virtual_size_bytes();
    image.read(0, size_bytes).await.expect("read")
}

/// Regression: a page that the disk damaged between its upload and its import became the image's truth.
#[tokio::test]
async fn a_staged_page_that_rots_is_refused_until_it_is_sent_again() {
    let root = tempfile::tempdir().expect("a directory");
    let region = region(root.path(), "eastus").await;
    let disk = disk(5, 3);
    let file = vhd(&disk).await;
    let upload = upload(&region, &file).await;
    let at = 2 * MIB + 12_345;
    let staged = root.path().join(format!("eastus/staging/{upload}.page-blob"));
    let mut bytes = std::fs::read(&staged).expect("the pages");
    bytes[at] ^= 1;
    std::fs::write(&staged, bytes).expect("as a disk that rots");
    let import = async || {
        let (progress, cancel) = (Arc::default(), CancellationToken::new());
        region.import_upload(TENANT, upload, &CondemnedPacks::none(), progress, cancel).await
    };
    for _ in 0..2 {
        let refused = import().await.expect_err("a damaged page");
        assert!(matches!(refused, Error::Refused(_)), "{refused:?}");
        assert!(refused.to_string().contains(&format!("byte {}", at / 512 * 512)), "{refused}");
    }
    let page = at / 512 * 512;
    region.write_pages(upload, page as u64, file.slice(page..page + 512)).await.expect("send it again");
    let imported = import().await.expect("import");
    assert_eq!(read_all(&region, imported.manifest).await, disk);
}

#[tokio::test]
async fn an_upload_reads_back_equal_in_every_region() {
    let root = tempfile::tempdir().expect("a directory");
    let (east, west) = (region(root.path(), "eastus").await, region(root.path(), "westus").await);
    let disk = disk(9, 1);
    let upload = upload(&east, &vhd(&disk).await).await;
    let cancel = CancellationToken::new();

    let imported = east
        .import_upload(TENANT, upload, &CondemnedPacks::none(), Arc::default(), cancel.clone())
        .await
        .expect("import");
    assert_eq!(imported.virtual_size_bytes, disk.len() as u64);
    assert_eq!(read_all(&east, imported.manifest).await, disk);

    let source = east.blobs(TENANT).await.expect("blobs");
    let progress = Arc::default();
    west.replicate(TENANT, imported.manifest, source, &CondemnedPacks::none(), Arc::clone(&progress), cancel)
        .await
        .expect("replicate");
    assert_eq!(read_all(&west, imported.manifest).await, disk);
    let copied = progress.copied_bytes.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(copied, progress.total_bytes.load(std::sync::atomic::Ordering::Relaxed));
    assert_eq!(west.stats(TENANT).await.expect("stats").blobs, east.stats(TENANT).await.expect("stats").blobs);
}

#[tokio::test]
async fn an_upload_without_its_footer_is_refused_and_can_be_mended() {
    let root = tempfile::tempdir().expect("a directory");
    let east = region(root.path(), "eastus").await;
    let file = vhd(&disk(2, 2)).await;
    let mut headless = file.to_vec();
    let footer_at = headless.len() - 512;
    headless[footer_at..].fill(0);
    let upload = upload(&east, &headless.into()).await;
    let import = || {
        let (condemned, cancel) = (CondemnedPacks::none(), CancellationToken::new());
        let east = &east;
        async move { east.import_upload(TENANT, upload, &condemned, Arc::default(), cancel).await }
    };
    let refused = import().await.expect_err("no footer");
    assert!(matches!(&refused, Error::Refused(why) if why.contains("VHD")), "{refused}");
    assert!(!refused.is_passing());

    east.write_pages(upload, footer_at as u64, file.slice(footer_at..)).await.expect("mend");
    import().await.expect("import");
}

#[tokio::test]
async fn a_reopened_region_has_what_it_had_and_another_catalogue_is_refused() {
    let root = tempfile::tempdir().expect("a directory");
    let east = region(root.path(), "eastus").await;
    let empty = east.create_empty(TENANT, 3 << 40, &CondemnedPacks::none()).await.expect("create");
    let store_id = east.store_id();
    drop(east);
    let east = region(root.path(), "eastus").await;
    assert_eq!(east.store_id(), store_id);
    assert_eq!(east.open_image(TENANT, empty.manifest).await.expect("open").virtual_size_bytes(), 3 << 40);
    drop(east);
    let foreign = LocalRegion::open(LocalRegionOptions {
        name: "eastus".into(),
        root: root.path().join("eastus"),
        catalogue_id: Uuid::from_u128(2),
        expected_store_id: None,
        epoch: 1,
        index_dir: root.path().join("index-2"),
        cache_bytes: 1 << 20,
        compression: Compression::default(),
    })
    .await;
    let Err(Error::Store { source, .. }) = foreign else { panic!("a foreign store was opened") };
    assert!(matches!(source, galerie_store::Error::Foreign(_)), "{source}");
}

/// Collects what an import would send.
#[derive(Default)]
struct Sent(std::sync::Mutex<Vec<StoredBlob>>);

#[async_trait]
impl BlobSink for Sent {
    fn contains(&self, id: &BlobId) -> galerie_store::Result<bool> {
        Ok(self.0.lock().expect("a lock").iter().any(|blob| blob.id == *id))
    }
    fn put(&self, blob: StoredBlob) -> galerie_store::Result<()> {
        self.0.lock().expect("a lock").push(blob);
        Ok(())
    }
    async fn finish(&self) -> galerie_store::Result<()> {
        Ok(())
    }
}

fn cut(disk: &Bytes) -> (ManifestId, Vec<StoredBlob>) {
    let sent = Sent::default();
    let guest = MemoryGuest(disk.clone());
    let (progress, cancel) = (Default::default(), CancellationToken::new());
    let imported = import_blocking(&guest, &sent, &ImportOptions::default(), &progress, &cancel).expect("cut the disk");
    (imported.manifest_id, sent.0.into_inner().expect("a lock"))
}

async fn chunk_upload(region: &LocalRegion) -> Arc<dyn ChunkUpload> {
    region.begin_chunk_upload(TENANT, &CondemnedPacks::none()).await.expect("begin")
}

#[tokio::test]
async fn client_cut_blobs_become_an_image() {
    let root = tempfile::tempdir().expect("a directory");
    let east = region(root.path(), "eastus").await;
    let disk = disk(5, 3);
    let (manifest, blobs) = cut(&disk);
    let upload = chunk_upload(&east).await;
    upload.put(blobs).await.expect("put");
    assert_eq!(upload.finish(manifest).await.expect("finish").virtual_size_bytes, disk.len() as u64);
    assert_eq!(read_all(&east, manifest).await, disk);
}

#[tokio::test]
async fn a_hash_buys_no_bytes() {
    let root = tempfile::tempdir().expect("a directory");
    let east = region(root.path(), "eastus").await;
    let (manifest, blobs) = cut(&disk(5, 4));
    let owner = chunk_upload(&east).await;
    owner.put(blobs.clone()).await.expect("put");
    owner.finish(manifest).await.expect("finish");

    // Someone else of the tenant knows all hashes but may not read the image.
    let listing: Vec<StoredBlob> = blobs.iter().filter(|blob| blob.kind != BlobKind::Chunk).cloned().collect();
    let thief = chunk_upload(&east).await;
    assert!(matches!(thief.put(listing.clone()).await, Err(Error::NotFound(_))));
    assert!(matches!(thief.finish(manifest).await, Err(Error::NotFound(_))));

    // Who may read it names it as a base and sends nothing but the listing.
    let reader = chunk_upload(&east).await;
    reader.allow_bases(&[manifest]).await.expect("allow");
    reader.put(listing).await.expect("put");
    reader.finish(manifest).await.expect("finish");
}

/// The region's packs, by the names of their files.
fn packs(root: &Path) -> Vec<(PackId, PathBuf)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root).expect("a folder") {
        let entry = entry.expect("an entry");
        if entry.file_type().expect("a type").is_dir() {
            found.extend(packs(&entry.path()));
        } else if let Ok(pack) = entry.file_name().to_string_lossy().parse() {
            found.push((pack, entry.path()));
        }
    }
    found
}

/// Regression: what a base lists was taken over as it was. When the base's packs were condemned already, the collector
/// deleted them after the base, and the image that was built upon it lacked chunks. `sent`: what the client sends.
async fn taken_over_from_condemned_packs(sent: impl Fn(&StoredBlob) -> bool) {
    let root = tempfile::tempdir().expect("a directory");
    let east = region(root.path(), "eastus").await;
    let disk = disk(5, 7);
    let (manifest, blobs) = cut(&disk);
    let owner = chunk_upload(&east).await;
    owner.put(blobs.clone()).await.expect("put");
    owner.finish(manifest).await.expect("finish");

    let condemned = packs(&root.path().join("eastus"));
    let names: CondemnedPacks = condemned.iter().map(|(pack, _)| *pack).collect();
    let upload = east.begin_chunk_upload(TENANT, &names).await.expect("begin");
    upload.allow_bases(&[manifest]).await.expect("allow");
    upload.put(blobs.into_iter().filter(sent).collect()).await.expect("put");
    upload.finish(manifest).await.expect("finish");
    drop((owner, upload, east));

    condemned.iter().for_each(|(_, path)| std::fs::remove_file(path).expect("collect"));
    let east = region(root.path(), "eastus").await;
    assert!(read_all(&east, manifest).await == disk);
}

#[tokio::test]
async fn chunks_are_taken_over_from_condemned_packs() {
    taken_over_from_condemned_packs(|blob| blob.kind != BlobKind::Chunk).await;
}

#[tokio::test]
async fn segments_are_taken_over_from_condemned_packs_whole() {
    taken_over_from_condemned_packs(|blob| blob.kind == BlobKind::Manifest).await;
}

/// Regression: a damaged chunk of the base was taken over, too.
#[tokio::test]
async fn a_damaged_chunk_of_a_base_must_be_sent() {
    let root = tempfile::tempdir().expect("a directory");
    let east = region(root.path(), "eastus").await;
    let disk = disk(5, 8);
    let (manifest, blobs) = cut(&disk);
    let owner = chunk_upload(&east).await;
    owner.put(blobs.clone()).await.expect("put");
    owner.finish(manifest).await.expect("finish");
    for (_, path) in packs(&root.path().join("eastus")) {
        let mut bytes = std::fs::read(&path).expect("read");
        bytes[20_000] ^= 1;
        std::fs::write(&path, bytes).expect("damage");
    }
    let report = east.verify(TENANT, vec![manifest], CancellationToken::new()).await.expect("verify");
    assert_eq!(east.stats(TENANT).await.expect("stats").quarantined, 1, "{report:?}");

    for kept in [BlobKind::Segment, BlobKind::Manifest] {
        let upload = chunk_upload(&east).await;
        upload.allow_bases(&[manifest]).await.expect("allow");
        let named = blobs.iter().filter(|blob| blob.kind as u8 >= kept as u8).cloned().collect();
        let put = upload.put(named).await;
        assert!(matches!(&put, Err(Error::NotFound(why)) if why.contains("send it")), "{put:?}");
    }
    let upload = chunk_upload(&east).await;
    upload.allow_bases(&[manifest]).await.expect("allow");
    upload.put(blobs).await.expect("put");
    upload.finish(manifest).await.expect("finish");
    assert!(read_all(&east, manifest).await == disk);
}

/// Regression: a chunk that holds the bytes of a segment once stood for that segment, and what it lists was then read
/// without a right to it. A chunk of 52 bytes is as long as the list of one chunk of 52 bytes.
#[tokio::test]
async fn a_chunk_does_not_stand_for_a_segment() {
    const LIST_OF_ONE_BYTES: u32 = 52;
    let root = tempfile::tempdir().expect("a directory");
    let east = region(root.path(), "eastus").await;
    let foreign = ChunkId(BlobId::of(&[9; LIST_OF_ONE_BYTES as usize]));
    let mut list = Segment::default();
    list.push(LIST_OF_ONE_BYTES, Some(foreign)).expect("one entry");
    let mut image = Manifest::new(LIST_OF_ONE_BYTES.into()).expect("a size");
    image.push(0, list.id()).expect("one segment");

    let thief = chunk_upload(&east).await;
    thief.put(vec![StoredBlob::encode(BlobKind::Chunk, &list.encode())]).await.expect("a chunk is any bytes");
    let put = thief.put(vec![StoredBlob::encode(BlobKind::Manifest, &image.encode())]).await;
    assert!(matches!(put, Err(Error::NotFound(_))), "{put:?}");
    assert!(matches!(thief.finish(image.id()).await, Err(Error::NotFound(_))));
}

/// Regression: a client could list zeros that the format leaves out, and so give a disk another manifest id.
#[tokio::test]
async fn zeros_that_the_format_leaves_out_are_refused() {
    let roots = tempfile::tempdir().expect("roots");
    let east = region(roots.path(), "eastus").await;
    let mut zeros = Segment::default();
    zeros.push(64 << 20, None).expect("a run");
    let upload = chunk_upload(&east).await;
    for (kind, bytes) in [(BlobKind::Segment, zeros.encode()), (BlobKind::Chunk, vec![0; 20_479].into())] {
        let put = upload.put(vec![StoredBlob::encode(kind, &bytes)]).await;
        assert!(matches!(&put, Err(Error::Refused(why)) if why.contains("all zeros")), "{put:?}");
    }
    // Three blocks of zeros are no run, and with what is beside them they may be a chunk of their own.
    upload.put(vec![StoredBlob::encode(BlobKind::Chunk, &[0; 20_478])]).await.expect("a short chunk of zeros");
}

#[tokio::test]
async fn a_disk_of_no_bytes_is_refused() {
    let root = tempfile::tempdir().expect("a directory");
    let east = region(root.path(), "eastus").await;
    let empty = Manifest::new(0).expect("a size");
    let put = chunk_upload(&east).await.put(vec![StoredBlob::encode(BlobKind::Manifest, &empty.encode())]).await;
    assert!(matches!(put, Err(Error::Refused(_))), "{put:?}");
}

#[tokio::test]
async fn lying_blobs_are_refused() {
    let root = tempfile::tempdir().expect("a directory");
    let east = region(root.path(), "eastus").await;
    let (_, blobs) = cut(&disk(3, 5));
    let other = StoredBlob::encode(BlobKind::Chunk, &disk(1, 6)[..100_000]);
    for blob in &blobs {
        let lie = StoredBlob { bytes: other.bytes.clone(), codec: other.codec, ..blob.clone() };
        let put = chunk_upload(&east).await.put(vec![lie]).await;
        assert!(matches!(put, Err(Error::Refused(_))), "{put:?}");
    }
    let known: HashSet<BlobId> = blobs.iter().map(|blob| blob.id).collect();
    let source = east.blobs(TENANT).await.expect("blobs");
    for id in known {
        assert!(source.fetch(&[id], None).await.is_err(), "{id} was kept");
    }
}
