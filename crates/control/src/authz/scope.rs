//! Scopes: the places at which roles are assigned. A role at a scope holds everywhere below it.
//!
//! A scope is a tenant's root (`/`), a subscription, a resource group or a resource. The folded key of the root is empty, so
//! that one rule holds for all: what lies below a scope has a key that begins with the scope's key and a slash.

use galerie_arm::{ArmError, ResourceId, ResourceType, SubscriptionId};

use crate::{
    db::{self, Connection, subscription},
    resource::place,
};

/// A place at which roles are assigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everything in the caller's tenant.
    Root,
    /// A subscription, a group or a resource, and what is below it.
    At(Box<ResourceId>),
}

impl Scope {
    /// Reads a scope as bodies and paths have it.
    ///
    /// # Errors
    /// `LinkedInvalidPropertyId`, or what is wrong with a part of it.
    pub fn parse(text: &str, target: &str) -> Result<Self, ArmError> {
        let text = text.trim();
        if text.chars().all(|c| c == '/') && !text.is_empty() {
            return Ok(Self::Root);
        }
        Ok(Self::At(Box::new(ResourceId::parse(text, target)?)))
    }

    /// As it is shown.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Root => "/",
            Self::At(id) => id.as_str(),
        }
    }

    /// What an id below it begins with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        match self {
            Self::Root => "",
            Self::At(id) => id.as_str(),
        }
    }

    /// The folded form.
    pub(crate) fn key(&self) -> &str {
        match self {
            Self::Root => "",
            Self::At(id) => id.key(),
        }
    }

    /// The subscription that it lies in.
    #[must_use]
    pub fn subscription(&self) -> Option<SubscriptionId> {
        match self {
            Self::Root => None,
            Self::At(id) => id.subscription(),
        }
    }

    /// Whether there is such a place. Only for who may know: ask for the right first.
    ///
    /// # Errors
    /// Which of subscription, group, resource above and resource is not there.
    pub(crate) async fn check_exists(&self, tx: &mut Connection) -> Result<(), ArmError> {
        let Self::At(id) = self else { return Ok(()) };
        let is_there = match (id.subscription(), id.group(), id.namespace()) {
            (Some(subscription), None, None) => subscription::find(tx, subscription.as_uuid()).await?.is_some(),
            (Some(_), Some(_), None) => db::resource_group::find(tx, id.key()).await?.is_some(),
            (Some(_), Some(_), Some(_)) => {
                let found = db::resource::find(tx, id.key()).await?.is_some();
                if !found {
                    place::find(tx, id).await?;
                }
                found
            }
            _ => false,
        };
        if is_there { Ok(()) } else { Err(id.not_found()) }
    }
}

impl From<SubscriptionId> for Scope {
    fn from(id: SubscriptionId) -> Self {
        Self::At(Box::new(ResourceId::of_subscription(id)))
    }
}

/// The keys of a place and of everything above it, from the root down.
///
/// Ids are pairs of segments (`subscriptions/{s}`, `resourceGroups/{g}`, `providers/{namespace}`, `{type}/{name}`), so a key
/// ends after an even number of them. A key that ends after a namespace is no scope; nothing is assigned there.
pub(crate) fn ancestors(key: &str) -> impl Iterator<Item = &str> {
    let after_pairs = key.match_indices('/').map(|(at, _)| at).skip(2).step_by(2);
    let above = after_pairs.map(move |end| &key[..end]);
    std::iter::once("").chain(above).chain(Some(key).filter(|key| !key.is_empty()))
}

/// Whether a place is a scope or lies below it.
pub(crate) fn is_within(key: &str, scope_key: &str) -> bool {
    key.strip_prefix(scope_key).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What a role at a scope shows of a list of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The scope is of the listed type.
    Itself,
    /// What is listed can be below it.
    Below,
    /// Nothing.
    Nothing,
}

/// Which it is for the key of a group or a resource; `listed` is the listed type's folded path (`galleries`, `images`).
pub(crate) fn reach(key: &str, listed: &[&str]) -> Reach {
    let (mut depth, mut is_on_path) = (0, true);
    let mut segments = key.split('/').skip(1);
    while let Some(segment) = segments.next() {
        match segment {
            "providers" => (depth, is_on_path) = (0, true),
            "subscriptions" | "resourcegroups" if depth == 0 => {}
            other => {
                is_on_path &= listed.get(depth) == Some(&other);
                depth += 1;
            }
        }
        segments.next();
    }
    match is_on_path {
        true if depth == listed.len() => Reach::Itself,
        true => Reach::Below,
        false => Reach::Nothing,
    }
}

/// The folded path of a type: `galleries/images`.
pub(crate) fn folded_path(resource_type: ResourceType) -> String {
    resource_type.path().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: &str =
        "/subscriptions/s/resourcegroups/g/providers/microsoft.compute/galleries/x/images/i/versions/1.0.0";

    #[test]
    fn what_is_above_ends_after_pairs() {
        let found: Vec<&str> = ancestors(VERSION).collect();
        assert_eq!(
            found,
            [
                "",
                "/subscriptions/s",
                "/subscriptions/s/resourcegroups/g",
                "/subscriptions/s/resourcegroups/g/providers/microsoft.compute",
                "/subscriptions/s/resourcegroups/g/providers/microsoft.compute/galleries/x",
                "/subscriptions/s/resourcegroups/g/providers/microsoft.compute/galleries/x/images/i",
                VERSION
            ]
        );
        assert_eq!(ancestors("").collect::<Vec<_>>(), [""]);
        assert_eq!(ancestors("/subscriptions/s").collect::<Vec<_>>(), ["", "/subscriptions/s"]);
        assert!(ancestors(VERSION).all(|above| is_within(VERSION, above)));
        // A name that begins like another one is not below it.
        assert!(!is_within("/subscriptions/s/resourcegroups/g2", "/subscriptions/s/resourcegroups/g"));
    }

    #[test]
    fn a_role_reaches_what_is_at_its_scope_or_can_be_below() {
        let group = "/subscriptions/s/resourcegroups/g";
        let of_strange_names = "/subscriptions/s/resourcegroups/providers/providers/microsoft.compute/disks/d";
        for (key, listed, expected) in [
            (VERSION, "galleries/images/versions", Reach::Itself),
            (VERSION, "galleries/images", Reach::Nothing),
            (VERSION, "disks", Reach::Nothing),
            (VERSION.rsplit_once("/images").unwrap().0, "galleries/images/versions", Reach::Below),
            (VERSION.rsplit_once("/images").unwrap().0, "disks", Reach::Nothing),
            (group, "disks", Reach::Below),
            (of_strange_names, "disks", Reach::Itself),
            (of_strange_names, "snapshots", Reach::Nothing),
        ] {
            assert_eq!(reach(key, &listed.split('/').collect::<Vec<_>>()), expected, "{key} {listed}");
        }
        assert_eq!(folded_path(ResourceType::ImageVersion), "galleries/images/versions");
    }

    #[test]
    fn the_root_is_a_slash() {
        assert_eq!(Scope::parse("/", "scope").unwrap(), Scope::Root);
        assert_eq!((Scope::Root.as_str(), Scope::Root.prefix(), Scope::Root.key()), ("/", "", ""));
        for wrong in ["", "subscriptions", "/subscriptions", "/subscriptions/nonsense", "/x"] {
            assert!(Scope::parse(wrong, "scope").is_err(), "{wrong}");
        }
    }
}
