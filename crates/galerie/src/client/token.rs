//! Access tokens: asked for with the account's secret, kept in memory until shortly before they end; or those that somebody else
//! issued, as they are.

use std::{
    fs::File,
    io::Read,
    path::Path,
    time::{Duration, Instant},
};

use reqwest::{StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{
    Error, Profile, Result,
    profile::{Account, Application},
    transport::read_body,
};

/// How long before its end a token is not used any more.
const RENEW_BEFORE_END: Duration = Duration::from_secs(300);
/// Longer than any answer of a token endpoint.
const LONGEST_ANSWER_BYTES: usize = 256 * 1024;

/// Longest token that a server looks at.
const LONGEST_TOKEN_BYTES: u64 = 16 * 1024;
/// How long a token from a file is used before the file is looked at again.
const READ_AGAIN: Duration = Duration::from_secs(30);
/// How long one that cannot be renewed is used: until the server refuses it.
const FOR_LONG: Duration = Duration::from_secs(365 * 24 * 3600);

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

    /// The account's token for a resource. One that somebody else issued is for what it is for.
    ///
    /// # Errors
    /// `Unreachable`, `SignIn`, `Nonsense`; `Profile` when the token's file cannot be read.
    pub(super) async fn of(http: &reqwest::Client, profile: &Profile, audience: &str) -> Result<Self> {
        match &profile.account {
            Account::Application(application) => Self::request(http, profile, application, audience).await,
            Account::Token(token) => Self::checked(token.expose_secret(), FOR_LONG, "GALERIE_TOKEN"),
            Account::TokenFile(path) => Self::read(path),
        }
    }

    fn read(path: &Path) -> Result<Self> {
        let name = format!("the token's file {}", path.display());
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(LONGEST_TOKEN_BYTES + 1).read_to_string(&mut text))
            .map_err(|error| Error::Profile(format!("{name}: {error}")))?;
        Self::checked(&text, READ_AGAIN, &name)
    }

    /// A token may be followed by a line's end, and by nothing else.
    fn checked(text: &str, good_for: Duration, name: &str) -> Result<Self> {
        let token = text.trim();
        let fits = !token.is_empty()
            && token.len() as u64 <= LONGEST_TOKEN_BYTES
            && token.bytes().all(|b| b.is_ascii_graphic());
        if !fits {
            return Err(Error::Profile(format!("{name} does not hold a token, and nothing but a token")));
        }
        Ok(Self { secret: token.to_owned().into(), good_until: Instant::now() + good_for })
    }

    /// Asks for a token for a resource (client credentials, v2).
    async fn request(
        http: &reqwest::Client,
        profile: &Profile,
        application: &Application,
        audience: &str,
    ) -> Result<Self> {
        let endpoint = profile.endpoint_text();
        let mut url = profile.endpoint.clone();
        url.set_path(&format!("/{}/oauth2/v2.0/token", application.tenant_id));
        let form = form(&[
            ("grant_type", "client_credentials"),
            ("client_id", &application.client_id.to_string()),
            ("client_secret", application.client_secret.expose_secret()),
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
            let endpoint = endpoint.to_owned();
            return Err(match status.is_server_error() {
                true => Error::SignInAway { endpoint, message },
                false => Error::SignIn { endpoint, message },
            });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_a_token_and_a_lines_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Token::read(&path).map(|token| token.secret().expect("good").expose_secret().to_owned())
        };
        assert_eq!(read("a.b.c\n").unwrap(), "a.b.c");
        for text in ["", "\n", "a b", "a\nb", &"x".repeat(20_000)] {
            let refused = read(text).unwrap_err().to_string();
            assert!(
                refused.contains("nothing but a token") && (text.len() < 3 || !refused.contains(text)),
                "{refused}"
            );
        }
        assert!(Token::read(&folder.path().join("none")).is_err_and(|error| error.to_string().contains("none")));
    }
}
