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
    pub(crate) fn permits(&self, action: &str) -> bool {
        self.permissions.iter().any(|set| set.permits(action))
    }
}

/// Everything that was granted to a caller: its own assignments and its groups', by the scope's key.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Grants {
    by_scope: BTreeMap<Box<str>, Vec<Arc<Role>>>,
    count: usize,
}

impl Grants {
    /// Adds a role at a scope. Twice is once.
    pub(crate) fn add(&mut self, scope_key: &str, role: &Arc<Role>) {
        let roles = self.by_scope.entry(scope_key.into()).or_default();
        if roles.iter().all(|held| held.id != role.id) {
            roles.push(Arc::clone(role));
            self.count += 1;
        }
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
        ancestors(key).filter_map(move |above| self.by_scope.get(above)).flatten()
    }

    /// What was granted strictly below a place, by key.
    pub(crate) fn below<'a>(&'a self, key: &'a str) -> impl Iterator<Item = (&'a str, &'a [Arc<Role>])> {
        // Neighbours whose names go on (`g`, `g-2`, `g/...`) lie in between.
        let after = (Bound::Excluded(key), Bound::Unbounded);
        let entries = self.by_scope.range::<str, _>(after).take_while(move |(scope, _)| scope.starts_with(key));
        entries.filter(move |(scope, _)| is_within(scope, key)).map(|(scope, roles)| (&**scope, roles.as_slice()))
    }
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
        let mut grants = Grants::default();
        grants.add("/subscriptions/s/resourcegroups/g", &role(1, &["*/read"], &[]));
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
        let mut grants = Grants::default();
        grants.add("", &role(1, &["*"], &["x/share/action"]));
        assert!(grants.permits("x/read", "/subscriptions/s") && !grants.permits("x/share/action", "/subscriptions/s"));
        grants.add("/subscriptions/s", &role(2, &["x/share/*"], &[]));
        assert!(grants.permits("x/share/action", "/subscriptions/s"));
        assert!(!grants.permits("x/share/action", "/subscriptions/t"));
        grants.add("", &role(1, &["*"], &[]));
        assert_eq!(grants.count(), 2);
    }

    #[test]
    fn below_leaves_out_neighbours() {
        let mut grants = Grants::default();
        let reader = role(1, &["*/read"], &[]);
        for key in ["/a/b", "/a/b-2/c/d", "/a/b/c/d", "/a/b/c/e", "/a/b0", "/a/c"] {
            grants.add(key, &reader);
        }
        let below: Vec<&str> = grants.below("/a/b").map(|(key, _)| key).collect();
        assert_eq!(below, ["/a/b/c/d", "/a/b/c/e"]);
    }
}
