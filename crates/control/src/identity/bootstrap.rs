//! The first start: a tenant, a subscription and an administrator; and a new administrator when the old one is lost.

use secrecy::SecretString;
use serde_json::json;
use uuid::Uuid;

use crate::{
    Control, Error, authz,
    db::{
        self, Connection,
        application::{self, ApplicationRow},
        credential,
        directory_object::{DirectoryObjectRow, ObjectKind},
        service_principal::{self, ServicePrincipalRow},
        setting,
        subscription::{self, SubscriptionRow},
        tenant::{self, TenantRow},
        transact,
    },
    directory::credential::{NewSecret, secret_row},
    keys::Keys,
};

/// The first tenant's domain, and what others' end with; `internal` is nobody's in public (ICANN, 2024).
const FIRST_DOMAIN: &str = "galerie.internal";

/// What a client needs to sign in as the first administrator.
#[derive(Debug)]
pub struct Bootstrap {
    /// The tenant.
    pub tenant: Uuid,
    /// The subscription.
    pub subscription: Uuid,
    /// The administrator's object id.
    pub principal: Uuid,
    /// Its client id.
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
    /// Makes the first tenant, subscription and administrator, in one transaction; or says what they are. Call
    /// [`Control::administrator_is_delivered`] when the secret is where its owner finds it.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn bootstrap(&self) -> Result<Bootstrap, Error> {
        transact!(self.db(), |tx| -> Result<Bootstrap, Error> { self.bootstrap_in(tx).await })
    }

    async fn bootstrap_in(&self, tx: &mut Connection) -> Result<Bootstrap, Error> {
        if let Some(first) = first(tx).await? {
            return Ok(first);
        }
        let new = add_tenant(tx, self.keys(), "Galerie", Some(FIRST_DOMAIN), self.now_ms()).await?;
        setting::put(tx, setting::FIRST_TENANT, &new.tenant.to_string()).await?;
        setting::put(tx, setting::FIRST_SUBSCRIPTION, &new.subscription.to_string()).await?;
        setting::put(tx, setting::ADMINISTRATOR, &new.principal.to_string()).await?;
        setting::put(tx, setting::UNDELIVERED, "yes").await?;
        let NewTenant { tenant, subscription, principal, client_id, client_secret } = new;
        Ok(Bootstrap { tenant, subscription, principal, client_id, client_secret: Some(client_secret) })
    }

    /// What the first start made.
    ///
    /// # Errors
    /// `NotBootstrapped` on a catalogue that was never started.
    pub async fn bootstrapped(&self) -> Result<Bootstrap, Error> {
        first(&mut *self.db().read().await?).await?.ok_or(Error::NotBootstrapped)
    }

    /// An administrator in place of the first one, when that one's secret never was written down: the process that made it
    /// died too early. `None` when it was, or may have been.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn undelivered_administrator(&self) -> Result<Option<NewAdministrator>, Error> {
        transact!(self.db(), |tx| -> Result<Option<NewAdministrator>, Error> {
            if setting::find(tx, setting::UNDELIVERED).await?.is_none() {
                return Ok(None);
            }
            self.replace_administrator(tx).await.map(Some)
        })
    }

    /// Records that the administrator's secret was written down.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn administrator_is_delivered(&self) -> Result<(), Error> {
        if setting::find(&mut *self.db().read().await?, setting::UNDELIVERED).await?.is_none() {
            return Ok(());
        }
        transact!(self.db(), |tx| -> Result<(), Error> { Ok(setting::remove(tx, setting::UNDELIVERED).await?) })
    }

    /// Makes a tenant beside the first, with a subscription and an administrator of its own. Who may is the caller's business.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn add_tenant(&self, display_name: &str) -> Result<NewAdministrator, Error> {
        transact!(self.db(), |tx| -> Result<NewAdministrator, Error> {
            self.add_tenant_in(tx, display_name, None).await
        })
    }

    /// As [`Control::add_tenant`]; without a domain it gets one of its own.
    pub(crate) async fn add_tenant_in(
        &self,
        tx: &mut Connection,
        display_name: &str,
        domain: Option<&str>,
    ) -> Result<NewAdministrator, Error> {
        let NewTenant { tenant, subscription, client_id, client_secret, .. } =
            add_tenant(tx, self.keys(), display_name, domain, self.now_ms()).await?;
        Ok(NewAdministrator { tenant, subscription, client_id, client_secret })
    }

    /// The tenant of the first start, whose administrator looks after the whole gallery.
    pub(crate) async fn first_tenant(&self, tx: &mut Connection) -> db::Result<Option<Uuid>> {
        let found = setting::find(tx, setting::FIRST_TENANT).await?;
        Ok(found.and_then(|text| text.parse().ok()))
    }

    /// Makes a new administrator. The former ones lose their secrets and their rank, so their tokens are worth nothing.
    ///
    /// # Errors
    /// `NotBootstrapped` on a catalogue that was never started.
    pub async fn reset_administrator(&self) -> Result<NewAdministrator, Error> {
        transact!(self.db(), |tx| -> Result<NewAdministrator, Error> { self.replace_administrator(tx).await })
    }

    async fn replace_administrator(&self, tx: &mut Connection) -> Result<NewAdministrator, Error> {
        let Some(Bootstrap { tenant, subscription, .. }) = first(tx).await? else { return Err(Error::NotBootstrapped) };
        let former = service_principal::list_administrators(tx, tenant).await?;
        service_principal::demote_administrators(tx, tenant).await?;
        let (principal, client_id, client_secret) = add_administrator(tx, self.keys(), tenant, self.now_ms()).await?;
        for former in former {
            authz::forget_principal(tx, former.object.id).await.map_err(Error::Access)?;
        }
        setting::put(tx, setting::ADMINISTRATOR, &principal.to_string()).await?;
        Ok(NewAdministrator { tenant, subscription, client_id, client_secret })
    }
}

