//! The stored bytes: golden files that hold the format still, and decoders against bytes that lie.
//!
//! The golden files were written once (`GALERIE_WRITE_GOLDEN=1`) and belong to format version 1; a difference means that
//! old stores cannot be read.

use std::path::PathBuf;

use bytes::Bytes;
use galerie_store::{
    BlobId, BlobKind, ChunkId, Codec, Manifest, PackId, Segment, StoredBlob,
    chunking::{Piece, SEGMENT_SIZE_BYTES, SegmentCutter, gear_table},
    pack::{PackBuilder, PackTable, blob_at, split_pack},
};
use proptest::prelude::*;

fn check_golden(name: &str, bytes: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("GALERIE_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, bytes).unwrap();
    }
    let golden = std::fs::read(&path).unwrap();
    assert!(golden == bytes, "{} differs from what this program writes", path.display());
}

/// 3 MiB of BLAKE3 output of "golden", 1 MiB of zeros, 100 000 bytes of 0xA5, 20 000 zeros, the first 300 000 bytes of the
/// output again.
fn golden_guest() -> Vec<u8> {
    let mut noise = vec![0; 3 << 20];
    blake3::Hasher::new().update(b"golden").finalize_xof().fill(&mut noise);
    let again = noise[..300_000].to_vec();
    let mut guest = noise;
    guest.resize(4 << 20, 0);
    guest.extend([0xA5; 100_000]);
    guest.extend([0; 20_000]);
    guest.extend(again);
    guest
}

fn segment_of(guest: &[u8]) -> (Segment, Vec<Vec<u8>>) {
    let (mut segment, mut chunks) = (Segment::default(), Vec::new());
    let mut take = |piece: Piece<'_>| match piece {
        Piece::Zero(length) => segment.push(length, None),
        Piece::Data(bytes) => {
            chunks.push(bytes.to_vec());
            segment.push(bytes.len() as u32, Some(ChunkId(BlobId::of(bytes))))
        }
    };
    let (mut cutter, mut rest) = (SegmentCutter::new(), guest);
    while !rest.is_empty() {
        let space = cutter.space();
        let length = space.len().min(rest.len());
        space[..length].copy_from_slice(&rest[..length]);
        cutter.filled(length, &mut take).unwrap();
        rest = &rest[length..];
    }
    cutter.finish(&mut take).unwrap();
    (segment, chunks)
}

fn golden_manifest() -> (Segment, Manifest) {
    let segment = segment_of(&golden_guest()).0;
    let mut manifest = Manifest::new(3 * SEGMENT_SIZE_BYTES + 512).unwrap();
    manifest.push(0, segment.id()).unwrap();
    manifest.push(2, segment.id()).unwrap();
    (segment, manifest)
}

/// Raw blobs only: what zstd makes of bytes is its own affair.
fn pack_of(blobs: &[(BlobKind, Bytes)]) -> Bytes {
    let mut builder = PackBuilder::new(PackId(*b"golden-pack-name"));
    for (kind, bytes) in blobs {
        let (id, length_bytes) = (BlobId::of(bytes), bytes.len() as u32);
        builder.push(StoredBlob { id, kind: *kind, codec: Codec::Raw, length_bytes, bytes: bytes.clone() });
    }
    builder.seal().parts.concat().into()
}

fn golden_pack() -> Bytes {
    let (segment, manifest) = golden_manifest();
    let chunk = Bytes::from_static(b"a chunk");
    pack_of(&[(BlobKind::Chunk, chunk), (BlobKind::Segment, segment.encode()), (BlobKind::Manifest, manifest.encode())])
}

#[test]
fn the_gear_table_is_as_ever() {
    let text: String = gear_table().iter().map(|number| format!("{number:016x}\n")).collect();
    check_golden("gear.txt", text.as_bytes());
}

#[test]
fn cuts_are_where_they_were() {
    let (segment, _) = segment_of(&golden_guest());
    let lines = segment.entries().iter().map(|entry| match entry.chunk {
        Some(chunk) => format!("{} {} {chunk}\n", entry.start_bytes, entry.length_bytes),
        None => format!("{} {} zero\n", entry.start_bytes, entry.length_bytes),
    });
    check_golden("cuts.txt", lines.collect::<String>().as_bytes());
}

#[test]
fn segments_and_manifests_are_encoded_as_ever() {
    let (segment, manifest) = golden_manifest();
    check_golden("segment.bin", &segment.encode());
    check_golden("manifest.bin", &manifest.encode());
    check_golden("ids.txt", format!("segment {}\nmanifest {}\n", segment.id(), manifest.id()).as_bytes());
    assert_eq!(Segment::decode(&segment.encode()).unwrap(), segment);
    assert_eq!(Manifest::decode(&manifest.encode()).unwrap(), manifest);
}

#[test]
fn packs_are_laid_out_as_ever() {
    let pack = golden_pack();
    check_golden("pack.bin", &pack);
    let table = split_pack(&pack, PackId(*b"golden-pack-name")).unwrap();
    for entry in &table.entries {
        blob_at(&pack, 0, entry).unwrap().decode().unwrap();
    }
    assert!(split_pack(&pack, PackId(*b"another-name-now")).is_err());
}

fn with_magic(magic: &[u8], numbers: &[u32]) -> Vec<u8> {
    let mut bytes = [magic, &1_u16.to_le_bytes(), &[0; 2]].concat();
    numbers.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
    bytes
}

