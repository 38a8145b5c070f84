//! Blobs as they are stored and carried: an id, a kind, a codec and the encoded bytes.

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    BlobId, Codec, Compression, Error, Result, chunking::CHUNK_MAX_BYTES, manifest::MANIFEST_ENCODED_MAX_BYTES,
    segment::SEGMENT_ENCODED_MAX_BYTES,
};

/// Above this many bytes, decoding goes to blocking threads rather than holding up the calling task.
const INLINE_DECODE_MAX_BYTES: u64 = 512 * 1024;

/// What a blob's decoded bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum BlobKind {
    /// Guest bytes.
    Chunk = 1,
    /// An encoded [`crate::SegmentId`] list.
    Segment = 2,
    /// An encoded manifest.
    Manifest = 3,
}

impl BlobKind {
    /// The most bytes a blob of this kind has when decoded; what decoding may allocate.
    pub const fn max_bytes(self) -> usize {
        match self {
            Self::Chunk => CHUNK_MAX_BYTES,
            Self::Segment => SEGMENT_ENCODED_MAX_BYTES,
            Self::Manifest => MANIFEST_ENCODED_MAX_BYTES,
        }
    }
}

impl TryFrom<u8> for BlobKind {
    type Error = Error;
    fn try_from(byte: u8) -> Result<Self> {
        match byte {
            1 => Ok(Self::Chunk),
            2 => Ok(Self::Segment),
            3 => Ok(Self::Manifest),
            _ => Err(Error::Corrupt(format!("{byte} is no kind of blob"))),
        }
    }
}

/// A blob as stored: still encoded, not verified until [`StoredBlob::decode`] says so.
#[derive(Debug, Clone)]
pub struct StoredBlob {
    /// The hash of the decoded bytes.
    pub id: BlobId,
    /// What the decoded bytes are.
    pub kind: BlobKind,
    /// How `bytes` are encoded.
    pub codec: Codec,
    /// The length of the decoded bytes; bounds what decoding may allocate.
    pub length_bytes: u32,
    /// The encoded bytes.
    pub bytes: Bytes,
}

impl StoredBlob {
    /// Hashes and encodes `bytes`: zstd, or raw where that gains less than 5 %.
    ///
    /// # Panics
    /// When `bytes` is empty or longer than the kind allows.
    pub fn encode(kind: BlobKind, bytes: &[u8]) -> Self {
        Self::encode_as(BlobId::of(bytes), kind, bytes, Compression::Zstd)
    }

    /// Encodes `bytes`, for a caller that has hashed them already and says what with.
    ///
    /// # Panics
    /// As [`StoredBlob::encode`].
    pub fn encode_as(id: BlobId, kind: BlobKind, bytes: &[u8], compression: Compression) -> Self {
        assert!((1..=kind.max_bytes()).contains(&bytes.len()), "{} bytes cannot be a {kind:?}", bytes.len());
        let length_bytes = u32::try_from(bytes.len()).expect("bounded above");
        let (codec, bytes) = compression.encode(bytes);
        Self { id, kind, codec, length_bytes, bytes }
    }

    /// The blob as a store with this compression keeps it. Verified, when it is encoded anew.
    ///
    /// # Errors
    /// `Corrupt`, naming the blob, when it has to be decoded for that and does not decode to its id.
    pub(crate) fn kept_as(self, compression: Compression) -> Result<Self> {
        match compression.keeps(self.codec) {
            true => Ok(self),
            false => Ok(Self::encode_as(self.id, self.kind, &self.decode()?, compression)),
        }
    }

    /// Decodes the blob and verifies that it has its id. Allocates no more than the kind allows.
    ///
    /// # Errors
    /// `Corrupt`, naming the blob.
    pub fn decode(&self) -> Result<Bytes> {
        let corrupt = |why: &str| Error::Corrupt(format!("blob {} {why}", self.id));
        let length = self.length_bytes as usize;
        if length == 0 || length > self.kind.max_bytes() {
            return Err(corrupt("has an impossible length"));
        }
        let decoded = self.codec.decode(&self.bytes, length).map_err(corrupt)?;
        match BlobId::of(&decoded) == self.id {
            true => Ok(decoded),
            false => Err(corrupt("does not match its hash")),
        }
    }
}

/// Something blobs can be fetched from: a domain of a region store, or a server across the network.
#[async_trait]
pub trait BlobSource: Send + Sync {
    /// Fetches blobs, in the order asked for. The caller verifies them by decoding.
    ///
    /// `listed_by` is the blob that lists all of `ids`: a segment for chunks, a manifest for segments, `None` for a
    /// manifest. A server across the network answers only what its client may read, and finds that out there; a
    /// domain of a local store ignores it.
    ///
    /// # Errors
    /// `NotFound` names the first blob that is not there.
    async fn fetch(&self, ids: &[BlobId], listed_by: Option<BlobId>) -> Result<Vec<StoredBlob>>;

    /// Names the set of blobs that can be fetched here, for caches that serve several sources: they keep apart what comes
    /// from different scopes. 0 for a process that has only one source.
    fn cache_scope(&self) -> u64 {
        0
    }

