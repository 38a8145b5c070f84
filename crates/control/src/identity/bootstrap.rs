//! The first start: a tenant, a subscription and an administrator; and a new administrator when the old one is lost.

use std::fmt::Write as _;

use secrecy::SecretString;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    Control, Error,
    db::{
        self, Connection,
        service_principal::{self, ServicePrincipalRow},
        setting,
        subscription::{self, SubscriptionRow},
        tenant::{self, TenantRow},
    },
    keys::{KeyError, Keys, random},
};

/// Bytes of randomness in a client secret.
const SECRET_BYTES: usize = 32;

/// What a client needs to sign in as the first administrator.
#[derive(Debug)]
pub struct Bootstrap {
    /// The tenant.
    pub tenant: Uuid,
    /// The subscription.
    pub subscription: Uuid,
    /// The administrator's client id.
    pub client_id: Uuid,
    /// Its secret; only when it was made just now. It is kept nowhere.
    pub client_secret: Option<SecretString>,
}

/// An administrator that took the place of the former ones.
#[derive(Debug)]
pub struct NewAdministrator {
    /// The tenant.
    pub tenant: Uuid,
    /// The subscription of the first start.
    pub subscription: Uuid,
    /// The client id.
    pub client_id: Uuid,
    /// The secret; it is kept nowhere.
    pub client_secret: SecretString,
}

impl Control {
    /// Makes the first tenant, subscription and administrator, in one transaction; or says what they are.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn bootstrap(&self) -> Result<Bootstrap, Error> {
        let mut tx = self.db().write().await?;
        if let Some((tenant, subscription, client_id)) = first(&mut tx).await? {
            return Ok(Bootstrap { tenant, subscription, client_id, client_secret: None });
        }
        let now_ms = self.now_ms();
        let (tenant, subscription) = (Uuid::new_v4(), Uuid::new_v4());
        let home = TenantRow {
            id: tenant,
            display_name: "Galerie".to_owned(),
            default_domain: format!("{}.galerie.internal", tenant.simple()),
            created_ms: now_ms,
        };
        tenant::insert(&mut tx, &home).await?;
        let row = SubscriptionRow { id: subscription, tenant, display_name: "Galerie".to_owned(), created_ms: now_ms };
        subscription::insert(&mut tx, &row).await?;
        setting::put(&mut tx, setting::FIRST_TENANT, &tenant.to_string()).await?;
        setting::put(&mut tx, setting::FIRST_SUBSCRIPTION, &subscription.to_string()).await?;
        let (client_id, secret) = add_administrator(&mut tx, self.keys(), tenant, now_ms).await?;
        tx.commit().await?;
        Ok(Bootstrap { tenant, subscription, client_id, client_secret: Some(secret) })
    }

    /// Makes a new administrator. The former ones lose their secrets and their rank, so their tokens are worth nothing.
    ///
    /// # Errors
    /// `NotBootstrapped` on a catalogue that was never started.
    pub async fn reset_administrator(&self) -> Result<NewAdministrator, Error> {
        let mut tx = self.db().write().await?;
        let Some((tenant, subscription, _)) = first(&mut tx).await? else { return Err(Error::NotBootstrapped) };
        service_principal::demote_administrators(&mut tx, tenant).await?;
        let (client_id, client_secret) = add_administrator(&mut tx, self.keys(), tenant, self.now_ms()).await?;
        tx.commit().await?;
        Ok(NewAdministrator { tenant, subscription, client_id, client_secret })
    }
}

/// Tenant, subscription and administrator's client id, if there was a first start.
async fn first(tx: &mut Connection) -> Result<Option<(Uuid, Uuid, Uuid)>, Error> {
    let mut ids = [Uuid::nil(); 3];
    for (id, name) in ids.iter_mut().zip([setting::FIRST_TENANT, setting::FIRST_SUBSCRIPTION, setting::ADMINISTRATOR]) {
        let Some(text) = setting::find(tx, name).await? else { return Ok(None) };
        *id = text.parse().map_err(|_| db::Error::Corrupt(format!("the setting {name} is '{text}'")))?;
    }
    let [tenant, subscription, administrator] = ids;
    let principal = service_principal::find(tx, administrator).await?;
    let principal = principal.ok_or_else(|| db::Error::Corrupt("the administrator is gone".to_owned()))?;
    Ok(Some((tenant, subscription, principal.app_id)))
}

async fn add_administrator(
    tx: &mut Connection,
    keys: &Keys,
    tenant: Uuid,
    now_ms: i64,
) -> Result<(Uuid, SecretString), Error> {
    let principal = ServicePrincipalRow {
        id: Uuid::new_v4(),
        tenant,
        app_id: Uuid::new_v4(),
        display_name: "Galerie administrator".to_owned(),
        administrator: true,
        created_ms: now_ms,
    };
    service_principal::insert(tx, &principal).await?;
    let secret = new_secret()?;
    service_principal::insert_secret(tx, principal.id, &keys.secret_hash(&secret), now_ms, None).await?;
    setting::put(tx, setting::ADMINISTRATOR, &principal.id.to_string()).await?;
    Ok((principal.app_id, SecretString::from(secret.as_str())))
}

/// Hexadecimal digits only: no shell, URL or option parser stumbles over them.
fn new_secret() -> Result<Zeroizing<String>, KeyError> {
    let bytes = random::<SECRET_BYTES>()?;
    let mut secret = Zeroizing::new(String::with_capacity(SECRET_BYTES * 2));
    for byte in bytes.iter() {
        let _ = write!(secret, "{byte:02x}");
    }
    Ok(secret)
}
