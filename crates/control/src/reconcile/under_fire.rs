//! The collector under fire: imports, copies, disks, deletions, readers and collections at once, killed in the middle and
//! begun again. What was published reads as it was made, always; and when all is deleted, nothing is left.
//!
//! A seed decides what each actor does; how they interleave is the machine's. A kill drops every future of a runtime where
//! it stands, as the end of a process does; what blocks at that moment ends by itself. The next life finds what was left,
//! takes over, and goes on. `GALERIE_FIRE_LIVES` and `GALERIE_FIRE_SEED` make it longer and another
//! (`make test-collector`).

use std::{
    collections::BTreeMap,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use galerie_arm::{ArmError, OperationStatus, ReplicationState};
use galerie_region::{Region, UploadId};
use galerie_store::{CollectorOptions, ManifestId};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{
    Ledger,
    bit_rot::{Random, noise},
};
use crate::{
    db::{disk_image, replica, resource},
    testing::{GUEST_BYTES, REGIONS, World, upload_body, vhd_footer},
};

const SEED: usize = 41;
/// How often everything is killed in a short run.
const LIVES: usize = 8;
/// What the actors do together in one life before it is ended.
const ACTIONS_IN_A_LIFE: usize = 120;
/// Images are made of a few different blocks, so that they share and leave packs that are half alive.
const BLOCK_BYTES: usize = 512 << 10;
const BLOCKS: usize = 16;
const BLOCKS_OF_AN_IMAGE: usize = 6;
/// Who does one kind of thing each; see [`act`].
const ACTORS: usize = 9;
const TICK_MS: u64 = 10;
/// How long what blocks may take to end after a kill.
const KILLED_WITHIN: Duration = Duration::from_secs(30);
/// How many versions live at most.
const MOST_VERSIONS: usize = 8;
/// How many published ones are left alone, so that there is something to read.
const FEWEST_VERSIONS: usize = 3;

fn block(number: usize) -> &'static [u8] {
    static MADE: LazyLock<Vec<Vec<u8>>> =
        LazyLock::new(|| (0..BLOCKS).map(|number| noise(1_000 + number as u64, BLOCK_BYTES)).collect());
    &MADE[number]
}

/// A setting of the run.
fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// What was asked for, and so what must be there.
#[derive(Default)]
struct Model {
    next: usize,
    versions: BTreeMap<usize, Version>,
}

#[derive(Clone)]
struct Version {
    blocks: Vec<usize>,
    state: Asked,
}

/// How far a version's asking has come, as its actor knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asked {
    /// Its PUT may have been accepted.
    Made,
    /// Its operation has succeeded.
    Published,
    /// Its DELETE may have been accepted.
    Deleted,
}

/// As a client does: told that the catalogue is busy, it asks again.
async fn patiently<T, F: Future<Output = Result<T, ArmError>>>(call: impl Fn() -> F) -> Result<T, ArmError> {
    loop {
        match call().await {
            Err(error) if error.status == 503 => tokio::time::sleep(Duration::from_millis(5)).await,
            other => return other,
        }
    }
}

type Shared = Arc<Mutex<Model>>;

fn name(number: usize) -> String {
    format!("galleries/g/images/i/versions/1.0.{number}")
}

fn bytes_of(blocks: &[usize]) -> Vec<u8> {
    blocks.iter().map(|number| block(*number)).collect::<Vec<_>>().concat()
}

/// One life: a process, as far as the catalogue and the stores can tell.
struct Life {
    world: World,
    model: Shared,
    actions: AtomicUsize,
}

impl Life {
    fn acted(&self) {
        self.actions.fetch_add(1, Ordering::SeqCst);
    }

    /// What a dead client had asked for and never heard of: some of it is deleted, some goes on by itself, and nobody counts
    /// on either.
    async fn settle_the_estate(&self) {
        let mut orphans = Vec::new();
        for (number, version) in &mut self.model.lock().unwrap().versions {
            if version.state == Asked::Made {
                version.state = Asked::Deleted;
                orphans.push(*number);
            }
        }
        for number in orphans.into_iter().filter(|number| number % 2 == 1) {
            self.remove(&name(number)).await;
        }
    }

    /// A published version that nobody has asked to delete.
    fn some_version(&self, random: &mut Random) -> Option<(usize, Version)> {
        let model = self.model.lock().unwrap();
        let live: Vec<_> = model.versions.iter().filter(|(_, version)| version.state == Asked::Published).collect();
        let (number, version) = *live.get(random.below(live.len().max(1)))?;
        Some((*number, version.clone()))
    }

