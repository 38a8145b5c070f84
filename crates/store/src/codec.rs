//! Codecs: how a blob's bytes are encoded at rest and on the wire, and which of them a store writes.

use std::{cell::RefCell, fmt, str::FromStr};

use bytes::Bytes;
use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};
use serde::Deserialize;
use zstd::bulk::{Compressor, Decompressor};

use crate::{Error, Result};

/// What a thread keeps of its scratch memory: enough for every chunk. A manifest may take 41 MiB of it.
const SCRATCH_KEPT_BYTES: usize = 512 * 1024;
/// Level 3 stores 3 % less than level 1 at three quarters of its speed; see `docs/design/store.md`.
const ZSTD_LEVEL: i32 = 3;

/// How a blob's bytes are encoded at rest and on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// As they are: compressing gained less than 5 %.
    Raw = 0,
    /// One zstd frame (RFC 8878).
    Zstd = 1,
    /// One LZ4 block (the block format, without a frame or a length).
    Lz4 = 2,
}

impl TryFrom<u8> for Codec {
    type Error = Error;
    fn try_from(byte: u8) -> Result<Self> {
        match byte {
            0 => Ok(Self::Raw),
            1 => Ok(Self::Zstd),
            2 => Ok(Self::Lz4),
            _ => Err(Error::Corrupt(format!("{byte} is no codec"))),
        }
    }
}

impl Codec {
    /// The `length` bytes that `encoded` stands for. Allocates no more than that.
    ///
    /// # Errors
    /// What is wrong with it, to follow a blob's name.
    pub(crate) fn decode(self, encoded: &[u8], length: usize) -> Result<Bytes, &'static str> {
        let decoded = match self {
            // Copied, because the bytes may be a slice of a much longer read, which a cached chunk would hold on to.
            Self::Raw if encoded.len() == length => Some(Bytes::copy_from_slice(encoded)),
            Self::Raw => return Err("has another length than stated"),
            Self::Zstd => unzstd(encoded, length),
            Self::Lz4 => unlz4(encoded, length),
        };
        match decoded {
            Some(decoded) if decoded.len() == length => Ok(decoded),
            Some(_) => Err("has another length than stated"),
            None => Err("does not decompress"),
        }
    }
}

/// What a store compresses new blobs with. It reads them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum Compression {
    /// Takes the least space.
    #[default]
    Zstd,
    /// Decompresses three times as fast, and takes a third more.
    Lz4,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
        })
    }
}

impl TryFrom<String> for Compression {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl FromStr for Compression {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        [Self::Zstd, Self::Lz4].into_iter().find(|compression| compression.to_string() == name).ok_or_else(|| {
            let name: String = name.chars().take(80).collect();
            Error::Invalid(format!("'{name}' is no compression; it is zstd or lz4"))
        })
    }
}

impl Compression {
    /// What it makes of `bytes`, or themselves where that gains less than 5 %.
    pub(crate) fn encode(self, bytes: &[u8]) -> (Codec, Bytes) {
        let enough = bytes.len() - bytes.len().div_ceil(20);
        let packed = SCRATCH.with_borrow_mut(|scratch| {
            let length = match self {
                Self::Zstd => zstd(bytes, room(scratch, enough)),
                Self::Lz4 => lz4(bytes, room(scratch, get_maximum_output_size(bytes.len()))),
            };
            let packed = length.filter(|length| *length <= enough);
            let packed = packed.map(|length| Bytes::copy_from_slice(&scratch[..length]));
            if scratch.len() > SCRATCH_KEPT_BYTES {
                *scratch = Vec::new();
            }
            packed
        });
        match packed {
            Some(packed) => (self.codec(), packed),
            None => (Codec::Raw, Bytes::copy_from_slice(bytes)),
        }
    }

    /// Whether what is encoded so is kept as it came, rather than compressed anew.
    pub(crate) fn keeps(self, codec: Codec) -> bool {
        codec == Codec::Raw || codec == self.codec()
    }

    fn codec(self) -> Codec {
        match self {
            Self::Zstd => Codec::Zstd,
            Self::Lz4 => Codec::Lz4,
        }
    }
}

thread_local! {
    // A zstd context is a megabyte and slow to make; each thread keeps its own.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    static LZ4_TABLE: RefCell<CompressTable> = RefCell::new(CompressTable::large());
    // Compressed bytes are copied out of here, so that a small blob does not hold on to a large buffer.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn room(scratch: &mut Vec<u8>, length: usize) -> &mut [u8] {
    if scratch.len() < length {
        scratch.resize(length, 0);
    }
    &mut scratch[..length]
}

/// How long the frame in `out` is; `None` where it does not fit, or there is no memory to compress in.
fn zstd(bytes: &[u8], out: &mut [u8]) -> Option<usize> {
    COMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Compressor::new(ZSTD_LEVEL).ok();
        }
        slot.as_mut()?.compress_to_buffer(bytes, out).ok()
    })
}

fn unzstd(encoded: &[u8], length: usize) -> Option<Bytes> {
    DECOMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Decompressor::new().ok();
        }
        let mut decoded = Vec::with_capacity(length);
        slot.as_mut()?.decompress_to_buffer(encoded, &mut decoded).ok()?;
        Some(decoded.into())
    })
}

/// How long the block in `out` is.
fn lz4(bytes: &[u8], out: &mut [u8]) -> Option<usize> {
    LZ4_TABLE.with_borrow_mut(|table| compress_into_with_table(bytes, out, table).ok())
}

fn unlz4(encoded: &[u8], length: usize) -> Option<Bytes> {
    let mut decoded = vec![0; length];
    let found = decompress_into(encoded, &mut decoded).ok()?;
    decoded.truncate(found);
    Some(decoded.into())
}
