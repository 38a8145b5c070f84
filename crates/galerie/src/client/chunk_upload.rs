//! Sends an image as chunks: what `galerie publish` does instead of writing pages.
//!
//! The client cuts, hashes and compresses, and leaves out what the server is known to have: what the base versions list, and
//! what this upload has sent before.
//! Chunks go in batches, some at a time; a segment follows only when every chunk it lists was acknowledged, because the
//! server accepts no list of things that it has not got. Memory is bounded by the batches under way.

use std::{
    collections::HashSet,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use galerie_store::{BlobId, BlobKind, BlobSink, ManifestId, StoredBlob, frame};
use reqwest::Method;
use serde_json::json;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};

use super::{Client, Error, Result, blob_endpoint::BlobEndpoint};

/// A batch is sent when it has this many bytes.
const BATCH_BYTES: u64 = 4 << 20;
/// Or this many blobs.
const BATCH_BLOBS: usize = 512;
/// Batches of chunks under way at once.
const IN_FLIGHT_MAX: usize = 4;
/// Batches that wait to be sent; then the import waits.
const QUEUE_MAX: usize = 2;
/// How long nothing may be sent before we say that we are still there. The server gives an upload up after 15 minutes, and
/// reading what is unchanged, and need not be sent, can take hours.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Half a hash names a blob well enough among those of one image, and takes half the memory.
type ShortId = [u8; 16];

/// An upload to one disk.
pub(crate) struct ChunkUpload {
    endpoint: Arc<BlobEndpoint>,
    known: HashSet<BlobId>,
    filling: Mutex<Filling>,
    queue: mpsc::Sender<Work>,
    /// What ended the upload; the import only learns that it ended.
    failure: Arc<Mutex<Option<Error>>>,
}

#[derive(Default)]
struct Filling {
    chunks: Batch,
    /// Segments and the manifest.
    lists: Batch,
    /// What was filled in, sent or not: lists go after it, whoever names it. 16 bytes for each blob.
    sent: HashSet<ShortId>,
}

#[derive(Default)]
struct Batch {
    body: BytesMut,
    blobs: usize,
}

enum Work {
    /// In any order.
    Chunks(Bytes),
    /// After everything before.
    Lists(Bytes),
    /// Answers when everything before was acknowledged.
    Flush(oneshot::Sender<()>),
}

impl ChunkUpload {
    /// Opens an upload to the disk behind a SAS URL. `base` is a version that the client may read and the blobs that it
    /// lists: those are referred to and not sent.
    ///
    /// Call it in a tokio runtime; the import that puts blobs runs on threads of its own.
    ///
    /// # Errors
    /// `Refused`, `Unreachable`.
    pub(crate) async fn open(
        client: &Client,
        sas_url: &str,
        ca_file: Option<&Path>,
        base: Option<(String, HashSet<BlobId>)>,
    ) -> Result<Arc<Self>> {
        let endpoint = Arc::new(BlobEndpoint::new(sas_url, ca_file)?);
        let known = match base {
            Some((version_id, known)) => {
                let bases = json!([version_id]);
                endpoint.send_signed_in(client, Method::PUT, "galerie-bases", |request| request.json(&bases)).await?;
                known
            }
            None => HashSet::new(),
        };
        let (queue, work) = mpsc::channel(QUEUE_MAX);
        let failure = Arc::new(Mutex::new(None));
        tokio::spawn(send_all(Arc::clone(&endpoint), work, Arc::clone(&failure)));
        Ok(Arc::new(Self { endpoint, known, filling: Mutex::default(), queue, failure }))
    }

    /// Says that everything was sent: the disk now is what the manifest names.
    ///
    /// # Errors
    /// `Refused`, `Unreachable`.
    pub(crate) async fn commit(&self, manifest: ManifestId) -> Result<()> {
        let named = json!({ "manifestId": manifest.to_string() });
        self.endpoint.send(Method::PUT, Some("galerie-manifest"), |request| request.json(&named)).await.map(|_| ())
    }

    /// What ended the upload, if something did.
    pub(crate) fn take_failure(&self) -> Option<Error> {
        lock(&self.failure).take()
    }
}

