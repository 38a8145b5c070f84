//! Which server, and as whom: from `admin.json`, with what the environment or options say on top.

use std::path::{Path, PathBuf};

use reqwest::Url;
use secrecy::SecretString;
use uuid::Uuid;

use super::{Error, Result};
use crate::admin_file::{ADMIN_FILE, AdminFile};

/// What the user said, option by option.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides {
    /// A server's data directory; its `admin.json` is read.
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) endpoint: Option<String>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) tenant_id: Option<Uuid>,
    pub(crate) subscription_id: Option<Uuid>,
    pub(crate) client_id: Option<Uuid>,
    pub(crate) client_secret: Option<SecretString>,
    /// A token that somebody else issued, in place of an account with a secret.
    pub(crate) token: Option<SecretString>,
    /// A file with such a token, which whoever renews it writes again.
    pub(crate) token_file: Option<PathBuf>,
}

/// A server and an account on it.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    /// `https://HOST:PORT/`.
    pub(crate) endpoint: Url,
    /// The authority to trust; `None` for the system's.
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) subscription_id: Uuid,
    pub(crate) account: Account,
}

/// As whom.
#[derive(Debug, Clone)]
pub(crate) enum Account {
    /// An application that signs in at the server.
    Application(Application),
    /// Whoever this token stands for.
    Token(SecretString),
    /// Whoever the token in this file stands for.
    TokenFile(PathBuf),
}

/// An application and its secret.
#[derive(Debug, Clone)]
pub(crate) struct Application {
    pub(crate) tenant_id: Uuid,
    pub(crate) client_id: Uuid,
    pub(crate) client_secret: SecretString,
}

impl Profile {
    /// Puts the profile together. Without anything said, the server is the one of `default_data_dir`.
    ///
    /// # Errors
    /// `Profile`, naming what is missing; `AdminFile`.
    pub(crate) fn resolve(overrides: Overrides, default_data_dir: &Path) -> Result<Self> {
        let file = match (&overrides.data_dir, &overrides.endpoint) {
            (Some(folder), _) => Some(AdminFile::read(&folder.join(ADMIN_FILE))?),
            // Another server's file says nothing about this endpoint.
            (None, Some(_)) => None,
            (None, None) => Some(AdminFile::read(&default_data_dir.join(ADMIN_FILE))?),
        };
        let file = file.as_ref();
        let missing = |what: &str| Error::Profile(format!("{what} is not known"));
        let endpoint = overrides.endpoint.or_else(|| file.map(|file| file.endpoint.clone()));
        let account = match (overrides.token, overrides.token_file) {
            (Some(_), Some(_)) => {
                return Err(Error::Profile("there are two tokens: GALERIE_TOKEN and GALERIE_TOKEN_FILE".to_owned()));
            }
            (Some(token), None) => Account::Token(token),
            (None, Some(path)) => Account::TokenFile(path),
            (None, None) => {
                let secret = overrides.client_secret.or_else(|| file.map(|file| file.client_secret.clone().into()));
                Account::Application(Application {
                    tenant_id: overrides
                        .tenant_id
                        .or(file.map(|file| file.tenant_id))
                        .ok_or_else(|| missing("the tenant (--tenant-id)"))?,
                    client_id: overrides
                        .client_id
                        .or(file.map(|file| file.client_id))
                        .ok_or_else(|| missing("the account (--client-id)"))?,
                    client_secret: secret.ok_or_else(|| missing("the account's secret (GALERIE_CLIENT_SECRET)"))?,
                })
            }
        };
        Ok(Self {
            endpoint: parse_endpoint(&endpoint.ok_or_else(|| missing("the server's endpoint (--endpoint)"))?)?,
            ca_file: overrides.ca_file.or_else(|| file.and_then(|file| file.ca_file.clone())),
            subscription_id: overrides
                .subscription_id
                .or(file.map(|file| file.subscription_id))
                .ok_or_else(|| missing("the subscription (--subscription-id)"))?,
            account,
        })
    }

    /// The application that signs in.
    ///
    /// # Errors
    /// `Profile`, when there is a token in its place.
    pub(crate) fn application(&self) -> Result<&Application> {
        match &self.account {
            Account::Application(application) => Ok(application),
            Account::Token(_) | Account::TokenFile(_) => {
                Err(Error::Profile("this needs an account with a secret, and there is a token in its place".to_owned()))
            }
        }
    }

