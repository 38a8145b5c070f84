//! What authorization costs, and what a list costs somebody who sees little of it.
//!
//! ```text
//! cargo run --release -p galerie-control --example access_bench -- [VERSIONS] [ASSIGNMENTS]
//! ```
//! One version is made as a user makes it; the others are its copies, written with one statement, and so are the role
//! assignments. Each figure stands beside the same one of the Owner, for whom nothing is left out.
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::{
    error::Error,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use galerie_arm::{ApiVersion, ResourceId, ResourceType};
use galerie_control::{
    Caller, Control, ControlOptions, Database, ListScope, RequestContext, ServedRegion, StoreIdentities,
};
use galerie_region::{LocalRegion, LocalRegionOptions};
use serde_json::json;
use sqlx::{ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};
use uuid::Uuid;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const VERSION: ApiVersion = ApiVersion::stable(2024, 3, 3);
const READ: &str = "Microsoft.Compute/galleries/images/versions/read";
/// How often each thing is asked.
const CHECKS: u32 = 20_000;
const PAGES: u32 = 500;

/// Copies of version 1.0.0 as 1.1.n: its row and its number.
const COPY: [&str; 2] = [
    "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < $1) \
     INSERT INTO resources SELECT r.parent || '/versions/1.1.' || n, lower(hex(randomblob(16))), \
       substr(r.id, 1, length(r.id) - 5) || '1.1.' || n, r.type, r.tenant, r.subscription, r.resource_group, r.parent, \
       '1.1.' || n, r.location, NULL, r.provisioning_state, r.generation, r.etag, r.document, r.created_ms, r.updated_ms \
     FROM n, resources r WHERE r.name = '1.0.0'",
    "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < $1) \
     INSERT INTO image_versions SELECT v.definition || '/versions/1.1.' || n, v.definition, 1, 1, n, 0, v.published_ms \
     FROM n, image_versions v WHERE v.minor = 0",
];
/// The role of an image reader over the versions 1.1.1 to 1.1.n.
const ASSIGN: &str = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < $1) \
     INSERT INTO role_assignments SELECT $2, \
       printf('%08x-0000-4000-8000-%s', n, substr(replace($3, '-', ''), 21)), $4 || '/versions/1.1.' || n, \
       lower($4) || '/versions/1.1.' || n, 'cf7c76d2-98a3-4358-a134-615aa78bf44d', $3, 'ServicePrincipal', NULL, 0, 0, $3, $3 \
     FROM n";

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let versions: u32 = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let assignments: u32 = arguments.next().map_or(Ok(10_000), |text| text.parse())?;
    let directory = tempfile::tempdir()?;
    let (control, owner, subscription) = open(directory.path()).await?;
    let definition = furnish(&control, &owner, subscription).await?;
    let (many, one) = (asker(&owner), asker(&owner));
    let mut connection = SqliteConnectOptions::new().filename(directory.path().join("catalogue.db")).connect().await?;
    let mut tx = sqlx::Connection::begin(&mut connection).await?;
    for statement in COPY {
        sqlx::query(statement).bind(i64::from(versions)).execute(&mut *tx).await?;
    }
    for (asker, count) in [(&many, assignments), (&one, 1)] {
        assign(&mut tx, &asker.caller, &definition, count).await?;
    }
    tx.commit().await?;
    println!("{versions} versions; the askers have 1 assignment over everything, {assignments} over versions, and 1");
    let seen: ResourceId = format!("{definition}/versions/1.1.1").parse()?;
    for (name, context) in [("Owner", &owner), ("many", &many), ("one", &one)] {
        let begun = Instant::now();
        control.require(context, READ, &seen).await?;
        let first = begun.elapsed();
        let each = timed(CHECKS, async || Ok(control.require(context, READ, &seen).await?)).await?;
        println!("check, {name}: {} with its transaction; the first one {}", micros(each), micros(first));
    }
    let scope = ListScope::Subscription { subscription, resource_type: Some(ResourceType::ImageVersion) };
    for (name, context) in [("Owner", &owner), ("many", &many), ("one", &one)] {
        let items = control.list(context, &scope, None).await?.items.len();
        let list = async || {
            control.list(context, &scope, None).await?;
            Ok(())
        };
        let each = timed(PAGES, list).await?;
        println!("list of the subscription, {name}: a page of {items} in {}", micros(each));
    }
    control.shutdown().await;
    Ok(())
}

async fn timed(times: u32, work: impl AsyncFn() -> Result<()>) -> Result<Duration> {
    let begun = Instant::now();
    for _ in 0..times {
        work().await?;
    }
    Ok(begun.elapsed() / times)
}

fn micros(duration: Duration) -> String {
    format!("{:.1} us", duration.as_secs_f64() * 1e6)
}

/// A principal of the tenant, without the operator's rank.
fn asker(owner: &RequestContext) -> RequestContext {
    let caller = Caller::application(owner.caller.tenant, Uuid::new_v4(), Uuid::new_v4(), false);
    RequestContext { caller, ..owner.clone() }
}

async fn assign(tx: &mut SqliteConnection, to: &Caller, definition: &ResourceId, count: u32) -> Result<()> {
    let statement = sqlx::query(ASSIGN).bind(i64::from(count)).bind(to.tenant.to_string());
    statement.bind(to.principal.to_string()).bind(definition.as_str()).execute(tx).await?;
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
    let caller = Caller::application(first.tenant, first.principal, first.client_id, true);
    let ctx = RequestContext { api_version: VERSION, ..RequestContext::of_the_directory(caller, Uuid::new_v4()) };
    Ok((control, ctx, first.subscription))
}

/// A gallery, a definition, and one version made from an empty disk; the definition.
async fn furnish(control: &Control, ctx: &RequestContext, subscription: Uuid) -> Result<ResourceId> {
    let group = format!("/subscriptions/{subscription}/resourceGroups/rg");
    let id = |below: &str| format!("{group}/providers/Microsoft.Compute/{below}").parse::<ResourceId>();
    let here = json!({ "location": "eastus" });
    control.resource_group_put(ctx, &group.parse()?, here.clone()).await?;
    control.put(ctx, &id("galleries/g")?, here).await?;
    let definition = json!({ "location": "eastus", "properties": { "osType": "Linux", "osState": "Generalized",
        "identifier": { "publisher": "p", "offer": "o", "sku": "s" } } });
    control.put(ctx, &id("galleries/g/images/i")?, definition).await?;
    let disk = json!({ "location": "eastus",
        "properties": { "creationData": { "createOption": "Empty" }, "diskSizeGB": 1 } });
    let made = control.put(ctx, &id("disks/d")?, disk).await?.operation;
    while !control.operation_status(ctx, made.subscription, made.id).await?.document.status.is_terminal() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let version = json!({ "location": "eastus", "tags": { "built-by": "pipeline", "commit": "0123456789abcdef" },
        "properties": { "storageProfile": { "osDiskImage": { "source": { "id": id("disks/d")?.as_str() } } },
        "publishingProfile": { "targetRegions": [{ "name": "East US", "regionalReplicaCount": 1 }] } } });
    control.put(ctx, &id("galleries/g/images/i/versions/1.0.0")?, version).await?;
    Ok(id("galleries/g/images/i")?)
}
