//! Faults on purpose, as `--fault` and `faults` in the configuration say them; `docs/design/faults.md` has the grammar.
//!
//! ```text
//! fault    = "clock" | region | throttle | error | latency
//! region   = "region=" NAME ("," trouble)+ ["," "retry=" TIME]
//! trouble  = "down" | "slow=" TIME | "fail" ["=" COUNT]
//! throttle = "throttle" ("," (which | "retry-after=" TIME))*
//! error    = "error=" STATUS ("," (which | "retry-after=" TIME | "after"))*
//! latency  = "latency=" TIME [".." TIME] ("," which)*
//! which    = "method=" METHOD | "every=" N | "share=" PERCENT ["," "seed=" N]
//! ```

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use axum::http::Method;
use galerie_api::{AnswerFault, AnswerTrouble, Strikes};
use galerie_region::RegionTrouble;
use serde::Deserialize;

use super::RegionName;
use crate::span::Span;

/// The seed of a share that names none.
const SEED: u64 = 1;
/// What a throttled answer says that names no time.
const RETRY_AFTER_S: u64 = 1;
/// The errors that can be asked for.
const STATUSES: [u16; 4] = [500, 502, 503, 504];
/// The methods that can be.
const METHODS: [Method; 5] = [Method::GET, Method::PUT, Method::PATCH, Method::POST, Method::DELETE];

/// Something that goes wrong on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Fault {
    /// As it was asked for.
    pub(crate) text: String,
    pub(crate) kind: FaultKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// A region.
    Region {
        name: RegionName,
        trouble: RegionTrouble,
        /// After how long a failed copy is tried again by itself.
        retry: Option<Duration>,
    },
    /// Answers of Resource Manager.
    Answer(AnswerFault),
    /// The clock can be moved.
    Clock,
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Parts::of(text)?;
        let first = parts.first;
        let kind = match first {
            ("clock", None) => FaultKind::Clock,
            ("region", Some(name)) => region(name, &mut parts)?,
            ("throttle", None) => {
                let retry_after_s = parts.seconds("retry-after")?.unwrap_or(RETRY_AFTER_S);
                FaultKind::Answer(answer(text, AnswerTrouble::Throttled { retry_after_s }, &mut parts)?)
            }
            ("error", Some(status)) => {
                let status = status.parse().ok().filter(|status| STATUSES.contains(status));
                let status = status.ok_or_else(|| format!("'{text}': an error is one of {STATUSES:?}"))?;
                let (retry_after_s, after) = (parts.seconds("retry-after")?, parts.flag("after")?);
                FaultKind::Answer(answer(text, AnswerTrouble::Failed { status, retry_after_s, after }, &mut parts)?)
            }
            ("latency", Some(span)) => {
                let (least, most) = span.split_once("..").unwrap_or((span, span));
                let late = AnswerTrouble::Late(parse_span(least)?, parse_span(most)?);
                if matches!(late, AnswerTrouble::Late(least, most) if least > most) {
                    return Err(format!("'{text}': the shorter latency comes first"));
                }
                FaultKind::Answer(answer(text, late, &mut parts)?)
            }
            _ => {
                return Err(format!(
                    "'{text}' is no fault: one begins with region=NAME, throttle, error=STATUS or latency=TIME, or is clock"
                ));
            }
        };
        parts.finish()?;
        Ok(Self { text: text.to_owned(), kind })
    }
}

