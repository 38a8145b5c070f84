//! Who may do what: ARM's role-based access control. Asked inside every transaction, before anything is looked up.
//!
//! `evaluator` decides, from what `cache` compiled of a caller's assignments; `visible` turns the same into ranges of keys
//! for lists; `linked` says which rights over a source a write needs. Promises: denied by default; the answer to a caller
//! without the right is the same, and costs the same, whether or not the thing exists; a change counts from the next
//! transaction of any process on. See `docs/design/authorization.md`.

mod action_pattern;
mod built_in_roles;
mod cache;
#[cfg(test)]
mod currency_tests;
mod evaluator;
pub(crate) mod linked;
#[cfg(test)]
mod model;
mod permission_set;
mod provider_operations;
pub(crate) mod role_assignment;
mod role_definition;
mod scope;
mod subscription_tenants;
#[cfg(test)]
pub(crate) mod tests;
mod visible;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use galerie_arm::{ArmError, ResourceId, ResourceType, SubscriptionId};
use serde_json::{Value, json};
use uuid::Uuid;

use self::{cache::AccessCache, evaluator::Grants, subscription_tenants::SubscriptionTenants};
pub(crate) use self::{
    permission_set::PermissionSet,
    role_assignment::{forget_principal, own},
    subscription_tenants::tenant_of,
    visible::{KeyRange, Visible, VisiblePart},
};
pub use self::{
    role_assignment::{AssignmentFilter, AssignmentPage},
    role_definition::DefinitionFilter,
    scope::Scope,
};
use crate::{
    control::Control,
    db::{Connection, Result, service_principal, user},
    request::{Caller, RequestContext},
};

/// What transactions need not ask of the catalogue again.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    access: AccessCache,
    pub(crate) tenants: SubscriptionTenants,
}

const READ_SUBSCRIPTION: &str = "Microsoft.Resources/subscriptions/read";
const READ_PERMISSIONS: &str = "Microsoft.Authorization/permissions/read";

/// Whether `caller` may perform `action` (`Microsoft.Compute/galleries/write`) over `id`.
///
/// # Errors
/// `SubscriptionNotFound` for a subscription that is not the caller's tenant's, whether or not it exists;
/// `AuthorizationFailed` for everything else that is not allowed.
pub(crate) async fn authorize(
    tx: &mut Connection,
    caller: &Caller,
    action: &'static str,
    id: &ResourceId,
) -> Result<(), ArmError> {
    check_tenant(tx, caller, action, id.subscription()).await?;
    if granted_to(tx, caller, action).await?.permits(action, id.key()) {
        return Ok(());
    }
    Err(refusal(caller, action, id.as_str()))
}

/// The same at a scope, which may be the tenant's root.
///
/// # Errors
/// As [`authorize`].
pub(crate) async fn authorize_at(
    tx: &mut Connection,
    caller: &Caller,
    action: &'static str,
    scope: &Scope,
) -> Result<(), ArmError> {
    match scope {
        Scope::At(id) => authorize(tx, caller, action, id).await,
        Scope::Root if granted_to(tx, caller, action).await?.permits(action, scope.key()) => Ok(()),
        Scope::Root => Err(refusal(caller, action, scope.as_str())),
    }
}

/// Whether a principal may sign in and its roles in a tenant allow an action over a key. For who acts for somebody who is
/// not there (the bearer of a signature that a principal asked for): groups that only its token named do not count.
pub(crate) async fn permits(
    tx: &mut Connection,
    tenant: Uuid,
    principal: Uuid,
    action: &'static str,
    key: &str,
) -> Result<bool> {
    let is_granted = cache::grants(tx, tenant, principal, &[]).await?.permits(action, key);
    Ok(is_granted && !is_disabled(tx, principal).await?)
}

/// As [`authorize`], for what goes on after its token was checked: whoever was disabled since may do nothing more.
///
/// # Errors
/// As [`authorize`].
pub(crate) async fn authorize_still(
    tx: &mut Connection,
    caller: &Caller,
    action: &'static str,
    id: &ResourceId,
) -> Result<(), ArmError> {
    if is_disabled(tx, caller.principal).await? {
        return Err(refusal(caller, action, id.as_str()));
    }
    authorize(tx, caller, action, id).await
}

/// Whether somebody was told to let a principal sign in no more. What is not in the directory has no roles there.
async fn is_disabled(tx: &mut Connection, principal: Uuid) -> Result<bool> {
    if let Some(found) = service_principal::find(tx, principal).await? {
        return Ok(!found.enabled);
    }
    Ok(user::find(tx, principal).await?.is_some_and(|found| !found.enabled))
}

/// Refuses a subscription that is not the caller's tenant's.
///
/// # Errors
/// `SubscriptionNotFound`, whether or not it exists.
async fn check_tenant(
    tx: &mut Connection,
    caller: &Caller,
    action: &str,
    subscription: Option<SubscriptionId>,
) -> Result<(), ArmError> {
    let Some(id) = subscription else { return Ok(()) };
    match tenant_of(tx, id).await? {
        Some(tenant) if tenant == caller.tenant => Ok(()),
        _ => {
            let scope = ResourceId::of_subscription(id);
            Err(ArmError::subscription_not_found(&id.to_string()).refusing(action, scope.as_str()))
        }
    }
}

