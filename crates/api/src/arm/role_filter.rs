//! `$filter` of role definitions and role assignments: `atScope()`, `assignedTo('x')`, `name eq 'x'`, joined by `and`.

use galerie_arm::ArmError;
use galerie_control::{AssignmentFilter, DefinitionFilter};
use uuid::Uuid;

/// Longest filter that is read, in bytes.
const LONGEST_FILTER_BYTES: usize = 2048;

/// One condition of a filter.
#[derive(Debug, PartialEq, Eq)]
struct Clause {
    /// Folded.
    name: String,
    is_call: bool,
    value: String,
}

/// Which assignments are asked for; no filter narrows nothing.
///
/// # Errors
/// `UnsupportedQuery` for anything else: a list that ignores its filter would mislead.
pub(super) fn of_assignments(text: Option<&str>) -> Result<AssignmentFilter, ArmError> {
    let mut filter = AssignmentFilter::default();
    let unsupported = || ArmError::unsupported_filter(text.unwrap_or_default());
    for clause in clauses(text).ok_or_else(unsupported)? {
        let id = || Uuid::try_parse(&clause.value).map_err(|_| unsupported());
        match (clause.name.as_str(), clause.is_call) {
            ("atscope", true) if clause.value.is_empty() => filter.at_scope = true,
            ("assignedto", true) => filter.assigned_to = Some(id()?),
            ("principalid", false) => filter.principal = Some(id()?),
            _ => return Err(unsupported()),
        }
    }
    Ok(filter)
}

/// Which role definitions are asked for.
///
/// # Errors
/// As [`of_assignments`].
pub(super) fn of_definitions(text: Option<&str>) -> Result<DefinitionFilter, ArmError> {
    let mut filter = DefinitionFilter::default();
    let unsupported = || ArmError::unsupported_filter(text.unwrap_or_default());
    for clause in clauses(text).ok_or_else(unsupported)? {
        match (clause.name.as_str(), clause.is_call) {
            ("rolename", false) => filter.role_name = Some(clause.value),
            ("type", false) => filter.role_type = Some(clause.value),
            ("atscopeandbelow", true) if clause.value.is_empty() => filter.and_below = true,
            _ => return Err(unsupported()),
        }
    }
    Ok(filter)
}

/// `None` for what is no list of clauses.
fn clauses(text: Option<&str>) -> Option<Vec<Clause>> {
    let mut rest = text.unwrap_or_default().trim();
    let mut found = Vec::new();
    if rest.len() > LONGEST_FILTER_BYTES {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let name = name.to_ascii_lowercase();
        let after = after.trim_start();
        let (is_call, value, after) = match after.strip_prefix('(') {
            Some(inside) => {
                let (value, after) = quoted(inside.trim_start()).unwrap_or((String::new(), inside));
                (true, value, after.trim_start().strip_prefix(')')?)
            }
            None => {
                let after = strip_word(after, "eq")?;
                let (value, after) = quoted(after).or_else(|| bare(after))?;
                (false, value, after)
            }
        };
        found.push(Clause { name, is_call, value });
        rest = after.trim_start();
        if !rest.is_empty() {
            rest = strip_word(rest, "and").filter(|rest| !rest.is_empty())?;
        }
    }
    Some(found)
}

/// What follows a word, without regard to case.
fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (start, after) = text.split_at_checked(word.len())?;
    let is_whole = start.eq_ignore_ascii_case(word) && after.starts_with(char::is_whitespace);
    is_whole.then(|| after.trim_start())
}

/// A quoted text, in which a doubled quote is one, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('\'')?;
    let mut value = String::new();
    loop {
        let (part, after) = rest.split_once('\'')?;
        value.push_str(part);
        match after.strip_prefix('\'') {
            Some(more) => {
                value.push('\'');
                rest = more;
            }
            None => return Some((value, after)),
        }
    }
}

/// A value without quotes, as some clients send ids.
fn bare(text: &str) -> Option<(String, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).unwrap_or(text.len());
    (end > 0).then(|| (text[..end].to_owned(), &text[end..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "ce2ce14e-85d7-4629-bdbc-454d0519d987";

    #[test]
    fn what_clients_send() {
        let id = Uuid::try_parse(ID).unwrap();
        let (at_scope, of) = (true, Some(id));
        for (text, expected) in [
            (String::new(), Some(AssignmentFilter::default())),
            ("atScope()".to_owned(), Some(AssignmentFilter { at_scope, ..Default::default() })),
            (format!("principalId eq '{ID}'"), Some(AssignmentFilter { principal: of, ..Default::default() })),
            (format!("principalId eq {ID}"), Some(AssignmentFilter { principal: of, ..Default::default() })),
            (
                format!("atScope() and assignedTo('{ID}')"),
                Some(AssignmentFilter { at_scope, assigned_to: of, ..Default::default() }),
            ),
            (format!("assignedTo('{ID}"), None),
            (format!("principalId ne '{ID}'"), None),
            ("principalId eq 'me'".to_owned(), None),
            ("atScope() or atScope()".to_owned(), None),
            ("atScope() and".to_owned(), None),
            ("tagName eq 'x'".to_owned(), None),
        ] {
            assert_eq!(of_assignments(Some(&text)).ok(), expected, "{text}");
        }
        let named = |name: &str| Some(DefinitionFilter { role_name: Some(name.to_owned()), ..Default::default() });
        assert_eq!(of_definitions(Some("roleName eq 'It''s a role'")).ok(), named("It's a role"));
        let both = of_definitions(Some("atScopeAndBelow() and type eq 'CustomRole'")).unwrap();
        assert_eq!((both.and_below, both.role_type.as_deref()), (true, Some("CustomRole")));
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "[ a-zA-Z'()and]{0,60}|.{0,40}") {
            let _ = (of_assignments(Some(&text)), of_definitions(Some(&text)));
        }
    }
}
