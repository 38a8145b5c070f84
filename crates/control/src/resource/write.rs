//! The accepting transaction of PUT and PATCH.
//!
//! In one transaction: authorize, look, plan, apply, record the operation and the audit row. Only then the answer.

use galerie_arm::{ArmError, ETag, Location, ResourceId, ResourceType, schema::Shape, tags};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Expand, Verb, action,
    document::{check_size, keep, set, text},
    effects, place,
    place::Place,
    plan::{Effect, Existing, Plan, Work, Write},
    render, rules, tracked_type,
};
use crate::{
    authz,
    control::Control,
    db::{self, Connection, resource::ResourceRow, transact},
    operations::{self, Answer, NewOperation, OperationKind},
    quota,
    request::{Accepted, OperationRef, RequestContext},
    soft_delete,
    source::Asker,
};

/// Which write it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    /// The body is the resource.
    Put,
    /// The body is what changes.
    Patch,
}

impl Control {
    /// Creates or replaces a resource.
    ///
    /// # Errors
    /// What the body, the state or the caller's rights do not allow; then nothing has changed.
    pub async fn put(&self, context: &RequestContext, id: &ResourceId, body: Value) -> Result<Accepted, ArmError> {
        self.accept(context, id, body, Method::Put).await
    }

    /// Changes properties of a resource.
    ///
    /// # Errors
    /// As [`Control::put`]; also when the resource is not there.
    pub async fn patch(&self, context: &RequestContext, id: &ResourceId, body: Value) -> Result<Accepted, ArmError> {
        self.accept(context, id, body, Method::Patch).await
    }

    async fn accept(
        &self,
        context: &RequestContext,
        id: &ResourceId,
        body: Value,
        method: Method,
    ) -> Result<Accepted, ArmError> {
        let resource_type = tracked_type(id, context.api_version)?;
        let shape = Shape::of(resource_type, context.api_version);
        // Reading the body needs no state. Its fault is told after the caller's right to be told.
        let sent = shape.accept(body).and_then(|sent| tags::check(&sent).map(|()| sent));
        let accepted = transact!(self.db(), |tx| -> Result<Accepted, ArmError> {
            authz::authorize(tx, &context.caller, action(resource_type, Verb::Write), id).await?;
            let mut sent = sent.clone()?;
            let place = place::find(tx, id).await?;
            place.check_stays()?;
            let (row, method) = look(tx, id, resource_type, &mut sent, method).await?;
            let target = Target { context, id, resource_type, shape, place, row };
            target.accept(self, tx, sent, method).await
        })?;
        self.wake();
        Ok(accepted)
    }
}

/// The row that a write meets, and how the body is to be read: a PUT that restores a version changes it, and no more.
async fn look(
    tx: &mut Connection,
    id: &ResourceId,
    resource_type: ResourceType,
    sent: &mut Value,
    method: Method,
) -> Result<(Option<ResourceRow>, Method), ArmError> {
    let row = db::resource::find_kept(tx, id.key()).await?;
    if resource_type != ResourceType::ImageVersion {
        return Ok((row, method));
    }
    let met = soft_delete::meet(tx, row, sent, method == Method::Put).await?;
    Ok((met.row, if met.restores { Method::Patch } else { method }))
}

/// A write and the row that it meets.
struct Target<'a> {
    context: &'a RequestContext,
    id: &'a ResourceId,
    resource_type: ResourceType,
    shape: Shape,
    place: Place,
    row: Option<ResourceRow>,
}

