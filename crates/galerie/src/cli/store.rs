//! `galerie store`: looking after the regions' stores, through the running server or, with `--offline`, without one.

mod report;

use galerie_control::RequestContext;
use serde_json::{Map, Value, json};

use super::{
    connection::{ConnectionArgs, DEFAULT_DATA_DIR},
    document::text,
    failure::{Failure, Result},
    offline::OfflineArgs,
    output::{self, Format, OutputArgs},
};
use crate::{client::Client, server::Gallery};

/// Look after the regions' stores
///
/// Each command asks the running server. With --offline it takes the directory's lock and does the work itself.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  galerie store stats
  galerie store verify --region westeurope
  galerie store verify --offline --data-dir /srv/galerie       while the server is stopped
  galerie store inspect 7b0c... --region eastus                a pack, or an image by its manifest's id")]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, clap::Subcommand)]
enum StoreCommand {
    /// Read everything again and check it against its hashes
    Verify(CommonArgs),
    /// Collect garbage now, not only every hour
    Collect(CommonArgs),
    /// Say how much is stored
    Stats(CommonArgs),
    /// Look into a pack, or into an image by its manifest's id
    Inspect {
        /// The pack's name, or the manifest's id (64 hexadecimal digits)
        name: String,
        #[command(flatten)]
        common: CommonArgs,
    },
}

#[derive(Debug, clap::Args)]
struct CommonArgs {
    /// The region [default: all]
    #[arg(long, value_name = "REGION", add = super::names::regions())]
    region: Option<String>,
    #[command(flatten)]
    offline: OfflineArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// What is asked of a store.
enum Action {
    Verify,
    Collect,
    Stats,
    Inspect(String),
}

pub(crate) async fn run(args: StoreArgs) -> Result<()> {
    let (action, common) = match args.command {
        StoreCommand::Verify(common) => (Action::Verify, common),
        StoreCommand::Collect(common) => (Action::Collect, common),
        StoreCommand::Stats(common) => (Action::Stats, common),
        StoreCommand::Inspect { name, common } => (Action::Inspect(name), common),
    };
    let format = common.output.output;
    let Answers { reports, failures } =
        if common.offline.offline { ask_stores(&action, common).await? } else { ask_server(&action, common).await? };
    show(&action, format, &reports, &failures)?;
    let damaged = reports.iter().find(|(_, report)| matches!(action, Action::Verify) && !is_sound(report));
    // Damage is worse than a region that says nothing.
    let mut failures = failures.into_iter().map(|(_, failure)| failure);
    let failure = match damaged {
        Some((region, report)) => {
            Some(Failure::new(format!("the store of {region} is damaged")).advise(advice(report)))
        }
        None => failures.next(),
    };
    for failure in failures {
        output::note(&failure.to_string());
    }
    failure.map_or(Ok(()), Err)
}

/// What the regions say. One that is away does not hide what the others have to say.
#[derive(Default)]
struct Answers {
    reports: Vec<(String, Value)>,
    /// Of the regions that have none.
    failures: Vec<(String, Failure)>,
}

impl Answers {
    fn add(&mut self, action: &Action, region: String, report: Result<Value>) {
        match report {
            Ok(report) => self.reports.push((region, report)),
            // A pack or an image is in some regions only; the others say so, and that is fine.
            Err(failure) if matches!(action, Action::Inspect(_)) && failure.is_not_found() => {}
            Err(failure) => self.failures.push((region, failure)),
        }
    }

