//! What the tests of this crate share: a catalogue with three regions on temporary directories, a clock that only moves
//! when told to, and faults on demand.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use galerie_arm::{ApiVersion, ArmError, OperationStatus, ResourceId, etag::Precondition};
use galerie_region::{
    ChunkUpload, Compression, Error as RegionError, Gathering, Imported, LocalRegion, LocalRegionOptions, Region,
    Result as RegionResult, UploadId, UploadRange,
};
use galerie_store::{
    BlobSource, CollectReport, CollectSurvey, CollectorLedger, CollectorOptions, CondemnedPacks, CopyProgress,
    DamageNotes, DomainStats, ImageReader, ImportProgress, ManifestId, MinFreeSpace, PackId, ScrubbedPack, Space,
    SpaceSource, VerifyReport, Watermark,
    backup::{DomainBackup, Repository},
    inspect::ImageAnatomy,
    pack::PackTable,
};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    AwayRegion, Blob, BlobAction, BlobError, Bootstrap, Caller, Clock, Control, ControlOptions, Database, Fetch,
    FetchError, Fetched, GrantView, OpenRegion, OperationRef, RegionElsewhere, RequestContext, Sas, ServedRegion,
    StoreIdentities, TokioSpawn, WorkerTuning, db::subscription::SubscriptionRow,
};

/// The regions of a [`World`].
pub(crate) const REGIONS: [&str; 3] = ["eastus", "westus", "westeurope"];
/// How long a fact is waited for before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the clock stands still for one who waits.
const LONG: Duration = Duration::from_secs(15);
/// How often workers look without being woken.
const POLL_EVERY: Duration = Duration::from_millis(20);
/// 20 MiB: the least that an upload may be.
pub(crate) const GUEST_BYTES: u64 = 20 << 20;

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub(crate) struct StillClock(pub(crate) AtomicI64);