    /// Tells the source that a blob it gave does not decode to `id`, and asks for a good copy.
    ///
    /// # Errors
    /// `Corrupt`, naming the blob, when there is no other.
    async fn replace_corrupt(&self, id: BlobId, listed_by: Option<BlobId>) -> Result<StoredBlob> {
        let again = self.fetch(&[id], listed_by).await?.pop().ok_or_else(|| Error::NotFound(format!("blob {id}")))?;
        verified(&id, &again).map(|_| again)
    }

    /// Fetches blobs and decodes them, in the order asked for: verified bytes, or an error.
    ///
    /// # Errors
    /// As [`BlobSource::fetch`]; `Corrupt` when no good copy of a blob is to be had.
    async fn fetch_decoded(&self, ids: &[BlobId], listed_by: Option<BlobId>) -> Result<Vec<Bytes>> {
        let blobs = self.fetch(ids, listed_by).await?;
        check_count(ids, &blobs)?;
        let verdicts = decode_all(ids, &blobs).await?;
        let mut decoded = Vec::with_capacity(ids.len());
        for (id, verdict) in ids.iter().zip(verdicts) {
            decoded.push(match verdict {
                Ok(bytes) => bytes,
                Err(_) => verified(id, &self.replace_corrupt(*id, listed_by).await?)?,
            });
        }
        Ok(decoded)
    }

    /// Fetches blobs that were verified, still encoded: to hand on.
    ///
    /// # Errors
    /// As [`BlobSource::fetch_decoded`].
    async fn fetch_verified(&self, ids: &[BlobId], listed_by: Option<BlobId>) -> Result<Vec<StoredBlob>> {
        let mut blobs = self.fetch(ids, listed_by).await?;
        check_count(ids, &blobs)?;
        let verdicts = decode_all(ids, &blobs).await?;
        for ((id, blob), verdict) in ids.iter().zip(&mut blobs).zip(verdicts) {
            if verdict.is_err() {
                *blob = self.replace_corrupt(*id, listed_by).await?;
                verified(id, blob)?;
            }
        }
        Ok(blobs)
    }
}

/// The bytes of `id`, if that is what `blob` holds.
fn verified(id: &BlobId, blob: &StoredBlob) -> Result<Bytes> {
    if blob.id != *id {
        return Err(Error::Corrupt(format!("blob {} came where {id} was asked for", blob.id)));
    }
    blob.decode()
}

fn check_count(ids: &[BlobId], blobs: &[StoredBlob]) -> Result<()> {
    if ids.len() == blobs.len() {
        return Ok(());
    }
    Err(Error::Corrupt(format!("{} blobs came where {} were asked for", blobs.len(), ids.len())))
}

/// A verdict for each blob. Large batches are decoded on blocking threads, side by side.
async fn decode_all(ids: &[BlobId], blobs: &[StoredBlob]) -> Result<Vec<Result<Bytes>>> {
    let asked: Vec<(BlobId, StoredBlob)> = ids.iter().copied().zip(blobs.iter().cloned()).collect();
    let total_bytes: u64 = blobs.iter().map(|blob| u64::from(blob.length_bytes)).sum();
    if total_bytes <= INLINE_DECODE_MAX_BYTES {
        return Ok(asked.iter().map(|(id, blob)| verified(id, blob)).collect());
    }
    let mut batches = Vec::new();
    for batch in split_by_length(&asked) {
        let batch = batch.to_vec();
        batches.push(blocking(move || Ok(batch.iter().map(|(id, blob)| verified(id, blob)).collect::<Vec<_>>())));
    }
    Ok(futures::future::try_join_all(batches).await?.into_iter().flatten().collect())
}

fn split_by_length(blobs: &[(BlobId, StoredBlob)]) -> impl Iterator<Item = &[(BlobId, StoredBlob)]> {
    let mut sum_bytes = 0;
    blobs.split_inclusive(move |(_, blob)| {
        sum_bytes += u64::from(blob.length_bytes);
        let ends = sum_bytes >= INLINE_DECODE_MAX_BYTES;
        sum_bytes = if ends { 0 } else { sum_bytes };
        ends
    })
}

/// Does fallible work where it may block.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    crate::blocking::run(work).await.map_err(|error| Error::Unavailable(format!("blocking work ended: {error}")))?
}

/// Something an import puts blobs into: a domain's pack writer, or an upload to a server.
///
/// `contains` and `put` are called from the import's threads; `put` may block to hold the import back. What a segment lists is put before it, unless
/// it is kept already. A manifest is put last, and a sink makes it visible only when everything that was put before it is.
#[async_trait]
pub trait BlobSink: Send + Sync {
    /// What blobs are best compressed with before they are put: so they are kept as they come.
    fn compression(&self) -> Compression {
        Compression::default()
    }

    /// Whether the blob is already kept (or known to the server) and need not be encoded and put.
    ///
    /// # Errors
    /// `Io` or `Unavailable`, when that cannot be found out.
    fn contains(&self, id: &BlobId) -> Result<bool>;

    /// Takes a blob. Durable only after [`BlobSink::finish`].
    ///
    /// # Errors
    /// `Full`, `Io`, `Unavailable`; `Corrupt` when the sink has to decode the blob and it does not decode to its id. The import
    /// ends.
    fn put(&self, blob: StoredBlob) -> Result<()>;

    /// Makes everything put so far durable and visible.
    ///
    /// # Errors
    /// As [`BlobSink::put`].
    async fn finish(&self) -> Result<()>;
}
