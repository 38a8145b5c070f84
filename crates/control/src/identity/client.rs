//! Applications that ask for tokens: which there are, and how they prove that it is them.

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use uuid::{Uuid, uuid};

use super::{Identity, IdentityError, IssuedToken, TokenShape, assertion, shown, tenant_of, token};
use crate::db::{
    self, Connection, application,
    credential::{self, CredentialKind, CredentialRow},
    service_principal::{self, ServicePrincipalRow},
};

/// Longest secret that is looked at, in bytes.
const LONGEST_SECRET_BYTES: usize = 1024;
/// The Azure CLI, which is public and known everywhere, as in Entra.
pub(super) const AZURE_CLI: Uuid = uuid!("04b07795-8ddb-461a-bbee-02f9e1bf7b46");
const AZURE_CLI_NAME: &str = "Azure CLI";
/// Where public clients on a user's own machine are sent back to, at any port (RFC 8252, section 7.3).
const LOOPBACK: [&str; 2] = ["http://localhost", "http://127.0.0.1"];

/// How an application proves that it is it.
#[derive(Debug)]
pub enum ClientProof {
    /// Not at all: it is public.
    None,
    /// By a secret.
    Secret(SecretString),
    /// By a JWT (RFC 7523) that a certificate's key signed, for one of these audiences.
    Assertion {
        /// The JWT.
        jwt: SecretString,
        /// The token endpoint and the issuer, as this request's host and tenant have them.
        audiences: Vec<String>,
    },
}

/// An application through which users sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientApplication {
    /// The client id.
    pub app_id: Uuid,
    /// What people call it.
    pub display_name: String,
    /// The tenant that registered it; `None`: it is known everywhere.
    pub tenant: Option<Uuid>,
    /// Whether other tenants' users may use it, where it has a service principal.
    pub is_shared: bool,
    /// Whether it may do without a proof where it was registered with no redirect URI: device codes, refreshing.
    allows_public: bool,
    public_redirects: Vec<String>,
    confidential_redirects: Vec<String>,
}

impl ClientApplication {
    fn azure_cli() -> Self {
        Self {
            app_id: AZURE_CLI,
            display_name: AZURE_CLI_NAME.to_owned(),
            tenant: None,
            is_shared: true,
            allows_public: true,
            public_redirects: LOOPBACK.map(str::to_owned).to_vec(),
            confidential_redirects: Vec::new(),
        }
    }

    fn registered(row: application::ApplicationRow) -> Self {
        let document = &row.document;
        let uris = |parts: &[&str]| {
            let lists = parts.iter().filter_map(|part| document[*part]["redirectUris"].as_array());
            lists.flatten().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
        };
        let public_redirects = uris(&["publicClient", "spa"]);
        Self {
            app_id: row.app_id,
            tenant: Some(row.object.tenant),
            is_shared: document["signInAudience"].as_str() == Some("AzureADMultipleOrgs"),
            allows_public: document["isFallbackPublicClient"].as_bool() == Some(true) || !public_redirects.is_empty(),
            public_redirects,
            confidential_redirects: uris(&["web"]),
            display_name: row.object.display_name,
        }
    }

    /// Whether a browser may be sent back there.
    #[must_use]
    pub fn has_redirect(&self, uri: &str) -> bool {
        self.has_public_redirect(uri) || self.confidential_redirects.iter().any(|known| known == uri)
    }

    /// Whether whoever is sent back there need not prove that it is the application.
    #[must_use]
    pub fn has_public_redirect(&self, uri: &str) -> bool {
        self.public_redirects.iter().any(|known| known == uri || is_at_another_port(known, uri))
    }

    /// Whether it may sign in users without a proof.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.allows_public
    }
}