impl TryFrom<String> for Fault {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

fn region(name: &str, parts: &mut Parts<'_>) -> Result<FaultKind, String> {
    let text = parts.text;
    let name = RegionName::try_from(name.to_owned()).map_err(|problem| format!("'{text}': {problem}"))?;
    let failing_copies = match parts.take("fail") {
        None => 0,
        Some(None) => u64::MAX,
        Some(Some(count)) => match whole(count) {
            Some(0) | None => return Err(format!("'{text}': fail takes a number of copies, 1 or more")),
            Some(count) => count,
        },
    };
    let slow = match parts.span("slow")? {
        Some(Duration::ZERO) => return Err(format!("'{text}': slow takes a time, and 0 is none")),
        slow => slow.unwrap_or_default(),
    };
    let trouble = RegionTrouble { is_down: parts.flag("down")?, slow, failing_copies };
    if trouble == RegionTrouble::default() {
        return Err(format!("'{text}' says nothing that is wrong with the region: down, slow=TIME or fail"));
    }
    Ok(FaultKind::Region { name, trouble, retry: parts.span("retry")? })
}

fn answer(text: &str, what: AnswerTrouble, parts: &mut Parts<'_>) -> Result<AnswerFault, String> {
    let method = parts.value("method")?.map(|method| {
        let found = METHODS.into_iter().find(|known| known.as_str() == method);
        found.ok_or_else(|| format!("'{text}': a method is GET, PUT, PATCH, POST or DELETE"))
    });
    let number = |text: Option<&str>| text.map(|text| whole(text).ok_or_else(|| format!("'{text}' is no number")));
    let (every, share) = (number(parts.value("every")?).transpose()?, parts.value("share")?);
    let seed = number(parts.value("seed")?).transpose()?;
    let strikes = match (every, share) {
        (Some(_), Some(_)) => return Err(format!("'{text}': either every=N or share=PERCENT")),
        (Some(0), None) => return Err(format!("'{text}': every is at least 1")),
        (_, None) if seed.is_some() => return Err(format!("'{text}': a seed goes with a share")),
        (every, None) => Strikes::Every(every.unwrap_or(1)),
        (None, Some(share)) => Strikes::PerMille(per_mille(share)?, seed.unwrap_or(SEED)),
    };
    Ok(AnswerFault { text: text.to_owned(), method: method.transpose()?, strikes, what })
}

/// `10%`, or `0.5%`.
fn per_mille(share: &str) -> Result<u64, String> {
    let invalid = || format!("'{share}' is no share such as 10% or 0.5%");
    let (whole, tenth) = {
        let percent = share.strip_suffix('%').ok_or_else(invalid)?;
        percent.split_once('.').unwrap_or((percent, "0"))
    };
    let digit = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digit(whole) || !digit(tenth) || tenth.len() != 1 {
        return Err(invalid());
    }
    let per_mille = whole.parse::<u64>().ok().and_then(|whole| whole.checked_mul(10)?.checked_add(tenth.parse().ok()?));
    per_mille.filter(|share| (1..=1000).contains(share)).ok_or_else(invalid)
}

/// Digits and nothing else.
fn whole(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn parse_span(text: &str) -> Result<Duration, String> {
    text.parse::<Span>().map(|span| span.0).map_err(|error| format!("'{text}': {error}"))
}

/// A text's parts between commas: a name, and perhaps a value.
struct Parts<'a> {
    text: &'a str,
    first: (&'a str, Option<&'a str>),
    rest: BTreeMap<&'a str, Option<&'a str>>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Result<Self, String> {
        let mut parts = text.split(',').map(|part| match part.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (part, None),
        });
        let first = parts.next().unwrap_or(("", None));
        let mut rest = BTreeMap::new();
        for (name, value) in parts {
            if rest.insert(name, value).is_some() {
                return Err(format!("'{text}' says '{name}' twice"));
            }
        }
        Ok(Self { text, first, rest })
    }

