//! What authorization costs, and what a list costs somebody who sees little of it.
//!
//! ```text
//! cargo run --release -p galerie-control --example access_bench -- [VERSIONS] [ASSIGNMENTS]
//! ```
//! On PostgreSQL under `scripts/postgres.sh`. Assignments and memberships are written beside the gallery; what is timed goes the
//! way that a request goes. Floors are the same statements without authorization, on a connection of this program.
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

mod full_catalogue;

use std::{
    fmt::Write,
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use galerie_arm::{ResourceId, ResourceType, paging::SkipToken};
use galerie_control::{
    Caller, Control, ListScope, RequestContext, Scope,
    directory::{
        Document,
        user::{NewPassword, NewUser},
    },
};
use secrecy::SecretString;
use serde_json::json;
use sqlx::{AssertSqlSafe, SqlSafeStr};
use uuid::Uuid;

use self::full_catalogue::{Beside, FullCatalogue, Result, Shape};

const READ: &str = "Microsoft.Compute/galleries/images/versions/read";
/// `Compute Gallery Image Reader`.
const IMAGE_READER: &str = "cf7c76d2-98a3-4358-a134-615aa78bf44d";
/// How often each thing is asked.
const CHECKS: u32 = 10_000;
const DECISIONS: u32 = 1_000_000;
const PAGES: u32 = 300;
const CHANGES: u32 = 50;
/// Groups that a user is in, each in the one before.
const GROUPS: usize = 200;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let versions: u32 = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let assignments: u32 = arguments.next().map_or(Ok(10_000), |text| text.parse())?;
    let directory = tempfile::tempdir()?;
    let full = FullCatalogue::make(directory.path(), Shape::deep(versions)).await?;
    let mut beside = full.connect().await?;
    let (many, one, nested) = (asker(&full, "many").await?, asker(&full, "one").await?, asker(&full, "nested").await?);
    for (asker, count) in [(&many, assignments), (&one, 1)] {
        assign(&mut beside, &full, asker.caller.principal, "User", 1..=count).await?;
    }
    nest(&mut beside, &full, nested.caller.principal).await?;
    let name = match &beside {
        Beside::Sqlite(_) => "SQLite",
        Beside::Postgres(_) => "PostgreSQL",
    };
    println!(
        "{name}, {versions} versions. Many: {assignments} assignments; nested: {GROUPS} groups in each other, a grant each"
    );
    let askers = [("Owner", &full.owner), ("many", &many), ("one", &one), ("nested", &nested)];
    checks(&full, &mut beside, &askers).await?;
    changes(&full, &askers).await?;
    lists(&full, &mut beside, versions, &askers).await?;
    full.control.shutdown().await;
    Ok(())
}

async fn checks(full: &FullCatalogue, beside: &mut Beside, askers: &[(&str, &RequestContext)]) -> Result<()> {
    let seen: ResourceId = format!("{}/versions/1.1.1", full.definition).parse()?;
    let floor = check_floor(full, beside).await?;
    println!("check, floor: {} for the transaction and its two statements alone", micros(floor));
    for (name, context) in askers {
        let begun = Instant::now();
        full.control.require(context, READ, &seen).await?;
        let first = begun.elapsed();
        let begun = Instant::now();
        for _ in 0..CHECKS {
            full.control.require(context, READ, &seen).await?;
        }
        let each = begun.elapsed() / CHECKS;
        let decision = full.control.time_decisions(context, READ, &seen, DECISIONS).await? / DECISIONS;
        println!(
            "check, {name}: {} with its transaction, the decision alone {:.3} us; nothing known: {}",
            micros(each),
            decision.as_secs_f64() * 1e6,
            micros(first)
        );
    }
    Ok(())
}

/// The transaction of a check: whose the subscription is, and the revision.
async fn check_floor(full: &FullCatalogue, beside: &mut Beside) -> Result<Duration> {
    let subscription = full.definition.subscription().ok_or("a definition is in a subscription")?.as_uuid();
    let tenant = full.owner.caller.tenant;
    let whose = format!("SELECT * FROM subscriptions WHERE id = '{subscription}'");
    let revision = format!("SELECT revision FROM access_revisions WHERE tenant = '{tenant}'");
    let begun = Instant::now();
    for _ in 0..CHECKS {
        beside.run("BEGIN".to_owned()).await?;
        rows(beside, &whose).await?;
        rows(beside, &revision).await?;
        beside.run("ROLLBACK".to_owned()).await?;
    }
    Ok(begun.elapsed() / CHECKS)
}

/// The first check after a change of the asker's own assignments, and after one of somebody else's.
async fn changes(full: &FullCatalogue, askers: &[(&str, &RequestContext)]) -> Result<()> {
    let FullCatalogue { control, owner, definition, .. } = full;
    let seen: ResourceId = format!("{definition}/versions/1.1.1").parse()?;
    let scope = Scope::parse(&format!("{definition}/versions/1.0.0"), "scope")?;
    // Somebody that the directory knows.
    let somebody = owner.caller.principal;
    for (name, context) in askers {
        let (mut of_another, mut own) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..CHANGES {
            of_another += changed(control, owner, &scope, somebody, context, &seen).await?;
            own += changed(control, owner, &scope, context.caller.principal, context, &seen).await?;
        }
        let (of_another, own) = (of_another / (2 * CHANGES), own / (2 * CHANGES));
        println!("first check after a change, {name}: somebody else's {}, its own {}", micros(of_another), micros(own));
    }
    Ok(())
}

