//! The keys of an issuer: read again now and then, and kept in the catalogue for when the issuer is not there.
//!
//! ```text
//!                 every 10 min; an unknown kid, at most once a minute
//!   issuer ------------------------------------------------------------> memory -- changed, or an hour old --> catalogue
//!                                                                          ^ at a start, and when the issuer is down |
//!                                                                          +-----------------------------------------+
//! ```
//! What a reading does not name any more is forgotten. Keys that no reading has confirmed for a week are used no more.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Derived, ExternalIssuer, documents, issuer_key::IssuerKey};
use crate::db::{self, Connection, Db, setting, transact};

/// Between two readings that a token's unknown key asks for: whoever makes such tokens up does not make us a nuisance.
const UNKNOWN_KEY_PAUSE_MS: u64 = 60_000;
/// The same after a reading that failed: the issuer may come up any moment.
const FAILED_PAUSE_MS: u64 = 5_000;
/// How long keys are used that the issuer does not confirm.
const LONGEST_USE_MS: i64 = 7 * 24 * 3600 * 1000;
/// How old the catalogue's copy may be while the keys stay the same.
const KEPT_AGAIN_MS: i64 = 3600 * 1000;

/// What is known of an issuer's keys, and kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    issuer: String,
    /// When the issuer last showed them.
    read_ms: i64,
    keys: Vec<IssuerKey>,
}

/// The keys of one issuer.
#[derive(Debug)]
pub(super) struct KeyCache {
    /// The setting that the catalogue keeps them in.
    name: String,
    known: Mutex<Arc<Known>>,
    /// The last time that the issuer was asked. Held while it is.
    asked: tokio::sync::Mutex<Option<Asked>>,
}

/// A time that an issuer was asked.
#[derive(Debug, Clone, Copy)]
struct Asked {
    at_ms: i64,
    failed: bool,
}

/// Whether there is a key.
pub(super) enum Lookup {
    Found(Box<IssuerKey>),
    /// There are others.
    Unknown,
    /// There are none.
    NoKeys,
}

impl KeyCache {
    /// With the keys that the catalogue kept.
    pub(super) async fn open(tx: &mut Connection, tenant: Uuid, issuer: &str) -> db::Result<Self> {
        let name = format!("{}{}", setting::ISSUER_KEYS, Derived::Keys.id(tenant, issuer));
        let kept = kept(tx, &name, issuer).await?.unwrap_or_default();
        Ok(Self { name, known: Mutex::new(Arc::new(kept)), asked: tokio::sync::Mutex::default() })
    }

    fn known(&self) -> Arc<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn find(&self, kid: &str, now_ms: i64) -> Lookup {
        let known = self.known();
        if known.keys.is_empty() || now_ms.saturating_sub(known.read_ms) > LONGEST_USE_MS {
            return Lookup::NoKeys;
        }
        let found = known.keys.iter().find(|key| key.kid == kid);
        found.map_or(Lookup::Unknown, |key| Lookup::Found(Box::new(key.clone())))
    }

    /// The key of a name; asks the issuer for one that is not known, if it was not asked just now.
    ///
    /// # Errors
    /// The catalogue's.
    pub(super) async fn key(&self, db: &Db, issuer: &ExternalIssuer, kid: &str) -> db::Result<Lookup> {
        if let found @ Lookup::Found(_) = self.find(kid, db.time().now_ms()) {
            return Ok(found);
        }
        let mut asked = self.asked.lock().await;
        // Whoever held the lock may have brought it.
        let now_ms = db.time().now_ms();
        if let found @ Lookup::Found(_) = self.find(kid, now_ms) {
            return Ok(found);
        }
        // The clock may have been put back meanwhile.
        let is_time = |last: Asked| {
            let pause_ms = if last.failed { FAILED_PAUSE_MS } else { UNKNOWN_KEY_PAUSE_MS };
            now_ms.abs_diff(last.at_ms) >= pause_ms
        };
        if asked.is_none_or(is_time) {
            let is_read = self.read(db, issuer, now_ms).await?;
            // Afterwards: an issuer that keeps us waiting is not asked by each of those who wait.
            *asked = Some(Asked { at_ms: db.time().now_ms(), failed: !is_read });
        }
        Ok(self.find(kid, now_ms))
    }

    /// Reads the keys again.
    ///
    /// # Errors
    /// The catalogue's; an issuer that does not answer is logged.
    pub(super) async fn reload(&self, db: &Db, issuer: &ExternalIssuer) -> db::Result<()> {
        let mut asked = self.asked.lock().await;
        let now_ms = db.time().now_ms();
        let is_read = self.read(db, issuer, now_ms).await?;
        *asked = Some(Asked { at_ms: db.time().now_ms(), failed: !is_read });
        Ok(())
    }

    /// Whether the issuer showed its keys.
    async fn read(&self, db: &Db, issuer: &ExternalIssuer, now_ms: i64) -> db::Result<bool> {
        let former = self.known();
        match documents::read_keys(issuer).await {
            Ok(keys) => {
                let known = Known { issuer: issuer.issuer.clone(), read_ms: now_ms, keys };
                self.set(known.clone());
                self.keep(db, &known).await?;
                Ok(true)
            }
            Err(problem) => {
                tracing::warn!(issuer = issuer.issuer, problem, "read the keys of an external issuer");
                // Another process may have read them, or a former start.
                match kept(&mut *db.read().await?, &self.name, &issuer.issuer).await? {
                    Some(kept) if kept.read_ms > former.read_ms => self.set(kept),
                    _ => {}
                }
                Ok(false)
            }
        }
    }

    fn set(&self, known: Known) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
    }

    /// Keeps them in the catalogue, unless what is there says the same.
    async fn keep(&self, db: &Db, known: &Known) -> db::Result<()> {
        let there = kept(&mut *db.read().await?, &self.name, &known.issuer).await?;
        let is_fresh = |there: &Known| {
            there.keys == known.keys && known.read_ms.abs_diff(there.read_ms) < KEPT_AGAIN_MS.unsigned_abs()
        };
        if there.as_ref().is_some_and(is_fresh) {
            return Ok(());
        }
        let text = serde_json::to_string(known).expect("texts and numbers are JSON");
        transact!(db, |tx| -> db::Result<()> { setting::put(tx, &self.name, &text).await })
    }
}

/// What the catalogue has; `None` when it has nothing that can be read, which the next reading mends.
async fn kept(tx: &mut Connection, name: &str, issuer: &str) -> db::Result<Option<Known>> {
    let text = setting::find(tx, name).await?;
    let known = text.and_then(|text| serde_json::from_str::<Known>(&text).ok());
    Ok(known.filter(|known| known.issuer == issuer))
}
