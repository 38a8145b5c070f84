//! Resource groups: what resources are in, and deleted with.
//!
//! A body goes through `arm::schema` as other resources' do, and is kept whole: an api-version newer than our data may send
//! what we do not know, and gets it back.

use galerie_arm::{
    ApiVersion, ArmError, ETag, Location, Locations, ProvisioningState, ResourceId, ResourceType, SubscriptionId,
    paging::SkipToken, schema::Shape, tags,
};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    Control, audit,
    authz::{self, Visible, VisiblePart},
    db::{
        Connection, operation,
        resource_group::{self, ResourceGroupRow},
        sharing, transact,
    },
    operations::{self, Answer, NewOperation, OperationKind},
    request::{Accepted, DocumentText, OperationRef, Page, RequestContext, Resource},
    resource::{
        document::{check_size, keep, set, text},
        page::{self, PAGE_ITEMS, Part},
    },
};

const READ: &str = "Microsoft.Resources/subscriptions/resourceGroups/read";
const WRITE: &str = "Microsoft.Resources/subscriptions/resourceGroups/write";
const DELETE: &str = "Microsoft.Resources/subscriptions/resourceGroups/delete";

impl Control {
    /// A group.
    ///
    /// # Errors
    /// `AuthorizationFailed`, `ResourceGroupNotFound`.
    pub async fn resource_group_get(&self, ctx: &RequestContext, id: &ResourceId) -> Result<Resource, ArmError> {
        let mut tx = self.db().read().await?;
        authz::authorize(&mut tx, &ctx.caller, READ, id).await?;
        let found = resource_group::find(&mut tx, id.key()).await?;
        found.map(|row| shown(&row, ctx.api_version)).ok_or_else(|| id.not_found())
    }

    /// Whether there is such a group.
    ///
    /// # Errors
    /// `AuthorizationFailed`.
    pub async fn resource_group_exists(&self, ctx: &RequestContext, id: &ResourceId) -> Result<bool, ArmError> {
        let mut tx = self.db().read().await?;
        authz::authorize(&mut tx, &ctx.caller, READ, id).await?;
        Ok(resource_group::find(&mut tx, id.key()).await?.is_some())
    }

    /// Creates a group, or replaces its description. The first of the answer: whether it is new.
    ///
    /// # Errors
    /// A body that is no group's; another location than it has; `ResourceGroupBeingDeleted`.
    pub async fn resource_group_put(
        &self,
        ctx: &RequestContext,
        id: &ResourceId,
        body: Value,
    ) -> Result<(bool, Resource), ArmError> {
        let shape = Shape::of(ResourceType::ResourceGroup, ctx.api_version);
        // Reading the body needs no state. Its fault is told after the caller's right to be told.
        let sent = accept(shape, body);
        transact!(self.db(), |tx| -> Result<(bool, Resource), ArmError> {
            authz::authorize(tx, &ctx.caller, WRITE, id).await?;
            let existing = resource_group::find(tx, id.key()).await?;
            ctx.preconditions.check(existing.as_ref().map(|row| ETag::new(&row.etag)).as_ref())?;
            let sent = sent.clone()?;
            let row = match &existing {
                None => plan_new(id, sent, self.locations(), self.now_ms())?,
                Some(existing) => plan_change(existing, put(shape, existing, sent)?, self.locations())?,
            };
            self.write_group(tx, ctx, existing.is_none(), &row).await?;
            Ok((existing.is_none(), shown(&row, ctx.api_version)))
        })
    }

    /// Changes properties of a group; tags are replaced whole.
    ///
    /// # Errors
    /// As [`Control::resource_group_put`]; `ResourceGroupNotFound`.
    pub async fn resource_group_patch(
        &self,
        ctx: &RequestContext,
        id: &ResourceId,
        body: Value,
    ) -> Result<Resource, ArmError> {
        let shape = Shape::of(ResourceType::ResourceGroup, ctx.api_version);
        let sent = accept(shape, body);
        transact!(self.db(), |tx| -> Result<Resource, ArmError> {
            authz::authorize(tx, &ctx.caller, WRITE, id).await?;
            let existing = resource_group::find(tx, id.key()).await?;
            ctx.preconditions.check(existing.as_ref().map(|row| ETag::new(&row.etag)).as_ref())?;
            let existing = existing.ok_or_else(|| id.not_found())?;
            let document = shape.merge_patch(&existing.document, sent.clone()?);
            let row = plan_change(&existing, document, self.locations())?;
            self.write_group(tx, ctx, false, &row).await?;
            Ok(shown(&row, ctx.api_version))
        })
    }

