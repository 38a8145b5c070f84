//! Deleting a gallery or an image definition with everything in it: shown first, then deleted from the leaves up.
//!
//! What would stop the deletion halfway is looked for before anything is deleted. Versions go for good: one that could come
//! back would keep its definition.

use serde_json::{Value, json};

use super::{
    document::{at, moment, text},
    failure::{Failure, Result},
    output::{self, Format, OutputArgs},
    version_deleted,
};
use crate::client::Client;

/// How a deletion goes below.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CascadeArgs {
    /// Delete everything in it, too: show what that is, ask, and delete versions for good
    #[arg(long)]
    cascade: bool,
    /// Only show what --cascade would delete
    #[arg(long, requires = "cascade")]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
}

impl CascadeArgs {
    pub(crate) const fn is_asked_for(&self) -> bool {
        self.cascade
    }
}

/// What something is that is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Version,
    /// Put away by its gallery's policy before.
    DeletedVersion,
    Definition,
    ApplicationVersion,
    Application,
    ScriptVersion,
    Script,
    ProfileVersion,
    Profile,
    Gallery,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Version => "image version",
            Self::DeletedVersion => "deleted image version",
            Self::Definition => "image definition",
            Self::ApplicationVersion => "application version",
            Self::Application => "application",
            Self::ScriptVersion => "script version",
            Self::Script => "script",
            Self::ProfileVersion => "access control profile version",
            Self::Profile => "access control profile",
            Self::Gallery => "gallery",
        }
    }

    /// Whether its gallery's policy would keep it.
    const fn is_image_version(self) -> bool {
        matches!(self, Self::Version | Self::DeletedVersion)
    }
}

/// What is deleted, in this order.
struct Doomed {
    kind: Kind,
    path: String,
    /// Why it cannot be deleted.
    obstacle: Option<String>,
}

/// Deletes a gallery and everything in it.
///
/// # Errors
/// What cannot be deleted, before anything is; what the server says.
pub(crate) async fn delete_gallery(client: &Client, path: &str, args: &CascadeArgs, yes: bool) -> Result<()> {
    let gallery = client.get(path, &[]).await?;
    let mut doomed = Vec::new();
    for definition in client.list(&format!("{path}/images")).await? {
        add_definition(client, &text(&definition, "id"), &mut doomed).await?;
    }
    for (collection, kind, version_kind) in [
        ("applications", Kind::Application, Kind::ApplicationVersion),
        ("scripts", Kind::Script, Kind::ScriptVersion),
        ("inVMAccessControlProfiles", Kind::Profile, Kind::ProfileVersion),
    ] {
        for parent in client.list(&format!("{path}/{collection}")).await? {
            let parent = text(&parent, "id");
            for version in client.list(&format!("{parent}/versions")).await? {
                doomed.push(Doomed { kind: version_kind, path: text(&version, "id"), obstacle: None });
            }
            doomed.push(Doomed { kind, path: parent, obstacle: None });
        }
    }
    doomed.push(Doomed { kind: Kind::Gallery, path: path.to_owned(), obstacle: obstacle_of_gallery(&gallery) });
    delete(client, doomed, args, yes).await
}

/// Deletes an image definition and its versions.
///
/// # Errors
/// As [`delete_gallery`].
pub(crate) async fn delete_definition(client: &Client, path: &str, args: &CascadeArgs, yes: bool) -> Result<()> {
    client.get(path, &[]).await?;
    let mut doomed = Vec::new();
    add_definition(client, path, &mut doomed).await?;
    delete(client, doomed, args, yes).await
}

async fn add_definition(client: &Client, path: &str, doomed: &mut Vec<Doomed>) -> Result<()> {
    for version in client.list(&format!("{path}/versions")).await? {
        let obstacle = obstacle_of_version(&version);
        doomed.push(Doomed { kind: Kind::Version, path: text(&version, "id"), obstacle });
    }
    for version in version_deleted::of(client, path).await? {
        let path = text(&version, "properties.resourceArmId");
        doomed.push(Doomed { kind: Kind::DeletedVersion, path, obstacle: None });
    }
    doomed.push(Doomed { kind: Kind::Definition, path: path.to_owned(), obstacle: None });
    Ok(())
}

