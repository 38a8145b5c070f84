//! From the first cluster to a checked header, and from the header to a checked L1 table.

use super::header::{CLUSTER_BITS, Compression, Header};
use crate::{
    Error, Result,
    formats::{SourceFile, check_virtual_size},
};

/// The part of the header that both versions have.
const HEADER_V2_BYTES: u64 = 72;
/// The shortest header of version 3, up to and including `header_length`.
const HEADER_V3_BYTES: u64 = 104;
/// The longest header we believe; the format's own fields end at 112.
const MAX_HEADER_BYTES: u64 = 4096;
/// The largest L1 table, as in QEMU (`QCOW_MAX_L1_SIZE`): 4 Mi entries.
const MAX_L1_BYTES: u64 = 32 << 20;
/// Where a table or cluster lies: bits 9 to 55 of an entry.
pub(super) const OFFSET_MASK: u64 = 0x00ff_ffff_ffff_fe00;

const DIRTY: u64 = 1 << 0;
const CORRUPT: u64 = 1 << 1;
const EXTERNAL_DATA_FILE: u64 = 1 << 2;
const COMPRESSION_TYPE: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;
const KNOWN_INCOMPATIBLE: u64 = DIRTY | CORRUPT | EXTERNAL_DATA_FILE | COMPRESSION_TYPE | EXTENDED_L2;

const EXTENSION_END: u32 = 0;
const EXTENSION_CRYPTO: u32 = 0x0537_be77;
const EXTENSION_DATA_FILE: u32 = 0x4441_5441;

const FLATTEN: &str = "flatten it with: qemu-img convert -O qcow2 IMAGE NEW.qcow2";

/// Reads and checks the header.
pub(crate) fn parse(source: &SourceFile) -> Result<Header> {
    let mut fixed = [0; HEADER_V2_BYTES as usize];
    source.read("header", 0, &mut fixed)?;
    let fields = Fields(&fixed);
    if fields.u32(0) != 0x5146_49fb {
        return Err(source.corrupt("header", 0, "it does not begin with 'QFI\\xfb'"));
    }
    match fields.u32(4) {
        2 => finish(source, &fields, Features::version_2()),
        3 => finish(source, &fields, Features::read(source)?),
        1 => Err(Error::refused("qcow (version 1)", "only versions 2 and 3 are read", FLATTEN)),
        other => Err(Error::refused("qcow2", format!("its version is {other}; 2 and 3 are read"), FLATTEN)),
    }
}

/// What version 3 adds.
struct Features {
    version: u32,
    header_bytes: u64,
    extended_l2: bool,
    compression: Compression,
}

impl Features {
    fn version_2() -> Self {
        Self { version: 2, header_bytes: HEADER_V2_BYTES, extended_l2: false, compression: Compression::Deflate }
    }

    fn read(source: &SourceFile) -> Result<Self> {
        let mut bytes = [0; HEADER_V3_BYTES as usize];
        source.read("header", 0, &mut bytes)?;
        let fields = Fields(&bytes);
        let incompatible = fields.u64(72);
        check_incompatible(incompatible)?;
        let header_bytes = u64::from(fields.u32(100));
        if !(HEADER_V3_BYTES..=MAX_HEADER_BYTES).contains(&header_bytes) || !header_bytes.is_multiple_of(8) {
            let problem = format!("it says that it is {header_bytes} bytes long");
            return Err(source.corrupt("header length", 100, problem));
        }
        let compression = compression(source, incompatible, header_bytes)?;
        Ok(Self { version: 3, header_bytes, extended_l2: incompatible & EXTENDED_L2 != 0, compression })
    }
}

