//! Reading from a catalogue of 10^6 image versions, over HTTPS on one connection.
//!
//! One version is published; the others are copies of its rows, written with one statement a table while the server is
//! stopped. The list's cost is the server's processor time, all threads together, signing in and TLS included.

use std::path::Path;

use galerie_arm::{ResourceId, paging::SkipToken};
use reqwest::Method;
use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};

use crate::{
    Bench, Result,
    images::{Random, noise},
    report::{Report, Verdict},
    server_process::{Server, Times},
};

const VERSIONS: u64 = 1_000_000;
const VERSIONS_SMALL: u64 = 20_000;
const READS: usize = 5_000;
const READS_SMALL: usize = 1_000;
/// Pages of each depth; more than a hundred ticks of the clock that counts a process' time.
const PAGES: usize = 300;
const GET_P50_MAX_MS: f64 = 1.0;
const GET_P99_MAX_MS: f64 = 5.0;
const PAGE_MAX_MS: f64 = 1.0;
/// The clock that counts a process' time; the same on all Linux machines.
const TICKS_PER_S: f64 = 100.0;

/// Copies of version 1.0.0 as 1.1.n: its resource, its number, its replicas.
const COPY: [&str; 3] = [
    "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < $1) \
     INSERT INTO resources SELECT r.parent || '/versions/1.1.' || n, lower(hex(randomblob(16))), \
       substr(r.id, 1, length(r.id) - 5) || '1.1.' || n, r.type, r.tenant, r.subscription, r.resource_group, r.parent, \
       '1.1.' || n, r.location, NULL, r.provisioning_state, r.generation, r.etag, r.document, r.created_ms, r.updated_ms \
     FROM n, resources r WHERE r.name = '1.0.0'",
    "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < $1) \
     INSERT INTO image_versions SELECT v.definition || '/versions/1.1.' || n, v.definition, 1, 1, n, 0, v.published_ms \
     FROM n, image_versions v WHERE v.minor = 0",
    "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < $1) \
     INSERT INTO replicas SELECT v.definition || '/versions/1.1.' || n, p.region, lower(hex(randomblob(16))), p.state, \
       p.replica_count, p.storage_account_type, p.exclude_from_latest, p.total_bytes, p.copied_bytes, p.details, \
       p.attempts, p.next_attempt_ms, p.lease_owner, p.lease_until_ms, p.generation, p.completed_ms \
     FROM n, image_versions v JOIN replicas p ON p.version = v.key WHERE v.minor = 0",
];

pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir_in(&bench.scratch)?;
    let data = folder.path().join("data");
    let versions = if bench.images.are_small { VERSIONS_SMALL } else { VERSIONS };
    let server = Server::start(&data).await?;
    let image = folder.path().join("image.raw");
    std::fs::write(&image, noise(1, 1 << 20))?;
    let version: ResourceId = server.publish(&image, "1.0.0").await?.parse()?;
    server.stop().await?;
    fill(&data.join("catalogue.db"), versions).await?;

    let server = Server::start(&data).await?;
    let definition = version.as_str().trim_end_matches("/versions/1.0.0").to_owned();
    get(bench, &server, &definition, versions, report).await?;
    list(&server, &definition, versions, report).await?;
    server.stop().await
}

async fn fill(database: &Path, versions: u64) -> Result<()> {
    let mut connection = SqliteConnectOptions::new().filename(database).connect().await?;
    let mut transaction = connection.begin().await?;
    for statement in COPY {
        sqlx::query(statement).bind(i64::try_from(versions)?).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(connection.close().await?)
}

/// Versions all over the catalogue, one after the other.
async fn get(bench: &Bench, server: &Server, definition: &str, versions: u64, report: &mut Report) -> Result<()> {
    let reads = if bench.images.are_small { READS_SMALL } else { READS };
    let (mut random, mut times, mut pings) = (Random::new(1), Vec::new(), Vec::new());
    for _ in 0..reads {
        let number = random.next() % versions + 1;
        times.push(server.send(Method::GET, &format!("{definition}/versions/1.1.{number}"), None).await?.0);
        pings.push(server.ping().await?);
    }
    let (times, pings) = (Times::new(times), Times::new(pings));
    let beside = |share| format!("a request that does nothing: {:.2} ms", pings.at_ms(share));
    for (share, name, max_ms) in [(0.5, "p50", GET_P50_MAX_MS), (0.99, "p99", GET_P99_MAX_MS)] {
        let reached_ms = times.at_ms(share);
        report
            .row(format!("GET one of {versions} versions, {name}"), format!("{reached_ms:.2} ms"))
            .budget(format!("< {max_ms:.0} ms"))
            .beside(beside(share))
            .verdict(Verdict::at_most(reached_ms, max_ms))
            .add();
    }
    Ok(())
}

/// The first page, and pages as deep as lists go.
async fn list(server: &Server, definition: &str, versions: u64, report: &mut Report) -> Result<()> {
    let parent: ResourceId = definition.parse()?;
    for percent in [0, 50, 99] {
        let last_key = format!("{}/versions/1.1.{}", parent.key(), versions * percent / 100 + 1);
        let path = match percent {
            0 => format!("{definition}/versions"),
            _ => format!("{definition}/versions?$skiptoken={}", SkipToken { last_key }.encode()),
        };
        let (mut times, mut items) = (Vec::new(), 0);
        let before_s = process_cpu_s(server);
        for _ in 0..PAGES {
            let (took, page) = server.send(Method::GET, &path, None).await?;
            times.push(took);
            items = page["value"].as_array().map_or(0, Vec::len);
        }
        let cpu_ms = (process_cpu_s(server) - before_s) * 1000.0 / PAGES as f64;
        report
            .row(format!("list, a page at {percent} %, processor time"), format!("{cpu_ms:.2} ms"))
            .budget("< 1 ms")
            .beside(format!("{items} items; p50 at the client {:.2} ms", Times::new(times).at_ms(0.5)))
            .verdict(Verdict::at_most(cpu_ms, PAGE_MAX_MS))
            .add();
    }
    Ok(())
}

/// User and system time of the server so far.
fn process_cpu_s(server: &Server) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.process())).unwrap_or_default();
    // The name, in parentheses, may hold spaces; user and system time are fields 14 and 15.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok()).unwrap_or(f64::NAN);
    (ticks(11) + ticks(12)) / TICKS_PER_S
}