    async fn write_group(
        &self,
        tx: &mut Connection,
        ctx: &RequestContext,
        is_new: bool,
        row: &ResourceGroupRow,
    ) -> Result<(), ArmError> {
        check_size(&row.document)?;
        if is_new {
            resource_group::insert(tx, row).await?;
        } else {
            resource_group::update(tx, row).await?;
        }
        audit::record(tx, ctx, self.now_ms(), WRITE, &row.id, None).await?;
        Ok(())
    }

    /// Begins to delete a group with everything in it; `None` when there is none. A group that is being deleted answers
    /// with the operation that does it.
    ///
    /// # Errors
    /// `AuthorizationFailed`, `PreconditionFailed`; `OperationNotAllowed` while a gallery in it is published.
    pub async fn resource_group_delete(
        &self,
        ctx: &RequestContext,
        id: &ResourceId,
    ) -> Result<Option<Accepted>, ArmError> {
        let accepted = transact!(self.db(), |tx| -> Result<Option<Accepted>, ArmError> {
            self.resource_group_delete_in(tx, ctx, id).await
        })?;
        self.wake();
        Ok(accepted)
    }

    async fn resource_group_delete_in(
        &self,
        tx: &mut Connection,
        ctx: &RequestContext,
        id: &ResourceId,
    ) -> Result<Option<Accepted>, ArmError> {
        authz::authorize(tx, &ctx.caller, DELETE, id).await?;
        let found = resource_group::find(tx, id.key()).await?;
        ctx.preconditions.check(found.as_ref().map(|row| ETag::new(&row.etag)).as_ref())?;
        let Some(mut row) = found else { return Ok(None) };
        let operation = match operation::unfinished(tx, &row.key, row.uid).await?.pop() {
            Some(underway) if underway.kind == OperationKind::DeleteGroup => {
                OperationRef { id: underway.id, subscription: underway.subscription, location: underway.location }
            }
            _ => {
                // As for the gallery itself: consumers would lose it at a stroke.
                if let Some(gallery) = sharing::published_in_group(tx, &row.key).await? {
                    return Err(ArmError::gallery_is_published(&gallery.name));
                }
                row.state = ProvisioningState::Deleting;
                row.etag = Uuid::new_v4().to_string();
                resource_group::update(tx, &row).await?;
                let new = NewOperation {
                    kind: OperationKind::DeleteGroup,
                    action: DELETE,
                    resource: id,
                    uid: row.uid,
                    generation: row.generation + 1,
                    location: &row.location,
                    region: None,
                    input: Value::Null,
                    answer: Answer::Deleted,
                    finished: false,
                };
                operations::accept(tx, ctx, self.now_ms(), new).await?
            }
        };
        Ok(Some(Accepted { created: false, resource: None, operation }))
    }

    /// A page of those of a subscription's groups that the caller may read.
    ///
    /// # Errors
    /// `SubscriptionNotFound`, `InvalidSkipToken`.
    pub async fn resource_group_list(
        &self,
        ctx: &RequestContext,
        subscription: Uuid,
        continuation: Option<&str>,
    ) -> Result<Page, ArmError> {
        let after = continuation.map(SkipToken::decode).transpose()?.map(|token| token.last_key);
        let mut tx = self.db().read().await?;
        let (mut rows, ends_at) = visible_in(&mut tx, ctx, subscription, after.as_deref()).await?;
        let last_key = page::cut(&mut rows, |row| &row.key, ends_at.as_deref());
        let continuation = last_key.map(|last_key| SkipToken { last_key }.encode());
        let items = rows.iter().map(|row| DocumentText::from(&shown(row, ctx.api_version).document)).collect();
        Ok(Page { items, continuation })
    }
}

/// What the caller sees of a subscription's groups: a page and one more, and the key up to which everything was read, when
/// it was not everything.
async fn visible_in(
    tx: &mut Connection,
    ctx: &RequestContext,
    subscription: Uuid,
    after: Option<&str>,
) -> Result<(Vec<ResourceGroupRow>, Option<String>), ArmError> {
    let id = SubscriptionId::new(subscription);
    let VisiblePart { ranges, ends_at } = match authz::visible_groups(tx, &ctx.caller, READ, id, after).await? {
        Visible::All => return Ok((resource_group::list(tx, subscription, after, PAGE_ITEMS + 1).await?, None)),
        Visible::Part(part) => part,
    };
    let mut rows = Vec::new();
    for part in page::parts(&ranges) {
        let Part::Keys(keys) = part else { unreachable!("a group shows itself") };
        rows.extend(resource_group::list_keys(tx, subscription, &keys, PAGE_ITEMS + 1).await?);
        if rows.len() > PAGE_ITEMS as usize {
            break;
        }
    }
    Ok((rows, ends_at))
}

