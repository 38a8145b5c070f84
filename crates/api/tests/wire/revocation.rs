//! A right that ends while it is being used: what runs on it ends within seconds, on a clock that the test moves.
//!
//! Downloads and uploads here are streams whose bytes are taken one piece at a time, so the right ends in their middle. An
//! export (`galerie nbd`) is one content request after the other; the request after the end is refused.

use std::sync::Arc;

use axum::{
    body::{Body, BodyDataStream},
    http::{Method, Request},
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use galerie_store::{BlobId, BlobKind, Manifest, Segment, StoredBlob, frame};
use galerie_testkit::{Answer, Gallery, GalleryOptions, Principal, VirtualClock, vhd};
use serde_json::json;
use tokio::sync::mpsc;

const GROUP: &str = "{s}/resourceGroups/rg";
const COMPUTE: &str = "{s}/resourceGroups/rg/providers/Microsoft.Compute";
const MIB: usize = 1 << 20;
/// The longest that anything may go on after the right to it has ended, in ms.
const NOTICED_WITHIN_MS: i64 = 30_000;

/// How a right ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It does not: then what runs goes on, or the rest of these tests would prove nothing.
    None,
    RoleTaken,
    Disabled,
    Deleted,
}

const ENDS: [End; 4] = [End::None, End::RoleTaken, End::Disabled, End::Deleted];

struct World {
    gallery: Gallery,
    clock: Arc<VirtualClock>,
}

impl World {
    /// With a disk `source` of 20 MiB that does not compress.
    async fn start() -> Self {
        let clock = Arc::new(VirtualClock::now());
        let options = GalleryOptions { clock: Some(Arc::clone(&clock)), ..GalleryOptions::default() };
        let gallery = Gallery::start_with(options).await;
        gallery.make_group("rg", "eastus").await;
        let mut state = 1_u64;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        });
        let bytes: Vec<u8> = noise.take(20 * MIB).collect();
        gallery.upload_disk(&format!("{COMPUTE}/disks/source"), "eastus", &bytes).await;
        Self { gallery, clock }
    }

    /// Somebody with a role over the group; the assignment's name.
    async fn holder(&self, end: End, role: &str) -> (Principal, String) {
        let holder = self.gallery.make_principal(&format!("{end:?}")).await;
        let assignment = self.gallery.give(&holder, role, GROUP).await;
        (holder, assignment)
    }

    async fn end(&self, end: End, holder: &Principal, assignment: &str) {
        match end {
            End::None => {}
            End::RoleTaken => self.gallery.take(assignment, GROUP).await,
            End::Disabled => self.gallery.disable(holder).await,
            End::Deleted => self.gallery.delete_principal(holder).await,
        }
    }

    /// Reads a stream to its end while time passes; whether it was cut short before [`NOTICED_WITHIN_MS`] were over.
    async fn is_cut_short(&self, mut stream: BodyDataStream) -> bool {
        let mut waited_ms = 0;
        while let Some(piece) = stream.next().await {
            if piece.is_err() {
                return waited_ms <= NOTICED_WITHIN_MS;
            }
            self.clock.advance_ms(1000);
            waited_ms += 1000;
        }
        false
    }
}

fn with_token(method: Method, path: &str, token: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
    request.body(body.into()).expect("a request")
}

/// A version made of the disk, and the chunks of its only segment: where they are asked for, and all their ids.
async fn published(gallery: &Gallery) -> (String, Vec<u8>) {
    let definition = gallery.make_definition("rg", "g", "i", "eastus").await;
    let source = json!({ "osDiskImage": { "source": { "id": gallery.path(&format!("{COMPUTE}/disks/source")) } } });
    let body = json!({ "location": "eastus", "properties": { "storageProfile": source } });
    let made = gallery.put(&format!("{definition}/versions/1.0.0?api-version=2024-03-03"), body).await;
    gallery.succeeded(&made).await;
    let base = gallery.path(&format!("/content{definition}/versions/1.0.0"));
    let blob =
        |answer: Answer| frame::decode_all(answer.body, 1).expect("frames").remove(0).decode().expect("verified");
    let manifest = Manifest::decode(&blob(gallery.get(&format!("{base}/manifest")).await.expect(200)));
    let (_, segment) = *manifest.expect("a manifest").segments().iter().next().expect("a segment");
    let asked = with_token(Method::POST, &format!("{base}/segments"), gallery.token().await, segment.0.0.to_vec());
    let decoded = Segment::decode(&blob(gallery.send(asked).await.expect(200))).expect("a segment");
    let chunks = decoded.entries().iter().filter_map(|entry| entry.chunk);
    let ids: Vec<u8> = chunks.flat_map(|chunk| chunk.0.0).collect();
    assert!(ids.len() > 4 * 64 * size_of::<BlobId>(), "an answer of several pieces");
    (format!("{base}/segments/{segment}/chunks"), ids)
}

