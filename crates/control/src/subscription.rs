//! Tenants, subscriptions and locations, as a caller sees them.

use galerie_arm::{ArmError, SubscriptionId};
use uuid::Uuid;

use crate::{
    Control, authz,
    db::{subscription, tenant},
    request::Caller,
};

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub id: Uuid,
    /// What people call it.
    pub display_name: String,
    /// Its domain.
    pub default_domain: String,
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its id.
    pub id: Uuid,
    /// The tenant that it trusts.
    pub tenant: Uuid,
    /// What people call it.
    pub display_name: String,
}

/// A region that resources can be in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Normalised: `eastus`.
    pub name: String,
    /// As people write it: `East US`.
    pub display_name: String,
}

impl Control {
    /// The caller's tenants: its own.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn tenants(&self, caller: &Caller) -> Result<Vec<Tenant>, ArmError> {
        let found = tenant::find(&mut *self.db().read().await?, caller.tenant).await?;
        let shown = |row: tenant::TenantRow| Tenant {
            id: row.id,
            display_name: row.display_name,
            default_domain: row.default_domain,
        };
        Ok(found.into_iter().map(shown).collect())
    }

    /// The subscriptions of its tenant in which the caller has a role: there, above, or on anything in it.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn subscriptions(&self, caller: &Caller) -> Result<Vec<Subscription>, ArmError> {
        let mut tx = self.db().read().await?;
        let mut known = Vec::new();
        for row in subscription::list_in_tenant(&mut tx, caller.tenant).await? {
            if authz::knows_subscription(&mut tx, caller, row.id).await? {
                known.push(shown(row));
            }
        }
        Ok(known)
    }

    /// A subscription, for who has a role in it, above it, or on anything in it.
    ///
    /// # Errors
    /// `SubscriptionNotFound`, `AuthorizationFailed`.
    pub async fn subscription(&self, caller: &Caller, id: Uuid) -> Result<Subscription, ArmError> {
        let mut tx = self.db().read().await?;
        authz::authorize_subscription(&mut tx, caller, SubscriptionId::new(id)).await?;
        let found = subscription::find(&mut tx, id).await?;
        found.map(shown).ok_or_else(|| ArmError::subscription_not_found(&id.to_string()))
    }

    /// The domain of a tenant by its id or domain; whoever signs in needs to know whether there is such a tenant.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn find_tenant(&self, text: &str) -> Result<Option<Tenant>, ArmError> {
        let mut tx = self.db().read().await?;
        let found = match text.parse() {
            Ok(id) => tenant::find(&mut tx, id).await?,
            Err(_) => tenant::find_by_domain(&mut tx, text).await?,
        };
        Ok(found.map(|row| Tenant { id: row.id, display_name: row.display_name, default_domain: row.default_domain }))
    }

    /// The tenant that a subscription trusts; for the `WWW-Authenticate` of callers that have no token yet.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn tenant_of(&self, subscription: Uuid) -> Result<Option<Uuid>, ArmError> {
        if let Some(tenant) = self.db().remembered().tenants.known(subscription) {
            return Ok(Some(tenant));
        }
        authz::tenant_of(&mut *self.db().look().await?, SubscriptionId::new(subscription)).await
    }

    /// The regions.
    #[must_use]
    pub fn region_locations(&self) -> Vec<Location> {
        let shown = |(location, display): (&galerie_arm::Location, &str)| Location {
            name: location.as_str().to_owned(),
            display_name: display.to_owned(),
        };
        self.locations().iter().map(shown).collect()
    }
}

fn shown(row: subscription::SubscriptionRow) -> Subscription {
    Subscription { id: row.id, tenant: row.tenant, display_name: row.display_name }
}
