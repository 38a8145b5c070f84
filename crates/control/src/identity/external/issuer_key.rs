//! A public key of an issuer's key set (RFC 7517): what is taken of it, and what it may verify.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::SigningAlgorithm;

/// Keys of one set that are looked at.
const MOST_KEYS: usize = 100;
/// Bytes of a key's name.
const LONGEST_KID_BYTES: usize = 256;
/// Bytes of an RSA modulus: 2048 to 8192 bits.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
/// Bytes of an RSA exponent; nearly everybody's has three.
const LONGEST_EXPONENT_BYTES: usize = 8;
/// Bytes of a coordinate on P-256.
const COORDINATE_BYTES: usize = 32;

/// A key, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IssuerKey {
    pub(super) kid: String,
    /// The one algorithm that it is for, if its owner said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
    #[serde(flatten)]
    numbers: Numbers,
}

/// The numbers of a public key, base64url.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kty")]
enum Numbers {
    #[serde(rename = "RSA")]
    Rsa { n: String, e: String },
    #[serde(rename = "EC")]
    P256 { x: String, y: String },
}

/// The keys of a set that can be used here; of the others, and of their private halves, nothing is taken.
pub(super) fn of_set(set: &Value) -> Vec<IssuerKey> {
    let keys = set["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    keys.iter().take(MOST_KEYS).filter_map(IssuerKey::of).collect()
}

impl IssuerKey {
    fn of(jwk: &Value) -> Option<Self> {
        let text = |name: &str| jwk[name].as_str().map(str::to_owned);
        let kid = text("kid").filter(|kid| (1..=LONGEST_KID_BYTES).contains(&kid.len()))?;
        if text("use").is_some_and(|usage| usage != "sig") {
            return None;
        }
        let numbers = match jwk["kty"].as_str()? {
            "RSA" => Numbers::Rsa { n: text("n")?, e: text("e")? },
            "EC" if jwk["crv"] == "P-256" => Numbers::P256 { x: text("x")?, y: text("y")? },
            _ => return None,
        };
        let key = Self { kid, alg: text("alg"), numbers };
        let is_for_nothing = key.alg.as_deref().is_some_and(|alg| SigningAlgorithm::named(alg).is_none());
        (!is_for_nothing && key.is_sound()).then_some(key)
    }

    /// Whether its numbers are of the sizes that are taken.
    fn is_sound(&self) -> bool {
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let significant = |text: &str| bytes(text).map(|bytes| bytes.iter().skip_while(|byte| **byte == 0).count());
        match &self.numbers {
            Numbers::Rsa { n, e } => {
                let is_odd = bytes(e).and_then(|bytes| bytes.last().copied()).is_some_and(|last| last % 2 == 1);
                significant(n).is_some_and(|bytes| MODULUS_BYTES.contains(&bytes))
                    && significant(e).is_some_and(|count| (1..=LONGEST_EXPONENT_BYTES).contains(&count))
                    && is_odd
                    && bytes(e).is_some_and(|bytes| bytes != [1])
            }
            Numbers::P256 { x, y } => {
                [x, y].into_iter().all(|part| bytes(part).map(|b| b.len()) == Some(COORDINATE_BYTES))
            }
        }
    }

    /// What verifies a signature of this algorithm; `None` when the key is not for it.
    pub(super) fn verifier(&self, algorithm: SigningAlgorithm) -> Option<(DecodingKey, Algorithm)> {
        if self.alg.as_deref().is_some_and(|alg| alg != algorithm.as_str()) {
            return None;
        }
        let key = match (&self.numbers, algorithm) {
            (Numbers::Rsa { n, e }, SigningAlgorithm::Rs256 | SigningAlgorithm::Ps256) => {
                DecodingKey::from_rsa_components(n, e)
            }
            (Numbers::P256 { x, y }, SigningAlgorithm::Es256) => DecodingKey::from_ec_components(x, y),
            _ => return None,
        };
        let named = match algorithm {
            SigningAlgorithm::Rs256 => Algorithm::RS256,
            SigningAlgorithm::Ps256 => Algorithm::PS256,
            SigningAlgorithm::Es256 => Algorithm::ES256,
        };
        Some((key.ok()?, named))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn number(bytes: usize) -> String {
        URL_SAFE_NO_PAD.encode(vec![0x81; bytes])
    }

    fn rsa(change: impl Fn(&mut Value)) -> Value {
        let mut key = json!({"kty": "RSA", "kid": "a", "use": "sig", "n": number(256), "e": "AQAB"});
        change(&mut key);
        json!({ "keys": [key] })
    }

    #[test]
    fn keys_that_cannot_be_used_are_left_out() {
        assert_eq!(of_set(&rsa(|_| {})).len(), 1);
        assert_eq!(of_set(&rsa(|key| key["alg"] = "PS256".into())).len(), 1);
        for (what, value) in [
            ("use", json!("enc")),
            ("kid", Value::Null),
            ("kid", json!("x".repeat(257))),
            ("kty", json!("oct")),
            ("alg", json!("HS256")),
            ("alg", json!("RS512")),
            ("n", json!(number(255))),
            ("n", json!(number(1025))),
            ("n", json!("!")),
            ("e", json!("AQ")),
            ("e", json!("AA")),
            ("e", json!("AAAC")),
        ] {
            assert_eq!(of_set(&rsa(|key| key[what] = value.clone())), [], "{what}: {value}");
        }
        let ec = |curve: &str, bytes: usize| json!({"keys": [{"kty": "EC", "kid": "b", "crv": curve, "x": number(bytes), "y": number(bytes)}]});
        assert_eq!(of_set(&ec("P-256", 32)).len(), 1);
        assert_eq!(of_set(&ec("P-384", 48)), []);
        assert_eq!(of_set(&ec("P-256", 31)), []);
        for set in [json!({}), json!([]), json!({"keys": {}}), json!({"keys": [1, null, {}]})] {
            assert_eq!(of_set(&set), [], "{set}");
        }
        let many: Vec<Value> =
            (0..200).map(|number| rsa(|key| key["kid"] = number.to_string().into())["keys"][0].clone()).collect();
        assert_eq!(of_set(&json!({ "keys": many })).len(), MOST_KEYS);
    }

    #[test]
    fn a_key_verifies_its_own_kind_of_signature_and_is_kept_without_its_private_half() {
        let key = &of_set(&rsa(|key| key["d"] = "secret".into()))[0];
        assert!(key.verifier(SigningAlgorithm::Rs256).is_some() && key.verifier(SigningAlgorithm::Ps256).is_some());
        assert!(key.verifier(SigningAlgorithm::Es256).is_none());
        let one = &of_set(&rsa(|key| key["alg"] = "PS256".into()))[0];
        assert!(one.verifier(SigningAlgorithm::Rs256).is_none() && one.verifier(SigningAlgorithm::Ps256).is_some());
        let kept = serde_json::to_value(key).unwrap();
        assert!(kept.get("d").is_none() && kept["kty"] == "RSA");
        assert_eq!(serde_json::from_value::<IssuerKey>(kept).unwrap(), *key);
    }
}