    async fn publish(&self, random: &mut Random) {
        let (number, blocks) = {
            let mut model = self.model.lock().unwrap();
            let live = model.versions.values().filter(|version| version.state != Asked::Deleted).count();
            if live >= MOST_VERSIONS {
                return;
            }
            let blocks: Vec<_> = (0..BLOCKS_OF_AN_IMAGE).map(|_| random.below(BLOCKS)).collect();
            model.next += 1;
            let number = model.next;
            model.versions.insert(number, Version { blocks: blocks.clone(), state: Asked::Made });
            (number, blocks)
        };
        let (world, below, ctx) = (&self.world, format!("disks/u{number}"), self.world.ctx());
        let id = world.id(&below);
        patiently(|| world.put(&below, upload_body())).await.unwrap();
        let grant = json!({ "access": "Write", "durationInSeconds": 36_000 });
        patiently(|| world.control.begin_get_access(&ctx, &id, grant.clone())).await.unwrap();
        let row = resource::find(&mut world.control.db().read().await.unwrap(), id.key()).await.unwrap().unwrap();
        let (home, upload) = (&world.regions["eastus"], UploadId(row.uid));
        home.write_pages(upload, 0, bytes_of(&blocks).into()).await.unwrap();
        home.write_pages(upload, GUEST_BYTES, Bytes::copy_from_slice(&vhd_footer(GUEST_BYTES))).await.unwrap();
        let import = patiently(|| world.control.end_get_access(&ctx, &id)).await.unwrap().operation;
        assert_eq!(world.ended(&import).await.0, OperationStatus::Succeeded);
        let (below_version, body) = (name(number), self.version_body(&id, random));
        let copy = patiently(|| world.put(&below_version, body.clone())).await.unwrap();
        let (status, error) = world.ended(&copy).await;
        assert_eq!(status, OperationStatus::Succeeded, "{error:?}");
        self.model.lock().unwrap().versions.get_mut(&number).unwrap().state = Asked::Published;
        self.remove(&below).await;
        self.acted();
    }

    async fn remove(&self, below: &str) {
        let (ctx, id) = (self.world.ctx(), self.world.id(below));
        patiently(|| self.world.control.delete(&ctx, &id)).await.unwrap();
    }

    fn version_body(&self, source: &galerie_arm::ResourceId, random: &mut Random) -> Value {
        let mut regions = vec!["eastus"];
        regions.extend(REGIONS[1..].iter().filter(|_| random.below(2) == 0));
        json!({ "location": "eastus", "properties": {
            "storageProfile": { "osDiskImage": { "source": { "id": source.as_str() } } },
            "publishingProfile": { "targetRegions": regions.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>() } } })
    }

    /// Other target regions.
    async fn move_about(&self, random: &mut Random) {
        let Some((number, _)) = self.some_version(random) else { return };
        let mut regions = vec![json!({ "name": "eastus" })];
        regions.extend(REGIONS[1..].iter().filter(|_| random.below(2) == 0).map(|name| json!({ "name": name })));
        let body = json!({ "properties": { "publishingProfile": { "targetRegions": regions } } });
        // Somebody may delete it meanwhile.
        let _ = self.world.control.patch(&self.world.ctx(), &self.world.id(&name(number)), body).await;
        self.acted();
    }

    async fn delete(&self, random: &mut Random) {
        let published = |version: &&Version| version.state == Asked::Published;
        if self.model.lock().unwrap().versions.values().filter(published).count() < FEWEST_VERSIONS {
            return;
        }
        let Some((number, _)) = self.some_version(random) else { return };
        self.model.lock().unwrap().versions.get_mut(&number).unwrap().state = Asked::Deleted;
        self.remove(&name(number)).await;
        self.acted();
    }

    /// A disk from a version, which outlives the version, is read, and goes.
    async fn make_disk(&self, random: &mut Random) {
        let Some((number, version)) = self.some_version(random) else { return };
        let below = format!("disks/v{number}-{}", random.next());
        let id = self.world.id(&name(number));
        let body = json!({ "location": "eastus", "properties": {
            "creationData": { "createOption": "FromImage", "galleryImageReference": { "id": id.as_str() } } } });
        if self.world.put(&below, body).await.is_err() {
            return;
        }
        let key = self.world.id(&below).key().to_owned();
        let held = disk_image::list_for(&mut self.world.control.db().read().await.unwrap(), &key).await.unwrap();
        for _ in 0..2 {
            let read = self.read("eastus", held[0].manifest, &version.blocks).await;
            read.unwrap_or_else(|error| panic!("the disk {below} holds its bytes: {error}"));
            tokio::task::yield_now().await;
        }
        self.remove(&below).await;
        self.acted();
    }

