//! Sorted runs: a part of the index on disk.
//!
//! ```text
//! page 0 .. page n-1      4096 bytes each: up to 73 entries of 56 bytes, count u16, 6 bytes of BLAKE3 of what precedes
//! packs                   name, blobs u32, size u64 for each
//! page keys               the first eight bytes of each page's first id
//! trailer (64 bytes)      magic, version, pages u32, packs u32, entries u64, BLAKE3 of packs, page keys and these
//! ```
//! Not synced to disk: the checksums tell a torn run from a good one, and a bad run is made anew.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
    fs::{self, File},
    io::{BufWriter, Write},
    ops::ControlFlow,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use super::entry::{self, ENTRY_BYTES, IndexedPack, Place};
use crate::{BlobId, Error, Result, pack::PackId, wire::Fields};

const PAGE_BYTES: usize = 4096;
const PAGE_CHECKED_BYTES: usize = PAGE_BYTES - 6;
const PAGE_ENTRIES: usize = (PAGE_CHECKED_BYTES - 2) / ENTRY_BYTES;
const PACK_BYTES: usize = 28;
const KEY_BYTES: usize = 8;
const TRAILER_BYTES: usize = 64;
const MAGIC: &[u8; 8] = b"GLRIDX\0\0";
const VERSION: u16 = 1;
const EXTENSION: &str = "run";

/// An open run.
#[derive(Debug)]
pub(super) struct Run {
    path: PathBuf,
    file: File,
    entries: u64,
    packs: Vec<IndexedPack>,
    /// The index's numbers of `packs`.
    numbers: Vec<u32>,
    page_keys: Vec<u64>,
    damaged: AtomicBool,
}

/// Opens the sound runs in a folder, the longest first, and removes the others.
pub(super) fn open_all(folder: &Path) -> Result<Vec<Run>> {
    let action = || format!("list {}", folder.display());
    let mut runs = Vec::new();
    for file in fs::read_dir(folder).map_err(|source| Error::io(action(), source))? {
        let path = file.map_err(|source| Error::io(action(), source))?.path();
        if path.extension().is_none_or(|extension| extension != EXTENSION) {
            // The remains of a run that was being written.
            let _ = fs::remove_file(&path);
            continue;
        }
        match Run::open(&path) {
            Ok(run) => runs.push(run),
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "index run is damaged and made anew");
                let _ = fs::remove_file(&path);
            }
        }
    }
    runs.sort_by_key(|run| Reverse(run.entries));
    Ok(runs)
}