impl StillClock {
    pub(crate) fn advance(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for StillClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// What the tests' regions keep free.
pub(crate) const LEAST_FREE_BYTES: u64 = 1000;

/// Free space as a test says it is.
#[derive(Debug, Clone)]
pub(crate) struct FreeBytes(pub(crate) Arc<AtomicU64>);

impl SpaceSource for FreeBytes {
    fn space(&self) -> std::io::Result<Space> {
        Ok(Space { total_bytes: u64::MAX, free_bytes: self.0.load(Ordering::SeqCst) })
    }
}

/// Links as a test says they are: `https://test/NAME` is the file `NAME`, whichever process asks. `NAME.busy` in its place is a
/// passing failure, `NAME.stalls` begins to come and never ends. Who asks for what is written to `NAME.asked`.
#[derive(Debug)]
struct TestLinks(PathBuf);

#[async_trait]
impl Fetch for TestLinks {
    async fn open(&self, url: &str) -> Result<Fetched, FetchError> {
        let name = url.trim_start_matches("https://test/").split('?').next().unwrap_or_default();
        let path = |kind: &str| self.0.join(format!("{name}{kind}"));
        std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path(".asked"))
            .and_then(|mut file| std::io::Write::write_all(&mut file, format!("{url}\n").as_bytes()))
            .expect("a folder of links");
        if path(".busy").exists() {
            return Err(FetchError::Passing(format!("{name} answered 503")));
        }
        if path(".stalls").exists() {
            let first = stream::once(async { Ok(Bytes::from_static(b"begun")) });
            return Ok(Fetched { length_bytes: Some(1000), body: first.chain(stream::pending()).boxed() });
        }
        let bytes = std::fs::read(path("")).map_err(|_| FetchError::Final(format!("{name} answered 404")))?;
        let pieces: Vec<_> = bytes.chunks(10_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        Ok(Fetched { length_bytes: Some(bytes.len() as u64), body: stream::iter(pieces).boxed() })
    }
}

/// What happens at a moment of the test's choice.
type Meanwhile = Box<dyn FnOnce() -> futures::future::BoxFuture<'static, ()> + Send>;

/// A local region that fails, or waits, when a test says so.
pub(crate) struct TestRegion {
    inner: LocalRegion,
    faults: Mutex<HashMap<&'static str, u64>>,
    panics: AtomicU64,
    gate: watch::Sender<bool>,
    /// What is free, as far as the region knows; see [`TestRegion::set_free`].
    free_bytes: FreeBytes,
    before_backup: Mutex<Option<Meanwhile>>,
    /// Copies begun.
    pub(crate) copies: AtomicU64,
    /// Collections begun.
    pub(crate) collections: AtomicU64,
    /// Packs that were scrubbed.
    pub(crate) scrubbed: AtomicU64,
    /// Copies that were told to stop.
    pub(crate) stopped: AtomicU64,
}

impl TestRegion {
    /// The next `times` calls of `method` fail with a passing error.
    pub(crate) fn fail(&self, method: &'static str, times: u64) {
        self.faults.lock().unwrap().insert(method, times);
    }

    /// Has the region believe that so much is free. [`LEAST_FREE_BYTES`] are kept.
    pub(crate) fn set_free(&self, bytes: u64) {
        self.free_bytes.0.store(bytes, Ordering::SeqCst);
    }

    /// The next `times` collections panic.
    pub(crate) fn panic_collecting(&self, times: u64) {
        self.panics.store(times, Ordering::SeqCst);
    }

    /// Whether copies into this region go on; those that do not wait.
    pub(crate) fn set_open(&self, open: bool) {
        self.gate.send_replace(open);
    }

    /// What happens after the next backup's snapshot, before the region is asked for its packs.
    pub(crate) fn before_backup(&self, meanwhile: Meanwhile) {
        *self.before_backup.lock().unwrap() = Some(meanwhile);
    }

    fn fault(&self, method: &'static str) -> RegionResult<()> {
        let mut faults = self.faults.lock().unwrap();
        match faults.get_mut(method) {
            Some(left) if *left > 0 => {
                *left -= 1;
                let source = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
                Err(RegionError::Io { action: format!("{method} on request"), source })
            }
            _ => Ok(()),
        }
    }

    async fn pass(&self, cancel: &CancellationToken) -> RegionResult<()> {
        let mut gate = self.gate.subscribe();
        tokio::select! {
            _ = gate.wait_for(|open| *open) => Ok(()),
            () = cancel.cancelled() => {
                self.stopped.fetch_add(1, Ordering::SeqCst);
                Err(RegionError::Cancelled)
            }
        }
    }
}

#[async_trait]
impl Region for TestRegion {
    fn name(&self) -> &str {
        self.inner.name()
    }
    fn store_id(&self) -> Uuid {
        self.inner.store_id()
    }
    async fn check_space(&self) -> RegionResult<()> {
        self.inner.check_space().await
    }
    async fn space(&self) -> Option<(Space, u64)> {
        self.inner.space().await
    }
    async fn create_upload(&self, upload: UploadId, size_bytes: u64) -> RegionResult<()> {
        self.inner.create_upload(upload, size_bytes).await
    }
    async fn write_pages(&self, upload: UploadId, offset_bytes: u64, bytes: Bytes) -> RegionResult<()> {
        self.inner.write_pages(upload, offset_bytes, bytes).await
    }
    async fn clear_pages(&self, upload: UploadId, range_bytes: UploadRange) -> RegionResult<()> {
        self.inner.clear_pages(upload, range_bytes).await
    }
    async fn read_pages(&self, upload: UploadId, range_bytes: UploadRange) -> RegionResult<Bytes> {
        self.inner.read_pages(upload, range_bytes).await
    }
    async fn upload_ranges(&self, upload: UploadId) -> RegionResult<Vec<UploadRange>> {
        self.inner.upload_ranges(upload).await
    }
    async fn remove_upload(&self, upload: UploadId) -> RegionResult<()> {
        self.fault("remove_upload")?;
        self.inner.remove_upload(upload).await
    }
    async fn uploads(&self) -> RegionResult<Vec<UploadId>> {
        self.inner.uploads().await
    }
    async fn import_upload(
        &self,
        tenant: Uuid,
        upload: UploadId,
        condemned: &CondemnedPacks,
        progress: Arc<ImportProgress>,
        cancel: CancellationToken,
    ) -> RegionResult<Imported> {
        self.fault("import_upload")?;
        self.pass(&cancel).await?;
        self.inner.import_upload(tenant, upload, condemned, progress, cancel).await
    }
    async fn create_empty(
        &self,
        tenant: Uuid,
        virtual_size_bytes: u64,
        condemned: &CondemnedPacks,
    ) -> RegionResult<Imported> {
        self.fault("create_empty")?;
        self.inner.create_empty(tenant, virtual_size_bytes, condemned).await
    }
    async fn begin_chunk_upload(&self, tenant: Uuid, condemned: &CondemnedPacks) -> RegionResult<Arc<dyn ChunkUpload>> {
        self.inner.begin_chunk_upload(tenant, condemned).await
    }
    async fn gather(&self) -> RegionResult<Gathering> {
        self.fault("gather")?;
        self.inner.gather().await
    }
    async fn import_gathered(
        &self,
        tenant: Uuid,
        gathered: Gathering,
        condemned: &CondemnedPacks,
        progress: Arc<ImportProgress>,
        cancel: CancellationToken,
    ) -> RegionResult<Imported> {
        self.fault("import_gathered")?;
        self.pass(&cancel).await?;
        self.inner.import_gathered(tenant, gathered, condemned, progress, cancel).await
    }
    async fn replicate(
        &self,
        tenant: Uuid,
        manifest: ManifestId,
        source: Arc<dyn BlobSource>,
        condemned: &CondemnedPacks,
        progress: Arc<CopyProgress>,
        cancel: CancellationToken,
    ) -> RegionResult<Imported> {
        self.copies.fetch_add(1, Ordering::SeqCst);
        self.fault("replicate")?;
        self.pass(&cancel).await?;
        self.inner.replicate(tenant, manifest, source, condemned, progress, cancel).await
    }
    fn damage(&self) -> &DamageNotes {
        self.inner.damage()
    }
    async fn blobs(&self, tenant: Uuid) -> RegionResult<Arc<dyn BlobSource>> {
        self.inner.blobs(tenant).await
    }
    async fn open_image(&self, tenant: Uuid, manifest: ManifestId) -> RegionResult<Arc<ImageReader>> {
        self.inner.open_image(tenant, manifest).await
    }
    async fn collect(
        &self,
        tenant: Uuid,
        ledger: &dyn CollectorLedger,
        options: CollectorOptions,
        now_ms: i64,
        cancel: CancellationToken,
    ) -> RegionResult<CollectReport> {
        self.collections.fetch_add(1, Ordering::SeqCst);
        let left = self.panics.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        assert!(left.is_err(), "on request");
        self.inner.collect(tenant, ledger, options, now_ms, cancel).await
    }
    async fn survey(
        &self,
        tenant: Uuid,
        ledger: &dyn CollectorLedger,
        now_ms: i64,
        cancel: CancellationToken,
    ) -> RegionResult<CollectSurvey> {
        self.inner.survey(tenant, ledger, now_ms, cancel).await
    }
    async fn verify(
        &self,
        tenant: Uuid,
        roots: Vec<ManifestId>,
        cancel: CancellationToken,
    ) -> RegionResult<VerifyReport> {
        self.inner.verify(tenant, roots, cancel).await
    }
    async fn scrub_next(&self, tenant: Uuid, after: Option<PackId>) -> RegionResult<Option<ScrubbedPack>> {
        self.fault("scrub_next")?;
        let scrubbed = self.inner.scrub_next(tenant, after).await?;
        self.scrubbed.fetch_add(u64::from(scrubbed.is_some()), Ordering::SeqCst);
        Ok(scrubbed)
    }
    async fn find_missing(
        &self,
        tenant: Uuid,
        roots: Vec<ManifestId>,
        cancel: CancellationToken,
    ) -> RegionResult<Vec<ManifestId>> {
        self.inner.find_missing(tenant, roots, cancel).await
    }
    async fn back_up(
        &self,
        tenant: Uuid,
        roots: &[ManifestId],
        repository: &Repository,
        cancel: &CancellationToken,
    ) -> RegionResult<DomainBackup> {
        let meanwhile = self.before_backup.lock().unwrap().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile().await;
        }
        self.inner.back_up(tenant, roots, repository, cancel).await
    }
    async fn stats(&self, tenant: Uuid) -> RegionResult<DomainStats> {
        self.inner.stats(tenant).await
    }
    async fn inspect_pack(&self, tenant: Uuid, pack: PackId) -> RegionResult<PackTable> {
        self.inner.inspect_pack(tenant, pack).await
    }
    async fn inspect_image(&self, tenant: Uuid, manifest: ManifestId) -> RegionResult<ImageAnatomy> {
        self.inner.inspect_image(tenant, manifest).await
    }
}

/// Where the catalogue of a test in `directory` is: see `galerie_testdb`.
pub(crate) async fn database(directory: &Path) -> Database {
    database_at(galerie_testdb::postgres_of(directory).await, directory)
}

/// As [`database`], for what is restored there.
pub(crate) async fn empty_database(directory: &Path) -> Database {
    database_at(galerie_testdb::empty_postgres_of(directory).await, directory)
}

fn database_at(url: Option<String>, directory: &Path) -> Database {
    match url {
        Some(url) => Database::postgres(&url).expect("a PostgreSQL URL"),
        None => Database::Sqlite(directory.join("catalogue.db")),
    }
}

/// A catalogue with three regions, its administrator, and nothing running until [`World::start`].
pub(crate) struct World {
    pub(crate) control: Control,
    pub(crate) clock: Arc<StillClock>,
    pub(crate) regions: HashMap<&'static str, Arc<TestRegion>>,
    pub(crate) caller: Caller,
    pub(crate) subscription: Uuid,
    pub(crate) directory: Arc<tempfile::TempDir>,
    /// What the catalogue's time comes from, when it is not `clock`.
    time: Arc<dyn Clock>,
    /// Where the regions' stores are.
    stores: Arc<tempfile::TempDir>,
    poll_every: Duration,
}

impl World {
    /// A new world.
    pub(crate) async fn new() -> Self {
        let directory = Arc::new(tempfile::tempdir().expect("a temporary directory"));
        let clock = Arc::new(StillClock(AtomicI64::new(1_800_000_000_000)));
        Self::open(directory.clone(), directory, clock.clone(), clock, Self::tuning(), &REGIONS).await
    }

