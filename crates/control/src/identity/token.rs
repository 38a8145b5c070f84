//! Tokens: RS256 JWTs with Entra's claims.

use galerie_arm::ArmError;
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{IdentityError, IssuedToken, TokenVersion};
use crate::{
    db::{self, service_principal::ServicePrincipalRow},
    keys::TokenKey,
};

/// How long a token is good, in seconds: Entra's least lifetime. Clients ask again before it ends.
pub const TOKEN_LIFETIME_S: u64 = 3600;
/// How much clocks may differ, in seconds.
const CLOCK_SKEW_S: u64 = 300;
/// Longest token that is looked at, in bytes.
const LONGEST_TOKEN_BYTES: usize = 16 * 1024;

/// Why a token is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It is no token, or its signature is not ours.
    #[error("the token cannot be read or was not issued here")]
    Invalid,
    /// Its time has passed, or not come.
    #[error("the token has expired")]
    Expired,
    /// It is for another resource.
    #[error("the token is for the audience '{0}'")]
    Audience(String),
    /// It was issued in another tenant's name.
    #[error("the token is from the issuer '{0}'")]
    Issuer(String),
    /// Its principal is gone.
    #[error("the token's principal does not exist")]
    UnknownPrincipal,
    /// Our fault; the log has the rest.
    #[error("the catalogue failed")]
    Catalogue(#[from] db::Error),
}

impl From<TokenError> for ArmError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Invalid => Self::invalid_token("The token cannot be read or was not issued here."),
            TokenError::Expired => Self::expired_token(),
            TokenError::Audience(audience) => Self::invalid_token_audience(&audience),
            TokenError::Issuer(issuer) => Self::invalid_token(&format!("It is from the issuer '{issuer}'.")),
            TokenError::UnknownPrincipal => Self::invalid_token("Its principal does not exist."),
            TokenError::Catalogue(error) => error.into(),
        }
    }
}

/// What a token says. Times in seconds since 1970.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) aud: String,
    pub(super) iss: String,
    pub(super) iat: u64,
    pub(super) nbf: u64,
    pub(super) exp: u64,
    /// The application. Entra has it in version 1 only; several clients read it from either.
    pub(super) appid: Uuid,
    /// How the application proved itself: 1 for a secret. Version 1's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) appidacr: Option<String>,
    /// Version 2's application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) azp: Option<Uuid>,
    /// Version 2's name of `appidacr`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) azpacr: Option<String>,
    pub(super) idtyp: String,
    pub(super) oid: Uuid,
    pub(super) sub: Uuid,
    pub(super) tid: Uuid,
    pub(super) uti: String,
    pub(super) ver: String,
}

/// Signs a token for a principal.
pub(super) fn issue(
    key: &TokenKey,
    principal: &ServicePrincipalRow,
    audience: &str,
    version: TokenVersion,
    issuer: &str,
    now_ms: i64,
) -> Result<IssuedToken, IdentityError> {
    let issued_at_s = seconds(now_ms);
    let (v1, v2) = (version == TokenVersion::V1, version == TokenVersion::V2);
    let claims = Claims {
        aud: audience.to_owned(),
        iss: issuer.to_owned(),
        iat: issued_at_s,
        nbf: issued_at_s,
        exp: issued_at_s + TOKEN_LIFETIME_S,
        appid: principal.app_id,
        appidacr: v1.then(|| "1".to_owned()),
        azp: v2.then_some(principal.app_id),
        azpacr: v2.then(|| "1".to_owned()),
        idtyp: "app".to_owned(),
        oid: principal.object.id,
        sub: principal.object.id,
        tid: principal.object.tenant,
        uti: Uuid::new_v4().simple().to_string(),
        ver: if v1 { "1.0" } else { "2.0" }.to_owned(),
    };
    let mut header = Header::new(Algorithm::RS256);
    header.kid = Some(key.kid().to_owned());
    let access_token = jsonwebtoken::encode(&header, &claims, key.signer()).map_err(|_| IdentityError::Signing)?;
    Ok(IssuedToken { access_token, expires_in_s: TOKEN_LIFETIME_S, issued_at_s })
}

/// Checks signature, time, audience and issuer, in that order.
pub(super) fn check(
    keys: &[TokenKey],
    token: &str,
    audiences: &[String],
    issuers: &[String],
    now_ms: i64,
) -> Result<Claims, TokenError> {
    if token.len() > LONGEST_TOKEN_BYTES {
        return Err(TokenError::Invalid);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Invalid)?;
    let key = keys.iter().find(|key| header.kid.as_deref() == Some(key.kid())).ok_or(TokenError::Invalid)?;
    // Time, audience and issuer are checked below: with our clock, and with errors of their own.
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let decoded = jsonwebtoken::decode::<Claims>(token, key.verifier(), &validation);
    let claims = decoded.map_err(|_| TokenError::Invalid)?.claims;
    let now_s = seconds(now_ms);
    if claims.exp.saturating_add(CLOCK_SKEW_S) <= now_s || claims.nbf > now_s.saturating_add(CLOCK_SKEW_S) {
        return Err(TokenError::Expired);
    }
    if !audiences.contains(&claims.aud) {
        return Err(TokenError::Audience(claims.aud));
    }
    if !issuers.contains(&claims.iss) {
        return Err(TokenError::Issuer(claims.iss));
    }
    Ok(claims)
}

fn seconds(ms: i64) -> u64 {
    u64::try_from(ms / 1000).unwrap_or(0)
}
