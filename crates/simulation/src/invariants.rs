//! What is true when all faults are over: everything that was begun ends, everything that was acknowledged is there, what
//! is counted is what there is, and what was deleted is gone to the last byte.

use std::{collections::BTreeSet, time::Duration};

use galerie_store::backend::{Backend, LIST_LIMIT_MAX, Object};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    client::{Answer, Client},
    model::{DEFINITIONS, Model, Version, definition_path},
    witness::{Seen, Witness, replica_states},
    world::{REGIONS, World},
};

/// How long everything that was begun may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(2 * 3600);
/// How long damage may take to be found and healed: two whole readings of a store, and the copies after them. A chore of a process
/// that has just been stopped may come before.
const HEALS_WITHIN: Duration = Duration::from_secs(6 * 60);
/// How long a process may take to remove an upload from its folder: two looks, a minute apart, and what came before.
const TIDIES_WITHIN: Duration = Duration::from_secs(3 * 60);
/// Whole readings after which damage counts as found: what the first one had healed is whole in the second.
const READINGS: u32 = 2;
/// How long what is deleted may take to be gone: a few collections, an hour's pins and everybody's grace.
const GONE_WITHIN: Duration = Duration::from_secs(4 * 3600);
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(20);

/// Judges a world after the faults.
pub(crate) struct Judge {
    world: World,
    model: Model,
    /// The region whose bytes may have rotted.
    weak: Option<usize>,
}

impl Judge {
    pub(crate) fn new(world: &World, model: &Model, weak: Option<usize>) -> Self {
        Self { world: world.clone(), model: model.clone(), weak }
    }

    fn client(&self) -> Client {
        Client::new(&self.world, "judge".to_owned(), 60)
    }

    /// Everything that was begun ends, and well: every version is complete wherever it is wanted.
    pub(crate) async fn settle(&self) {
        let mut client = self.client();
        let until = Instant::now() + ENDS_WITHIN;
        loop {
            let mut unfinished = Vec::new();
            for (path, version) in self.model.certain() {
                match client.get(&path).await {
                    Ok(document) => unfinished.extend(self.unfinished(&path, &version, &document)),
                    Err(refusal) => return self.broken("I1", format_args!("{path} is not there: {refusal}")),
                }
            }
            if unfinished.is_empty() {
                return self.world.journal().note("everything has ended");
            }
            if Instant::now() >= until {
                return self.broken("liveness", format_args!("after {ENDS_WITHIN:?} without faults: {unfinished:?}"));
            }
            sleep(PAUSE).await;
        }
    }

    /// Where a version is not as it is wanted.
    fn unfinished(&self, path: &str, version: &Version, document: &Value) -> Vec<String> {
        let states = replica_states(document);
        let complete = |region: usize| states[region].as_deref() == Some("Completed");
        // What is only where bytes rot may be lost.
        let is_safe = (0..REGIONS.len()).any(|region| Some(region) != self.weak && complete(region));
        if self.weak.is_some() && !is_safe {
            return Vec::new();
        }
        let mut unfinished = Vec::new();
        for (region, target) in version.targets.iter().enumerate() {
            match (target, &states[region]) {
                (Some(_), Some(state)) if state == "Completed" => {}
                (None, None) => {}
                (_, state) => unfinished.push(format!("{path} in {}: {state:?}", REGIONS[region])),
            }
        }
        let provisioning = document["properties"]["provisioningState"].as_str().unwrap_or_default();
        if provisioning != "Succeeded" {
            unfinished.push(format!("{path} is {provisioning}"));
        }
        unfinished
    }

    /// Every version reads as it was made, `latest` is right, and every count is a recount.
    pub(crate) async fn check_everything(&self) {
        if self.world.verdict().get().is_some() {
            return;
        }
        // From here on one process does everything: what the others would find to do again and again takes long.
        let mut running = self.world.running().into_iter().map(|process| process.number);
        let last = running.next();
        self.await_others_tidied(last).await;
        for number in running {
            self.world.stop(number).await;
        }
        if let Some(weak) = self.weak {
            self.await_readings(weak).await;
            // Healing is copying.
            self.settle().await;
        }
        self.check_versions().await;
        let mut witness = Witness::new(&self.world, &self.model, 9);
        witness.look_at_everything_latest().await;
        self.check_quotas().await;
        self.check_stores().await;
        self.world.journal().note("everything is as it should be");
    }

    /// Waits until processes that will be stopped have removed what no disk owns from their own staging folders, which nobody else
    /// does: they do so when they have seen it twice. What a disk owns stays.
    async fn await_others_tidied(&self, last: Option<usize>) {
        let until = Instant::now() + TIDIES_WITHIN;
        let of_last = last.map(|number| format!("process-{number}/")).unwrap_or_default();
        while self.world.staged().iter().any(|path| !path.starts_with(&of_last)) && Instant::now() < until {
            sleep(PAUSE).await;
        }
    }

    /// Waits until a region's store was read as a whole, from its beginning, so often.
    async fn await_readings(&self, region: usize) {
        let until = Instant::now() + HEALS_WITHIN;
        let last_began = async || self.stats(region).await.ok()?["scrub"]["last"]["beganMs"].as_i64();
        let (mut seen, mut after_ms) = (0, self.world.now_ms());
        while seen < READINGS && Instant::now() < until {
            sleep(PAUSE).await;
            // One that begins after this moment reads what is there now.
            if last_began().await.is_some_and(|began_ms| began_ms >= after_ms) {
                (seen, after_ms) = (seen + 1, self.world.now_ms());
            }
        }
        self.world.journal().note(format_args!("{} was read as a whole {seen} times", REGIONS[region]));
    }

