//! The world: three regions whose stores are in memory, and processes that serve them on one catalogue, by one clock.
//!
//! What runs in a process is the program's own `Control` on its own regions; only the backends under the stores, the clock
//! and what polls the tasks are the simulation's. Every process has its own way to every store, its own index and its own
//! staging folder, which outlive it as a disk does. The catalogue is one SQLite file in the working directory.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use galerie_arm::{ApiVersion, ResourceId, etag::Precondition};
use galerie_control::{
    Bootstrap, Caller, Clock, Control, ControlOptions, Database, ProcessOptions, RequestContext, ServedRegion,
    StoreIdentities, WorkerTuning,
};
use galerie_region::{Compression, LocalRegion, LocalRegionOptions, Region};
use galerie_store::{
    StoreOptions, Watermark,
    backend::{Backend, FaultPlan, FaultyBackend, MemoryBackend},
};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{journal::Journal, life::Life, random::Random, verdict::Verdict};

/// The regions.
pub(crate) const REGIONS: [&str; 3] = ["eastus", "westus", "westeurope"];
/// What clocks show when a run begins, in ms since the epoch.
const EPOCH_MS: i64 = 1_800_000_000_000;
/// Decoded chunks that a region keeps: few, so that reads reach the store.
const CACHE_BYTES: u64 = 256 << 10;

/// What differs from one world to the next.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Packs are small, so that an image of a megabyte takes several.
    pack_size_bytes: usize,
    collect_every: Duration,
    collect_grace_ms: i64,
}

impl Pace {
    /// Collections are rare, since each costs time.
    const CALM: Self =
        Self { pack_size_bytes: 300 << 10, collect_every: Duration::from_secs(40), collect_grace_ms: 5_000 };
    /// An import takes many packs, and several collections begin and end meanwhile: only its pin keeps what it has written.
    const HURRIED: Self =
        Self { pack_size_bytes: 20 << 10, collect_every: Duration::from_secs(2), collect_grace_ms: 1_000 };

    fn any(random: &mut Random) -> Self {
        if random.percent(15) { Self::HURRIED } else { Self::CALM }
    }

    /// How often what is done. Whoever waits for the next look waits in virtual time, which is free; but looking is not.
    fn tuning(self) -> WorkerTuning {
        WorkerTuning {
            poll_every: Duration::from_secs(10),
            collect_every: self.collect_every,
            collect_grace_ms: self.collect_grace_ms,
            // Longer than faults last, and several readings of everything.
            lost_after_ms: 5 * 60 * 1000,
            scrub_rate_bytes_s: 1 << 20,
            scrub_period: Duration::from_secs(90),
            ..WorkerTuning::default()
        }
    }
}

/// Virtual time as the time of day.
#[derive(Debug, Clone, Copy)]
struct VirtualClock(Instant);

