//! Blobs on the wire: stored blobs one after another, each with a small header.
//!
//! ```text
//! id 32 bytes | kind u8 | codec u8 | decoded length u32 LE | stored length u32 LE | stored bytes
//! ```
//! A body is any number of frames; it ends at a frame's end. Promises: a header that claims more than its kind allows is
//! refused before anything is allocated. Does not: verify contents; that is [`StoredBlob::decode`].

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{BlobId, BlobKind, Codec, Error, Result, StoredBlob};

/// Bytes before a frame's stored bytes.
pub const FRAME_HEADER_BYTES: usize = 32 + 1 + 1 + 4 + 4;

/// The media type of a body of frames.
pub const CONTENT_TYPE: &str = "application/vnd.galerie.blobs";

/// How many bytes [`encode`] appends for `blob`.
#[must_use]
pub fn encoded_bytes(blob: &StoredBlob) -> usize {
    FRAME_HEADER_BYTES + blob.bytes.len()
}

/// Appends `blob` as a frame.
///
/// # Panics
/// When the blob has more stored bytes than a `u32` counts, which no kind allows.
pub fn encode(blob: &StoredBlob, out: &mut BytesMut) {
    out.reserve(encoded_bytes(blob));
    out.put_slice(&header(blob));
    out.put_slice(&blob.bytes);
}

/// A frame's header alone, for a writer that sends the stored bytes without copying them.
///
/// # Panics
/// As [`encode`].
#[must_use]
pub fn header(blob: &StoredBlob) -> [u8; FRAME_HEADER_BYTES] {
    let stored_bytes = u32::try_from(blob.bytes.len()).expect("blobs are a few megabytes at most");
    let mut header = [0; FRAME_HEADER_BYTES];
    let mut rest = &mut header[..];
    rest.put_slice(&blob.id.0);
    rest.put_u8(blob.kind as u8);
    rest.put_u8(blob.codec as u8);
    rest.put_u32_le(blob.length_bytes);
    rest.put_u32_le(stored_bytes);
    header
}

/// Takes a body apart as it arrives, in pieces of any size. Holds at most one unfinished frame and what was pushed last.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    pending: BytesMut,
}

impl FrameDecoder {
    /// A decoder at the start of a body.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes more of the body. Call [`FrameDecoder::next_frame`] until it has nothing before pushing again.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole frame, if it has arrived.
    ///
    /// # Errors
    /// `Corrupt` when a header is impossible; the rest of the body means nothing then.
    pub fn next_frame(&mut self) -> Result<Option<StoredBlob>> {
        let Some(header) = self.pending.first_chunk::<FRAME_HEADER_BYTES>() else { return Ok(None) };
        let header = Header::read(header)?;
        let end = FRAME_HEADER_BYTES + header.stored_bytes;
        if self.pending.len() < end {
            return Ok(None);
        }
        let bytes = self.pending.split_to(end).freeze().slice(FRAME_HEADER_BYTES..);
        let Header { id, kind, codec, length_bytes, .. } = header;
        Ok(Some(StoredBlob { id, kind, codec, length_bytes, bytes }))
    }

    /// Says that the body has ended.
    ///
    /// # Errors
    /// `Corrupt` when that was in the middle of a frame.
    pub fn finish(&self) -> Result<()> {
        match self.pending.len() {
            0 => Ok(()),
            left => Err(Error::Corrupt(format!("a body of blobs ends {left} bytes into a frame"))),
        }
    }
}

/// All frames of a body that is in memory.
///
/// # Errors
/// `Corrupt` as [`FrameDecoder`] has it; `Invalid` when there are more than `most_frames`.
pub fn decode_all(body: Bytes, most_frames: usize) -> Result<Vec<StoredBlob>> {
    let mut rest = body;
    let mut blobs = Vec::new();
    while !rest.is_empty() {
        if blobs.len() == most_frames {
            return Err(Error::Invalid(format!("a body of blobs has more than {most_frames} frames")));
        }
        let cut = || Error::Corrupt("a body of blobs ends within a frame".to_owned());
        let header = Header::read(rest.first_chunk::<FRAME_HEADER_BYTES>().ok_or_else(cut)?)?;
        rest.advance(FRAME_HEADER_BYTES);
        if rest.len() < header.stored_bytes {
            return Err(cut());
        }
        let bytes = rest.split_to(header.stored_bytes);
        let Header { id, kind, codec, length_bytes, .. } = header;
        blobs.push(StoredBlob { id, kind, codec, length_bytes, bytes });
    }
    Ok(blobs)
}