/// Whether a caller may know of a subscription: it has a role in it, above it, or on anything in it.
///
/// # Errors
/// As [`authorize`].
pub(crate) async fn authorize_subscription(
    tx: &mut Connection,
    caller: &Caller,
    subscription: SubscriptionId,
) -> Result<(), ArmError> {
    check_tenant(tx, caller, READ_SUBSCRIPTION, Some(subscription)).await?;
    let id = ResourceId::of_subscription(subscription);
    if granted_to(tx, caller, READ_SUBSCRIPTION).await?.touches(id.key()) {
        return Ok(());
    }
    Err(refusal(caller, READ_SUBSCRIPTION, id.as_str()))
}

/// Which of a tenant's subscriptions a caller may know of.
pub(crate) async fn knows_subscription(tx: &mut Connection, caller: &Caller, subscription: Uuid) -> Result<bool> {
    let id = ResourceId::of_subscription(SubscriptionId::new(subscription));
    Ok(granted_to(tx, caller, READ_SUBSCRIPTION).await?.touches(id.key()))
}

/// What of the resources of a type in a subscription or a group the caller may read, after a key.
///
/// # Errors
/// `SubscriptionNotFound`.
pub(crate) async fn visible_resources(
    tx: &mut Connection,
    caller: &Caller,
    action: &'static str,
    within: &ResourceId,
    resource_type: ResourceType,
    after: Option<&str>,
) -> Result<Visible, ArmError> {
    check_tenant(tx, caller, action, within.subscription()).await?;
    let grants = granted_to(tx, caller, action).await?;
    Ok(visible::resources(&grants, action, within.key(), resource_type, after))
}

/// What of a subscription's groups the caller may read, after a key.
///
/// # Errors
/// `SubscriptionNotFound`.
pub(crate) async fn visible_groups(
    tx: &mut Connection,
    caller: &Caller,
    action: &'static str,
    subscription: SubscriptionId,
    after: Option<&str>,
) -> Result<Visible, ArmError> {
    check_tenant(tx, caller, action, Some(subscription)).await?;
    let id = ResourceId::of_subscription(subscription);
    let grants = granted_to(tx, caller, action).await?;
    Ok(visible::groups(&grants, action, id.key(), after))
}

/// What was granted to the caller, to be asked for an action.
async fn granted_to(tx: &mut Connection, caller: &Caller, action: &'static str) -> Result<Arc<Grants>> {
    debug_assert!(provider_operations::is_listed(action), "{action} is in no table, so no custom role can give it");
    cache::grants(tx, caller.tenant, caller.principal, &caller.groups).await
}

/// Whether `caller` may look after its tenant's stores.
///
/// # Errors
/// `AuthorizationFailed`.
pub(crate) fn require_administrator(caller: &Caller, action: &'static str) -> Result<(), ArmError> {
    if caller.administrator { Ok(()) } else { Err(refusal(caller, action, "/")) }
}

/// What a caller without a right over the whole gallery is told.
pub(crate) fn refuse(caller: &Caller, action: &'static str) -> ArmError {
    refusal(caller, action, "/")
}

fn refusal(caller: &Caller, action: &str, scope: &str) -> ArmError {
    ArmError::authorization_failed(&caller.client(), &caller.principal.to_string(), action, scope)
}

impl Control {
    /// Refuses a caller without the right to an action over a place, for routes whose answer needs no look-up of theirs.
    ///
    /// # Errors
    /// `SubscriptionNotFound`, `AuthorizationFailed`.
    pub async fn require(&self, ctx: &RequestContext, action: &'static str, id: &ResourceId) -> Result<(), ArmError> {
        authorize(&mut *self.db().read().await?, &ctx.caller, action, id).await
    }

    /// How long a number of decisions takes without their transactions: for `examples/access_bench.rs`, which measures both.
    ///
    /// # Errors
    /// The catalogue's.
    #[doc(hidden)]
    pub async fn time_decisions(
        &self,
        ctx: &RequestContext,
        action: &'static str,
        id: &ResourceId,
        count: u32,
    ) -> Result<Duration, ArmError> {
        let grants = granted_to(&mut *self.db().read().await?, &ctx.caller, action).await?;
        let begun = Instant::now();
        for _ in 0..count {
            std::hint::black_box(grants.permits(action, std::hint::black_box(id.key())));
        }
        Ok(begun.elapsed())
    }

    /// The caller's own permissions over a scope, one entry for each role that holds there. Needs no right: it tells the
    /// caller what it has, and not what is there.
    ///
    /// # Errors
    /// `SubscriptionNotFound`.
    pub async fn permissions(&self, ctx: &RequestContext, scope: &Scope) -> Result<Vec<Value>, ArmError> {
        let mut tx = self.db().read().await?;
        check_tenant(&mut tx, &ctx.caller, READ_PERMISSIONS, scope.subscription()).await?;
        let grants = granted_to(&mut tx, &ctx.caller, READ_PERMISSIONS).await?;
        let sets = grants.roles_over(scope.key()).flat_map(|role| &role.permissions);
        Ok(sets.map(|set| json!(set)).collect())
    }
}
