//! The handle: the catalogue, the keys, the regions, and the workers that act on them.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex as SyncMutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use galerie_arm::Locations;
use galerie_region::Region;
use galerie_store::Watermark;
use tokio::sync::{Mutex, Notify, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    AwayRegion, Clock, Error, Fetch, NoFetch, RegionElsewhere, ServedRegion, Spawn, SystemClock, TokioSpawn,
    WorkerTuning,
    audit::Denials,
    away::{self, RegionSlot},
    clock,
    db::{self, CatalogueUse, Connection, Database, Db, chore, operation, pin, replica, setting, transact},
    identity::Identity,
    keys::Keys,
    operations,
    processes::Member,
    reconcile,
    regions::{Regions, adopt, by_name},
};

/// How long [`Control::shutdown`] waits for work to put itself down.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(25);

/// What [`Control::open`] needs.
pub struct ControlOptions {
    /// Where the catalogue is.
    pub database: Database,
    /// The key that wraps the catalogue's keys; made with the first of them.
    pub master_key_file: PathBuf,
    /// The folder of this process's own, where no backup is made. Next to the master key unless it is said.
    pub data_dir: PathBuf,
    /// The regions that this process serves.
    pub regions: Vec<ServedRegion>,
    /// Those whose store cannot be opened now.
    pub away: Vec<AwayRegion>,
    /// Those that only other processes serve.
    pub elsewhere: Vec<RegionElsewhere>,
    /// Where the present comes from, unless it is the machine's and the catalogue has a clock of its own (PostgreSQL).
    pub clock: Arc<dyn Clock>,
    /// How much is done at once.
    pub tuning: WorkerTuning,
    /// Who runs workers and reconcilers.
    pub spawn: Arc<dyn Spawn>,
    /// The way to what users' links name.
    pub fetch: Arc<dyn Fetch>,
}

impl ControlOptions {
    /// With the machine's clock, the usual tuning and the caller's runtime. Nothing is fetched.
    #[must_use]
    pub fn new(database: impl Into<Database>, master_key_file: PathBuf, regions: Vec<ServedRegion>) -> Self {
        let database = database.into();
        let (clock, tuning, spawn) = (Arc::new(SystemClock), WorkerTuning::default(), Arc::new(TokioSpawn));
        let (away, elsewhere) = (Vec::new(), Vec::new());
        let fetch = Arc::new(NoFetch);
        let data_dir = master_key_file.parent().unwrap_or(Path::new(".")).to_owned();
        Self { database, master_key_file, data_dir, regions, away, elsewhere, clock, tuning, spawn, fetch }
    }
}

/// The domain. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Control(Arc<Inner>);

struct Inner {
    db: Db,
    keys: Arc<Keys>,
    identity: Identity,
    regions: Regions,
    locations: Locations,
    tuning: WorkerTuning,
    /// This process, as leases and pins name it while it has not joined others.
    owner: String,
    catalogue_id: Uuid,
    /// This process among the others of a shared catalogue.
    member: OnceLock<Member>,
    draining: AtomicBool,
    /// Wake-ups that other processes are to hear of.
    announcements: Notify,
    data_dir: PathBuf,
    woken: watch::Sender<()>,
    /// Changes when time made a jump.
    time: watch::Sender<()>,
    stopping: CancellationToken,
    tasks: TaskTracker,
    spawn: Arc<dyn Spawn>,
    fetch: Arc<dyn Fetch>,
    catalogue_use: Mutex<Option<CatalogueUse>>,
    chunk_uploads: Arc<crate::chunk_upload::ChunkUploads>,
    content_lists: Arc<crate::content::Lists>,
    catalogue_space: OnceLock<Watermark>,
    /// When this process collects garbage next, by itself; 0 for never.
    next_collection_ms: AtomicI64,
    /// The volumes that were low at the last look.
    low_on_space: SyncMutex<HashSet<String>>,
    denials: Denials,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("catalogue_id", &self.0.catalogue_id).finish_non_exhaustive()
    }
}

