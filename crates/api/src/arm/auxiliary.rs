//! The caller as other tenants know it: further tokens, in `x-ms-authorization-auxiliary`.
//!
//! `Bearer a, Bearer b`, as azure-core sends them; semicolons separate, too. Each token must be as good as the main one, and of
//! a tenant that no other token of the request is of. What they are good for is `control`'s business.

use axum::http::HeaderMap;
use galerie_arm::ArmError;
use galerie_control::Caller;

use super::authentication::{Refusal, verify};
use crate::state::ApiState;

const HEADER: &str = "x-ms-authorization-auxiliary";
/// Azure Resource Manager's limit.
const MOST_TOKENS: usize = 3;

/// Finds out who calls in other tenants. `caller` is whom the main token stands for.
///
/// # Errors
/// 401 for more than three tokens, and for any that is wrong, over, or of a tenant that another one is of.
pub(super) async fn authenticate(
    state: &ApiState,
    headers: &HeaderMap,
    caller: &Caller,
) -> Result<Vec<Caller>, Refusal> {
    let refuse = |error: ArmError| Refusal::in_tenant(error, caller.tenant);
    let mut known: Vec<Caller> = Vec::new();
    for token in tokens(headers).map_err(refuse)? {
        let found = verify(state, token).await.map_err(|error| refuse(about_auxiliary(error)))?;
        if found.tenant == caller.tenant || known.iter().any(|other| other.tenant == found.tenant) {
            let reason = format!("there is another token of the tenant '{}'.", found.tenant);
            return Err(refuse(ArmError::invalid_auxiliary_token(&reason)));
        }
        known.push(found);
    }
    Ok(known)
}

fn tokens(headers: &HeaderMap) -> Result<Vec<&str>, ArmError> {
    let mut tokens = Vec::new();
    for value in headers.get_all(HEADER) {
        let value = value.to_str().map_err(|_| ArmError::invalid_auxiliary_token("the header is not text."))?;
        for part in value.split([',', ';']).map(str::trim).filter(|part| !part.is_empty()) {
            if tokens.len() == MOST_TOKENS {
                return Err(ArmError::invalid_auxiliary_token("there are more than three tokens."));
            }
            tokens.push(bearer(part)?);
        }
    }
    Ok(tokens)
}

fn bearer(part: &str) -> Result<&str, ArmError> {
    let (scheme, token) = part.split_once(' ').unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(ArmError::invalid_auxiliary_token("each must be 'Bearer' and a token."));
    }
    Ok(token.trim())
}

/// The refusal of a token says that it is an auxiliary one; our own faults stay what they are.
fn about_auxiliary(error: ArmError) -> ArmError {
    if error.status == 401 { ArmError::invalid_auxiliary_token(&error.message) } else { error }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(values: &[&'static str]) -> Result<Vec<String>, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_static(value));
        }
        let tokens = tokens(&headers).map(|tokens| tokens.into_iter().map(str::to_owned).collect());
        tokens.map_err(|error| error.code.into_owned())
    }

    #[test]
    fn up_to_three_tokens_in_any_of_the_written_forms() {
        for (values, expected) in [
            (&[][..], vec![]),
            (&["Bearer a"], vec!["a"]),
            (&["Bearer a, bearer b"], vec!["a", "b"]),
            (&["Bearer a;Bearer b;Bearer c"], vec!["a", "b", "c"]),
            (&["Bearer a", "Bearer b"], vec!["a", "b"]),
        ] {
            assert_eq!(read(values).unwrap(), expected);
        }
        for values in [&["a"][..], &["Basic a"], &["Bearer a, b"], &["Bearer a,Bearer b,Bearer c,Bearer d"]] {
            assert_eq!(read(values).unwrap_err(), "InvalidAuxiliaryTokens", "{values:?}");
        }
    }
}