    /// Reads a version where it is complete.
    async fn look(&self, random: &mut Random) {
        let Some((number, version)) = self.some_version(random) else { return };
        let id = self.world.id(&name(number));
        for (region, manifest) in self.complete(id.key()).await {
            let read = self.read(region, manifest, &version.blocks).await;
            // What was deleted or moved away meanwhile may be gone.
            let is_still_there = self.complete(id.key()).await.contains(&(region, manifest));
            if let (Err(error), true) = (read, is_still_there) {
                panic!("{id} is complete in {region} and cannot be read: {error}");
            }
        }
        self.acted();
    }

    async fn complete(&self, version: &str) -> Vec<(&'static str, ManifestId)> {
        let mut tx = self.world.control.db().read().await.unwrap();
        let images = disk_image::list_for(&mut tx, version).await.unwrap();
        let Some(image) = images.first() else { return Vec::new() };
        let replicas = replica::list_for_version(&mut tx, version).await.unwrap();
        let complete = replicas.iter().filter(|replica| replica.state == ReplicationState::Completed);
        let region = |name: &str| REGIONS.into_iter().find(|known| *known == name).expect("a region of the world");
        complete.map(|replica| (region(&replica.region), image.manifest)).collect()
    }

    /// # Errors
    /// When it cannot be read. Other bytes than were put are a panic.
    async fn read(&self, region: &str, manifest: ManifestId, blocks: &[usize]) -> Result<(), String> {
        let told = |error: &dyn std::error::Error| {
            format!("{error}: {}", error.source().map(ToString::to_string).unwrap_or_default())
        };
        let reader = self.world.regions[region].open_image(self.world.caller.tenant, manifest).await;
        let reader = reader.map_err(|error| told(&error))?;
        for (index, number) in blocks.iter().enumerate() {
            let read = reader.read((index * BLOCK_BYTES) as u64, BLOCK_BYTES as u64).await;
            assert!(read.map_err(|error| told(&error))? == block(*number), "{manifest} in {region} is other bytes");
        }
        Ok(())
    }

    /// Collects a region. There is no grace: readers are to find packs gone.
    async fn collect(&self, region: &str) -> galerie_store::CollectReport {
        let (ledger, options) = (
            Ledger::new(&self.world.control, region),
            CollectorOptions { readers_grace_ms: 0, ..CollectorOptions::default() },
        );
        let (plane, tenant) = (&self.world.regions[region], self.world.caller.tenant);
        let cancel = self.world.control.stopping().child_token();
        plane.collect(tenant, &ledger, options, self.world.control.now_ms(), cancel).await.unwrap()
    }

    /// Every version is as it was asked for.
    async fn check(&self) {
        let versions = self.model.lock().unwrap().versions.clone();
        for (number, version) in versions {
            let id = self.world.id(&name(number));
            let complete = self.complete(id.key()).await;
            if version.state == Asked::Published {
                assert!(
                    complete.iter().any(|(region, _)| *region == "eastus"),
                    "{id} was published and is not at home"
                );
            }
            for (region, manifest) in complete {
                let read = self.read(region, manifest, &version.blocks).await;
                read.unwrap_or_else(|error| panic!("{id} in {region}: {error}"));
            }
        }
    }
}

/// Somebody who does one kind of thing again and again.
async fn act(life: Arc<Life>, actor: usize, mut random: Random) {
    loop {
        match actor {
            0 | 1 => life.publish(&mut random).await,
            2 => life.delete(&mut random).await,
            3 => life.make_disk(&mut random).await,
            4 => life.move_about(&mut random).await,
            5 => life.look(&mut random).await,
            _ => {
                life.collect(REGIONS[actor % REGIONS.len()]).await;
            }
        }
        // Deleting and moving are quick; what they are to meet is not.
        let pause_ms = if matches!(actor, 2 | 4) { 150 } else { 1 };
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
    }
}

/// Retries and leases wait for a clock that somebody must move.
async fn tick(life: Arc<Life>) {
    loop {
        tokio::time::sleep(Duration::from_millis(TICK_MS)).await;
        life.world.clock.advance(TICK_MS as i64);
    }
}

