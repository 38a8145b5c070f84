//! Principals, their secrets, and the tokens that stand for them.
//!
//! Promises: a token is issued only for a live secret; verifying one looks its principal up, so that what is deleted
//! or demoted is refused at once, whatever the token says. Does not: know URLs or hosts; issuers and audiences are
//! the caller's. Later milestones add users and other flows beside [`Identity::token_for_secret`].

mod bootstrap;
mod token;

use std::sync::Arc;

use galerie_arm::ArmError;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use uuid::Uuid;

pub use self::{
    bootstrap::{Bootstrap, NewAdministrator},
    token::{TOKEN_LIFETIME_S, TokenError},
};
use crate::{
    db::{
        self, Connection, Db, application,
        credential::{self, CredentialKind},
        service_principal::{self, ServicePrincipalRow},
        tenant,
    },
    keys::Keys,
    request::Caller,
};

/// Longest secret that is looked at, in bytes.
const LONGEST_SECRET_BYTES: usize = 1024;

/// The endpoints' versions, whose tokens differ in a few claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenVersion {
    /// `/oauth2/token`: the application is `appid`.
    V1,
    /// `/oauth2/v2.0/token`: the application is `azp`, too.
    V2,
}

/// A token for a client.
#[derive(Debug, Clone)]
pub struct IssuedToken {
    /// The signed token.
    pub access_token: String,
    /// For how long it is good, in seconds.
    pub expires_in_s: u64,
    /// When it was issued, in seconds since 1970.
    pub issued_at_s: u64,
}

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
    /// The secret is not one of the application's, or has expired.
    #[error("invalid client secret provided")]
    WrongSecret,
    /// Our fault; the log has the rest.
    #[error("the catalogue failed")]
    Catalogue(#[from] db::Error),
    /// Our fault: the token could not be signed.
    #[error("sign a token")]
    Signing,
}

/// The built-in identity provider.
#[derive(Debug, Clone)]
pub struct Identity {
    db: Db,
    keys: Arc<Keys>,
}

impl Identity {
    pub(crate) fn new(db: Db, keys: Arc<Keys>) -> Self {
        Self { db, keys }
    }

    /// Issues a token to an application that shows its secret (client credentials).
    ///
    /// `tenant` is the path segment: the tenant's id or domain. `audience` becomes `aud`, `issuer` becomes `iss`.
    ///
    /// # Errors
    /// What is wrong with the credentials; a wrong secret takes as long as a right one.
    pub async fn token_for_secret(
        &self,
        client_id: &str,
        secret: &SecretString,
        tenant: &str,
        audience: &str,
        version: TokenVersion,
        issuer: &str,
    ) -> Result<IssuedToken, IdentityError> {
        let mut tx = self.db.read().await?;
        let tenants = tenant::list(&mut tx).await?;
        let tenant = tenants
            .iter()
            .find(|row| {
                row.id.to_string().eq_ignore_ascii_case(tenant) || row.default_domain.eq_ignore_ascii_case(tenant)
            })
            .ok_or_else(|| IdentityError::UnknownTenant(shown(tenant)))?;
        let unknown = || IdentityError::UnknownApplication(shown(client_id));
        let app_id: Uuid = client_id.parse().map_err(|_| unknown())?;
        let principal = service_principal::find_by_app(&mut tx, tenant.id, app_id).await?.ok_or_else(unknown)?;
        let now_ms = tx.now_ms().await?;
        let hashes = live_secrets(&mut tx, &principal, now_ms).await?;
        let secret = secret.expose_secret();
        let fits = secret.len() <= LONGEST_SECRET_BYTES;
        if !fits || !hashes.iter().any(|hash| self.keys.secret_matches(secret, hash)) {
            return Err(IdentityError::WrongSecret);
        }
        token::issue(self.keys.token(), &principal, audience, version, issuer, now_ms)
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
        let claims = token::check(self.keys.tokens(), token, audiences, issuers, self.db.time().now_ms())?;
        let mut tx = self.db.read().await?;
        let principal = service_principal::find(&mut tx, claims.oid).await?;
        let principal = principal
            .filter(|principal| principal.object.tenant == claims.tid && principal.app_id == claims.appid)
            .ok_or(TokenError::UnknownPrincipal)?;
        let ServicePrincipalRow { object, app_id, administrator, .. } = principal;
        Ok(Caller::application(object.tenant, object.id, app_id, administrator))
    }

    /// The public keys (RFC 7517), for whoever verifies tokens elsewhere.
    #[must_use]
    pub fn jwks(&self) -> Value {
        json!({ "keys": self.keys.tokens().iter().map(crate::keys::TokenKey::jwk).collect::<Vec<_>>() })
    }
}

/// The hashes of the secrets that a principal can show now: its own and its application's.
async fn live_secrets(
    tx: &mut Connection,
    principal: &ServicePrincipalRow,
    now_ms: i64,
) -> Result<Vec<String>, db::Error> {
    let mut credentials = credential::list(tx, principal.object.id).await?;
    if let Some(application) = application::find_by_app(tx, principal.app_id).await? {
        credentials.append(&mut credential::list(tx, application.object.id).await?);
    }
    credentials.retain(|found| found.kind == CredentialKind::Secret && found.is_live(now_ms));
    Ok(credentials.into_iter().map(|found| found.hash).collect())
}

/// A caller's text as an error repeats it.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests;