struct Header {
    id: BlobId,
    kind: BlobKind,
    codec: Codec,
    length_bytes: u32,
    stored_bytes: usize,
}

impl Header {
    /// Refuses lengths that no blob of the kind has; encoding never makes a blob longer.
    fn read(header: &[u8; FRAME_HEADER_BYTES]) -> Result<Self> {
        let mut fields = &header[..];
        let mut id = [0; 32];
        fields.copy_to_slice(&mut id);
        let id = BlobId(id);
        let (kind, codec) = (BlobKind::try_from(fields.get_u8())?, Codec::try_from(fields.get_u8())?);
        let (length_bytes, stored_bytes) = (fields.get_u32_le(), fields.get_u32_le() as usize);
        let length = length_bytes as usize;
        let possible = (1..=kind.max_bytes()).contains(&length) && (1..=length).contains(&stored_bytes);
        if !possible || (codec == Codec::Raw && stored_bytes != length) {
            return Err(Error::Corrupt(format!("the frame of blob {id} has impossible lengths")));
        }
        Ok(Self { id, kind, codec, length_bytes, stored_bytes })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(blobs: &[StoredBlob]) -> Bytes {
        let mut out = BytesMut::new();
        blobs.iter().for_each(|blob| encode(blob, &mut out));
        out.freeze()
    }

    fn same(left: &[StoredBlob], right: &[StoredBlob]) -> bool {
        let fields = |blob: &StoredBlob| (blob.id, blob.kind, blob.codec, blob.length_bytes, blob.bytes.clone());
        left.len() == right.len() && left.iter().zip(right).all(|(a, b)| fields(a) == fields(b))
    }

    #[test]
    fn golden_frame() {
        let blob = StoredBlob::encode(BlobKind::Chunk, b"abc");
        let encoded = body(std::slice::from_ref(&blob));
        assert_eq!(encoded.len(), encoded_bytes(&blob));
        assert_eq!(&encoded[..32], &blob.id.0);
        assert_eq!(&encoded[32..], &[1, 0, 3, 0, 0, 0, 3, 0, 0, 0, b'a', b'b', b'c']);
    }

    #[test]
    fn impossible_headers_are_refused() {
        let good = body(&[StoredBlob::encode(BlobKind::Chunk, &[7; 100])]);
        let check = |at: usize, bytes: &[u8]| {
            let mut bad = good.to_vec();
            bad[at..at + bytes.len()].copy_from_slice(bytes);
            let error = decode_all(bad.into(), 10).unwrap_err();
            assert!(matches!(error, Error::Corrupt(_)), "{at}: {error}");
        };
        check(32, &[9]);
        check(33, &[9]);
        check(34, &[0, 0, 0, 0]);
        check(34, &u32::MAX.to_le_bytes());
        check(38, &u32::MAX.to_le_bytes());
        check(38, &[0, 0, 0, 0]);
        check(33, &[0]);
        assert!(decode_all(good.slice(..good.len() - 1), 10).is_err());
        assert!(decode_all(good.slice(..10), 10).is_err());
        assert!(matches!(decode_all(good, 0), Err(Error::Invalid(_))));
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_give_the_same_blobs(
            contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..8),
            piece in 1_usize..200,
        ) {
            let blobs: Vec<_> = contents.iter().map(|bytes| StoredBlob::encode(BlobKind::Chunk, bytes)).collect();
            let body = body(&blobs);
            prop_assert!(same(&decode_all(body.clone(), 8).unwrap(), &blobs));
            let (mut decoder, mut found) = (FrameDecoder::new(), Vec::new());
            for piece in body.chunks(piece) {
                decoder.push(piece);
                while let Some(blob) = decoder.next_frame().unwrap() {
                    found.push(blob);
                }
            }
            decoder.finish().unwrap();
            prop_assert!(same(&found, &blobs));
        }

        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode_all(bytes.clone().into(), 8);
            let mut decoder = FrameDecoder::new();
            decoder.push(&bytes);
            while let Ok(Some(_)) = decoder.next_frame() {}
        }
    }
}
