//! The index against a map: packs come and go, runs are written, merged, reopened and damaged.

use std::collections::{BTreeMap, BTreeSet};

use galerie_store::{
    BlobId, BlobKind, Codec, CondemnedPacks, PackId,
    index::Index,
    pack::{PackEntry, PackTable},
};
use proptest::prelude::*;

/// Small, so that a few packs make several runs.
const RECENT_ENTRIES_MAX: Option<usize> = Some(100);

fn blob(number: u16) -> BlobId {
    BlobId::of(&number.to_le_bytes())
}

fn pack(number: u8) -> PackId {
    PackId([number; 16])
}

fn table(number: u8, blobs: &BTreeSet<u16>) -> PackTable {
    let entry = |number: &u16| PackEntry {
        id: blob(*number),
        kind: BlobKind::Chunk,
        codec: Codec::Raw,
        offset_bytes: u32::from(*number),
        stored_bytes: 1 + u32::from(*number),
        length_bytes: 2,
    };
    PackTable { pack: pack(number), entries: blobs.iter().map(entry).collect() }
}

#[derive(Debug, Clone)]
enum Step {
    Add(u8, BTreeSet<u16>),
    Remove(u8),
    Quarantine(u8, u16),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let blobs = proptest::collection::btree_set(0_u16..400, 0..120);
    let step = prop_oneof![
        4 => (any::<u8>(), blobs).prop_map(|(number, blobs)| Step::Add(number, blobs)),
        1 => any::<u8>().prop_map(Step::Remove),
        1 => (any::<u8>(), 0_u16..400).prop_map(|(number, blob)| Step::Quarantine(number, blob)),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..30)
}

/// What an index should know: by pack its blobs; and what is left out.
#[derive(Default)]
struct Model {
    /// What each name ever stood for: names are never used again with other content.
    contents: BTreeMap<u8, BTreeSet<u16>>,
    packs: BTreeMap<u8, BTreeSet<u16>>,
    quarantined: BTreeSet<(u8, u16)>,
}

impl Model {
    fn holders(&self, blob: u16) -> BTreeSet<u8> {
        let holds = |(number, blobs): (&u8, &BTreeSet<u16>)| {
            (blobs.contains(&blob) && !self.quarantined.contains(&(*number, blob))).then_some(*number)
        };
        self.packs.iter().filter_map(holds).collect()
    }

    /// Adds what a reopened index does not know, as a domain's refresh does.
    fn follow(&self, index: &Index) {
        let known: BTreeSet<PackId> = index.packs().iter().map(|pack| pack.pack).collect();
        let wanted: BTreeSet<PackId> = self.packs.keys().map(|number| pack(*number)).collect();
        index.remove(&known.difference(&wanted).copied().collect::<Vec<_>>());
        for (number, blobs) in &self.packs {
            index.add(&table(*number, blobs), 1000).unwrap();
        }
        for (number, blob_number) in &self.quarantined {
            index.quarantine(pack(*number), blob(*blob_number));
        }
    }

    fn check(&self, index: &Index) {
        for number in 0..400 {
            let locations = index.locations(&blob(number)).unwrap();
            let found: BTreeSet<u8> = locations.iter().map(|location| location.pack.0[0]).collect();
            assert_eq!(found, self.holders(number), "blob {number}");
            assert_eq!(locations.len(), found.len(), "blob {number} is listed once for each pack");
            for location in locations {
                let slot = self.packs[&location.pack.0[0]].iter().position(|blob| *blob == number);
                assert_eq!(Some(location.slot as usize), slot);
                assert_eq!(location.entry.offset_bytes, u32::from(number));
            }
            let first = found.first().map(|first| pack(*first));
            let others_hold_it = found.len() > 1;
            let condemned: CondemnedPacks = first.into_iter().collect();
            assert_eq!(index.contains(&blob(number), &condemned).unwrap(), others_hold_it);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn an_index_knows_what_its_packs_hold(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let mut index = Index::open(folder.path(), RECENT_ENTRIES_MAX).unwrap();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Add(number, blobs) => {
                    // The second time changes nothing.
                    let blobs = model.contents.entry(number).or_insert(blobs).clone();
                    model.packs.insert(number, blobs.clone());
                    index.add(&table(number, &blobs), 1000).unwrap();
                }
                Step::Remove(number) => {
                    model.packs.remove(&number);
                    model.quarantined.retain(|(of, _)| *of != number);
                    index.remove(&[pack(number)]);
                }
                Step::Quarantine(number, of) => {
                    model.quarantined.insert((number, of));
                    index.quarantine(pack(number), blob(of));
                }
                Step::Reopen => {
                    drop(index);
                    index = Index::open(folder.path(), RECENT_ENTRIES_MAX).unwrap();
                    model.follow(&index);
                }
            }
            model.check(&index);
        }
    }
}

