//! How examples are asked, and how exceptions are told.

/// The examples of one part of the API.
pub(super) struct Tables {
    /// Every example.
    pub(super) rows: &'static [Row],
    /// Examples of what is not served: (how their names begin, why). Without its line, each is replayed.
    pub(super) not_served: &'static [(&'static str, &'static str)],
    /// Examples that are refused: (name, status, code, why).
    pub(super) refused: &'static [(&'static str, u16, &'static str, &'static str)],
    /// Members that examples' answers have and ours have not: (how the examples' names begin, how the JSON pointer ends, why).
    pub(super) absent_members: &'static [(&'static str, &'static str, &'static str)],
}

/// How an example is asked.
pub(super) struct Row {
    /// The example's name.
    pub(super) file: &'static str,
    pub(super) method: &'static str,
    /// With the example's parameters between braces.
    pub(super) path: &'static str,
    /// Which parameter is the body; empty for none.
    pub(super) body: &'static str,
    /// Examples that are asked before, in order; each perhaps with changes of its body (`pointer=value`) after it.
    pub(super) given: &'static [&'static str],
}

impl Row {
    /// Whether somebody of another tenant asks.
    pub(super) fn is_asked_by_consumer(&self) -> bool {
        self.path.contains("/locations/")
    }
}

pub(super) const fn row(
    file: &'static str,
    method: &'static str,
    path: &'static str,
    body: &'static str,
    given: &'static [&'static str],
) -> Row {
    Row { file, method, path, body, given }
}
