//! Clients who look, and compare what they see with the model: in the middle of everything, and when all is calm.
//!
//! In the middle only what cannot be otherwise is held against the program. A look is three questions one after the
//! other in one process, which nothing else comes between: how is the version, what are its bytes, how is it now.

use std::time::Duration;

use galerie_arm::{ArmError, VersionReference};
use galerie_control::{Caller, Content, Control, Expand, ListScope, RequestContext};
use serde_json::Value;
use tokio::{sync::watch, time::sleep};
use uuid::Uuid;

use crate::{
    client::{Client, read},
    image::Disk,
    model::{DEFINITIONS, Model, Version, definition_path},
    world::{REGIONS, World},
};

/// Between two looks.
const REST_MAX_MS: u64 = 5_000;

/// How often a reader tries again where all is well: bytes may have to be read from another copy.
const CALM_ATTEMPTS: u32 = 3;

/// A client who changes nothing.
pub(crate) struct Witness {
    client: Client,
    model: Model,
}

/// What a reader got.
#[derive(Debug)]
pub(crate) enum Seen {
    Read(Disk),
    /// It was opened, and could not be read.
    Unreadable(ArmError),
    /// It was not to be found there.
    NotThere(ArmError),
}

impl Witness {
    pub(crate) fn new(world: &World, model: &Model, number: u64) -> Self {
        Self { client: Client::new(world, format!("witness {number}"), 40 + number), model: model.clone() }
    }

    /// Looks at one thing after the other, until told to stop.
    pub(crate) async fn work(mut self, is_over: watch::Receiver<bool>) {
        while !*is_over.borrow() {
            match self.client.random.below(100) {
                0..60 => self.look_at_some_version().await,
                60..80 => self.look_for_latest().await,
                80..90 => self.look_as_a_stranger().await,
                _ => self.list().await,
            }
            sleep(Duration::from_millis(self.client.random.below(REST_MAX_MS))).await;
        }
    }

    /// What a reader gets in a region that is well, sooner or later.
    pub(crate) async fn see_calmly(&mut self, path: &str, region: usize) -> Seen {
        let mut attempts = 0;
        loop {
            let process = self.client.any_process().await;
            let (control, context) = (process.control.clone(), self.client.world.context());
            let id = self.client.world.id(path);
            let seen = process.call(async move { see(&control, &context, id.as_str(), region).await }).await;
            attempts += 1;
            match seen {
                Some(Seen::Unreadable(_)) | None if attempts < CALM_ATTEMPTS => sleep(Duration::from_secs(1)).await,
                Some(seen) => return seen,
                None => {}
            }
        }
    }

    /// Looks for the latest version of every definition in every region.
    pub(crate) async fn look_at_everything_latest(&mut self) {
        for definition in 0..DEFINITIONS {
            for region in 0..REGIONS.len() {
                self.latest_of(definition, region).await;
            }
        }
    }

    async fn look_at_some_version(&mut self) {
        let all = self.model.all();
        let Some((path, before)) = self.client.random.pick(&all).cloned() else { return };
        let region = self.client.random.index(REGIONS.len());
        let process = self.client.any_process().await;
        let (control, context, id) =
            (process.control.clone(), self.client.world.context(), self.client.world.id(&path));
        let looked = process.call(async move {
            let was = replica_state(&control, &context, &id, region).await;
            let seen = see(&control, &context, id.as_str(), region).await;
            let is = replica_state(&control, &context, &id, region).await;
            (was, seen, is)
        });
        let Some((was, seen, is)) = looked.await else { return };
        let name = format!("{path} in {} at {}", REGIONS[region], process.number);
        self.client.note(format_args!("sees {name}: {seen}"));
        if let Seen::Read(disk) = &seen
            && !self.model.is_content(&before, disk)
        {
            return self.broken("I3", &format!("{name} reads as other bytes"));
        }
        let is_as_it_was = self.model.get(&path).as_ref() == Some(&before) && before.is_certain();
        if !is_as_it_was {
            return;
        }
        let completed = |state: &Option<String>| state.as_deref() == Some("Completed");
        if let Seen::NotThere(error) = &seen
            && completed(&was)
            && completed(&is)
        {
            self.broken("I1", &format!("{name} is complete there and not found: {error}"));
        }
    }

