//! Sessions: where a user is signed in, and the refresh tokens that keep them.
//!
//! A refresh token says (session, generation) under a keyed hash and is kept nowhere. Each use moves the session on to its next
//! generation. A token of an earlier one was copied: either its thief or its owner was faster, and nobody can tell which, so
//! the session ends. Clients ask twice at once, though, and lose answers, so for a few seconds the former token is answered
//! with the very same successor.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::SecretString;
use uuid::Uuid;

use super::{
    ClientApplication, ClientProof, Identity, IdentityError, IssuedToken, SignedInUser, TokenShape, client, resource,
    token,
};
use crate::db::{
    Connection, session,
    session::SessionRow,
    transact,
    user::{self, UserRow},
};

/// How long a session lasts, and how long without use.
const SESSION_LIFETIME_MS: i64 = 90 * 24 * 3600 * 1000;
const SESSION_IDLE_MS: i64 = 14 * 24 * 3600 * 1000;
/// How long the former refresh token is answered with its successor.
const GRACE_MS: i64 = 10_000;
/// Sessions that a user has beside a new one.
const MOST_OTHERS: u32 = 49;
/// What the keyed hash of a refresh token is for.
const PURPOSE: &str = "refresh";
/// Session, generation and tag.
const TOKEN_BYTES: usize = 16 + 8 + 32;

/// What a user's sign-in gives a client.
#[derive(Debug, Clone)]
pub struct UserTokens {
    /// For the resource that was asked for.
    pub access: IssuedToken,
    /// Who signed in, for the client itself.
    pub id_token: String,
    /// For more of them.
    pub refresh_token: SecretString,
    /// Who signed in.
    pub user: SignedInUser,
}

/// What became of a refresh token.
enum Refreshed {
    Session(Box<(SessionRow, UserRow)>),
    Refused(&'static str),
}

impl Identity {
    /// Begins a session of a user.
    pub(super) async fn begin_session(
        &self,
        tx: &mut Connection,
        id: Uuid,
        user: &UserRow,
        app_id: Uuid,
    ) -> Result<SessionRow, IdentityError> {
        let now_ms = tx.now_ms().await?;
        let session = SessionRow {
            id,
            tenant: user.object.tenant,
            user: user.object.id,
            app_id,
            generation: 1,
            rotated_ms: now_ms,
            created_ms: now_ms,
            expires_ms: now_ms.saturating_add(SESSION_LIFETIME_MS),
        };
        session::insert(tx, &session, MOST_OTHERS).await?;
        Ok(session)
    }

    /// The tokens of a session, as it is now.
    pub(super) async fn tokens(
        &self,
        tx: &mut Connection,
        session: &SessionRow,
        user: &UserRow,
        (proof, nonce): (&str, Option<&str>),
        shape: &TokenShape,
    ) -> Result<UserTokens, IdentityError> {
        let now_ms = tx.now_ms().await?;
        let key = self.keys.token(now_ms);
        let through = (session.app_id, session.id, proof);
        let roles = resource::roles_of_user(tx, user, session.app_id, shape).await?;
        let access = token::for_user(tx, &key, user, through, roles.at_resource, shape, now_ms).await?;
        let id_token = token::id_token(&key, user, (session.app_id, &roles.at_client), nonce, shape, now_ms)?;
        let refresh_token = self.refresh_token(session.id, session.generation);
        let (id, tenant, name) = (user.object.id, user.object.tenant, user.name.clone());
        Ok(UserTokens { access, id_token, refresh_token, user: SignedInUser { id, tenant, name } })
    }

    /// New tokens for a refresh token. `tenant` is whose it must be; `None`: any.
    ///
    /// # Errors
    /// `InvalidGrant`, also for a token that was used before, which ends its session.
    pub async fn refresh(
        &self,
        client: &ClientApplication,
        proof: &ClientProof,
        refresh_token: &str,
        tenant: Option<Uuid>,
        shape: &TokenShape,
    ) -> Result<UserTokens, IdentityError> {
        let invalid = IdentityError::InvalidGrant;
        let (id, generation) =
            self.read_refresh_token(refresh_token).ok_or_else(|| invalid("it is no refresh token"))?;
        let proof = self.prove_client(&mut *self.db.read().await?, client, proof, None).await?;
        let refreshed = transact!(&self.db, |tx| -> Result<Refreshed, IdentityError> {
            self.refresh_in(tx, client, (id, generation), tenant, shape).await
        })?;
        match refreshed {
            Refreshed::Refused(why) => Err(invalid(why)),
            Refreshed::Session(found) => {
                let (session, user) = *found;
                self.tokens(&mut *self.db.read().await?, &session, &user, (proof, None), shape).await
            }
        }
    }

    async fn refresh_in(
        &self,
        tx: &mut Connection,
        client: &ClientApplication,
        (id, generation): (Uuid, u64),
        tenant: Option<Uuid>,
        shape: &TokenShape,
    ) -> Result<Refreshed, IdentityError> {
        let now_ms = tx.now_ms().await?;
        let found = session::find(tx, id).await?.filter(|found| found.app_id == client.app_id);
        let Some(mut session) = found.filter(|found| tenant.is_none_or(|tenant| tenant == found.tenant)) else {
            return Ok(Refreshed::Refused("its session has ended"));
        };
        let is_over = session.expires_ms <= now_ms || session.rotated_ms.saturating_add(SESSION_IDLE_MS) <= now_ms;
        let user = user::find(tx, session.user).await?.filter(|user| user.enabled && !user.must_change);
        let is_known = client::is_known_in(tx, client, session.tenant).await?;
        let is_closed = self.is_closed_to_users(session.tenant);
        let Some(user) = user.filter(|_| !is_over && is_known && !is_closed) else {
            session::delete(tx, id).await?;
            return Ok(Refreshed::Refused("its session has ended"));
        };
        // Before the token is used up: whoever asked for too much keeps it.
        resource::roles_of_user(tx, &user, session.app_id, shape).await?;
        if generation == session.generation {
            session.generation += 1;
            session.rotated_ms = now_ms;
            session::rotate(tx, id, session.generation, now_ms).await?;
        } else if generation + 1 != session.generation || session.rotated_ms.saturating_add(GRACE_MS) < now_ms {
            session::delete(tx, id).await?;
            metrics::counter!("galerie_refresh_token_reuses_total").increment(1);
            tracing::warn!(user = %session.user, session = %id, "a refresh token was used twice: its session is ended");
            return Ok(Refreshed::Refused("it was used before, so its session is ended: it may have been stolen"));
        }
        Ok(Refreshed::Session(Box::new((session, user))))
    }

    fn refresh_token(&self, session: Uuid, generation: u64) -> SecretString {
        let mut bytes = [session.as_bytes().as_slice(), &generation.to_be_bytes()].concat();
        let tag = self.keys.tag(PURPOSE, &bytes);
        bytes.extend_from_slice(&tag);
        SecretString::from(URL_SAFE_NO_PAD.encode(bytes))
    }

    fn read_refresh_token(&self, text: &str) -> Option<(Uuid, u64)> {
        let bytes = (text.len() <= 2 * TOKEN_BYTES).then(|| URL_SAFE_NO_PAD.decode(text).ok()).flatten()?;
        let bytes: [u8; TOKEN_BYTES] = bytes.try_into().ok()?;
        let (named, tag) = bytes.split_at(16 + 8);
        if !self.keys.tag_matches(PURPOSE, named, tag) {
            return None;
        }
        let (session, generation) = named.split_at(16);
        Some((Uuid::from_slice(session).ok()?, u64::from_be_bytes(generation.try_into().ok()?)))
    }
}
