//! Who reads what a request names beside its target: the caller, or the caller as another tenant knows it.
//!
//! A request may bring tokens of other tenants (`x-ms-authorization-auxiliary`). Each speaks for linked reads in its own
//! tenant, and never for the action itself.

use galerie_arm::{ArmError, SubscriptionId};

use crate::{
    db::{Connection, subscription},
    request::{Caller, RequestContext},
};

/// Who the caller is in the tenant of `owner`, the subscription of what is read.
///
/// # Errors
/// `LinkedAuthorizationFailed` when that tenant is another one and the request has no token of it; for a subscription that
/// does not exist, too, in the same words.
pub(crate) async fn reader<'a>(
    tx: &mut Connection,
    context: &'a RequestContext,
    owner: SubscriptionId,
    action: &str,
    linked: &str,
) -> Result<&'a Caller, ArmError> {
    let tenant = subscription::find(tx, owner.as_uuid()).await?.map(|found| found.tenant);
    let caller = &context.caller;
    let known = std::iter::once(caller).chain(&context.auxiliary).find(|caller| Some(caller.tenant) == tenant);
    known.ok_or_else(|| {
        let (client, own) = (caller.app_id.to_string(), caller.tenant.to_string());
        ArmError::linked_tenant_not_authorized(&client, action, linked, &own, &owner.to_string())
    })
}
