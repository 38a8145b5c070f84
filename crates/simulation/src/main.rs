//! Deterministic simulation of a gallery: `docs/design/simulation.md`.
//!
//! ```text
//! galerie-simulation --seeds 1..500      every seed is a child process; the first that breaks something ends it
//! galerie-simulation --seed 42           one, with everything that happened when it breaks something
//! ```

mod client;
mod entropy;
mod faults;
mod image;
mod invariants;
mod journal;
mod life;
mod model;
mod random;
mod run;
mod seeds;
mod verdict;
mod witness;
mod workload;
mod world;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;

/// Simulates processes, regions and clients with every fault that a seed decides, and checks what must be true.
#[derive(Debug, Parser)]
#[command(name = "galerie-simulation")]
struct Args {
    /// The seed of one run; prints all its events when it breaks an invariant.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Seeds of many runs: `1..500`, both included.
    #[arg(long, value_name = "FIRST..LAST", value_parser = seeds::parse_range, default_value = "1..100")]
    seeds: seeds::Range,
    /// How many runs at once; as many as there are cores when it is left out.
    #[arg(long)]
    jobs: Option<usize>,
    /// Print the events of the run whatever comes of it.
    #[arg(long, requires = "seed")]
    journal: bool,
    /// Be wrong about what must be, to see that it is noticed.
    #[arg(long)]
    mistake: Option<model::Mistake>,
    /// Run the seed in this process, in this folder: what a child does.
    #[arg(long, hide = true, requires = "seed")]
    inside: Option<PathBuf>,
    /// Make a catalogue in this folder: what the first child does.
    #[arg(long, hide = true)]
    prepare: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let how = seeds::How { journal: args.journal, mistake: args.mistake };
    let done = match (&args.prepare, args.seed, &args.inside) {
        (Some(folder), ..) => seeds::prepare(folder),
        (None, Some(seed), Some(folder)) => return seeds::run_inside(seed, folder, how),
        (None, Some(seed), None) => seeds::run_one(seed, how),
        (None, None, _) => seeds::run_many(args.seeds, args.jobs, how),
    };
    done.unwrap_or_else(|error| {
        eprintln!("galerie-simulation: {error}");
        ExitCode::from(2)
    })
}
