//! What a role allows: some actions, without others.

use serde::{Deserialize, Serialize};

use super::action_pattern::ActionPattern;

/// One of a role's permissions, as ARM writes it. `notActions` take away from this set's own actions only: another role, or
/// another set of the same one, may still allow them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PermissionSet {
    pub(crate) actions: Vec<ActionPattern>,
    pub(crate) not_actions: Vec<ActionPattern>,
    /// Of the bytes behind a resource. Kept and shown; no route asks for one.
    pub(crate) data_actions: Vec<ActionPattern>,
    pub(crate) not_data_actions: Vec<ActionPattern>,
}

impl PermissionSet {
    /// How long its patterns are together.
    pub(crate) fn pattern_bytes(&self) -> usize {
        let lists = [&self.actions, &self.not_actions, &self.data_actions, &self.not_data_actions];
        lists.into_iter().flatten().map(|pattern| pattern.as_str().len()).sum()
    }

    /// Whether it allows an action.
    pub(crate) fn permits(&self, action: &str) -> bool {
        let has = |patterns: &[ActionPattern]| patterns.iter().any(|pattern| pattern.matches(action));
        has(&self.actions) && !has(&self.not_actions)
    }
}
