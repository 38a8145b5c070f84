//! Azure's budgets of requests, when the configuration asks for them (`throttling = "azure"`).
//!
//! Two gates, as in Azure. Resource Manager's: a bucket of tokens for each principal, subscription and kind of request, and one
//! for the whole subscription. The compute provider's: so many requests of an operation group in three minutes and in half an
//! hour, for each subscription. A request that a gate refuses is a 429 that says when to come again, and asks the domain
//! nothing; every answer says what is left.
//!
//! Budgets are in this process's memory: a restart fills them, and each of several processes has its own. They are for seeing
//! whether clients behave, not for protection. What is remembered is bounded ([`ledger`]). Time is the catalogue's, so it can
//! be moved with it. Our own routes (`/galerie/...`) have no budgets.

mod bucket;
mod group;
mod ledger;
mod window;

use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderName, HeaderValue, Method, header};
use galerie_arm::ArmError;
use uuid::Uuid;

use self::{
    bucket::{Bucket, Rate},
    group::Group,
    ledger::Ledger,
    window::Windows,
};
use super::{call::Call, route};

const REMAINING_RESOURCE: HeaderName = HeaderName::from_static("x-ms-ratelimit-remaining-resource");
/// How much more a whole subscription (or tenant) may do than one principal: Azure's documentation of request limits.
const WHOLE_SCOPE: i64 = 15;

/// What the budgets of Resource Manager tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Read,
    Write,
    Delete,
}

impl Kind {
    fn of(method: &Method) -> Self {
        match *method {
            Method::GET | Method::HEAD => Self::Read,
            Method::DELETE => Self::Delete,
            _ => Self::Write,
        }
    }

    /// As errors have it.
    const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Delete => "delete",
        }
    }

    /// One principal's budget: Azure's documentation of request limits, since its buckets of tokens (2024).
    const fn rate(self) -> Rate {
        match self {
            Self::Read => Rate { size: 250, per_s: 25 },
            Self::Write | Self::Delete => Rate { size: 200, per_s: 10 },
        }
    }
}

/// What a bucket of Resource Manager is of, as the callers of one tenant share it: others, who are told that there is no such
/// subscription, use up nothing of it, nor do they see what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Scope {
    Subscription {
        id: Uuid,
        callers: Uuid,
    },
    /// Requests that name no subscription.
    Tenant(Uuid),
}

impl Scope {
    const fn word(self) -> &'static str {
        match self {
            Self::Subscription { .. } => "subscription",
            Self::Tenant(_) => "tenant",
        }
    }
}

/// A request, as far as budgets tell it from others.
#[derive(Debug, Clone, Copy)]
struct Asked {
    scope: Scope,
    principal: Uuid,
    kind: Kind,
    group: Option<&'static Group>,
}

/// What the gates say.
#[derive(Debug)]
pub(super) struct Admission {
    /// Why the request is refused, if it is.
    pub(super) refusal: Option<ArmError>,
    /// For the answer, whichever it is.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

/// The budgets of everybody.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    /// `None` is the whole scope's.
    buckets: Ledger<(Scope, Option<Uuid>, Kind), Bucket>,
    windows: Ledger<(Scope, &'static str), Windows>,
}

impl Throttle {
    /// Takes a call into account; `None` for one that has no budget.
    pub(super) fn admit(&self, call: &Call) -> Option<Admission> {
        let asked = Asked::of(call)?;
        let now_ms = call.state.control.identity().now_ms();
        Some(self.0.lock().unwrap_or_else(PoisonError::into_inner).admit(asked, now_ms))
    }
}

impl Asked {
    fn of(call: &Call) -> Option<Self> {
        if super::is_own(&call.segments) {
            return None;
        }
        let scope = match super::subscription_of(&call.segments) {
            Some(id) => Scope::Subscription { id, callers: call.caller.tenant },
            None => Scope::Tenant(call.caller.tenant),
        };
        let group = route::of(&call.segments).and_then(|route| group::of(&call.method, route));
        Some(Self { scope, principal: call.caller.principal, kind: Kind::of(&call.method), group })
    }
}

impl Books {
    fn admit(&mut self, asked: Asked, now_ms: i64) -> Admission {
        let mut headers = Vec::new();
        let refusal = self.resource_manager(asked, now_ms, &mut headers);
        let refusal = refusal.or_else(|| self.provider(asked, now_ms, &mut headers));
        let refusal = refusal.map(|(error, retry_after_s)| {
            headers.push((header::RETRY_AFTER, HeaderValue::from(retry_after_s)));
            error
        });
        Admission { refusal, headers }
    }

