//! The Ed25519 key that seals the audit (RFC 8032).

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::KeyError;

/// A sealing key.
pub(crate) struct SealKey(Ed25519KeyPair);

impl SealKey {
    /// From an unwrapped PKCS #8 document.
    pub(super) fn new(pkcs8: &[u8]) -> Result<Self, KeyError> {
        Ed25519KeyPair::from_pkcs8(pkcs8).map(Self).map_err(|_| KeyError::Generation("audit"))
    }

    /// A signature in base64.
    pub(crate) fn sign(&self, message: &[u8]) -> String {
        STANDARD.encode(self.0.sign(message))
    }

    /// The public half: 32 bytes in base64.
    pub(crate) fn public(&self) -> String {
        STANDARD.encode(self.0.public_key())
    }
}

/// Whether the private half of `public` signed a message. Both texts are base64.
pub(crate) fn verifies(public: &str, message: &[u8], signature: &str) -> bool {
    let (Ok(public), Ok(signature)) = (STANDARD.decode(public), STANDARD.decode(signature)) else { return false };
    UnparsedPublicKey::new(&ED25519, public).verify(message, &signature).is_ok()
}

/// A new key as PKCS #8.
pub(super) fn generate_seal_key() -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let document = Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8());
    document.map(|document| Zeroizing::new(document.as_ref().to_vec())).map_err(|_| KeyError::Generation("audit"))
}
