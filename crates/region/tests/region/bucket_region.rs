//! A region whose store is a bucket, beside one in a directory: the same bytes in both.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use galerie_region::{Error, LocalRegion, Region, Result, UploadId, Watermark};
use galerie_store::{
    BlobSource, CondemnedPacks, ManifestId, StoreOptions,
    backend::{S3Credentials, S3Options, S3Retries, s3},
};
use galerie_testbucket::{BUCKET, Faults, KEY_ID, S3Server, SECRET_KEY};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{MIB, TENANT, options};

const PLACE: &str = "the bucket";

async fn bucket_region(server: &S3Server, root: &Path, name: &str) -> Result<LocalRegion> {
    let credentials =
        S3Credentials::Static { key_id: KEY_ID.to_owned(), secret_key: SECRET_KEY.to_owned(), session_token: None };
    let pause = std::time::Duration::from_millis(1);
    let bucket = S3Options {
        place: format!("s3://{BUCKET}/west").parse().expect("a place"),
        endpoint: Some(server.endpoint()),
        region: None,
        path_style: None,
        ca_file: None,
        credentials,
        retries: S3Retries { first_pause: pause, longest_pause: pause * 20, ..S3Retries::default() },
    };
    LocalRegion::open_on(
        options(root, name),
        s3::bounded(bucket).expect("a client"),
        PLACE,
        StoreOptions::default(),
        Watermark::none(),
    )
    .await
}

/// A fixed VHD of noise and zeros, by the writer of exports.
async fn vhd(disk: &Bytes) -> Bytes {
    use futures::TryStreamExt;
    use galerie_disk::export::{ExportFormat, ExportLayout};
    let guest: Arc<dyn galerie_store::GuestBytes> = Arc::new(galerie_store::MemoryGuest(disk.clone()));
    let device = galerie_disk::GuestDevice::new(guest);
    let id = ManifestId(galerie_store::BlobId::of(disk));
    let layout = ExportLayout::new(ExportFormat::FixedVhd, disk.len() as u64, &id).expect("a layout");
    let parts: Vec<Bytes> =
        layout.stream(&device, 0..layout.length_bytes()).expect("a stream").try_collect().await.expect("bytes");
    parts.concat().into()
}

async fn copy(from: &LocalRegion, to: &LocalRegion, manifest: ManifestId) {
    let source: Arc<dyn BlobSource> = from.blobs(TENANT).await.expect("blobs");
    let cancel = CancellationToken::new();
    to.replicate(TENANT, manifest, source, &CondemnedPacks::none(), Arc::default(), cancel).await.expect("replicate");
}

async fn read_all(region: &LocalRegion, manifest: ManifestId) -> Bytes {
    let image = region.open_image(TENANT, manifest).await.expect("open");
    image.read(0, image.virtual_size_bytes()).await.expect("read")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_to_a_region_in_a_bucket_is_the_same_in_every_region() {
    let (server, root) = (S3Server::start().await, tempfile::tempdir().expect("a directory"));
    let west = bucket_region(&server, root.path(), "westus").await.expect("open the region");
    let east = LocalRegion::open(options(root.path(), "eastus")).await.expect("open the region");
    server.fail(Faults { seed: 3, throttled_per_mille: 50, unanswered_per_mille: 50, ..Faults::default() });
    let mut disk = vec![0; 8 * MIB];
    blake3::Hasher::new().update(b"disk").finalize_xof().fill(&mut disk[..5 * MIB]);
    let disk = Bytes::from(disk);
    let (file, upload) = (vhd(&disk).await, UploadId(Uuid::new_v4()));
    west.create_upload(upload, file.len() as u64).await.expect("create");
    west.write_pages(upload, 0, file).await.expect("write pages");
    assert!(root.path().join("westus/staging").read_dir().expect("a folder").next().is_some(), "on the local disk");
    let condemned = CondemnedPacks::none();
    let imported = west.import_upload(TENANT, upload, &condemned, Arc::default(), CancellationToken::new()).await;
    let manifest = imported.expect("import").manifest;
    copy(&west, &east, manifest).await;
    assert_eq!(read_all(&west, manifest).await, disk);
    assert_eq!(read_all(&east, manifest).await, disk);

    let other = LocalRegion::open(options(root.path(), "northus")).await.expect("open the region");
    copy(&east, &other, manifest).await;
    assert!(!root.path().join("westus/tenants").exists(), "nothing but uploads is on the local disk");
    drop(west);
    let west = bucket_region(&server, root.path(), "westus").await.expect("open the region again");
    assert_eq!(read_all(&west, manifest).await, disk);
    assert!(west.verify(TENANT, vec![manifest], CancellationToken::new()).await.expect("verify").is_sound());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_of_another_region_is_refused_by_its_place() {
    let (server, root) = (S3Server::start().await, tempfile::tempdir().expect("a directory"));
    let west = bucket_region(&server, root.path(), "westus").await.expect("open the region");
    drop(west);
    let refused = bucket_region(&server, root.path(), "eastus").await.err().expect("another region");
    let foreign = matches!(refused, Error::Store { source: galerie_store::Error::Foreign(_), .. });
    assert!(foreign && refused.to_string().contains(PLACE), "{refused}");
}
