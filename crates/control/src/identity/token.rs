//! Tokens: RS256 JWTs with Entra's claims.

use std::sync::Arc;

use galerie_arm::ArmError;
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{IdentityError, resource, signed_tokens::SignedTokens};
use crate::{
    db::{self, Connection, directory_role, group, service_principal::ServicePrincipalRow, user::UserRow},
    directory::role::DirectoryRole,
    keys::TokenKey,
};

/// How long a token is good, in seconds: Entra's least lifetime. Clients ask again before it ends.
pub const TOKEN_LIFETIME_S: u64 = 3600;
/// How much clocks may differ, in seconds.
pub(super) const CLOCK_SKEW_S: u64 = 300;
/// Longest token that is looked at, in bytes.
pub(super) const LONGEST_TOKEN_BYTES: usize = 16 * 1024;
/// Groups that a token names; of more it says where they are, as Entra's JWTs do.
const MOST_GROUPS: usize = 200;

/// The endpoints' versions, whose tokens differ in a few claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenVersion {
    /// `/oauth2/token`: the application is `appid`.
    V1,
    /// `/oauth2/v2.0/token`: the application is `azp`, too.
    V2,
}

/// What stands for the tenant in an issuer's name, as in Entra's discovery documents.
pub const ANY_TENANT: &str = "{tenantid}";

/// What a token is to say beside who it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenShape {
    /// Becomes `aud`.
    pub audience: String,
    /// Whether that is an application of the tenant, which must be there, and no service of the gallery.
    pub is_application: bool,
    /// Which claims there are.
    pub version: TokenVersion,
    /// Becomes `iss`, with the tenant in place of [`ANY_TENANT`].
    pub issuer: String,
    /// Where Graph is: the source of groups that are too many for a token.
    pub graph: String,
}

impl TokenShape {
    fn issuer(&self, tenant: Uuid) -> String {
        self.issuer.replace(ANY_TENANT, &tenant.to_string())
    }
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
    /// Its principal is gone, or may not sign in.
    #[error("the token's principal does not exist")]
    UnknownPrincipal,
    /// The user's sessions were ended since: another password, or by an administrator.
    #[error("the token was revoked")]
    Revoked,
    /// It is from an external issuer, and cannot be taken; why.
    #[error("the external issuer's token is refused: {0}")]
    External(&'static str),
    /// The external issuer's keys cannot be had now.
    #[error("the keys of the token's issuer cannot be had")]
    IssuerUnavailable,
    /// Whoever it stands for is new, and has no place in the directory.
    #[error("the token's principal cannot be added to the directory")]
    Directory(ArmError),
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
            TokenError::Revoked => Self::invalid_token("It was revoked; sign in again."),
            TokenError::External(why) => Self::invalid_token(why),
            TokenError::IssuerUnavailable => {
                Self::service_unavailable("The token's issuer does not show its keys. Try again.")
            }
            TokenError::Directory(error) => error,
            TokenError::Catalogue(error) => error.into(),
        }
    }
}

/// What a token says and is read back. Times in seconds since 1970.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Claims {
    aud: String,
    iss: String,
    iat: u64,
    nbf: u64,
    exp: u64,
    pub(super) appid: Uuid,
    idtyp: String,
    pub(super) oid: Uuid,
    pub(super) tid: Uuid,
}

impl Claims {
    /// Whether it stands for a user.
    pub(super) fn is_users(&self) -> bool {
        self.idtyp == "user"
    }

    /// Whether it was issued after the user's tokens were last ended; `valid_ms` is [`valid_after`]'s.
    pub(super) fn is_issued_since(&self, valid_ms: i64) -> bool {
        self.iat >= whole_seconds(valid_ms)
    }
}

/// The claims that all tokens have.
#[derive(Serialize)]
struct Common<'a> {
    aud: &'a str,
    iss: &'a str,
    iat: u64,
    nbf: u64,
    exp: u64,
    /// The application. Entra has it in version 1 only; several clients read it from either.
    appid: Uuid,
    /// How the application proved itself: 0 not at all, 1 by a secret, 2 by a certificate. Version 1's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    appidacr: Option<&'a str>,
    /// Version 2's application, and its name of `appidacr`.
    #[serde(skip_serializing_if = "Option::is_none")]
    azp: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    azpacr: Option<&'a str>,
    idtyp: &'a str,
    oid: Uuid,
    sub: Uuid,
    tid: Uuid,
    uti: String,
    ver: &'a str,
    /// Roles in the directory, by the ids of their templates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    wids: Vec<Uuid>,
    /// Roles at the application that the token is for, by their values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    #[serde(flatten)]
    of_user: Option<OfUser<'a>>,
}

