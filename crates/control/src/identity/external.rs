//! Issuers of others (Entra ID, Keycloak, ...) whose access tokens a tenant trusts.
//!
//! Promises: the configuration says which tenant an issuer is of, no claim does; a principal that comes from outside has an
//! object id that nothing else can have ([`derived_id`]), is never the gallery's operator, and is in the groups that the
//! configuration lets it into; a token's `iss` alone chooses the keys that it is verified with. Does not: sign anybody in at an
//! issuer, or know how its documents are fetched ([`IssuerDocuments`]). See `docs/design/identity.md`.

mod claims;
mod derived_id;
mod documents;
mod issuer_key;
mod key_cache;
mod principal;
mod token;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use uuid::Uuid;

pub use self::claims::{ClaimNames, RequiredClaim};
use self::{derived_id::Derived, key_cache::KeyCache};
use super::{Identity, TokenError};
use crate::{
    Error,
    db::{self, transact, user},
    directory,
    request::Caller,
};

/// What an issuer may sign with. Nothing symmetric, and never nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// RSA, PKCS #1 v1.5, SHA-256.
    Rs256,
    /// RSA, PSS, SHA-256.
    Ps256,
    /// ECDSA on P-256, SHA-256.
    Es256,
}

impl SigningAlgorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rs256, Self::Ps256, Self::Es256];

    /// As a token's header spells it (RFC 7518, section 3.1).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

/// The way to an issuer's public documents.
#[async_trait]
pub trait IssuerDocuments: fmt::Debug + Send + Sync {
    /// The whole document, of status 200, if it is at most `longest_bytes` long. Asks only what may be asked for this issuer
    /// (`https`, or loopback when it is there itself), follows no redirect, and gives up within seconds.
    ///
    /// # Errors
    /// Why there is none, for the log.
    async fn get(&self, url: &str, longest_bytes: usize) -> Result<Vec<u8>, String>;
}

/// An issuer that is trusted, as the configuration says.
#[derive(Debug, Clone)]
pub struct ExternalIssuer {
    /// Its name, exactly as its tokens and its discovery document have it.
    pub issuer: String,
    /// The tenant whose principals it vouches for: the id or the domain.
    pub tenant: String,
    /// What its tokens must be for.
    pub audience: String,
    /// What it may sign with.
    pub algorithms: Vec<SigningAlgorithm>,
    /// Which claims say what.
    pub claims: ClaimNames,
    /// The values of the groups claim that count, and what the group of each is called in the directory.
    pub groups: BTreeMap<String, String>,
    /// What other claims must say, all of them.
    pub required_claims: Vec<RequiredClaim>,
    /// How many users and service principals its tokens may make in the directory; those who are there stay welcome.
    pub max_principals: u64,
    /// Whether the tenant's built-in users sign in, too.
    pub built_in_users: bool,
    /// The way to its keys.
    pub documents: Arc<dyn IssuerDocuments>,
}

/// An issuer whose tenant is known.
#[derive(Debug)]
struct TrustedIssuer {
    config: ExternalIssuer,
    tenant: Uuid,
    keys: KeyCache,
    /// The values of the groups claim that count, with the groups' object ids.
    groups: BTreeMap<String, Uuid>,
}

/// All issuers that are trusted.
#[derive(Debug, Default)]
struct Trusted {
    issuers: HashMap<String, Arc<TrustedIssuer>>,
    /// Tenants whose built-in users do not sign in.
    closed: HashSet<Uuid>,
}

/// Set once, by the start.
#[derive(Debug, Default)]
pub(super) struct ExternalIssuers(OnceLock<Trusted>);

impl Identity {
    /// Trusts issuers from now on, each for its tenant, and makes the groups that they may put principals into. Once, after the
    /// first start's tenant is there. Asks no issuer anything: one that is down keeps nobody from starting.
    ///
    /// # Errors
    /// `ExternalIssuer` for a tenant that is not there, a group's name that is none, and an issuer whose users are in another
    /// tenant already; the catalogue's.
    pub async fn trust(&self, issuers: Vec<ExternalIssuer>) -> Result<(), Error> {
        let mut trusted = Trusted::default();
        for config in issuers {
            let issuer = Arc::new(self.trusted(config).await?);
            if !issuer.config.built_in_users {
                trusted.closed.insert(issuer.tenant);
            }
            trusted.issuers.insert(issuer.config.issuer.clone(), issuer);
        }
        self.external.0.set(trusted).expect("issuers are trusted once");
        Ok(())
    }

    async fn trusted(&self, config: ExternalIssuer) -> Result<TrustedIssuer, Error> {
        let refused = |problem: String| Error::ExternalIssuer { issuer: config.issuer.clone(), problem };
        let made = transact!(&self.db, |tx| -> Result<(Uuid, BTreeMap<String, Uuid>), Error> {
            let tenant = super::tenant_of(tx, &config.tenant).await.map_err(|error| match error {
                super::IdentityError::Catalogue(error) => error.into(),
                error => refused(error.to_string()),
            })?;
            if user::is_issuer_elsewhere(tx, &config.issuer, tenant.id).await? {
                return Err(refused("its users are in another tenant already; delete them there first".to_owned()));
            }
            let mut groups = BTreeMap::new();
            for (value, name) in &config.groups {
                let id = Derived::Group(value).id(tenant.id, &config.issuer);
                directory::external::ensure_group(tx, tenant.id, id, name)
                    .await
                    .map_err(|error| refused(format!("the group '{name}': {}", error.message)))?;
                groups.insert(value.clone(), id);
            }
            Ok((tenant.id, groups))
        });
        let (tenant, groups) = made?;
        let keys = KeyCache::open(&mut *self.db.read().await?, tenant, &config.issuer).await?;
        Ok(TrustedIssuer { config, tenant, keys, groups })
    }

    /// Who a token of an external issuer stands for; `None` when it names none that is trusted, and is ours to verify. Whoever
    /// is new gets an object in the directory.
    ///
    /// # Errors
    /// What is wrong with the token; that the issuer's keys cannot be had.
    pub async fn verify_external(&self, token: &str) -> Result<Option<Caller>, TokenError> {
        let Some(trusted) = self.external.0.get().filter(|trusted| !trusted.issuers.is_empty()) else {
            return Ok(None);
        };
        let Some(issuer) = token::stated_issuer(token).and_then(|name| trusted.issuers.get(&name)) else {
            return Ok(None);
        };
        let verified = token::verify(self, issuer, token).await?;
        principal::caller(self, issuer, &verified).await.map(Some)
    }

    /// Whether a tenant's built-in users do not sign in any more.
    pub(super) fn is_closed_to_users(&self, tenant: Uuid) -> bool {
        self.external.0.get().is_some_and(|trusted| trusted.closed.contains(&tenant))
    }

    /// Reads the keys of all issuers again.
    pub(crate) async fn reload_issuer_keys(&self) -> db::Result<()> {
        for issuer in self.external.0.get().iter().flat_map(|trusted| trusted.issuers.values()) {
            issuer.keys.reload(&self.db, &issuer.config).await?;
        }
        Ok(())
    }
}