    fn take(&mut self, name: &str) -> Option<Option<&'a str>> {
        self.rest.remove(name)
    }

    fn value(&mut self, name: &str) -> Result<Option<&'a str>, String> {
        let found = self.take(name);
        found.map(|value| value.ok_or_else(|| format!("'{}': {name} needs a value", self.text))).transpose()
    }

    fn flag(&mut self, name: &str) -> Result<bool, String> {
        match self.take(name) {
            None => Ok(false),
            Some(None) => Ok(true),
            Some(Some(_)) => Err(format!("'{}': {name} takes no value", self.text)),
        }
    }

    fn span(&mut self, name: &str) -> Result<Option<Duration>, String> {
        self.value(name)?.map(parse_span).transpose()
    }

    /// Whole seconds, which is all that `Retry-After` says.
    fn seconds(&mut self, name: &str) -> Result<Option<u64>, String> {
        let Some(span) = self.span(name)? else { return Ok(None) };
        match span.subsec_nanos() {
            0 => Ok(Some(span.as_secs())),
            _ => Err(format!("'{}': {name} is whole seconds", self.text)),
        }
    }

    fn finish(self) -> Result<(), String> {
        match self.rest.keys().next() {
            None => Ok(()),
            Some(name) => Err(format!("'{}': '{name}' is nothing that this fault knows", self.text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> FaultKind {
        text.parse::<Fault>().unwrap_or_else(|problem| panic!("{problem}")).kind
    }

    #[test]
    fn regions_are_in_trouble() {
        let read = |text: &str| match kind(text) {
            FaultKind::Region { name, trouble, retry } => (name.0.to_string(), trouble, retry),
            other => panic!("{text}: {other:?}"),
        };
        let fine = RegionTrouble::default();
        let second = Duration::from_secs(1);
        for (text, trouble, retry) in [
            ("region=West Europe,fail", RegionTrouble { failing_copies: u64::MAX, ..fine }, None),
            ("region=westeurope,fail=2,retry=10s", RegionTrouble { failing_copies: 2, ..fine }, Some(10 * second)),
            ("region=westeurope,slow=5s", RegionTrouble { slow: 5 * second, ..fine }, None),
            ("region=westeurope,down", RegionTrouble { is_down: true, ..fine }, None),
        ] {
            assert_eq!(read(text), ("westeurope".to_owned(), trouble, retry), "{text}");
        }
    }

    #[test]
    fn answers_go_wrong() {
        let read = |text: &str| match kind(text) {
            FaultKind::Answer(fault) => (fault.method, fault.strikes, fault.what),
            other => panic!("{text}: {other:?}"),
        };
        let failed = |status, retry_after_s, after| AnswerTrouble::Failed { status, retry_after_s, after };
        let (all, ms) = (Strikes::Every(1), Duration::from_millis);
        for (text, expected) in [
            ("throttle", (None, all, AnswerTrouble::Throttled { retry_after_s: 1 })),
            (
                "throttle,every=5,retry-after=2s",
                (None, Strikes::Every(5), AnswerTrouble::Throttled { retry_after_s: 2 }),
            ),
            ("error=503,share=10%,seed=7", (None, Strikes::PerMille(100, 7), failed(503, None, false))),
            (
                "error=500,share=0.5%,method=PUT,after",
                (Some(Method::PUT), Strikes::PerMille(5, 1), failed(500, None, true)),
            ),
            ("error=504,retry-after=1m", (None, all, failed(504, Some(60), false))),
            ("latency=200ms", (None, all, AnswerTrouble::Late(ms(200), ms(200)))),
            ("latency=50ms..2s,method=GET", (Some(Method::GET), all, AnswerTrouble::Late(ms(50), ms(2000)))),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
        assert_eq!(kind("clock"), FaultKind::Clock);
    }

    #[test]
    fn what_is_wrong_with_a_fault_is_said() {
        for (text, expected) in [
            ("", "is no fault"),
            ("clock=8d", "is no fault"),
            ("region", "is no fault"),
            ("throttle=every:5", "is no fault"),
            ("clock,fast", "'fast' is nothing"),
            ("region=a/b,down", "not a region's name"),
            ("region=westeurope", "says nothing that is wrong"),
            ("region=westeurope,retry=10s", "says nothing that is wrong"),
            ("region=westeurope,fail=0", "1 or more"),
            ("region=westeurope,fail=+2", "1 or more"),
            ("region=westeurope,down,slow=0s", "0 is none"),
            ("region=westeurope,down,every=2", "'every' is nothing"),
            ("error=503,every=+2", "is no number"),
            ("latency=1s,retry-after=1s", "'retry-after' is nothing"),
            ("region=westeurope,fail=often", "a number of copies"),
            ("region=westeurope,slow=5", "such as 200ms"),
            ("region=westeurope,slow", "needs a value"),
            ("region=westeurope,down=yes", "takes no value"),
            ("region=westeurope,down,down", "twice"),
            ("error=404", "one of [500, 502, 503, 504]"),
            ("error=503,share=101%", "no share"),
            ("error=503,share=0%", "no share"),
            ("error=503,share=0.55%", "no share"),
            ("error=503,share=.%", "no share"),
            ("error=503,share=10%,every=2", "either every=N"),
            ("error=503,every=0", "at least 1"),
            ("error=503,every=2,seed=1", "goes with a share"),
            ("error=503,method=get", "a method is"),
            ("throttle,retry-after=200ms", "whole seconds"),
            ("throttle,after", "'after' is nothing"),
            ("latency=2s..1s", "the shorter latency"),
        ] {
            let problem = text.parse::<Fault>().expect_err(text);
            assert!(problem.contains(expected), "{text}: {problem}");
        }
    }

    /// `docs/design/faults.md`: the grammar is the one above, and its table of words says what is taken.
    #[test]
    fn the_page_says_what_is_taken() {
        let read = |path: &str| {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let page = read("../../docs/design/faults.md");
        let grammar: Vec<String> = read("src/server/config/fault.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! "))
            .filter(|line| line.contains(" = "))
            .map(|line| format!("    {line}"))
            .collect();
        assert!(grammar.len() > 5 && page.contains(&grammar.join("\n")), "the page's grammar is another one");

        let rows =
            page.lines().skip_while(|line| !line.starts_with("| word |")).take_while(|line| line.starts_with('|'));
        let cells = |row: &str| -> Vec<String> {
            row.trim_matches('|').split(" | ").map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
        };
        let mut rows = rows.map(cells);
        let kinds = rows.next().expect("a table of words");
        let (mut taken, mut refused) = (0, 0);
        for row in rows.skip(1) {
            for (kind, said) in kinds.iter().zip(&row).skip(1) {
                let text = match said.strip_prefix("with ") {
                    Some(other) => format!("{kind},{},{}", other.trim_matches('`'), row[0]),
                    None => format!("{kind},{}", row[0]),
                };
                let is_taken = text.parse::<Fault>();
                assert_eq!(is_taken.is_ok(), said != "no", "{text}: {is_taken:?}");
                if said.starts_with("with ") {
                    assert!(format!("{kind},{}", row[0]).parse::<Fault>().is_err(), "{kind} takes {} alone", row[0]);
                }
                if is_taken.is_ok() { taken += 1 } else { refused += 1 }
            }
        }
        assert!(taken >= 20 && refused >= 40, "{taken} words are taken, {refused} are not");
    }
}
