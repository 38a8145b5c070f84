//! Versions' content by token, and uploads of chunks that the client cut.

use axum::{body::Body, http::Request};
use bytes::{Bytes, BytesMut};
use galerie_store::{BlobId, BlobKind, Manifest, Segment, StoredBlob, frame};
use galerie_testkit::{Answer, Gallery};
use serde_json::json;

const GROUP: &str = "{s}/resourceGroups/rg/providers/Microsoft.Compute";
const MIB: usize = 1 << 20;

async fn version(gallery: &Gallery, disk: &[u8]) -> String {
    gallery.make_group("rg", "eastus").await;
    gallery.upload_disk(&format!("{GROUP}/disks/source"), "eastus", disk).await;
    let source = gallery.get(&format!("{GROUP}/disks/source?api-version=2025-01-02")).await.json()["id"].clone();
    let definition = gallery.make_definition("rg", "g", "web", "eastus").await;
    let body = json!({
        "location": "eastus",
        "properties": { "storageProfile": { "osDiskImage": { "source": { "id": source } } } }
    });
    let accepted = gallery.put(&format!("{definition}/versions/1.0.0?api-version=2024-03-03"), body).await;
    gallery.succeeded(&accepted).await;
    accepted.json()["id"].as_str().expect("an id").to_owned()
}

async fn post(gallery: &Gallery, path: &str, body: Vec<u8>) -> Answer {
    let request = Request::post(path).header("authorization", format!("Bearer {}", gallery.token().await));
    gallery.send(request.body(Body::from(body)).expect("a request")).await
}

fn ids(ids: &[BlobId]) -> Vec<u8> {
    ids.iter().flat_map(|id| id.0).collect()
}

#[tokio::test]
async fn a_version_is_read_blob_by_blob() {
    let gallery = Gallery::start().await;
    let mut disk = vec![0_u8; 20 * MIB];
    disk[3 * MIB..5 * MIB].iter_mut().enumerate().for_each(|(index, byte)| *byte = (index * 7 / 5) as u8);
    let id = version(&gallery, &disk).await;
    let base = format!("/content{id}");
    let summary = gallery.get(&base).await.expect(200).json();
    assert_eq!(summary["versionId"], id.as_str());
    assert_eq!((&summary["region"], &summary["virtualSizeBytes"]), (&json!("eastus"), &json!(disk.len())));
    let latest = gallery.get(&format!("{}?region=East%20US", base.replace("1.0.0", "latest"))).await.expect(200).json();
    assert_eq!(latest, summary);

    let manifest = gallery.get(&format!("{base}/manifest")).await.expect(200);
    assert_eq!(manifest.header("content-type"), Some(frame::CONTENT_TYPE));
    let manifest = frame::decode_all(manifest.body, 1).expect("frames").remove(0);
    assert_eq!(manifest.id.to_string(), summary["manifestId"].as_str().expect("an id"));
    let manifest = Manifest::decode(&manifest.decode().expect("verified")).expect("a manifest");
    let (_, segment_id) = *manifest.segments().iter().next().expect("a segment");
    let segments = post(&gallery, &format!("{base}/segments"), ids(&[segment_id.0])).await.expect(200);
    let segment = frame::decode_all(segments.body, 1).expect("frames").remove(0);
    let segment = Segment::decode(&segment.decode().expect("verified")).expect("a segment");
    let chunks: Vec<BlobId> = segment.entries().iter().filter_map(|entry| entry.chunk).map(|chunk| chunk.0).collect();
    let path = format!("{base}/segments/{segment_id}/chunks");
    let answer = post(&gallery, &path, ids(&chunks)).await.expect(200);
    let blobs = frame::decode_all(answer.body, chunks.len()).expect("frames");
    assert_eq!(blobs.iter().map(|blob| blob.id).collect::<Vec<_>>(), chunks);
    assert!(blobs.iter().all(|blob| blob.decode().is_ok()));

    let stranger = post(&gallery, &path, ids(&[BlobId::of(b"another tenant's")])).await;
    assert_eq!(stranger.status, 404, "{stranger}");
    assert_eq!(post(&gallery, &path, vec![1; 33]).await.status, 400);
    assert_eq!(post(&gallery, &path, vec![1; 4097 * 32]).await.status, 413);
    assert_eq!(gallery.get(&path).await.status, 405);
    assert_eq!(gallery.get(&format!("{base}?region=westus")).await.code(), "GalleryImageNotFound");
    assert_eq!(gallery.get(&format!("{base}?lun=0")).await.status, 400);
    let anonymous = gallery.send(Request::get(&base).body(Body::empty()).expect("a request")).await.expect(401);
    assert!(anonymous.header("www-authenticate").is_some());
}

#[tokio::test]
async fn chunks_are_uploaded_on_a_sas() {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    let disk = format!("{GROUP}/disks/d");
    gallery.make_upload_disk(&disk, "eastus", 20 * MIB as u64 + 512).await;
    let sas = gallery.grant(&disk, "Write").await;
    let put = async |comp: &str, body: Bytes| {
        let query = format!("comp=galerie-{comp}");
        gallery.blob(axum::http::Method::PUT, &sas, &query, &[], body).await
    };
    let lonely = put("bases", Bytes::from_static(b"[]")).await;
    assert_eq!((lonely.status, lonely.header("x-ms-error-code")), (401, Some("NoAuthenticationInformation")));
    let mut frames = BytesMut::new();
    frame::encode(&StoredBlob::encode(BlobKind::Chunk, &[5; 70_000]), &mut frames);
    let _ = put("blobs", frames.clone().freeze()).await.expect(201);
    for bad in
        [frames.clone().freeze().slice(..50), Bytes::from_static(b"garbage that is no frame at all, but long enough")]
    {
        let refused = put("blobs", bad).await;
        assert_eq!((refused.status, refused.header("x-ms-error-code")), (400, Some("InvalidInput")), "{refused}");
    }
    let mut lying = frames.to_vec();
    lying[0] ^= 1;
    assert_eq!(put("blobs", lying.into()).await.status, 400);
    let unknown = json!({ "manifestId": BlobId::of(b"never sent").to_string() }).to_string();
    assert_eq!(put("manifest", unknown.into()).await.status, 400);
    assert_eq!(put("manifest", Bytes::from_static(b"{}")).await.status, 400);
}
