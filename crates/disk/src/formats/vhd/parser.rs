//! From a file's last 512 bytes to a footer that fits the file.

use super::header::{
    COOKIE, DISK_TYPE_DIFFERENCING, DISK_TYPE_DYNAMIC, DISK_TYPE_FIXED, FOOTER_BYTES, Footer, VERSION_1_0, checksum,
    stored_checksum, version,
};
use crate::{Error, Result, formats::check_virtual_size};

const CONVERT: &str = "convert it with: qemu-img convert -f vpc -O qcow2 IMAGE NEW.qcow2";

/// Parses the footer that ends a file of `file_length_bytes`.
pub(crate) fn parse_footer(bytes: &[u8], file_length_bytes: u64) -> Result<Footer> {
    let offset_bytes = file_length_bytes.saturating_sub(FOOTER_BYTES as u64);
    let corrupt = |problem: String| Error::Corrupt { format: "vhd", structure: "footer", offset_bytes, problem };
    let bytes: &[u8; FOOTER_BYTES] =
        bytes.try_into().map_err(|_| corrupt("the file is shorter than a footer".to_owned()))?;
    if !bytes.starts_with(COOKIE) {
        return Err(corrupt("it does not begin with 'conectix'".to_owned()));
    }
    let (stored, computed) = (stored_checksum(bytes), checksum(bytes));
    if stored != computed {
        return Err(corrupt(format!("its checksum is {stored:#010x}, its bytes give {computed:#010x}")));
    }
    if version(bytes) != VERSION_1_0 {
        return Err(corrupt(format!("its format version is {:#010x}, not 1.0", version(bytes))));
    }
    let footer = Footer::decode(bytes);
    check_type(footer.disk_type).unwrap_or_else(|| {
        Err(corrupt(format!("its disk type is {}, which names no kind of VHD", footer.disk_type)))
    })?;
    check_virtual_size("vhd", footer.current_size_bytes)?;
    if footer.current_size_bytes != offset_bytes {
        return Err(corrupt(format!(
            "it promises a disk of {} bytes, the file holds {offset_bytes} before it",
            footer.current_size_bytes
        )));
    }
    Ok(footer)
}

/// `None` for a type that does not exist.
fn check_type(disk_type: u32) -> Option<Result<()>> {
    match disk_type {
        DISK_TYPE_FIXED => Some(Ok(())),
        DISK_TYPE_DYNAMIC => Some(Err(Error::refused("dynamic VHD", "only fixed VHDs are read", CONVERT))),
        DISK_TYPE_DIFFERENCING => {
            Some(Err(Error::refused("differencing VHD", "it refers to a parent in another file", CONVERT)))
        }
        _ => None,
    }
}
