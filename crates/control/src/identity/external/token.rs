//! Access tokens of an external issuer: which are taken (RFC 7519, RFC 8725, RFC 9068).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Validation;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{SigningAlgorithm, TrustedIssuer, claims::Claims, key_cache::Lookup};
use crate::identity::{
    Identity, TokenError,
    token::{CLOCK_SKEW_S, LONGEST_TOKEN_BYTES, seconds},
};

/// Audiences of one token that are looked at.
const MOST_AUDIENCES: usize = 32;
/// What a header may call an access token (RFC 9068, section 2.1); many say nothing, or only that it is a JWT.
const TYPES: [&str; 3] = ["jwt", "at+jwt", "application/at+jwt"];
/// Claims of id tokens (OpenID Connect Core, sections 2, 3.1.3.6 and 3.3.2.11) and logout tokens (Back-Channel Logout, section 2.4).
const OF_ID_TOKENS: [&str; 4] = ["at_hash", "c_hash", "nonce", "events"];
/// What some issuers say of an access token in the claim `token_use`; of others they say `id`.
const ACCESS: &str = "access";
/// The longest life of a token that is taken.
const LONGEST_LIFE_S: u64 = 24 * 60 * 60;
/// What Keycloak says of an access token in the claim `typ`; of others it says `ID`, `Refresh`, `Offline`, `Logout`.
const BEARER: &str = "Bearer";

/// What is read of a header. What it says about keys (`jku`, `x5u`, `jwk`, `x5c`) is not.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

/// What a good token says.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) claims: Map<String, Value>,
    /// When it was issued, in seconds since 1970.
    pub(super) issued_s: u64,
}

/// The issuer that a token names, unverified; to choose whose keys it is verified with.
pub(super) fn stated_issuer(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Stated {
        iss: String,
    }
    let payload = (token.len() <= LONGEST_TOKEN_BYTES).then(|| token.split('.').nth(1)).flatten()?;
    let stated: Stated = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    Some(stated.iss)
}

/// Checks header, signature, issuer, audience and time, in that order.
///
/// # Errors
/// What is wrong with the token; `IssuerUnavailable` when there is no key to check it with.
pub(super) async fn verify(identity: &Identity, issuer: &TrustedIssuer, token: &str) -> Result<Verified, TokenError> {
    let (kid, algorithm) = header(issuer, token).map_err(TokenError::External)?;
    let key = match issuer.keys.key(&identity.db, &issuer.config, &kid).await? {
        Lookup::Found(key) => key,
        Lookup::Unknown => return Err(TokenError::External("Its issuer does not show the key that it names.")),
        Lookup::NoKeys => return Err(TokenError::IssuerUnavailable),
    };
    let (verifier, named) =
        key.verifier(algorithm).ok_or(TokenError::External("Its algorithm is not one of the key that it names."))?;
    // Time, audience and issuer are checked below: with our clock, and with errors of their own.
    let mut validation = Validation::new(named);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let decoded = jsonwebtoken::decode::<Map<String, Value>>(token, &verifier, &validation);
    let claims = decoded.map_err(|_| TokenError::External("Its signature is not its issuer's."))?.claims;
    let issued_s = check(issuer, &claims, seconds(identity.now_ms()))?;
    Ok(Verified { claims, issued_s })
}

/// The key's name and the algorithm.
fn header(issuer: &TrustedIssuer, token: &str) -> Result<(String, SigningAlgorithm), &'static str> {
    let unreadable = "It cannot be read.";
    let part = token.split('.').next().unwrap_or_default();
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| unreadable)?;
    let Header { alg, kid, typ, crit } = serde_json::from_slice(&bytes).map_err(|_| unreadable)?;
    if crit.is_some() {
        return Err("It has extensions that must be understood (crit), and are not.");
    }
    if typ.is_some_and(|typ| !TYPES.contains(&typ.to_ascii_lowercase().as_str())) {
        return Err("It is of a type that is no access token's.");
    }
    let algorithm = SigningAlgorithm::named(&alg).filter(|algorithm| issuer.config.algorithms.contains(algorithm));
    let algorithm = algorithm.ok_or("It is signed with an algorithm that is not taken from its issuer.")?;
    Ok((kid.ok_or("It names no key (kid).")?, algorithm))
}

/// Checks what a token whose signature is right says of itself. When it was issued.
fn check(issuer: &TrustedIssuer, claims: &Map<String, Value>, now_s: u64) -> Result<u64, TokenError> {
    let refused = |why: &'static str| Err(TokenError::External(why));
    if claims.get("iss").and_then(Value::as_str) != Some(issuer.config.issuer.as_str()) {
        return refused("It names two issuers.");
    }
    let audience = issuer.config.audience.as_str();
    let is_for_us = match claims.get("aud") {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(list)) => list.len() <= MOST_AUDIENCES && list.iter().any(|one| one == audience),
        _ => false,
    };
    if !is_for_us {
        return Err(TokenError::Audience(shown_audience(claims.get("aud"))));
    }
    if OF_ID_TOKENS.iter().any(|name| claims.contains_key(*name))
        || claims.get("token_use").is_some_and(|of| of.as_str() != Some(ACCESS))
        || claims.get("typ").is_some_and(|typ| typ.as_str().is_none_or(|typ| !typ.eq_ignore_ascii_case(BEARER)))
    {
        return refused("It is an id token, or another one that gives no access.");
    }
    if claims.contains_key("cnf") {
        return refused("It is bound to a key (cnf), and proofs of keys are not checked here.");
    }
    let time =
        |name: &str| claims.get(name).and_then(Value::as_f64).filter(|time| *time >= 0.0).map(|time| time as u64);
    let (Some(ends_s), Some(issued_s)) = (time("exp"), time("iat")) else {
        return refused("It does not say when it was issued and when it ends (iat, exp).");
    };
    let begins_s = match claims.get("nbf") {
        None => issued_s,
        Some(_) => match time("nbf") {
            Some(begins_s) => begins_s.max(issued_s),
            None => return refused("Its nbf is no time."),
        },
    };
    if ends_s.saturating_sub(issued_s) > LONGEST_LIFE_S {
        return refused("It is good for more than a day.");
    }
    if ends_s.saturating_add(CLOCK_SKEW_S) <= now_s {
        return Err(TokenError::Expired);
    }
    if begins_s > now_s.saturating_add(CLOCK_SKEW_S) {
        return refused("It is not good yet (nbf, iat).");
    }
    let claims = Claims::new(&issuer.config.claims, claims);
    if let Some(lacking) = claims.lacks(&issuer.config.required_claims) {
        tracing::info!(issuer = issuer.config.issuer, claim = lacking.name, "a token without a required claim");
        return refused("It does not say what this gallery requires of its issuer's tokens (required_claims).");
    }
    if !issuer.groups.is_empty() && claims.groups_are_elsewhere() {
        return refused(
            "Its groups are elsewhere (_claim_names), because they are too many; have the issuer name fewer.",
        );
    }
    Ok(issued_s)
}

fn shown_audience(audience: Option<&Value>) -> String {
    let text = match audience {
        Some(Value::String(one)) => one.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
