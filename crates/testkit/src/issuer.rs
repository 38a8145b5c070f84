//! An OpenID Connect issuer of others: real keys, and the two documents that it shows.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use galerie_control::IssuerDocuments;
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};

/// A key that an issuer signs with.
#[derive(Clone)]
pub struct IssuerKey {
    signer: EncodingKey,
    /// Its public half, as key sets have it (RFC 7517).
    pub jwk: Value,
}

impl IssuerKey {
    /// An RSA key of 2048 bits.
    ///
    /// # Panics
    /// When the machine has no randomness.
    #[must_use]
    pub fn rsa(kid: &str) -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key");
        let der: Pkcs8V1Der<'_> = pair.as_der().expect("an encoding");
        let signer = EncodingKey::from_rsa_pem(pem(der.as_ref()).as_bytes()).expect("a key");
        Self::new(kid, signer, Algorithm::RS256)
    }

    /// A key on P-256.
    ///
    /// # Panics
    /// When the machine has no randomness.
    #[must_use]
    pub fn p256(kid: &str) -> Self {
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).expect("a key");
        let signer = EncodingKey::from_ec_pem(pem(der.as_ref()).as_bytes()).expect("a key");
        Self::new(kid, signer, Algorithm::ES256)
    }

    fn new(kid: &str, signer: EncodingKey, algorithm: Algorithm) -> Self {
        let public = Jwk::from_encoding_key(&signer, algorithm).expect("a public half");
        let mut jwk = serde_json::to_value(&public).expect("JSON");
        // An RSA key without one is for RS256 and PS256 alike.
        jwk.as_object_mut().expect("an object").remove("alg");
        jwk["kid"] = kid.into();
        jwk["use"] = "sig".into();
        Self { signer, jwk }
    }

    /// The key's name.
    ///
    /// # Panics
    /// Never: it has one.
    #[must_use]
    pub fn kid(&self) -> &str {
        self.jwk["kid"].as_str().expect("a name")
    }

    /// Signs claims; `change` is what is to be odd about the header.
    ///
    /// # Panics
    /// When the algorithm is not the key's.
    #[must_use]
    pub fn sign(&self, algorithm: Algorithm, claims: &Value, change: impl FnOnce(&mut Header)) -> String {
        let mut header = Header::new(algorithm);
        header.kid = Some(self.kid().to_owned());
        change(&mut header);
        jsonwebtoken::encode(&header, claims, &self.signer).expect("a token")
    }
}

/// A PKCS #8 document in PEM, the only form in which the token library takes it.
fn pem(pkcs8: &[u8]) -> String {
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(pkcs8))
}

/// What an issuer shows, and whether it answers. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct TestIssuer(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    keys: Mutex<Vec<Value>>,
    is_down: AtomicBool,
    /// What its discovery document calls it, if not by its name.
    alias: Mutex<Option<String>>,
    readings: AtomicUsize,
}

impl TestIssuer {
    /// Its name.
    pub const NAME: &'static str = "https://login.example.com/realms/staff";
    /// Where its keys are, which need not be below its name.
    const KEYS: &'static str = "https://keys.example.com/staff";

    /// An issuer that shows these keys.
    #[must_use]
    pub fn showing(keys: &[&IssuerKey]) -> Self {
        let issuer = Self::default();
        issuer.show(keys);
        issuer
    }

    /// From now on it shows these keys and no others.
    pub fn show(&self, keys: &[&IssuerKey]) {
        let shown = keys.iter().map(|key| key.jwk.clone()).collect();
        *self.0.keys.lock().unwrap_or_else(PoisonError::into_inner) = shown;
    }

    /// Whether it answers from now on.
    pub fn set_down(&self, is_down: bool) {
        self.0.is_down.store(is_down, Ordering::SeqCst);
    }

    /// Calls itself something else in its discovery document.
    pub fn pose_as(&self, name: &str) {
        *self.0.alias.lock().unwrap_or_else(PoisonError::into_inner) = Some(name.to_owned());
    }

    /// How often somebody began to read its keys.
    #[must_use]
    pub fn readings(&self) -> usize {
        self.0.readings.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl IssuerDocuments for TestIssuer {
    async fn get(&self, url: &str, longest_bytes: usize) -> Result<Vec<u8>, String> {
        let discovery = format!("{}/.well-known/openid-configuration", Self::NAME);
        if url == discovery {
            self.0.readings.fetch_add(1, Ordering::SeqCst);
        }
        if self.0.is_down.load(Ordering::SeqCst) {
            return Err("connection refused".to_owned());
        }
        let alias = self.0.alias.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let document = match url {
            _ if url == discovery => {
                json!({ "issuer": alias.unwrap_or_else(|| Self::NAME.to_owned()), "jwks_uri": Self::KEYS })
            }
            Self::KEYS => json!({ "keys": *self.0.keys.lock().unwrap_or_else(PoisonError::into_inner) }),
            _ => return Err(format!("{url} was asked for")),
        };
        let text = document.to_string().into_bytes();
        if text.len() > longest_bytes { Err("too long".to_owned()) } else { Ok(text) }
    }
}