fn check_incompatible(bits: u64) -> Result<()> {
    if bits & EXTERNAL_DATA_FILE != 0 {
        return Err(Error::refused("qcow2", "its data is in an external data file", FLATTEN));
    }
    if bits & CORRUPT != 0 {
        let advice = "repair a copy with qemu-img check -r all, or convert the original again";
        return Err(Error::refused("qcow2", "it is marked corrupt", advice));
    }
    let unknown = bits & !KNOWN_INCOMPATIBLE;
    if unknown != 0 {
        let reason = format!("it needs the unknown incompatible feature of bit {}", unknown.trailing_zeros());
        return Err(Error::refused("qcow2", reason, FLATTEN));
    }
    Ok(())
}

fn compression(source: &SourceFile, incompatible: u64, header_bytes: u64) -> Result<Compression> {
    let mut kind = [0];
    if header_bytes > HEADER_V3_BYTES {
        source.read("header", HEADER_V3_BYTES, &mut kind)?;
    }
    // The format demands that the bit is set exactly when the type is not zlib.
    match (incompatible & COMPRESSION_TYPE != 0, kind[0]) {
        (false, 0) => Ok(Compression::Deflate),
        (true, 1) => Ok(Compression::Zstd),
        (true, 0) | (false, _) => Err(source.corrupt(
            "compression type",
            HEADER_V3_BYTES,
            format!("type {} contradicts the compression bit", kind[0]),
        )),
        (true, other) => Err(Error::refused("qcow2", format!("its compression type {other} is unknown"), FLATTEN)),
    }
}

fn finish(source: &SourceFile, fields: &Fields<'_>, features: Features) -> Result<Header> {
    if fields.u64(8) != 0 || fields.u32(16) != 0 {
        return Err(Error::refused("qcow2", "it refers to a backing file", FLATTEN));
    }
    let cluster_bits = fields.u32(20);
    if !CLUSTER_BITS.contains(&cluster_bits) {
        return Err(source.corrupt("cluster bits", 20, format!("{cluster_bits} is not between 9 and 21")));
    }
    // QEMU's own bound: a subcluster is at least 512 bytes.
    if features.extended_l2 && cluster_bits < 14 {
        let problem = format!("{cluster_bits} is too small for extended L2 entries");
        return Err(source.corrupt("cluster bits", 20, problem));
    }
    let virtual_size_bytes = fields.u64(24);
    check_virtual_size("qcow2", virtual_size_bytes)?;
    if fields.u32(32) != 0 {
        let advice = "decrypt it with qemu-img convert while giving its secret";
        return Err(Error::refused("qcow2", "it is encrypted", advice));
    }
    let mut header = Header {
        version: features.version,
        cluster_bits,
        virtual_size_bytes,
        l1_offset_bytes: fields.u64(40),
        l1_entries: 0,
        extended_l2: features.extended_l2,
        compression: features.compression,
    };
    header.l1_entries = check_l1(source, &header, u64::from(fields.u32(36)))?;
    check_extensions(source, features.header_bytes, header.cluster_bytes())?;
    Ok(header)
}

/// How many L1 entries the disk needs; all of them are inside the file and the bound.
fn check_l1(source: &SourceFile, header: &Header, stored_entries: u64) -> Result<u64> {
    let needed = header.virtual_size_bytes.div_ceil(header.l2_coverage_bytes());
    if stored_entries < needed {
        return Err(source.corrupt("L1 size", 36, format!("{stored_entries} entries; the disk needs {needed}")));
    }
    if needed * 8 > MAX_L1_BYTES {
        let reason = format!("its L1 table needs {} bytes; at most {MAX_L1_BYTES} are read", needed * 8);
        return Err(Error::refused("qcow2", reason, "convert it with a larger cluster size"));
    }
    if header.l1_offset_bytes == 0 || !header.l1_offset_bytes.is_multiple_of(header.cluster_bytes()) {
        let problem = format!("offset {} is not the start of a cluster after the header", header.l1_offset_bytes);
        return Err(source.corrupt("L1 offset", 40, problem));
    }
    // All that the header claims, not only what is needed: a table that ends after the file is a lie.
    source.check_inside("L1 table", header.l1_offset_bytes, stored_entries * 8)?;
    Ok(needed)
}

