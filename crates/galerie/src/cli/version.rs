//! `galerie version`.

use std::sync::Arc;

use galerie_arm::{Location, VersionName};
use serde_json::{Value, json};

use super::{
    connection::{ConnectionArgs, GroupArgs},
    document::{at, items, moment, some_text, target_regions, text},
    failure::{Failure, Result},
    gallery::delete,
    output::{self, Format, OutputArgs},
    regions, retention, version_content, version_deleted,
};
use crate::client::{Client, DefinitionReference, VersionReference};

/// The parameter that makes a server say how far each region is.
const WITH_REPLICATION: [(&str, &str); 1] = [("$expand", "ReplicationStatus")];

/// List, show, delete, restore or pin image versions
#[derive(Debug, clap::Args)]
pub(crate) struct VersionArgs {
    #[command(subcommand)]
    command: VersionCommand,
}

#[derive(Debug, clap::Subcommand)]
enum VersionCommand {
    /// List an image definition's versions, newest first
    List {
        #[command(flatten)]
        definition: OneDefinition,
        /// Those that were deleted and can be restored, in place of those that are there
        #[arg(long)]
        deleted: bool,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Show a version and how far each region is
    Show {
        #[command(flatten)]
        version: OneVersionOrLatest,
        /// The region whose `latest` is meant [default: the image definition's own]
        #[arg(long, value_name = "REGION", add = super::names::regions())]
        region: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Delete a version
    ///
    /// In a gallery with a soft-delete policy it can be restored for as long as the policy says: see
    /// `galerie version list --deleted` and `galerie version restore`.
    Delete {
        #[command(flatten)]
        version: OneVersion,
        /// For good, whatever the gallery's policy is; also what was deleted before
        #[arg(long)]
        permanently: bool,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Bring back a version that was deleted in a gallery with a soft-delete policy
    Restore {
        #[command(flatten)]
        version: OneVersion,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Keep a version from every retention policy; people can delete it all the same
    Pin {
        #[command(flatten)]
        version: OneVersion,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Let retention policies delete a version again
    Unpin {
        #[command(flatten)]
        version: OneVersion,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Say which version `latest` means in a region, and why not the others
    ExplainLatest {
        #[command(flatten)]
        definition: OneDefinition,
        /// The region
        #[arg(long, value_name = "REGION", add = super::names::regions())]
        region: String,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
}

#[derive(Debug, clap::Args)]
struct OneDefinition {
    /// GALLERY/DEFINITION, or an ARM id
    #[arg(value_name = "GALLERY/DEFINITION", add = super::names::definitions())]
    definition: DefinitionReference,
    #[command(flatten)]
    group: GroupArgs,
}

impl OneDefinition {
    async fn path(&self, client: &Client) -> Result<String> {
        Ok(self.definition.resolve(client, self.group.resource_group.as_ref()).await?.to_string())
    }
}

#[derive(Debug, clap::Args)]
struct OneVersion {
    /// GALLERY/DEFINITION/VERSION, or an ARM id
    #[arg(value_name = "GALLERY/DEFINITION/VERSION", add = super::names::versions())]
    version: VersionReference,
    #[command(flatten)]
    group: GroupArgs,
}

impl OneVersion {
    async fn path(&self, client: &Client) -> Result<String> {
        Ok(self.version.resolve_named(client, self.group.resource_group.as_ref()).await?.to_string())
    }
}

#[derive(Debug, clap::Args)]
struct OneVersionOrLatest {
    /// GALLERY/DEFINITION/VERSION, where VERSION may be `latest`; or an ARM id
    #[arg(value_name = "GALLERY/DEFINITION/VERSION", add = super::names::versions_and_latest())]
    version: VersionReference,
    #[command(flatten)]
    group: GroupArgs,
}

impl OneVersionOrLatest {
    /// The version's id; `latest` is the one that it means in the region.
    async fn path(&self, client: &Arc<Client>, region: Option<&str>) -> Result<String> {
        if self.version.version.is_some() {
            return Ok(self.version.resolve_named(client, self.group.resource_group.as_ref()).await?.to_string());
        }
        let content = version_content::open(Arc::clone(client), &self.version, &self.group, region, None).await?;
        Ok(content.version_id().to_owned())
    }
}

pub(crate) async fn run(args: VersionArgs) -> Result<()> {
    match args.command {
        VersionCommand::List { definition, deleted: true, output, connection } => {
            let client = connection.client()?;
            version_deleted::list(&client, &definition.path(&client).await?, output).await
        }
        VersionCommand::List { definition, deleted: false, output, connection } => {
            let client = connection.client()?;
            list(&newest_first(&client, &definition).await?, output)
        }
        VersionCommand::Show { version, region, output, connection } => {
            let client = connection.client()?;
            let path = version.path(&client, region.as_deref()).await?;
            show(&client.get(&path, &WITH_REPLICATION).await?, output)
        }
        VersionCommand::Delete { version, permanently, yes, connection } => {
            let client = connection.client()?;
            let path = version.path(&client).await?;
            if permanently {
                return version_deleted::delete_for_good(&client, &path, yes).await;
            }
            delete(&client, "image version", &path, yes).await
        }
        VersionCommand::Restore { version, connection } => {
            let client = connection.client()?;
            version_deleted::restore(&client, &version.path(&client).await?).await
        }
        VersionCommand::Pin { version, connection } => {
            let client = connection.client()?;
            let path = version.path(&client).await?;
            client.put(&retention::path_of(&path), &json!({})).await?;
            output::note(&format!("Pinned image version {}: no retention policy deletes it.", name_of(&path)));
            Ok(())
        }
        VersionCommand::Unpin { version, connection } => {
            let client = connection.client()?;
            let path = version.path(&client).await?;
            client.delete(&retention::path_of(&path)).await?;
            output::note(&format!("Unpinned image version {}.", name_of(&path)));
            Ok(())
        }
        VersionCommand::ExplainLatest { definition, region, output, connection } => {
            explain_latest(&*connection.client()?, &definition, &region, output).await
        }
    }
}

async fn newest_first(client: &Client, definition: &OneDefinition) -> Result<Vec<Value>> {
    let path = definition.path(client).await?;
    let mut versions = client.list(&format!("{path}/versions")).await?;
    versions.sort_by_key(|version| std::cmp::Reverse(text(version, "name").parse::<VersionName>().ok()));
    Ok(versions)
}

fn list(versions: &[Value], output: OutputArgs) -> Result<()> {
    if output.output == Format::Json {
        return output::json(&Value::Array(versions.to_vec()));
    }
    // As far as one column can say it: regions that lack the highest have another.
    let latest = versions.iter().find(|version| !excluded(version) && succeeded(version));
    let row = |version: &Value| {
        vec![
            text(version, "name"),
            text(version, "properties.provisioningState"),
            text(version, "location"),
            target_regions(version),
            size(version).unwrap_or_default(),
            moment(version, "properties.publishingProfile.publishedDate"),
            match excluded(version) {
                true => "excluded".to_owned(),
                false if latest.is_some_and(|latest| std::ptr::eq(latest, version)) => "latest".to_owned(),
                false => String::new(),
            },
        ]
    };
    let header = ["VERSION", "STATE", "HOME", "TARGET REGIONS", "SIZE", "PUBLISHED", "LATEST"];
    output::table(&header, versions.iter().map(row).collect())
}

fn show(version: &Value, output: OutputArgs) -> Result<()> {
    if output.output == Format::Json {
        return output::json(version);
    }
    output::properties(vec![
        ("version", some_text(version, "name")),
        ("state", some_text(version, "properties.provisioningState")),
        ("home", some_text(version, "location")),
        ("size", size(version)),
        ("published", Some(moment(version, "properties.publishingProfile.publishedDate"))),
        ("end of life", some_text(version, "properties.publishingProfile.endOfLifeDate")),
        ("latest", excluded(version).then(|| "excluded".to_owned())),
        ("source", source(version)),
        ("tags", some_text(version, "tags").filter(|tags| tags != "{}")),
        ("id", some_text(version, "id")),
    ])?;
    let targets = items(version, "properties.publishingProfile.targetRegions");
    let rows = items(version, "properties.replicationStatus.summary").iter().map(|replica| {
        let region = text(replica, "region");
        let target = targets.iter().find(|target| same_region(&text(target, "name"), &region));
        let target = target.unwrap_or(&Value::Null);
        vec![
            region,
            text(target, "regionalReplicaCount"),
            text(target, "storageAccountType"),
            text(replica, "state"),
            format!("{} %", text(replica, "progress")),
            text(replica, "details"),
        ]
    });
    output::line("")?;
    output::table(&["REGION", "REPLICAS", "STORAGE", "STATE", "PROGRESS", "DETAILS"], rows.collect())
}

/// What `latest` has to say about one version.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    version: String,
    is_latest: bool,
    why: String,
}

/// Azure's rule: the highest version that is not excluded, neither at all nor in the region, and is there. A deleted one that
/// could come back is never meant.
async fn explain_latest(client: &Client, definition: &OneDefinition, region: &str, output: OutputArgs) -> Result<()> {
    let Some(location) = Location::normalise(region) else {
        return Err(Failure::new(format!("'{region}' is not a region's name")));
    };
    regions::check(client, [&location]).await?;
    let path = definition.path(client).await?;
    let mut versions = Vec::new();
    for version in client.list(&format!("{path}/versions")).await? {
        // One that was deleted since it was listed is none any more.
        if let Some(version) = client.find(&text(&version, "id"), &WITH_REPLICATION).await? {
            versions.push((text(&version, "name"), reason_against(&version, region)));
        }
    }
    // Who may read versions need not be allowed to see what was deleted; then nothing is said about it.
    for version in version_deleted::of(client, &path).await.unwrap_or_default() {
        versions.push((text(&version, "name"), Some("deleted; it can be restored".to_owned())));
    }
    let verdicts = verdicts(versions, region);
    let found = verdicts.iter().any(|verdict| verdict.is_latest);
    print_verdicts(verdicts, output)?;
    match found {
        true => Ok(()),
        false => Err(Failure::new(format!("no version is `latest` in {region}")).not_found()),
    }
}

/// Which of the versions, each with what is said against it, `latest` is, and why not the others: by number, the highest
/// first.
fn verdicts(mut versions: Vec<(String, Option<String>)>, region: &str) -> Vec<Verdict> {
    versions.sort_by_key(|(name, _)| std::cmp::Reverse(name.parse::<VersionName>().ok()));
    let mut latest: Option<String> = None;
    let verdict = |(version, reason): (String, Option<String>)| match (reason, &latest) {
        (Some(why), _) => Verdict { version, is_latest: false, why },
        (None, Some(latest)) => Verdict { version, is_latest: false, why: format!("lower than {latest}") },
        (None, None) => {
            latest = Some(version.clone());
            let why = format!("latest in {region}: the highest that is complete there and not excluded");
            Verdict { version, is_latest: true, why }
        }
    };
    versions.into_iter().map(verdict).collect()
}

fn print_verdicts(verdicts: Vec<Verdict>, output: OutputArgs) -> Result<()> {
    match output.output {
        Format::Json => {
            let documents = verdicts.into_iter().map(
                |Verdict { version, is_latest, why }| json!({ "version": version, "isLatest": is_latest, "why": why }),
            );
            output::json(&documents.collect())
        }
        Format::Table => {
            let rows = verdicts.into_iter().map(|verdict| vec![verdict.version, verdict.why]);
            output::table(&["VERSION", "WHY"], rows.collect())
        }
    }
}

fn reason_against(version: &Value, region: &str) -> Option<String> {
    if excluded(version) {
        return Some("excluded from latest".to_owned());
    }
    let targets = items(version, "properties.publishingProfile.targetRegions");
    let Some(target) = targets.iter().find(|target| same_region(&text(target, "name"), region)) else {
        return Some("the region is no target region".to_owned());
    };
    if at(target, "excludeFromLatest").as_bool() == Some(true) {
        return Some("excluded from latest in this region".to_owned());
    }
    let replicas = items(version, "properties.replicationStatus.summary");
    let replica = replicas.iter().find(|replica| same_region(&text(replica, "region"), region));
    match replica.map(|replica| text(replica, "state")) {
        Some(state) if state == "Completed" => None,
        Some(state) => Some(format!("its replica is {state}")),
        None => Some("it has no replica there".to_owned()),
    }
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn same_region(left: &str, right: &str) -> bool {
    Location::normalise(left).is_some_and(|left| Some(left) == Location::normalise(right))
}

fn excluded(version: &Value) -> bool {
    at(version, "properties.publishingProfile.excludeFromLatest").as_bool() == Some(true)
}

fn succeeded(version: &Value) -> bool {
    text(version, "properties.provisioningState") == "Succeeded"
}

fn size(version: &Value) -> Option<String> {
    let gib = at(version, "properties.storageProfile.osDiskImage.sizeInGB").as_u64()?;
    Some(format!("{gib} GiB"))
}

fn source(version: &Value) -> Option<String> {
    let profile = at(version, "properties.storageProfile");
    ["source.id", "osDiskImage.source.id"].into_iter().find_map(|path| some_text(profile, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(version: &Value, expected: Option<&str>) {
        assert_eq!(reason_against(version, "West Europe").as_deref(), expected, "{version}");
    }

    #[test]
    fn the_highest_number_against_which_nothing_is_said_is_latest() {
        let version = |name: &str, against: Option<&str>| (name.to_owned(), against.map(str::to_owned));
        let given = vec![
            version("9.9.9", Some("excluded from latest")),
            version("2.0.0", None),
            version("10.0.0", Some("its replica is Replicating")),
            version("1.10.0", None),
            version("1.9.0", None),
        ];
        let found = verdicts(given, "eastus");
        let found: Vec<_> = found.iter().map(|found| (&*found.version, found.is_latest, &*found.why)).collect();
        let latest = "latest in eastus: the highest that is complete there and not excluded";
        assert_eq!(
            found,
            [
                ("10.0.0", false, "its replica is Replicating"),
                ("9.9.9", false, "excluded from latest"),
                ("2.0.0", true, latest),
                ("1.10.0", false, "lower than 2.0.0"),
                ("1.9.0", false, "lower than 2.0.0"),
            ]
        );
        assert!(!verdicts(vec![version("1.0.0", Some("x"))], "eastus")[0].is_latest);
    }

    #[test]
    fn latest_is_explained_as_it_is_chosen() {
        let version = |excluded: bool, region: &str, region_excluded: bool, state: &str| {
            json!({"properties": {
                "publishingProfile": {
                    "excludeFromLatest": excluded,
                    "targetRegions": [{"name": region, "excludeFromLatest": region_excluded}],
                },
                "replicationStatus": {"summary": [{"region": region, "state": state}]},
            }})
        };
        check(&version(false, "westeurope", false, "Completed"), None);
        check(&version(true, "West Europe", false, "Completed"), Some("excluded from latest"));
        check(&version(false, "eastus", false, "Completed"), Some("the region is no target region"));
        check(&version(false, "WestEurope", true, "Completed"), Some("excluded from latest in this region"));
        check(&version(false, "West Europe", false, "Replicating"), Some("its replica is Replicating"));
    }
}
