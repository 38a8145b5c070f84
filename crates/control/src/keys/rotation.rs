//! Token keys come and go without anybody noticing.
//!
//! ```text
//! made ---- published, does not sign yet ----> signs ---- a newer one signs: verifies ----> retired
//!           PUBLISHED_MS                               until its last token has ended
//! ```
//!
//! What a key does follows from when the keys were made; nothing else is kept. A process reads the keys again more often than a
//! new one is published before it signs, so every process, and every client that asks for keys once an hour, knows a key
//! before it sees a token of it.

use galerie_arm::ArmError;
use uuid::Uuid;

use super::TOKEN;
use crate::{
    Control, audit,
    db::{
        self, Connection, transact,
        wrapped_key::{self, WrappedKeyRow},
    },
    identity::TOKEN_LIFETIME_S,
    request::RequestContext,
};

/// How long a key is published before it signs.
const PUBLISHED_MS: i64 = 3600 * 1000;
/// How long after the next one began to sign a key still verifies: its last token, with room for clocks that differ.
const VERIFIES_MS: i64 = TOKEN_LIFETIME_S as i64 * 1000 + 3600 * 1000;
/// After how long a key is replaced.
const LIFETIME_MS: i64 = 90 * 24 * 3600 * 1000;
const ROTATE: &str = "Galerie/keys/rotate/action";
/// Keys at once; more are not made until one is retired.
const MOST_KEYS: usize = 8;

/// Which of the keys signs, by the times when they were made, the newest first: the newest that was published for long
/// enough, or else the oldest.
pub(super) fn signing(created_ms: &[i64], now_ms: i64) -> usize {
    let is_known = |created_ms: &i64| created_ms.saturating_add(PUBLISHED_MS) <= now_ms;
    created_ms.iter().position(is_known).unwrap_or(created_ms.len().saturating_sub(1))
}

/// How many of the keys, from the newest on, are still needed.
fn needed(created_ms: &[i64], now_ms: i64) -> usize {
    let signs = signing(created_ms, now_ms);
    let began_ms = created_ms.get(signs).map_or(i64::MAX, |created_ms| created_ms.saturating_add(PUBLISHED_MS));
    if began_ms.saturating_add(VERIFIES_MS) <= now_ms { signs + 1 } else { created_ms.len() }
}

impl Control {
    /// Makes a new token key now: it signs in an hour, and nobody is signed out.
    ///
    /// # Errors
    /// `AuthorizationFailed`; `Conflict` when there are too many keys.
    pub async fn rotate_keys(&self, ctx: &RequestContext) -> Result<(), ArmError> {
        transact!(self.db(), |tx| -> Result<(), ArmError> {
            self.require_operator(tx, &ctx.caller, ROTATE).await?;
            let rows = token_keys(tx).await?;
            if rows.len() >= MOST_KEYS {
                let message = format!("There are {MOST_KEYS} token keys; wait until one is retired, within hours.");
                return Err(ArmError::new(409, "Conflict", message));
            }
            let now_ms = tx.now_ms().await?;
            let row = self.keys().new_token_key(after(&rows, now_ms)).map_err(crate::Error::from)?;
            wrapped_key::insert(tx, &row).await?;
            audit::record(tx, ctx, now_ms, ROTATE, "/galerie/keys", None).await
        })?;
        self.reload_keys().await
    }

    /// Reads the token keys again.
    ///
    /// # Errors
    /// The catalogue's.
    pub(crate) async fn reload_keys(&self) -> Result<(), ArmError> {
        let rows = token_keys(&mut *self.db().read().await?).await?;
        Ok(self.keys().reload_tokens(&rows).map_err(crate::Error::from)?)
    }

    /// Makes the key that is due and retires those that no token needs any more; then reads the keys again.
    ///
    /// # Errors
    /// The catalogue's.
    pub(crate) async fn tend_keys(&self) -> Result<(), ArmError> {
        let now_ms = self.now_ms();
        let rows = token_keys(&mut *self.db().read().await?).await?;
        if is_due(&rows, now_ms) || !unneeded(&rows, now_ms).is_empty() {
            let (retired, made) = transact!(self.db(), |tx| -> Result<(Vec<Uuid>, Option<Uuid>), ArmError> {
                let now_ms = tx.now_ms().await?;
                let rows = token_keys(tx).await?;
                let retired = unneeded(&rows, now_ms);
                for id in &retired {
                    wrapped_key::retire(tx, *id, now_ms).await?;
                }
                if !is_due(&rows, now_ms) {
                    return Ok((retired, None));
                }
                let row = self.keys().new_token_key(after(&rows, now_ms)).map_err(crate::Error::from)?;
                wrapped_key::insert(tx, &row).await?;
                Ok((retired, Some(row.id)))
            })?;
            for id in retired {
                tracing::info!(key = %id.simple(), "retired a token key");
            }
            if let Some(id) = made {
                tracing::info!(key = %id.simple(), "made a new token key");
            }
        }
        self.reload_keys().await
    }
}

/// The newest first.
async fn token_keys(tx: &mut Connection) -> db::Result<Vec<WrappedKeyRow>> {
    let mut rows = wrapped_key::list_live(tx).await?;
    rows.retain(|row| row.purpose == TOKEN);
    Ok(rows)
}

/// When a new key counts as made: now, and after the newest, whatever the clock says.
fn after(rows: &[WrappedKeyRow], now_ms: i64) -> i64 {
    rows.first().map_or(now_ms, |newest| now_ms.max(newest.created_ms.saturating_add(1)))
}

fn is_due(rows: &[WrappedKeyRow], now_ms: i64) -> bool {
    rows.first().is_some_and(|newest| newest.created_ms.saturating_add(LIFETIME_MS) <= now_ms)
}

fn unneeded(rows: &[WrappedKeyRow], now_ms: i64) -> Vec<Uuid> {
    let created_ms: Vec<i64> = rows.iter().map(|row| row.created_ms).collect();
    rows.iter().skip(needed(&created_ms, now_ms)).map(|row| row.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_signs_once_it_was_published_and_verifies_until_its_last_token_ended() {
        let (old, new) = (0, 1_000_000_000);
        let signs_ms = new + PUBLISHED_MS;
        for (now_ms, signing_key, keys) in [
            (new, 1, 2),
            (signs_ms - 1, 1, 2),
            (signs_ms, 0, 2),
            (signs_ms + VERIFIES_MS - 1, 0, 2),
            (signs_ms + VERIFIES_MS, 0, 1),
        ] {
            assert_eq!((signing(&[new, old], now_ms), needed(&[new, old], now_ms)), (signing_key, keys), "{now_ms}");
        }
        assert_eq!((signing(&[5], 5), needed(&[5], 5)), (0, 1), "the first key of all signs at once");
        assert_eq!(needed(&[5], i64::MAX), 1);
    }

    #[test]
    fn the_keys_last_token_ends_before_it_is_retired() {
        assert!(VERIFIES_MS > TOKEN_LIFETIME_S as i64 * 1000);
    }
}
