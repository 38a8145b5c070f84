//! CRC-64/NVME, for `x-ms-content-crc64`: reflected polynomial 0x9A6C9329AC4BC9B5, ones before and after, as storage has
//! it; on the wire its eight bytes, lowest first, in base64.

/// The reflected polynomial.
const POLYNOMIAL: u64 = 0x9A6C_9329_AC4B_C9B5;

const TABLE: [u64; 256] = table();

const fn table() -> [u64; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut remainder = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            remainder = if remainder & 1 == 1 { (remainder >> 1) ^ POLYNOMIAL } else { remainder >> 1 };
            bit += 1;
        }
        table[byte] = remainder;
        byte += 1;
    }
    table
}

/// The checksum of `bytes`.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    let step = |crc: u64, byte: &u8| TABLE[usize::from((crc as u8) ^ byte)] ^ (crc >> 8);
    !bytes.iter().fold(u64::MAX, step)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_catalogues_check_value() {
        assert_eq!(super::checksum(b"123456789"), 0xAE8B_1486_0A79_9888);
        assert_eq!(super::checksum(b""), 0);
    }
}
