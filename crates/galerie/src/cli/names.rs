//! Names that a shell completes from what is in the gallery: galleries, definitions, applications, versions, resource groups, regions;
//! and from the tenant's directory: users, groups, service principals.
//!
//! The server is asked as the command itself would ask it, with the connection options that are on the line already. Whatever goes
//! wrong, or takes longer than a second, completes nothing and says nothing: a shell waits for this at a key press.

use std::{
    ffi::{OsStr, OsString},
    sync::Arc,
    time::Duration,
};

use clap::{Arg, CommandFactory, Parser};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use serde_json::Value;

use super::{connection::ConnectionArgs, directory, document::text};
use crate::client::Client;

/// How long a key press waits at most.
const PATIENCE: Duration = Duration::from_secs(1);
/// The version that has another number in time.
const LATEST: &str = "latest";
/// Names that a shell is shown at most.
const MOST_NAMES: usize = 500;

/// The connection options among the words of a line; the rest of it is not this module's business.
#[derive(Debug, Parser)]
#[command(ignore_errors = true, disable_help_flag = true)]
struct Line {
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Completes a gallery.
pub(crate) fn galleries() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| complete(typed, "images", 1))
}

/// Completes GALLERY/DEFINITION.
pub(crate) fn definitions() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| complete(typed, "images", 2))
}

/// Completes GALLERY/DEFINITION/VERSION.
pub(crate) fn versions() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| complete(typed, "images", 3))
}

/// The same, where `latest` is one of them.
pub(crate) fn versions_and_latest() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let mut found = complete(typed, "images", 3);
        let typed = typed.to_string_lossy();
        if let Some((definition, version)) = typed.rsplit_once('/')
            && definition.contains('/')
            && LATEST.starts_with(&version.to_lowercase())
        {
            found.push(CompletionCandidate::new(format!("{definition}/{LATEST}")));
        }
        found
    })
}

/// Completes GALLERY/APPLICATION.
pub(crate) fn applications() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| complete(typed, "applications", 2))
}

/// Completes GALLERY/APPLICATION/VERSION.
pub(crate) fn application_versions() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| complete(typed, "applications", 3))
}

/// Completes a user, a group or a service principal, as the command on the line is about the ones or the others.
pub(crate) fn directory_objects() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let command = Line::split(std::env::args_os()).and_then(|(_, rest)| rest.into_iter().next());
        let collections: &[&str] = match command.as_ref().and_then(|word| word.to_str()) {
            Some("user") => &["users"],
            Some("group") => &["groups"],
            Some("sp") => &["servicePrincipals"],
            _ => &[],
        };
        complete_objects(typed, collections)
    })
}

/// Completes whoever can be a member of a group.
pub(crate) fn members() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| complete_objects(typed, &["users", "groups", "servicePrincipals"]))
}

fn complete_objects(typed: &OsStr, collections: &[&str]) -> Vec<CompletionCandidate> {
    let of_directory = |connection: ConnectionArgs| Client::of_directory(connection.profile().ok()?).ok();
    ask_by(of_directory, typed, async |client| {
        let mut names = Vec::new();
        for collection in collections {
            let listed = client.list(&directory::path(collection)).await?;
            // What an object is called may be anything that somebody else chose.
            names.extend(listed.iter().map(|object| {
                let name = directory::name(object);
                if is_plain(&name) { name } else { text(object, "id") }
            }));
        }
        Ok(names)
    })
}

/// Completes a resource group.
pub(crate) fn groups() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| ask(typed, async |client| names(&client, "resourcegroups").await))
}

/// Completes a region.
pub(crate) fn regions() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| ask(typed, async |client| names(&client, "locations").await))
}

/// Completes the part of `a/b/c` that is being typed, of at most `depth` parts; a part that is not the last ends in a slash.
fn complete(typed: &OsStr, children: &str, depth: usize) -> Vec<CompletionCandidate> {
    let Some(text) = typed.to_str() else { return Vec::new() };
    let parts: Vec<String> = text.split('/').map(str::to_owned).collect();
    if parts.len() > depth {
        return Vec::new();
    }
    let end = if parts.len() < depth { "/" } else { "" };
    ask(typed, async move |client| {
        let before = &parts[..parts.len() - 1];
        let found = below(&client, before, children).await?;
        let head: String = before.iter().map(|part| format!("{part}/")).collect();
        Ok(found.into_iter().map(|name| format!("{head}{name}{end}")).collect())
    })
}