#[test]
fn zero_runs_that_no_chunker_makes_are_refused() {
    let chunk = Some(ChunkId(BlobId::of(b"chunk")));
    for (pieces, is_good) in [
        (vec![(4096, chunk), (3 * 4096, None)], false),
        (vec![(4096, chunk), (4 * 4096, None)], true),
        // The disk ends there.
        (vec![(4096, chunk), (3 * 4096 + 1, None)], true),
        (vec![(4096, chunk), (3 * 4096 + 1, None), (5, chunk)], false),
    ] {
        let mut segment = Segment::default();
        let pushed = pieces.iter().try_for_each(|(length_bytes, chunk)| segment.push(*length_bytes, *chunk));
        assert_eq!(pushed.is_ok(), is_good, "{pieces:?}: {pushed:?}");
    }
}

#[test]
fn counts_that_lie_allocate_nothing() {
    for count in [1, 1000, u32::MAX] {
        assert!(Segment::decode(&with_magic(b"GSEG", &[64 << 20, count])).is_err());
        assert!(Manifest::decode(&with_magic(b"GMAN", &[1 << 30, 0, 64 << 20, count])).is_err());
    }
    assert!(Manifest::decode(&with_magic(b"GMAN", &[1, 64 << 8, 64 << 20, 0])).is_err(), "more than 64 TiB");
}

#[test]
fn a_blob_that_swells_past_what_it_says_is_refused() {
    let bomb = StoredBlob::encode(BlobKind::Chunk, &vec![0; 256 * 1024]);
    assert_eq!(bomb.codec, Codec::Zstd);
    for length_bytes in [1, 1000, (256 << 10) - 1, (256 << 10) + 1, u32::MAX] {
        assert!(StoredBlob { length_bytes, ..bomb.clone() }.decode().is_err(), "{length_bytes}");
    }
    assert!(bomb.decode().is_ok());
}

#[test]
fn incompressible_bytes_are_stored_raw() {
    let mut noise = vec![0; 100_000];
    blake3::Hasher::new().update(b"noise").finalize_xof().fill(&mut noise);
    let blob = StoredBlob::encode(BlobKind::Chunk, &noise);
    assert_eq!((blob.codec, blob.bytes.len()), (Codec::Raw, noise.len()));
    assert_eq!(StoredBlob::encode(BlobKind::Chunk, &[1]).decode().unwrap(), [1].as_slice());
}

/// A few changed bytes, and perhaps an end cut off or added.
fn mutated(bytes: &[u8], changes: &[(u32, u8)], length_change: i16) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (at, value) in changes {
        let at = *at as usize % bytes.len();
        bytes[at] = *value;
    }
    let length = bytes.len().saturating_add_signed(isize::from(length_change));
    bytes.resize(length, 0);
    bytes
}

fn mutations() -> impl Strategy<Value = (Vec<(u32, u8)>, i16)> {
    let at = prop_oneof![any::<u32>(), 0_u32..200];
    (proptest::collection::vec((at, any::<u8>()), 0..6), prop_oneof![Just(0_i16), any::<i16>(), -60_i16..60])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_mutated_segment_is_refused_or_canonical((changes, length_change) in mutations()) {
        let bytes = mutated(&golden_manifest_bytes().0, &changes, length_change);
        if let Ok(segment) = Segment::decode(&bytes) {
            prop_assert_eq!(segment.encode(), bytes);
        }
    }

    #[test]
    fn a_mutated_manifest_is_refused_or_canonical((changes, length_change) in mutations()) {
        let bytes = mutated(&golden_manifest_bytes().1, &changes, length_change);
        if let Ok(manifest) = Manifest::decode(&bytes) {
            prop_assert_eq!(manifest.encode(), bytes);
        }
    }

    #[test]
    fn a_mutated_pack_gives_no_wrong_blob((changes, length_change) in mutations()) {
        let pack = &golden_manifest_bytes().2;
        let bytes = Bytes::from(mutated(pack, &changes, length_change));
        if let Ok(PackTable { entries, .. }) = split_pack(&bytes, PackId(*b"golden-pack-name")) {
            for entry in entries {
                if let Ok(decoded) = blob_at(&bytes, 0, &entry).and_then(|blob| blob.decode()) {
                    prop_assert_eq!(BlobId::of(&decoded), entry.id);
                }
            }
        }
    }

    #[test]
    fn packs_keep_any_blobs(blobs in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..3000), 0..20)) {
        let blobs: Vec<_> = blobs.into_iter().map(|bytes| (BlobKind::Chunk, Bytes::from(bytes))).collect();
        let pack = pack_of(&blobs);
        let table = split_pack(&pack, PackId(*b"golden-pack-name")).unwrap();
        prop_assert_eq!(table.entries.len(), blobs.len());
        for (entry, (_, bytes)) in table.entries.iter().zip(&blobs) {
            prop_assert_eq!(&blob_at(&pack, 0, entry).unwrap().decode().unwrap(), bytes);
        }
    }
}

/// Segment, manifest and pack; made once, because cutting takes longer than a case.
fn golden_manifest_bytes() -> &'static (Bytes, Bytes, Bytes) {
    static BYTES: std::sync::OnceLock<(Bytes, Bytes, Bytes)> = std::sync::OnceLock::new();
    BYTES.get_or_init(|| {
        let (segment, manifest) = golden_manifest();
        (segment.encode(), manifest.encode(), golden_pack())
    })
}