    /// The first gate. Nothing is taken from either bucket when one of them is empty.
    fn resource_manager(
        &mut self,
        Asked { scope, principal, kind, .. }: Asked,
        now_ms: i64,
        headers: &mut Vec<(HeaderName, HeaderValue)>,
    ) -> Option<(ArmError, u64)> {
        let own_rate = kind.rate();
        let whole_rate = Rate { size: own_rate.size * WHOLE_SCOPE, per_s: own_rate.per_s * WHOLE_SCOPE };
        let new = |rate| move || Bucket::full(rate, now_ms);
        let mut own = *self.buckets.entry((scope, Some(principal), kind), now_ms, new(own_rate));
        let mut whole = *self.buckets.entry((scope, None, kind), now_ms, new(whole_rate));
        own.refill(now_ms);
        whole.refill(now_ms);
        let refused = match (own.wait_s(), whole.wait_s()) {
            (Some(wait_s), _) => Some((Some(principal), wait_s)),
            (None, Some(wait_s)) => Some((None, wait_s)),
            (None, None) => {
                own.take();
                whole.take();
                None
            }
        };
        *self.buckets.entry((scope, Some(principal), kind), now_ms, || own) = own;
        *self.buckets.entry((scope, None, kind), now_ms, || whole) = whole;
        headers.push(remaining(scope, "", kind, own.left()));
        headers.push(remaining(scope, "global-", kind, whole.left()));
        refused.map(|(actor, wait_s)| {
            let error = match scope {
                Scope::Subscription { id, .. } => {
                    ArmError::subscription_requests_throttled(kind.word(), id, actor, wait_s)
                }
                Scope::Tenant(id) => ArmError::tenant_requests_throttled(kind.word(), id, actor, wait_s),
            };
            (error, wait_s)
        })
    }

