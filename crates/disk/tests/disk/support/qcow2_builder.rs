//! Builds small qcow2 images byte by byte, so that tests can make any part of them lie.

use std::io::{self, Read};

/// Where the builder puts things, in clusters.
pub(crate) const L1_CLUSTER: usize = 1;
pub(crate) const L2_CLUSTER: usize = 2;
pub(crate) const DATA_CLUSTER: usize = 3;
pub(crate) const COMPRESSED_CLUSTER: usize = 4;

pub(crate) const EXTERNAL_DATA_BIT: u64 = 1 << 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Version2,
    Deflate,
    Zstd,
    Extended,
}

pub(crate) const KINDS: [Kind; 4] = [Kind::Version2, Kind::Deflate, Kind::Zstd, Kind::Extended];

/// An image with: cluster 0 data, cluster 1 compressed, cluster 2 a zero flag (version 3), the rest unallocated.
#[derive(Clone)]
pub(crate) struct Image {
    pub(crate) bytes: Vec<u8>,
    pub(crate) cluster_bytes: usize,
    pub(crate) kind: Kind,
}

impl Image {
    pub(crate) fn new(kind: Kind) -> Self {
        Self::with(kind, 16, 1 << 20)
    }

    pub(crate) fn with(kind: Kind, cluster_bits: u32, size_bytes: u64) -> Self {
        let cluster_bytes = 1 << cluster_bits;
        let mut image = Self { bytes: vec![0; cluster_bytes * 5], cluster_bytes, kind };
        image.header(cluster_bits, size_bytes);
        image.tables(cluster_bits);
        image
    }

    fn header(&mut self, cluster_bits: u32, size_bytes: u64) {
        let coverage = (self.cluster_bytes * (self.cluster_bytes / self.l2_entry_bytes())) as u64;
        self.bytes[..4].copy_from_slice(b"QFI\xfb");
        self.set_u32(4, if self.kind == Kind::Version2 { 2 } else { 3 });
        self.set_u32(20, cluster_bits);
        self.set_u64(24, size_bytes);
        self.set_u32(36, size_bytes.div_ceil(coverage) as u32);
        self.set_u64(40, (L1_CLUSTER * self.cluster_bytes) as u64);
        if self.kind == Kind::Version2 {
            return;
        }
        let features = match self.kind {
            Kind::Zstd => 1 << 3,
            Kind::Extended => 1 << 4,
            Kind::Version2 | Kind::Deflate => 0,
        };
        self.set_u64(72, features);
        self.set_u32(96, 4);
        self.set_u32(100, 112);
        self.bytes[104] = u8::from(self.kind == Kind::Zstd);
    }

    fn tables(&mut self, cluster_bits: u32) {
        let cluster = self.cluster_bytes;
        let copied = 1_u64 << 63;
        self.set_u64(L1_CLUSTER * cluster, copied | (L2_CLUSTER * cluster) as u64);
        self.set_l2(0, copied | (DATA_CLUSTER * cluster) as u64);
        let start = DATA_CLUSTER * cluster;
        for (at, byte) in self.bytes[start..start + cluster].iter_mut().enumerate() {
            *byte = (at % 251) as u8 + 1;
        }
        let stream = self.compress(&vec![0x5a; cluster]);
        self.put_compressed(cluster_bits, &stream);
        if matches!(self.kind, Kind::Deflate | Kind::Zstd) {
            self.set_l2(2, 1);
        }
        if self.kind == Kind::Extended {
            self.set_bitmap(0, 0x0000_0000_ffff_ffff);
            self.set_bitmap(2, 0xffff_ffff_0000_0000);
        }
    }

    /// Points guest cluster 1 at this compressed stream.
    pub(crate) fn put_compressed(&mut self, cluster_bits: u32, stream: &[u8]) {
        let start = COMPRESSED_CLUSTER * self.cluster_bytes;
        self.bytes.truncate(start);
        self.bytes.extend(stream);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        let sectors = stream.len().div_ceil(512) as u64;
        self.set_l2(1, 1 << 62 | (sectors - 1) << (62 - (cluster_bits - 8)) | start as u64);
    }

    pub(crate) fn compress(&self, cluster: &[u8]) -> Vec<u8> {
        self.compress_from(cluster)
    }

    /// A stream of so many equal bytes, made without holding them.
    pub(crate) fn compress_sevens(&self, length: u64) -> Vec<u8> {
        self.compress_from(io::repeat(7).take(length))
    }

    fn compress_from(&self, mut source: impl Read) -> Vec<u8> {
        if self.kind == Kind::Zstd {
            let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
            io::copy(&mut source, &mut encoder).unwrap();
            return encoder.finish().unwrap();
        }
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        io::copy(&mut source, &mut encoder).unwrap();
        encoder.finish().unwrap()
    }

    pub(crate) fn l2_entry_bytes(&self) -> usize {
        if self.kind == Kind::Extended { 16 } else { 8 }
    }

    pub(crate) fn l2_at(&self, index: usize) -> usize {
        L2_CLUSTER * self.cluster_bytes + index * self.l2_entry_bytes()
    }

    pub(crate) fn set_l2(&mut self, index: usize, entry: u64) {
        self.set_u64(self.l2_at(index), entry);
    }

    pub(crate) fn set_bitmap(&mut self, index: usize, bitmap: u64) {
        self.set_u64(self.l2_at(index) + 8, bitmap);
    }

    pub(crate) fn set_u32(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn set_u64(&mut self, at: usize, value: u64) {
        self.bytes[at..at + 8].copy_from_slice(&value.to_be_bytes());
    }

    /// What its guest sees.
    pub(crate) fn guest(&self) -> Vec<u8> {
        let mut disk = vec![0; 1 << 20];
        let start = DATA_CLUSTER * self.cluster_bytes;
        disk[..self.cluster_bytes].copy_from_slice(&self.bytes[start..start + self.cluster_bytes]);
        disk[self.cluster_bytes..2 * self.cluster_bytes].fill(0x5a);
        disk
    }
}
