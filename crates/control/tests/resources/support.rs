//! A gallery for a test: three local regions, fast workers, a clock that a test moves.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::TryStreamExt;
use galerie_arm::{ArmError, OperationStatus, ResourceId, etag::Precondition};
use galerie_control::{
    Accepted, Blob, BlobAction, BlobError, Caller, Clock, Control, ControlOptions, Database, Expand, GrantView,
    OperationRef, OperationResult, RequestContext, Sas, Scope, ServedRegion, StoreIdentities, SystemClock,
    WorkerTuning,
};
use galerie_disk::{
    MemoryDevice,
    export::{ExportFormat, ExportLayout},
};
use galerie_region::{Compression, LocalRegion, LocalRegionOptions};
use galerie_store::{BlobId, ManifestId};
use serde_json::{Map, Value, json};
use uuid::Uuid;

pub(crate) const REGIONS: [&str; 3] = ["eastus", "westus", "westeurope"];
pub(crate) const GROUP: &str = "myGalleryRG";
/// How long a test waits for work before it says that it never ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// The machine's clock, moved forward by a test.
#[derive(Debug, Default)]
pub(crate) struct MovedClock(AtomicI64);

impl MovedClock {
    pub(crate) fn advance_ms(&self, by_ms: i64) {
        self.0.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for MovedClock {
    fn now_ms(&self) -> i64 {
        SystemClock.now_ms() + self.0.load(Ordering::SeqCst)
    }
}

pub(crate) struct Gallery {
    pub(crate) control: Control,
    pub(crate) clock: Arc<MovedClock>,
    caller: Caller,
    subscription: Uuid,
    directory: tempfile::TempDir,
}

impl Gallery {
    /// A fresh gallery with the group [`GROUP`] in eastus.
    pub(crate) async fn start() -> Self {
        let gallery = Self::idle().await;
        gallery.control.start();
        gallery
    }

    /// The same, whose workers do not run yet.
    pub(crate) async fn idle() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let clock = Arc::new(MovedClock::default());
        let control = open(directory.path(), clock.clone()).await;
        let made = control.bootstrap().await.expect("a first start");
        let caller = Caller::application(made.tenant, made.principal, made.client_id, true);
        let gallery = Self { control, clock, caller, subscription: made.subscription, directory };
        for name in [GROUP, "other"] {
            let id = gallery.id(&format!("/resourceGroups/{name}"));
            gallery
                .control
                .resource_group_put(&gallery.context(), &id, json!({ "location": "eastus" }))
                .await
                .expect("a group");
        }
        gallery
    }

    /// Opens everything again, as after a crash: nothing was put down.
    pub(crate) async fn crash_and_start(self) -> Self {
        let Self { control, clock, caller, subscription, directory } = self;
        control.shutdown().await;
        drop(control);
        let control = open(directory.path(), clock.clone()).await;
        control.start();
        Self { control, clock, caller, subscription, directory }
    }

    /// Another process on the same catalogue, whose workers do not run.
    pub(crate) async fn beside(&self) -> Control {
        open_with_index(self.directory.path(), self.clock.clone(), "index-beside").await
    }

    pub(crate) fn context(&self) -> RequestContext {
        self.context_of("2026-03-03")
    }

    pub(crate) fn context_of(&self, api_version: &str) -> RequestContext {
        RequestContext {
            caller: self.caller.clone(),
            api_version: api_version.parse().expect("an api-version"),
            preconditions: Precondition::default(),
            auxiliary: Vec::new(),
            correlation_id: Uuid::new_v4(),
            client_address: None,
        }
    }

    pub(crate) fn stranger(&self) -> RequestContext {
        let caller = Caller { principal: Uuid::from_u128(78), administrator: false, ..self.caller.clone() };
        RequestContext { caller, ..self.context() }
    }

    /// Somebody else who may do everything.
    pub(crate) async fn another_owner(&self) -> RequestContext {
        const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
        let (control, context) = (&self.control, self.context());
        let application = control.application_create(&context, "Other", Map::new(), &[]).await.expect("an application");
        let made = control.service_principal_create(&context, application.app_id, true, Map::new()).await;
        let made = made.expect("a service principal");
        let role = format!("/providers/Microsoft.Authorization/roleDefinitions/{OWNER}");
        let body = json!({ "properties": { "roleDefinitionId": role, "principalId": made.id.to_string() } });
        let name = Uuid::new_v4().to_string();
        control.role_assignment_put(&context, &Scope::Root, &name, &body).await.expect("an assignment");
        let caller = Caller::application(self.caller.tenant, made.id, made.app_id, false);
        RequestContext { caller, ..context }
    }

    pub(crate) fn subscription(&self) -> Uuid {
        self.subscription
    }

    /// An id in the subscription.
    pub(crate) fn id(&self, path: &str) -> ResourceId {
        format!("/subscriptions/{}{path}", self.subscription).parse().expect("an id")
    }

    /// An id in [`GROUP`], below Compute.
    pub(crate) fn compute(&self, path: &str) -> ResourceId {
        self.id(&format!("/resourceGroups/{GROUP}/providers/Microsoft.Compute/{path}"))
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Result<Accepted, ArmError> {
        self.control.put(&self.context(), &self.compute(path), body).await
    }

    /// PUT, and the operation's end.
    pub(crate) async fn make(&self, path: &str, body: Value) -> Value {
        let accepted = self.put(path, body).await.unwrap_or_else(|error| panic!("PUT {path}: {error}"));
        self.finish(&accepted.operation).await.unwrap_or_else(|error| panic!("operation of {path}: {error}"));
        self.get(path).await
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let expand = Expand { replication_status: true, ..Expand::default() };
        let found = self.control.get(&self.context(), &self.compute(path), &expand).await;
        found.unwrap_or_else(|error| panic!("GET {path}: {error}")).document
    }

    pub(crate) async fn get_error(&self, path: &str) -> ArmError {
        self.control.get(&self.context(), &self.compute(path), &Expand::default()).await.expect_err("not there")
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Option<Accepted>, ArmError> {
        self.control.delete(&self.context(), &self.compute(path)).await
    }

    /// Waits for an operation's end.
    pub(crate) async fn finish(&self, operation: &OperationRef) -> Result<(), ArmError> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let view = self.control.operation_status(&self.context(), operation.subscription, operation.id).await?;
            match view.document.status {
                OperationStatus::Succeeded => return Ok(()),
                OperationStatus::Failed | OperationStatus::Canceled => {
                    return Err(view.document.error.expect("an error of what did not succeed"));
                }
                OperationStatus::InProgress => {}
            }
            assert!(tokio::time::Instant::now() < deadline, "the operation never ends");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// beginGetAccess, and the grant that its operation gives.
    pub(crate) async fn grant(&self, path: &str, access: &str) -> Result<GrantView, ArmError> {
        let body = json!({ "access": access, "durationInSeconds": 3600 });
        let accepted = self.control.begin_get_access(&self.context(), &self.compute(path), body).await?;
        let OperationRef { subscription, id, .. } = accepted.operation;
        match self.control.operation_result(&self.context(), subscription, id).await? {
            OperationResult::Access(grant) => Ok(grant),
            other => panic!("not a grant: {other:?}"),
        }
    }

    pub(crate) async fn revoke(&self, path: &str) -> Result<(), ArmError> {
        let accepted = self.control.end_get_access(&self.context(), &self.compute(path)).await?;
        self.finish(&accepted.operation).await
    }

    /// Opens the blob of a grant, as its SAS would.
    pub(crate) async fn open(&self, grant: &GrantView, action: BlobAction) -> Result<Blob, BlobError> {
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

    /// Everything that a new grant on `path` lets one download.
    pub(crate) async fn download(&self, path: &str) -> Bytes {
        let grant = self.grant(path, "Read").await.unwrap_or_else(|error| panic!("grant {path}: {error}"));
        let blob = self.open(&grant, BlobAction::Read).await.expect("a readable blob");
        let bytes = read(&blob, 0..blob.length_bytes()).await;
        self.revoke(path).await.expect("revoked");
        bytes
    }

    /// Makes a disk in eastus by uploading `vhd`.
    pub(crate) async fn upload(&self, name: &str, vhd: &Bytes) {
        let path = format!("disks/{name}");
        self.make(&path, upload_body(vhd.len())).await;
        let grant = self.grant(&path, "Write").await.expect("a grant");
        let blob = self.open(&grant, BlobAction::Write).await.expect("a writable blob");
        write(&blob, vhd).await;
        self.revoke(&path).await.expect("an import");
    }

    /// The same catalogue and regions with workers that do not run.
    pub(crate) async fn stopped(self) -> Self {
        let Self { control, clock, caller, subscription, directory } = self;
        control.shutdown().await;
        drop(control);
        let control = open(directory.path(), clock.clone()).await;
        Self { control, clock, caller, subscription, directory }
    }

    /// A gallery and a definition in it.
    pub(crate) async fn define(&self, gallery: &str, definition: &str) {
        self.make(&format!("galleries/{gallery}"), json!({ "location": "eastus" })).await;
        self.make(&format!("galleries/{gallery}/images/{definition}"), definition_body(definition)).await;
    }
}

pub(crate) fn definition_body(sku: &str) -> Value {
    json!({ "location": "eastus", "properties": { "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V1",
        "identifier": { "publisher": "p", "offer": "o", "sku": sku } } })
}

pub(crate) fn upload_body(vhd_bytes: usize) -> Value {
    json!({ "location": "eastus", "properties": {
        "creationData": { "createOption": "Upload", "uploadSizeBytes": vhd_bytes } } })
}

/// A version from a disk or snapshot.
pub(crate) fn version_body(source: &ResourceId, regions: &[&str]) -> Value {
    let regions: Vec<Value> = regions.iter().map(|name| json!({ "name": name })).collect();
    json!({ "location": "eastus", "properties": {
        "storageProfile": { "osDiskImage": { "source": { "id": source.as_str() } } },
        "publishingProfile": { "targetRegions": regions } } })
}

async fn open(directory: &Path, clock: Arc<MovedClock>) -> Control {
    open_with_index(directory, clock, "index").await
}

/// Processes do not share an index.
async fn open_with_index(directory: &Path, clock: Arc<MovedClock>, index: &str) -> Control {
    let database = database(directory).await;
    let identities = StoreIdentities::read(&database).await.expect("identities");
    let mut regions = Vec::new();
    for name in REGIONS {
        let known = identities.region_stores.get(name);
        let region = LocalRegion::open(LocalRegionOptions {
            name: name.to_owned(),
            root: directory.join(name),
            catalogue_id: identities.catalogue_id,
            expected_store_id: known.map(|known| known.store_id),
            epoch: known.map_or(1, |known| known.epoch),
            index_dir: directory.join(format!("{index}-{name}")),
            cache_bytes: 16 << 20,
            compression: Compression::default(),
        });
        let region = Arc::new(region.await.expect("a region"));
        regions.push(ServedRegion { region, display_name: None });
    }
    let mut options = ControlOptions::new(database, directory.join("master.key"), regions);
    options.clock = clock;
    options.tuning = WorkerTuning { poll_every: Duration::from_millis(20), ..WorkerTuning::default() };
    Control::open(options).await.expect("a catalogue")
}

/// Where the catalogue of a test in `directory` is: see `galerie_testdb`.
async fn database(directory: &Path) -> Database {
    match galerie_testdb::postgres_of(directory).await {
        Some(url) => Database::postgres(&url).expect("a PostgreSQL URL"),
        None => Database::Sqlite(directory.join("catalogue.db")),
    }
}

/// A fixed VHD of a disk that is 20 MiB long and holds `seed`'s bytes here and there.
pub(crate) async fn vhd(seed: u8) -> Bytes {
    let disk = disk_bytes(seed);
    let layout = ExportLayout::new(ExportFormat::FixedVhd, disk.len() as u64, &ManifestId(BlobId::of(&[seed])));
    let layout = layout.expect("a layout");
    let parts = layout.stream(&MemoryDevice::new(&disk), 0..layout.length_bytes()).expect("a stream");
    let parts: Vec<Bytes> = parts.try_collect().await.expect("bytes");
    parts.concat().into()
}

/// What the guest of [`vhd`] sees.
pub(crate) fn disk_bytes(seed: u8) -> Vec<u8> {
    let mut disk = vec![0; 20 << 20];
    let mut noise = u32::from(seed) + 1;
    for at in (1 << 20..3 << 20).chain(10 << 20..(10 << 20) + 70_000) {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        disk[at] = (noise >> 24) as u8;
    }
    disk
}

/// Writes the pages of `bytes` that are not zeros.
pub(crate) async fn write(blob: &Blob, bytes: &Bytes) {
    const STEP: usize = 1 << 20;
    for start in (0..bytes.len()).step_by(STEP) {
        let part = bytes.slice(start..bytes.len().min(start + STEP));
        if part.iter().any(|byte| *byte != 0) {
            blob.write_pages(start as u64, part).await.expect("written pages");
        }
    }
}

pub(crate) async fn read(blob: &Blob, range: std::ops::Range<u64>) -> Bytes {
    let parts: Vec<Bytes> = blob.read(range).expect("a stream").try_collect().await.expect("bytes");
    parts.concat().into()
}
