//! An image version's blobs over HTTPS: what `pull` and `nbd` read.
//!
//! The version is resolved once, at the start: `latest` stays what it was then. Blobs come as they are stored, still
//! compressed, and are verified here.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use galerie_store::{BlobId, BlobKind, BlobSource, Manifest, ManifestId, Segment, StoredBlob, frame};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::{
    Client, Error, Result,
    transport::{Repeat, json_max_bytes},
};

/// The most ids of one request.
const IDS_MAX: usize = 256;
/// The longest answer: as many blobs as were asked for, or one manifest.
const ANSWER_MAX_BYTES: usize = {
    let chunks = IDS_MAX * BlobKind::Chunk.max_bytes();
    let manifest = BlobKind::Manifest.max_bytes();
    (if chunks > manifest { chunks } else { manifest }) + IDS_MAX * frame::FRAME_HEADER_BYTES
};

/// An image version's content in one region.
pub(crate) struct Content {
    client: Arc<Client>,
    described: Described,
    lun: Option<i32>,
    received_bytes: AtomicU64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    version_id: String,
    region: String,
    manifest_id: String,
    virtual_size_bytes: u64,
}

impl Content {
    /// Finds the content of a version (which may be `latest`) in a region, or in any that has it.
    ///
    /// # Errors
    /// `Refused` when there is none.
    pub(crate) async fn open(
        client: Arc<Client>,
        version_id: &str,
        region: Option<&str>,
        lun: Option<i32>,
    ) -> Result<Self> {
        let url = content_url(&client, version_id, region, lun);
        let answer = client.send(Method::GET, url, Repeat::Safe, json_max_bytes(), |request| request).await?;
        let document = answer.successful()?.json("content")?;
        let described: Described =
            serde_json::from_value(document).map_err(|error| Error::nonsense("content", error.to_string()))?;
        let content = Self { client, described, lun, received_bytes: AtomicU64::new(0) };
        content
            .described
            .manifest_id
            .parse::<ManifestId>()
            .map_err(|error| Error::nonsense("content", error.to_string()))?;
        Ok(content)
    }

    /// The version's id, spelled out.
    pub(crate) fn version_id(&self) -> &str {
        &self.described.version_id
    }

    /// The region that is read from.
    pub(crate) fn region(&self) -> &str {
        &self.described.region
    }

    pub(crate) fn manifest_id(&self) -> ManifestId {
        self.described.manifest_id.parse().expect("checked when it was opened")
    }

    /// The size that a guest sees.
    pub(crate) fn virtual_size_bytes(&self) -> u64 {
        self.described.virtual_size_bytes
    }

    /// How much has come over the network so far.
    pub(crate) fn received_bytes(&self) -> u64 {
        self.received_bytes.load(Ordering::Relaxed)
    }

    /// The ids of the image's segments and chunks, up to about `most`: what its next version need not send again.
    ///
    /// # Errors
    /// `Refused`, `Unreachable`, `Store`.
    pub(crate) async fn known_blobs(&self, most: usize) -> Result<HashSet<BlobId>> {
        let manifest_id = self.manifest_id();
        let encoded = self.fetch_decoded(&[manifest_id.0], None).await?;
        let manifest = Manifest::decode(encoded.first().map_or(&[], |bytes| bytes.as_ref()))?;
        let mut known = HashSet::new();
        let segments: Vec<BlobId> = manifest.segments().iter().map(|(_, id)| id.0).collect();
        for batch in segments.chunks(IDS_MAX) {
            for (id, encoded) in batch.iter().zip(self.fetch_decoded(batch, Some(manifest_id.0)).await?) {
                known.insert(*id);
                known
                    .extend(Segment::decode(&encoded)?.entries().iter().filter_map(|entry| entry.chunk).map(|id| id.0));
            }
            if known.len() >= most {
                tracing::debug!(most, "the base has more blobs than are remembered");
                break;
            }
        }
        Ok(known)
    }

    async fn request(&self, method: Method, path: &str, ids: Option<Bytes>) -> Result<Vec<StoredBlob>> {
        let path = format!("{}/{path}", self.described.version_id);
        let url = content_url(&self.client, &path, Some(&self.described.region), self.lun);
        let answer = self
            .client
            .send(method, url, Repeat::Safe, ANSWER_MAX_BYTES, |request| match &ids {
                Some(ids) => request.header("Content-Type", "application/octet-stream").body(ids.clone()),
                None => request,
            })
            .await?
            .successful()?;
        self.received_bytes.fetch_add(answer.body.len() as u64, Ordering::Relaxed);
        Ok(frame::decode_all(answer.body, IDS_MAX)?)
    }

    /// Blobs in the order asked for; an answer may hold fewer, the rest is asked for again.
    async fn fetch_listed(&self, ids: &[BlobId], listed_by: Option<BlobId>) -> Result<Vec<StoredBlob>> {
        let manifest_id = self.manifest_id().0;
        let path = match listed_by {
            None => return self.request(Method::GET, "manifest", None).await,
            Some(by) if by == manifest_id => "segments".to_owned(),
            Some(segment) => format!("segments/{segment}/chunks"),
        };
        let mut blobs: Vec<StoredBlob> = Vec::with_capacity(ids.len());
        while blobs.len() < ids.len() {
            let rest = &ids[blobs.len()..];
            let asked = &rest[..rest.len().min(IDS_MAX)];
            let wanted: Bytes = asked.iter().flat_map(|id| id.0).collect();
            let answered = self.request(Method::POST, &path, Some(wanted)).await?;
            let fits = !answered.is_empty() && answered.iter().zip(asked).all(|(blob, id)| blob.id == *id);
            if !fits || answered.len() > asked.len() {
                return Err(Error::nonsense("content", "other blobs came than were asked for"));
            }
            blobs.extend(answered);
        }
        Ok(blobs)
    }
}

#[async_trait]
impl BlobSource for Content {
    async fn fetch(&self, ids: &[BlobId], listed_by: Option<BlobId>) -> galerie_store::Result<Vec<StoredBlob>> {
        self.fetch_listed(ids, listed_by).await.map_err(|error| match error {
            Error::Store(error) => error,
            Error::Refused { status: 404, message, .. } => galerie_store::Error::NotFound(message),
            error if error.is_damage() => galerie_store::Error::Corrupt(error.to_string()),
            error => galerie_store::Error::Unavailable(crate::causes::in_full(&error)),
        })
    }
}

/// A content URL. The operating system's disk is the default; data disks are named by their lun.
fn content_url(client: &Client, path: &str, region: Option<&str>, lun: Option<i32>) -> Url {
    let lun = lun.map(|lun| lun.to_string());
    let parameters = [("region", region), ("lun", lun.as_deref())];
    let query: Vec<_> = parameters.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).collect();
    client.url(&format!("/content{path}"), &query)
}
