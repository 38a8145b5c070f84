//! Which tenant each subscription trusts: asked for by every request, and settled when the subscription is made.

use galerie_arm::{ArmError, SubscriptionId};
use quick_cache::sync::Cache;
use uuid::Uuid;

use crate::db::{Connection, subscription};

/// Subscriptions that are kept; others are looked up.
const MOST_SUBSCRIPTIONS: usize = 10_000;

/// What was looked up. A subscription never changes its tenant and its id is never given again, so nothing in here goes stale. That
/// there is no such subscription is not kept.
pub(crate) struct SubscriptionTenants {
    known: Cache<Uuid, Uuid>,
}

impl std::fmt::Debug for SubscriptionTenants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SubscriptionTenants").field("known", &self.known.len()).finish()
    }
}

impl Default for SubscriptionTenants {
    fn default() -> Self {
        Self { known: Cache::new(MOST_SUBSCRIPTIONS) }
    }
}

impl SubscriptionTenants {
    /// The tenant, as far as it was looked up before.
    pub(crate) fn known(&self, subscription: Uuid) -> Option<Uuid> {
        self.known.get(&subscription)
    }
}

/// The tenant that a subscription trusts; `None` when there is no such subscription.
pub(crate) async fn tenant_of(tx: &mut Connection, subscription: SubscriptionId) -> Result<Option<Uuid>, ArmError> {
    let id = subscription.as_uuid();
    if let Some(tenant) = tx.remembered().tenants.known(id) {
        return Ok(Some(tenant));
    }
    let found = subscription::find(tx, id).await?.map(|row| row.tenant);
    if let Some(tenant) = found {
        tx.remembered().tenants.known.insert(id, tenant);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{
        subscription::SubscriptionRow,
        tenant::{self, TenantRow},
        tests::fresh,
    };

    #[tokio::test]
    async fn a_subscription_is_found_as_soon_as_it_is_made_and_looked_up_once() {
        let (_directory, db) = fresh().await;
        let (tenant, id) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let asked = SubscriptionId::new(id);
        assert_eq!(tenant_of(&mut db.look().await.unwrap(), asked).await.unwrap(), None);

        let mut tx = db.write().await.unwrap();
        let row = TenantRow { id: tenant, display_name: String::new(), default_domain: "d".into(), created_ms: 1 };
        tenant::insert(&mut tx, &row).await.unwrap();
        let row = SubscriptionRow { id, tenant, display_name: String::new(), created_ms: 1 };
        subscription::insert(&mut tx, &row).await.unwrap();
        tx.commit().await.unwrap();

        assert_eq!(db.remembered().tenants.known(id), None);
        assert_eq!(tenant_of(&mut db.look().await.unwrap(), asked).await.unwrap(), Some(tenant));
        assert_eq!(db.remembered().tenants.known(id), Some(tenant));
    }
}
