//! Reading from a catalogue of 10^6 image versions, over HTTPS on one connection: SQLite's, and PostgreSQL's where there is one.
//!
//! One version is published; the others are copies of its rows, written with one statement a table while the server is
//! stopped. The list's cost is the server's processor time, all threads together, signing in and TLS included.

use std::path::Path;

use bytes::Bytes;
use galerie_arm::{ResourceId, paging::SkipToken};
use galerie_store::{Manifest, Segment, frame};
use reqwest::Method;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{
    Bench, Result,
    images::{Random, noise},
    machine::{process_cpu_s, program_cpu_s},
    report::{Report, Verdict},
    server_process::{Server, Times},
};

const VERSIONS: u64 = 1_000_000;
const VERSIONS_SMALL: u64 = 20_000;
const READS: usize = 5_000;
const READS_SMALL: usize = 1_000;
/// Pages of each depth; more than a hundred ticks of the clock that counts a process' time.
const PAGES: usize = 300;
/// Requests for a chunk.
const CONTENT_REQUESTS: usize = 1000;
const GET_P50_MAX_MS: f64 = 1.0;
const GET_P99_MAX_MS: f64 = 5.0;
const PAGE_MAX_MS: f64 = 1.0;
/// What fills a catalogue with versions; see there.
const COPIES: &str = include_str!("../../crates/control/examples/full_catalogue/copies.sql");

pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    measure_in(bench, &Catalogue::Sqlite, report).await?;
    // Set by scripts/postgres.sh, which run.sh uses where PostgreSQL is installed.
    match std::env::var("GALERIE_TEST_POSTGRES") {
        Ok(database) => measure_in(bench, &Catalogue::Postgres(database), report).await,
        Err(_) => Ok(()),
    }
}

/// Where the versions are.
enum Catalogue {
    Sqlite,
    Postgres(String),
}

impl Catalogue {
    fn url(&self) -> Option<&str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres(url) => Some(url),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres(_) => "PostgreSQL",
        }
    }

    /// What the database itself has taken; SQLite is the server's own.
    fn cpu_s(&self) -> f64 {
        match self {
            Self::Sqlite => 0.0,
            Self::Postgres(_) => program_cpu_s("postgres"),
        }
    }

    async fn fill(&self, data_dir: &Path, versions: u64) -> Result<()> {
        match self {
            Self::Sqlite => {
                let mut connection = rusqlite::Connection::open(data_dir.join("catalogue.db"))?;
                let transaction = connection.transaction()?;
                transaction.execute_batch(&copies("lower(hex(randomblob(16)))", versions))?;
                Ok(transaction.commit()?)
            }
            Self::Postgres(url) => {
                let mut connection = PgConnection::connect(url).await?;
                let copies = copies("replace(gen_random_uuid()::text, '-', '')", versions);
                sqlx::raw_sql(AssertSqlSafe(copies)).execute(&mut connection).await?;
                sqlx::raw_sql("VACUUM (ANALYZE)").execute(&mut connection).await?;
                Ok(connection.close().await?)
            }
        }
    }
}

fn copies(uid: &str, versions: u64) -> String {
    COPIES.replace("{uid}", uid).replace("{versions}", &versions.to_string())
}

async fn measure_in(bench: &Bench, catalogue: &Catalogue, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir_in(&bench.scratch)?;
    let data = folder.path().join("data");
    let versions = if bench.images.are_small { VERSIONS_SMALL } else { VERSIONS };
    let server = Server::start_on(&data, catalogue.url()).await?;
    let image = folder.path().join("image.raw");
    std::fs::write(&image, noise(1, 1 << 20))?;
    let version: ResourceId = server.publish(&image, "1.0.0").await?.parse()?;
    server.stop().await?;
    catalogue.fill(&data, versions).await?;

    let server = Server::start_on(&data, catalogue.url()).await?;
    let definition = version.as_str().trim_end_matches("/versions/1.0.0").to_owned();
    get(bench, &server, catalogue, &definition, versions, report).await?;
    latest(bench, &server, catalogue, &definition, versions, report).await?;
    list(&server, catalogue, &definition, versions, report).await?;
    content(&server, catalogue, &version, report).await?;
    server.stop().await
}

/// Versions all over the catalogue, one after the other.
async fn get(
    bench: &Bench,
    server: &Server,
    catalogue: &Catalogue,
    definition: &str,
    versions: u64,
    report: &mut Report,
) -> Result<()> {
    let mut random = Random::new(1);
    let path = || format!("{definition}/versions/1.1.{}", random.next() % versions + 1);
    let (times, pings) = beside_pings(bench, server, path).await?;
    let beside = |share| format!("a request that does nothing: {:.2} ms", pings.at_ms(share));
    for (share, name, max_ms) in [(0.5, "p50", GET_P50_MAX_MS), (0.99, "p99", GET_P99_MAX_MS)] {
        let reached_ms = times.at_ms(share);
        report
            .row(format!("{}, GET one of {versions} versions, {name}", catalogue.name()), format!("{reached_ms:.2} ms"))
            .budget(format!("< {max_ms:.0} ms"))
            .beside(beside(share))
            .verdict(Verdict::at_most(reached_ms, max_ms))
            .add();
    }
    Ok(())
}

