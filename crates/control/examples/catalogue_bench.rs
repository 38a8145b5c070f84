//! Whether a catalogue answers as fast when it is full: fills one with galleries, definitions and image versions, and prints what
//! reading costs, beside the same in one with a thousandth of the versions.
//!
//! ```text
//! cargo run --release -p galerie-control --example catalogue_bench -- [GALLERIES] [DEFINITIONS] [VERSIONS] [READS]
//! ```
//! Definitions are of each gallery, versions of each definition. Everything is in a temporary directory, and the reads go the way
//! that a request goes: authorization, lookup, rendering.
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

mod full_catalogue;

use std::time::{Duration, Instant};

use galerie_arm::{ResourceId, ResourceType, VersionReference, paging::SkipToken};
use galerie_control::{Expand, ListScope};

use self::full_catalogue::{FullCatalogue, Result, Shape};

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = |otherwise: u32| arguments.next().map_or(Ok(otherwise), |text| text.parse());
    let shape = Shape { galleries: argument(100)?, definitions: argument(10)?, versions: argument(1000)? };
    let reads = argument(5000)?;
    for shape in [Shape { versions: shape.versions.div_ceil(1000), ..shape }, shape] {
        measure(shape, reads).await?;
    }
    Ok(())
}

async fn measure(shape: Shape, reads: u32) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let begun = Instant::now();
    let full = FullCatalogue::make(directory.path(), shape).await?;
    let Shape { galleries, definitions, versions } = shape;
    let all = u64::from(galleries) * u64::from(definitions) * u64::from(versions + 1);
    println!(
        "{galleries} galleries with {definitions} definitions each, {all} versions; filled in {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    get(&full, versions, reads).await?;
    latest(&full, reads).await?;
    lists(&full, versions).await?;
    full.control.shutdown().await;
    Ok(())
}

/// Definitions and numbers of versions all over the catalogue.
fn somewhere(full: &FullCatalogue, versions: u32, reads: u32) -> impl Iterator<Item = (&ResourceId, u64)> {
    let mut at: u64 = 1;
    (0..reads).map(move |_| {
        // Any generator does that visits the whole range (Knuth's MMIX multiplier).
        at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let definition = (at >> 20) as usize % full.definitions.len();
        (&full.definitions[definition], (at >> 33) % u64::from(versions) + 1)
    })
}

/// GET of versions, one after the other.
async fn get(full: &FullCatalogue, versions: u32, reads: u32) -> Result<()> {
    let mut times = Vec::with_capacity(reads as usize);
    for (definition, number) in somewhere(full, versions, reads) {
        let id = format!("{definition}/versions/1.1.{number}").parse()?;
        let begun = Instant::now();
        full.control.get(&full.owner, &id, &Expand::default()).await?;
        times.push(begun.elapsed());
    }
    println!("GET of a version: {} (budget: p50 < 1 ms, p99 < 5 ms)", shown(times));
    Ok(())
}

/// Opening the latest version of a definition in a region, as a pull does: its manifest is read, too.
async fn latest(full: &FullCatalogue, reads: u32) -> Result<()> {
    let mut times = Vec::with_capacity(reads as usize);
    for (definition, _) in somewhere(full, 1, reads) {
        let reference = VersionReference::parse(&format!("{definition}/versions/latest"), "path")?;
        let begun = Instant::now();
        full.control.open_content(&full.owner, &reference, Some("eastus"), None).await?;
        times.push(begun.elapsed());
    }
    println!("opening the latest of a definition: {}", shown(times));
    Ok(())
}

fn shown(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(at);
    format!("p50 {p50:.3} ms, p99 {p99:.3} ms, p99.9 {p999:.3} ms")
}

/// How often each page is read.
const PAGES: u32 = 200;

/// The processor time of this process, in ms: user and system, in hundredths of a second (proc(5)).
fn cpu_ms() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, after_name) = stat.rsplit_once(") ").ok_or("/proc/self/stat has no name")?;
    let ticks = after_name.split(' ').skip(11).take(2).map(str::parse::<u64>).sum::<std::result::Result<u64, _>>()?;
    Ok(ticks as f64 * 10.0)
}

/// The first pages of each kind of list, and pages deep in it.
async fn lists(full: &FullCatalogue, versions: u32) -> Result<()> {
    let (definition, last) = (&full.definition, full.definitions.last().unwrap_or(&full.definition));
    let gallery = definition.parent().ok_or("a definition without a gallery")?;
    let subscription = definition.subscription().ok_or("a definition without a subscription")?.as_uuid();
    let children = |parent: &ResourceId, resource_type| ListScope::Children { parent: parent.clone(), resource_type };
    let version = |definition: &ResourceId, share: u32| {
        let number = u64::from(versions) * u64::from(share) / 100 + 1;
        SkipToken { last_key: format!("{}/versions/1.1.{number}", definition.key()) }.encode()
    };
    let of_type = |resource_type| ListScope::Subscription { subscription, resource_type };
    for (what, scope, continuation) in [
        ("galleries of the subscription", of_type(Some(ResourceType::Gallery)), None),
        ("everything in the subscription", of_type(None), None),
        ("the same, from the last definition on", of_type(None), Some(version(last, 0))),
        ("definitions of a gallery", children(&gallery, ResourceType::ImageDefinition), None),
        ("versions of a definition", children(definition, ResourceType::ImageVersion), None),
        ("the same, half way", children(definition, ResourceType::ImageVersion), Some(version(definition, 50))),
        ("versions of the last definition", children(last, ResourceType::ImageVersion), Some(version(last, 50))),
    ] {
        let (begun, cpu, mut items) = (Instant::now(), cpu_ms()?, 0);
        for _ in 0..PAGES {
            items = full.control.list(&full.owner, &scope, continuation.as_deref()).await?.items.len();
        }
        let ms = begun.elapsed().as_secs_f64() * 1000.0 / f64::from(PAGES);
        let cpu_ms = (cpu_ms()? - cpu) / f64::from(PAGES);
        println!("list, {what}, a page of {items}: {ms:.3} ms, of CPU {cpu_ms:.3} ms");
    }
    Ok(())
}