impl Clock for VirtualClock {
    fn now_ms(&self) -> i64 {
        EPOCH_MS + i64::try_from(self.0.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

/// Everything there is. Clones are one.
#[derive(Clone)]
pub(crate) struct World(Arc<Inner>);

struct Inner {
    journal: Journal,
    verdict: Verdict,
    seed: u64,
    pace: Pace,
    clock: VirtualClock,
    stores: [Arc<MemoryBackend>; REGIONS.len()],
    processes: Mutex<Vec<Slot>>,
    owner: Caller,
    subscription: Uuid,
}

/// A process's place: its data directory, and who runs there now.
struct Slot {
    starts: u64,
    running: Option<Process>,
}

/// A running process.
#[derive(Clone)]
pub(crate) struct Process {
    /// Which one.
    pub(crate) number: usize,
    pub(crate) control: Control,
    /// Its workers and reconcilers.
    pub(crate) work: Life,
    /// The requests that it answers.
    pub(crate) requests: Life,
    /// Its ways to the stores, in the order of [`REGIONS`].
    pub(crate) links: [Arc<FaultyBackend>; REGIONS.len()],
}

impl Process {
    /// Does something in the process; `None` when it died before.
    pub(crate) async fn call<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        self.requests.call(work).await
    }

    pub(crate) fn freeze(&self) {
        self.requests.freeze();
        self.work.freeze();
    }

    pub(crate) fn thaw(&self) {
        self.requests.thaw();
        self.work.thaw();
    }
}

impl World {
    /// A world of `processes` processes, none of which runs, in the working directory. A catalogue that is there is used.
    pub(crate) async fn new(journal: Journal, verdict: Verdict, seed: u64, processes: usize) -> Self {
        let clock = VirtualClock(Instant::now());
        let made = bootstrap(clock).await;
        let owner = Caller::application(made.tenant, made.principal, made.client_id, true);
        let slots = (0..processes).map(|_| Slot { starts: 0, running: None }).collect();
        Self(Arc::new(Inner {
            journal,
            verdict,
            seed,
            pace: Pace::any(&mut Random::new(seed, 2)),
            clock,
            stores: std::array::from_fn(|_| Arc::default()),
            processes: Mutex::new(slots),
            owner,
            subscription: made.subscription,
        }))
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.0.journal
    }

    pub(crate) fn verdict(&self) -> &Verdict {
        &self.0.verdict
    }

    /// What one region's store keeps, whatever the way to it.
    pub(crate) fn store(&self, region: usize) -> &Arc<MemoryBackend> {
        &self.0.stores[region]
    }

    /// Choices of one part of the simulation.
    pub(crate) fn random(&self, stream: u64) -> Random {
        Random::new(self.0.seed, stream)
    }

    /// How many processes there may be.
    pub(crate) fn places(&self) -> usize {
        self.slots().len()
    }

    pub(crate) fn process(&self, number: usize) -> Option<Process> {
        self.slots().get(number)?.running.clone()
    }

    /// The processes that run, frozen ones, too.
    pub(crate) fn running(&self) -> Vec<Process> {
        self.slots().iter().filter_map(|slot| slot.running.clone()).collect()
    }

    /// Starts a process in its place. It waits for stores that it cannot reach.
    pub(crate) async fn start(&self, number: usize, plan: FaultPlan) {
        let start = {
            let mut slots = self.slots();
            let slot = &mut slots[number];
            assert!(slot.running.is_none(), "process {number} runs already");
            slot.starts += 1;
            slot.starts
        };
        let links = std::array::from_fn(|region| {
            let seed = self.0.seed ^ (number as u64) << 40 ^ start << 8 ^ region as u64;
            let store: Arc<dyn Backend> = self.0.stores[region].clone();
            Arc::new(FaultyBackend::new(store, plan, seed))
        });
        self.0.journal.note(format_args!("process {number} starts ({start})"));
        let (work, requests) = (Life::default(), Life::default());
        let control = self.open(number, start, &links, &work).await;
        control.start();
        self.0.journal.note(format_args!("process {number} serves"));
        self.slots()[number].running = Some(Process { number, control, work, requests, links });
    }

    async fn open(&self, number: usize, start: u64, links: &[Arc<FaultyBackend>], work: &Life) -> Control {
        let data = PathBuf::from(format!("process-{number}"));
        let index = data.join("index");
        // It is disposable, and that of a process that died may still be in use by what it was about to write.
        let _ = fs::remove_dir_all(&index);
        let identities = StoreIdentities::read(&database()).await.expect("a catalogue");
        let mut regions = Vec::new();
        for (name, link) in REGIONS.iter().zip(links) {
            let options = LocalRegionOptions {
                name: (*name).to_owned(),
                root: data.join(name),
                catalogue_id: identities.catalogue_id,
                expected_store_id: identities.region_stores.get(*name).map(|store| store.store_id),
                epoch: identities.region_stores.get(*name).map_or(1, |store| store.epoch),
                index_dir: index.join(format!("{name}-{start}")),
                cache_bytes: CACHE_BYTES,
                // Some regions' blobs are encoded anew when they come from others.
                compression: if *name == REGIONS[0] { Compression::Zstd } else { Compression::Lz4 },
            };
            let region: Arc<dyn Region> = loop {
                let link: Arc<dyn Backend> = link.clone();
                let place = format!("{name} in memory");
                let how = StoreOptions { pack_size_bytes: self.0.pace.pack_size_bytes, ..StoreOptions::default() };
                match LocalRegion::open_on(options.clone(), link, place, how, Watermark::none()).await {
                    Ok(region) => break Arc::new(region),
                    Err(error) => self.0.journal.note(format_args!("process {number} waits for {name}: {error}")),
                }
                sleep(Duration::from_secs(1)).await;
            };
            regions.push(ServedRegion { region, display_name: None });
        }
        let control = Control::open(ControlOptions {
            clock: Arc::new(self.0.clock),
            tuning: self.0.pace.tuning(),
            spawn: Arc::new(work.clone()),
            ..ControlOptions::new(database(), master_key(), regions)
        });
        let control = control.await.expect("a catalogue that opens");
        let joined = control.join(ProcessOptions {
            id: Uuid::from_u128(100 + number as u128),
            url: Some(url(number)),
            version: "simulated".to_owned(),
            hints: false,
        });
        joined.await.expect("nobody has the catalogue alone");
        control
    }

    /// Kills a process: nothing of it goes on, and nobody is told.
    pub(crate) fn kill(&self, number: usize) {
        let Some(process) = self.slots()[number].running.take() else { return };
        self.0.journal.note(format_args!("process {number} is killed"));
        process.requests.end();
        process.work.end();
    }

    /// Stops a process in order; whether it ran. Requests that it has not answered end as if it were killed.
    pub(crate) async fn stop(&self, number: usize) -> bool {
        let Some(process) = self.slots()[number].running.take() else { return false };
        self.0.journal.note(format_args!("process {number} stops"));
        process.control.begin_draining().await;
        process.requests.end();
        process.control.shutdown().await;
        process.work.end();
        self.0.journal.note(format_args!("process {number} has stopped"));
        true
    }

    /// What is staged in the folders of all processes.
    pub(crate) fn staged(&self) -> Vec<String> {
        let mut staged = Vec::new();
        for number in 0..self.places() {
            for name in REGIONS {
                let folder = PathBuf::from(format!("process-{number}")).join(name).join("staging");
                let files = fs::read_dir(folder).into_iter().flatten().flatten();
                staged.extend(files.map(|file| file.path().display().to_string()));
            }
        }
        staged
    }

    /// A request of the one who owns everything.
    pub(crate) fn context(&self) -> RequestContext {
        self.context_of(self.0.owner.clone())
    }

    pub(crate) fn context_of(&self, caller: Caller) -> RequestContext {
        RequestContext {
            caller,
            api_version: ApiVersion::stable(2024, 3, 3),
            preconditions: Precondition::default(),
            auxiliary: Vec::new(),
            correlation_id: Uuid::new_v4(),
            client_address: None,
        }
    }

    /// Virtual time as the program's processes read it.
    pub(crate) fn now_ms(&self) -> i64 {
        self.0.clock.now_ms()
    }

    pub(crate) fn owner(&self) -> &Caller {
        &self.0.owner
    }

    pub(crate) fn subscription(&self) -> Uuid {
        self.0.subscription
    }

    /// An id in the group `rg`: `disks/d`; the group's own for nothing.
    pub(crate) fn id(&self, below: &str) -> ResourceId {
        let group = format!("/subscriptions/{}/resourceGroups/rg", self.0.subscription);
        let text = if below.is_empty() { group } else { format!("{group}/providers/Microsoft.Compute/{below}") };
        text.parse().expect("an id")
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.0.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where other processes are told to reach one.
pub(crate) fn url(number: usize) -> String {
    format!("https://process-{number}")
}

fn database() -> Database {
    Database::Sqlite(PathBuf::from("catalogue.db"))
}

fn master_key() -> PathBuf {
    PathBuf::from("master.key")
}

/// Makes the catalogue in the working directory, with its keys, its first tenant and its first subscription, or says what
/// these are.
async fn bootstrap(clock: impl Clock + 'static) -> Bootstrap {
    let options =
        ControlOptions { clock: Arc::new(clock), ..ControlOptions::new(database(), master_key(), Vec::new()) };
    let control = Control::open(options).await.expect("a catalogue");
    let made = control.bootstrap().await.expect("a first start");
    control.shutdown().await;
    made
}

/// Makes a catalogue in a folder, to be copied: making its keys takes longer than a short run.
pub(crate) async fn prepare(folder: &Path) {
    std::env::set_current_dir(folder).expect("a folder");
    bootstrap(VirtualClock(Instant::now())).await;
}
