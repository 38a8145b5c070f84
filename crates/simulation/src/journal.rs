//! What happened, in order, with the virtual time of each event: the whole of a run, as a replay must repeat it.

use std::{
    fmt,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{runtime::Handle, time::Instant};
use tracing_subscriber::{
    EnvFilter,
    fmt::{MakeWriter, format::Writer, time::FormatTime},
};

/// What of the program's own log is an event. Drivers are not: they tell of the machine's time.
const LOGGED: &str = "off,galerie_control=info,galerie_region=info,galerie_store=info";

/// Everything that happened so far. Clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    began: Instant,
    entries: Arc<Mutex<Vec<String>>>,
}

impl Journal {
    /// An empty one, which the program's log goes into, too. Once in a program, within the simulation's runtime.
    pub(crate) fn install() -> Self {
        let journal = Self { began: Instant::now(), entries: Arc::default() };
        tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(LOGGED))
            .with_ansi(false)
            .with_timer(journal.clone())
            .with_writer(journal.clone())
            .init();
        journal
    }

    /// How much virtual time has passed. Within the runtime.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Notes an event of the simulation itself.
    pub(crate) fn note(&self, event: impl fmt::Display) {
        self.push(format!("{} {event}", Stamp(self.elapsed())));
    }

    /// The events so far.
    pub(crate) fn entries(&self) -> Vec<String> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A hash of every event.
    pub(crate) fn hash(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for entry in self.entries() {
            hasher.update(entry.as_bytes()).update(b"\n");
        }
        hasher.finalize()
    }

    fn push(&self, entry: String) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }
}

/// A moment: seconds since the beginning.
struct Stamp(Duration);

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{:>10.3}]", self.0.as_secs_f64())
    }
}

impl FormatTime for Journal {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        write!(w, "{}  ", Stamp(self.elapsed()))
    }
}

/// One line of the program's log. What other threads log is left out: when they come to it is the machine's business.
pub(crate) struct Line<'a> {
    journal: &'a Journal,
    text: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if Handle::try_current().is_ok() {
            self.journal.push(String::from_utf8_lossy(&self.text).trim_end().to_owned());
        }
    }
}

impl<'a> MakeWriter<'a> for Journal {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { journal: self, text: Vec::new() }
    }
}