fn refuse_deleting(row: &ResourceGroupRow) -> Result<(), ArmError> {
    if row.state == ProvisioningState::Deleting {
        return Err(ArmError::resource_group_being_deleted(&row.name));
    }
    Ok(())
}

/// Reads a body. Resource Manager itself answers for groups, and calls a body that it cannot read by another code than
/// Compute.
fn accept(shape: Shape, body: Value) -> Result<Value, ArmError> {
    let sent = shape.accept(body).map_err(|error| match error.code.as_ref() {
        "BadRequest" => ArmError::invalid_request_content(&error.message),
        _ => error,
    })?;
    tags::check(&sent)?;
    Ok(sent)
}

/// The document after a PUT to a group that is there. Who manages it does not change by being left out.
fn put(shape: Shape, existing: &ResourceGroupRow, sent: Value) -> Result<Value, ArmError> {
    if text(&sent, "location").is_none_or(|location| location.trim().is_empty()) {
        return Err(ArmError::location_required());
    }
    let mut document = shape.merge_put(&existing.document, sent);
    keep(&mut document, &existing.document, "managedBy");
    Ok(document)
}

/// Decides about a new group.
fn plan_new(
    id: &ResourceId,
    mut document: Value,
    locations: &Locations,
    now_ms: i64,
) -> Result<ResourceGroupRow, ArmError> {
    let (Some(subscription), Some(name)) = (id.subscription(), id.group()) else { return Err(id.not_found()) };
    let wanted = text(&document, "location").filter(|text| !text.trim().is_empty());
    let wanted = wanted.ok_or_else(ArmError::location_required)?;
    let location = locations.require(wanted, "Microsoft.Resources/resourceGroups")?;
    set(&mut document, "location", location.as_str());
    Ok(ResourceGroupRow {
        key: id.key().to_owned(),
        id: id.as_str().to_owned(),
        uid: Uuid::new_v4(),
        subscription: subscription.as_uuid(),
        name: name.as_str().to_owned(),
        location: location.as_str().to_owned(),
        document,
        state: ProvisioningState::Succeeded,
        generation: 1,
        etag: Uuid::new_v4().to_string(),
        created_ms: now_ms,
    })
}

/// Decides about a write to a group that is there; `document` is what it would become.
fn plan_change(
    existing: &ResourceGroupRow,
    mut document: Value,
    locations: &Locations,
) -> Result<ResourceGroupRow, ArmError> {
    refuse_deleting(existing)?;
    if let Some(wanted) = text(&document, "location") {
        let asked = locations.find(wanted).cloned().or_else(|| Location::normalise(wanted));
        if asked.as_ref().map(Location::as_str) != Some(existing.location.as_str()) {
            return Err(ArmError::invalid_resource_group_location(&existing.name, &existing.location, wanted));
        }
    }
    set(&mut document, "location", existing.location.as_str());
    Ok(ResourceGroupRow { document, etag: Uuid::new_v4().to_string(), ..existing.clone() })
}

