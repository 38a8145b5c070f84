//! Collecting garbage: two of three images are deleted, and the collector runs until nothing more is to be done.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use galerie_store::{
    CollectReport, Collector, CollectorLedger, CollectorOptions, Condemned, ImportProgress, ManifestId, PackId, Roots,
    TenantId,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Bench, Result,
    cpu::Stopwatch,
    report::Report,
    scratch_store::ScratchStore,
    text::{mib, size},
};

/// A run that finds nothing to do comes after at most so many.
const RUNS_MAX: usize = 8;

pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir_in(&bench.scratch)?;
    let store = ScratchStore::open(folder.path(), bench.compression).await?;
    let progress = Arc::new(ImportProgress::default());
    let images = &bench.images;
    let mut manifests = Vec::new();
    for image in [&images.v1, &images.v2, &images.v3] {
        manifests.push(store.import(image, &progress).await?);
    }
    let before = store.pack_bytes();
    let ledger = Ledger::new(manifests.clone());
    let mut collector =
        Collector::new(store.domain.clone(), CollectorOptions { readers_grace_ms: 0, ..CollectorOptions::default() });

    let watch = Stopwatch::start();
    let all = collector.run(&ledger, 0, &CancellationToken::new()).await?;
    let took = watch.took();
    let blobs = all.live_blobs + all.dead_blobs;
    report
        .row("collector, marking", format!("{:.0} blobs/s", blobs as f64 / took.wall_s))
        .budget("prints its rate")
        .beside(format!("{blobs} blobs in {:.2} s, {:.2} s of processor time", took.wall_s, took.cpu_s))
        .add();
    report
        .row("collector, memory for marks", size(all.mark_memory_bytes))
        .budget("one bit per stored chunk")
        .beside(format!("{:.2} bits per blob", all.mark_memory_bytes as f64 * 8.0 / blobs as f64))
        .add();

    ledger.keep_only(manifests[1]);
    let watch = Stopwatch::start();
    let total = until_idle(&mut collector, &ledger).await?;
    let took = watch.took();
    let after = store.pack_bytes();
    report
        .row("collector, v1 and v3 deleted", format!("{:.0} MiB given back", mib(before - after)))
        .budget("prints what a run gives back")
        .beside(format!(
            "{:.0} -> {:.0} MiB, {:.0} MiB of it dead; {} packs deleted, {:.0} MiB copied, {:.1} s",
            mib(before),
            mib(after),
            mib(total.first.dead_bytes),
            total.deleted_packs,
            mib(total.copied_bytes),
            took.wall_s
        ))
        .add();
    Ok(())
}

struct Total {
    first: CollectReport,
    deleted_packs: u64,
    copied_bytes: u64,
}

async fn until_idle(collector: &mut Collector, ledger: &Ledger) -> Result<Total> {
    let mut total = Total { first: CollectReport::default(), deleted_packs: 0, copied_bytes: 0 };
    for number in 1..=RUNS_MAX {
        let run = collector.run(ledger, number as i64, &CancellationToken::new()).await?;
        if number == 1 {
            total.first = run;
        }
        total.deleted_packs += run.deleted_packs;
        total.copied_bytes += run.copied_bytes;
        if run.condemned_packs + run.deleted_packs + run.waiting_packs == 0 {
            break;
        }
    }
    Ok(total)
}

/// A catalogue's part, in memory.
struct Ledger {
    state: Mutex<State>,
}

struct State {
    roots: Vec<ManifestId>,
    sequence: u64,
    condemned: BTreeMap<PackId, u64>,
}

impl Ledger {
    fn new(roots: Vec<ManifestId>) -> Self {
        Self { state: Mutex::new(State { roots, sequence: 0, condemned: BTreeMap::new() }) }
    }

    fn keep_only(&self, root: ManifestId) {
        self.state().roots = vec![root];
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl CollectorLedger for Ledger {
    async fn roots(&self, _: &TenantId) -> galerie_store::Result<Roots> {
        Ok(Roots { whole: self.state().roots.clone(), arriving: Vec::new() })
    }

    async fn condemned(&self, _: &TenantId) -> galerie_store::Result<Vec<Condemned>> {
        let state = self.state();
        let condemned = state.condemned.iter();
        Ok(condemned.map(|(&pack, &sequence)| Condemned { pack, sequence, copied_ms: None }).collect())
    }

    async fn condemn(&self, _: &TenantId, packs: &[PackId]) -> galerie_store::Result<u64> {
        let mut state = self.state();
        state.sequence += 1;
        let sequence = state.sequence;
        state.condemned.extend(packs.iter().map(|pack| (*pack, sequence)));
        Ok(sequence)
    }

    async fn record_copied(&self, _: &TenantId, _: &[PackId], _: i64) -> galerie_store::Result<()> {
        // Without a grace for readers nobody asks.
        Ok(())
    }

    async fn oldest_pin(&self, _: &TenantId) -> galerie_store::Result<Option<u64>> {
        Ok(None)
    }

    async fn forget(&self, _: &TenantId, packs: &[PackId]) -> galerie_store::Result<()> {
        self.state().condemned.retain(|pack, _| !packs.contains(pack));
        Ok(())
    }
}
