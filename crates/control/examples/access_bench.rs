//! What authorization costs, and what a list costs somebody who sees little of it.
//!
//! ```text
//! cargo run --release -p galerie-control --example access_bench -- [VERSIONS] [ASSIGNMENTS]
//! ```
//! The role assignments are written with one statement. Each figure stands beside the same one of the Owner, for whom nothing is left out.
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

mod full_catalogue;

use std::time::{Duration, Instant};

use galerie_arm::{ResourceId, ResourceType};
use galerie_control::{Caller, ListScope, RequestContext};
use sqlx::SqliteConnection;
use uuid::Uuid;

use self::full_catalogue::{FullCatalogue, Result};

const READ: &str = "Microsoft.Compute/galleries/images/versions/read";
/// How often each thing is asked.
const CHECKS: u32 = 20_000;
const PAGES: u32 = 500;

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
    let full = FullCatalogue::make(directory.path(), versions).await?;
    let FullCatalogue { control, owner, definition, .. } = &full;
    let subscription = definition.subscription().ok_or("a definition is in a subscription")?.as_uuid();
    let (many, one) = (asker(owner), asker(owner));
    let mut connection = full.connect().await?;
    for (asker, count) in [(&many, assignments), (&one, 1)] {
        assign(&mut connection, &asker.caller, definition, count).await?;
    }
    println!("{versions} versions; the askers have 1 assignment over everything, {assignments} over versions, and 1");
    let seen: ResourceId = format!("{definition}/versions/1.1.1").parse()?;
    for (name, context) in [("Owner", owner), ("many", &many), ("one", &one)] {
        let begun = Instant::now();
        control.require(context, READ, &seen).await?;
        let first = begun.elapsed();
        let check = async || {
            control.require(context, READ, &seen).await?;
            Ok(())
        };
        let each = timed(CHECKS, check).await?;
        println!("check, {name}: {} with its transaction; the first one {}", micros(each), micros(first));
    }
    let scope = ListScope::Subscription { subscription, resource_type: Some(ResourceType::ImageVersion) };
    for (name, context) in [("Owner", owner), ("many", &many), ("one", &one)] {
        let items = control.list(context, &scope, None).await?.items.len();
        let page = async || {
            control.list(context, &scope, None).await?;
            Ok(())
        };
        let each = timed(PAGES, page).await?;
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