impl Control {
    /// Opens the catalogue and its keys, and checks that the regions' stores are the ones it knows. Nothing runs yet; what is
    /// away is tried again from [`Control::start`] on.
    ///
    /// # Errors
    /// A catalogue, key file or region that cannot be used, each named.
    pub async fn open(options: ControlOptions) -> Result<Self, Error> {
        let ControlOptions {
            database,
            master_key_file,
            data_dir,
            regions,
            away,
            elsewhere,
            clock,
            tuning,
            spawn,
            fetch,
        } = options;
        let db = Db::open_by(&database, clock).await?;
        clock::go_on(&db).await?;
        let (regions, locations) = by_name(regions, away, elsewhere)?;
        let now_ms = db.time().now_ms();
        let (catalogue_id, keys) = transact!(&db, |tx| -> Result<(Uuid, Keys), Error> {
            let catalogue_id = catalogue_id(tx).await?;
            let keys = Keys::open(tx, &master_key_file, now_ms).await?;
            for (name, slot) in &regions {
                match slot.plane() {
                    Some(region) => adopt(tx, &**region, now_ms).await?,
                    None => away::check_known(tx, name).await?,
                }
            }
            Ok((catalogue_id, keys))
        })?;
        let keys = Arc::new(keys);
        let identity = Identity::new(db.clone(), keys.clone());
        Ok(Self(Arc::new(Inner {
            db,
            keys,
            identity,
            regions,
            locations,
            tuning,
            owner: Uuid::new_v4().simple().to_string(),
            catalogue_id,
            member: OnceLock::new(),
            draining: AtomicBool::new(false),
            announcements: Notify::new(),
            data_dir,
            woken: watch::Sender::new(()),
            time: watch::Sender::new(()),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
            spawn,
            fetch,
            catalogue_use: Mutex::default(),
            chunk_uploads: Arc::default(),
            content_lists: Arc::default(),
            catalogue_space: OnceLock::new(),
            next_collection_ms: AtomicI64::new(0),
            low_on_space: SyncMutex::default(),
            denials: Denials::default(),
        })))
    }

    /// Makes the catalogue this process's alone, and ends the claims and pins that a process left which died; without it
    /// they run out by themselves. Before [`Control::start`]. Of a SQLite file the caller knows that it is alone (it holds
    /// the data directory's lock); of a PostgreSQL database this takes a lock, held until [`Control::shutdown`].
    ///
    /// # Errors
    /// `CatalogueInUse` when another process has a PostgreSQL database; the catalogue's.
    pub async fn take_over(&self) -> Result<(), Error> {
        let sole_use = self.db().sole_use().await?.ok_or(Error::CatalogueInUse)?;
        self.keep_use(sole_use).await;
        let (operations, replicas, pins) = transact!(self.db(), |tx| -> Result<(u64, u64, u64), Error> {
            crate::backup::release_hold(tx).await?;
            let (operations, replicas) = (operation::release_all(tx).await?, replica::release_all(tx).await?);
            Ok((operations, replicas, pin::release_all(tx).await?))
        })?;
        if operations + replicas + pins > 0 {
            tracing::info!(operations, replicas, pins, "took over what another process left");
        }
        Ok(())
    }

    /// Starts the workers and reconcilers. Call once, within a tokio runtime.
    pub fn start(&self) {
        operations::start(self);
        reconcile::start(self);
    }