/// What the first start made, if there was one.
async fn first(tx: &mut Connection) -> Result<Option<Bootstrap>, Error> {
    let mut ids = [Uuid::nil(); 3];
    for (id, name) in ids.iter_mut().zip([setting::FIRST_TENANT, setting::FIRST_SUBSCRIPTION, setting::ADMINISTRATOR]) {
        let Some(text) = setting::find(tx, name).await? else { return Ok(None) };
        *id = text.parse().map_err(|_| db::Error::Corrupt(format!("the setting {name} is '{text}'")))?;
    }
    let [tenant, subscription, administrator] = ids;
    let principal = service_principal::find(tx, administrator).await?;
    let principal = principal.ok_or_else(|| db::Error::Corrupt("the administrator is gone".to_owned()))?;
    let client_id = principal.app_id;
    Ok(Some(Bootstrap { tenant, subscription, principal: administrator, client_id, client_secret: None }))
}

/// A tenant as it was made.
struct NewTenant {
    tenant: Uuid,
    subscription: Uuid,
    principal: Uuid,
    client_id: Uuid,
    client_secret: SecretString,
}

async fn add_tenant(
    tx: &mut Connection,
    keys: &Keys,
    display_name: &str,
    domain: Option<&str>,
    now_ms: i64,
) -> Result<NewTenant, Error> {
    let (tenant, subscription) = (Uuid::new_v4(), Uuid::new_v4());
    let row = TenantRow {
        id: tenant,
        display_name: display_name.to_owned(),
        default_domain: domain.map_or_else(|| format!("{}.{FIRST_DOMAIN}", tenant.simple()), str::to_owned),
        created_ms: now_ms,
    };
    tenant::insert(tx, &row).await?;
    let row = SubscriptionRow { id: subscription, tenant, display_name: display_name.to_owned(), created_ms: now_ms };
    subscription::insert(tx, &row).await?;
    let (principal, client_id, client_secret) = add_administrator(tx, keys, tenant, now_ms).await?;
    Ok(NewTenant { tenant, subscription, principal, client_id, client_secret })
}

/// Object id, client id and secret of a new administrator.
async fn add_administrator(
    tx: &mut Connection,
    keys: &Keys,
    tenant: Uuid,
    now_ms: i64,
) -> Result<(Uuid, Uuid, SecretString), Error> {
    let app_id = Uuid::new_v4();
    let object = |kind| DirectoryObjectRow {
        id: Uuid::new_v4(),
        tenant,
        kind,
        display_name: "Galerie administrator".to_owned(),
        created_ms: now_ms,
    };
    let application = ApplicationRow { object: object(ObjectKind::Application), app_id, document: json!({}) };
    application::insert(tx, &application).await?;
    let principal = ServicePrincipalRow {
        object: object(ObjectKind::ServicePrincipal),
        app_id,
        administrator: true,
        enabled: true,
        document: json!({}),
    };
    service_principal::insert(tx, &principal).await?;
    let hash = |secret: &str| keys.secret_hash(secret);
    // Good from the beginning of time: whoever puts the clock back must not lock everybody out.
    let new = NewSecret { starts_ms: Some(0), ..NewSecret::default() };
    let (row, secret) = secret_row(application.object.id, &new, now_ms, hash)?;
    credential::insert(tx, &row).await?;
    authz::own(tx, tenant, "/", principal.object.id).await.map_err(Error::Access)?;
    Ok((principal.object.id, app_id, secret))
}
