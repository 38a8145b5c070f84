//! The decision: what a caller's role assignments allow. Pure; the cache feeds it.
//!
//! Denied, unless a role that the caller, or a group that it is in, has at the place or above it allows the action. Roles
//! add up; what `notActions` take away is taken from their own permission set only. What is shared beyond roles is asked
//! for by `authorize` after this has said no.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use uuid::Uuid;

use super::{
    permission_set::PermissionSet,
    scope::{ancestors, is_within},
};

/// A role, as far as decisions need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Role {
    pub(crate) id: Uuid,
    pub(crate) permissions: Vec<PermissionSet>,
}

impl Role {
    /// How long its patterns are together; a built-in role is there once, and counts nothing.
    pub(crate) fn pattern_bytes(&self) -> usize {
        if super::built_in_roles::find(self.id).is_some() {
            return 0;
        }
        self.permissions.iter().map(PermissionSet::pattern_bytes).sum()
    }

    pub(crate) fn permits(&self, action: &str) -> bool {
        self.permissions.iter().any(|set| set.permits(action))
    }
}

/// Everything that was granted to a caller: its own assignments and its groups', by the scope's key.
///
/// A copy shares keys and roles with what it was copied from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Grants {
    by_scope: BTreeMap<Arc<str>, Arc<[Arc<Role>]>>,
    count: usize,
}

impl Grants {
    /// Roles at scopes' keys, in any order. Twice is once.
    pub(crate) fn new(mut granted: Vec<(String, Arc<Role>)>) -> Self {
        granted.sort_by(|(one, _), (other, _)| one.cmp(other));
        let at_scopes = granted.chunk_by(|(one, _), (next, _)| one == next);
        let by_scope: BTreeMap<_, _> = at_scopes
            .map(|granted| (granted[0].0.as_str().into(), once_each(granted.iter().map(|(_, role)| role))))
            .collect();
        let count = by_scope.values().map(|roles| roles.len()).sum();
        Self { by_scope, count }
    }

    /// Replaces what was granted at a scope.
    pub(crate) fn set(&mut self, scope_key: &str, roles: &[Arc<Role>]) {
        let roles = once_each(roles.iter());
        self.count += roles.len();
        let before = match roles.len() {
            0 => self.by_scope.remove(scope_key),
            _ => self.by_scope.insert(scope_key.into(), roles),
        };
        self.count -= before.map_or(0, |before| before.len());
    }

    /// How many grants there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Whether an action is allowed over a place.
    pub(crate) fn permits(&self, action: &str, key: &str) -> bool {
        self.roles_over(key).any(|role| role.permits(action))
    }

    /// Whether anything was granted at a place, above it or below it.
    pub(crate) fn touches(&self, key: &str) -> bool {
        self.roles_over(key).next().is_some() || self.below(key).next().is_some()
    }

    /// The roles that hold over a place.
    pub(crate) fn roles_over<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Arc<Role>> {
        ancestors(key).filter_map(move |above| self.by_scope.get(above)).flat_map(|roles| roles.iter())
    }

    /// What was granted at a place itself.
    pub(crate) fn at(&self, key: &str) -> Option<&[Arc<Role>]> {
        self.by_scope.get(key).map(|roles| &**roles)
    }

    /// What was granted strictly below a place, by key.
    pub(crate) fn below<'a>(&'a self, key: &'a str) -> impl Iterator<Item = (&'a str, &'a [Arc<Role>])> {
        self.below_after(key, key)
    }

    /// The same, of the keys after `after`, which is the place or sorts behind it.
    pub(crate) fn below_after<'a>(
        &'a self,
        key: &'a str,
        after: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a [Arc<Role>])> {
        // Neighbours whose names go on (`g`, `g-2`, `g/...`) lie in between.
        let entries = self.by_scope.range::<str, _>((Bound::Excluded(after), Bound::Unbounded));
        let entries = entries.take_while(move |(scope, _)| scope.starts_with(key));
        entries.filter(move |(scope, _)| is_within(scope, key)).map(|(scope, roles)| (&**scope, &**roles))
    }
}

