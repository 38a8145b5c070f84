//! How fast a full catalogue answers: fills one with image versions and prints what reading costs.
//!
//! ```text
//! cargo run --release -p galerie-control --example catalogue_bench -- [VERSIONS] [READS]
//! ```
//! One version is made as a user makes it; the others are its copies, written with one statement. Everything is in a
//! temporary directory, and the reads go the way that a request goes: authorization, lookup, rendering.
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::{
    error::Error,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use galerie_arm::{ApiVersion, ResourceId, ResourceType, etag::Precondition, paging::SkipToken};
use galerie_control::{
    Caller, ClientProof, Control, ControlOptions, Database, Expand, ListScope, RequestContext, ServedRegion,
    StoreIdentities, TokenShape, TokenVersion,
};
use galerie_region::{LocalRegion, LocalRegionOptions};
use serde_json::json;
use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};
use uuid::Uuid;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Copies of version 1.0.0 as 1.1.n: its row, its number, its replica.
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

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let versions: u32 = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let reads: u32 = arguments.next().map_or(Ok(20_000), |text| text.parse())?;
    let directory = tempfile::tempdir()?;
    let (control, ctx, subscription) = open(directory.path()).await?;
    furnish(&control, &ctx, subscription).await?;
    let begun = Instant::now();
    fill(&directory.path().join("catalogue.db"), versions).await?;
    println!("filled with {versions} versions in {:.1} s", begun.elapsed().as_secs_f64());
    get(&control, &ctx, subscription, versions, reads).await?;
    list(&control, &ctx, subscription, versions).await?;
    control.shutdown().await;
    Ok(())
}

async fn open(directory: &Path) -> Result<(Control, RequestContext, Uuid)> {
    let database = Database::Sqlite(directory.join("catalogue.db"));
    let identities = StoreIdentities::read(&database).await?;
    let region = LocalRegion::open(LocalRegionOptions {
        name: "eastus".to_owned(),
        root: directory.join("eastus"),
        catalogue_id: identities.catalogue_id,
        expected_store_id: None,
        epoch: 1,
        index_dir: directory.join("index"),
        cache_bytes: 1 << 20,
    })
    .await?;
    let regions = vec![ServedRegion { region: Arc::new(region), display_name: None }];
    let control = Control::open(ControlOptions::new(database, directory.join("master.key"), regions)).await?;
    control.start();
    let first = control.bootstrap().await?;
    let (client, tenant) = (first.client_id.to_string(), first.tenant.to_string());
    let secret = first.client_secret.ok_or("a new catalogue has a new secret")?;
    let identity = control.identity();
    let [audience, issuer, graph] = ["a", "i", "g"].map(str::to_owned);
    let shape = TokenShape { audience, version: TokenVersion::V1, issuer, graph };
    let token = identity.token_for_client(&client, &ClientProof::Secret(secret), &tenant, &shape).await?;
    let caller: Caller = identity.verify(&token.access_token, &["a".to_owned()], &["i".to_owned()]).await?;
    let ctx = RequestContext {
        caller,
        api_version: ApiVersion::stable(2024, 3, 3),
        preconditions: Precondition::default(),
        auxiliary: Vec::new(),
        correlation_id: Uuid::new_v4(),
        client_address: None,
    };
    Ok((control, ctx, first.subscription))
}

fn id(subscription: Uuid, below: &str) -> Result<ResourceId> {
    let provider = if below.is_empty() { "" } else { "/providers/Microsoft.Compute/" };
    Ok(format!("/subscriptions/{subscription}/resourceGroups/rg{provider}{below}").parse()?)
}

/// A gallery, a definition, and one version made from an empty disk.
async fn furnish(control: &Control, ctx: &RequestContext, subscription: Uuid) -> Result<()> {
    let here = json!({ "location": "eastus" });
    control.resource_group_put(ctx, &id(subscription, "")?, here.clone()).await?;
    control.put(ctx, &id(subscription, "galleries/g")?, here).await?;
    let definition = json!({ "location": "eastus", "properties": { "osType": "Linux", "osState": "Generalized",
        "identifier": { "publisher": "p", "offer": "o", "sku": "s" } } });
    control.put(ctx, &id(subscription, "galleries/g/images/i")?, definition).await?;
    let disk = json!({ "location": "eastus",
        "properties": { "creationData": { "createOption": "Empty" }, "diskSizeGB": 1 } });
    let made = control.put(ctx, &id(subscription, "disks/d")?, disk).await?.operation;
    while !control.operation_status(ctx, made.subscription, made.id).await?.document.status.is_terminal() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let version = json!({ "location": "eastus", "tags": { "built-by": "pipeline", "commit": "0123456789abcdef" },
        "properties": { "storageProfile": { "osDiskImage": { "source": { "id": id(subscription, "disks/d")?.as_str() } } },
        "publishingProfile": { "targetRegions": [{ "name": "East US", "regionalReplicaCount": 1 }] } } });
    control.put(ctx, &id(subscription, "galleries/g/images/i/versions/1.0.0")?, version).await?;
    Ok(())
}

async fn fill(database: &Path, versions: u32) -> Result<()> {
    let mut connection = SqliteConnectOptions::new().filename(database).connect().await?;
    let mut tx = sqlx::Connection::begin(&mut connection).await?;
    for statement in COPY {
        sqlx::query(statement).bind(i64::from(versions)).execute(&mut *tx).await?;
    }
    Ok(tx.commit().await?)
}

/// GET of versions all over the catalogue, one after the other.
async fn get(control: &Control, ctx: &RequestContext, subscription: Uuid, versions: u32, reads: u32) -> Result<()> {
    let mut times = Vec::with_capacity(reads as usize);
    let mut at: u64 = 1;
    for _ in 0..reads {
        // Any generator does that visits the whole range (Knuth's MMIX multiplier).
        at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let number = (at >> 33) % u64::from(versions) + 1;
        let id = id(subscription, &format!("galleries/g/images/i/versions/1.1.{number}"))?;
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
async fn list(control: &Control, ctx: &RequestContext, subscription: Uuid, versions: u32) -> Result<()> {
    let parent = id(subscription, "galleries/g/images/i")?;
    let scope = ListScope::Children { parent: parent.clone(), resource_type: ResourceType::ImageVersion };
    for share in [0, 25, 50, 75, 99] {
        let number = u64::from(versions) * share / 100 + 1;
        let last_key = format!("{}/versions/1.1.{number}", parent.key());
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
