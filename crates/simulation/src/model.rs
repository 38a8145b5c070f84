//! What must be there, as far as clients know.
//!
//! Every version is one client's, who alone changes it; the others look. A client says here what it is about to ask before
//! it asks, and what it was answered afterwards, so that whoever looks meanwhile knows what is not sure.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    image::{Disk, GUEST_BYTES, Image},
    world::REGIONS,
};

/// How far a version is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its PUT was sent.
    Asked,
    /// Its PUT was acknowledged.
    Accepted,
    /// Its DELETE was sent.
    Leaving,
    /// Its DELETE was acknowledged, or it never came to be.
    Gone,
}

/// A target region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Target {
    /// Whether `latest` passes over the version there.
    pub(crate) is_excluded: bool,
}

/// A version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) definition: usize,
    pub(crate) numbers: [u32; 3],
    pub(crate) image: Image,
    /// The index of the region where it was made; always a target.
    pub(crate) home: usize,
    pub(crate) stage: Stage,
    /// By the index of the region; `None` where it is not to be.
    pub(crate) targets: [Option<Target>; REGIONS.len()],
    /// Whether `latest` passes over it everywhere.
    pub(crate) is_excluded: bool,
    /// Whether a change was sent that is not acknowledged.
    pub(crate) is_changing: bool,
    /// Grows with everything that its client does to it.
    pub(crate) epoch: u64,
}

impl Version {
    /// Whether it is there, and as it is said here.
    pub(crate) fn is_certain(&self) -> bool {
        self.stage == Stage::Accepted && !self.is_changing
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.stage == Stage::Gone
    }

    /// Whether nobody is doing anything to it.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_gone() || self.is_certain()
    }
}

/// A wrong idea of what must be, to see that it is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mistake {
    /// `latest` passes over nothing.
    Latest,
    /// Versions hold other bytes than were written.
    Bytes,
    /// The owner has no rights.
    Rights,
    /// A version is charged once, however many regions have it.
    Quota,
    /// What was deleted is there.
    Deletion,
}

/// Names of versions, and what is known of them. Clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    versions: Arc<Mutex<BTreeMap<String, Version>>>,
    mistake: Option<Mistake>,
}

impl Model {
    /// One that knows of nothing, and is wrong in one thing, perhaps.
    pub(crate) fn new(mistake: Option<Mistake>) -> Self {
        Self { mistake, ..Self::default() }
    }

    /// Whether this is what a version holds.
    pub(crate) fn is_content(&self, version: &Version, disk: &Disk) -> bool {
        version.image.is(disk) != (self.mistake == Some(Mistake::Bytes))
    }

    /// Whether `latest` may be this version in a region, when it is complete there.
    pub(crate) fn may_be_latest(&self, version: &Version, region: usize) -> bool {
        let is_excluded = version.is_excluded || version.targets[region].is_none_or(|target| target.is_excluded);
        !is_excluded || self.mistake == Some(Mistake::Latest)
    }

    /// Whether the owner counts as a stranger.
    pub(crate) fn owner_is_a_stranger(&self) -> bool {
        self.mistake == Some(Mistake::Rights)
    }

    /// What quotas count of the versions: bytes, and resources.
    pub(crate) fn charged(&self) -> (u64, u64) {
        let versions = self.certain();
        let once = self.mistake == Some(Mistake::Quota);
        let regions = |version: &Version| if once { 1 } else { version.targets.iter().flatten().count() as u64 };
        let bytes = versions.iter().map(|(_, version)| regions(version) * GUEST_BYTES).sum();
        (bytes, versions.len() as u64)
    }

    /// A DELETE was acknowledged.
    pub(crate) fn remove(&self, path: &str) {
        let stage = if self.mistake == Some(Mistake::Deletion) { Stage::Accepted } else { Stage::Gone };
        self.update(path, |version| version.stage = stage);
    }

    /// The path of a version.
    pub(crate) fn path(definition: usize, [major, minor, patch]: [u32; 3]) -> String {
        format!("{}/versions/{major}.{minor}.{patch}", definition_path(definition))
    }

    pub(crate) fn add(&self, path: &str, version: Version) {
        self.versions().insert(path.to_owned(), version);
    }

    pub(crate) fn get(&self, path: &str) -> Option<Version> {
        self.versions().get(path).cloned()
    }

    /// Changes what is known of a version.
    pub(crate) fn update(&self, path: &str, change: impl FnOnce(&mut Version)) {
        if let Some(version) = self.versions().get_mut(path) {
            version.epoch += 1;
            change(version);
        }
    }

    /// All that there ever were, by their paths.
    pub(crate) fn all(&self) -> Vec<(String, Version)> {
        self.versions().iter().map(|(path, version)| (path.clone(), version.clone())).collect()
    }

    /// Those that everybody must see.
    pub(crate) fn certain(&self) -> Vec<(String, Version)> {
        let mut all = self.all();
        all.retain(|(_, version)| version.is_certain());
        all
    }

    fn versions(&self) -> MutexGuard<'_, BTreeMap<String, Version>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many definitions there are.
pub(crate) const DEFINITIONS: usize = 2;

pub(crate) fn definition_path(definition: usize) -> String {
    format!("galleries/g/images/i{definition}")
}
