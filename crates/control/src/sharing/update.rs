//! `POST share`: with whom a gallery is shared, changed in one transaction.

use galerie_arm::{
    ArmError, ETag, ResourceId, ResourceType,
    schema::{ActionBody, Shape},
    sharing::SharingUpdate,
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    groups, public_name,
    state::{self, Former, PROFILE, PUBLISHED, SharingState, Transition},
};
use crate::{
    authz,
    control::Control,
    db::{
        self, Connection,
        resource::ResourceRow,
        sharing::{self, SharingGroupRow},
        transact,
    },
    operations::{self, Answer, NewOperation, OperationKind},
    request::{Accepted, RequestContext},
    resource::{Verb, action, document::set, place, tracked_type},
};

impl Control {
    /// Changes with whom a gallery is shared.
    ///
    /// # Errors
    /// What is wrong with the body; `OperationNotAllowed` for what the gallery's sharing state does not have, and for more
    /// groups than there may be. Then nothing has changed.
    pub async fn share(&self, context: &RequestContext, id: &ResourceId, body: Value) -> Result<Accepted, ArmError> {
        let resource_type = tracked_type(id, context.api_version)?;
        if resource_type != ResourceType::Gallery {
            return Err(ArmError::method_not_allowed("POST", resource_type.as_str()));
        }
        // Reading the body needs no state. Its fault is told after the caller's right to be told.
        let read = read(context, body);
        let accepted = transact!(self.db(), |tx| -> Result<Accepted, ArmError> {
            authz::authorize(tx, &context.caller, action(resource_type, Verb::Share), id).await?;
            let (update, shown) = read.clone()?;
            share_in(tx, context, id, &update, shown).await
        })?;
        self.wake();
        Ok(accepted)
    }
}

/// The request, and what its operation answers in the end.
fn read(context: &RequestContext, body: Value) -> Result<(SharingUpdate, Value), ArmError> {
    let shape = Shape::of_action(ActionBody::Share, context.api_version);
    let accepted = shape.accept(body)?;
    shape.check_required(&accepted)?;
    let unreadable = |error: serde_json::Error| ArmError::bad_body("sharingUpdate", "", error.to_string());
    let update = serde_json::from_value(accepted.clone()).map_err(unreadable)?;
    Ok((update, shape.project(accepted)))
}

async fn share_in(
    tx: &mut Connection,
    context: &RequestContext,
    id: &ResourceId,
    update: &SharingUpdate,
    shown: Value,
) -> Result<Accepted, ArmError> {
    let place = place::find(tx, id).await?;
    place.check_stays()?;
    let row = db::resource::find(tx, id.key()).await?.ok_or_else(|| id.not_found())?;
    context.preconditions.check(Some(&ETag::new(&row.etag)))?;
    let wanted = groups::wanted(update, place.subscription)?;
    let former = sharing::former(tx, &row.key).await?;
    let state = SharingState::of(&row.document);
    let transition = state.after(update.operation_type, Former::of(former.as_ref()), &row.name)?;
    let now_ms = tx.now_ms().await?;
    let row = apply(tx, row, transition, &wanted, former, now_ms).await?;
    let new = NewOperation {
        kind: OperationKind::Immediate,
        action: action(ResourceType::Gallery, Verb::Share),
        resource: id,
        uid: row.uid,
        generation: row.generation,
        location: &row.location,
        region: None,
        input: shown,
        answer: Answer::Input,
        finished: true,
    };
    let operation = operations::accept(tx, context, now_ms, new).await?;
    Ok(Accepted { created: false, resource: None, operation })
}

/// Does what the state machine decided. Whoever changes anything writes the gallery's row, so that two cannot both.
async fn apply(
    tx: &mut Connection,
    mut row: ResourceRow,
    transition: Transition,
    wanted: &[SharingGroupRow],
    former: Option<Value>,
    now_ms: i64,
) -> Result<ResourceRow, ArmError> {
    let present = sharing::groups(tx, &row.key).await?;
    match transition {
        Transition::Stay => return Ok(row),
        Transition::AddGroups => {
            let new: Vec<_> = wanted.iter().copied().filter(|group| !present.contains(group)).collect();
            if new.is_empty() {
                return Ok(row);
            }
            groups::check_limits(&[present, new.clone()].concat())?;
            restore(tx, &mut row, former).await?;
            for group in new {
                sharing::add_group(tx, &row.key, group, now_ms).await?;
            }
        }
        Transition::RemoveGroups => {
            groups::check_present(wanted, &present)?;
            for group in wanted {
                sharing::remove_group(tx, &row.key, *group).await?;
            }
        }
        Transition::Publish => {
            restore(tx, &mut row, former).await?;
            set(&mut row.document, PUBLISHED, true);
            let name = public_name::of(&row.document).ok_or_else(|| ArmError::internal(&row.uid.to_string()))?;
            sharing::publish(tx, name, &row.key, now_ms).await?;
        }
        Transition::Reset => {
            let profile = state::reset(&mut row.document);
            sharing::clear_groups(tx, &row.key).await?;
            sharing::unpublish(tx, &row.key).await?;
            sharing::remember(tx, &row.key, &profile).await?;
        }
    }
    write(tx, row, now_ms).await
}

/// Brings back the profile that a Reset took away, if there is one.
async fn restore(tx: &mut Connection, row: &mut ResourceRow, former: Option<Value>) -> Result<(), ArmError> {
    if let Some(profile) = former {
        set(&mut row.document, PROFILE, profile);
        sharing::forget(tx, &row.key).await?;
    }
    Ok(())
}

async fn write(tx: &mut Connection, mut row: ResourceRow, now_ms: i64) -> Result<ResourceRow, ArmError> {
    let previous = row.generation;
    row.generation += 1;
    row.updated_ms = now_ms;
    row.etag = Uuid::new_v4().simple().to_string();
    // The row was read in this transaction, so nobody else has written it since.
    db::resource::update(tx, &row, previous).await?;
    Ok(row)
}
