//! Answers of Resource Manager that go wrong on purpose, for people who test their clients (`docs/design/faults.md`).
//!
//! Faults strike calls whose caller is known, as the real service's throttles do, and never our own routes (`/galerie/...`), so
//! that whoever tests keeps a way in. Which calls are struck is decided by counting, or by a seed: the same calls in the same
//! order are struck again. An answer that was altered says so in `x-galerie-fault`.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use axum::{
    http::{HeaderName, HeaderValue, Method, header},
    response::Response,
};
use galerie_arm::ArmError;

use super::{answer_admitted, call::Call, response};

const FAULT: HeaderName = HeaderName::from_static("x-galerie-fault");

/// Everything that is wrong on purpose in this server.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// All of it, as it was asked for: what `/healthz` says.
    pub said: Vec<String>,
    /// What is wrong with answers.
    pub answers: Vec<AnswerFault>,
}

/// One way in which answers go wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerFault {
    /// As it was asked for.
    pub text: String,
    /// Only calls with this method; all without one.
    pub method: Option<Method>,
    /// Which of them.
    pub strikes: Strikes,
    /// What happens to them.
    pub what: AnswerTrouble,
}

/// Which calls are struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strikes {
    /// Each of so many: 1 is all.
    Every(u64),
    /// So many of a thousand, by a seed.
    PerMille(u64, u64),
}

/// What happens to a call that is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerTrouble {
    /// 429, without doing anything.
    Throttled {
        /// What `Retry-After` says.
        retry_after_s: u64,
    },
    /// A server's error.
    Failed {
        /// 500, 502, 503 or 504.
        status: u16,
        /// What `Retry-After` says, if there is one.
        retry_after_s: Option<u64>,
        /// Whether the call is carried out first, so that only its answer is lost.
        after: bool,
    },
    /// The answer comes later, by a time between the two.
    Late(Duration, Duration),
}

/// Faults that are counting.
#[derive(Debug)]
pub(crate) struct ArmedFaults(Vec<(AnswerFault, AtomicU64)>);

impl ArmedFaults {
    pub(crate) fn new(faults: &[AnswerFault]) -> Self {
        Self(faults.iter().map(|fault| (fault.clone(), AtomicU64::new(0))).collect())
    }

    /// The faults that strike a call, in the order in which they were asked for, each with a number that decides what it leaves
    /// open.
    fn strike(&self, call: &Call) -> Vec<(&AnswerFault, u64)> {
        if self.0.is_empty() || super::is_own(&call.segments) {
            return Vec::new();
        }
        let meant =
            self.0.iter().filter(|(fault, _)| fault.method.as_ref().is_none_or(|method| *method == call.method));
        meant
            .filter_map(|(fault, calls)| fault.strikes.hit(calls.fetch_add(1, Ordering::Relaxed)).map(|n| (fault, n)))
            .collect()
    }
}

impl Strikes {
    /// Whether the call is struck before which `earlier` came.
    fn hit(self, earlier: u64) -> Option<u64> {
        match self {
            Self::Every(each) => (earlier % each == each - 1).then(|| mix(earlier)),
            Self::PerMille(share, seed) => {
                let number = mix(seed.wrapping_add(mix(earlier)));
                (number % 1000 < share).then(|| mix(number))
            }
        }
    }
}

/// The next number of SplitMix64 (Steele, Lea, Flood 2014) after a state.
fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Answers a call, after whatever strikes it.
pub(super) async fn answer(call: Call) -> Response {
    let state = call.state.clone();
    let struck = state.faults.strike(&call);
    if struck.is_empty() {
        return answer_admitted(call).await;
    }
    let mut lost = None;
    let mut said = Vec::new();
    for (fault, number) in struck {
        said.push(&fault.text);
        match fault.what {
            AnswerTrouble::Late(least, most) => tokio::time::sleep(between(least, most, number)).await,
            AnswerTrouble::Throttled { retry_after_s } => {
                return mark(failure(&ArmError::too_many_requests(), Some(retry_after_s), &call), &said);
            }
            AnswerTrouble::Failed { status, retry_after_s, after } => {
                let failed = failure(&server_error(status), retry_after_s, &call);
                if !after {
                    return mark(failed, &said);
                }
                lost = Some(failed);
            }
        }
    }
    let answered = answer_admitted(call).await;
    mark(lost.unwrap_or(answered), &said)
}

fn between(least: Duration, most: Duration, number: u64) -> Duration {
    let span_ms = u64::try_from(most.saturating_sub(least).as_millis()).unwrap_or(u64::MAX);
    least + Duration::from_millis(number % span_ms.saturating_add(1))
}

fn server_error(status: u16) -> ArmError {
    let code = match status {
        502 => "BadGateway",
        503 => "ServiceUnavailable",
        504 => "GatewayTimeout",
        _ => "InternalServerError",
    };
    ArmError::new(status, code, "An injected fault: this server was started with faults on purpose (--fault).")
}

fn failure(error: &ArmError, retry_after_s: Option<u64>, call: &Call) -> Response {
    let mut response = response::error(error);
    match retry_after_s {
        Some(seconds) => response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds)),
        None => response.headers_mut().remove(header::RETRY_AFTER),
    };
    response.extensions_mut().insert(call.caller.clone());
    response
}

fn mark(mut response: Response, said: &[&String]) -> Response {
    for text in said {
        // What was asked for on a command line is printable, or not worth a header.
        if let Ok(value) = HeaderValue::from_str(text) {
            response.headers_mut().append(FAULT, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn struck(strikes: Strikes, calls: u64) -> Vec<u64> {
        (0..calls).filter(|earlier| strikes.hit(*earlier).is_some()).collect()
    }

    #[test]
    fn every_so_many_and_a_share() {
        assert_eq!(struck(Strikes::Every(1), 3), [0, 1, 2]);
        assert_eq!(struck(Strikes::Every(5), 20), [4, 9, 14, 19]);
        let seven = struck(Strikes::PerMille(100, 7), 10_000);
        assert!((900..1100).contains(&seven.len()), "{}", seven.len());
        assert_eq!(seven, struck(Strikes::PerMille(100, 7), 10_000), "a seed decides");
        assert_ne!(seven, struck(Strikes::PerMille(100, 8), 10_000));
        assert_eq!(struck(Strikes::PerMille(1000, 1), 100).len(), 100);
    }

    #[test]
    fn latency_is_within_its_bounds() {
        let (least, most) = (Duration::from_millis(50), Duration::from_millis(52));
        let found: std::collections::BTreeSet<_> = (0..100).map(|n| between(least, most, mix(n)).as_millis()).collect();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [50, 51, 52]);
        assert_eq!(between(least, least, 7), least);
    }
}
