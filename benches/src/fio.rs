//! fio against NBD servers on Unix sockets.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use serde::Deserialize;
use tokio::{
    net::UnixStream,
    process::{Child, Command},
};

use crate::Result;

const START_TIMEOUT: Duration = Duration::from_secs(60);
const START_POLL: Duration = Duration::from_millis(5);

/// An NBD server in a process of its own; killed when it is dropped.
pub(crate) struct Served {
    process: Child,
    socket: PathBuf,
}

impl Served {
    /// Starts a server and waits until it takes connections.
    pub(crate) async fn start(mut command: Command, socket: &Path) -> Result<Self> {
        let name = command.as_std().get_program().to_string_lossy().into_owned();
        let log = socket.with_extension("log");
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("start {name}: {error}"))?;
        let started = Instant::now();
        while UnixStream::connect(socket).await.is_err() {
            if let Some(status) = process.try_wait()? {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(format!("{name} ended with {status}: {}", said.trim()).into());
            }
            if started.elapsed() > START_TIMEOUT {
                return Err(format!("{name} does not listen on {}", socket.display()).into());
            }
            tokio::time::sleep(START_POLL).await;
        }
        Ok(Self { process, socket: socket.to_owned() })
    }

    /// For `/proc`.
    pub(crate) fn process(&self) -> String {
        self.process.id().unwrap_or_default().to_string()
    }

    /// Ends it and removes its socket.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.process.kill().await?;
        let _ = std::fs::remove_file(&self.socket);
        Ok(())
    }
}

/// How a disk is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// From front to back, 1 MiB at a time, four under way.
    Sequential,
    /// 4 KiB at random, this many under way.
    Random {
        /// How many.
        depth: u32,
    },
}

impl Pattern {
    /// In the order of a report.
    pub(crate) const ALL: [Self; 3] = [Self::Sequential, Self::Random { depth: 1 }, Self::Random { depth: 32 }];

    /// For people.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Sequential => "sequential 1 MiB".to_owned(),
            Self::Random { depth } => format!("random 4 KiB, depth {depth}"),
        }
    }

    /// A rate, for people.
    pub(crate) fn rate(self, rate: f64) -> String {
        match self {
            Self::Sequential => format!("{rate:.0} MB/s"),
            Self::Random { .. } => format!("{rate:.0}/s"),
        }
    }
}

/// How long a pattern is read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// This many bytes were read, none twice.
    Bytes(u64),
    /// So much time has passed, after a time that does not count.
    Seconds {
        /// That counts.
        counted: u32,
        /// Before it.
        before: u32,
    },
}

/// A part of a disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    /// Where it begins.
    pub(crate) offset_bytes: u64,
    /// How long it is.
    pub(crate) length_bytes: u64,
}

#[derive(Deserialize)]
struct Output {
    jobs: Vec<Job>,
}

#[derive(Deserialize)]
struct Job {
    error: i32,
    read: Read,
}

#[derive(Deserialize)]
struct Read {
    bw_bytes: f64,
    iops: f64,
}

/// Reads from a server: MB/s for a sequential pattern, reads a second for a random one.
pub(crate) async fn read(served: &Served, pattern: Pattern, part: Part, until: Until) -> Result<f64> {
    let mut command = Command::new("fio");
    command.args(["--name=read", "--ioengine=nbd", "--output-format=json", "--randseed=1"]);
    command.arg(format!("--uri=nbd+unix:///?socket={}", served.socket.display()));
    command.arg(format!("--offset={}", part.offset_bytes)).arg(format!("--size={}", part.length_bytes));
    match pattern {
        Pattern::Sequential => command.args(["--rw=read", "--bs=1M", "--iodepth=4"]),
        Pattern::Random { depth } => command.args(["--rw=randread", "--bs=4k"]).arg(format!("--iodepth={depth}")),
    };
    match until {
        Until::Bytes(bytes) => command.arg(format!("--io_size={bytes}")),
        Until::Seconds { counted, before } => {
            command.args(["--time_based", "--norandommap"]);
            command.arg(format!("--runtime={counted}")).arg(format!("--ramp_time={before}"))
        }
    };
    let output = command.output().await.map_err(|error| format!("start fio: {error}"))?;
    // Notes may come before the document.
    let text = String::from_utf8_lossy(&output.stdout);
    let document = text.find('{').map(|start| &text[start..]).unwrap_or_default();
    let parsed: Output = serde_json::from_str(document)
        .map_err(|_| format!("fio says: {}{}", text.trim(), String::from_utf8_lossy(&output.stderr).trim()))?;
    match parsed.jobs.as_slice() {
        [Job { error: 0, read }] if pattern == Pattern::Sequential => Ok(read.bw_bytes / 1e6),
        [Job { error: 0, read }] => Ok(read.iops),
        _ => Err(format!("fio failed: {}", String::from_utf8_lossy(&output.stderr).trim()).into()),
    }
}
