//! A thousand seeded faults of the medium in two regions: one pass finds all of them, what another region has heals to
//! equal bytes, what nobody has is named, and no fault is ever served.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs,
    path::PathBuf,
    time::Duration,
};

use bytes::Bytes;
use galerie_arm::{OperationStatus, ReplicationState};
use galerie_region::{Region, UploadId};
use galerie_store::{BlobId, ManifestId, PackId, pack::PackEntry};
use serde_json::{Value, json};

use super::scrub;
use crate::{
    WorkerTuning,
    db::{disk_image, replica, resource},
    operations,
    testing::{GUEST_BYTES, World, upload_body, vhd_footer},
};

const SEED: u64 = 20_261_124;
const FAULTS: usize = 1000;
/// Images that are damaged in one of the regions, and those that are damaged in both at the same blobs.
const EAST_ONLY: std::ops::Range<usize> = 0..7;
const WEST_ONLY: std::ops::Range<usize> = 7..14;
const IN_BOTH: std::ops::Range<usize> = 14..16;
const TWO: [&str; 2] = ["eastus", "westus"];
/// Of each image; the rest is zeros.
const NOISE_BYTES: usize = 5 << 20;

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// Tests are not optimised: what is done for each byte is much of their time.
pub(super) fn noise(seed: u64, length_bytes: usize) -> Vec<u8> {
    let (mut random, mut bytes) = (Random(seed), vec![0; length_bytes]);
    for eight in bytes.chunks_exact_mut(8) {
        eight.copy_from_slice(&random.next().to_le_bytes());
    }
    bytes
}

fn fast() -> WorkerTuning {
    WorkerTuning { scrub_rate_bytes_s: u64::MAX, ..World::tuning() }
}

/// An image, and where it lies.
struct Image {
    /// As the guest sees it.
    bytes: Vec<u8>,
    manifest: ManifestId,
    packs: BTreeMap<&'static str, Vec<(PackId, Vec<PackEntry>)>>,
}

fn packs_folder(world: &World, region: &str) -> PathBuf {
    world.directory.path().join(format!("regions/{region}/tenants/{}/packs", world.caller.tenant))
}

fn packs_in(world: &World, region: &str) -> BTreeSet<PackId> {
    let listed = fs::read_dir(packs_folder(world, region)).into_iter().flatten();
    listed.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
}

fn version(number: usize) -> String {
    format!("galleries/g/images/i/versions/1.0.{number}")
}

/// Makes the disk and the version of an image, in both regions.
async fn make(world: &World, number: usize) -> Image {
    let before: BTreeMap<_, _> = TWO.map(|region| (region, packs_in(world, region))).into();
    let (mut bytes, below) = (noise(SEED + number as u64, NOISE_BYTES), format!("disks/d{number}"));
    let id = world.id(&below);
    world.put(&below, upload_body()).await.unwrap();
    let grant = json!({ "access": "Write", "durationInSeconds": 3600 });
    world.control.begin_get_access(&world.ctx(), &id, grant).await.unwrap();
    let row = resource::find(&mut world.control.db().read().await.unwrap(), id.key()).await.unwrap().unwrap();
    let (east, upload) = (&world.regions["eastus"], UploadId(row.uid));
    east.write_pages(upload, 0, Bytes::from(bytes.clone())).await.unwrap();
    east.write_pages(upload, GUEST_BYTES, Bytes::copy_from_slice(&vhd_footer(GUEST_BYTES))).await.unwrap();
    let import = world.control.end_get_access(&world.ctx(), &id).await.unwrap().operation;
    assert_eq!(world.ended(&import).await, (OperationStatus::Succeeded, None));
    let body = json!({ "location": "eastus", "properties": {
        "storageProfile": { "osDiskImage": { "source": { "id": id.as_str() } } },
        "publishingProfile": { "targetRegions": TWO.map(|name| json!({ "name": name })) } } });
    let copy = world.put(&version(number), body).await.unwrap();
    assert_eq!(world.ended(&copy).await, (OperationStatus::Succeeded, None));
    let images = disk_image::list_for(&mut world.control.db().read().await.unwrap(), id.key()).await.unwrap();
    bytes.resize(GUEST_BYTES as usize, 0);
    let mut packs = BTreeMap::new();
    for region in TWO {
        let mut new = Vec::new();
        for pack in packs_in(world, region).difference(&before[region]) {
            let table = world.regions[region].inspect_pack(world.caller.tenant, *pack).await.unwrap();
            new.push((*pack, table.entries));
        }
        // By what is in them: names are random, and a seed is to mean the same each time.
        new.sort_by_key(|(_, entries)| entries.first().map(|entry| entry.id));
        packs.insert(region, new);
    }
    Image { bytes, manifest: images[0].manifest, packs }
}

