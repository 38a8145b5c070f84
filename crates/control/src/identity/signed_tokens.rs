//! Tokens whose signature was found good a moment ago. Clients send the same one with each request, and checking an RSA signature
//! and reading what it is about took a sixth of what it costs to read a version.
//!
//! Only the signature is remembered, with the key's id: a key that is retired takes its tokens along, and clock, audience,
//! issuer and the principal are looked at each time (`token::check`, `Identity::verify`).

use std::sync::Arc;

use quick_cache::sync::Cache;

use super::token::{Claims, signed_claims};
use crate::keys::TokenKey;

/// Tokens that are remembered, of a few hundred bytes each: more than a server has clients at a time. Nobody adds one who
/// has none of ours.
const TOKENS: usize = 4096;

/// The tokens, by their hash: a copy of memory gives none away.
#[derive(Debug)]
pub(super) struct SignedTokens(Cache<blake3::Hash, Signed>);

#[derive(Debug, Clone)]
struct Signed {
    key_id: Arc<str>,
    claims: Arc<Claims>,
}

impl Default for SignedTokens {
    fn default() -> Self {
        Self(Cache::new(TOKENS))
    }
}

impl SignedTokens {
    /// What a token says, if one of the keys signed it.
    pub(super) fn claims(&self, keys: &[Arc<TokenKey>], token: &str) -> Option<Arc<Claims>> {
        let hash = blake3::hash(token.as_bytes());
        if let Some(Signed { key_id, claims }) = self.0.get(&hash)
            && keys.iter().any(|key| key.kid() == &*key_id)
        {
            return Some(claims);
        }
        let key_id = jsonwebtoken::decode_header(token).ok()?.kid?;
        let key = keys.iter().find(|key| key.kid() == key_id)?;
        let claims = Arc::new(signed_claims(key, token)?);
        self.0.insert(hash, Signed { key_id: key_id.into(), claims: Arc::clone(&claims) });
        Some(claims)
    }
}