impl Filling {
    /// What is filled, to be sent in this order: lists go after the chunks they may name.
    fn take_filled(&mut self, chunks: bool, lists: bool) -> Vec<Work> {
        let mut filled = Vec::new();
        if (chunks || lists) && self.chunks.blobs > 0 {
            filled.push(Work::Chunks(self.chunks.take()));
        }
        if lists && self.lists.blobs > 0 {
            filled.push(Work::Lists(self.lists.take()));
        }
        filled
    }
}

impl Batch {
    fn add(&mut self, blob: &StoredBlob) {
        frame::encode(blob, &mut self.body);
        self.blobs += 1;
    }

    fn is_full(&self) -> bool {
        self.body.len() as u64 >= BATCH_BYTES || self.blobs >= BATCH_BLOBS
    }

    fn take(&mut self) -> Bytes {
        self.blobs = 0;
        self.body.split().freeze()
    }
}

#[async_trait]
impl BlobSink for ChunkUpload {
    fn contains(&self, id: &BlobId) -> galerie_store::Result<bool> {
        Ok(self.known.contains(id) || lock(&self.filling).sent.contains(&short(id)))
    }

    fn put(&self, blob: StoredBlob) -> galerie_store::Result<()> {
        let mut filling = lock(&self.filling);
        filling.sent.insert(short(&blob.id));
        match blob.kind {
            BlobKind::Chunk => filling.chunks.add(&blob),
            BlobKind::Segment | BlobKind::Manifest => filling.lists.add(&blob),
        }
        let (chunks, lists) = (filling.chunks.is_full(), filling.lists.is_full());
        // Under the lock: what is taken out first is sent first.
        filling
            .take_filled(chunks, lists)
            .into_iter()
            .try_for_each(|work| self.queue.blocking_send(work).map_err(|_| ended()))
    }

    async fn finish(&self) -> galerie_store::Result<()> {
        let (sender, acknowledged) = oneshot::channel();
        let mut left = lock(&self.filling).take_filled(true, true);
        left.push(Work::Flush(sender));
        for work in left {
            self.queue.send(work).await.map_err(|_| ended())?;
        }
        acknowledged.await.map_err(|_| ended())
    }
}

/// Sends what is queued until the queue or the luck ends.
async fn send_all(endpoint: Arc<BlobEndpoint>, mut work: mpsc::Receiver<Work>, failure: Arc<Mutex<Option<Error>>>) {
    let mut under_way = JoinSet::new();
    loop {
        let next = match timeout(SILENCE_MAX, work.recv()).await {
            Ok(Some(next)) => next,
            Ok(None) => return,
            Err(_) => Work::Chunks(Bytes::new()),
        };
        if let Err(error) = send_next(&endpoint, next, &mut under_way).await {
            lock(&failure).get_or_insert(error);
            return;
        }
    }
}

async fn send_next(endpoint: &Arc<BlobEndpoint>, work: Work, under_way: &mut JoinSet<Result<()>>) -> Result<()> {
    match work {
        Work::Chunks(body) => {
            settle(under_way, IN_FLIGHT_MAX - 1).await?;
            let endpoint = Arc::clone(endpoint);
            under_way.spawn(async move { send_batch(&endpoint, body).await });
        }
        Work::Lists(body) => {
            settle(under_way, 0).await?;
            send_batch(endpoint, body).await?;
        }
        Work::Flush(acknowledge) => {
            settle(under_way, 0).await?;
            // Nobody waits any more when the import was cancelled.
            let _ = acknowledge.send(());
        }
    }
    Ok(())
}

/// Waits until no more than so many batches are under way.
async fn settle(under_way: &mut JoinSet<Result<()>>, most: usize) -> Result<()> {
    while under_way.len() > most {
        let Some(sent) = under_way.join_next().await else { break };
        sent.map_err(|error| Error::nonsense("send chunks", error.to_string()))??;
    }
    Ok(())
}

async fn send_batch(endpoint: &BlobEndpoint, body: Bytes) -> Result<()> {
    let send =
        |request: reqwest::RequestBuilder| request.header("Content-Type", frame::CONTENT_TYPE).body(body.clone());
    endpoint.send(Method::PUT, Some("galerie-blobs"), send).await.map(|_| ())
}

fn short(id: &BlobId) -> ShortId {
    *id.0.first_chunk().expect("a hash has 32 bytes")
}

fn ended() -> galerie_store::Error {
    galerie_store::Error::Unavailable("the upload ended".to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
