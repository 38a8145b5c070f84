//! Importing: bytes that are new, bytes that are known, and what memory it takes.
//!
//! New bytes are measured against compressing the same data on all cores and doing nothing else, by turns with it. The
//! import reads a file that the page cache holds, and writes to disk what is left, fsync included.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use crate::{
    Bench, Result,
    blocks::Blocks,
    child,
    cpu::{Stopwatch, Took, best},
    machine::cores,
    report::{Report, Verdict},
    text::{mib, rate, size},
};

const NEW_SHARE_MIN: f64 = 0.85;
const KNOWN_BYTES_PER_CORE_S_MIN: f64 = 1e9;
const MEMORY_MAX_MIB: f64 = 512.0;

pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let blocks = Blocks::read(&bench.images.v1)?;
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds() {
        rounds.push(round(bench, &blocks).await?);
    }
    let took = |of: fn(&Round) -> Took| best(&rounds.iter().map(of).collect::<Vec<_>>());
    let (alone, new, known) = (took(|round| round.alone), took(|round| round.new), took(|round| round.known));
    let written = took(|round| round.written);
    let data_bytes = rounds[0].data_bytes;

    let share = (data_bytes as f64 / new.wall_s) / (blocks.size_bytes() as f64 / alone.wall_s);
    let cpu_share = (data_bytes as f64 / new.cpu_s) / (blocks.size_bytes() as f64 / alone.cpu_s);
    report
        .row("import, unique bytes", format!("{} ({:.0} % of zstd)", rate(data_bytes, new.wall_s), share * 100.0))
        .budget(format!(">= {:.0} % of zstd", NEW_SHARE_MIN * 100.0))
        .beside(format!("zstd -3, 64 KiB blocks, {} cores: {}", cores(), rate(blocks.size_bytes(), alone.wall_s)))
        .note(format!(
            "by processor time {:.0} %; writing the result ({}) alone takes {:.1} s of processor time, without which it \
             would be {:.0} %",
            cpu_share * 100.0,
            size(rounds[0].pack_bytes),
            written.cpu_s,
            cpu_share * 100.0 * new.cpu_s / (new.cpu_s - written.cpu_s)
        ))
        .verdict(Verdict::at_least(share, NEW_SHARE_MIN))
        .add();

    let per_core = data_bytes as f64 / known.cpu_s;
    report
        .row("import, bytes already stored", format!("{:.2} GB/s/core", per_core / 1e9))
        .budget(">= 1 GB/s/core")
        .beside(format!("{} on the clock with {} cores", rate(data_bytes, known.wall_s), cores()))
        .verdict(Verdict::at_least(per_core, KNOWN_BYTES_PER_CORE_S_MIN))
        .add();

    let peak = rounds.iter().map(|round| mib(round.peak_memory_bytes)).fold(0.0, f64::max);
    report
        .row("memory while importing, peak", format!("{peak:.0} MiB"))
        .budget("< 512 MiB")
        .verdict(Verdict::at_most(peak, MEMORY_MAX_MIB))
        .add();
    Ok(())
}

struct Round {
    alone: Took,
    new: Took,
    known: Took,
    /// The new packs, written to a file by somebody who does nothing else.
    written: Took,
    data_bytes: u64,
    pack_bytes: u64,
    peak_memory_bytes: u64,
}

async fn round(bench: &Bench, blocks: &Blocks) -> Result<Round> {
    let (alone, _) = blocks.compress();
    let store = tempfile::tempdir_in(&bench.scratch)?;
    let image = bench.images.v1.as_path();
    let child = child::import(store.path(), &[image, image, image], bench.compression).await?;
    let known = best(&[child.imports[1].took, child.imports[2].took]);
    let first = &child.imports[0];
    Ok(Round {
        alone,
        new: first.took,
        known,
        written: write(first.pack_bytes, &store.path().join("plain"))?,
        pack_bytes: first.pack_bytes,
        data_bytes: first.data_bytes,
        peak_memory_bytes: child.peak_memory_bytes,
    })
}

/// Writes this many bytes as the store writes packs: 64 MiB, fsync, the next.
fn write(bytes: u64, path: &Path) -> io::Result<Took> {
    const PACK_BYTES: u64 = 64 << 20;
    let pack = vec![1; PACK_BYTES as usize];
    let watch = Stopwatch::start();
    let mut file = File::create(path)?;
    let mut left = bytes;
    while left > 0 {
        let length = left.min(PACK_BYTES);
        file.write_all(&pack[..length as usize])?;
        file.sync_data()?;
        left -= length;
    }
    let took = watch.took();
    std::fs::remove_file(path)?;
    Ok(took)
}
