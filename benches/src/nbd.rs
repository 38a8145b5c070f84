//! Serving disks over NBD, read by fio.
//!
//! - *Warm*: 256 MiB of the image in our cache, against nbdkit's file plugin on the raw file, which the page cache holds.
//! - *First touch*: nothing that is read was read before, nor anything near it, against qemu-nbd on the image as a
//!   zstd-compressed qcow2.
//! - *Cold start*: the first quarter of 256 MiB, at random, as a guest does that has just started; against the same.
//! - *Steady state*: a part of the image larger than our cache of 256 MiB is read for a while, against the same.
//!
//! Files are in the page cache on both sides. Servers and fio share the processors. Ours and the peer's runs alternate,
//! and the median of each is compared: a server's speed differs from run to run with where the scheduler puts it.

use std::path::{Path, PathBuf};

use galerie_store::ManifestId;
use tokio::process::Command;

use crate::{
    Bench, Result, child,
    fio::{Part, Pattern, Served, Until, read},
    machine::read_into_page_cache,
    report::{Report, Verdict},
    scratch_store::guest,
};

const WARM_BYTES: u64 = 256 << 20;
const WARM_CACHE_MIB: u64 = 384;
const SMALL_CACHE_MIB: u64 = 256;
/// The part that does not fit into the small cache.
const LARGE_BYTES: u64 = 1 << 30;
/// One in so many chunks is touched at first touch, so that few are touched twice.
const TOUCHED_SHARE: u64 = 4;
const CHUNK_AVERAGE_BYTES: u64 = 64 << 10;

pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir_in(&bench.scratch)?;
    let servers = Servers::prepare(bench, folder.path()).await?;
    for pattern in Pattern::ALL {
        warm(bench, &servers, pattern, report).await?;
    }
    for pattern in Pattern::ALL {
        first_touch(bench, &servers, pattern, report).await?;
    }
    for depth in [1, 32] {
        cold_start(bench, &servers, Pattern::Random { depth }, report).await?;
    }
    for pattern in Pattern::ALL {
        steady_state(bench, &servers, pattern, report).await?;
    }
    Ok(())
}

async fn warm(bench: &Bench, servers: &Servers, pattern: Pattern, report: &mut Report) -> Result<()> {
    let part = densest(&servers.raw, WARM_BYTES)?;
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds() {
        for (rates, served) in [(&mut ours, servers.ours(WARM_CACHE_MIB).await?), (&mut peers, servers.nbdkit().await?)]
        {
            read(&served, Pattern::Sequential, part, Until::Bytes(part.length_bytes)).await?;
            rates.push(read(&served, pattern, part, seconds(bench)).await?);
            served.stop().await?;
        }
    }
    let row = Compared { what: "NBD, 256 MiB warm", peer: "nbdkit file", times: 1.0, pattern };
    row.add(&ours, &peers, report);
    Ok(())
}

async fn first_touch(bench: &Bench, servers: &Servers, pattern: Pattern, report: &mut Report) -> Result<()> {
    let part = densest(&servers.raw, LARGE_BYTES)?;
    let until = match pattern {
        Pattern::Sequential => part.length_bytes,
        Pattern::Random { .. } => part.length_bytes / CHUNK_AVERAGE_BYTES / TOUCHED_SHARE * 4096,
    };
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds() {
        for (rates, served) in
            [(&mut ours, servers.ours(SMALL_CACHE_MIB).await?), (&mut peers, servers.qemu_nbd().await?)]
        {
            rates.push(read(&served, pattern, part, Until::Bytes(until)).await?);
            served.stop().await?;
        }
    }
    let row = Compared { what: "NBD, first touch", peer: "qemu-nbd, zstd qcow2", times: 1.3, pattern };
    row.add(&ours, &peers, report);
    Ok(())
}

/// What a guest sees that has just started: a part that fits into the cache, read at random, no block twice.
async fn cold_start(bench: &Bench, servers: &Servers, pattern: Pattern, report: &mut Report) -> Result<()> {
    let part = densest(&servers.raw, WARM_BYTES)?;
    let until = Until::Bytes(part.length_bytes / 4);
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds().min(3) {
        for (rates, served) in
            [(&mut ours, servers.ours(WARM_CACHE_MIB).await?), (&mut peers, servers.qemu_nbd().await?)]
        {
            rates.push(read(&served, pattern, part, until).await?);
            served.stop().await?;
        }
    }
    let row = Compared { what: "NBD, cold start in 256 MiB", peer: "qemu-nbd, zstd qcow2", times: 0.0, pattern };
    row.add(&ours, &peers, report);
    Ok(())
}

async fn steady_state(bench: &Bench, servers: &Servers, pattern: Pattern, report: &mut Report) -> Result<()> {
    let part = densest(&servers.raw, LARGE_BYTES)?;
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds() {
        for (rates, served) in
            [(&mut ours, servers.ours(SMALL_CACHE_MIB).await?), (&mut peers, servers.qemu_nbd().await?)]
        {
            rates.push(read(&served, pattern, part, seconds(bench)).await?);
            served.stop().await?;
        }
    }
    let row = Compared { what: "NBD, cache of 256 MiB, steady", peer: "qemu-nbd, zstd qcow2", times: 2.0, pattern };
    row.add(&ours, &peers, report);
    Ok(())
}

