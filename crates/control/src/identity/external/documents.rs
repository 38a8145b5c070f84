//! An issuer's discovery document and key set (OpenID Connect Discovery, sections 3 and 4).

use serde_json::Value;

use super::{ExternalIssuer, issuer_key, issuer_key::IssuerKey};

const WELL_KNOWN: &str = ".well-known/openid-configuration";
/// Longer than any such document.
const LONGEST_DOCUMENT_BYTES: usize = 256 * 1024;

/// Reads the keys that an issuer signs with now.
///
/// # Errors
/// Why there are none, for the log.
pub(super) async fn read_keys(issuer: &ExternalIssuer) -> Result<Vec<IssuerKey>, String> {
    let url = format!("{}/{WELL_KNOWN}", issuer.issuer.trim_end_matches('/'));
    let discovery = read(issuer, &url).await?;
    if discovery["issuer"].as_str() != Some(issuer.issuer.as_str()) {
        let found = discovery["issuer"].as_str().unwrap_or("nobody").chars().filter(|c| !c.is_control()).take(200);
        return Err(format!("{url} is of the issuer '{}'", found.collect::<String>()));
    }
    let keys_url = discovery["jwks_uri"].as_str().ok_or_else(|| format!("{url} names no jwks_uri"))?;
    let keys = issuer_key::of_set(&read(issuer, keys_url).await?);
    if keys.is_empty() { Err("its key set has no key that can be used".to_owned()) } else { Ok(keys) }
}

async fn read(issuer: &ExternalIssuer, url: &str) -> Result<Value, String> {
    let text = issuer.documents.get(url, LONGEST_DOCUMENT_BYTES).await?;
    serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", url.chars().take(200).collect::<String>()))
}
