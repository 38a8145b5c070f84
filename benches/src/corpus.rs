//! What the images take, all metadata included; beside it, fixed blocks, and segments of other sizes.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    path::Path,
};

use galerie_store::{
    BlobId, BlobKind, Compression, GuestBytes, StoredBlob,
    chunking::{Piece, SegmentCutter},
};

use crate::{
    Bench, Result,
    blocks::{BLOCK_BYTES, Blocks, on_all_cores},
    child,
    report::{Report, Verdict},
    scratch_store::guest,
    text::mib,
};

const STORED_MAX_MIB: f64 = 1130.0;
/// What a pack's table says about a blob.
const PACK_ENTRY_BYTES: u64 = 48;
/// What a segment says about a chunk.
const SEGMENT_ENTRY_BYTES: u64 = 36;
const SEGMENT_SIZES_MIB: [u64; 3] = [16, 64, 256];

pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let images = [bench.images.v1.as_path(), &bench.images.v2, &bench.images.v3];
    let store = tempfile::tempdir_in(&bench.scratch)?;
    let child = child::import(store.path(), &images, bench.compression).await?;
    let stored: Vec<f64> = child.imports.iter().map(|import| mib(import.pack_bytes)).collect();
    let fixed = fixed_blocks(&images)?;
    let row = report
        .row("the three images, stored", format!("{:.0} MiB", stored[2]))
        .beside(format!("fixed 64 KiB blocks, zstd -3: {:.0} MiB", fixed[2]))
        .note(format!("after each image {}; in fixed blocks {}", steps(&stored), steps(&fixed)));
    if bench.images.are_small {
        row.add();
    } else {
        row.budget("<= 1,130 MiB").verdict(Verdict::at_most(stored[2], STORED_MAX_MIB)).add();
    }

    let per_blob = |bytes: u64| bytes as f64 / child.blobs as f64;
    report
        .row("index", format!("{:.1} B a chunk in memory", per_blob(child.index_memory_bytes)))
        .beside(format!("{:.1} B on disk; {} chunks and lists", per_blob(child.index_disk_bytes), child.blobs))
        .add();

    let mut sizes = HashMap::new();
    for segment_mib in SEGMENT_SIZES_MIB {
        let found = cut_alike(&images, segment_mib << 20, &mut sizes)?;
        let stored: Vec<f64> = found.iter().map(|image| mib(image.stored_bytes)).collect();
        let patched = &found[1];
        report
            .row(format!("segments of {segment_mib} MiB would take"), format!("{:.1} MiB", stored[2]))
            .beside(format!("a patch day changes {} of {} segments", patched.new_segments, patched.segments))
            .add();
    }
    Ok(())
}

fn steps(stored: &[f64]) -> String {
    stored.iter().map(|mib| format!("{mib:.0}")).collect::<Vec<_>>().join(" -> ") + " MiB"
}

/// What all images up to each take in fixed blocks that are kept once.
fn fixed_blocks(images: &[&Path]) -> Result<Vec<f64>> {
    let (mut kept, mut total_bytes, mut steps) = (HashSet::new(), 0, Vec::new());
    for image in images {
        let blocks = Blocks::read(image)?;
        let new: Vec<&[u8]> = blocks.iter().filter(|block| kept.insert(BlobId::of(block))).collect();
        let sizes = on_all_cores(&new, || (), |(), block| stored_bytes(block));
        total_bytes += sizes.iter().sum::<u64>() + sizes.len() as u64 * PACK_ENTRY_BYTES;
        total_bytes += (blocks.size_bytes() / BLOCK_BYTES as u64) * SEGMENT_ENTRY_BYTES;
        steps.push(mib(total_bytes));
    }
    Ok(steps)
}

fn stored_bytes(bytes: &[u8]) -> u64 {
    StoredBlob::encode_as(BlobId::of(bytes), BlobKind::Chunk, bytes, Compression::Zstd).bytes.len() as u64
}

/// An image among those before it.
struct Cut {
    segments: u64,
    new_segments: u64,
    /// What it and those before it take.
    stored_bytes: u64,
}

/// What the images would take with segments of another size. `sizes` remembers chunks that were compressed before.
fn cut_alike(images: &[&Path], segment_bytes: u64, sizes: &mut HashMap<BlobId, u64>) -> Result<Vec<Cut>> {
    let (mut kept, mut stored_bytes, mut cuts) = (HashSet::new(), 0, Vec::new());
    for image in images {
        let guest = guest(image)?;
        let mut cut = Cut { segments: 0, new_segments: 0, stored_bytes: 0 };
        for start in (0..guest.virtual_size_bytes()).step_by(segment_bytes as usize) {
            let range = start..(start + segment_bytes).min(guest.virtual_size_bytes());
            let chunks = chunks_of(&*guest, range, sizes)?;
            if chunks.is_empty() {
                continue;
            }
            cut.segments += 1;
            let list: Vec<u8> = chunks.iter().flat_map(|id| id.0).collect();
            if kept.insert(BlobId::of(&list)) {
                cut.new_segments += 1;
                stored_bytes += chunks.len() as u64 * SEGMENT_ENTRY_BYTES + PACK_ENTRY_BYTES;
            }
            stored_bytes +=
                chunks.iter().filter(|id| kept.insert(**id)).map(|id| sizes[id] + PACK_ENTRY_BYTES).sum::<u64>();
        }
        cut.stored_bytes = stored_bytes;
        cuts.push(cut);
    }
    Ok(cuts)
}

/// The chunks of a part of a disk, cut as one segment.
fn chunks_of(guest: &dyn GuestBytes, range: Range<u64>, sizes: &mut HashMap<BlobId, u64>) -> Result<Vec<BlobId>> {
    let mut chunks = Vec::new();
    let mut take = |piece: Piece<'_>| {
        if let Piece::Data(bytes) = piece {
            let id = BlobId::of(bytes);
            sizes.entry(id).or_insert_with(|| stored_bytes(bytes));
            chunks.push(id);
        }
        Ok(())
    };
    let mut cutter = SegmentCutter::new();
    let mut at = range.start;
    while at < range.end {
        let data = guest.next_data(at)?.unwrap_or(range.end..range.end);
        let data = data.start.clamp(at, range.end)..data.end.clamp(at, range.end);
        cutter.zeros(data.start - at, &mut take)?;
        at = data.start;
        while at < data.end {
            let space = cutter.space();
            let length = space.len().min((data.end - at) as usize);
            guest.read_at(at, &mut space[..length])?;
            cutter.filled(length, &mut take)?;
            at += length as u64;
        }
    }
    cutter.finish(&mut take)?;
    Ok(chunks)
}
