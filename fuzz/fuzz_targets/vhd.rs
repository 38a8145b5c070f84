//! A fixed VHD. The fuzzer finds no checksum by chance, so every second input gets the right one.
#![no_main]

mod image;

use galerie_disk::Format;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    let mut content = content.to_vec();
    if content.len() >= 512 && content[0] & 1 == 0 {
        let footer_at = content.len() - 512;
        let footer = &mut content[footer_at..];
        footer[..8].copy_from_slice(b"conectix");
        footer[64..68].fill(0);
        let sum: u32 = footer.iter().map(|byte| u32::from(*byte)).sum();
        footer[64..68].copy_from_slice(&(!sum).to_be_bytes());
    }
    image::open_and_read(&content, Some(Format::Vhd));
});
