//! How fast a full catalogue answers: fills one with image versions and prints what reading costs.
//!
//! ```text
//! cargo run --release -p galerie-control --example catalogue_bench -- [VERSIONS] [READS]
//! ```
//! Everything is in a temporary directory, and the reads go the way that a request goes: authorization, lookup, rendering.
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

mod full_catalogue;

use std::time::Instant;

use galerie_arm::{ResourceId, ResourceType, paging::SkipToken};
use galerie_control::{Control, Expand, ListScope, RequestContext};

use self::full_catalogue::{FullCatalogue, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let versions: u32 = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let reads: u32 = arguments.next().map_or(Ok(20_000), |text| text.parse())?;
    let directory = tempfile::tempdir()?;
    let begun = Instant::now();
    let FullCatalogue { control, owner, definition, .. } = FullCatalogue::make(directory.path(), versions).await?;
    println!("filled with {versions} versions in {:.1} s", begun.elapsed().as_secs_f64());
    get(&control, &owner, &definition, versions, reads).await?;
    list(&control, &owner, &definition, versions).await?;
    control.shutdown().await;
    Ok(())
}

/// GET of versions all over the catalogue, one after the other.
async fn get(
    control: &Control,
    ctx: &RequestContext,
    definition: &ResourceId,
    versions: u32,
    reads: u32,
) -> Result<()> {
    let mut times = Vec::with_capacity(reads as usize);
    let mut at: u64 = 1;
    for _ in 0..reads {
        // Any generator does that visits the whole range (Knuth's MMIX multiplier).
        at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let number = (at >> 33) % u64::from(versions) + 1;
        let id = format!("{definition}/versions/1.1.{number}").parse()?;
        let begun = Instant::now();
        control.get(ctx, &id, &Expand::default()).await?;
        times.push(begun.elapsed());
    }
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(at);
    println!("GET a version: p50 {p50:.3} ms, p99 {p99:.3} ms, p99.9 {p999:.3} ms (budget: p50 < 1 ms, p99 < 5 ms)");
    Ok(())
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

/// The first page and pages deep in the list.
async fn list(control: &Control, ctx: &RequestContext, definition: &ResourceId, versions: u32) -> Result<()> {
    let scope = ListScope::Children { parent: definition.clone(), resource_type: ResourceType::ImageVersion };
    for share in [0, 25, 50, 75, 99] {
        let number = u64::from(versions) * share / 100 + 1;
        let last_key = format!("{}/versions/1.1.{number}", definition.key());
        let continuation = (share > 0).then(|| SkipToken { last_key }.encode());
        let (begun, cpu, mut items) = (Instant::now(), cpu_ms()?, 0);
        for _ in 0..PAGES {
            items = control.list(ctx, &scope, continuation.as_deref()).await?.items.len();
        }
        let ms = begun.elapsed().as_secs_f64() * 1000.0 / f64::from(PAGES);
        let cpu_ms = (cpu_ms()? - cpu) / f64::from(PAGES);
        println!(
            "list, a page of {items} at {share} %: {ms:.3} ms, of CPU {cpu_ms:.3} ms (budget: CPU < 1 ms at any depth)"
        );
    }
    Ok(())
}
