//! Grants: who may do what with which bytes, until when.

use bytes::Bytes;
use futures::StreamExt;
use galerie_control::{BlobAction, BlobError, Sas};
use serde_json::json;

use crate::support::{Gallery, read, upload_body, vhd, write};

const VHD_BYTES: usize = (20 << 20) + 512;

#[tokio::test]
async fn states_follow_access() {
    let gallery = Gallery::start().await;
    let state = async || gallery.get("disks/d").await["properties"]["diskState"].clone();
    gallery.make("disks/d", upload_body(VHD_BYTES)).await;
    assert_eq!(state().await, "ReadyToUpload");
    assert_eq!(gallery.grant("disks/d", "Read").await.unwrap_err().status, 409);
    let grant = gallery.grant("disks/d", "Write").await.unwrap();
    assert_eq!(state().await, "ActiveUpload");
    assert_eq!(gallery.grant("disks/d", "Write").await.unwrap_err().status, 409);
    write(&gallery.open(&grant, BlobAction::Write).await.unwrap(), &vhd(1).await).await;
    gallery.revoke("disks/d").await.unwrap();
    assert_eq!(state().await, "Unattached");
    assert_eq!(gallery.grant("disks/d", "Write").await.unwrap_err().status, 409);
    gallery.grant("disks/d", "Read").await.unwrap();
    assert_eq!(state().await, "ActiveSAS");
    let refused = gallery.delete("disks/d").await.unwrap_err();
    assert!(refused.status == 409 && refused.message.contains("EndGetAccess"), "{refused}");
    gallery.revoke("disks/d").await.unwrap();
    gallery.revoke("disks/d").await.unwrap();
    assert_eq!(state().await, "Unattached");
    gallery.delete("disks/d").await.unwrap().unwrap();
}

#[tokio::test]
async fn a_revoked_signature_opens_nothing() {
    let gallery = Gallery::start().await;
    gallery.upload("d", &vhd(1).await).await;
    let grant = gallery.grant("disks/d", "Read").await.unwrap();
    let blob = gallery.open(&grant, BlobAction::Read).await.unwrap();
    assert!(matches!(gallery.open(&grant, BlobAction::Write).await, Err(BlobError::PermissionMismatch)));
    assert!(matches!(blob.write_pages(0, Bytes::from(vec![1; 512])).await, Err(BlobError::PermissionMismatch)));
    gallery.revoke("disks/d").await.unwrap();
    assert!(matches!(gallery.open(&grant, BlobAction::Read).await, Err(BlobError::AuthenticationFailed(_))));
    // A disk of the same name is another disk, and a grant on it another grant.
    gallery.delete("disks/d").await.unwrap();
    gallery.upload("d", &vhd(1).await).await;
    gallery.grant("disks/d", "Read").await.unwrap();
    assert!(matches!(gallery.open(&grant, BlobAction::Read).await, Err(BlobError::AuthenticationFailed(_))));
}

/// Regression: a request that was open when the access ended went on. A page that came slowly was acknowledged and lost.
#[tokio::test]
async fn what_is_open_ends_with_its_grant() {
    let gallery = Gallery::start().await;
    gallery.make("disks/u", upload_body(VHD_BYTES)).await;
    let grant = gallery.grant("disks/u", "Write").await.unwrap();
    let blob = gallery.open(&grant, BlobAction::Write).await.unwrap();
    write(&blob, &vhd(1).await).await;
    gallery.revoke("disks/u").await.unwrap();
    let late = blob.write_pages(0, Bytes::from(vec![1; 512])).await;
    assert!(matches!(late, Err(BlobError::AuthenticationFailed(_))), "{late:?}");
    let late = blob.clear_pages(0..512).await;
    assert!(matches!(late, Err(BlobError::AuthenticationFailed(_))), "{late:?}");

    let grant = gallery.grant("disks/u", "Read").await.unwrap();
    let blob = gallery.open(&grant, BlobAction::Read).await.unwrap();
    let mut download = blob.read(0..blob.length_bytes()).unwrap();
    download.next().await.expect("a first piece").unwrap();
    gallery.revoke("disks/u").await.unwrap();
    gallery.clock.advance_ms(1000);
    let next = download.next().await.expect("an end that is told");
    assert!(matches!(next, Err(BlobError::AuthenticationFailed(_))), "{next:?}");
}

