//! The RSA key that signs tokens, as a signer, as a verifier and as a public JWK.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, jwk::Jwk};
use serde_json::Value;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::KeyError;

/// A token-signing key.
pub(crate) struct TokenKey {
    kid: String,
    created_ms: i64,
    signer: EncodingKey,
    verifier: DecodingKey,
    jwk: Value,
}

impl TokenKey {
    /// From an unwrapped PKCS #8 document.
    pub(super) fn new(id: Uuid, created_ms: i64, pkcs8: &[u8]) -> Result<Self, KeyError> {
        let kid = id.simple().to_string();
        Self::try_new(kid, created_ms, pkcs8).map_err(|_| KeyError::Generation("token"))
    }

    fn try_new(kid: String, created_ms: i64, pkcs8: &[u8]) -> Result<Self, jsonwebtoken::errors::Error> {
        let signer = EncodingKey::from_rsa_pem(pem(pkcs8).as_bytes())?;
        let public = Jwk::from_encoding_key(&signer, Algorithm::RS256)?;
        let verifier = DecodingKey::from_jwk(&public)?;
        let mut jwk = serde_json::to_value(&public)?;
        // Some clients look for `x5t` instead of `kid`.
        for (name, value) in [("use", "sig"), ("alg", "RS256"), ("kid", &kid), ("x5t", &kid)] {
            jwk[name] = Value::from(value);
        }
        Ok(Self { kid, created_ms, signer, verifier, jwk })
    }

    /// Names the key in a token's header.
    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    /// When it was made, ms since 1970.
    pub(crate) fn created_ms(&self) -> i64 {
        self.created_ms
    }

    pub(crate) fn signer(&self) -> &EncodingKey {
        &self.signer
    }

    pub(crate) fn verifier(&self) -> &DecodingKey {
        &self.verifier
    }

    /// The public half (RFC 7517).
    pub(crate) fn jwk(&self) -> Value {
        self.jwk.clone()
    }
}

/// A new RSA-2048 key as PKCS #8: what the clients' libraries verify, and quick to make.
pub(super) fn generate_token_key() -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let failed = |_| KeyError::Generation("token");
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
    Ok(Zeroizing::new(der.as_ref().to_vec()))
}

/// The same key in PEM, the only form in which the token library takes PKCS #8.
fn pem(pkcs8: &[u8]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(STANDARD.encode(pkcs8));
    let mut pem = Zeroizing::new(String::with_capacity(encoded.len() + 128));
    pem.push_str("-----BEGIN PRIVATE KEY-----\n");
    for line in encoded.as_bytes().chunks(64) {
        pem.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
        pem.push('\n');
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    pem
}