    /// Stops the workers, waits for them to put down what they do, and closes the catalogue. What was under way goes on
    /// at the next start.
    pub async fn shutdown(&self) {
        self.0.stopping.cancel();
        self.0.tasks.close();
        if tokio::time::timeout(SHUTDOWN_WITHIN, self.0.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.0.tasks.len(), "stop without waiting any longer for work under way");
        }
        if let Err(error) = self.write_denials().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "write the last refusals");
        }
        self.leave().await;
        let catalogue_use = self.0.catalogue_use.lock().await.take();
        // First what still writes ends: whoever has the catalogue alone next must find it still.
        self.0.db.close().await;
        if let Some(catalogue_use) = catalogue_use {
            catalogue_use.give_up().await;
        }
    }

    /// Stops everything that runs and tells nobody, as a process that is killed does.
    #[cfg(test)]
    pub(crate) async fn die(&self) {
        self.0.stopping.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// The identity provider.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// The regions that resources can be in, with their display names.
    #[must_use]
    pub fn locations(&self) -> &Locations {
        &self.0.locations
    }

    /// The catalogue's own id.
    #[must_use]
    pub fn catalogue_id(&self) -> Uuid {
        self.0.catalogue_id
    }

    /// The folder of this process's own.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.0.data_dir
    }

    /// Looks for work now, here and in the other processes.
    pub fn wake(&self) {
        self.wake_here();
        self.0.announcements.notify_one();
    }

    /// Looks for work now, in this process.
    pub(crate) fn wake_here(&self) {
        self.0.woken.send_replace(());
    }

    /// Wake-ups that other processes are to hear of.
    pub(crate) fn announcements(&self) -> &Notify {
        &self.0.announcements
    }

    /// This process among others, if it has joined them.
    pub(crate) fn member(&self) -> Option<&Member> {
        self.0.member.get()
    }

    /// Whether it was the first to be.
    pub(crate) fn become_member(&self, member: Member) -> bool {
        self.0.member.set(member).is_ok()
    }

    pub(crate) fn set_draining(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Relaxed)
    }

    pub(crate) async fn keep_use(&self, catalogue_use: CatalogueUse) {
        *self.0.catalogue_use.lock().await = Some(catalogue_use);
    }

    /// Takes the lock that keeps offline commands away again, when its session was lost (the database was restarted).
    pub(crate) async fn check_use(&self) {
        let mut held = self.0.catalogue_use.lock().await;
        if let Some(held) = held.as_mut()
            && held.holds().await
        {
            return;
        }
        match self.db().shared_use().await {
            Ok(Some(again)) => *held = Some(again),
            Ok(None) => tracing::error!("an offline command uses the catalogue beside this process"),
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "lock the catalogue again"),
        }
    }

    /// Whether this process does a chore now and for `period`, for all processes of the catalogue.
    pub(crate) async fn takes_chore(&self, name: &str, period: Duration) -> db::Result<bool> {
        let Some(member) = self.member() else { return Ok(true) };
        let period_ms = i64::try_from(period.as_millis()).unwrap_or(i64::MAX);
        transact!(self.db(), |tx| -> db::Result<bool> {
            let now_ms = tx.now_ms().await?;
            chore::take(tx, name, &member.id, now_ms, now_ms.saturating_add(period_ms)).await
        })
    }

    pub(crate) fn db(&self) -> &Db {
        &self.0.db
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.0.keys
    }

    /// The way to what users' links name.
    pub(crate) fn fetcher(&self) -> &dyn Fetch {
        &*self.0.fetch
    }

    /// By the catalogue's clock, as far as this process knows it. What decides about others' rows asks the transaction,
    /// which knows exactly ([`Connection::now_ms`]).
    pub(crate) fn now_ms(&self) -> i64 {
        self.db().time().now_ms()
    }

    pub(crate) fn tuning(&self) -> &WorkerTuning {
        &self.0.tuning
    }

    /// This process, as leases and pins name it.
    pub(crate) fn owner(&self) -> &str {
        self.member().map_or(&self.0.owner, |member| &member.id)
    }

    /// A region that this process serves, unless it is away.
    pub(crate) fn region(&self, name: &str) -> Option<Arc<dyn Region>> {
        self.0.regions.get(name)?.plane().cloned()
    }

    /// Those that are not away.
    pub(crate) fn regions(&self) -> impl Iterator<Item = &Arc<dyn Region>> {
        self.0.regions.values().filter_map(RegionSlot::plane)
    }

    /// The names of those that are not away.
    pub(crate) fn region_names(&self) -> Vec<String> {
        self.regions().map(|region| region.name().to_owned()).collect()
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = (&str, &RegionSlot)> {
        self.0.regions.iter().map(|(name, slot)| (name.as_str(), slot))
    }

    pub(crate) fn chunk_uploads(&self) -> &Arc<crate::chunk_upload::ChunkUploads> {
        &self.0.chunk_uploads
    }

    pub(crate) fn content_lists(&self) -> &Arc<crate::content::Lists> {
        &self.0.content_lists
    }

    pub(crate) fn catalogue_space(&self) -> &OnceLock<Watermark> {
        &self.0.catalogue_space
    }

    /// When this process collects garbage next, by itself.
    pub(crate) fn next_collection_ms(&self) -> Option<i64> {
        Some(self.0.next_collection_ms.load(Ordering::Relaxed)).filter(|ms| *ms > 0)
    }

    /// From now on it is a period until the next collection.
    pub(crate) fn count_down_to_collection(&self) {
        let period_ms = i64::try_from(self.0.tuning.collect_every.as_millis()).unwrap_or(i64::MAX);
        self.0.next_collection_ms.store(self.now_ms().saturating_add(period_ms), Ordering::Relaxed);
    }

    /// Refusals that are not in the audit yet.
    pub(crate) fn denials(&self) -> &Denials {
        &self.0.denials
    }

    pub(crate) fn low_on_space(&self) -> HashSet<String> {
        self.0.low_on_space.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_low_on_space(&self, low: HashSet<String>) {
        *self.0.low_on_space.lock().unwrap_or_else(PoisonError::into_inner) = low;
    }

    /// Cancelled when the process stops.
    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.0.stopping
    }

    /// Changes whenever somebody calls [`Control::wake`].
    pub(crate) fn woken(&self) -> watch::Receiver<()> {
        self.0.woken.subscribe()
    }

    /// Has everything look again that waits for its time.
    pub(crate) fn time_has_moved(&self) {
        self.0.time.send_replace(());
        self.wake();
    }

    /// Changes whenever time makes a jump.
    pub(crate) fn time(&self) -> watch::Receiver<()> {
        self.0.time.subscribe()
    }

    /// Waits until woken, until it is time to look again, or until the process stops.
    pub(crate) async fn rest(&self, woken: &mut watch::Receiver<()>) {
        tokio::select! {
            () = self.stopping().cancelled() => {}
            _ = woken.changed() => {}
            () = tokio::time::sleep(self.0.tuning.poll_every) => {}
        }
    }

    /// Spawns work that [`Control::shutdown`] waits for.
    pub(crate) fn track(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn.spawn(Box::pin(self.0.tasks.track_future(work)));
    }
}