fn seconds(bench: &Bench) -> Until {
    if bench.images.are_small {
        Until::Seconds { counted: 1, before: 0 }
    } else {
        Until::Seconds { counted: 4, before: 3 }
    }
}

/// Ours against a peer, which we should be faster than by a factor.
struct Compared {
    what: &'static str,
    peer: &'static str,
    /// 0 when there is no budget.
    times: f64,
    pattern: Pattern,
}

impl Compared {
    fn add(self, ours: &[f64], peers: &[f64], report: &mut Report) {
        let (reached, peer) = (median(ours), median(peers));
        let rate = |rate| self.pattern.rate(rate);
        let all = |rates: &[f64]| rates.iter().map(|found| rate(*found)).collect::<Vec<_>>().join(", ");
        let row = report
            .row(
                format!("{}: {}", self.what, self.pattern.name()),
                format!("{} ({:.2} x)", rate(reached), reached / peer),
            )
            .beside(format!("{}: {}", self.peer, rate(peer)))
            .note(format!("ours {}; the peer's {}", all(ours), all(peers)));
        match self.times {
            0.0 => row.add(),
            times => {
                let budget =
                    if times == 1.0 { "at least the peer".to_owned() } else { format!(">= {times} x the peer") };
                row.budget(budget).verdict(Verdict::at_least(reached, peer * times)).add();
            }
        }
    }
}

fn median(rates: &[f64]) -> f64 {
    let mut sorted = rates.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The image in every form that is served.
struct Servers {
    folder: PathBuf,
    raw: PathBuf,
    qcow2: PathBuf,
    manifest: ManifestId,
}

impl Servers {
    async fn prepare(bench: &Bench, folder: &Path) -> Result<Self> {
        let raw = bench.images.v1.clone();
        let imports = child::import(&folder.join("store"), &[&raw], bench.compression).await?;
        read_into_page_cache(&folder.join("store"))?;
        let qcow2 = folder.join("v1.qcow2");
        let mut convert = Command::new("qemu-img");
        convert
            .args(["convert", "-f", "raw", "-O", "qcow2", "-c", "-o", "compression_type=zstd"])
            .arg(&raw)
            .arg(&qcow2);
        let status = convert.status().await.map_err(|error| format!("start qemu-img: {error}"))?;
        if !status.success() {
            return Err(format!("qemu-img ended with {status}").into());
        }
        Ok(Self { folder: folder.to_owned(), raw, qcow2, manifest: imports.imports[0].manifest()? })
    }

    async fn ours(&self, cache_mib: u64) -> Result<Served> {
        let socket = self.folder.join("ours.sock");
        let command = child::serve_command(&self.folder.join("store"), self.manifest, &socket, cache_mib)?;
        Served::start(command, &socket).await
    }

    async fn nbdkit(&self) -> Result<Served> {
        let socket = self.folder.join("nbdkit.sock");
        let mut command = Command::new("nbdkit");
        command.args(["--foreground", "--readonly", "--unix"]).arg(&socket).arg("file").arg(&self.raw);
        Served::start(command, &socket).await
    }

    async fn qemu_nbd(&self) -> Result<Served> {
        let socket = self.folder.join("qemu.sock");
        let mut command = Command::new("qemu-nbd");
        command.args(["--read-only", "--format=qcow2", "--persistent", "--shared=8", "--socket"]).arg(&socket);
        command.arg(&self.qcow2);
        Served::start(command, &socket).await
    }
}

/// Where most data lies within a stretch of this length: a place without it would measure zeros.
fn densest(image: &Path, length_bytes: u64) -> Result<Part> {
    const STEP_BYTES: u64 = 16 << 20;
    let guest = guest(image)?;
    let length_bytes = length_bytes.min(guest.virtual_size_bytes());
    let mut data = vec![0_u64; (guest.virtual_size_bytes().div_ceil(STEP_BYTES)) as usize];
    let mut at = 0;
    while let Some(run) = guest.next_data(at)? {
        at = run.start;
        while at < run.end {
            let end = ((at / STEP_BYTES + 1) * STEP_BYTES).min(run.end);
            data[(at / STEP_BYTES) as usize] += end - at;
            at = end;
        }
    }
    let steps = (length_bytes / STEP_BYTES).max(1) as usize;
    let whole_steps = (guest.virtual_size_bytes() / STEP_BYTES) as usize;
    let starts = 0..=whole_steps.saturating_sub(steps);
    let best = starts.max_by_key(|start| data.iter().skip(*start).take(steps).sum::<u64>()).unwrap_or(0);
    Ok(Part { offset_bytes: best as u64 * STEP_BYTES, length_bytes })
}