#[tokio::test]
async fn every_part_of_a_signature_counts() {
    let gallery = Gallery::start().await;
    gallery.upload("d", &vhd(1).await).await;
    gallery.make("disks/u", upload_body(VHD_BYTES)).await;
    let (read, write) =
        (gallery.grant("disks/d", "Read").await.unwrap(), gallery.grant("disks/u", "Write").await.unwrap());
    let signature = gallery.control.sign_sas(&read).0;
    let good = Sas {
        resource_uid: read.resource_uid,
        grant_id: read.grant_id,
        permission: "r",
        expires_ms: read.expires_ms,
        signature: &signature,
    };
    assert!(gallery.control.open_blob(&good, BlobAction::Read).await.is_ok());
    for bad in [
        Sas { resource_uid: write.resource_uid, ..good.clone() },
        Sas { grant_id: write.grant_id, ..good.clone() },
        Sas { permission: "rw", ..good.clone() },
        Sas { expires_ms: good.expires_ms + 1000, ..good.clone() },
        Sas { signature: "", ..good.clone() },
        Sas { signature: &signature.to_lowercase(), ..good.clone() },
    ] {
        let answer = gallery.control.open_blob(&bad, BlobAction::Read).await;
        assert!(matches!(answer, Err(BlobError::AuthenticationFailed(_))), "{bad:?}");
    }
}

#[tokio::test]
async fn access_ends_by_itself() {
    let gallery = Gallery::start().await;
    gallery.upload("d", &vhd(1).await).await;
    let grant = gallery.grant("disks/d", "Read").await.unwrap();
    gallery.clock.advance_ms(3_601_000);
    assert!(matches!(gallery.open(&grant, BlobAction::Read).await, Err(BlobError::AuthenticationFailed(_))));
    // Whether or not the reconciler was there already, access may be granted again.
    gallery.grant("disks/d", "Read").await.unwrap();
}

#[tokio::test]
async fn an_upload_without_a_footer_is_refused_and_may_be_mended() {
    let gallery = Gallery::start().await;
    gallery.make("disks/d", upload_body(VHD_BYTES)).await;
    let whole = vhd(6).await;
    let grant = gallery.grant("disks/d", "Write").await.unwrap();
    let blob = gallery.open(&grant, BlobAction::Write).await.unwrap();
    write(&blob, &whole.slice(..4 << 20)).await;
    let error = gallery.revoke("disks/d").await.unwrap_err();
    assert_eq!(error.code, "InvalidDiskImage", "{error}");
    assert_eq!(gallery.get("disks/d").await["properties"]["diskState"], "ReadyToUpload");
    let grant = gallery.grant("disks/d", "Write").await.unwrap();
    let blob = gallery.open(&grant, BlobAction::Write).await.unwrap();
    write(&blob, &whole).await;
    gallery.revoke("disks/d").await.unwrap();
    assert!(gallery.download("disks/d").await[..20 << 20] == whole[..20 << 20]);
}

#[tokio::test]
async fn an_upload_without_a_page_is_told_what_it_lacks() {
    let gallery = Gallery::start().await;
    gallery.make("disks/d", upload_body(VHD_BYTES)).await;
    gallery.grant("disks/d", "Write").await.unwrap();
    let error = gallery.revoke("disks/d").await.unwrap_err();
    assert_eq!(error.code, "InvalidDiskImage", "{error}");
    assert_eq!(gallery.get("disks/d").await["properties"]["provisioningState"], "Succeeded");
}

#[tokio::test]
async fn pages_are_whole_cleared_and_listed() {
    let gallery = Gallery::start().await;
    gallery.make("disks/d", upload_body(VHD_BYTES)).await;
    let grant = gallery.grant("disks/d", "Write").await.unwrap();
    let blob = gallery.open(&grant, BlobAction::Write).await.unwrap();
    assert_eq!(blob.length_bytes(), VHD_BYTES as u64);
    assert!(blob.page_ranges(0..blob.length_bytes()).await.unwrap().is_empty());
    for (offset, length) in [(1, 512), (0, 100), (VHD_BYTES as u64, 512)] {
        let answer = blob.write_pages(offset, Bytes::from(vec![1; length])).await;
        assert!(matches!(answer, Err(BlobError::InvalidPageRange(_))), "{offset} {length}");
    }
    blob.write_pages(4096, Bytes::from(vec![7; 4096])).await.unwrap();
    assert_eq!(read(&blob, 4000..4200).await, Bytes::from([vec![0; 96], vec![7; 104]].concat()));
    blob.clear_pages(4096..8192).await.unwrap();
    assert_eq!(read(&blob, 4096..8192).await, Bytes::from(vec![0; 4096]));
    assert!(blob.read(0..VHD_BYTES as u64 + 1).is_err());
    // An upload under way does not keep its disk alive.
    gallery.delete("disks/d").await.unwrap().unwrap();
    assert!(gallery.open(&grant, BlobAction::Write).await.is_err());
}

#[tokio::test]
async fn only_who_asked_gets_the_grant() {
    let gallery = Gallery::start().await;
    gallery.upload("d", &vhd(1).await).await;
    let body = json!({ "access": "Read", "durationInSeconds": 60 });
    let accepted =
        gallery.control.begin_get_access(&gallery.context(), &gallery.compute("disks/d"), body).await.unwrap();
    let other = gallery.another_owner().await;
    let view =
        gallery.control.operation_status(&other, accepted.operation.subscription, accepted.operation.id).await.unwrap();
    assert!(view.grant.is_none());
    assert!(
        gallery.control.operation_result(&other, accepted.operation.subscription, accepted.operation.id).await.is_err()
    );
}
