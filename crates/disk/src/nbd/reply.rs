//! Replies, as lists of buffers for one vectored write: headers of our own, data still in the cache's memory.

use bytes::{BufMut, Bytes, BytesMut};
use galerie_store::{Extent, ExtentKind, Part};

use super::{handshake::ReplyStyle, protocol::*};

/// Zeros to send where the client cannot be told of a hole.
const ZEROS: &[u8] = &[0; 64 * 1024];
/// A run of zeros shorter than this is cheaper to send than to describe.
const MIN_HOLE_BYTES: u64 = 512;
/// Headers are written into blocks of this size, so that they are not allocated one by one.
const HEADER_BLOCK_BYTES: usize = 8 * 1024;
/// The longest header of one chunk: extended reply, 32 bytes, and an offset and hole length.
const MAX_HEADER_BYTES: usize = 32 + 16;

/// Builds replies in the style that the handshake agreed on.
pub(super) struct ReplyWriter {
    style: ReplyStyle,
    headers: BytesMut,
}

/// What a request asked for, as far as its reply needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReplyTo {
    pub(super) cookie: u64,
    pub(super) offset_bytes: u64,
    pub(super) flags: u16,
}

impl ReplyWriter {
    pub(super) fn new(style: ReplyStyle) -> Self {
        Self { style, headers: BytesMut::new() }
    }

    /// The answer to a read.
    pub(super) fn read(&mut self, to: ReplyTo, parts: Vec<Part>, out: &mut impl Extend<Bytes>) {
        if self.style == ReplyStyle::Simple {
            let header = self.simple(to, 0);
            out.extend([header]);
            parts.into_iter().for_each(|part| push_part(part, out));
        } else if to.flags & CMD_FLAG_DF != 0 {
            self.data_chunk(to, to.offset_bytes, parts, true, out);
        } else {
            self.read_chunks(to, parts, out);
        }
    }

    /// Data and holes by turns, each run one chunk.
    fn read_chunks(&mut self, to: ReplyTo, parts: Vec<Part>, out: &mut impl Extend<Bytes>) {
        let mut at = to.offset_bytes;
        let mut data = Vec::new();
        let mut data_bytes = 0;
        let mut parts = parts.into_iter().peekable();
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none();
            match part {
                Part::Zero(length) if length >= MIN_HOLE_BYTES => {
                    if !data.is_empty() {
                        self.data_chunk(to, at, std::mem::take(&mut data), false, out);
                        at += std::mem::take(&mut data_bytes);
                    }
                    let header = self.hole(to, at, length, last);
                    out.extend([header]);
                    at += length;
                }
                part => {
                    data_bytes += part.length_bytes();
                    data.push(part);
                    if last {
                        self.data_chunk(to, at, std::mem::take(&mut data), true, out);
                    }
                }
            }
        }
    }

    fn data_chunk(&mut self, to: ReplyTo, at: u64, parts: Vec<Part>, done: bool, out: &mut impl Extend<Bytes>) {
        let length_bytes: u64 = parts.iter().map(Part::length_bytes).sum();
        self.chunk(to, REPLY_OFFSET_DATA, done, 8 + length_bytes);
        self.headers.put_u64(at);
        out.extend([self.headers.split().freeze()]);
        parts.into_iter().for_each(|part| push_part(part, out));
    }

    fn hole(&mut self, to: ReplyTo, at: u64, length_bytes: u64, done: bool) -> Bytes {
        self.chunk(to, REPLY_OFFSET_HOLE, done, 12);
        self.headers.put_u64(at);
        self.headers.put_u32(length_bytes as u32);
        self.headers.split().freeze()
    }

    /// The answer to a block status request.
    pub(super) fn block_status(&mut self, to: ReplyTo, extents: &[Extent], out: &mut impl Extend<Bytes>) {
        let extended = self.style == ReplyStyle::Extended;
        let (kind, entry_bytes, head_bytes) =
            if extended { (REPLY_BLOCK_STATUS_EXT, 16, 8) } else { (REPLY_BLOCK_STATUS, 8, 4) };
        self.chunk(to, kind, true, (head_bytes + extents.len() * entry_bytes) as u64);
        self.headers.put_u32(BASE_ALLOCATION_ID);
        if extended {
            self.headers.put_u32(extents.len() as u32);
        }
        for extent in extents {
            let length_bytes = extent.range_bytes.end - extent.range_bytes.start;
            let state = if extent.kind == ExtentKind::Zero { STATE_HOLE | STATE_ZERO } else { 0 };
            if extended {
                self.headers.put_u64(length_bytes);
                self.headers.put_u64(u64::from(state));
            } else {
                self.headers.put_u32(length_bytes as u32);
                self.headers.put_u32(state);
            }
        }
        out.extend([self.headers.split().freeze()]);
    }

    /// The answer to a command that succeeded and has nothing to say.
    pub(super) fn done(&mut self, to: ReplyTo, out: &mut impl Extend<Bytes>) {
        let header = if self.style == ReplyStyle::Simple {
            self.simple(to, 0)
        } else {
            self.chunk(to, REPLY_NONE, true, 0);
            self.headers.split().freeze()
        };
        out.extend([header]);
    }

    /// The answer to a command that failed.
    pub(super) fn error(&mut self, to: ReplyTo, error: u32, out: &mut impl Extend<Bytes>) {
        let header = if self.style == ReplyStyle::Simple {
            self.simple(to, error)
        } else {
            self.chunk(to, REPLY_ERROR, true, 6);
            self.headers.put_u32(error);
            self.headers.put_u16(0);
            self.headers.split().freeze()
        };
        out.extend([header]);
    }

    fn simple(&mut self, to: ReplyTo, error: u32) -> Bytes {
        self.reserve();
        self.headers.put_u32(SIMPLE_REPLY_MAGIC);
        self.headers.put_u32(error);
        self.headers.put_u64(to.cookie);
        self.headers.split().freeze()
    }

    /// Starts a structured or extended reply chunk.
    fn chunk(&mut self, to: ReplyTo, kind: u16, done: bool, payload_bytes: u64) {
        self.reserve();
        let extended = self.style == ReplyStyle::Extended;
        self.headers.put_u32(if extended { EXTENDED_REPLY_MAGIC } else { STRUCTURED_REPLY_MAGIC });
        self.headers.put_u16(if done { REPLY_FLAG_DONE } else { 0 });
        self.headers.put_u16(kind);
        self.headers.put_u64(to.cookie);
        if extended {
            self.headers.put_u64(to.offset_bytes);
            self.headers.put_u64(payload_bytes);
        } else {
            // A read is at most MAX_READ_BYTES and a status reply MAX_STATUS_EXTENTS entries.
            self.headers.put_u32(payload_bytes as u32);
        }
    }

    fn reserve(&mut self) {
        if self.headers.capacity() < MAX_HEADER_BYTES {
            self.headers = BytesMut::with_capacity(HEADER_BLOCK_BYTES);
        }
    }
}

fn push_part(part: Part, out: &mut impl Extend<Bytes>) {
    match part {
        Part::Data(bytes) => out.extend([bytes]),
        Part::Zero(mut length) => {
            while length > 0 {
                let part = length.min(ZEROS.len() as u64);
                out.extend([Bytes::from_static(&ZEROS[..part as usize])]);
                length -= part;
            }
        }
    }
}
