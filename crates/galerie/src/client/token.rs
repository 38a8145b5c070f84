//! Access tokens: asked for with the account's secret, kept in memory until shortly before they end.

use std::time::{Duration, Instant};

use reqwest::{StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{Error, Profile, Result, transport::read_body};

/// How long before its end a token is not used any more.
const RENEW_BEFORE_END: Duration = Duration::from_secs(300);
/// Longer than any answer of a token endpoint.
const LONGEST_ANSWER_BYTES: usize = 256 * 1024;

/// A token and when to stop using it.
pub(super) struct Token {
    secret: SecretString,
    good_until: Instant,
}

#[derive(Deserialize)]
struct Issued {
    access_token: String,
    expires_in: u64,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    error_description: String,
}

impl Token {
    /// The token, while it is good.
    pub(super) fn secret(&self) -> Option<&SecretString> {
        (Instant::now() < self.good_until).then_some(&self.secret)
    }

    /// Asks for a token for a resource (client credentials, v2).
    pub(super) async fn request(http: &reqwest::Client, profile: &Profile, audience: &str) -> Result<Self> {
        let endpoint = profile.endpoint_text();
        let mut url = profile.endpoint.clone();
        url.set_path(&format!("/{}/oauth2/v2.0/token", profile.tenant_id));
        let form = form(&[
            ("grant_type", "client_credentials"),
            ("client_id", &profile.client_id.to_string()),
            ("client_secret", profile.client_secret.expose_secret()),
            ("scope", &format!("{audience}/.default")),
        ]);
        let asked = Instant::now();
        let request = http.post(url).header("Content-Type", "application/x-www-form-urlencoded").body(form);
        let answer = request
            .send()
            .await
            .map_err(|source| Error::Unreachable { endpoint: endpoint.to_owned(), source: source.without_url() })?;
        let status = answer.status();
        let body = read_body(answer, LONGEST_ANSWER_BYTES).await?;
        if status != StatusCode::OK {
            let message = match serde_json::from_slice::<Refusal>(&body) {
                Ok(refusal) if !refusal.error_description.is_empty() => refusal.error_description,
                Ok(refusal) => refusal.error,
                Err(_) => format!("HTTP status {status}"),
            };
            return Err(Error::SignIn { endpoint: endpoint.to_owned(), message });
        }
        let issued: Issued =
            serde_json::from_slice(&body).map_err(|error| Error::nonsense("sign in", error.to_string()))?;
        let lifetime = Duration::from_secs(issued.expires_in);
        let good_until = asked + lifetime.saturating_sub(RENEW_BEFORE_END.min(lifetime / 2));
        Ok(Self { secret: issued.access_token.into(), good_until })
    }
}

/// `application/x-www-form-urlencoded`, which is how a URL's query is written.
fn form(fields: &[(&str, &str)]) -> String {
    let mut url = Url::parse("https://form").expect("a URL");
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}
