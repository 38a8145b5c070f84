//! What all targets do with an image: open it and read what an import would read, within a bound.

use std::{fs::File, io::Write};

use galerie_disk::Format;

/// How far an accepted image is read.
const MAX_RUNS: usize = 16;
const MAX_READ_BYTES: u64 = 256 * 1024;

pub fn file(content: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a temporary file can be made");
    file.write_all(content).expect("a temporary file can be written");
    file
}

pub fn open_and_read(content: &[u8], format: Option<Format>) {
    let Ok(opened) = galerie_disk::open(file(content), format) else { return };
    let guest = opened.guest;
    let mut at = 0;
    for _ in 0..MAX_RUNS {
        let Ok(Some(run)) = guest.next_data(at) else { return };
        assert!(run.start >= at && run.end > run.start && run.end <= guest.virtual_size_bytes());
        let mut buffer = vec![0; (run.end - run.start).min(MAX_READ_BYTES) as usize];
        if guest.read_at(run.start, &mut buffer).is_err() {
            return;
        }
        at = run.end;
    }
}
