//! A qcow2 image, whatever it says.
#![no_main]

mod image;

use galerie_disk::Format;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| image::open_and_read(content, Some(Format::Qcow2)));