/// Whether two URIs on this machine differ in their ports alone.
fn is_at_another_port(known: &str, uri: &str) -> bool {
    let parts = |uri: &str| {
        let host = LOOPBACK
            .into_iter()
            .find(|host| uri.strip_prefix(host).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/'])))?;
        let rest = &uri[host.len()..];
        let path = match rest.strip_prefix(':') {
            Some(port) => {
                let end = port.find('/').unwrap_or(port.len());
                port[..end].parse::<u16>().ok()?;
                &port[end..]
            }
            None => rest,
        };
        // A path of nothing and of a slash are the same place.
        Some((host, path.strip_prefix('/').unwrap_or(path).to_owned()))
    };
    parts(known).is_some_and(|known| parts(uri) == Some(known))
}

impl Identity {
    /// Issues a token to an application that proves itself (client credentials). `tenant` is the path segment: the tenant's
    /// id or domain.
    ///
    /// # Errors
    /// What is wrong with the credentials; a wrong secret takes as long as a right one.
    pub async fn token_for_client(
        &self,
        client_id: &str,
        proof: &ClientProof,
        tenant: &str,
        shape: &TokenShape,
    ) -> Result<IssuedToken, IdentityError> {
        let mut tx = self.db.read().await?;
        let tenant = tenant_of(&mut tx, tenant).await?;
        let unknown = || IdentityError::UnknownApplication(shown(client_id));
        let app_id: Uuid = client_id.parse().map_err(|_| unknown())?;
        let principal = service_principal::find_by_app(&mut tx, tenant.id, app_id).await?.ok_or_else(unknown)?;
        let now_ms = tx.now_ms().await?;
        let (home, credentials) = live_credentials(&mut tx, &principal, now_ms).await?;
        let home_of = |found: &CredentialRow| if found.owner == principal.object.id { tenant.id } else { home };
        let how = self.prove(app_id, proof, &credentials, home_of, now_ms)?;
        if !principal.enabled {
            return Err(IdentityError::DisabledApplication);
        }
        token::for_application(&mut tx, &self.keys.token(now_ms), &principal, how, shape, now_ms).await
    }

    /// Checks the proof of an application through which a user signs in; one that is public needs none. `redirect` is where
    /// the user came back to, if it was a browser.
    pub(super) async fn prove_client(
        &self,
        tx: &mut Connection,
        client: &ClientApplication,
        proof: &ClientProof,
        redirect: Option<&str>,
    ) -> Result<&'static str, IdentityError> {
        let is_public = match redirect {
            Some(redirect) => client.has_public_redirect(redirect),
            None => client.is_public(),
        };
        if matches!(proof, ClientProof::None) {
            return if is_public { Ok("0") } else { Err(IdentityError::WrongSecret) };
        }
        let now_ms = tx.now_ms().await?;
        let application = application::find_by_app(tx, client.app_id).await?;
        let owner = application.ok_or_else(|| IdentityError::UnknownApplication(client.app_id.to_string()))?;
        let mut credentials = credential::list(tx, owner.object.id).await?;
        credentials.retain(|found| found.is_live(now_ms));
        self.prove(client.app_id, proof, &credentials, |_| owner.object.tenant, now_ms)
    }

    /// How an application proved itself, as `appidacr` has it.
    fn prove(
        &self,
        app_id: Uuid,
        proof: &ClientProof,
        credentials: &[CredentialRow],
        home_of: impl Fn(&CredentialRow) -> Uuid,
        now_ms: i64,
    ) -> Result<&'static str, IdentityError> {
        match proof {
            ClientProof::None => Err(IdentityError::WrongSecret),
            ClientProof::Secret(secret) => {
                let secret = secret.expose_secret();
                let mut secrets = credentials.iter().filter(|found| found.kind == CredentialKind::Secret);
                let fits = secret.len() <= LONGEST_SECRET_BYTES;
                match fits && secrets.any(|found| self.keys.secret_matches(secret, &found.hash)) {
                    true => Ok("1"),
                    false => Err(IdentityError::WrongSecret),
                }
            }
            ClientProof::Assertion { jwt, audiences } => {
                assertion::check(
                    jwt.expose_secret(),
                    app_id,
                    audiences,
                    credentials,
                    home_of,
                    &self.assertions,
                    now_ms,
                )?;
                Ok("2")
            }
        }
    }

    /// The application that users sign in through.
    ///
    /// # Errors
    /// `UnknownApplication`.
    pub async fn client(&self, client_id: &str) -> Result<ClientApplication, IdentityError> {
        find_client(&mut *self.db.read().await?, client_id).await
    }
}

pub(super) async fn find_client(tx: &mut Connection, client_id: &str) -> Result<ClientApplication, IdentityError> {
    let unknown = || IdentityError::UnknownApplication(shown(client_id));
    let app_id: Uuid = client_id.parse().map_err(|_| unknown())?;
    if app_id == AZURE_CLI {
        return Ok(ClientApplication::azure_cli());
    }
    application::find_by_app(tx, app_id).await?.map(ClientApplication::registered).ok_or_else(unknown)
}

/// Whether a tenant's users may sign in through an application.
pub(super) async fn is_known_in(
    tx: &mut Connection,
    client: &ClientApplication,
    tenant: Uuid,
) -> Result<bool, db::Error> {
    if client.tenant.is_none() {
        return Ok(true);
    }
    if client.tenant != Some(tenant) && !client.is_shared {
        return Ok(false);
    }
    let principal = service_principal::find_by_app(tx, tenant, client.app_id).await?;
    Ok(principal.map_or(client.tenant == Some(tenant), |principal| principal.enabled))
}

/// The credentials that a principal can show now: its own and its application's.
async fn live_credentials(
    tx: &mut Connection,
    principal: &ServicePrincipalRow,
    now_ms: i64,
) -> Result<(Uuid, Vec<CredentialRow>), db::Error> {
    let (mut home, mut credentials) = (principal.object.tenant, credential::list(tx, principal.object.id).await?);
    if let Some(application) = application::find_by_app(tx, principal.app_id).await? {
        home = application.object.tenant;
        credentials.append(&mut credential::list(tx, application.object.id).await?);
    }
    credentials.retain(|found| found.is_live(now_ms));
    Ok((home, credentials))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_equal_what_was_registered_but_for_a_loopback_port() {
        let cli = ClientApplication::azure_cli();
        for uri in ["http://localhost", "http://localhost:8400", "http://localhost:54321/", "http://127.0.0.1:1"] {
            assert!(cli.has_public_redirect(uri), "{uri}");
        }
        for uri in [
            "https://localhost:8400",
            "http://localhost:8400/x",
            "http://localhost.evil.example",
            "http://localhost:8400.evil.example",
            "http://localhost:x",
            "http://localhost:99999",
            "http://localhost@evil.example",
            "http://evil.example",
            "",
        ] {
            assert!(!cli.has_redirect(uri), "{uri}");
        }
        let mut web = cli;
        web.public_redirects = vec!["http://localhost:5000/cb".to_owned()];
        web.confidential_redirects = vec!["https://app.example/cb".to_owned()];
        assert!(web.has_redirect("https://app.example/cb") && !web.has_public_redirect("https://app.example/cb"));
        assert!(web.has_public_redirect("http://localhost:1/cb") && !web.has_redirect("http://localhost:1/cb/x"));
        assert!(!web.has_redirect("https://app.example/cb?x") && !web.has_redirect("https://app.example:443/cb"));
    }
}
