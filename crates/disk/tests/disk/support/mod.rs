//! What several test files share: random numbers from a seed, the outside programs that judge, whole-disk reads.

pub(crate) mod qcow2_builder;

use std::{ffi::OsStr, fs::File, io::Write, process::Command};

use galerie_store::GuestBytes;

/// A small generator (SplitMix64), so that a seed in a failure message replays it.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).collect();
        bytes.truncate(length);
        bytes
    }
}

/// Runs an outside program and returns what it printed, or fails with what to install.
pub(crate) fn run<I: AsRef<OsStr>>(program: &str, package: &str, arguments: impl IntoIterator<Item = I>) -> String {
    let mut command = Command::new(program);
    command.args(arguments);
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => panic!("cannot run {program} ({error}): apt-get install {package}"),
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

pub(crate) fn qemu_img<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> String {
    run("qemu-img", "qemu-utils", arguments)
}

/// Runs qemu-io commands on an image; commands that qemu-io refuses are skipped.
pub(crate) fn qemu_io(path: &str, commands: &[String]) {
    let mut command = Command::new("qemu-io");
    command.args(["-f", "qcow2"]);
    commands.iter().for_each(|text| {
        command.args(["-c", text]);
    });
    command.arg(path).output().expect("qemu-io runs: apt-get install qemu-utils");
}

pub(crate) fn temporary_file(content: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    file
}

/// The whole disk by its data runs, the rest zeros: how an import reads it.
pub(crate) fn read_by_runs(guest: &dyn GuestBytes) -> galerie_store::Result<Vec<u8>> {
    let mut disk = vec![0; guest.virtual_size_bytes() as usize];
    let mut at = 0;
    while let Some(run) = guest.next_data(at)? {
        assert!(run.start >= at && run.end > run.start && run.end <= disk.len() as u64, "{run:?} after {at}");
        guest.read_at(run.start, &mut disk[run.start as usize..run.end as usize])?;
        at = run.end;
    }
    Ok(disk)
}

/// Reads the disk whole and in random parts; both must equal `expected`.
pub(crate) fn check_disk(guest: &dyn GuestBytes, expected: &[u8], seed: u64) {
    assert_eq!(guest.virtual_size_bytes(), expected.len() as u64, "size, seed {seed}");
    let disk = read_by_runs(guest).unwrap();
    assert_same(&disk, expected, seed);
    let mut random = Random(seed);
    for _ in 0..32 {
        let start = random.below(expected.len() as u64) as usize;
        let length = random.below((expected.len() - start).min(300_000) as u64 + 1) as usize;
        let mut part = vec![0xaa; length];
        guest.read_at(start as u64, &mut part).unwrap();
        assert_same(&part, &expected[start..start + length], seed);
    }
    assert!(guest.read_at(expected.len() as u64, &mut [0]).is_err());
    assert!(guest.read_at(u64::MAX, &mut [0]).is_err());
    assert_eq!(guest.next_data(expected.len() as u64).unwrap(), None);
}

fn assert_same(found: &[u8], expected: &[u8], seed: u64) {
    if let Some(at) = found.iter().zip(expected).position(|(found, expected)| found != expected) {
        panic!("first difference at {at} of {}, seed {seed}: {} for {}", expected.len(), found[at], expected[at]);
    }
}

/// The most memory this process ever held, in bytes.
pub(crate) fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