/// Walks the header extensions, which lie between the header and the end of the first cluster, for the two that
/// change what the image is. Each takes at least 8 bytes, so the cluster bounds the walk.
fn check_extensions(source: &SourceFile, header_bytes: u64, cluster_bytes: u64) -> Result<()> {
    let end = cluster_bytes.min(source.length_bytes());
    let mut at = header_bytes;
    while at + 8 <= end {
        let mut bytes = [0; 8];
        source.read("header extension", at, &mut bytes)?;
        let (kind, length) = (Fields(&bytes).u32(0), u64::from(Fields(&bytes).u32(4)));
        match kind {
            EXTENSION_END => return Ok(()),
            EXTENSION_DATA_FILE => {
                return Err(Error::refused("qcow2", "it names an external data file", FLATTEN));
            }
            EXTENSION_CRYPTO => {
                let advice = "decrypt it with qemu-img convert while giving its secret";
                return Err(Error::refused("qcow2", "it is encrypted", advice));
            }
            _ => {}
        }
        let body_bytes = length.next_multiple_of(8);
        if at + 8 + body_bytes > cluster_bytes {
            let problem = format!("its {length} bytes reach past the first cluster");
            return Err(source.corrupt("header extension", at, problem));
        }
        at += 8 + body_bytes;
    }
    Ok(())
}

/// Reads the L1 table: where each L2 table lies, 0 for none.
///
/// A table that two entries share, or that lies over the header or the L1 table, is refused. No program makes one,
/// and it is how a small file claims endless metadata: without it all L2 tables together are no larger than the file.
pub(crate) fn read_l1(source: &SourceFile, header: &Header) -> Result<Vec<u64>> {
    // In bounds: check_l1 allows at most MAX_L1_BYTES, inside the file.
    let mut bytes = vec![0; (header.l1_entries * 8) as usize];
    source.read("L1 table", header.l1_offset_bytes, &mut bytes)?;
    let table: Vec<u64> = big_endian(&bytes).map(|entry| entry & OFFSET_MASK).collect();
    let l1_end = header.l1_offset_bytes + header.l1_entries * 8;
    for (index, offset) in table.iter().copied().enumerate().filter(|(_, offset)| *offset != 0) {
        let entry_at = header.l1_offset_bytes + index as u64 * 8;
        if !offset.is_multiple_of(header.cluster_bytes()) {
            let problem = format!("the L2 table's offset {offset} is not the start of a cluster");
            return Err(source.corrupt("L1 entry", entry_at, problem));
        }
        source.check_inside("L2 table", offset, header.cluster_bytes())?;
        if offset + header.cluster_bytes() > header.l1_offset_bytes && offset < l1_end {
            return Err(source.corrupt("L1 entry", entry_at, "the L2 table lies over the L1 table"));
        }
    }
    check_unshared(source, header, &table)?;
    Ok(table)
}

fn check_unshared(source: &SourceFile, header: &Header, table: &[u64]) -> Result<()> {
    let mut offsets: Vec<u64> = table.iter().copied().filter(|offset| *offset != 0).collect();
    offsets.sort_unstable();
    match offsets.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(source.corrupt(
            "L1 table",
            header.l1_offset_bytes,
            format!("two entries share the L2 table at offset {}", pair[0]),
        )),
        None => Ok(()),
    }
}

/// The big-endian numbers in `bytes`.
pub(crate) fn big_endian(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.chunks_exact(8).map(|bytes| u64::from_be_bytes(bytes.try_into().expect("chunks are of 8 bytes")))
}

/// Big-endian fields of a buffer whose length the caller knows.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u32(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.0[at..at + 4].try_into().expect("the range is 4 bytes long"))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_be_bytes(self.0[at..at + 8].try_into().expect("the range is 8 bytes long"))
    }
}