/// Which of all versions is the latest in a region, as `galerie pull` asks.
async fn latest(
    bench: &Bench,
    server: &Server,
    catalogue: &Catalogue,
    definition: &str,
    versions: u64,
    report: &mut Report,
) -> Result<()> {
    let path = || format!("/content{definition}/versions/latest");
    let (times, pings) = beside_pings(bench, server, path).await?;
    for (share, name) in [(0.5, "p50"), (0.99, "p99")] {
        report
            .row(
                format!("{}, the latest of {versions} versions, {name}", catalogue.name()),
                format!("{:.2} ms", times.at_ms(share)),
            )
            .beside(format!("a request that does nothing: {:.2} ms", pings.at_ms(share)))
            .add();
    }
    Ok(())
}

/// How long requests take that are sent one after the other, and requests in between that do nothing.
async fn beside_pings(bench: &Bench, server: &Server, mut path: impl FnMut() -> String) -> Result<(Times, Times)> {
    let reads = if bench.images.are_small { READS_SMALL } else { READS };
    let (mut times, mut pings) = (Vec::new(), Vec::new());
    for _ in 0..reads {
        times.push(server.send(Method::GET, &path(), None).await?.0);
        pings.push(server.ping().await?);
    }
    Ok((Times::new(times), Times::new(pings)))
}

/// The first page, and pages as deep as lists go.
async fn list(
    server: &Server,
    catalogue: &Catalogue,
    definition: &str,
    versions: u64,
    report: &mut Report,
) -> Result<()> {
    let parent: ResourceId = definition.parse()?;
    for percent in [0, 50, 99] {
        let last_key = format!("{}/versions/1.1.{}", parent.key(), versions * percent / 100 + 1);
        let path = match percent {
            0 => format!("{definition}/versions"),
            _ => format!("{definition}/versions?$skiptoken={}", SkipToken { last_key }.encode()),
        };
        let (mut times, mut items) = (Vec::new(), 0);
        let before_s = [process_cpu_s(&server.process()), catalogue.cpu_s()];
        for _ in 0..PAGES {
            let (took, page) = server.send(Method::GET, &path, None).await?;
            times.push(took);
            items = page["value"].as_array().map_or(0, Vec::len);
        }
        let after_s = [process_cpu_s(&server.process()), catalogue.cpu_s()];
        let [cpu_ms, database_ms] = [0, 1].map(|of| (after_s[of] - before_s[of]) * 1000.0 / PAGES as f64);
        report
            .row(format!("{}, a page at {percent} %, processor time", catalogue.name()), format!("{cpu_ms:.2} ms"))
            .budget("< 1 ms")
            .beside(format!("{items} items; p50 at the client {:.2} ms", Times::new(times).at_ms(0.5)))
            .note(format!("the database's own processes {database_ms:.2} ms"))
            .verdict(Verdict::at_most(cpu_ms, PAGE_MAX_MS))
            .add();
    }
    Ok(())
}

/// What `galerie nbd` and `pull` ask for: who may read a version is asked of the catalogue at every request.
async fn content(server: &Server, catalogue: &Catalogue, version: &ResourceId, report: &mut Report) -> Result<()> {
    let path = format!("/content{version}");
    let chunks = chunks(server, &path).await?;
    let before_s = [process_cpu_s(&server.process()), catalogue.cpu_s()];
    for _ in 0..CONTENT_REQUESTS {
        server.send_ids(&chunks.0, chunks.1.clone()).await?;
    }
    let after_s = [process_cpu_s(&server.process()), catalogue.cpu_s()];
    let [cpu_ms, database_ms] = [0, 1].map(|of| (after_s[of] - before_s[of]) * 1000.0 / CONTENT_REQUESTS as f64);
    report
        .row(format!("{}, a request for one chunk, processor time", catalogue.name()), format!("{cpu_ms:.2} ms"))
        .note(format!("the database's own processes {database_ms:.2} ms"))
        .add();
    Ok(())
}

/// Where the version's first chunk is asked for, and its id.
async fn chunks(server: &Server, path: &str) -> Result<(String, Vec<u8>)> {
    let whole = |body| -> Result<Bytes> { Ok(frame::decode_all(body, 1)?.remove(0).decode()?) };
    let manifest = Manifest::decode(&whole(server.receive(&format!("{path}/manifest")).await?)?)?;
    let segment = manifest.segments().first().ok_or("the version is empty")?.1;
    let listed = server.send_ids(&format!("{path}/segments"), segment.0.0.to_vec()).await?;
    let chunk = Segment::decode(&whole(listed)?)?.entries().iter().find_map(|entry| entry.chunk).ok_or("only zeros")?;
    Ok((format!("{path}/segments/{segment}/chunks"), chunk.0.0.to_vec()))
}