    /// The second gate. Requests that it refuses count, as in Azure: `measuredRequestCount` says how many there were.
    fn provider(
        &mut self,
        asked: Asked,
        now_ms: i64,
        headers: &mut Vec<(HeaderName, HeaderValue)>,
    ) -> Option<(ArmError, u64)> {
        let (scope @ Scope::Subscription { .. }, Some(group)) = (asked.scope, asked.group) else { return None };
        let windows = self.windows.entry((scope, group.name), now_ms, || Windows::new(now_ms));
        let overdrawn = windows.count(group, now_ms);
        let left = windows.left(group).map(|(name, left)| format!("Microsoft.Compute/{name};{left}")).join(",");
        headers.push((REMAINING_RESOURCE, HeaderValue::from_str(&left).expect("letters and digits")));
        let last_end_ms = overdrawn.iter().map(|budget| budget.end_ms).max()?;
        let wait_s = u64::try_from(last_end_ms.saturating_sub(now_ms)).unwrap_or(0).div_ceil(1000).max(1);
        Some((ArmError::too_many_compute_requests(&overdrawn), wait_s))
    }
}

/// `x-ms-ratelimit-remaining-subscription-global-reads: 3749`.
fn remaining(scope: Scope, whole: &str, kind: Kind, left: i64) -> (HeaderName, HeaderValue) {
    let name = format!("x-ms-ratelimit-remaining-{}-{whole}{}s", scope.word(), kind.word());
    (HeaderName::from_bytes(name.as_bytes()).expect("letters and dashes"), HeaderValue::from(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_800_000_000_000;

    fn subscription(id: Uuid) -> Scope {
        Scope::Subscription { id, callers: Uuid::nil() }
    }

    fn read_by(principal: u128) -> Asked {
        let (scope, principal) = (subscription(Uuid::nil()), Uuid::from_u128(principal));
        Asked { scope, principal, kind: Kind::Read, group: None }
    }

    fn header(admission: &Admission, name: &str) -> String {
        let found = admission.headers.iter().find(|(header, _)| header.as_str() == name);
        found.map(|(_, value)| value.to_str().expect("text").to_owned()).unwrap_or_default()
    }

    #[test]
    fn one_principal_has_a_bucket_and_all_of_them_fifteen() {
        let mut books = Books::default();
        for left in (0..250).rev() {
            let admission = books.admit(read_by(0), NOW_MS);
            assert!(admission.refusal.is_none());
            assert_eq!(header(&admission, "x-ms-ratelimit-remaining-subscription-reads"), left.to_string());
        }
        let refused = books.admit(read_by(0), NOW_MS);
        let error = refused.refusal.as_ref().expect("an empty bucket");
        assert_eq!((error.status, error.code.as_ref()), (429, "SubscriptionRequestsThrottled"));
        assert!(error.message.contains("actor '00000000-0000-0000-0000-000000000000'"), "{error}");
        assert_eq!(header(&refused, "retry-after"), "1");
        assert_eq!(header(&refused, "x-ms-ratelimit-remaining-subscription-global-reads"), "3500");

        for principal in 1..15 {
            (0..250).for_each(|_| assert!(books.admit(read_by(principal), NOW_MS).refusal.is_none()));
        }
        let refused = books.admit(read_by(15), NOW_MS).refusal.expect("an empty bucket of the whole subscription");
        assert!(!refused.message.contains("actor"), "{refused}");
        // 40 ms are one token for each and fifteen for all.
        assert!(books.admit(read_by(0), NOW_MS + 40).refusal.is_none());
        assert!(books.admit(read_by(0), NOW_MS + 40).refusal.is_some());
        let other = Asked { scope: subscription(Uuid::max()), ..read_by(0) };
        assert!(books.admit(other, NOW_MS).refusal.is_none(), "another subscription has its own");
        assert!(books.admit(Asked { kind: Kind::Write, ..read_by(0) }, NOW_MS).refusal.is_none());
    }

    #[test]
    fn an_operation_group_has_two_windows() {
        let mut books = Books::default();
        let share =
            Asked { kind: Kind::Write, group: group::of(&Method::POST, route::Route::GalleryShare), ..read_by(0) };
        let name = "x-ms-ratelimit-remaining-resource";
        let first = books.admit(share, NOW_MS);
        assert_eq!(
            header(&first, name),
            "Microsoft.Compute/PostShareGallery3Min;9,Microsoft.Compute/PostShareGallery30Min;59"
        );
        (1..10).for_each(|_| assert!(books.admit(share, NOW_MS + 1).refusal.is_none()));
        let refused = books.admit(share, NOW_MS + 60_500);
        assert_eq!(header(&refused, "retry-after"), "120", "119.5 s are left of three minutes");
        let stranger = Scope::Subscription { id: Uuid::nil(), callers: Uuid::max() };
        let theirs = books.admit(Asked { scope: stranger, ..share }, NOW_MS + 60_500);
        assert!(
            theirs.refusal.is_none() && header(&theirs, name).contains(";9,"),
            "other tenants' callers share nothing"
        );
        let error = refused.refusal.expect("ten are allowed");
        assert_eq!((error.code.as_ref(), error.details.len()), ("OperationNotAllowed", 1));
        assert_eq!(error.details[0].target.as_deref(), Some("PostShareGallery3Min"));
        assert!(error.details[0].message.contains("\"measuredRequestCount\":11"), "{}", error.details[0].message);

        // Six windows of three minutes are more than the half hour allows: 11 + 5 * 10 = 61.
        let mut last = None;
        for window in 1..6 {
            (0..10).for_each(|_| last = Some(books.admit(share, NOW_MS + window * 180_000)));
        }
        let last = last.expect("the 61st");
        assert_eq!(last.refusal.expect("60 are allowed").details[0].target.as_deref(), Some("PostShareGallery30Min"));
        assert!(books.admit(share, NOW_MS + 1_800_000).refusal.is_none(), "the half hour is over");
    }

    /// A clock that is put back must not leave anybody waiting for the moment to come again.
    #[test]
    fn a_clock_that_goes_back_begins_anew() {
        let mut books = Books::default();
        let share =
            Asked { kind: Kind::Write, group: group::of(&Method::POST, route::Route::GalleryShare), ..read_by(0) };
        (0..11).for_each(|_| drop(books.admit(share, NOW_MS)));
        assert!(books.admit(share, NOW_MS - 3_600_000).refusal.is_none());
        (0..250).for_each(|_| drop(books.admit(read_by(0), NOW_MS)));
        assert!(books.admit(read_by(0), NOW_MS - 3_600_000).refusal.is_some());
        assert!(books.admit(read_by(0), NOW_MS - 3_599_000).refusal.is_none(), "it fills from there");
    }
}
