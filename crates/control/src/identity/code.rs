//! Authorization codes with proof keys (RFC 6749, section 4.1; RFC 7636).

use aws_lc_rs::{constant_time, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{
    ClientApplication, ClientProof, Identity, IdentityError, SignedInUser, TokenShape, UserTokens, new_secret, resource,
};
use crate::db::{
    authorization_code::{self, AuthorizationCodeRow},
    session,
    session::SessionRow,
    transact,
    user::{self, UserRow},
};

/// How long a code is good, in ms: the browser comes back at once.
const CODE_LIFETIME_MS: i64 = 60_000;
/// What the keyed hash of a code is for.
const PURPOSE: &str = "code";

/// What a code is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeRequest {
    /// Where the browser is sent back to.
    pub redirect_uri: String,
    /// base64url of the SHA-256 of the verifier that the client keeps.
    pub challenge: String,
    /// What was asked for.
    pub scope: String,
    /// Goes into the id token.
    pub nonce: Option<String>,
}

/// What a client shows for a code.
#[derive(Debug)]
pub struct Redemption<'a> {
    /// The code.
    pub code: &'a str,
    /// As it was when the code was asked for.
    pub redirect_uri: &'a str,
    /// What the challenge was made of.
    pub verifier: &'a str,
    /// The tenant in the path; `None`: any.
    pub tenant: Option<Uuid>,
}

/// What became of a code.
enum Redeemed {
    Session(Box<(SessionRow, UserRow, CodeRequest)>),
    Refused(&'static str),
}

/// Whether a text can be a challenge of the method S256.
#[must_use]
pub fn is_challenge(text: &str) -> bool {
    URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == digest::SHA256_OUTPUT_LEN)
}

impl Identity {
    /// A code for a user who signed in.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn issue_code(
        &self,
        client: &ClientApplication,
        user: &SignedInUser,
        request: &CodeRequest,
    ) -> Result<SecretString, IdentityError> {
        let code = new_secret()?;
        let hash = self.keys.tag_text(PURPOSE, &code);
        transact!(&self.db, |tx| -> Result<(), IdentityError> {
            let row = AuthorizationCodeRow {
                hash: hash.clone(),
                session: Uuid::new_v4(),
                tenant: user.tenant,
                user: user.id,
                app_id: client.app_id,
                request: json!(request),
                expires_ms: tx.now_ms().await?.saturating_add(CODE_LIFETIME_MS),
            };
            Ok(authorization_code::insert(tx, &row).await?)
        })?;
        Ok(SecretString::from(code.as_str()))
    }

    /// The tokens for a code, and what it was asked for. `shape` is made of that.
    ///
    /// # Errors
    /// `InvalidGrant`; a code that is shown a second time ends the session that it began.
    pub async fn redeem_code(
        &self,
        client: &ClientApplication,
        proof: &ClientProof,
        shown: &Redemption<'_>,
        shape: &TokenShape,
    ) -> Result<UserTokens, IdentityError> {
        let redirect = Some(shown.redirect_uri);
        let proof = self.prove_client(&mut *self.db.read().await?, client, proof, redirect).await?;
        let hash = self.keys.tag_text(PURPOSE, shown.code);
        let redeemed = transact!(&self.db, |tx| -> Result<Redeemed, IdentityError> {
            let now_ms = tx.now_ms().await?;
            let found = authorization_code::find(tx, &hash).await?.filter(|found| found.app_id == client.app_id);
            let Some(found) = found else { return Ok(Redeemed::Refused("the code is not known")) };
            if !authorization_code::use_once(tx, &hash).await? {
                // It was copied: whoever came first has a session that nobody can vouch for.
                session::delete(tx, found.session).await?;
                return Ok(Redeemed::Refused("the code was used before"));
            }
            let request: CodeRequest = serde_json::from_value(found.request.clone())
                .map_err(|error| crate::db::Error::Corrupt(format!("a code's request: {error}")))?;
            let user = user::find(tx, found.user).await?.filter(|user| user.enabled);
            let refused = match user {
                _ if found.expires_ms <= now_ms => "the code has expired",
                _ if shown.tenant.is_some_and(|tenant| tenant != found.tenant) => "the code is of another tenant",
                _ if request.redirect_uri != shown.redirect_uri => "the code was asked for another redirect_uri",
                _ if !is_verified(&request.challenge, shown.verifier) => "code_verifier is not the challenge's",
                None => "the user may not sign in any more",
                Some(user) => {
                    resource::roles_of_user(tx, &user, client.app_id, shape).await?;
                    let session = self.begin_session(tx, found.session, &user, client.app_id).await?;
                    return Ok(Redeemed::Session(Box::new((session, user, request))));
                }
            };
            Ok(Redeemed::Refused(refused))
        })?;
        match redeemed {
            Redeemed::Refused(why) => Err(IdentityError::InvalidGrant(why)),
            Redeemed::Session(found) => {
                let (session, user, request) = *found;
                let nonce = request.nonce.as_deref();
                self.tokens(&mut *self.db.read().await?, &session, &user, (proof, nonce), shape).await
            }
        }
    }

    /// What a code was asked for, for a client that does not say it again.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn scope_of_code(&self, code: &str) -> Result<Option<String>, IdentityError> {
        let hash = self.keys.tag_text(PURPOSE, code);
        let found = authorization_code::find(&mut *self.db.read().await?, &hash).await?;
        Ok(found.and_then(|found| found.request["scope"].as_str().map(str::to_owned)))
    }
}

/// RFC 7636, section 4.6, and the verifier's form of section 4.1.
fn is_verified(challenge: &str, verifier: &str) -> bool {
    let is_formed = (43..=128).contains(&verifier.len())
        && verifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    let made = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
    is_formed && constant_time::verify_slices_are_equal(made.as_bytes(), challenge.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636, appendix B.
    #[test]
    fn the_challenge_is_the_standards() {
        let (verifier, challenge) =
            ("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        assert!(is_challenge(challenge) && is_verified(challenge, verifier));
        assert!(!is_verified(challenge, &verifier.replace('d', "e")));
        assert!(!is_verified(verifier, verifier), "the method 'plain'");
        for text in ["", "short", &verifier[1..], &format!("{challenge}=")] {
            assert!(!is_challenge(text), "{text}");
        }
    }
}
