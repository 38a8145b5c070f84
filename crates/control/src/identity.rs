//! Signing in: who applications and users are, and the tokens that stand for them.
//!
//! Promises: a token is issued only for a credential that is good now; verifying one looks its principal up, so that what is
//! deleted, disabled or demoted is refused at once, whatever the token says. Does not: know URLs or hosts; issuers and
//! audiences are the caller's. The directory's objects themselves are `directory`'s. See `docs/design/identity.md`.

mod assertion;
mod bootstrap;
mod client;
mod code;
mod device;
mod external;
pub(crate) mod guessing;
mod invitation;
pub(crate) mod password;
mod resource;
mod seen_assertions;
mod session;
mod sign_in;
mod signed_tokens;
pub(crate) mod token;

use std::{fmt::Write as _, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use galerie_arm::ArmError;
use serde_json::{Value, json};
use uuid::Uuid;
use zeroize::Zeroizing;

pub(crate) use self::assertion::public_key;
pub use self::{
    bootstrap::{Bootstrap, NewAdministrator},
    client::{ClientApplication, ClientProof},
    code::{CodeRequest, Redemption, is_challenge},
    device::{DeviceBegun, DeviceDecision, DeviceShown},
    external::{ClaimNames, ExternalIssuer, IssuerDocuments, RequiredClaim, SigningAlgorithm},
    invitation::{InvitationUse, OneTimeLink},
    password::WeakPassword,
    session::UserTokens,
    sign_in::{SignIn, SignInError, SignedInUser},
    token::{ANY_TENANT, IssuedToken, TOKEN_LIFETIME_S, TokenError, TokenShape, TokenVersion},
};
use self::{
    external::ExternalIssuers, guessing::Addresses, password::Passwords, seen_assertions::SeenAssertions,
    signed_tokens::SignedTokens,
};
use crate::{
    db::{
        self, Db, application,
        service_principal::{self, ServicePrincipalRow},
        tenant::{self, TenantRow},
        user,
    },
    keys::{KeyError, Keys, TokenKey, random},
    request::Caller,
};

/// Bytes of randomness in a secret that is made here.
const SECRET_BYTES: usize = 32;
/// What the keyed hash of a name is for that nobody has.
const NOBODY: &str = "nobody";
/// What the keyed hash of a browser's cookie is for.
const FORM: &str = "form";

/// Why no token is issued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// No such tenant.
    #[error("tenant '{0}' not found")]
    UnknownTenant(String),
    /// No application with this client id in the tenant.
    #[error("application '{0}' was not found in the tenant")]
    UnknownApplication(String),
    /// The application's principal may not sign in.
    #[error("the application is disabled")]
    DisabledApplication,
    /// The secret is not one of the application's, or has expired.
    #[error("invalid client secret provided")]
    WrongSecret,
    /// The assertion is not one of the application's; why.
    #[error("invalid client assertion: {0}")]
    WrongAssertion(&'static str),
    /// The token's audience is no application of the tenant.
    #[error("the resource '{0}' was not found in the tenant")]
    UnknownResource(String),
    /// An application wants who asks to be assigned to it; its name.
    #[error("nobody who is not assigned to '{0}' gets in")]
    NotAssigned(String),
    /// The code, or refresh token, is not known, was used, or is over; why.
    #[error("{0}")]
    InvalidGrant(&'static str),
    /// The user has not decided about the device yet.
    #[error("authorization is pending")]
    AuthorizationPending,
    /// The device asks too often.
    #[error("slow down")]
    SlowDown,
    /// The user does not let the device in.
    #[error("the user declined")]
    Declined,
    /// The device's time is over.
    #[error("the device code has expired")]
    ExpiredDeviceCode,
    /// Too many at once; passing.
    #[error("the identity provider is busy")]
    Busy,
    /// Our fault: a password could not be hashed.
    #[error("hash a password")]
    Hashing,
    /// Our fault; the log has the rest.
    #[error("the catalogue failed")]
    Catalogue(#[from] db::Error),
    /// Our fault: no randomness.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// Our fault: the token could not be signed.
    #[error("sign a token")]
    Signing,
}

impl From<IdentityError> for ArmError {
    /// For what the directory asks of the identity provider.
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Busy => Self::service_unavailable("The identity provider is busy. Try again."),
            IdentityError::Catalogue(error) => error.into(),
            error => {
                let number = Uuid::new_v4();
                tracing::error!(error = &error as &dyn std::error::Error, %number, "the identity provider failed");
                Self::internal(&number.to_string())
            }
        }
    }
}

/// The built-in identity provider. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Identity {
    db: Db,
    keys: Arc<Keys>,
    passwords: Passwords,
    addresses: Arc<Addresses>,
    assertions: Arc<SeenAssertions>,
    external: Arc<ExternalIssuers>,
    signed: Arc<SignedTokens>,
}

