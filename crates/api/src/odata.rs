//! `$filter` as Azure's lists take it: conditions joined by `and`, each `name eq 'value'` or `name('value')`. What a list makes
//! of them is its own; what none of them understands is refused by all, since a list that ignores its filter would mislead.
//!
//! Graph's filters have another grammar, which is `graph::filter`'s.

/// Longest filter that is read, in bytes.
const LONGEST_FILTER_BYTES: usize = 4096;

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    /// In small letters.
    pub(crate) name: String,
    pub(crate) test: Test,
}

/// What a condition says of its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Test {
    /// `name operator 'value'`; the operator in small letters. Some clients leave the quotes out.
    Compare { operator: String, value: String, is_quoted: bool },
    /// `name('value')`; empty for `name()`.
    Call(String),
}

impl Condition {
    /// The quoted text that the name must equal.
    pub(crate) fn equal_text(&self) -> Option<&str> {
        match &self.test {
            Test::Compare { operator, value, is_quoted: true } if operator == "eq" => Some(value),
            _ => None,
        }
    }
}

/// The conditions of a filter, of which there are none when there is no filter; `None` for what is no filter.
pub(crate) fn conditions(text: Option<&str>) -> Option<Vec<Condition>> {
    let mut rest = text.unwrap_or_default().trim();
    let mut found = Vec::new();
    if rest.len() > LONGEST_FILTER_BYTES {
        return None;
    }
    while !rest.is_empty() {
        let (condition, after) = condition(rest)?;
        found.push(condition);
        rest = after.trim_start();
        if !rest.is_empty() {
            let (join, after) = word(rest)?;
            rest = after.trim_start();
            if join != "and" || rest.is_empty() {
                return None;
            }
        }
    }
    Some(found)
}

/// The condition that a text begins with, and what follows it.
fn condition(text: &str) -> Option<(Condition, &str)> {
    let (name, after) = word(text)?;
    let after = after.trim_start();
    if let Some(inside) = after.strip_prefix('(') {
        let inside = inside.trim_start();
        let (value, after) = quoted(inside).unwrap_or((String::new(), inside));
        return Some((Condition { name, test: Test::Call(value) }, after.trim_start().strip_prefix(')')?));
    }
    let (operator, after) = word(after)?;
    let after = after.strip_prefix(char::is_whitespace)?.trim_start();
    let (value, after, is_quoted) = match quoted(after) {
        Some((value, after)) => (value, after, true),
        None => {
            let end = after.find(char::is_whitespace).unwrap_or(after.len());
            (after[..end].to_owned(), &after[end..], false)
        }
    };
    if !is_quoted && (value.is_empty() || value.contains('\'')) {
        return None;
    }
    Some((Condition { name, test: Test::Compare { operator, value, is_quoted } }, after))
}

/// The word that a text begins with, in small letters, and what follows it.
fn word(text: &str) -> Option<(String, &str)> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    (end > 0).then(|| (text[..end].to_ascii_lowercase(), &text[end..]))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compare(name: &str, operator: &str, value: &str, is_quoted: bool) -> Condition {
        let test = Test::Compare { operator: operator.to_owned(), value: value.to_owned(), is_quoted };
        Condition { name: name.to_owned(), test }
    }

    #[test]
    fn what_clients_send() {
        let call = |name: &str, value: &str| Condition { name: name.to_owned(), test: Test::Call(value.to_owned()) };
        for (text, expected) in [
            ("", vec![]),
            (" resourceGroup EQ 'r ''g' ", vec![compare("resourcegroup", "eq", "r 'g", true)]),
            (
                "a eq 'x' And b ge 2026-11-26T09:00:00.5+01:00",
                vec![compare("a", "eq", "x", true), compare("b", "ge", "2026-11-26T09:00:00.5+01:00", false)],
            ),
            ("atScope() and assignedTo( 'me' )", vec![call("atscope", ""), call("assignedto", "me")]),
        ] {
            assert_eq!(conditions(Some(text)), Some(expected), "{text}");
        }
        assert_eq!(conditions(None), Some(vec![]));
    }

    #[test]
    fn what_is_no_filter() {
        let long = format!("a eq '{}'", "x".repeat(LONGEST_FILTER_BYTES));
        for text in [
            "a",
            "a eq",
            "a eq ",
            "a eq'x'",
            "a eq 'x",
            "a eq x'y'",
            "a eq 'x' and",
            "a eq 'x' or b eq 'y'",
            "a eq 'x'b",
            "a(",
            "a('x'",
            "'x'",
            "and",
            &long,
        ] {
            assert_eq!(conditions(Some(text)), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "[ a-zA-Z'()and]{0,60}|.{0,40}") {
            let _ = conditions(Some(&text));
        }
    }
}
