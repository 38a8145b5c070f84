//! What must be there, as far as clients know.
//!
//! Every version is one client's, who alone changes it; the others look. A client says here what it is about to ask before
//! it asks, and what it was answered afterwards, so that whoever looks meanwhile knows what is not sure.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{image::Image, world::REGIONS};

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

/// Names of versions, and what is known of them. Clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model(Arc<Mutex<BTreeMap<String, Version>>>);

impl Model {
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many definitions there are.
pub(crate) const DEFINITIONS: usize = 2;

pub(crate) fn definition_path(definition: usize) -> String {
    format!("galleries/g/images/i{definition}")
}
