//! What of a list a caller sees, as ranges of keys: the rows in them are read, and no others.

use std::sync::Arc;

use galerie_arm::ResourceType;

use super::{
    evaluator::{Grants, Role},
    scope::{folded_path, type_path},
};

/// Greater than every character of a key: names have no noncharacters.
const LAST: char = '\u{10ffff}';

/// What of a list is visible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Visible {
    /// Everything in it.
    All,
    /// What lies in these: disjoint, in order of keys.
    Ranges(Vec<KeyRange>),
}

/// Keys from the first to the last, both included, compared by bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyRange {
    pub(crate) first: String,
    pub(crate) last: String,
}

impl KeyRange {
    fn one(key: &str) -> Self {
        Self { first: key.to_owned(), last: key.to_owned() }
    }

    /// What is below a key, without itself.
    pub(crate) fn below(key: &str) -> Self {
        Self { first: format!("{key}/"), last: format!("{key}/{LAST}") }
    }
}

/// What of the resources of a type in `within` (a subscription or a group) a caller may read with `action`.
pub(crate) fn resources(grants: &Grants, action: &str, within: &str, resource_type: ResourceType) -> Visible {
    let listed = folded_path(resource_type);
    ranges(grants, action, within, |scope| {
        let path = type_path(scope);
        match listed.strip_prefix(&path) {
            Some("") => Some(KeyRange::one(scope)),
            Some(rest) if path.is_empty() || rest.starts_with('/') => Some(KeyRange::below(scope)),
            _ => None,
        }
    })
}

/// What of a subscription's resource groups a caller may read with `action`.
pub(crate) fn groups(grants: &Grants, action: &str, subscription: &str) -> Visible {
    let is_group = |scope: &str| !scope[subscription.len() + 1..].contains("/providers/");
    ranges(grants, action, subscription, |scope| is_group(scope).then(|| KeyRange::one(scope)))
}

/// The ranges that `reach` gives for what was granted below `within`; those inside of others are left out.
fn ranges(grants: &Grants, action: &str, within: &str, reach: impl Fn(&str) -> Option<KeyRange>) -> Visible {
    if grants.permits(action, within) {
        return Visible::All;
    }
    let mut known = Vec::new();
    let granted = grants.below(within).filter(|(_, roles)| roles.iter().any(|role| permits(&mut known, role, action)));
    let mut found: Vec<KeyRange> = granted.filter_map(|(scope, _)| reach(scope)).collect();
    // What lies inside of another range begins after it, or with it.
    found.sort_unstable_by(|one, other| one.first.cmp(&other.first).then(other.last.cmp(&one.last)));
    found.dedup_by(|next, kept| next.last <= kept.last);
    Visible::Ranges(found)
}

/// Asks each role once: many grants have few roles.
fn permits(known: &mut Vec<(*const Role, bool)>, role: &Arc<Role>, action: &str) -> bool {
    let key = Arc::as_ptr(role);
    if let Some((_, answer)) = known.iter().find(|(asked, _)| *asked == key) {
        return *answer;
    }
    let answer = role.permits(action);
    known.push((key, answer));
    answer
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::authz::{action_pattern::ActionPattern, permission_set::PermissionSet};

    const S: &str = "/subscriptions/s";
    const READ: &str = "Microsoft.Compute/galleries/images/read";

    fn granted(scopes: &[&str]) -> Grants {
        let set = PermissionSet { actions: vec![ActionPattern::new("*/read")], ..PermissionSet::default() };
        let reader = Arc::new(Role { id: Uuid::nil(), permissions: vec![set] });
        let mut grants = Grants::default();
        for scope in scopes {
            grants.add(scope, &reader);
        }
        grants
    }

    fn compute(path: &str) -> String {
        format!("{S}/resourcegroups/g/providers/microsoft.compute/{path}")
    }

    #[test]
    fn what_holds_over_the_whole_list_shows_all_of_it() {
        for scope in ["", S] {
            assert_eq!(resources(&granted(&[scope]), READ, S, ResourceType::ImageDefinition), Visible::All);
        }
        let nothing = Visible::Ranges(Vec::new());
        assert_eq!(resources(&granted(&["/subscriptions/t"]), READ, S, ResourceType::ImageDefinition), nothing);
        assert_eq!(resources(&granted(&[S]), "Microsoft.Compute/x/write", S, ResourceType::ImageDefinition), nothing);
    }

    #[test]
    fn a_grant_shows_itself_or_what_is_below_it() {
        let (gallery, image) = (compute("galleries/x"), compute("galleries/y/images/i"));
        let version = compute("galleries/z/images/i/versions/1.0.0");
        let disk = compute("disks/d");
        let grants = granted(&[&gallery, &image, &version, &disk]);
        let found = resources(&grants, READ, S, ResourceType::ImageDefinition);
        assert_eq!(found, Visible::Ranges(vec![KeyRange::below(&gallery), KeyRange::one(&image)]));
        let group = format!("{S}/resourcegroups/g");
        let grants = granted(&[&gallery, &image, &group]);
        let found = resources(&grants, READ, S, ResourceType::ImageDefinition);
        assert_eq!(found, Visible::Ranges(vec![KeyRange::below(&group)]));
    }

    /// `web-1` sorts before `web/...`.
    #[test]
    fn ranges_are_in_the_order_of_keys() {
        let (short, long) = (compute("galleries/web"), compute("galleries/web-1"));
        let found = resources(&granted(&[&short, &long]), READ, S, ResourceType::ImageDefinition);
        assert_eq!(found, Visible::Ranges(vec![KeyRange::below(&long), KeyRange::below(&short)]));
    }

    #[test]
    fn groups_are_shown_by_grants_on_them() {
        let group = format!("{S}/resourcegroups/g");
        let action = "Microsoft.Resources/subscriptions/resourceGroups/read";
        let found = groups(&granted(&[&group, &compute("disks/d")]), action, S);
        assert_eq!(found, Visible::Ranges(vec![KeyRange::one(&group)]));
        assert_eq!(groups(&granted(&[""]), action, S), Visible::All);
    }
}
