//! Many runs, each in a child process of its own, some at a time.

use std::{
    fs, io,
    num::NonZero,
    path::Path,
    process::{ExitCode, Output, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Instant,
};

use clap::ValueEnum;
use tempfile::TempDir;

use crate::{entropy::Entropy, model::Mistake, run, world};

/// Where runs keep their files when it is there: memory, because a catalogue waits for its disk at every commit.
const MEMORY: &str = "/dev/shm";
/// How often progress is told, in runs.
const TELL_EVERY: u64 = 50;

/// Seeds from the first to the last, which are both meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    first: u64,
    last: u64,
}

/// Reads `1..500`.
pub(crate) fn parse_range(text: &str) -> Result<Range, String> {
    let parsed = text.split_once("..").and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    match parsed {
        Some((first, last)) if first <= last => Ok(Range { first, last }),
        _ => Err("seeds are a first and a last number, as in 1..500".to_owned()),
    }
}

/// How a seed is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    /// Print the events whatever comes of it.
    pub(crate) journal: bool,
    /// What the model is wrong in.
    pub(crate) mistake: Option<Mistake>,
}

impl How {
    /// As a child is told.
    fn args(self) -> Vec<String> {
        let mistake = self.mistake.and_then(|mistake| mistake.to_possible_value());
        let mistake = mistake.map(|mistake| format!("--mistake={}", mistake.get_name()));
        self.journal.then(|| "--journal".to_owned()).into_iter().chain(mistake).collect()
    }
}

/// What all runs share: the randomness, and a catalogue whose keys are made.
struct Workshop {
    folder: TempDir,
    entropy: Entropy,
}

impl Workshop {
    fn open() -> io::Result<Self> {
        let memory = Path::new(MEMORY);
        let builder = || tempfile::Builder::new().prefix("galerie-simulation-").to_owned();
        let folder = if memory.is_dir() { builder().tempdir_in(memory)? } else { builder().tempdir()? };
        let entropy = Entropy::build(folder.path())?;
        let template = folder.path().join("template");
        fs::create_dir(&template)?;
        let made = entropy.child(0, 0)?.arg("--prepare").arg(&template).status()?;
        if !made.success() {
            return Err(io::Error::other(format!("make a catalogue: {made}")));
        }
        Ok(Self { folder, entropy })
    }

    /// Runs a seed in a child on one core, in a folder that is gone afterwards.
    fn run(&self, seed: u64, core: usize, how: How) -> io::Result<Output> {
        let folder = tempfile::Builder::new().prefix("run-").tempdir_in(self.folder.path())?;
        for file in fs::read_dir(self.folder.path().join("template"))? {
            let file = file?;
            fs::copy(file.path(), folder.path().join(file.file_name()))?;
        }
        let mut child = self.entropy.child(seed, core)?;
        child.args(["--seed", &seed.to_string()]).arg("--inside").arg(folder.path());
        child.args(how.args()).stdin(Stdio::null()).output()
    }
}

/// Makes a catalogue. In the child that the seed 0 has.
pub(crate) fn prepare(folder: &Path) -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(world::prepare(folder));
    Ok(ExitCode::SUCCESS)
}

/// Runs a seed in this process.
#[expect(clippy::print_stdout, reason = "it is what the parent, or a person, asked for")]
pub(crate) fn run_inside(seed: u64, folder: &Path, how: How) -> ExitCode {
    let outcome = run::run(seed, how.mistake, folder);
    let entries = outcome.journal.entries();
    if how.journal || outcome.broken.is_some() {
        entries.iter().for_each(|entry| println!("{entry}"));
    }
    let (time, hash) = (outcome.time.as_secs(), outcome.journal.hash());
    println!("seed {seed}: {} events in {time} s, {}", entries.len(), hash.to_hex());
    match outcome.broken {
        None => ExitCode::SUCCESS,
        Some(broken) => {
            println!("seed {seed} BREAKS {broken}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one seed, and shows what came of it.
pub(crate) fn run_one(seed: u64, how: How) -> io::Result<ExitCode> {
    let output = Workshop::open()?.run(seed, 0, how)?;
    io::Write::write_all(&mut io::stdout(), &output.stdout)?;
    io::Write::write_all(&mut io::stderr(), &output.stderr)?;
    Ok(if output.status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs seeds until one breaks something, or the last one has ended.
#[expect(clippy::print_stdout, reason = "progress is what it is for")]
pub(crate) fn run_many(seeds: Range, jobs: Option<usize>, how: How) -> io::Result<ExitCode> {
    let workshop = Workshop::open()?;
    let jobs = jobs.or_else(|| thread::available_parallelism().ok().map(NonZero::get)).unwrap_or(1).max(1);
    let (began, next, ended) = (Instant::now(), AtomicU64::new(seeds.first), AtomicU64::new(0));
    let failed = thread::scope(|scope| {
        let work = |core: usize| {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed > seeds.last {
                    return Ok(None);
                }
                let output = workshop.run(seed, core, how)?;
                if !output.status.success() {
                    next.store(u64::MAX / 2, Ordering::Relaxed);
                    return Ok(Some((seed, output)));
                }
                let ended = ended.fetch_add(1, Ordering::Relaxed) + 1;
                if ended % TELL_EVERY == 0 {
                    println!("{ended} seeds in {:.1} s", began.elapsed().as_secs_f64());
                }
            }
        };
        let workers: Vec<_> = (0..jobs).map(|core| scope.spawn(move || work(core))).collect();
        let joined = workers.into_iter().map(|worker| worker.join().expect("a worker does not panic"));
        joined.collect::<io::Result<Vec<Option<(u64, Output)>>>>()
    })?;
    let Some((seed, output)) = failed.into_iter().flatten().min_by_key(|(seed, _)| *seed) else {
        let count = ended.load(Ordering::Relaxed);
        println!("{count} seeds in {:.1} s: every invariant holds", began.elapsed().as_secs_f64());
        return Ok(ExitCode::SUCCESS);
    };
    io::Write::write_all(&mut io::stdout(), &output.stdout)?;
    io::Write::write_all(&mut io::stderr(), &output.stderr)?;
    println!("replay: galerie-simulation --seed {seed}");
    Ok(ExitCode::FAILURE)
}