    /// What is the latest of a definition in a region, if nothing changes meanwhile.
    async fn look_for_latest(&mut self) {
        let (definition, region) = (self.client.random.index(DEFINITIONS), self.client.random.index(REGIONS.len()));
        self.latest_of(definition, region).await;
    }

    async fn latest_of(&mut self, definition: usize, region: usize) {
        let process = self.client.any_process().await;
        let (control, world) = (process.control.clone(), self.client.world.clone());
        let versions = self.of_definition(definition);
        let looked = process.call(async move {
            let before = complete_in(&control, &world, &versions, region).await;
            let latest = latest(&control, &world, definition, region).await;
            let after = complete_in(&control, &world, &versions, region).await;
            (versions, before, latest, after)
        });
        let Some((versions, before, latest, after)) = looked.await else { return };
        let (Some(before), Ok(latest)) = (before, latest) else { return };
        let is_calm = Some(&before) == after.as_ref() && versions == self.of_definition(definition);
        if !is_calm || versions.iter().any(|(_, version)| !version.is_settled()) {
            return;
        }
        self.compare_latest(definition, region, &versions, &before, latest.as_deref());
    }

    /// The versions of a definition that may be there.
    fn of_definition(&self, definition: usize) -> Vec<(String, Version)> {
        let mut all = self.model.all();
        all.retain(|(_, version)| version.definition == definition && !version.is_gone());
        all
    }

    fn compare_latest(
        &self,
        definition: usize,
        region: usize,
        versions: &[(String, Version)],
        complete: &[String],
        found: Option<&str>,
    ) {
        let eligible = versions
            .iter()
            .filter(|(path, version)| self.model.may_be_latest(version, region) && complete.contains(path));
        let expected = eligible.max_by_key(|(_, version)| version.numbers).map(|(path, _)| path.as_str());
        let found = found.map(|id| id.to_lowercase());
        let expected = expected.map(|path| self.client.world.id(path).as_str().to_lowercase());
        if found != expected {
            let (definition, region) = (definition_path(definition), REGIONS[region]);
            self.broken("I2", &format!("latest of {definition} in {region} is {found:?} and should be {expected:?}"));
        }
    }

    /// Who has no right is told so, whatever there is.
    async fn look_as_a_stranger(&mut self) {
        let all = self.model.all();
        let path = match self.client.random.pick(&all) {
            Some((path, _)) if self.client.random.percent(70) => path.clone(),
            _ => "galleries/g/images/i0/versions/9.9.9".to_owned(),
        };
        let world = &self.client.world;
        let owner = world.owner().clone();
        let stranger = match self.client.random.percent(50) {
            _ if self.model.owner_is_a_stranger() => owner,
            true => Caller { administrator: false, principal: Uuid::from_u128(9), ..owner },
            false => Caller { tenant: Uuid::from_u128(8), ..owner },
        };
        let (context, id) = (world.context_of(stranger), world.id(&path));
        let region = self.client.random.index(REGIONS.len());
        let action = self.client.random.below(5);
        let process = self.client.any_process().await;
        let control = process.control.clone();
        let answer = process.call(async move {
            let expand = Expand::default();
            match action {
                0 => control.get(&context, &id, &expand).await.map(drop),
                1 => control.delete(&context, &id).await.map(drop),
                2 => control.put(&context, &id, serde_json::json!({ "location": REGIONS[region] })).await.map(drop),
                3 => {
                    let scope = ListScope::Group { group: group_of(&id), resource_type: None };
                    match control.list(&context, &scope, None).await {
                        // What one may not see is not listed.
                        Ok(page) if page.items.is_empty() => Err(ArmError::new(403, "Empty", "nothing is listed")),
                        listed => listed.map(drop),
                    }
                }
                _ => open(&control, &context, id.as_str(), region).await.map(drop),
            }
        });
        let Some(answer) = answer.await else { return };
        match answer {
            Err(error) if matches!(error.status, 403 | 503) => {}
            // A subscription of another tenant is not there for whoever asks.
            Err(error) if error.status == 404 && error.code == "SubscriptionNotFound" => {}
            Err(error) => self.broken("I4", &format!("a stranger is told {error} of {path} ({action})")),
            Ok(()) => self.broken("I4", &format!("a stranger may do {action} to {path}")),
        }
    }