impl Run {
    fn open(path: &Path) -> Result<Self> {
        let io = |source| Error::io(format!("read {}", path.display()), source);
        let corrupt = |why: &str| Error::Corrupt(format!("{} {why}", path.display()));
        let file = File::open(path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        let Some(trailer_at) = size.checked_sub(TRAILER_BYTES as u64) else { return Err(corrupt("ends early")) };
        let mut trailer = [0; TRAILER_BYTES];
        file.read_exact_at(&mut trailer, trailer_at).map_err(io)?;
        let mut fields = Fields::new(&trailer, "index run");
        fields.expect(MAGIC, "magic")?;
        fields.version(VERSION)?;
        fields.expect(&[0; 2], "reserved field")?;
        let (pages, packs, entries) = (fields.u32()? as usize, fields.u32()? as usize, fields.u64()?);
        fields.expect(&[0; 4], "reserved field")?;
        let lists_bytes = packs * PACK_BYTES + pages * KEY_BYTES;
        if (pages * PAGE_BYTES + lists_bytes) as u64 != trailer_at {
            return Err(corrupt("does not add up to its size"));
        }
        let mut lists = vec![0; lists_bytes];
        file.read_exact_at(&mut lists, (pages * PAGE_BYTES) as u64).map_err(io)?;
        let checksum = blake3::Hasher::new().update(&lists).update(&trailer[..32]).finalize();
        if checksum != fields.take::<32>()? {
            return Err(corrupt("does not match its checksum"));
        }
        let (packs, page_keys) = lists.split_at(packs * PACK_BYTES);
        Ok(Self {
            path: path.to_owned(),
            file,
            entries,
            packs: packs.chunks_exact(PACK_BYTES).map(decode_pack).collect::<Result<_>>()?,
            numbers: Vec::new(),
            page_keys: page_keys.as_chunks::<KEY_BYTES>().0.iter().map(|key| u64::from_be_bytes(*key)).collect(),
            damaged: AtomicBool::new(false),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn packs(&self) -> &[IndexedPack] {
        &self.packs
    }

    pub(super) fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    pub(super) fn set_numbers(&mut self, numbers: Vec<u32>) {
        self.numbers = numbers;
    }

    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    pub(super) fn disk_bytes(&self) -> u64 {
        (self.page_keys.len() * (PAGE_BYTES + KEY_BYTES) + self.packs.len() * PACK_BYTES + TRAILER_BYTES) as u64
    }

    pub(super) fn memory_bytes(&self) -> u64 {
        (self.page_keys.len() * KEY_BYTES + self.packs.len() * (size_of::<IndexedPack>() + 4)) as u64
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Removes the file; who has it open goes on reading.
    pub(super) fn unlink(&self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(file = %self.path.display(), %error, "remove index run");
        }
    }

    /// Shows every entry of `id` to `visitor`.
    pub(super) fn visit(
        &self,
        id: &BlobId,
        visitor: &mut dyn FnMut(u32, &Place) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let key = key_of(id);
        let first = self.page_keys.partition_point(|page| *page < key).saturating_sub(1);
        let after = self.page_keys.partition_point(|page| *page <= key);
        for page in first..after {
            let bytes = self.page(page)?;
            let count = entry_count(&bytes);
            let (entries, _) = bytes[..count * ENTRY_BYTES].as_chunks::<ENTRY_BYTES>();
            let start = entries.partition_point(|entry| entry[..32] < id.0[..]);
            for found in entries[start..].iter().take_while(|entry| entry[..32] == id.0) {
                let (_, pack, place) = entry::decode(found)?;
                let number = *self.numbers.get(pack as usize).ok_or_else(|| self.damage())?;
                if visitor(number, &place).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn page(&self, page: usize) -> Result<[u8; PAGE_BYTES]> {
        let mut bytes = [0; PAGE_BYTES];
        // A page that cannot be read is made anew like one that is wrong; pack tables are the truth.
        if let Err(error) = self.file.read_exact_at(&mut bytes, (page * PAGE_BYTES) as u64) {
            tracing::warn!(file = %self.path.display(), %error, "read a page of the index");
            return Err(self.damage());
        }
        if bytes[PAGE_CHECKED_BYTES..] != page_checksum(&bytes) || entry_count(&bytes) > PAGE_ENTRIES {
            return Err(self.damage());
        }
        Ok(bytes)
    }

    fn damage(&self) -> Error {
        self.damaged.store(true, Ordering::Relaxed);
        Error::Unavailable(format!("index run {} is damaged and will be made anew", self.path.display()))
    }
}

fn key_of(id: &BlobId) -> u64 {
    u64::from_be_bytes(*id.0.first_chunk::<8>().expect("an id has 32 bytes"))
}

fn entry_count(page: &[u8; PAGE_BYTES]) -> usize {
    usize::from(u16::from_le_bytes([page[PAGE_CHECKED_BYTES - 2], page[PAGE_CHECKED_BYTES - 1]]))
}

fn page_checksum(page: &[u8; PAGE_BYTES]) -> [u8; 6] {
    *blake3::hash(&page[..PAGE_CHECKED_BYTES]).as_bytes().first_chunk::<6>().expect("a hash has 32 bytes")
}

fn decode_pack(bytes: &[u8]) -> Result<IndexedPack> {
    let mut fields = Fields::new(bytes, "index run's pack");
    Ok(IndexedPack { pack: PackId(fields.take()?), blobs: fields.u32()?, size_bytes: fields.u64()? })
}

type Item = (BlobId, u32, Place);

/// Entries in order, from a run or from memory.
pub(super) struct MergeInput<'a>(Box<dyn Iterator<Item = Result<Item>> + 'a>);

impl<'a> MergeInput<'a> {
    pub(super) fn run(run: &'a Run) -> Self {
        let pages = (0..run.page_keys.len()).flat_map(move |page| match run.page(page) {
            Ok(bytes) => page_items(run, &bytes),
            Err(error) => vec![Err(error)],
        });
        Self(Box::new(pages))
    }

    pub(super) fn recent(recent: &'a BTreeMap<(BlobId, u32), Place>) -> Self {
        Self(Box::new(recent.iter().map(|((id, number), place)| Ok((*id, *number, *place)))))
    }
}

fn page_items(run: &Run, bytes: &[u8; PAGE_BYTES]) -> Vec<Result<Item>> {
    let (entries, _) = bytes[..entry_count(bytes) * ENTRY_BYTES].as_chunks::<ENTRY_BYTES>();
    entries
        .iter()
        .map(|bytes| {
            let (id, pack, place) = entry::decode(bytes)?;
            let number = run.numbers.get(pack as usize).ok_or_else(|| run.damage())?;
            Ok((id, *number, place))
        })
        .collect()
}

/// Merges `inputs` into a new run, without the entries of packs that `alive` does not know.
pub(super) fn write(
    folder: &Path,
    inputs: Vec<MergeInput<'_>>,
    alive: &dyn Fn(u32) -> Option<IndexedPack>,
) -> Result<Run> {
    let name = uuid::Uuid::new_v4().simple().to_string();
    let staged = folder.join(format!("{name}.new"));
    let path = folder.join(format!("{name}.{EXTENSION}"));
    let io = |source| Error::io(format!("write {}", staged.display()), source);
    let file = File::create_new(&staged).map_err(io)?;
    let mut writer = RunWriter::new(BufWriter::with_capacity(1 << 20, file));
    let mut inputs: Vec<_> = inputs.into_iter().map(|input| input.0).collect();
    let mut heads = BinaryHeap::new();
    let mut waiting: Vec<Option<Item>> = Vec::new();
    for (source, input) in inputs.iter_mut().enumerate() {
        let head = input.next().transpose()?;
        heads.extend(head.map(|(id, number, _)| Reverse((id, number, source))));
        waiting.push(head);
    }
    while let Some(Reverse((_, _, source))) = heads.pop() {
        let (id, number, place) = waiting[source].take().expect("a head in the heap is waiting");
        if let Some(pack) = alive(number) {
            writer.push(&id, number, pack, &place).map_err(io)?;
        }
        waiting[source] = inputs[source].next().transpose()?;
        heads.extend(waiting[source].map(|(id, number, _)| Reverse((id, number, source))));
    }
    let numbers = writer.finish().map_err(io)?;
    fs::rename(&staged, &path).map_err(io)?;
    let mut run = Run::open(&path)?;
    run.set_numbers(numbers);
    Ok(run)
}

struct RunWriter {
    file: BufWriter<File>,
    page: Vec<u8>,
    page_keys: Vec<u64>,
    entries: u64,
    packs: Vec<IndexedPack>,
    numbers: Vec<u32>,
    places: HashMap<u32, u32>,
}

impl RunWriter {
    fn new(file: BufWriter<File>) -> Self {
        Self {
            file,
            page: Vec::with_capacity(PAGE_BYTES),
            page_keys: Vec::new(),
            entries: 0,
            packs: Vec::new(),
            numbers: Vec::new(),
            places: HashMap::new(),
        }
    }

    fn push(&mut self, id: &BlobId, number: u32, pack: IndexedPack, place: &Place) -> std::io::Result<()> {
        let local = *self.places.entry(number).or_insert_with(|| {
            self.packs.push(pack);
            self.numbers.push(number);
            u32::try_from(self.packs.len() - 1).expect("fewer than 2^32 packs of 64 MiB exist")
        });
        if self.page.is_empty() {
            self.page_keys.push(key_of(id));
        }
        self.page.extend_from_slice(&entry::encode(id, local, place));
        self.entries += 1;
        if self.page.len() == PAGE_ENTRIES * ENTRY_BYTES { self.end_page() } else { Ok(()) }
    }

    fn end_page(&mut self) -> std::io::Result<()> {
        let count = u16::try_from(self.page.len() / ENTRY_BYTES).expect("a page has 73 entries");
        let mut bytes = [0; PAGE_BYTES];
        bytes[..self.page.len()].copy_from_slice(&self.page);
        bytes[PAGE_CHECKED_BYTES - 2..PAGE_CHECKED_BYTES].copy_from_slice(&count.to_le_bytes());
        let checksum = page_checksum(&bytes);
        bytes[PAGE_CHECKED_BYTES..].copy_from_slice(&checksum);
        self.page.clear();
        self.file.write_all(&bytes)
    }

    /// Writes the lists and the trailer; the numbers of the packs in the order of the list.
    fn finish(mut self) -> std::io::Result<Vec<u32>> {
        if !self.page.is_empty() {
            self.end_page()?;
        }
        let mut lists = Vec::with_capacity(self.packs.len() * PACK_BYTES + self.page_keys.len() * KEY_BYTES);
        for pack in &self.packs {
            lists.extend_from_slice(&pack.pack.0);
            lists.extend_from_slice(&pack.blobs.to_le_bytes());
            lists.extend_from_slice(&pack.size_bytes.to_le_bytes());
        }
        self.page_keys.iter().for_each(|key| lists.extend_from_slice(&key.to_be_bytes()));
        let mut trailer = Vec::with_capacity(TRAILER_BYTES);
        trailer.extend_from_slice(MAGIC);
        trailer.extend_from_slice(&VERSION.to_le_bytes());
        trailer.extend_from_slice(&[0; 2]);
        trailer.extend_from_slice(&u32::try_from(self.page_keys.len()).expect("bounded by disk").to_le_bytes());
        trailer.extend_from_slice(&u32::try_from(self.packs.len()).expect("bounded by disk").to_le_bytes());
        trailer.extend_from_slice(&self.entries.to_le_bytes());
        trailer.extend_from_slice(&[0; 4]);
        let checksum = blake3::Hasher::new().update(&lists).update(&trailer).finalize();
        trailer.extend_from_slice(checksum.as_bytes());
        self.file.write_all(&lists)?;
        self.file.write_all(&trailer)?;
        self.file.flush()?;
        Ok(self.numbers)
    }
}