/// The catalogue's id; made with the catalogue.
pub(crate) async fn catalogue_id(tx: &mut Connection) -> Result<Uuid, Error> {
    if let Some(text) = setting::find(tx, setting::CATALOGUE).await? {
        return Ok(text.parse().map_err(|_| db::Error::Corrupt(format!("the catalogue's id is '{text}'")))?);
    }
    let id = Uuid::new_v4();
    setting::put(tx, setting::CATALOGUE, &id.to_string()).await?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    async fn options(world: &World, regions: Vec<ServedRegion>) -> ControlOptions {
        let database = crate::testing::database(world.directory.path()).await;
        ControlOptions::new(database, world.directory.path().join("master.key"), regions)
    }

    fn served(region: &Arc<crate::testing::TestRegion>) -> ServedRegion {
        ServedRegion { region: region.clone(), display_name: Some("Here".to_owned()) }
    }

    #[tokio::test]
    async fn a_foreign_store_is_refused_by_name() {
        let (world, other) = (World::new().await, World::new().await);
        let foreign = &other.regions["eastus"];
        let error = Control::open(options(&world, vec![served(foreign)]).await).await.unwrap_err().to_string();
        for expected in ["eastus", &foreign.store_id().to_string(), &world.regions["eastus"].store_id().to_string()] {
            assert!(error.contains(expected), "{error}");
        }
    }

    /// Of a SQLite file the data directory's lock says so, which is not this crate's.
    #[tokio::test]
    async fn a_shared_database_has_one_server_at_a_time() {
        let world = World::new().await;
        if !crate::testing::database(world.directory.path()).await.is_shared() {
            return;
        }
        world.control.take_over().await.unwrap();
        let other = world.reopen().await;
        assert!(matches!(other.control.take_over().await, Err(Error::CatalogueInUse)));
        world.control.shutdown().await;
        other.control.take_over().await.unwrap();
    }

    #[tokio::test]
    async fn a_region_twice_is_refused() {
        let world = World::new().await;
        let east = &world.regions["eastus"];
        let error = Control::open(options(&world, vec![served(east), served(east)]).await).await.unwrap_err();
        assert!(matches!(error, Error::Regions(_)), "{error}");
    }

    #[tokio::test]
    async fn a_second_open_finds_everything_as_it_was() {
        let world = World::new().await;
        world.furnish().await;
        let before = world.get("galleries/g").await.unwrap();
        world.control.shutdown().await;
        let after = world.reopen().await;
        assert_eq!(after.control.catalogue_id(), world.control.catalogue_id());
        assert_eq!((after.caller.clone(), after.subscription), (world.caller.clone(), world.subscription));
        assert_eq!(after.get("galleries/g").await.unwrap(), before);
        let regions: Vec<_> = after.control.locations().iter().map(|(name, shown)| format!("{name}={shown}")).collect();
        assert_eq!(regions, ["eastus=East US", "westeurope=West Europe", "westus=West US"]);
        let subscriptions = after.control.subscriptions(&after.caller).await.unwrap();
        assert_eq!(subscriptions[0].display_name, "Galerie");
    }
}