/// Gives a role and takes it away; how long the check after either took, together.
async fn changed(
    control: &Control,
    owner: &RequestContext,
    scope: &Scope,
    principal: Uuid,
    asker: &RequestContext,
    seen: &ResourceId,
) -> Result<Duration> {
    let name = Uuid::new_v4().to_string();
    let role = format!("/providers/Microsoft.Authorization/roleDefinitions/{IMAGE_READER}");
    let body = json!({ "properties": { "roleDefinitionId": role, "principalId": principal } });
    let mut took = Duration::ZERO;
    control.role_assignment_put(owner, scope, &name, &body).await?;
    took += once(control, asker, seen).await?;
    control.role_assignment_delete(owner, scope, &name).await?;
    took += once(control, asker, seen).await?;
    Ok(took)
}

async fn once(control: &Control, asker: &RequestContext, seen: &ResourceId) -> Result<Duration> {
    let begun = Instant::now();
    control.require(asker, READ, seen).await?;
    Ok(begun.elapsed())
}

async fn lists(
    full: &FullCatalogue,
    beside: &mut Beside,
    versions: u32,
    askers: &[(&str, &RequestContext)],
) -> Result<()> {
    let subscription = full.definition.subscription().ok_or("a definition is in a subscription")?.as_uuid();
    let scope = ListScope::Subscription { subscription, resource_type: Some(ResourceType::ImageVersion) };
    for share in [0, 50] {
        let last_key = format!("{}/versions/1.1.{}", full.definition.key(), u64::from(versions) * share / 100);
        let statement = format!(
            "SELECT key || id || name || location || provisioning_state || etag || document FROM resources \
             WHERE subscription = '{subscription}' AND type = '{}' AND key > '{}' ORDER BY key LIMIT 101",
            ResourceType::ImageVersion.as_str(),
            if share > 0 { last_key.as_str() } else { "" },
        );
        let begun = Instant::now();
        for _ in 0..PAGES {
            rows(beside, &statement).await?;
        }
        println!("list at {share} %, floor: {} for the rows of a page alone", micros(begun.elapsed() / PAGES));
        let continuation = (share > 0).then(|| SkipToken { last_key: last_key.clone() }.encode());
        for (name, context) in askers {
            let (begun, mut items) = (Instant::now(), 0);
            for _ in 0..PAGES {
                items = full.control.list(context, &scope, continuation.as_deref()).await?.items.len();
            }
            println!("list at {share} %, {name}: a page of {items} in {}", micros(begun.elapsed() / PAGES));
        }
    }
    Ok(())
}

/// Runs a prepared statement, and answers how many rows it has.
async fn rows(beside: &mut Beside, statement: &str) -> Result<usize> {
    match beside {
        Beside::Sqlite(connection) => {
            let (mut prepared, mut count) = (connection.prepare_cached(statement)?, 0);
            let mut rows = prepared.query([])?;
            while let Some(row) = rows.next()? {
                // All that a program would read.
                for column in 0..row.as_ref().column_count() {
                    std::hint::black_box(row.get_ref(column)?);
                }
                count += 1;
            }
            Ok(count)
        }
        Beside::Postgres(connection) => {
            let statement = AssertSqlSafe(statement).into_sql_str();
            Ok(sqlx::query(statement).fetch_all(connection).await?.len())
        }
    }
}

fn micros(duration: Duration) -> String {
    format!("{:.1} us", duration.as_secs_f64() * 1e6)
}

/// A new user of the tenant.
async fn asker(full: &FullCatalogue, name: &str) -> Result<RequestContext> {
    let owner = &full.owner;
    let new = NewUser {
        name: format!("{name}@galerie.internal").parse()?,
        display_name: name.to_owned(),
        enabled: true,
        password: NewPassword { password: SecretString::from("correct horse"), must_change: false },
        document: Document::new(),
    };
    let user = full.control.user_create(owner, new).await?;
    let caller = Caller::application(owner.caller.tenant, user.id, Uuid::new_v4(), false);
    Ok(RequestContext { caller, ..owner.clone() })
}

/// Makes somebody a member of a group in a group in a group, each of which may read one version.
async fn nest(beside: &mut Beside, full: &FullCatalogue, member: Uuid) -> Result<()> {
    let mut inner = member;
    for number in 1..=GROUPS {
        let group = full.control.group_create(&full.owner, &format!("Group {number}"), Document::new()).await?.id;
        full.control.group_add_member(&full.owner, group, inner).await?;
        let number = u32::try_from(number)?;
        assign(beside, full, group, "Group", number..=number).await?;
        inner = group;
    }
    Ok(())
}

/// Assignments in one statement.
const ROWS_AT_ONCE: usize = 500;

/// Makes a principal an image reader of the versions 1.1.n.
async fn assign(
    beside: &mut Beside,
    full: &FullCatalogue,
    principal: Uuid,
    kind: &str,
    numbers: RangeInclusive<u32>,
) -> Result<()> {
    let (tenant, definition) = (full.owner.caller.tenant, &full.definition);
    for numbers in numbers.collect::<Vec<_>>().chunks(ROWS_AT_ONCE) {
        let mut statement =
            "INSERT INTO role_assignments (tenant, id, scope, scope_key, role, principal, principal_type, \
             created_ms, updated_ms, created_by, updated_by) VALUES "
                .to_owned();
        for (index, number) in numbers.iter().enumerate() {
            let (id, scope) = (Uuid::new_v4(), format!("{definition}/versions/1.1.{number}"));
            let (comma, key) = (if index > 0 { ", " } else { "" }, scope.to_lowercase());
            write!(
                statement,
                "{comma}('{tenant}', '{id}', '{scope}', '{key}', '{IMAGE_READER}', '{principal}', '{kind}', 0, 0, \
                 '{principal}', '{principal}')"
            )?;
        }
        beside.run(statement).await?;
    }
    Ok(())
}