/// In the order of their ids.
fn once_each<'a>(roles: impl Iterator<Item = &'a Arc<Role>>) -> Arc<[Arc<Role>]> {
    let mut found: Vec<Arc<Role>> = roles.cloned().collect();
    found.sort_unstable_by_key(|role| role.id);
    found.dedup_by_key(|role| role.id);
    found.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authz::action_pattern::ActionPattern;

    fn role(id: u128, actions: &[&str], not_actions: &[&str]) -> Arc<Role> {
        let patterns = |texts: &[&str]| texts.iter().map(|text| ActionPattern::new(*text)).collect();
        let set = PermissionSet {
            actions: patterns(actions),
            not_actions: patterns(not_actions),
            ..PermissionSet::default()
        };
        Arc::new(Role { id: Uuid::from_u128(id), permissions: vec![set] })
    }

    #[test]
    fn a_role_holds_at_its_scope_and_below_it() {
        let grants = Grants::new(vec![("/subscriptions/s/resourcegroups/g".to_owned(), role(1, &["*/read"], &[]))]);
        for (action, key, expected) in [
            ("x/read", "/subscriptions/s/resourcegroups/g", true),
            ("x/read", "/subscriptions/s/resourcegroups/g/providers/p/t/n", true),
            ("x/write", "/subscriptions/s/resourcegroups/g", false),
            ("x/read", "/subscriptions/s/resourcegroups/g2", false),
            ("x/read", "/subscriptions/s", false),
            ("x/read", "", false),
        ] {
            assert_eq!(grants.permits(action, key), expected, "{action} {key}");
        }
        assert!(grants.touches("/subscriptions/s") && grants.touches(""));
        assert!(!grants.touches("/subscriptions/t") && !grants.touches("/subscriptions/s/resourcegroups/g2"));
    }

    #[test]
    fn not_actions_take_from_their_own_role_only() {
        let mut granted = vec![(String::new(), role(1, &["*"], &["x/share/action"]))];
        let grants = Grants::new(granted.clone());
        assert!(grants.permits("x/read", "/subscriptions/s") && !grants.permits("x/share/action", "/subscriptions/s"));
        granted.push(("/subscriptions/s".to_owned(), role(2, &["x/share/*"], &[])));
        granted.push((String::new(), role(1, &["*"], &[])));
        let grants = Grants::new(granted);
        assert!(grants.permits("x/share/action", "/subscriptions/s"));
        assert!(!grants.permits("x/share/action", "/subscriptions/t"));
        assert_eq!(grants.count(), 2);
    }

    #[test]
    fn below_leaves_out_neighbours() {
        let reader = role(1, &["*/read"], &[]);
        let keys = ["/a/b", "/a/b-2/c/d", "/a/b/c/d", "/a/b/c/e", "/a/b0", "/a/c"];
        let grants = Grants::new(keys.map(|key| (key.to_owned(), Arc::clone(&reader))).into());
        let below: Vec<&str> = grants.below("/a/b").map(|(key, _)| key).collect();
        assert_eq!(below, ["/a/b/c/d", "/a/b/c/e"]);
    }

    #[test]
    fn what_is_replaced_at_a_scope_is_what_would_have_been_compiled() {
        let (one, two) = (role(1, &["*/read"], &[]), role(2, &["*/write"], &[]));
        let at = |key: &str, role: &Arc<Role>| (key.to_owned(), Arc::clone(role));
        let mut grants = Grants::new(vec![at("/a/b", &one), at("/a/b", &two), at("/a/c", &one)]);
        let before = grants.clone();
        grants.set("/a/b", &[Arc::clone(&two), Arc::clone(&two)]);
        grants.set("/a/c", &[]);
        grants.set("/a/d", &[]);
        grants.set("/a/e", &[Arc::clone(&one)]);
        assert_eq!(grants, Grants::new(vec![at("/a/e", &one), at("/a/b", &two)]));
        assert_eq!((before.count(), grants.count()), (3, 2));
        assert!(before.permits("x/read", "/a/b") && !grants.permits("x/read", "/a/b"));
    }
}
