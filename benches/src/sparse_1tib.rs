//! Memory while a disk of 1 TiB, mostly holes, is imported and served.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use crate::{
    Bench, Result, child,
    fio::{Part, Pattern, Served, Until, read},
    images::{noise, words},
    machine::peak_memory_bytes,
    report::{Report, Verdict},
    text::mib,
};

const DISK_BYTES: u64 = 1 << 40;
const MEMORY_MAX_MIB: f64 = 512.0;
const CACHE_MIB: u64 = 384;
/// There is data at every so many bytes, in every sixteenth segment.
const DATA_EVERY_BYTES: u64 = 1 << 30;

pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir_in(&bench.scratch)?;
    let image = folder.path().join("sparse.raw");
    let data_each = if bench.images.are_small { 64 << 10 } else { 1 << 20 };
    write_sparse(&image, data_each)?;
    let store = folder.path().join("store");
    let imported = child::import(&store, &[&image], bench.compression).await?;
    let run = &imported.imports[0];
    let peak = mib(imported.peak_memory_bytes);
    report
        .row("memory while importing 1 TiB, sparse", format!("{peak:.0} MiB"))
        .budget("< 512 MiB")
        .beside(format!("{:.0} MiB of data, imported in {:.1} s", mib(run.data_bytes), run.took.wall_s))
        .verdict(Verdict::at_most(peak, MEMORY_MAX_MIB))
        .add();

    let socket = folder.path().join("ours.sock");
    let served = Served::start(child::serve_command(&store, run.manifest()?, &socket, CACHE_MIB)?, &socket).await?;
    let whole = Part { offset_bytes: 0, length_bytes: DISK_BYTES };
    let counted = if bench.images.are_small { 2 } else { 10 };
    let rate = read(&served, Pattern::Random { depth: 32 }, whole, Until::Seconds { counted, before: 0 }).await?;
    for number in 0..(DISK_BYTES / DATA_EVERY_BYTES) {
        let data = Part { offset_bytes: number * DATA_EVERY_BYTES, length_bytes: data_each as u64 };
        if number % 16 == 0 {
            read(&served, Pattern::Sequential, Part { length_bytes: 16 << 20, ..data }, Until::Bytes(16 << 20)).await?;
        }
    }
    let peak = mib(peak_memory_bytes(&served.process()));
    report
        .row("memory while serving it, cache of 384 MiB", format!("{peak:.0} MiB"))
        .budget("< 512 MiB")
        .beside(format!("read at random: {rate:.0}/s"))
        .verdict(Verdict::at_most(peak, MEMORY_MAX_MIB))
        .add();
    served.stop().await
}

/// Half of the data compresses, half does not.
fn write_sparse(path: &Path, data_each: usize) -> Result<()> {
    let file = File::create(path)?;
    file.set_len(DISK_BYTES)?;
    for number in 0..(DISK_BYTES / DATA_EVERY_BYTES) {
        let data = if number % 2 == 0 { noise(number, data_each) } else { words(number, data_each) };
        file.write_all_at(&data, number * DATA_EVERY_BYTES)?;
    }
    Ok(())
}