    /// Nothing is listed that is gone, and nothing is left out that is there.
    async fn list(&mut self) {
        let definition = self.client.random.index(DEFINITIONS);
        let before = self.of_definition(definition);
        let parent = self.client.world.id(&definition_path(definition));
        let process = self.client.any_process().await;
        let (control, context) = (process.control.clone(), self.client.world.context());
        let listed = process.call(async move {
            let scope = ListScope::Children { parent, resource_type: galerie_arm::ResourceType::ImageVersion };
            control.list(&context, &scope, None).await
        });
        let Some(Ok(page)) = listed.await else { return };
        if before != self.of_definition(definition) || before.iter().any(|(_, version)| !version.is_settled()) {
            return;
        }
        let mut found: Vec<String> = page.items.iter().filter_map(|item| lower(&item.to_value()["id"])).collect();
        let mut expected: Vec<String> =
            before.iter().map(|(path, _)| self.client.world.id(path).as_str().to_lowercase()).collect();
        found.sort();
        expected.sort();
        if found != expected {
            self.broken("I6", &format!("the list has {found:?} and should have {expected:?}"));
        }
    }

    fn broken(&self, invariant: &str, how: &str) {
        self.client.world.verdict().break_with(invariant, how);
    }
}

fn lower(value: &Value) -> Option<String> {
    value.as_str().map(str::to_lowercase)
}

fn group_of(id: &galerie_arm::ResourceId) -> galerie_arm::ResourceId {
    let text = id.as_str();
    let end = text.find("/providers/").unwrap_or(text.len());
    text[..end].parse().expect("a group's id")
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read(disk) => write!(f, "{} chunks", disk.data.len()),
            Self::Unreadable(error) => write!(f, "unreadable: {}", error.message),
            Self::NotThere(error) => write!(f, "not there: {} {}", error.status, error.code),
        }
    }
}

async fn open(control: &Control, context: &RequestContext, id: &str, region: usize) -> Result<Content, ArmError> {
    let version = VersionReference::parse(id, "version")?;
    control.open_content(context, &version, Some(REGIONS[region]), None).await
}

/// What a reader of a version gets in a region.
async fn see(control: &Control, context: &RequestContext, id: &str, region: usize) -> Seen {
    match open(control, context, id, region).await {
        Err(error) if error.status >= 500 => Seen::Unreadable(error),
        Err(error) => Seen::NotThere(error),
        Ok(content) => match read(&content).await {
            Ok(disk) => Seen::Read(disk),
            Err(error) => Seen::Unreadable(error),
        },
    }
}

/// The state of a version's replica in a region; `None` when it has none.
async fn replica_state(
    control: &Control,
    context: &RequestContext,
    id: &galerie_arm::ResourceId,
    region: usize,
) -> Option<String> {
    let expand = Expand { replication_status: true, ..Expand::default() };
    let document = control.get(context, id, &expand).await.ok()?.document;
    replica_states(&document)[region].clone()
}

/// The states of a version's replicas, as its document tells.
pub(crate) fn replica_states(document: &Value) -> [Option<String>; REGIONS.len()] {
    let summary = document["properties"]["replicationStatus"]["summary"].as_array();
    REGIONS.map(|name| {
        let is_here = |entry: &&Value| lower(&entry["region"]).is_some_and(|shown| shown.replace(' ', "") == name);
        summary?.iter().find(is_here)?["state"].as_str().map(str::to_owned)
    })
}

/// Which of these versions are complete in a region; `None` when that cannot be found out now.
async fn complete_in(
    control: &Control,
    world: &World,
    versions: &[(String, Version)],
    region: usize,
) -> Option<Vec<String>> {
    let mut complete = Vec::new();
    for (path, _) in versions {
        let (context, id) = (world.context(), world.id(path));
        if replica_state(control, &context, &id, region).await.as_deref() == Some("Completed") {
            complete.push(path.clone());
        }
    }
    Some(complete)
}

/// The id of the latest version of a definition in a region; `Ok(None)` when there is none.
async fn latest(
    control: &Control,
    world: &World,
    definition: usize,
    region: usize,
) -> Result<Option<String>, ArmError> {
    let id = world.id(&definition_path(definition));
    match open(control, &world.context(), &format!("{}/versions/latest", id.as_str()), region).await {
        Ok(content) => Ok(Some(content.version_id().to_owned())),
        Err(error) if error.status == 404 => Ok(None),
        Err(error) => Err(error),
    }
}