impl Target<'_> {
    async fn accept(
        &self,
        control: &Control,
        tx: &mut Connection,
        sent: Value,
        method: Method,
    ) -> Result<Accepted, ArmError> {
        let row = self.row.as_ref();
        self.context.preconditions.check(row.map(|row| ETag::new(&row.etag)).as_ref())?;
        if method == Method::Patch && row.is_none() {
            return Err(self.id.not_found());
        }
        let location = self.location(control, &sent)?;
        let existing = row.map(existing);
        let now_ms = control.now_ms();
        // The spelling of creation is kept, whatever this request's is.
        let stored_id = row.map(|row| ResourceId::parse(&row.id, "id")).transpose()?;
        let write = Write {
            id: stored_id.as_ref().unwrap_or(self.id),
            resource_type: self.resource_type,
            uid: row.map_or_else(Uuid::new_v4, |row| row.uid),
            existing: existing.as_ref(),
            document: self.merged(sent, method, &location),
            api_version: self.context.api_version,
            location: &location,
            locations: control.locations(),
            now_ms,
        };
        let asker = Asker { context: self.context, target: self.id, making: self.resource_type, location: &location };
        let uid = write.uid;
        let plan = rules::plan(tx, &asker, write).await?;
        self.shape.check_required(&plan.document)?;
        if let Some(operation) = self.join_running(tx, &plan).await? {
            return self.answer(control, tx, operation, false).await;
        }
        self.check_unique(tx, &plan).await?;
        self.check_space(control, &plan, &location).await?;
        let written = self.write_row(tx, &plan, uid, &location, now_ms).await?;
        effects::apply(control, tx, &written, &plan.effects, now_ms).await?;
        quota::charge(tx, &written).await?;
        let operation = self.begin_operation(control, tx, &plan, &written).await?;
        self.answer(control, tx, operation, row.is_none()).await
    }

    /// Where the resource is, or will be: a body that names a place must name a known one, and not another one.
    fn location(&self, control: &Control, sent: &Value) -> Result<Location, ArmError> {
        let type_name = self.resource_type.as_str();
        let wanted = text(sent, "location").map(|text| control.locations().require(text, type_name)).transpose()?;
        let Some(row) = &self.row else {
            return wanted.cloned().ok_or_else(ArmError::location_required);
        };
        let actual = Location::normalise(&row.location).ok_or_else(ArmError::location_required)?;
        match wanted {
            Some(wanted) if *wanted != actual => {
                let group = self.id.group().map(ToString::to_string).unwrap_or_default();
                Err(ArmError::invalid_resource_location(&row.name, &row.location, &group, wanted.as_str()))
            }
            _ => Ok(actual),
        }
    }

    fn merged(&self, sent: Value, method: Method, location: &Location) -> Value {
        let mut merged = match (&self.row, method) {
            (None, _) => sent,
            (Some(row), Method::Put) => {
                let mut merged = self.shape.merge_put(&row.document, sent);
                // A PUT without tags says nothing about them; `{}` removes them.
                keep(&mut merged, &row.document, "tags");
                merged
            }
            (Some(row), Method::Patch) => self.shape.merge_patch(&row.document, sent),
        };
        set(&mut merged, "location", location.as_str());
        if !merged["properties"].is_object() {
            set(&mut merged, "properties", Value::Object(serde_json::Map::new()));
        }
        merged
    }

    /// A repeated request joins the operation that its first one began: one that answers the resource, too. Anything else
    /// that meets a running operation of a disk must wait; a version's target regions may change while it is copied.
    async fn join_running(&self, tx: &mut Connection, plan: &Plan) -> Result<Option<OperationRef>, ArmError> {
        let Some(row) = self.row.as_ref().filter(|row| !row.provisioning_state.is_terminal()) else { return Ok(None) };
        if row.document == plan.document {
            let running = db::operation::unfinished(tx, &row.key, row.uid).await?;
            if let Some(joined) = running.into_iter().rfind(|running| running.answer == Answer::Resource) {
                return Ok(Some(joined.reference()));
            }
        }
        if row.has_replicas() {
            return Ok(None);
        }
        Err(operations::in_progress(&row.name))
    }

    /// What is new needs room in the catalogue; a disk that is to be written, in its region, too.
    async fn check_space(&self, control: &Control, plan: &Plan, location: &Location) -> Result<(), ArmError> {
        if self.row.is_none() {
            control.check_catalogue_space().await?;
        }
        let is_upload =
            |effect: &Effect| matches!(effect, Effect::Disk { upload_bytes: Some(_), .. } | Effect::AwaitPackages(_));
        if matches!(plan.work, Work::CreateEmptyDisk { .. } | Work::CopyImage { .. })
            || plan.effects.iter().any(is_upload)
        {
            control.check_region_space(location.as_str()).await?;
        }
        Ok(())
    }

    async fn check_unique(&self, tx: &mut Connection, plan: &Plan) -> Result<(), ArmError> {
        let Some(unique) = &plan.unique else { return Ok(()) };
        match db::resource::find_by_unique_key(tx, &unique.key).await? {
            Some(other) if other.key != self.id.key() => Err(unique.taken.clone()),
            _ => Ok(()),
        }
    }

    /// Inserts or updates the resource's row. The etag changes with intent: a repeated document changes nothing.
    async fn write_row(
        &self,
        tx: &mut Connection,
        plan: &Plan,
        uid: Uuid,
        location: &Location,
        now_ms: i64,
    ) -> Result<ResourceRow, ArmError> {
        check_size(&plan.document)?;
        if let Some(row) = &self.row {
            let mut written = row.clone();
            if row.document != plan.document || row.provisioning_state != plan.state {
                written.generation += 1;
                written.updated_ms = now_ms;
            }
            if row.document != plan.document {
                written.etag = new_etag();
            }
            written.document = plan.document.clone();
            written.provisioning_state = plan.state;
            written.unique_key = plan.unique.as_ref().map(|unique| unique.key.clone());
            // The row was read in this transaction, so nobody else has written it since.
            db::resource::update(tx, &written, row.generation).await?;
            return Ok(written);
        }
        let written = ResourceRow {
            key: self.id.key().to_owned(),
            uid,
            id: self.id.as_str().to_owned(),
            resource_type: self.resource_type,
            tenant: self.context.caller.tenant,
            subscription: self.place.subscription,
            resource_group: self.place.group.clone(),
            parent: self.place.parent.clone(),
            name: self.id.name().to_owned(),
            location: location.as_str().to_owned(),
            unique_key: plan.unique.as_ref().map(|unique| unique.key.clone()),
            provisioning_state: plan.state,
            generation: 1,
            etag: new_etag(),
            document: plan.document.clone(),
            created_ms: now_ms,
            updated_ms: now_ms,
        };
        db::resource::insert(tx, &written).await?;
        Ok(written)
    }

    async fn begin_operation(
        &self,
        control: &Control,
        tx: &mut Connection,
        plan: &Plan,
        row: &ResourceRow,
    ) -> Result<OperationRef, ArmError> {
        let (kind, region, input) = match &plan.work {
            Work::Nothing => (OperationKind::Immediate, None, Value::Null),
            Work::Replicate => (OperationKind::ReplicateVersion, None, Value::Null),
            Work::CopyImage { manifest } => {
                let input = serde_json::json!({ "manifest": manifest.to_string() });
                (OperationKind::CopyImage, Some(row.location.clone()), input)
            }
            Work::CreateEmptyDisk { virtual_size_bytes } => {
                let input = serde_json::json!({ "virtualSizeBytes": virtual_size_bytes });
                (OperationKind::CreateEmptyDisk, Some(row.location.clone()), input)
            }
        };
        let new = NewOperation {
            kind,
            action: action(self.resource_type, Verb::Write),
            resource: self.id,
            uid: row.uid,
            generation: row.generation,
            location: &row.location,
            region: region.as_deref(),
            input,
            answer: Answer::Resource,
            finished: plan.work == Work::Nothing,
        };
        operations::accept(tx, self.context, control.now_ms(), new).await
    }

    async fn answer(
        &self,
        control: &Control,
        tx: &mut Connection,
        operation: OperationRef,
        created: bool,
    ) -> Result<Accepted, ArmError> {
        let row = db::resource::find(tx, self.id.key()).await?.ok_or_else(|| self.id.not_found())?;
        let version = self.context.api_version;
        let shown = render::resource(tx, control.locations(), row, version, Expand::default()).await?;
        Ok(Accepted { created, resource: Some(shown), operation })
    }
}

fn existing(row: &ResourceRow) -> Existing {
    Existing { document: row.document.clone(), state: row.provisioning_state, created_ms: row.created_ms }
}

/// A tag that no earlier state of any resource had.
fn new_etag() -> String {
    Uuid::new_v4().simple().to_string()
}
