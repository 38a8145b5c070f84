//! Prints the budgets beside what was reached, each against a peer or a physical limit measured in the same run.
//!
//! Nothing here fails because it is slow: a reader judges. Every measurement is a file of this folder, and each prints
//! what it compares with and how. What must not share its memory or its processor time with the rest runs in a process of
//! its own (see `child`). `docs/performance.md` says how to read the figures and keeps a full set of them.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what it is for")]

mod blocks;
mod boot_storm;
mod catalogue;
mod child;
mod collector;
mod corpus;
mod counted_origin;
mod cpu;
mod disk_create;
mod export;
mod fio;
mod images;
mod import;
mod machine;
mod nbd;
mod replicate;
mod report;
mod s3;
mod scratch_store;
mod server;
mod server_process;
mod sparse_1tib;
mod text;
mod tokens;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use galerie_store::Compression;

use child::Child;
use images::Images;
use report::Report;

/// Anything may fail in a benchmark; the message is for a person.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Prints the budgets beside what was reached, each against a peer or a limit measured in the same run.
#[derive(Debug, Parser)]
struct Arguments {
    /// The images that benches/corpus.sh made: v1.raw, v2.raw and v3.raw.
    #[arg(long, value_name = "DIR", conflicts_with = "small")]
    corpus: Option<PathBuf>,
    /// Generate small images and measure briefly: under two minutes, for CI. The corpus' budgets do not apply to them.
    #[arg(long)]
    small: bool,
    /// Only these measurements.
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<Measurement>,
    /// Where stores and outputs go, about 12 GiB; removed afterwards. [default: beside the corpus]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// What stores are compressed with. A server started for a measurement has zstd all the same.
    #[arg(long, value_name = "zstd|lz4", default_value_t)]
    compression: Compression,
    /// The form of the results.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(subcommand)]
    child: Option<Child>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A table for people.
    Table,
    /// The same table in Markdown.
    Markdown,
    /// One JSON document.
    Json,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measurement {
    /// Importing new and known bytes, and its memory.
    Import,
    /// What the corpus takes, and other sizes of segments.
    Corpus,
    /// What moves when a patched version is replicated.
    Replicate,
    /// Requests to an object store.
    S3,
    /// Writing raw and VHD files from the store.
    Export,
    /// Serving disks: from a warm cache, from a cold one, and larger than the cache.
    Nbd,
    /// A thousand guests that start one version at once.
    #[value(name = "boot_storm")]
    BootStorm,
    /// Memory while a disk of 1 TiB is imported and served.
    #[value(name = "sparse_1tib")]
    Sparse1tib,
    /// Collecting garbage.
    Collector,
    /// Starting the server, and its memory when nobody asks for anything.
    Server,
    /// Creating disks from small and large versions.
    #[value(name = "disk_create")]
    DiskCreate,
    /// Tokens by client secret.
    Tokens,
    /// Reading from a catalogue of 10^6 versions.
    Catalogue,
}

/// What all measurements share.
pub(crate) struct Bench {
    /// The images.
    pub(crate) images: Images,
    /// A folder that is removed in the end.
    pub(crate) scratch: PathBuf,
    /// What stores are compressed with.
    pub(crate) compression: Compression,
}

impl Bench {
    /// How often a pair of ours and the peer's is repeated.
    fn rounds(&self) -> usize {
        if self.images.are_small { 2 } else { 5 }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.child {
        Some(child) => child.run().await,
        None => {
            // Fails when a provider is installed already, which is as good.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
            measure_all(&arguments).await
        }
    }
}

async fn measure_all(arguments: &Arguments) -> Result<()> {
    let (parent, small) = match (&arguments.corpus, arguments.small) {
        (Some(corpus), _) => (arguments.scratch.clone().unwrap_or_else(|| corpus.clone()), false),
        (None, true) => (arguments.scratch.clone().unwrap_or_else(std::env::temp_dir), true),
        (None, false) => return Err("say --corpus DIR (benches/corpus.sh makes one) or --small".into()),
    };
    let scratch = tempfile::Builder::new().prefix("galerie-bench-").tempdir_in(parent)?;
    let images = match &arguments.corpus {
        Some(corpus) if !small => Images::open(corpus)?,
        _ => Images::generate(scratch.path())?,
    };
    let bench = Bench { images, scratch: scratch.path().to_owned(), compression: arguments.compression };
    let mut report = Report::new(&bench.images, bench.compression);
    let chosen = if arguments.only.is_empty() { Measurement::value_variants() } else { &arguments.only };
    for measurement in chosen {
        report.begin(*measurement);
        if let Err(error) = measure(*measurement, &bench, &mut report).await {
            report.failed(&*error);
        }
    }
    match arguments.output {
        Output::Table => println!("{}", report.table()),
        Output::Markdown => println!("{}", report.markdown()),
        Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
    }
    if report.has_failures() { Err("some measurements could not be made; see above".into()) } else { Ok(()) }
}

async fn measure(measurement: Measurement, bench: &Bench, report: &mut Report) -> Result<()> {
    match measurement {
        Measurement::Import => import::measure(bench, report).await,
        Measurement::Corpus => corpus::measure(bench, report).await,
        Measurement::Replicate => replicate::measure(bench, report).await,
        Measurement::S3 => s3::measure(bench, report).await,
        Measurement::Export => export::measure(bench, report).await,
        Measurement::Nbd => nbd::measure(bench, report).await,
        Measurement::BootStorm => boot_storm::measure(bench, report).await,
        Measurement::Sparse1tib => sparse_1tib::measure(bench, report).await,
        Measurement::Collector => collector::measure(bench, report).await,
        Measurement::Server => server::measure(bench, report).await,
        Measurement::DiskCreate => disk_create::measure(bench, report).await,
        Measurement::Tokens => tokens::measure(bench, report).await,
        Measurement::Catalogue => catalogue::measure(bench, report).await,
    }
}
