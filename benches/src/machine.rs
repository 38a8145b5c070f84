//! The machine that figures come from.

use std::{fmt, fs, io, num::NonZero, path::Path};

use serde::Serialize;

/// What a reader has to know to compare figures.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    memory_gib: u64,
    kernel: String,
    load_at_start: f64,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned());
        let memory_kib = field("/proc/meminfo", "MemTotal")
            .and_then(|text| text.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()));
        Self {
            processor,
            cores: cores(),
            memory_gib: memory_kib.unwrap_or_default().div_ceil(1 << 20),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_at_start: Self::load(),
        }
    }

    /// How many processes want to run, over the last minute; above the number of cores, wall times suffer.
    pub(crate) fn load() -> f64 {
        read("/proc/loadavg").split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, cores, memory_gib, kernel, load_at_start } = self;
        write!(f, "{processor}, {cores} cores, {memory_gib} GiB, Linux {kernel}, load {load_at_start:.1} at the start")
    }
}

/// How many threads can run at once.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// Reads every file of a folder once. Packs are written past the page cache, and what is measured is not the disk.
pub(crate) fn read_into_page_cache(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read_into_page_cache(&path)?;
        } else if path.is_file() {
            io::copy(&mut fs::File::open(&path)?, &mut io::sink())?;
        }
    }
    Ok(())
}

/// User and system time that a process has taken, in seconds; 0 when it is gone.
pub(crate) fn process_cpu_s(process: &str) -> f64 {
    // The name, in parentheses, may hold spaces; user and system time are fields 14 and 15.
    let stat = read(&format!("/proc/{process}/stat"));
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / TICKS_PER_S
}

/// The same of all processes of a program together.
pub(crate) fn program_cpu_s(name: &str) -> f64 {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().into_string().ok());
    ids.filter(|id| read(&format!("/proc/{id}/comm")).trim() == name).map(|id| process_cpu_s(&id)).sum()
}

/// The clock that counts a process' time; the same on all Linux machines.
const TICKS_PER_S: f64 = 100.0;

/// A process' own or another's peak of resident memory, from `/proc`.
pub(crate) fn peak_memory_bytes(process: &str) -> u64 {
    memory_bytes(process, "VmHWM")
}

/// A process' resident memory now.
pub(crate) fn resident_memory_bytes(process: &str) -> u64 {
    memory_bytes(process, "VmRSS")
}

fn memory_bytes(process: &str, name: &str) -> u64 {
    let text = field(&format!("/proc/{process}/status"), name).unwrap_or_default();
    text.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() * 1024
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = read(path);
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