#[tokio::test]
async fn a_version_that_is_being_read_is_read_no_further() {
    let world = World::start().await;
    let (path, ids) = published(&world.gallery).await;
    for end in ENDS {
        let (holder, assignment) = world.holder(end, "Reader").await;
        let request = || with_token(Method::POST, &path, &holder.arm_token, ids.clone());
        let answer = world.gallery.open(request()).await;
        assert_eq!(answer.status(), 200, "{end:?}");
        let mut stream = answer.into_body().into_data_stream();
        let first = stream.next().await.expect("a first piece").expect("a good one");
        assert!(first.len() < 20 * MIB, "the whole was one piece");
        world.end(end, &holder, &assignment).await;
        let later = world.gallery.send(request()).await.status;
        let expected = match end {
            End::None => 200,
            End::RoleTaken => 403,
            End::Disabled | End::Deleted => 401,
        };
        assert_eq!(later, expected, "the next request after {end:?}");
        world.clock.advance_ms(5000);
        assert_eq!(world.is_cut_short(stream).await, end != End::None, "{end:?}");
    }
}

#[tokio::test]
async fn a_disk_that_is_being_downloaded_is_read_no_further() {
    let world = World::start().await;
    let disk = format!("{COMPUTE}/disks/source");
    for end in ENDS {
        let (holder, assignment) = world.holder(end, "Contributor").await;
        let sas = granted(&world.gallery, &holder, &disk, "Read").await;
        let answer = world.gallery.open(Request::get(&sas).body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.status(), 200, "{end:?}");
        let mut stream = answer.into_body().into_data_stream();
        stream.next().await.expect("a first piece").expect("a good one");
        world.end(end, &holder, &assignment).await;
        world.clock.advance_ms(1000);
        assert_eq!(world.is_cut_short(stream).await, end != End::None, "{end:?}");
        world.gallery.end_access(&disk).await;
    }
}

/// Begins access as somebody; answers the path and query of the SAS.
async fn granted(gallery: &Gallery, holder: &Principal, disk: &str, access: &str) -> String {
    let path = gallery.path(&format!("{disk}/beginGetAccess?api-version=2025-01-02"));
    let body = json!({ "access": access, "durationInSeconds": 3600 }).to_string();
    let begun = gallery.send(with_token(Method::POST, &path, &holder.arm_token, body)).await.expect(202);
    let location = gallery.path(begun.header("location").expect("where to look"));
    loop {
        let result = gallery.send(with_token(Method::GET, &location, &holder.arm_token, Body::empty())).await;
        if result.status != 202 {
            let sas = result.expect(200).json()["accessSAS"].as_str().expect("a SAS").to_owned();
            return gallery.path(&sas);
        }
        tokio::task::yield_now().await;
    }
}

/// A request to a SAS whose body is more than one piece.
struct Upload {
    query: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: Bytes,
}

/// A page, and chunks that the client cut.
fn uploads() -> [Upload; 2] {
    let mut frames = BytesMut::new();
    frame::encode(&StoredBlob::encode(BlobKind::Chunk, &[5; 70_000]), &mut frames);
    let page = &[("x-ms-page-write", "update"), ("x-ms-range", "bytes=0-1048575")];
    [
        Upload { query: "comp=page", headers: page, body: Bytes::from(vec![9; MIB]) },
        Upload { query: "comp=galerie-blobs", headers: &[], body: frames.freeze() },
    ]
}

#[tokio::test]
async fn what_is_being_uploaded_is_not_taken() {
    let world = World::start().await;
    for (index, end) in ENDS.into_iter().enumerate() {
        let disk = format!("{COMPUTE}/disks/u{index}");
        world.gallery.make_upload_disk(&disk, "eastus", (20 * MIB + vhd::FOOTER_BYTES) as u64).await;
        for Upload { query, headers, body } in uploads() {
            let (holder, assignment) = world.holder(end, "Contributor").await;
            let sas = granted(&world.gallery, &holder, &disk, "Write").await;
            let (sender, receiver) = mpsc::channel::<Bytes>(1);
            let slowly = futures::stream::unfold(receiver, |mut receiver| async move {
                Some((Ok::<_, std::convert::Infallible>(receiver.recv().await?), receiver))
            });
            let mut request = Request::put(format!("{sas}&{query}")).header("content-length", body.len());
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let request = request.body(Body::from_stream(slowly.fuse())).expect("a request");
            let send = async {
                let half = body.len() / 2;
                sender.send(body.slice(..half)).await.expect("the body is read");
                // There is room again when the half was taken: by then the signature was found to be good.
                let room = sender.reserve().await.expect("the body is read");
                world.end(end, &holder, &assignment).await;
                world.clock.advance_ms(1000);
                room.send(body.slice(half..));
                drop(sender);
            };
            let (answer, ()) = tokio::join!(world.gallery.send(request), send);
            // A page is content at once. Chunks are none before a manifest names them, and that is refused.
            let is_taken = end == End::None || query == "comp=galerie-blobs";
            assert_eq!(answer.status, if is_taken { 201 } else { 403 }, "{query} after {end:?}: {answer}");
            let manifest = Bytes::from(json!({ "manifestId": BlobId::of(b"never sent").to_string() }).to_string());
            let next = world.gallery.blob(Method::PUT, &sas, "comp=galerie-manifest", &[], manifest).await;
            assert_eq!(next.status == 403, end != End::None, "the next request after {end:?}: {next}");
            let owner = world.gallery.end_access(&disk).await;
            assert!(owner["status"] == "Succeeded" || owner["status"] == "Failed", "{owner}");
        }
        // Nothing of a page came to the disk.
        let readable = world.gallery.grant(&disk, "Write").await;
        let range = [("x-ms-range", "bytes=0-511")];
        let read = world.gallery.blob(Method::GET, &readable, "", &range, Bytes::new()).await.expect(206);
        assert_eq!(read.body.contains(&9), end == End::None, "{end:?}");
    }
}