/// The names of what is in a gallery, or of the versions of that; of all galleries, without one. `children` says in which of a gallery's
/// collections.
async fn below(client: &Client, parents: &[String], children: &str) -> crate::client::Result<Vec<String>> {
    let galleries =
        client.list(&format!("{}/providers/Microsoft.Compute/galleries", client.subscription_path())).await?;
    let [gallery, rest @ ..] = parents else { return Ok(galleries.iter().map(|found| text(found, "name")).collect()) };
    let wanted = |found: &&Value| text(found, "name").eq_ignore_ascii_case(gallery);
    let Some(id) = galleries.iter().find(wanted).map(|found| text(found, "id")) else { return Ok(Vec::new()) };
    let listed = match rest {
        [] => client.list(&format!("{id}/{children}")).await?,
        [child, ..] => client.list(&format!("{id}/{children}/{child}/versions")).await?,
    };
    Ok(listed.iter().map(|found| text(found, "name")).collect())
}

async fn names(client: &Client, collection: &str) -> crate::client::Result<Vec<String>> {
    let listed = client.list(&format!("{}/{collection}", client.subscription_path())).await?;
    Ok(listed.iter().map(|found| text(found, "name")).collect())
}

/// What the subscription's server answers in time and begins as what is typed.
fn ask<F>(typed: &OsStr, question: F) -> Vec<CompletionCandidate>
where
    F: AsyncFnOnce(Arc<Client>) -> crate::client::Result<Vec<String>>,
{
    ask_by(|connection| connection.client().ok(), typed, question)
}

/// The same of another client.
fn ask_by<C, F>(open: impl FnOnce(ConnectionArgs) -> Option<C>, typed: &OsStr, question: F) -> Vec<CompletionCandidate>
where
    F: AsyncFnOnce(C) -> crate::client::Result<Vec<String>>,
{
    let Some(typed) = typed.to_str() else { return Vec::new() };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return Vec::new() };
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let found = runtime.block_on(async {
        let answer = async {
            let connection = Line::of(std::env::args_os())?.connection;
            // Pressing a key must not send a secret to whatever server the directory's files name.
            if connection.sends_a_secret_to_whoever_is_here() {
                return None;
            }
            let client = open(connection)?;
            question(client).await.ok()
        };
        tokio::time::timeout(PATIENCE, answer).await.ok().flatten()
    });
    runtime.shutdown_background();
    let folded = typed.to_lowercase();
    let fits = |name: &String| name.to_lowercase().starts_with(&folded) && is_plain(name);
    found.unwrap_or_default().into_iter().filter(fits).take(MOST_NAMES).map(CompletionCandidate::new).collect()
}

/// Whether a shell takes a word for what it is. bash inserts a completion as it stands, and then runs what it says.
pub(crate) fn is_plain(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|first| first.is_alphanumeric() || first == '_')
        && chars.all(|char| char.is_alphanumeric() || "@._-/#".contains(char))
}

impl Line {
    /// The words of the line that is being completed stand behind a `--`. Of them only connection options and their values are parsed:
    /// an unknown word would end the parsing.
    fn of(arguments: impl Iterator<Item = OsString>) -> Option<Self> {
        Self::try_parse_from(Self::split(arguments)?.0).ok()
    }

    /// The program's name with the connection options and their values, and the words that are no options, the command first.
    fn split(arguments: impl Iterator<Item = OsString>) -> Option<(Vec<OsString>, Vec<OsString>)> {
        let mut words = arguments.skip_while(|word| word != "--").skip(1);
        let command = Self::command();
        let options: Vec<&str> = command.get_arguments().filter_map(Arg::get_long).collect();
        let (mut kept, mut rest) = (vec![words.next()?], Vec::new());
        while let Some(word) = words.next() {
            let text = word.to_string_lossy().into_owned();
            let Some(option) = text.strip_prefix("--") else {
                rest.push(word);
                continue;
            };
            let (name, has_value) = option.split_once('=').map_or((option, false), |(name, _)| (name, true));
            if options.contains(&name) {
                kept.push(word);
                kept.extend((!has_value).then(|| words.next()).flatten());
            }
        }
        Some((kept, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_options_are_found_on_any_line() {
        let words = ["galerie", "--", "galerie", "--data-dir", "elsewhere", "gallery", "show", "-o", "json", "my"];
        let found = Line::of(words.into_iter().map(Into::into));
        assert_eq!(found.and_then(|line| line.connection.data_dir()), Some("elsewhere".into()));
        let (_, rest) = Line::split(words.into_iter().map(Into::into)).unwrap();
        assert_eq!(rest.first(), Some(&"gallery".into()));
        for words in [vec!["galerie"], vec!["galerie", "--", "galerie", "--data-dir"]] {
            let _ = Line::of(words.into_iter().map(Into::into));
        }
    }

    #[test]
    fn what_a_shell_would_run_or_take_apart_is_not_plain() {
        for name in ["myGallery/", "1.0.0", "grace@galerie.internal", "a_b#EXT#@x", "Müller"] {
            assert!(is_plain(name), "{name}");
        }
        for name in ["", "-x", "~root", "#x", "My App", "o'brien", "a`id`", "a;id", "$(id)", "a\nb", "a*", "a\\b"] {
            assert!(!is_plain(name), "{name}");
        }
    }
}