/// A new world, or what the last life left, as the next process finds it.
async fn begin(left: Option<World>, model: &Shared) -> Arc<Life> {
    let world = match left {
        None => {
            let world = World::new().await;
            world.start().furnish().await;
            world
        }
        Some(left) => {
            let world = left.reopen().await;
            drop(left);
            // A database takes its time to notice that a process is dead.
            world.until("the catalogue is free", || async { world.control.take_over().await.ok() }).await;
            world.start();
            world
        }
    };
    let life = Arc::new(Life { world, model: model.clone(), actions: AtomicUsize::new(0) });
    life.check().await;
    life.settle_the_estate().await;
    life
}

/// Everybody at once, until enough was done or somebody has found a fault.
async fn rage(life: &Arc<Life>, number: usize, seed: u64) {
    let mut actors = JoinSet::new();
    for actor in 0..ACTORS {
        let random = Random(seed ^ ((number as u64) << 32) ^ ((actor as u64) << 16));
        actors.spawn(act(life.clone(), actor, random));
    }
    actors.spawn(tick(life.clone()));
    let enough = async {
        while life.actions.load(Ordering::SeqCst) < ACTIONS_IN_A_LIFE {
            tokio::time::sleep(Duration::from_millis(TICK_MS)).await;
        }
    };
    tokio::select! {
        () = enough => {}
        ended = actors.join_next() => panic!("an actor found a fault: {ended:?}"),
    }
    // Clients vanish first; what they asked for is still being done when the process ends.
    actors.shutdown().await;
}

/// All that was published is there; what is deleted gives its space back, the last byte of it.
async fn end(life: &Arc<Life>) {
    let ticking = tokio::spawn(tick(life.clone()));
    let world = &life.world;
    world
        .until("every copy has ended", || async {
            let numbers: Vec<usize> = life.model.lock().unwrap().versions.keys().copied().collect();
            for number in numbers {
                let id = world.id(&name(number));
                let mut tx = world.control.db().read().await.unwrap();
                let replicas = replica::list_for_version(&mut tx, id.key()).await.unwrap();
                if replicas.iter().any(|replica| replica.state == ReplicationState::Replicating) {
                    return None;
                }
            }
            Some(())
        })
        .await;
    life.check().await;
    let published = |model: &Model| -> Vec<usize> {
        let kept = model.versions.iter().filter(|(_, version)| version.state == Asked::Published);
        kept.map(|(number, _)| *number).collect()
    };
    let kept = published(&life.model.lock().unwrap());
    assert!(kept.len() > 1, "too little was left alive to say anything");
    for number in &kept[1..] {
        life.model.lock().unwrap().versions.get_mut(number).unwrap().state = Asked::Deleted;
        world.delete(&name(*number)).await;
    }
    for region in REGIONS {
        world
            .until("what is mostly garbage was compacted", || async {
                let report = life.collect(region).await;
                let is_quiet = report.condemned_packs + report.deleted_packs + report.waiting_packs == 0;
                (is_quiet && report.dead_bytes <= report.live_bytes).then_some(())
            })
            .await;
    }
    life.check().await;
    world.control.resource_group_delete(&world.ctx(), &world.id("")).await.unwrap();
    for region in REGIONS {
        world
            .until("nothing is left", || async {
                life.collect(region).await;
                (world.regions[region].stats(world.caller.tenant).await.unwrap().packs == 0).then_some(())
            })
            .await;
        let packs = world.directory.path().join(format!("regions/{region}/tenants/{}/packs", world.caller.tenant));
        let files = std::fs::read_dir(packs).map_or(0, Iterator::count);
        assert_eq!(files, 0, "{region} has files of packs that nobody knows");
        let suspects = super::staging::run(&world.control, &Default::default()).await.unwrap();
        super::staging::run(&world.control, &suspects).await.unwrap();
        assert_eq!(world.regions[region].uploads().await.unwrap(), []);
    }
    ticking.abort();
    world.control.shutdown().await;
}

#[test]
fn what_is_published_outlives_collections_and_kills() {
    let (lives, seed) = (setting("GALERIE_FIRE_LIVES", LIVES), setting("GALERIE_FIRE_SEED", SEED));
    eprintln!("GALERIE_FIRE_LIVES={lives} GALERIE_FIRE_SEED={seed}");
    let model = Shared::default();
    let mut left = None;
    for number in 0..=lives {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
        let life = runtime.block_on(begin(left.take(), &model));
        match number {
            last if last == lives => runtime.block_on(end(&life)),
            _ => runtime.block_on(rage(&life, number, seed as u64)),
        }
        // The kill: every task is dropped at the point that it has reached.
        runtime.shutdown_timeout(KILLED_WITHIN);
        left = Arc::into_inner(life).map(|life| life.world);
        assert!(left.is_some(), "a task outlived its runtime");
    }
}
