//! What of a list a caller sees, as ranges of keys: the rows in them are read, and no others.
//!
//! A page asks for what comes after the last one's end, and gets at most [`MOST_RANGES`]: with ten thousand grants the others
//! are not even looked at.

use std::sync::Arc;

use galerie_arm::ResourceType;

use super::{
    evaluator::{Grants, Role},
    scope::{Reach, folded_path, is_within, reach},
};

/// Ranges that are found for one page of a list.
const MOST_RANGES: usize = 500;
/// Greater than every character of a key: names have no noncharacters.
const LAST: char = '\u{10ffff}';

/// What of a list is visible, after a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Visible {
    /// Everything in it.
    All,
    /// Some of it.
    Part(VisiblePart),
}

/// What lies in the ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct VisiblePart {
    /// Disjoint, in order of keys.
    pub(crate) ranges: Vec<KeyRange>,
    /// Up to which key they are everything that is visible; `None`: they are all of it.
    pub(crate) ends_at: Option<String>,
}

/// Keys from the first to the last, both included, compared by bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyRange {
    pub(crate) first: String,
    pub(crate) last: String,
}

impl KeyRange {
    pub(crate) fn one(key: &str) -> Self {
        Self { first: key.to_owned(), last: key.to_owned() }
    }

    /// What is below a key, without itself.
    pub(crate) fn below(key: &str) -> Self {
        Self { first: format!("{key}/"), last: format!("{key}/{LAST}") }
    }

    /// Whether there is one key in it.
    pub(crate) fn is_one(&self) -> bool {
        self.first == self.last
    }
}

/// What of the resources of a type in `within` (a subscription or a group) a caller may read with `action`, after the key
/// `after`.
pub(crate) fn resources(
    grants: &Grants,
    action: &str,
    within: &str,
    resource_type: ResourceType,
    after: Option<&str>,
) -> Visible {
    let listed = folded_path(resource_type);
    let listed: Vec<&str> = listed.split('/').collect();
    let range = |scope: &str| match reach(scope, &listed) {
        Reach::Itself => Some(KeyRange::one(scope)),
        Reach::Below => Some(KeyRange::below(scope)),
        Reach::Nothing => None,
    };
    ranges(grants, action, within, after, MOST_RANGES, range)
}

/// What of a subscription's resource groups a caller may read with `action`, after the key `after`.
pub(crate) fn groups(grants: &Grants, action: &str, subscription: &str, after: Option<&str>) -> Visible {
    let is_group = |scope: &str| !scope[subscription.len() + 1..].contains("/providers/");
    let range = |scope: &str| is_group(scope).then(|| KeyRange::one(scope));
    ranges(grants, action, subscription, after, MOST_RANGES, range)
}

/// The ranges that `range` gives for what was granted below `within`, at most `most`; those inside of others are left out.
fn ranges(
    grants: &Grants,
    action: &str,
    within: &str,
    after: Option<&str>,
    most: usize,
    range: impl Fn(&str) -> Option<KeyRange>,
) -> Visible {
    if grants.permits(action, within) {
        return Visible::All;
    }
    let after = after.filter(|after| *after > within).unwrap_or(within);
    let mut known = Vec::new();
    let mut range_of = |scope: &str, roles: &[Arc<Role>]| {
        if roles.iter().any(|role| permits(&mut known, role, action)) { range(scope) } else { None }
    };
    let before = reaching_beyond(after).filter(|scope| scope.len() > within.len() && is_within(scope, within));
    let before = before.filter_map(|scope| range_of(scope, grants.at(scope)?));
    let mut found: Vec<KeyRange> = before.filter(|range| range.last.as_str() > after).collect();
    // Whatever a scope shows sorts behind its own key, so what is behind the last one that was looked at is not needed yet.
    let (mut ends_at, mut looked_at) = (None, after);
    for (scope, roles) in grants.below_after(within, after) {
        let Some(range) = range_of(scope, roles) else { continue };
        if found.len() >= most && looked_at > after {
            ends_at = Some(looked_at.to_owned());
            break;
        }
        looked_at = scope;
        found.push(range);
    }
    if let Some(ends_at) = &ends_at {
        found.retain(|range| range.first <= *ends_at);
    }
    // What lies inside of another range begins after it, or with it.
    found.sort_unstable_by(|one, other| one.first.cmp(&other.first).then(other.last.cmp(&one.last)));
    found.dedup_by(|next, kept| next.last <= kept.last);
    Visible::Part(VisiblePart { ranges: found, ends_at })
}

