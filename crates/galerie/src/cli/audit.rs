//! `galerie audit`: who did what, who was refused, and whether that record can be trusted.

use serde_json::Value;
use uuid::Uuid;

use super::{
    connection::ConnectionArgs,
    document::text,
    failure::{Failure, Result},
    output::{self, Format, OutputArgs},
};
use crate::client::Client;

/// Rows that are asked for at once.
const PAGE: u32 = 500;

/// Say who did what and who was refused, and check that record
///
/// Every accepted write and every refusal is a row. Rows are sealed within seconds in signed batches, each naming the one
/// before, so that whoever changes or removes one later is found out. The log names each new seal ("sealed the audit"): kept
/// elsewhere, it also proves that nothing was cut off. For the operator; of another tenant, its administrator
/// lists what is theirs.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  galerie audit list                                        the newest hundred
  galerie audit list --denied --since 2026-11-01            who was refused this month
  galerie audit list --resource /subscriptions/.../galleries/g --all -o json
  galerie audit verify
  galerie audit verify --head 17:ab12...                    and that this seal, from the log, is in it")]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, clap::Subcommand)]
enum AuditCommand {
    /// Who did what, the newest first
    List(ListArgs),
    /// Check every seal and what it covers; fails when anything was tampered with
    Verify {
        /// A seal that the log named, NUMBER:HASH, which must be there
        #[arg(long, value_name = "HEAD")]
        head: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Not before this date or time (UTC unless it says otherwise)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this date or time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only what this principal did, by its object id
    #[arg(long, value_name = "UUID")]
    principal: Option<Uuid>,
    /// Only this resource and what is below it, by its id
    #[arg(long, value_name = "ID")]
    resource: Option<String>,
    /// Only refusals
    #[arg(long)]
    denied: bool,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 100, conflicts_with = "all")]
    top: u32,
    /// All of them
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: AuditArgs) -> Result<()> {
    match args.command {
        AuditCommand::List(args) => list(args).await,
        AuditCommand::Verify { head, output, connection } => {
            let client = Client::new(connection.profile()?)?;
            let query: Vec<(&str, &str)> = head.as_deref().map(|head| ("head", head)).into_iter().collect();
            let report = client.call("/galerie/audit/verify", &query).await?;
            match output.output {
                Format::Json => output::json(&report)?,
                Format::Table => show_report(&report)?,
            }
            if report["intact"] == true {
                return Ok(());
            }
            Err(Failure::new("the audit was tampered with, or damaged; see the problems above".to_owned()))
        }
    }
}

async fn list(args: ListArgs) -> Result<()> {
    let client = Client::new(args.connection.profile()?)?;
    let principal = args.principal.map(|id| id.to_string());
    let (mut rows, mut continuation): (Vec<Value>, Option<String>) = (Vec::new(), None);
    loop {
        let left = if args.all {
            PAGE
        } else {
            PAGE.min(args.top.saturating_sub(u32::try_from(rows.len()).unwrap_or(u32::MAX)))
        };
        if left == 0 {
            break;
        }
        let top = left.to_string();
        let mut query = vec![("top", top.as_str()), ("denied", if args.denied { "true" } else { "false" })];
        let optional = [
            ("since", &args.since),
            ("until", &args.until),
            ("principal", &principal),
            ("resource", &args.resource),
            ("continuation", &continuation),
        ];
        query.extend(optional.iter().filter_map(|(name, value)| value.as_deref().map(|value| (*name, value))));
        let page = client.call("/galerie/audit/list", &query).await?;
        rows.extend(page["value"].as_array().cloned().unwrap_or_default());
        continuation = page["continuation"].as_str().map(str::to_owned);
        if continuation.is_none() {
            break;
        }
    }
    let header = ["TIME", "OUTCOME", "ACTION", "CALLER", "FROM", "TIMES", "RESOURCE"];
    output::list(args.output.output, rows, &header, |row| {
        let times = row["occurrences"].to_string();
        let (time, outcome, action) = (text(row, "time"), text(row, "outcome"), text(row, "action"));
        vec![time, outcome, action, caller(row), text(row, "address"), times, text(row, "resource")]
    })
}

/// Who it was, as people call them: a user's name says it; an application's client id does not.
fn caller(row: &Value) -> String {
    let (caller, name) = (text(row, "caller"), text(row, "callerName"));
    if name.is_empty() || caller.contains('@') { caller } else { format!("{name} ({caller})") }
}

fn show_report(report: &Value) -> Result<()> {
    let count = |name: &str| report[name].as_u64().unwrap_or_default();
    for problem in report["problems"].as_array().map_or(&[][..], Vec::as_slice) {
        output::line(&format!("seal {}: {}", problem["seal"], text(problem, "problem")))?;
    }
    let unnamed = count("problemCount").saturating_sub(report["problems"].as_array().map_or(0, Vec::len) as u64);
    if unnamed > 0 {
        output::line(&format!("and {unnamed} more problems"))?;
    }
    let verdict = if report["intact"] == true { "intact" } else { "NOT INTACT" };
    output::line(&format!("{verdict}: {} rows under {} seals", count("rows"), count("seals")))?;
    let pruned = count("sealsWhoseRowsWereDeletedForTheirAge");
    if pruned > 0 {
        output::line(&format!("the rows of {pruned} seals were deleted for their age"))?;
    }
    output::line(&format!("{} rows are not sealed yet", count("rowsNotSealedYet")))?;
    match report["head"].as_str() {
        Some(head) => output::line(&format!("head: {head}")),
        None => output::line("nothing was sealed so far"),
    }
}