#[test]
fn a_damaged_page_is_found_out_and_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = Model::default();
    for number in 0..4 {
        model.packs.insert(number, (u16::from(number) * 100..u16::from(number) * 100 + 100).collect());
    }
    let index = Index::open(folder.path(), RECENT_ENTRIES_MAX).unwrap();
    model.follow(&index);
    drop(index);
    for run in std::fs::read_dir(folder.path()).unwrap() {
        let path = run.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[70] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    let index = Index::open(folder.path(), RECENT_ENTRIES_MAX).unwrap();
    let errors = || (0..400).filter(|number| index.locations(&blob(*number)).is_err()).count();
    assert!(errors() > 0, "no wrong place is ever answered");
    // A lookup ends at the first damaged run it meets, so each round may find another one.
    for _ in 0..4 {
        index.drop_damaged();
        model.follow(&index);
        if errors() == 0 {
            break;
        }
    }
    model.check(&index);
}

/// Regression: a page that could not be read was an error for ever, and the run was never made anew.
#[test]
fn a_page_that_cannot_be_read_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = Model::default();
    model.packs.insert(1, (0..150).collect());
    let index = Index::open(folder.path(), RECENT_ENTRIES_MAX).unwrap();
    model.follow(&index);
    for run in std::fs::read_dir(folder.path()).unwrap() {
        std::fs::File::options().write(true).open(run.unwrap().path()).unwrap().set_len(100).unwrap();
    }
    let error = index.locations(&blob(7)).unwrap_err();
    assert!(matches!(error, galerie_store::Error::Unavailable(_)), "{error}");
    index.drop_damaged();
    model.follow(&index);
    model.check(&index);
}

/// Prints what `docs/design/store.md` says of the index; run with `--no-capture`.
#[test]
#[allow(clippy::print_stdout, reason = "it prints figures")]
fn memory_grows_by_pages_not_by_blobs() {
    const PACKS: u32 = 200;
    const BLOBS: u32 = 1500;
    let folder = tempfile::tempdir().unwrap();
    let index = Index::open(folder.path(), None).unwrap();
    let id = |pack: u32, slot: u32| BlobId::of(&[pack.to_le_bytes(), slot.to_le_bytes()].concat());
    for number in 0..PACKS {
        let entries = (0..BLOBS).map(|slot| PackEntry {
            id: id(number, slot),
            kind: BlobKind::Chunk,
            codec: Codec::Zstd,
            offset_bytes: slot,
            stored_bytes: 1,
            length_bytes: 1,
        });
        let name = PackId(u128::from(number).to_be_bytes());
        index.add(&PackTable { pack: name, entries: entries.collect() }, 64 << 20).unwrap();
    }
    let stats = index.stats();
    let start = std::time::Instant::now();
    let found = (0..PACKS).filter(|number| index.contains(&id(*number, 7), &CondemnedPacks::none()).unwrap()).count();
    let elapsed = start.elapsed() / PACKS;
    println!("{stats:?}: {} bytes on disk for each blob, {elapsed:?} a lookup", stats.disk_bytes / stats.run_entries);
    assert_eq!(found, PACKS as usize);
    assert_eq!(stats.run_entries + stats.recent_entries, u64::from(PACKS * BLOBS));
    let beside_recent_bytes = stats.memory_bytes - stats.recent_entries * 96;
    assert!(beside_recent_bytes < u64::from(PACKS * BLOBS) / 2, "{stats:?}");
}
