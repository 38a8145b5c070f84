//! The descriptions: which there are, which is a request's, and its operation.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Map, Value};

use super::path::{Family, Target, fits};

/// One part of the API in one api-version.
#[derive(Debug)]
pub(super) struct Bundle {
    pub(super) operations: Vec<Value>,
    pub(super) definitions: Map<String, Value>,
}

/// The described api-versions of galleries and what is in them, oldest first.
pub const GALLERY_VERSIONS: &[&str] = &[
    "2018-06-01",
    "2019-03-01",
    "2019-07-01",
    "2019-12-01",
    "2020-09-30",
    "2021-07-01",
    "2021-10-01",
    "2022-01-03",
    "2022-03-03",
    "2022-08-03",
    "2023-07-03",
    "2024-03-03",
    "2025-03-03",
    "2025-12-03",
    "2026-03-03",
];

/// The operation that a request asks for.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) bundle: Arc<Bundle>,
    /// `method`, `path`, `id`, `body`, `responses`.
    pub(super) operation: Value,
    /// The request's api-version is newer than all that is described: there may be members that nobody knows.
    pub(super) newer: bool,
}

impl Found {
    /// Azure's name of the operation: `Galleries_Get`.
    pub(super) fn id(&self) -> &str {
        self.operation["id"].as_str().unwrap_or_default()
    }
}

impl Family {
    const fn name(self) -> &'static str {
        match self {
            Self::Gallery => "gallery",
            Self::Image => "image",
            Self::Disk => "disk",
            Self::Group => "group",
            Self::Subscription => "subscription",
            Self::Authorization => "authorization",
            Self::Monitor => "monitor",
        }
    }

    /// The described versions, oldest first.
    const fn versions(self) -> &'static [&'static str] {
        match self {
            Self::Gallery => GALLERY_VERSIONS,
            Self::Image => &["2024-11-01", "2026-04-01"],
            Self::Disk => &["2024-03-02", "2026-03-02"],
            Self::Group => &["2025-03-01"],
            Self::Subscription => &["2022-12-01"],
            Self::Authorization => &["2022-04-01"],
            Self::Monitor => &["2015-04-01"],
        }
    }

    /// Whether Azure has versions in between that we have no description of; one of those is read like the next that we have.
    const fn has_gaps(self) -> bool {
        !matches!(self, Self::Gallery)
    }

    /// Whether we keep members of versions that are newer than all that is described. Of the rest our answers are made anew.
    const fn keeps_the_unknown(self) -> bool {
        !matches!(self, Self::Subscription | Self::Authorization | Self::Monitor)
    }

    /// The version that a request is held against, and whether it is newer than all of them.
    fn version_of(self, asked: &str) -> (usize, bool) {
        let versions = self.versions();
        let (date, preview) = asked.split_at_checked(10).unwrap_or((asked, ""));
        // A preview comes before the version of its date.
        let not_later = versions.partition_point(|known| *known < date || (*known == date && preview.is_empty()));
        let newest = versions.len() - 1;
        let floor = not_later.saturating_sub(1);
        let is_newer = not_later > newest && versions[newest] != date;
        let is_exact = versions[floor] == date || not_later == 0;
        (if self.has_gaps() && !is_exact { (floor + 1).min(newest) } else { floor }, is_newer)
    }
}

/// The operation of a request, in its api-version or, when that does not have it yet, in the first that does.
pub(super) fn find(method: &str, target: &Target) -> Option<Found> {
    let family = target.family()?;
    let (index, newer) = family.version_of(target.parameter("api-version").unwrap_or_default());
    family.versions()[index..].iter().find_map(|version| {
        let bundle = load(family, version);
        let matching = |operation: &&Value| {
            operation["method"] == method && fits(operation["path"].as_str().unwrap_or_default(), &target.segments)
        };
        let operation = bundle.operations.iter().find(matching)?.clone();
        Some(Found { bundle, operation, newer: newer && family.keeps_the_unknown() })
    })
}

fn load(family: Family, version: &str) -> Arc<Bundle> {
    static LOADED: Mutex<Option<HashMap<String, Arc<Bundle>>>> = Mutex::new(None);
    let name = format!("{}-{version}.json", family.name());
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let bundle = loaded.get_or_insert_default().entry(name.clone()).or_insert_with(|| Arc::new(read(&name)));
    Arc::clone(bundle)
}

fn read(name: &str) -> Bundle {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("openapi").join(name);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut document: Value = serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let operations = document["operations"].take().as_array().cloned().expect("operations");
    let definitions = document["definitions"].take().as_object().cloned().expect("definitions");
    Bundle { operations, definitions }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_map_to_the_newest_not_later() {
        for (family, asked, expected) in [
            (Family::Gallery, "2018-06-01", ("2018-06-01", false)),
            (Family::Gallery, "2001-01-01", ("2018-06-01", false)),
            (Family::Gallery, "2020-01-01", ("2019-12-01", false)),
            (Family::Gallery, "2024-03-03-preview", ("2023-07-03", false)),
            (Family::Gallery, "2026-03-03", ("2026-03-03", false)),
            (Family::Gallery, "2026-03-04", ("2026-03-03", true)),
            (Family::Disk, "2023-01-02", ("2024-03-02", false)),
            (Family::Disk, "2024-03-02", ("2024-03-02", false)),
            (Family::Disk, "2025-01-02", ("2026-03-02", false)),
            (Family::Disk, "2030-01-02", ("2026-03-02", true)),
        ] {
            let (index, newer) = family.version_of(asked);
            assert_eq!((family.versions()[index], newer), expected, "{family:?} {asked}");
        }
    }

    #[test]
    fn every_description_can_be_read_and_refers_to_what_it_has() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(members) => {
                    found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    members.values().for_each(|member| references(member, found));
                }
                Value::Array(items) => items.iter().for_each(|item| references(item, found)),
                _ => {}
            }
        }
        let families = [
            Family::Gallery,
            Family::Image,
            Family::Disk,
            Family::Group,
            Family::Subscription,
            Family::Authorization,
            Family::Monitor,
        ];
        for family in families {
            for version in family.versions() {
                let bundle = load(family, version);
                let mut found = Vec::new();
                bundle
                    .operations
                    .iter()
                    .chain(bundle.definitions.values())
                    .for_each(|value| references(value, &mut found));
                assert!(!found.is_empty(), "{family:?} {version}");
                let missing: Vec<_> = found.iter().filter(|name| !bundle.definitions.contains_key(*name)).collect();
                assert!(missing.is_empty(), "{family:?} {version}: {missing:?}");
            }
        }
    }
}