    /// The endpoint without a trailing slash.
    pub(crate) fn endpoint_text(&self) -> &str {
        self.endpoint.as_str().trim_end_matches('/')
    }

    /// Whether the server is on this machine, so that no proxy lies between.
    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback(&self.endpoint)
    }
}

/// Whether a URL is of this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
            address.is_ok_and(|address| address.is_loopback())
        }
        None => false,
    }
}

fn parse_endpoint(text: &str) -> Result<Url> {
    let invalid = |problem: &str| Error::Profile(format!("the endpoint '{text}' {problem}"));
    let url = Url::parse(text).map_err(|_| invalid("is no URL, such as https://localhost:8443"))?;
    match url.scheme() {
        "https" if is_origin(&url) => Ok(url),
        "https" => Err(invalid("has more than a host and a port: give only https://HOST:PORT")),
        _ => Err(invalid("must begin with https://")),
    }
}

/// Whether it has a host and a port and nothing else, not even a user's name.
fn is_origin(url: &Url) -> bool {
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    is_bare && url.username().is_empty() && url.password().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_admin_file(folder: &Path) {
        let ids = [1, 2, 3].map(Uuid::from_u128);
        AdminFile::new("https://localhost:9".to_owned(), None, ids[0], ids[1], ids[2], "x".to_owned())
            .create(&folder.join(ADMIN_FILE))
            .unwrap();
    }

    #[test]
    fn options_win_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        write_admin_file(folder.path());
        let said = Overrides { subscription_id: Some(Uuid::from_u128(7)), ..Overrides::default() };
        let profile = Profile::resolve(said, folder.path()).unwrap();
        assert_eq!(profile.endpoint_text(), "https://localhost:9");
        assert_eq!(profile.subscription_id, Uuid::from_u128(7));
        assert_eq!(profile.application().unwrap().tenant_id, Uuid::from_u128(1));
    }

    #[test]
    fn a_token_takes_the_place_of_the_account_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        write_admin_file(folder.path());
        let token = || Some(SecretString::from("t".to_owned()));
        let said = Overrides { token: token(), ..Overrides::default() };
        let profile = Profile::resolve(said, folder.path()).unwrap();
        assert_eq!(profile.endpoint_text(), "https://localhost:9");
        assert!(matches!(profile.account, Account::Token(_)) && profile.application().is_err());
        let elsewhere = Overrides {
            endpoint: Some("https://gallery.example.com".to_owned()),
            subscription_id: Some(Uuid::from_u128(7)),
            token_file: Some("/run/token".into()),
            ..Overrides::default()
        };
        let profile = Profile::resolve(elsewhere, Path::new("/nowhere")).unwrap();
        assert!(matches!(profile.account, Account::TokenFile(_)), "neither tenant nor client id are needed");
        let both = Overrides { token: token(), token_file: Some("/run/token".into()), ..Overrides::default() };
        assert!(Profile::resolve(both, folder.path()).unwrap_err().to_string().contains("two tokens"));
    }

    #[test]
    fn another_endpoint_needs_an_account_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        write_admin_file(folder.path());
        let said = Overrides { endpoint: Some("https://gallery.example.com".to_owned()), ..Overrides::default() };
        let error = Profile::resolve(said, folder.path()).unwrap_err();
        assert!(error.to_string().contains("--tenant-id"), "{error}");
        let both = Overrides {
            data_dir: Some(folder.path().to_owned()),
            endpoint: Some("https://gallery.example.com".to_owned()),
            ..Overrides::default()
        };
        assert_eq!(
            Profile::resolve(both, Path::new("/nowhere")).unwrap().endpoint_text(),
            "https://gallery.example.com"
        );
    }

    #[test]
    fn only_https_with_a_host_and_a_port_is_an_endpoint() {
        for text in [
            "http://localhost:1",
            "localhost:1",
            "https://localhost/x",
            "https://localhost/?x",
            "https://localhost/#$(id)",
            "https://$(id)@localhost",
            "https://:$(id)@localhost",
            "",
        ] {
            assert!(parse_endpoint(text).is_err(), "{text}");
        }
        assert!(parse_endpoint("https://[::1]:8443/").is_ok_and(|url| is_loopback(&url)));
        assert!(parse_endpoint("https://127.0.0.1").is_ok_and(|url| is_loopback(&url)));
        assert!(parse_endpoint("https://localhost.example").is_ok_and(|url| !is_loopback(&url)));
    }
}