/// What a user's token says beside.
#[derive(Serialize)]
struct OfUser<'a> {
    upn: &'a str,
    unique_name: &'a str,
    name: &'a str,
    scp: &'a str,
    amr: [&'a str; 1],
    acr: &'a str,
    sid: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<Uuid>>,
    /// Where the groups are when they are too many (OpenID Connect Core, section 5.6.2).
    #[serde(rename = "_claim_names", skip_serializing_if = "Option::is_none")]
    claim_names: Option<Value>,
    #[serde(rename = "_claim_sources", skip_serializing_if = "Option::is_none")]
    claim_sources: Option<Value>,
}

/// Signs a token for an application; `proof` is how it proved itself (1 or 2).
pub(super) async fn for_application(
    tx: &mut Connection,
    key: &TokenKey,
    principal: &ServicePrincipalRow,
    proof: &str,
    shape: &TokenShape,
    now_ms: i64,
) -> Result<IssuedToken, IdentityError> {
    let wids = wids(tx, principal.object.tenant, principal.object.id).await?;
    let roles = resource::roles_of_application(tx, principal, shape).await?;
    let (tenant, id) = (principal.object.tenant, principal.object.id);
    let subject = Subject { tenant, id, app_id: principal.app_id, proof, idtyp: "app", wids, roles, of_user: None };
    sign(key, subject, shape, now_ms, 0)
}

/// Signs a token for a user who signed in through an application; `roles` are the user's at the application that it is for.
pub(super) async fn for_user(
    tx: &mut Connection,
    key: &TokenKey,
    user: &UserRow,
    (app_id, session, proof): (Uuid, Uuid, &str),
    roles: Vec<String>,
    shape: &TokenShape,
    now_ms: i64,
) -> Result<IssuedToken, IdentityError> {
    let (tenant, id) = (user.object.tenant, user.object.id);
    let groups = group::memberships(tx, id).await?;
    let is_overage = groups.len() > MOST_GROUPS;
    let source = || json!({ "src1": { "endpoint": format!("{}/v1.0/users/{id}/getMemberObjects", shape.graph) } });
    let of_user = OfUser {
        upn: &user.name,
        unique_name: &user.name,
        name: &user.object.display_name,
        scp: "user_impersonation",
        amr: ["pwd"],
        acr: "1",
        sid: session,
        claim_names: is_overage.then(|| json!({ "groups": "src1" })),
        claim_sources: is_overage.then(source),
        groups: (!is_overage).then_some(groups),
    };
    let wids = wids(tx, tenant, id).await?;
    let subject = Subject { tenant, id, app_id, proof, idtyp: "user", wids, roles, of_user: Some(of_user) };
    sign(key, subject, shape, now_ms, whole_seconds(user.sessions_valid_ms))
}

struct Subject<'a> {
    tenant: Uuid,
    id: Uuid,
    app_id: Uuid,
    proof: &'a str,
    idtyp: &'a str,
    wids: Vec<Uuid>,
    roles: Vec<String>,
    of_user: Option<OfUser<'a>>,
}

/// `valid_from_s`: the least `iat`, which is up to a second ahead of the clock just after the former tokens were ended.
fn sign(
    key: &TokenKey,
    subject: Subject<'_>,
    shape: &TokenShape,
    now_ms: i64,
    valid_from_s: u64,
) -> Result<IssuedToken, IdentityError> {
    let issued_at_s = seconds(now_ms);
    let (v1, v2) = (shape.version == TokenVersion::V1, shape.version == TokenVersion::V2);
    let Subject { tenant, id, app_id, proof, idtyp, wids, roles, of_user } = subject;
    let claims = Common {
        aud: &shape.audience,
        iss: &shape.issuer(tenant),
        iat: issued_at_s.max(valid_from_s),
        nbf: issued_at_s,
        exp: issued_at_s + TOKEN_LIFETIME_S,
        appid: app_id,
        appidacr: v1.then_some(proof),
        azp: v2.then_some(app_id),
        azpacr: v2.then_some(proof),
        idtyp,
        oid: id,
        sub: id,
        tid: tenant,
        uti: Uuid::new_v4().simple().to_string(),
        ver: if v1 { "1.0" } else { "2.0" },
        wids,
        roles,
        of_user,
    };
    let access_token = encode(key, &claims)?;
    Ok(IssuedToken { access_token, expires_in_s: TOKEN_LIFETIME_S, issued_at_s })
}

