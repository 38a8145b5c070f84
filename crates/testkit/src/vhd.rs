//! Fixed VHDs, written from the specification on its own, so that a test does not believe the code under test.

/// The bytes that end a fixed VHD.
pub const FOOTER_BYTES: usize = 512;

/// The file of a disk: its bytes and a footer.
#[must_use]
pub fn fixed(disk: &[u8]) -> Vec<u8> {
    let mut file = disk.to_vec();
    file.extend_from_slice(&footer(disk.len() as u64));
    file
}

/// The footer of a fixed disk ("Virtual Hard Disk Image Format Specification", 1.0).
#[must_use]
pub fn footer(disk_bytes: u64) -> [u8; FOOTER_BYTES] {
    let mut footer = [0; FOOTER_BYTES];
    let mut put = |at: usize, bytes: &[u8]| footer[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"conectix");
    put(8, &2_u32.to_be_bytes());
    put(12, &0x0001_0000_u32.to_be_bytes());
    put(16, &u64::MAX.to_be_bytes());
    put(28, b"test");
    put(32, &0x0001_0000_u32.to_be_bytes());
    put(36, b"Wi2k");
    put(40, &disk_bytes.to_be_bytes());
    put(48, &disk_bytes.to_be_bytes());
    put(56, &[0xFF, 0xFF, 16, 255]);
    put(60, &2_u32.to_be_bytes());
    put(68, &[7; 16]);
    let sum: u32 = footer.iter().map(|byte| u32::from(*byte)).sum();
    footer[64..68].copy_from_slice(&(!sum).to_be_bytes());
    footer
}