    /// # Errors
    /// When there is nothing to show.
    fn check(self, action: &Action) -> Result<Self> {
        match action {
            Action::Inspect(name) if self.reports.is_empty() && self.failures.is_empty() => {
                Err(Failure::new(format!("no region has {name}")))
            }
            _ => Ok(self),
        }
    }
}

/// Each region's answer, through the server.
async fn ask_server(action: &Action, common: CommonArgs) -> Result<Answers> {
    let client = Client::patient(common.connection.profile()?)?;
    let regions = match common.region {
        Some(region) => vec![region],
        None => {
            let locations = client.list(&format!("{}/locations", client.subscription_path())).await?;
            locations.iter().map(|location| text(location, "name")).collect()
        }
    };
    let mut answers = Answers::default();
    for region in regions {
        let (verb, query) = match action {
            Action::Verify => ("verify", None),
            Action::Collect => ("collect", None),
            Action::Stats => ("stats", None),
            Action::Inspect(name) => ("inspect", Some(("name", name.as_str()))),
        };
        let report = client.call(&format!("/galerie/store/{region}/{verb}"), query.as_slice()).await;
        answers.add(action, region, report.map_err(Failure::from));
    }
    answers.check(action)
}

/// Each region's answer, from the stores themselves.
async fn ask_stores(action: &Action, common: CommonArgs) -> Result<Answers> {
    let data_dir = common.connection.data_dir().unwrap_or_else(|| DEFAULT_DATA_DIR.into());
    let offline = common.offline.open(&data_dir).await?;
    let gallery = &offline.gallery;
    let regions = common.region.map_or_else(|| gallery.region_names().to_vec(), |region| vec![region]);
    let mut answers = Answers::default();
    for region in regions {
        let report = ask_store(gallery, &offline.owner, action, &region).await;
        answers.add(action, region, report);
    }
    gallery.control.shutdown().await;
    answers.check(action)
}

async fn ask_store(gallery: &Gallery, context: &RequestContext, action: &Action, region: &str) -> Result<Value> {
    let control = &gallery.control;
    let report = match action {
        Action::Verify => control.store_verify(context, region).await,
        Action::Collect => control.store_collect_alone(context, region).await,
        Action::Stats => control.store_stats(context, region).await,
        Action::Inspect(name) => control.store_inspect(context, region, name).await,
    };
    report.map_err(|error| crate::client::Error::from(error).into())
}

fn show(action: &Action, format: Format, reports: &[(String, Value)], failures: &[(String, Failure)]) -> Result<()> {
    if format == Format::Json {
        let reports = reports.iter().map(|(region, report)| json!({ "region": region, "report": report }));
        let failures =
            failures.iter().map(|(region, failure)| json!({ "region": region, "error": failure.to_string() }));
        return output::json(&Value::Array(reports.chain(failures).collect()));
    }
    for (region, report) in reports {
        output::line(region)?;
        let lines = match action {
            Action::Stats => report::stats(report),
            Action::Collect => report::collection(report),
            Action::Verify => report::verification(report),
            Action::Inspect(_) => Vec::new(),
        };
        for line in &lines {
            output::line(&format!("  {line}"))?;
        }
        if !lines.is_empty() {
            continue;
        }
        let mut rows = Vec::new();
        flatten("  ", report, &mut rows);
        output::properties(rows.iter().map(|(name, value)| (name.as_str(), Some(value.clone()))).collect())?;
    }
    Ok(())
}

/// Names and values, lists one line an item.
fn flatten(prefix: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    let empty = Map::new();
    for (name, value) in value.as_object().unwrap_or(&empty) {
        let label = format!("{prefix}{name}");
        match value {
            Value::Object(_) => flatten(&format!("{label}."), value, rows),
            Value::Array(list) => {
                rows.push((label, list.len().to_string()));
                rows.extend(list.iter().map(|item| (String::new(), item.to_string())));
            }
            Value::Number(number) if name.ends_with("Bytes") => {
                rows.push((label, number.as_u64().map_or_else(|| number.to_string(), output::size)));
            }
            Value::String(text) => rows.push((label, text.clone())),
            other => rows.push((label, other.to_string())),
        }
    }
}

/// What to do about a damaged store.
fn advice(report: &Value) -> String {
    let hurt = report.get("hurtResources").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let lost = hurt.iter().filter(|hurt| hurt.get("healing").and_then(Value::as_bool) == Some(false));
    let lost: Vec<String> = lost.map(|hurt| text(hurt, "id")).collect();
    match (hurt.is_empty(), lost.is_empty()) {
        (true, _) => "No image lacks anything for it.".to_owned(),
        (_, true) => "Every image that needs what is damaged is being copied from another region.".to_owned(),
        _ => {
            format!("No other region can heal {}; importing or publishing the same bytes again does.", lost.join(", "))
        }
    }
}

fn is_sound(report: &Value) -> bool {
    report.get("sound").and_then(Value::as_bool) != Some(false)
}