/// Signs an id token (OpenID Connect Core, section 2) for a client; `roles` are the user's there.
pub(super) fn id_token(
    key: &TokenKey,
    user: &UserRow,
    (app_id, roles): (Uuid, &[String]),
    nonce: Option<&str>,
    shape: &TokenShape,
    now_ms: i64,
) -> Result<String, IdentityError> {
    let now_s = seconds(now_ms);
    let mut claims = json!({
        "aud": app_id,
        "iss": shape.issuer(user.object.tenant),
        "iat": now_s,
        "nbf": now_s,
        "exp": now_s + TOKEN_LIFETIME_S,
        "name": user.object.display_name,
        "oid": user.object.id,
        "sub": user.object.id,
        "tid": user.object.tenant,
        "preferred_username": user.name,
        "upn": user.name,
        "ver": if shape.version == TokenVersion::V1 { "1.0" } else { "2.0" },
    });
    if !roles.is_empty() {
        claims["roles"] = roles.into();
    }
    if let Some(nonce) = nonce {
        claims["nonce"] = nonce.into();
    }
    encode(key, &claims)
}

fn encode(key: &TokenKey, claims: &impl Serialize) -> Result<String, IdentityError> {
    let mut header = Header::new(Algorithm::RS256);
    header.kid = Some(key.kid().to_owned());
    jsonwebtoken::encode(&header, claims, key.signer()).map_err(|_| IdentityError::Signing)
}

/// The directory roles of a principal.
async fn wids(tx: &mut Connection, tenant: Uuid, principal: Uuid) -> Result<Vec<Uuid>, IdentityError> {
    let held = directory_role::of(tx, tenant, principal).await?;
    let template = |role: &String| role.parse::<DirectoryRole>().ok().map(DirectoryRole::template_id);
    Ok(held.iter().filter_map(template).collect())
}

/// Checks signature, time, audience and issuer, in that order.
pub(super) fn check(
    keys: &[Arc<TokenKey>],
    signed: &SignedTokens,
    token: &str,
    audiences: &[String],
    issuers: &[String],
    now_ms: i64,
) -> Result<Arc<Claims>, TokenError> {
    if token.len() > LONGEST_TOKEN_BYTES {
        return Err(TokenError::Invalid);
    }
    let claims = signed.claims(keys, token).ok_or(TokenError::Invalid)?;
    let now_s = seconds(now_ms);
    if claims.exp.saturating_add(CLOCK_SKEW_S) <= now_s || claims.nbf > now_s.saturating_add(CLOCK_SKEW_S) {
        return Err(TokenError::Expired);
    }
    if !audiences.contains(&claims.aud) {
        return Err(TokenError::Audience(claims.aud.clone()));
    }
    if !issuers.contains(&claims.iss) {
        return Err(TokenError::Issuer(claims.iss.clone()));
    }
    Ok(claims)
}

/// What a token says, if the key signed it.
pub(super) fn signed_claims(key: &TokenKey, token: &str) -> Option<Claims> {
    // Time, audience and issuer are checked by `check`: with our clock, and with errors of their own.
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    Some(jsonwebtoken::decode::<Claims>(token, key.verifier(), &validation).ok()?.claims)
}

pub(super) fn seconds(ms: i64) -> u64 {
    u64::try_from(ms / 1000).unwrap_or(0)
}

/// The first whole second that has not begun before `ms`.
fn whole_seconds(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0).div_ceil(1000)
}

/// What `sessions_valid_ms` becomes when a user's tokens are ended at `now_ms`; `former_ms` is what it was. Tokens count
/// whole seconds, so those of the same second must be told apart: the former ones are before this, the next ones are not.
pub(crate) fn valid_after(former_ms: i64, now_ms: i64) -> i64 {
    let former_ms = i64::try_from(whole_seconds(former_ms).saturating_mul(1000)).unwrap_or(i64::MAX);
    now_ms.max(former_ms).saturating_add(1)
}
