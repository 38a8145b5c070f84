//! Linked authorization: what a write needs over the source that its body names.
//!
//! Whoever turns a resource into bytes needs the right to its bytes, not merely to its description. The table is Azure's
//! (its gallery and disk documentation): a version or an image takes over a machine, disk or snapshot, which needs its
//! write; a copy of a disk or snapshot hands its bytes out, which needs the right to a SAS of it.

use galerie_arm::{
    ArmError, ResourceId,
    ResourceType::{
        self, ApplicationVersion, Disk, ImageVersion, ManagedImage, ScriptVersion, Snapshot, VirtualMachine,
    },
};

use super::{authorize, tenant_of};
use crate::{
    db::Connection,
    request::{Caller, RequestContext},
    resource::{Verb, action},
};

/// What is made, from what, and the right over the latter that it takes.
pub(super) const TABLE: &[(ResourceType, ResourceType, Verb)] = &[
    (ImageVersion, VirtualMachine, Verb::Write),
    (ImageVersion, Disk, Verb::Write),
    (ImageVersion, Snapshot, Verb::Write),
    (ImageVersion, ManagedImage, Verb::Read),
    (ImageVersion, ImageVersion, Verb::Read),
    (ApplicationVersion, Disk, Verb::Write),
    (ApplicationVersion, Snapshot, Verb::Write),
    (ScriptVersion, Disk, Verb::Write),
    (ScriptVersion, Snapshot, Verb::Write),
    (ManagedImage, Disk, Verb::Write),
    (ManagedImage, Snapshot, Verb::Write),
    (Disk, Disk, Verb::BeginGetAccess),
    (Disk, Snapshot, Verb::BeginGetAccess),
    (Disk, ImageVersion, Verb::Read),
    (Snapshot, Disk, Verb::BeginGetAccess),
    (Snapshot, Snapshot, Verb::BeginGetAccess),
];

/// Whether the caller, who may make `target`, may make it from what of a type is at `source` or below it. Nothing is asked
/// for types that cannot be a source: they are refused without a look at what there is.
///
/// # Errors
/// `LinkedAuthorizationFailed`, whether or not the source exists, and in whichever tenant.
pub(crate) async fn authorize_source(
    tx: &mut Connection,
    context: &RequestContext,
    target: &ResourceId,
    (source_type, source): (ResourceType, &ResourceId),
) -> Result<(), ArmError> {
    let Some(made) = target.resource_type() else { return Ok(()) };
    let row = TABLE.iter().find(|(to, from, _)| (*to, *from) == (made, source_type));
    let Some((_, _, verb)) = row else { return Ok(()) };
    let needed = action(source_type, *verb);
    let main = [action(made, Verb::Write), target.as_str()];
    let caller = match source_type {
        ImageVersion => reader(tx, context, main, source).await?,
        _ => &context.caller,
    };
    authorize(tx, caller, needed, source).await.map_err(|error| match error.status {
        500.. => error,
        _ => refusal(caller, main, [needed, source.as_str()]),
    })
}

/// Who the caller is in the tenant of an image version: the caller itself, or as one of the request's further tokens
/// (`x-ms-authorization-auxiliary`) knows it. Each speaks in its own tenant, and for nothing but such reads.
///
/// # Errors
/// `LinkedAuthorizationFailed` when the request has no token of that tenant; for a subscription that does not exist, too, in
/// the same words.
async fn reader<'a>(
    tx: &mut Connection,
    context: &'a RequestContext,
    main: [&str; 2],
    source: &ResourceId,
) -> Result<&'a Caller, ArmError> {
    let caller = &context.caller;
    let Some(subscription) = source.subscription() else { return Ok(caller) };
    let tenant = tenant_of(tx, subscription).await?;
    let known = std::iter::once(caller).chain(&context.auxiliary).find(|caller| Some(caller.tenant) == tenant);
    known.ok_or_else(|| {
        let own = caller.tenant.to_string();
        ArmError::linked_tenant_not_authorized(&caller.client(), main, &own, &subscription.to_string())
    })
}

fn refusal(caller: &Caller, main: [&str; 2], linked: [&str; 2]) -> ArmError {
    let (client, principal) = (caller.client(), caller.principal.to_string());
    ArmError::linked_authorization_failed(&client, &principal, main, linked)
}
