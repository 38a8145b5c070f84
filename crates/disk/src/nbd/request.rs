//! Requests: decoding them, and the rules they must keep.

use std::ops::Range;

use bytes::{Buf, BytesMut};

use super::{
    handshake::{ReplyStyle, Session, broken},
    protocol::*,
    reply::ReplyTo,
};
use crate::Result;

/// Extents in one answer; clients ask again for the rest.
pub(super) const MAX_STATUS_EXTENTS: usize = 2048;
/// What an extent takes in an answer, with extended headers.
const EXTENT_BYTES: u64 = 16;

/// A decoded request header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) kind: u16,
    pub(super) to: ReplyTo,
    pub(super) length_bytes: u64,
}

impl Request {
    /// Takes a request header from what was received; `None` when it is not all there.
    ///
    /// # Errors
    /// `Invalid` when these bytes are no request: there is no way to find the next one.
    pub(super) fn take(input: &mut BytesMut, style: ReplyStyle) -> Result<Option<Self>> {
        let extended = style == ReplyStyle::Extended;
        if input.len() < if extended { 32 } else { 28 } {
            return Ok(None);
        }
        let magic = input.get_u32();
        if magic != if extended { EXTENDED_REQUEST_MAGIC } else { REQUEST_MAGIC } {
            return Err(broken("sent something that is no request"));
        }
        let (flags, kind, cookie) = (input.get_u16(), input.get_u16(), input.get_u64());
        let offset_bytes = input.get_u64();
        let length_bytes = if extended { input.get_u64() } else { u64::from(input.get_u32()) };
        Ok(Some(Self { kind, to: ReplyTo { cookie, offset_bytes, flags }, length_bytes }))
    }

    /// The rules that a read and a status request must keep.
    ///
    /// # Errors
    /// The protocol's error number.
    pub(super) fn check(&self, session: &Session) -> Result<(), u32> {
        let end = self.to.offset_bytes.checked_add(self.length_bytes).ok_or(EINVAL)?;
        let is_read = self.kind == CMD_READ;
        let known_flags = match (is_read, session.style) {
            (true, ReplyStyle::Simple) => 0,
            (true, _) => CMD_FLAG_DF,
            (false, _) => CMD_FLAG_REQ_ONE,
        };
        let too_long = is_read && self.length_bytes > u64::from(MAX_READ_BYTES);
        let not_agreed = !is_read && !session.base_allocation;
        let unknown_flags = self.to.flags & !known_flags != 0;
        let outside = self.length_bytes == 0 || end > session.export.device.size_bytes();
        if outside || too_long || not_agreed || unknown_flags { Err(EINVAL) } else { Ok(()) }
    }

    /// The range it is about, once that was checked.
    pub(super) fn range_bytes(&self) -> Range<u64> {
        self.to.offset_bytes..self.to.offset_bytes + self.length_bytes
    }

    /// Whether data follows the header: always after a write, and with extended headers wherever the flag says so.
    pub(super) fn has_payload(&self, style: ReplyStyle) -> bool {
        let flagged = self.to.flags & CMD_FLAG_PAYLOAD_LEN != 0;
        if style == ReplyStyle::Extended { flagged } else { self.kind == CMD_WRITE }
    }

    /// What it may hold in memory while it waits.
    pub(super) fn cost_bytes(&self) -> u64 {
        if self.kind == CMD_READ { self.length_bytes } else { MAX_STATUS_EXTENTS as u64 * EXTENT_BYTES }
    }
}