    /// A new world that goes by another clock.
    pub(crate) async fn by_clock(time: Arc<dyn Clock>, poll_every: Duration) -> Self {
        let directory = Arc::new(tempfile::tempdir().expect("a temporary directory"));
        let clock = Arc::new(StillClock(AtomicI64::new(0)));
        let tuning = WorkerTuning { poll_every, ..Self::tuning() };
        Self::open(directory.clone(), directory, clock, time, tuning, &REGIONS).await
    }

    /// The same world as another process would find it.
    pub(crate) async fn reopen(&self) -> Self {
        self.reopen_by(self.time.clone(), self.poll_every).await
    }

    /// A world in a directory, whatever is there.
    pub(crate) async fn in_directory(directory: Arc<tempfile::TempDir>, clock: Arc<StillClock>) -> Self {
        Self::open(directory.clone(), directory, clock.clone(), clock, Self::tuning(), &REGIONS).await
    }

    /// As [`World::reopen`], tuned.
    pub(crate) async fn reopen_with(&self, tuning: WorkerTuning) -> Self {
        let (directory, stores) = (self.directory.clone(), self.stores.clone());
        Self::open(directory, stores, self.clock.clone(), self.time.clone(), tuning, &REGIONS).await
    }

    /// Workers that look often, and nobody who scrubs: a test that damages something wants to find it.
    pub(crate) fn tuning() -> WorkerTuning {
        WorkerTuning { poll_every: POLL_EVERY, scrub_rate_bytes_s: 0, ..WorkerTuning::default() }
    }