/// The document of an answer, in ARM's order.
fn shown(row: &ResourceGroupRow, api_version: ApiVersion) -> Resource {
    let mut document = Map::new();
    let mut put = |name: &str, value: Value| document.insert(name.to_owned(), value);
    put("id", row.id.as_str().into());
    put("name", row.name.as_str().into());
    put("type", ResourceType::ResourceGroup.as_str().into());
    put("location", row.location.as_str().into());
    for name in ["managedBy", "tags"] {
        if let Some(value) = row.document.get(name) {
            put(name, value.clone());
        }
    }
    for (name, value) in row.document.as_object().into_iter().flatten() {
        document.entry(name.as_str()).or_insert_with(|| value.clone());
    }
    let mut document = Value::Object(document);
    set(&mut document, "properties.provisioningState", row.state.as_str());
    let document = Shape::of(ResourceType::ResourceGroup, api_version).project(document);
    Resource { document, etag: row.etag.clone() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "/subscriptions/f4662c1d-e072-46af-8700-b8ca2968ccab/resourceGroups/RG";
    const KNOWN: ApiVersion = ApiVersion::stable(2024, 11, 1);
    const NEWER: ApiVersion = ApiVersion::stable(2035, 1, 1);

    fn plan(existing: Option<&ResourceGroupRow>, body: Value) -> Result<ResourceGroupRow, ArmError> {
        plan_in(KNOWN, existing, body)
    }

    fn plan_in(
        version: ApiVersion,
        existing: Option<&ResourceGroupRow>,
        body: Value,
    ) -> Result<ResourceGroupRow, ArmError> {
        let shape = Shape::of(ResourceType::ResourceGroup, version);
        let locations = Locations::new([(Location::normalise("eastus").unwrap(), None)]);
        let sent = accept(shape, body)?;
        match existing {
            None => plan_new(&ID.parse().unwrap(), sent, &locations, 1),
            Some(existing) => plan_change(existing, put(shape, existing, sent)?, &locations),
        }
    }

    #[test]
    fn bad_bodies_are_refused() {
        for (body, code) in [
            (json!([]), "InvalidRequestContent"),
            (json!({}), "LocationRequired"),
            (json!({ "location": "" }), "LocationRequired"),
            (json!({ "location": "mars" }), "LocationNotAvailableForResourceType"),
            (json!({ "location": "eastus", "tags": { "a": {} } }), "InvalidRequestContent"),
            (json!({ "location": "eastus", "tags": { "a<b": "" } }), "InvalidTagName"),
            (json!({ "location": "eastus", "tag": {} }), "InvalidRequestContent"),
        ] {
            assert_eq!(plan(None, body.clone()).unwrap_err().code, code, "{body}");
        }
    }

    /// Regression: groups had a list of members of their own. What it lacked was refused under every api-version, what
    /// stood inside `properties` was taken and forgotten, and so was a `managedBy` that is no text.
    #[test]
    fn members_are_those_of_the_api_version() {
        for body in [
            json!({ "location": "eastus", "surprise": 1 }),
            json!({ "location": "eastus", "properties": { "surprise": 1 } }),
            json!({ "location": "eastus", "managedBy": ["x"] }),
        ] {
            assert_eq!(plan(None, body.clone()).unwrap_err().code, "InvalidRequestContent", "{body}");
        }
        let error = plan(None, json!({ "location": "eastus", "surprise": 1 })).unwrap_err();
        assert!(error.message.contains("Could not find member 'surprise' on object of type"), "{error}");
        let body = json!({ "location": "eastus", "surprise": 1, "properties": { "inner": [1] } });
        let row = plan_in(NEWER, None, body).unwrap();
        let newer = shown(&row, NEWER).document;
        assert_eq!((&newer["surprise"], &newer["properties"]["inner"]), (&json!(1), &json!([1])));
        assert_eq!(newer["properties"]["provisioningState"], "Succeeded");
        let known = shown(&row, KNOWN).document;
        assert_eq!((&known["surprise"], &known["properties"]["inner"]), (&Value::Null, &Value::Null));
        // A write through an older version keeps what that version cannot express.
        let row = plan(Some(&row), json!({ "location": "eastus", "tags": { "a": "b" } })).unwrap();
        assert_eq!(shown(&row, NEWER).document["surprise"], 1);
    }

    #[test]
    fn a_group_stays_where_it_is() {
        let row = plan(None, json!({ "Location": "East US", "tags": { "a": "b" }, "managedBy": "m" })).unwrap();
        assert_eq!((row.location.as_str(), &row.document["tags"]), ("eastus", &json!({ "a": "b" })));
        let again = plan(Some(&row), json!({ "location": "EASTUS" })).unwrap();
        assert_eq!((again.uid, again.document.get("tags")), (row.uid, None));
        assert_eq!(again.document["managedBy"], "m");
        let error = plan(Some(&row), json!({ "location": "westus" })).unwrap_err();
        assert_eq!((error.status, error.code.as_ref()), (409, "InvalidResourceGroupLocation"));
        assert_eq!(plan(Some(&row), json!({ "tags": {} })).unwrap_err().code, "LocationRequired");
        let going = ResourceGroupRow { state: ProvisioningState::Deleting, ..row };
        assert_eq!(plan(Some(&going), json!({ "location": "eastus" })).unwrap_err().code, "ResourceGroupBeingDeleted");
    }

    #[test]
    fn the_document_is_arms() {
        let row = plan(None, json!({ "location": "eastus", "tags": {} })).unwrap();
        let expected = format!(
            r#"{{"id":"{ID}","name":"RG","type":"Microsoft.Resources/resourceGroups","location":"eastus","tags":{{}},"properties":{{"provisioningState":"Succeeded"}}}}"#
        );
        assert_eq!(shown(&row, KNOWN).document.to_string(), expected);
    }
}
