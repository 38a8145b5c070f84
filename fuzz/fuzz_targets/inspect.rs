//! A file of an unknown kind.
#![no_main]

mod image;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| image::open_and_read(content, None));