/// The same rule as the server's, which has the last word.
fn obstacle_of_version(version: &Value) -> Option<String> {
    let is_blocked = at(version, "properties.safetyProfile.blockDeletionBeforeEndOfLife").as_bool() == Some(true);
    let end = "properties.publishingProfile.endOfLifeDate";
    let is_over = galerie_arm::timestamp::parse_ms(&text(version, end)).is_none_or(|end_ms| end_ms <= now_ms());
    (is_blocked && !is_over).then(|| format!("blocked until its end of life, {}", moment(version, end)))
}

fn now_ms() -> i64 {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}

fn obstacle_of_gallery(gallery: &Value) -> Option<String> {
    let enabled = at(gallery, "properties.sharingProfile.communityGalleryInfo.communityGalleryEnabled");
    (enabled.as_bool() == Some(true)).then(|| "published to the community; `az sig share reset` first".to_owned())
}

async fn delete(client: &Client, doomed: Vec<Doomed>, args: &CascadeArgs, yes: bool) -> Result<()> {
    show(&doomed, args.output.output)?;
    let obstacles = doomed.iter().filter(|one| one.obstacle.is_some()).count();
    if obstacles > 0 {
        let message = format!("{obstacles} of {} cannot be deleted; nothing was deleted", doomed.len());
        return Err(Failure::new(message));
    }
    if args.dry_run {
        return Ok(());
    }
    output::confirm(&format!("Delete all {} for good?", doomed.len()), yes)?;
    for one in &doomed {
        let name = name_of(&one.path);
        let accepted = if one.kind.is_image_version() {
            client.delete_for_good(&one.path).await?
        } else {
            client.delete(&one.path).await?
        };
        client.wait(&format!("delete {name}"), accepted).await?;
        output::note(&format!("Deleted {name}."));
    }
    Ok(())
}

fn show(doomed: &[Doomed], format: Format) -> Result<()> {
    let rows: Vec<Value> = doomed
        .iter()
        .map(|one| json!({ "kind": one.kind.as_str(), "id": one.path, "obstacle": one.obstacle }))
        .collect();
    output::list(format, rows, &["KIND", "NAME", "OBSTACLE"], |row| {
        vec![text(row, "kind"), name_of(&text(row, "id")), text(row, "obstacle")]
    })
}

/// `GALLERY/DEFINITION/VERSION`, as people write it.
fn name_of(path: &str) -> String {
    let below = path.rsplit_once("/galleries/").map_or(path, |(_, below)| below);
    below.split('/').step_by(2).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_people_write_them() {
        let path = "/subscriptions/s/resourceGroups/r/providers/Microsoft.Compute/galleries/g/images/i/versions/1.0.0";
        assert_eq!(name_of(path), "g/i/1.0.0");
    }

    #[test]
    fn what_would_stop_it_halfway_is_found_first() {
        let version = |blocked: bool, end: &str| {
            json!({ "properties": { "safetyProfile": { "blockDeletionBeforeEndOfLife": blocked },
                "publishingProfile": { "endOfLifeDate": end } } })
        };
        assert!(obstacle_of_version(&version(true, "9999-01-01")).is_some());
        for fine in [version(true, "2001-01-01"), version(false, "9999-01-01"), json!({ "properties": {} })] {
            assert_eq!(obstacle_of_version(&fine), None, "{fine}");
        }
        let published = json!({ "properties": { "sharingProfile": { "communityGalleryInfo":
            { "communityGalleryEnabled": true } } } });
        assert!(obstacle_of_gallery(&published).is_some());
        assert_eq!(obstacle_of_gallery(&json!({})), None);
    }
}