impl Identity {
    pub(crate) fn new(db: Db, keys: Arc<Keys>) -> Self {
        let (addresses, assertions, external, signed) = <(_, _, _, _)>::default();
        Self { db, keys, passwords: Passwords::new(), addresses, assertions, external, signed }
    }

    pub(crate) fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    /// The tenant of an application, for sign-ins that name none (`organizations`, `common`, `adfs`).
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn tenant_of_application(&self, client_id: &str) -> Result<Option<Uuid>, ArmError> {
        let Ok(app_id) = client_id.parse() else { return Ok(None) };
        let found = application::find_by_app(&mut *self.db.read().await?, app_id).await?;
        Ok(found.map(|application| application.object.tenant))
    }

    /// Who a token stands for, if its signature, time, audience and issuer are right and its principal is still there.
    ///
    /// # Errors
    /// What is wrong with the token.
    pub async fn verify(&self, token: &str, audiences: &[String], issuers: &[String]) -> Result<Caller, TokenError> {
        let (keys, now_ms) = (self.keys.tokens(), self.db.time().now_ms());
        let claims = token::check(&keys, &self.signed, token, audiences, issuers, now_ms)?;
        let mut tx = self.db.look().await?;
        if claims.is_users() {
            let found = user::find(&mut tx, claims.oid).await?;
            let found = found.filter(|user| user.object.tenant == claims.tid && user.enabled);
            let user = found.ok_or(TokenError::UnknownPrincipal)?;
            if !claims.is_issued_since(user.sessions_valid_ms) {
                return Err(TokenError::Revoked);
            }
            if self.is_closed_to_users(claims.tid) {
                return Err(TokenError::UnknownPrincipal);
            }
            return Ok(Caller::user(claims.tid, user.object.id, &user.name, Some(claims.appid)));
        }
        let principal = service_principal::find(&mut tx, claims.oid).await?;
        let principal = principal
            .filter(|found| found.object.tenant == claims.tid && found.app_id == claims.appid && found.enabled)
            .ok_or(TokenError::UnknownPrincipal)?;
        let ServicePrincipalRow { object, app_id, administrator, .. } = principal;
        Ok(Caller::application(object.tenant, object.id, app_id, administrator))
    }

    /// The public keys (RFC 7517), for whoever verifies tokens elsewhere.
    #[must_use]
    pub fn jwks(&self) -> Value {
        json!({ "keys": self.keys.tokens().iter().map(|key| TokenKey::jwk(key)).collect::<Vec<_>>() })
    }

    /// The form's half of what guards it against being posted by others; the browser's half is a cookie.
    #[must_use]
    pub fn form_token(&self, cookie: &str) -> String {
        self.keys.tag_text(FORM, cookie)
    }

    /// Whether it is the form's half of a cookie, in constant time.
    #[must_use]
    pub fn is_form_token(&self, cookie: &str, token: &str) -> bool {
        let tag = STANDARD.decode(token);
        tag.is_ok_and(|tag| self.keys.tag_matches(FORM, cookie.as_bytes(), &tag))
    }

    /// Milliseconds since 1970, by the catalogue's clock.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.db.time().now_ms()
    }
}

/// A tenant by its id or domain.
async fn tenant_of(tx: &mut db::Connection, text: &str) -> Result<TenantRow, IdentityError> {
    let found = match text.parse() {
        Ok(id) => tenant::find(tx, id).await?,
        Err(_) => tenant::find_by_domain(tx, text).await?,
    };
    found.ok_or_else(|| IdentityError::UnknownTenant(shown(text)))
}

/// A caller's text as an error repeats it.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// Hexadecimal digits only: no shell, URL or option parser stumbles over them.
pub(crate) fn new_secret() -> Result<Zeroizing<String>, KeyError> {
    let bytes = random::<SECRET_BYTES>()?;
    let mut secret = Zeroizing::new(String::with_capacity(SECRET_BYTES * 2));
    for byte in bytes.iter() {
        let _ = write!(secret, "{byte:02x}");
    }
    Ok(secret)
}

#[cfg(test)]
mod flows;
#[cfg(test)]
mod tests;