    /// The same for a process that has another clock.
    pub(crate) async fn reopen_by(&self, time: Arc<dyn Clock>, poll_every: Duration) -> Self {
        let (directory, stores) = (self.directory.clone(), self.stores.clone());
        let tuning = WorkerTuning { poll_every, ..Self::tuning() };
        Self::open(directory, stores, self.clock.clone(), time, tuning, &REGIONS).await
    }

    /// The same for a process that serves some regions.
    pub(crate) async fn serving(&self, regions: &[&'static str]) -> Self {
        let (directory, stores) = (self.directory.clone(), self.stores.clone());
        Self::open(directory, stores, self.clock.clone(), self.time.clone(), self.same_tuning(), regions).await
    }

    /// The same for a process that does not see what the others have staged: its regions' roots are copies of theirs.
    pub(crate) async fn with_stores_of_its_own(&self) -> Self {
        let stores = Arc::new(tempfile::tempdir().expect("a temporary directory"));
        for name in REGIONS {
            let (from, to) = (self.stores.path().join("regions").join(name), stores.path().join("regions").join(name));
            std::fs::create_dir_all(&to).expect("a root");
            std::fs::copy(from.join("store.json"), to.join("store.json")).expect("the same store");
        }
        let directory = self.directory.clone();
        Self::open(directory, stores, self.clock.clone(), self.time.clone(), self.same_tuning(), &REGIONS).await
    }

    fn same_tuning(&self) -> WorkerTuning {
        WorkerTuning { poll_every: self.poll_every, ..Self::tuning() }
    }

    /// The same with a region that is away until `opener` answers.
    pub(crate) async fn reopen_without(&self, name: &'static str, opener: Arc<dyn OpenRegion>) -> Self {
        let serves: Vec<&'static str> = REGIONS.into_iter().filter(|region| *region != name).collect();
        let away = AwayRegion { name: name.to_owned(), display_name: None, opener };
        let (directory, stores) = (self.directory.clone(), self.stores.clone());
        let tuning = self.same_tuning();
        Self::open_with(directory, stores, self.clock.clone(), self.time.clone(), tuning, &serves, vec![away]).await
    }

    /// Opens a region's store, as a process that serves it does.
    pub(crate) async fn open_region(&self, name: &'static str) -> Arc<TestRegion> {
        let identities = StoreIdentities::read(&database(self.directory.path()).await).await.expect("a catalogue");
        Arc::new(open_region(&self.stores, &identities, name).await)
    }

    async fn open(
        directory: Arc<tempfile::TempDir>,
        stores: Arc<tempfile::TempDir>,
        clock: Arc<StillClock>,
        time: Arc<dyn Clock>,
        tuning: WorkerTuning,
        serves: &[&'static str],
    ) -> Self {
        Self::open_with(directory, stores, clock, time, tuning, serves, Vec::new()).await
    }

    async fn open_with(
        directory: Arc<tempfile::TempDir>,
        stores: Arc<tempfile::TempDir>,
        clock: Arc<StillClock>,
        time: Arc<dyn Clock>,
        tuning: WorkerTuning,
        serves: &[&'static str],
        away: Vec<AwayRegion>,
    ) -> Self {
        let poll_every = tuning.poll_every;
        let database = database(directory.path()).await;
        let identities = StoreIdentities::read(&database).await.expect("a catalogue");
        let mut regions = HashMap::new();
        for name in serves.iter().copied() {
            regions.insert(name, Arc::new(open_region(&stores, &identities, name).await));
        }
        let is_away = |name: &str| away.iter().any(|away| away.name == name);
        let elsewhere = REGIONS.iter().filter(|name| !serves.contains(name) && !is_away(name));
        let elsewhere =
            elsewhere.map(|name| RegionElsewhere { name: (*name).to_owned(), display_name: None }).collect();
        let served = |name: &&str| ServedRegion { region: regions[*name].clone(), display_name: None };
        let control = Control::open(ControlOptions {
            database,
            master_key_file: directory.path().join("master.key"),
            data_dir: directory.path().to_owned(),
            regions: serves.iter().map(served).collect(),
            away,
            elsewhere,
            clock: time.clone(),
            tuning,
            spawn: Arc::new(TokioSpawn),
            fetch: Arc::new(TestLinks(directory.path().join("links"))),
        })
        .await
        .expect("a catalogue that opens");
        let bootstrap = control.bootstrap().await.expect("a first start");
        let Bootstrap { tenant, principal, client_id, .. } = bootstrap;
        let caller = Caller::application(tenant, principal, client_id, true);
        let subscription = bootstrap.subscription;
        Self { control, clock, regions, caller, subscription, directory, time, stores, poll_every }
    }

    /// The same world for the administrator of a new tenant, in a new subscription.
    pub(crate) async fn in_new_tenant(&self) -> Self {
        let new = self.control.add_tenant("Other").await.expect("a tenant");
        let mut tx = self.control.db().read().await.unwrap();
        let principal =
            crate::db::service_principal::find_by_app(&mut tx, new.tenant, new.client_id).await.unwrap().unwrap();
        drop(tx);
        let (tenant, app_id) = (new.tenant, new.client_id);
        self.seen_by(Caller::application(tenant, principal.object.id, app_id, true), new.subscription)
    }

    /// The same world for the same caller, in a new subscription of the tenant.
    pub(crate) async fn in_new_subscription(&self) -> Self {
        let (id, display_name) = (Uuid::new_v4(), "another".to_owned());
        let row = SubscriptionRow { id, tenant: self.caller.tenant, display_name, created_ms: 0 };
        let mut tx = self.control.db().write().await.unwrap();
        crate::db::subscription::insert(&mut tx, &row).await.unwrap();
        tx.commit().await.unwrap();
        self.seen_by(self.caller.clone(), id)
    }

    fn seen_by(&self, caller: Caller, subscription: Uuid) -> Self {
        Self {
            control: self.control.clone(),
            clock: self.clock.clone(),
            regions: self.regions.clone(),
            caller,
            subscription,
            directory: self.directory.clone(),
            time: self.time.clone(),
            stores: self.stores.clone(),
            poll_every: self.poll_every,
        }
    }

    /// Starts the workers.
    pub(crate) fn start(&self) -> &Self {
        self.control.start();
        self
    }

    /// A request of the administrator.
    pub(crate) fn ctx(&self) -> RequestContext {
        RequestContext {
            caller: self.caller.clone(),
            api_version: ApiVersion::stable(2024, 3, 3),
            preconditions: Precondition::default(),
            auxiliary: Vec::new(),
            correlation_id: Uuid::new_v4(),
            client_address: None,
        }
    }

    /// An id in the group `rg`: `disks/d`.
    pub(crate) fn id(&self, below: &str) -> ResourceId {
        let group = format!("/subscriptions/{}/resourceGroups/rg", self.subscription);
        let text = if below.is_empty() { group } else { format!("{group}/providers/Microsoft.Compute/{below}") };
        text.parse().expect("an id")
    }

    /// Makes the group, a gallery `g` and a definition `i`.
    pub(crate) async fn furnish(&self) {
        let body = json!({ "location": "eastus" });
        self.control.resource_group_put(&self.ctx(), &self.id(""), body.clone()).await.unwrap();
        self.put("galleries/g", body).await.unwrap();
        let definition = json!({ "location": "eastus", "properties": { "osType": "Linux", "osState": "Generalized",
            "identifier": { "publisher": "p", "offer": "o", "sku": "s" } } });
        self.put("galleries/g/images/i", definition).await.unwrap();
    }

    pub(crate) async fn put(&self, below: &str, body: Value) -> Result<OperationRef, ArmError> {
        Ok(self.control.put(&self.ctx(), &self.id(below), body).await?.operation)
    }

    pub(crate) async fn delete(&self, below: &str) -> Option<OperationRef> {
        Some(self.control.delete(&self.ctx(), &self.id(below)).await.unwrap()?.operation)
    }

    pub(crate) async fn get(&self, below: &str) -> Result<Value, ArmError> {
        Ok(self.control.get(&self.ctx(), &self.id(below), &Default::default()).await?.document)
    }

    /// A resource's `provisioningState`.
    pub(crate) async fn state(&self, below: &str) -> String {
        let document = self.get(below).await.unwrap();
        document["properties"]["provisioningState"].as_str().unwrap().to_owned()
    }

    /// Makes the disk `d` in eastus from pages that begin with `first`; its operation. `footer`: whether it is a VHD.
    pub(crate) async fn upload(&self, first: &[u8], footer: bool) -> OperationRef {
        self.grant_upload().await;
        self.stage(first, footer).await;
        self.control.end_get_access(&self.ctx(), &self.id("disks/d")).await.unwrap().operation
    }

    /// Makes the disk `d` in eastus and grants writing to it for an hour.
    pub(crate) async fn grant_upload(&self) {
        self.put("disks/d", upload_body()).await.unwrap();
        let grant = json!({ "access": "Write", "durationInSeconds": 3600 });
        self.control.begin_get_access(&self.ctx(), &self.id("disks/d"), grant).await.unwrap();
    }

    /// Writes pages to the disk `d`.
    pub(crate) async fn stage(&self, first: &[u8], footer: bool) {
        let (size, id) = (GUEST_BYTES + 512, self.id("disks/d"));
        let row = crate::db::resource::find(&mut self.control.db().read().await.unwrap(), id.key()).await.unwrap();
        let (region, upload) = (&self.regions["eastus"], UploadId(row.unwrap().uid));
        region.create_upload(upload, size).await.unwrap();
        let mut page = first.to_vec();
        page.resize(4096, 0);
        region.write_pages(upload, 0, page.into()).await.unwrap();
        let last = if footer { vhd_footer(GUEST_BYTES) } else { [0; 512] };
        region.write_pages(upload, GUEST_BYTES, Bytes::copy_from_slice(&last)).await.unwrap();
    }

    /// Opens the blob of a grant, as its SAS would.
    pub(crate) async fn open_blob(&self, grant: &GrantView, action: BlobAction) -> Result<Blob, BlobError> {
        let signature = self.control.sign_sas(grant);
        let sas = Sas {
            resource_uid: grant.resource_uid,
            grant_id: grant.grant_id,
            permission: grant.permission_letters(),
            expires_ms: grant.expires_ms,
            signature: &signature.0,
        };
        self.control.open_blob(&sas, action).await
    }

    /// Makes the version `1.0.0` from the disk `d`, with replicas in `regions`; its operation.
    pub(crate) async fn publish(&self, regions: &[&str]) -> Result<OperationRef, ArmError> {
        self.publish_as("1.0.0", regions).await
    }

    /// As [`World::publish`], another version.
    pub(crate) async fn publish_as(&self, version: &str, regions: &[&str]) -> Result<OperationRef, ArmError> {
        let targets: Vec<_> = regions.iter().map(|name| json!({ "name": name })).collect();
        let body = json!({ "location": "eastus", "properties": {
            "storageProfile": { "osDiskImage": { "source": { "id": self.id("disks/d").as_str() } } },
            "publishingProfile": { "targetRegions": targets } } });
        self.put(&format!("galleries/g/images/i/versions/{version}"), body).await
    }

    /// Makes the folder of links, and in it what a link names; `kind` is `.busy`, `.stalls` or nothing.
    pub(crate) fn link(&self, name: &str, kind: &str, bytes: &[u8]) {
        let folder = self.directory.path().join("links");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}{kind}")), bytes).unwrap();
    }

    /// The links that were asked for, under a name.
    pub(crate) fn asked(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.directory.path().join("links").join(format!("{name}.asked")));
        text.unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// Waits until an operation has ended.
    pub(crate) async fn ended(&self, operation: &OperationRef) -> (OperationStatus, Option<ArmError>) {
        let view = self
            .until("the operation has ended", || async {
                let ctx = self.ctx();
                let view = self.control.operation_status(&ctx, operation.subscription, operation.id).await.unwrap();
                view.document.status.is_terminal().then_some(view)
            })
            .await;
        (view.document.status, view.document.error)
    }

    /// Waits for a fact. On a busy machine PostgreSQL may refuse work that is then put off, or a claim may end with nobody to
    /// carry it out: the clock stands still, and moves on for whoever has waited long.
    pub(crate) async fn until<T, F: Future<Output = Option<T>>>(&self, what: &str, look: impl Fn() -> F) -> T {
        let waited = async {
            let mut begun = tokio::time::Instant::now();
            loop {
                if let Some(fact) = look().await {
                    return fact;
                }
                if begun.elapsed() > LONG {
                    eprintln!("{what}: waited for {LONG:?}; the clock moves on by a minute");
                    self.clock.advance(60_000);
                    self.control.wake();
                    begun = tokio::time::Instant::now();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waited).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
    }
}

/// A disk in eastus that is to be uploaded to.
pub(crate) fn upload_body() -> Value {
    json!({ "location": "eastus",
        "properties": { "creationData": { "createOption": "Upload", "uploadSizeBytes": GUEST_BYTES + 512 } } })
}

async fn open_region(directory: &tempfile::TempDir, identities: &StoreIdentities, name: &'static str) -> TestRegion {
    let known = identities.region_stores.get(name);
    let path = |kind: &str| -> PathBuf { directory.path().join(kind).join(name) };
    let free_bytes = FreeBytes(Arc::new(AtomicU64::new(u64::MAX)));
    let keep = MinFreeSpace { bytes: Some(LEAST_FREE_BYTES), percent: None };
    let options = LocalRegionOptions {
        name: name.to_owned(),
        root: path("regions"),
        catalogue_id: identities.catalogue_id,
        expected_store_id: known.map(|known| known.store_id),
        epoch: known.map_or(1, |known| known.epoch),
        // Two processes do not share an index.
        index_dir: path("index").join(Uuid::new_v4().to_string()),
        cache_bytes: 1 << 20,
        // Not all have the same, so that copies are encoded anew. An old store may not know LZ4.
        compression: if name == "westus" && known.is_none() { Compression::Lz4 } else { Compression::Zstd },
    };
    let space = Watermark::new(keep, free_bytes.clone());
    let inner = LocalRegion::open_with_space(options, space).await.expect("a region that opens");
    let (faults, panics, gate) = (Mutex::default(), AtomicU64::new(0), watch::Sender::new(true));
    let [copies, collections, scrubbed, stopped] = [const { AtomicU64::new(0) }; 4];
    let before_backup = Mutex::default();
    TestRegion { inner, faults, panics, gate, free_bytes, before_backup, copies, collections, scrubbed, stopped }
}

/// The footer of a fixed VHD (Virtual Hard Disk Image Format Specification, "Hard Disk Footer Format").
pub(crate) fn vhd_footer(size_bytes: u64) -> [u8; 512] {
    let mut footer = [0; 512];
    footer[..8].copy_from_slice(b"conectix");
    footer[8..12].copy_from_slice(&2_u32.to_be_bytes());
    footer[12..16].copy_from_slice(&0x0001_0000_u32.to_be_bytes());
    footer[16..24].copy_from_slice(&u64::MAX.to_be_bytes());
    footer[40..48].copy_from_slice(&size_bytes.to_be_bytes());
    footer[48..56].copy_from_slice(&size_bytes.to_be_bytes());
    footer[60..64].copy_from_slice(&2_u32.to_be_bytes());
    let sum: u32 = footer.iter().map(|byte| u32::from(*byte)).sum();
    footer[64..68].copy_from_slice(&(!sum).to_be_bytes());
    footer
}