/// The keys up to `after` below which there can be keys behind it: what `after` begins with, where it goes on with a character
/// that sorts before the slash or is one. (`web-1/...` lies before `web/...`.)
fn reaching_beyond(after: &str) -> impl Iterator<Item = &str> {
    let ends = after.bytes().enumerate().filter(|(_, byte)| *byte <= b'/').map(|(end, _)| end);
    ends.chain([after.len()]).map(|end| &after[..end])
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
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::authz::{action_pattern::ActionPattern, permission_set::PermissionSet};

    const S: &str = "/subscriptions/s";
    const READ: &str = "Microsoft.Compute/galleries/images/read";

    fn granted(scopes: &[&str]) -> Grants {
        let set = PermissionSet { actions: vec![ActionPattern::new("*/read")], ..PermissionSet::default() };
        let reader = Arc::new(Role { id: Uuid::nil(), permissions: vec![set] });
        Grants::new(scopes.iter().map(|scope| ((*scope).to_owned(), Arc::clone(&reader))).collect())
    }

    fn part(ranges: Vec<KeyRange>) -> Visible {
        Visible::Part(VisiblePart { ranges, ends_at: None })
    }

    fn compute(path: &str) -> String {
        format!("{S}/resourcegroups/g/providers/microsoft.compute/{path}")
    }

    #[test]
    fn what_holds_over_the_whole_list_shows_all_of_it() {
        for scope in ["", S] {
            assert_eq!(resources(&granted(&[scope]), READ, S, ResourceType::ImageDefinition, None), Visible::All);
        }
        let nothing = part(Vec::new());
        assert_eq!(resources(&granted(&["/subscriptions/t"]), READ, S, ResourceType::ImageDefinition, None), nothing);
        assert_eq!(
            resources(&granted(&[S]), "Microsoft.Compute/x/write", S, ResourceType::ImageDefinition, None),
            nothing
        );
    }

    #[test]
    fn a_grant_shows_itself_or_what_is_below_it() {
        let (gallery, image) = (compute("galleries/x"), compute("galleries/y/images/i"));
        let version = compute("galleries/z/images/i/versions/1.0.0");
        let disk = compute("disks/d");
        let grants = granted(&[&gallery, &image, &version, &disk]);
        let found = resources(&grants, READ, S, ResourceType::ImageDefinition, None);
        assert_eq!(found, part(vec![KeyRange::below(&gallery), KeyRange::one(&image)]));
        let group = format!("{S}/resourcegroups/g");
        let grants = granted(&[&gallery, &image, &group]);
        let found = resources(&grants, READ, S, ResourceType::ImageDefinition, None);
        assert_eq!(found, part(vec![KeyRange::below(&group)]));
    }

    /// `web-1` sorts before `web/...`.
    #[test]
    fn ranges_are_in_the_order_of_keys() {
        let (short, long) = (compute("galleries/web"), compute("galleries/web-1"));
        let found = resources(&granted(&[&short, &long]), READ, S, ResourceType::ImageDefinition, None);
        assert_eq!(found, part(vec![KeyRange::below(&long), KeyRange::below(&short)]));
    }

    #[test]
    fn groups_are_shown_by_grants_on_them() {
        let group = format!("{S}/resourcegroups/g");
        let action = "Microsoft.Resources/subscriptions/resourceGroups/read";
        let found = groups(&granted(&[&group, &compute("disks/d")]), action, S, None);
        assert_eq!(found, part(vec![KeyRange::one(&group)]));
        assert_eq!(groups(&granted(&[""]), action, S, None), Visible::All);
    }

    /// What pages of at most `most` ranges show of some keys, each from where the one before ended.
    fn shown<'a>(grants: &Grants, most: usize, keys: &[&'a str]) -> Vec<&'a str> {
        let (mut after, mut seen) = (None::<String>, Vec::new());
        loop {
            let range = |scope: &str| Some(KeyRange::below(scope));
            let Visible::Part(part) = ranges(grants, READ, "/s", after.as_deref(), most, range) else { panic!("all") };
            assert!(part.ranges.len() <= most + 20, "{part:?}");
            let end = part.ends_at.as_deref().unwrap_or("\u{10ffff}");
            let is_next = |key: &&&str| after.as_deref().is_none_or(|after| **key > after) && **key <= end;
            let is_in = |key: &&&str| {
                part.ranges.iter().any(|range| range.first.as_str() <= **key && **key <= range.last.as_str())
            };
            seen.extend(keys.iter().filter(is_next).filter(is_in).copied());
            let Some(ends_at) = part.ends_at else { return seen };
            assert!(after.is_none_or(|after| after < ends_at), "it goes on");
            after = Some(ends_at);
        }
    }

    proptest! {
        /// However few ranges a page has, the pages together show what is below a scope, once, and nothing else.
        #[test]
        fn pages_together_show_everything(
            scopes in prop::collection::btree_set("/s(/[ab](-|[.]|[ab])?){1,3}", 0..12),
            keys in prop::collection::btree_set("/s(/[ab](-|[.]|[ab])?){1,4}", 0..40),
            most in 1..6_usize,
        ) {
            let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let is_below = |key: &&&str| scopes.iter().any(|scope| *key != scope && is_within(key, scope));
            let expected: Vec<&str> = keys.iter().filter(is_below).copied().collect();
            prop_assert_eq!(shown(&granted(&scopes), most, &keys), expected);
        }
    }
}
