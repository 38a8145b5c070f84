//! Client assertions (RFC 7523): a JWT that the key of a registered certificate signed, in place of a secret.
//!
//! The header's thumbprint finds the certificate among the application's own; whatever else the header says about keys
//! (`x5c`, `x5u`, `jku`, `jwk`) is not looked at.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;
use x509_parser::{certificate::X509Certificate, prelude::FromDer, public_key::PublicKey};

use super::{
    IdentityError,
    seen_assertions::SeenAssertions,
    token::{CLOCK_SKEW_S, LONGEST_TOKEN_BYTES, seconds},
};
use crate::{
    db::credential::{CredentialKind, CredentialRow},
    directory::credential::sha1,
};

/// How long an assertion may be good, in seconds, from its own `iat` or `nbf`: clients make them for ten minutes.
const LONGEST_LIFETIME_S: u64 = 24 * 3600;
/// Characters of a `jti`.
const LONGEST_JTI: usize = 256;

/// What an assertion says. Times in seconds since 1970, with fractions (RFC 7519, section 2), which az sends.
#[derive(Debug, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Value,
    exp: f64,
    nbf: Option<f64>,
    iat: Option<f64>,
    jti: Option<String>,
}

/// Checks an application's assertion. `home_of` says whose a credential's holder is.
///
/// # Errors
/// `WrongAssertion` with what is wrong.
pub(super) fn check(
    jwt: &str,
    app_id: Uuid,
    audiences: &[String],
    credentials: &[CredentialRow],
    home_of: impl Fn(&CredentialRow) -> Uuid,
    seen: &SeenAssertions,
    now_ms: i64,
) -> Result<(), IdentityError> {
    let wrong = IdentityError::WrongAssertion;
    if jwt.len() > LONGEST_TOKEN_BYTES {
        return Err(wrong("it is too long"));
    }
    let header = jsonwebtoken::decode_header(jwt).map_err(|_| wrong("it is no signed JWT"))?;
    let (credential, certificate) = certificate(&header, credentials)
        .ok_or_else(|| wrong("no registered certificate that is good now has its thumbprint (x5t#S256 or x5t)"))?;
    let (_, parsed) = X509Certificate::from_der(&certificate).map_err(|_| wrong("its certificate cannot be read"))?;
    let (key, algorithms) = public_key(&parsed).ok_or_else(|| wrong("its certificate's key cannot be used"))?;
    if !algorithms.contains(&header.alg) {
        return Err(wrong("its algorithm is not one of its certificate's key: RS256 or PS256, ES256 on P-256"));
    }
    let mut validation = Validation::new(header.alg);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let decoded = jsonwebtoken::decode::<Claims>(jwt, &key, &validation);
    let claims = decoded.map_err(|_| wrong("its signature is not its certificate's, or a claim is missing"))?.claims;
    check_claims(&claims, app_id, audiences, seconds(now_ms)).map_err(wrong)?;
    let jti = claims.jti.filter(|jti| (1..=LONGEST_JTI).contains(&jti.len())).ok_or_else(|| wrong("it has no jti"))?;
    let ends_s = whole(claims.exp).saturating_add(CLOCK_SKEW_S);
    seen.remember(home_of(credential), &credential.hash, &jti, ends_s, seconds(now_ms)).map_err(wrong)
}

fn check_claims(claims: &Claims, app_id: Uuid, audiences: &[String], now_s: u64) -> Result<(), &'static str> {
    let is_client = |text: &str| text.parse() == Ok(app_id);
    if !is_client(&claims.iss) || !is_client(&claims.sub) {
        return Err("iss and sub must both be the client id");
    }
    let is_ours = |audience: &Value| audience.as_str().is_some_and(|text| audiences.iter().any(|ours| ours == text));
    let is_for_us = match &claims.aud {
        Value::Array(list) => list.len() <= 8 && list.iter().any(is_ours),
        one => is_ours(one),
    };
    if !is_for_us {
        return Err("aud must be the token endpoint that it is sent to");
    }
    let (begins_s, ends_s) = (claims.nbf.or(claims.iat).map_or(now_s, whole), whole(claims.exp));
    if ends_s.saturating_add(CLOCK_SKEW_S) <= now_s {
        return Err("it has expired");
    }
    if begins_s > now_s.saturating_add(CLOCK_SKEW_S) {
        return Err("it is not good yet");
    }
    if ends_s.saturating_sub(begins_s) > LONGEST_LIFETIME_S {
        return Err("it is good for more than a day");
    }
    Ok(())
}

/// Whole seconds. What is no time at all is held at the ends of the range.
fn whole(seconds: f64) -> u64 {
    seconds as u64
}

/// The application's certificate that the header names.
fn certificate<'a>(header: &Header, credentials: &'a [CredentialRow]) -> Option<(&'a CredentialRow, Vec<u8>)> {
    // Some clients pad base64url.
    let thumbprint = |text: &Option<String>| text.as_deref().map(|text| text.trim_end_matches('=').to_owned());
    let (x5t_s256, x5t) = (thumbprint(&header.x5t_s256), thumbprint(&header.x5t));
    let certificates = credentials.iter().filter(|found| found.kind == CredentialKind::Certificate);
    let mut with_der =
        certificates.filter_map(|found| Some((found, STANDARD.decode(found.certificate.as_ref()?).ok()?)));
    let is_named = |hash: &str, der: &[u8]| match (&x5t_s256, &x5t) {
        (Some(sha256), _) => sha256 == hash,
        (None, Some(sha1_text)) => *sha1_text == URL_SAFE_NO_PAD.encode(sha1(der)),
        (None, None) => false,
    };
    with_der.find(|(found, der)| is_named(&found.hash, der))
}

/// A certificate's key, and the algorithms that it may have signed with; `None` for a kind of key that is not taken.
pub(crate) fn public_key(certificate: &X509Certificate<'_>) -> Option<(DecodingKey, &'static [Algorithm])> {
    /// The curve's object identifier (RFC 5480, section 2.1.1.1).
    const P256: &str = "1.2.840.10045.3.1.7";
    const RSA: &[Algorithm] = &[Algorithm::RS256, Algorithm::PS256];
    const EC: &[Algorithm] = &[Algorithm::ES256];
    let info = certificate.public_key();
    let bytes = info.subject_public_key.data.as_ref();
    match info.parsed().ok()? {
        PublicKey::RSA(key) if (2048..=8192).contains(&key.key_size()) => Some((DecodingKey::from_rsa_der(bytes), RSA)),
        PublicKey::EC(_) => {
            let curve = info.algorithm.parameters.as_ref()?.as_oid().ok()?;
            (curve.to_id_string() == P256).then(|| (DecodingKey::from_ec_der(bytes), EC))
        }
        _ => None,
    }
}