/// The faults that were made.
#[derive(Default)]
struct Faults {
    made: usize,
    blobs: HashSet<(&'static str, PackId, BlobId)>,
    /// Packs that were cut short.
    cut: HashSet<(&'static str, PackId)>,
}

impl Faults {
    fn change(&mut self, world: &World, region: &'static str, pack: PackId, change: impl FnOnce(&mut Vec<u8>)) {
        let path = packs_folder(world, region).join(pack.to_string());
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        self.made += 1;
    }

    fn flip(&mut self, world: &World, random: &mut Random, region: &'static str, pack: PackId, entry: &PackEntry) {
        let bit = random.below(entry.stored_bytes as usize * 8);
        self.change(world, region, pack, |bytes| bytes[entry.offset_bytes as usize + bit / 8] ^= 1 << (bit % 8));
        self.blobs.insert((region, pack, entry.id));
    }

    /// Puts the bytes of two blobs into each other's place, as far as both reach.
    fn swap(&mut self, world: &World, region: &'static str, pack: PackId, one: &PackEntry, other: &PackEntry) {
        let length = one.stored_bytes.min(other.stored_bytes) as usize;
        self.change(world, region, pack, |bytes| {
            for at in 0..length {
                bytes.swap(one.offset_bytes as usize + at, other.offset_bytes as usize + at);
            }
        });
        self.blobs.insert((region, pack, one.id));
        self.blobs.insert((region, pack, other.id));
    }

    fn cut(&mut self, world: &World, random: &mut Random, region: &'static str, pack: PackId) {
        self.change(world, region, pack, |bytes| bytes.truncate(random.below(bytes.len())));
        self.cut.insert((region, pack));
    }

    /// Swaps and flips in one region's packs of an image until `most` faults were made; each blob is hit once.
    fn spread(&mut self, world: &World, random: &mut Random, region: &'static str, image: &Image, most: usize) {
        for (pack, entries) in &image.packs[region] {
            let mut left: Vec<&PackEntry> = entries.iter().collect();
            while self.made < most && !left.is_empty() {
                let entry = left.swap_remove(random.below(left.len()));
                match random.below(10) {
                    0 if !left.is_empty() => {
                        let other = left.swap_remove(random.below(left.len()));
                        self.swap(world, region, *pack, entry, other);
                    }
                    _ => self.flip(world, random, region, *pack, entry),
                }
            }
        }
    }

    /// Flips bits of the same blobs of an image in both regions until `most` faults were made.
    fn flip_in_both(&mut self, world: &World, random: &mut Random, image: &Image, most: usize) {
        for (pack, entries) in &image.packs["eastus"] {
            for entry in entries {
                if self.made >= most {
                    return;
                }
                let other = image.packs["westus"]
                    .iter()
                    .find_map(|(pack, entries)| Some((*pack, entries.iter().find(|other| other.id == entry.id)?)));
                let (other_pack, other) = other.expect("both regions have the same blobs");
                self.flip(world, random, "eastus", *pack, entry);
                self.flip(world, random, "westus", other_pack, other);
            }
        }
    }
}

/// Reads an image in pieces: each is right, or there is none. How many there were.
async fn read_all(world: &World, region: &str, image: &Image) -> Result<usize, usize> {
    const PIECE: usize = 256 << 10;
    let Ok(reader) = world.regions[region].open_image(world.caller.tenant, image.manifest).await else { return Err(0) };
    let (mut right, mut failed) = (0, 0);
    for offset in (0..GUEST_BYTES as usize).step_by(PIECE) {
        match reader.read(offset as u64, PIECE as u64).await {
            Ok(read) => {
                assert!(
                    read == image.bytes[offset..offset + PIECE],
                    "{region}: {} at {offset} is other bytes",
                    image.manifest
                );
                right += 1;
            }
            Err(_) => failed += 1,
        }
    }
    if failed == 0 { Ok(right) } else { Err(right) }
}

fn quarantined(world: &World, region: &str) -> HashSet<(PackId, BlobId)> {
    let folder = world.directory.path().join(format!("regions/{region}/tenants/{}/quarantine", world.caller.tenant));
    let names = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().file_name());
    let parse = |name: std::ffi::OsString| {
        let (pack, blob) = name.to_str().unwrap().split_once('.').unwrap();
        (pack.parse().unwrap(), blob.parse().unwrap())
    };
    names.map(parse).collect()
}

fn hurt(stats: &Value) -> BTreeSet<String> {
    let named = stats["scrub"]["hurtResources"].as_array().unwrap().iter();
    named.map(|hurt| hurt["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_pass_finds_every_fault_and_heals_what_another_region_has() {
    let world = World::new().await;
    operations::start(&world.control);
    world.furnish().await;
    let mut images = Vec::new();
    for number in EAST_ONLY.start..IN_BOTH.end {
        images.push(make(&world, number).await);
    }
    world.control.shutdown().await;

    let (mut random, mut faults) = (Random(SEED), Faults::default());
    for (range, region) in [(EAST_ONLY, TWO[0]), (WEST_ONLY, TWO[1])] {
        let (pack, _) = images[range.start].packs[region][0];
        faults.cut(&world, &mut random, region, pack);
        for image in &images[range.start + 1..range.end] {
            let most = faults.made + 75;
            faults.spread(&world, &mut random, region, image, most);
        }
    }
    // The same blobs in both regions, until the thousand is full: each of these images has its share.
    for number in IN_BOTH {
        let share = (FAULTS - faults.made).div_ceil(IN_BOTH.end - number);
        faults.flip_in_both(&world, &mut random, &images[number], faults.made + share);
    }
    assert!(faults.made >= FAULTS, "there are not enough blobs for more than {} faults", faults.made);

    // As another process finds it, whose caches are empty.
    let world = world.reopen_with(fast()).await;
    let mut broken = 0;
    for image in &images {
        for region in TWO {
            broken += usize::from(read_all(&world, region, image).await.is_err());
        }
    }
    assert!(broken >= images.len(), "faults are noticed by reading, too");

    for region in TWO {
        scrub::run(&world.control, region).await.unwrap();
        let expected: HashSet<_> =
            faults.blobs.iter().filter(|(of, _, _)| *of == region).map(|(_, pack, blob)| (*pack, *blob)).collect();
        let found = quarantined(&world, region);
        assert_eq!(expected.difference(&found).count(), 0, "{region}: faults that were not found");
        assert_eq!(found.difference(&expected).count(), 0, "{region}: found what was no fault");
        let stats = world.control.store_stats(&world.ctx(), region).await.unwrap();
        let last = &stats["scrub"]["last"];
        let cut = faults.cut.iter().filter(|(of, _)| *of == region).count();
        assert_eq!((&last["damagedPacks"], &last["damagedBlobs"]), (&json!(cut), &json!(expected.len())), "{stats}");
        let named = hurt(&stats);
        let damaged = if region == "eastus" { EAST_ONLY } else { WEST_ONLY };
        for number in damaged.chain(IN_BOTH) {
            assert!(named.contains(world.id(&version(number)).as_str()), "{region}: version {number} is not named");
            let disk_is_here = region == "eastus";
            assert_eq!(named.contains(world.id(&format!("disks/d{number}")).as_str()), disk_is_here);
        }
    }

    operations::start(&world.control);
    for (number, image) in images[..WEST_ONLY.end].iter().enumerate() {
        world
            .until("a damaged version is whole again", || async {
                world.clock.advance(100);
                let id = world.id(&version(number));
                let replicas = replica::list_for_version(&mut world.control.db().read().await.unwrap(), id.key()).await;
                replicas.unwrap().iter().all(|replica| replica.state == ReplicationState::Completed).then_some(())
            })
            .await;
        for region in TWO {
            assert!(read_all(&world, region, image).await.is_ok(), "{region}: image {number} has not healed");
        }
    }
    for image in &images[IN_BOTH] {
        for region in TWO {
            read_all(&world, region, image).await.expect_err("nobody has its bytes");
        }
    }
    // A second pass finds nothing new; what nobody has stays named.
    world.clock.advance(i64::try_from(fast().scrub_period.as_millis()).unwrap());
    let lost: BTreeSet<String> = IN_BOTH.map(|number| world.id(&version(number)).as_str().to_owned()).collect();
    for region in TWO {
        let before = quarantined(&world, region);
        scrub::run(&world.control, region).await.unwrap();
        assert_eq!(quarantined(&world, region), before);
        let stats = world.control.store_stats(&world.ctx(), region).await.unwrap();
        let disks = |id: &String| id.contains("/disks/");
        assert_eq!(hurt(&stats).into_iter().filter(|id| !disks(id)).collect::<BTreeSet<_>>(), lost, "{region}");
    }
    world.control.shutdown().await;
}

/// Regression: a region's first pass found nothing and counted, so that what was stored after it was read a period later.
#[tokio::test]
async fn a_pass_over_nothing_does_not_count() {
    let world = World::new().await.reopen_with(fast()).await;
    operations::start(&world.control);
    world.furnish().await;
    scrub::run(&world.control, "eastus").await.unwrap();
    make(&world, 0).await;
    scrub::run(&world.control, "eastus").await.unwrap();
    let scrubbed = || world.regions["eastus"].scrubbed.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(scrubbed(), 0, "it was looked a moment ago");
    world.clock.advance(600_000);
    scrub::run(&world.control, "eastus").await.unwrap();
    let packs = scrubbed();
    assert_eq!(packs, packs_in(&world, "eastus").len() as u64);
    world.clock.advance(600_000);
    scrub::run(&world.control, "eastus").await.unwrap();
    assert_eq!(scrubbed(), packs, "a pass that read something counts");
    world.control.shutdown().await;
}

/// Regression: every restart would begin anew, and the packs at the end never be read.
#[tokio::test]
async fn a_pass_goes_on_where_it_was() {
    let world = World::new().await;
    operations::start(&world.control);
    world.furnish().await;
    for number in 0..3 {
        make(&world, number).await;
    }
    world.control.shutdown().await;
    let packs = packs_in(&world, "eastus").len();
    assert!(packs >= 3);
    // So slow that it waits after the first pack until it is told to stop.
    let slow = world.reopen_with(WorkerTuning { scrub_rate_bytes_s: 1, ..World::tuning() }).await;
    let control = slow.control.clone();
    let reading = tokio::spawn(async move { scrub::run(&control, "eastus").await });
    tokio::time::timeout(Duration::from_secs(60), async {
        while slow.regions["eastus"].scrubbed.load(std::sync::atomic::Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it begins");
    slow.control.stopping().cancel();
    reading.await.unwrap().unwrap();
    let stats = slow.control.store_stats(&slow.ctx(), "eastus").await.unwrap();
    assert_eq!((&stats["scrub"]["state"], &stats["scrub"]["running"]["packs"]), (&json!("running"), &json!(1)));
    slow.control.shutdown().await;
    let world = slow.reopen_with(fast()).await;
    scrub::run(&world.control, "eastus").await.unwrap();
    assert_eq!(world.regions["eastus"].scrubbed.load(std::sync::atomic::Ordering::SeqCst), packs as u64 - 1);
    let stats = world.control.store_stats(&world.ctx(), "eastus").await.unwrap();
    assert_eq!((&stats["scrub"]["state"], &stats["scrub"]["last"]["packs"]), (&json!("resting"), &json!(packs)));
    let rest = scrub::run(&world.control, "eastus").await.unwrap();
    assert!(rest > Duration::from_secs(60), "it rests until the period is over");
}
