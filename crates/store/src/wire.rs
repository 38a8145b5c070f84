//! Reading fixed layouts out of untrusted bytes: little-endian numbers, never past the end.

use crate::{Error, Result};

/// What is left of some bytes, and what they are called in errors.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| self.corrupt("ends early"))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        self.take().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        self.take().map(u64::from_le_bytes)
    }

    /// Requires what the format fixes.
    pub(crate) fn expect<const N: usize>(&mut self, fixed: &[u8; N], name: &str) -> Result<()> {
        let found = self.take::<N>()?;
        if found == *fixed { Ok(()) } else { Err(self.corrupt(&format!("has a wrong {name}"))) }
    }

    /// Requires a version this program knows.
    pub(crate) fn version(&mut self, known: u16) -> Result<()> {
        match self.u16()? {
            found if found == known => Ok(()),
            found => Err(self.corrupt(&format!("has format version {found}, this program knows {known}"))),
        }
    }

    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn end(&self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.corrupt("goes on after its end")) }
    }

    pub(crate) fn corrupt(&self, complaint: &str) -> Error {
        Error::Corrupt(format!("{} {complaint}", self.what))
    }
}