    async fn check_versions(&self) {
        let mut witness = Witness::new(&self.world, &self.model, 8);
        for (path, version) in self.model.certain() {
            let Ok(document) = self.client().get(&path).await else { continue };
            let states = replica_states(&document);
            let is_elsewhere = |weak: usize| {
                (0..REGIONS.len()).any(|region| region != weak && states[region].as_deref() == Some("Completed"))
            };
            for (region, state) in states.iter().enumerate() {
                if state.as_deref() != Some("Completed") {
                    continue;
                }
                let seen = witness.see_calmly(&path, region).await;
                match seen {
                    Seen::Read(disk) if self.model.is_content(&version, &disk) => {}
                    Seen::Read(_) => self.broken("I3", format_args!("{path} in {} is other bytes", REGIONS[region])),
                    _ if self.weak == Some(region) && !is_elsewhere(region) => self.check_reported(&path, region).await,
                    other => self.broken("I1", format_args!("{path} in {}: {other}", REGIONS[region])),
                }
            }
        }
    }

    /// What nobody has any more is named by whoever looks after the store.
    async fn check_reported(&self, path: &str, region: usize) {
        let Ok(stats) = self.stats(region).await else { return };
        let id = self.world.id(path).as_str().to_lowercase();
        let hurt = stats["scrub"]["hurtResources"].as_array().cloned().unwrap_or_default();
        let is_named = hurt.iter().any(|hurt| hurt["id"].as_str().is_some_and(|hurt| hurt.to_lowercase() == id));
        if !is_named {
            self.broken("I3", format_args!("{path} cannot be read in {} and nobody says so: {stats}", REGIONS[region]));
        }
    }

    async fn check_quotas(&self) {
        let (bytes, versions) = self.model.charged();
        // The gallery and its definitions.
        let resources = 1 + DEFINITIONS as u64 + versions;
        let asked = self
            .client()
            .ask("quotas", |control, context| Box::pin(async move { control.quotas(&context).await }))
            .await;
        let Ok(quotas) = asked else { return };
        let scope = format!("subscriptions/{}", self.world.subscription());
        let shown = quotas["value"].as_array().into_iter().flatten().find(|entry| entry["scope"] == scope.as_str());
        let used = |what: &str| shown.and_then(|entry| entry[what]["used"].as_u64());
        if (used("bytes"), used("resources")) != (Some(bytes), Some(resources)) {
            self.broken("I5", format_args!("{shown:?} is counted where {bytes} bytes and {resources} resources are"));
        }
    }

    /// After a collection, what a store says of itself is what lies in it.
    async fn check_stores(&self) {
        for (region, name) in REGIONS.iter().enumerate() {
            let mut client = self.client();
            let what = format!("collect {name}");
            let collected = client.ask(&what, move |control, context| {
                Box::pin(async move { control.store_collect(&context, name).await })
            });
            // Only one process runs any more, and so knows what there is.
            if collected.await.is_err() {
                continue;
            }
            let (Ok(stats), packs) = (self.stats(region).await, self.packs(region).await) else { continue };
            let bytes: u64 = packs.iter().map(|pack| pack.size_bytes).sum();
            let sum = |known: &str, unreadable: &str| Some(stats[known].as_u64()? + stats[unreadable].as_u64()?);
            let told = (sum("packs", "unreadablePacks"), sum("packBytes", "unreadablePackBytes"));
            if told != (Some(packs.len() as u64), Some(bytes)) {
                self.broken("I5", format_args!("{name} counts {told:?} and has {} packs, {bytes} bytes", packs.len()));
            }
        }
    }

    /// Deletes everything. Then nothing is left in any store.
    pub(crate) async fn take_everything_away(&self) {
        if self.world.verdict().get().is_some() {
            return;
        }
        let mut client = self.client();
        let versions = self.model.certain().into_iter().map(|(path, _)| path);
        let definitions = (0..DEFINITIONS).map(definition_path);
        for path in versions.chain(definitions).chain(["galleries/g".to_owned()]) {
            if let Err(refusal) = client.delete(&path).await {
                return self.broken("liveness", format_args!("DELETE {path}: {refusal}"));
            }
        }
        let until = Instant::now() + GONE_WITHIN;
        loop {
            let left = self.left().await;
            if left.is_empty() {
                return self.world.journal().note("nothing is left");
            }
            if Instant::now() >= until {
                return self.broken("liveness", format_args!("after {GONE_WITHIN:?} there still is {left:?}"));
            }
            sleep(PAUSE).await;
        }
    }

    /// What is left of an empty gallery, but for the stores' own files.
    async fn left(&self) -> BTreeSet<String> {
        let mut left = BTreeSet::new();
        for (region, name) in REGIONS.iter().enumerate() {
            let objects = self.objects(region).await;
            left.extend(objects.into_iter().map(|object| format!("{name}: {}", object.key)));
        }
        left.extend(self.world.staged());
        left
    }

    async fn packs(&self, region: usize) -> Vec<Object> {
        let mut packs = self.objects(region).await;
        packs.retain(|object| object.key.as_str().contains("/packs/"));
        packs
    }

    async fn objects(&self, region: usize) -> Vec<Object> {
        self.world.store(region).list("tenants/", None, LIST_LIMIT_MAX).await.expect("memory lists")
    }

    async fn stats(&self, region: usize) -> Answer<Value> {
        let name = REGIONS[region];
        let ask = move |control: galerie_control::Control, context| -> futures::future::BoxFuture<'static, _> {
            Box::pin(async move { control.store_stats(&context, name).await })
        };
        self.client().ask(&format!("stats of {name}"), ask).await
    }

    fn broken(&self, invariant: &str, how: impl std::fmt::Display) {
        self.world.verdict().break_with(invariant, how);
    }
}
