//! Resource groups: what resources are in, and deleted with.

use galerie_arm::{
    ArmError, ETag, Location, Locations, ProvisioningState, ResourceId, ResourceType, SubscriptionId,
    paging::SkipToken, tags,
};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    Control, audit, authz,
    db::{
        Connection, operation,
        resource_group::{self, ResourceGroupRow},
    },
    operations::{self, Answer, NewOperation, OperationKind},
    request::{Accepted, OperationRef, Page, RequestContext, Resource},
};

const READ: &str = "Microsoft.Resources/subscriptions/resourceGroups/read";
const WRITE: &str = "Microsoft.Resources/subscriptions/resourceGroups/write";
const DELETE: &str = "Microsoft.Resources/subscriptions/resourceGroups/delete";

/// Groups on one page of a list.
const PAGE: u32 = 100;
/// Members that a body may have; what is not used is read-only.
const KNOWN_MEMBERS: &[&str] = &["id", "name", "type", "location", "tags", "managedBy", "properties", "etag"];

impl Control {
    /// A group.
    ///
    /// # Errors
    /// `AuthorizationFailed`, `ResourceGroupNotFound`.
    pub async fn resource_group_get(&self, ctx: &RequestContext, id: &ResourceId) -> Result<Resource, ArmError> {
        let mut tx = self.db().read().await?;
        authz::authorize(&mut tx, &ctx.caller, READ, id).await?;
        let found = resource_group::find(&mut tx, id.key()).await?;
        found.map(shown).ok_or_else(|| id.not_found())
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

    /// Creates a group, or changes its tags. The first of the answer: whether it is new.
    ///
    /// # Errors
    /// A body that is no group's; another location than it has; `ResourceGroupBeingDeleted`.
    pub async fn resource_group_put(
        &self,
        ctx: &RequestContext,
        id: &ResourceId,
        body: Value,
    ) -> Result<(bool, Resource), ArmError> {
        let mut tx = self.db().write().await?;
        authz::authorize(&mut tx, &ctx.caller, WRITE, id).await?;
        let existing = resource_group::find(&mut tx, id.key()).await?;
        ctx.preconditions.check(existing.as_ref().map(|row| ETag::new(&row.etag)).as_ref())?;
        let row = plan_put(id, existing.as_ref(), body, self.locations(), self.now_ms())?;
        let row = self.write_group(&mut tx, ctx, existing.is_none(), row).await?;
        tx.commit().await?;
        Ok((existing.is_none(), shown(row)))
    }

    /// Changes a group's tags; they are replaced whole.
    ///
    /// # Errors
    /// As [`Control::resource_group_put`]; `ResourceGroupNotFound`.
    pub async fn resource_group_patch(
        &self,
        ctx: &RequestContext,
        id: &ResourceId,
        body: Value,
    ) -> Result<Resource, ArmError> {
        let mut tx = self.db().write().await?;
        authz::authorize(&mut tx, &ctx.caller, WRITE, id).await?;
        let existing = resource_group::find(&mut tx, id.key()).await?;
        ctx.preconditions.check(existing.as_ref().map(|row| ETag::new(&row.etag)).as_ref())?;
        let existing = existing.ok_or_else(|| id.not_found())?;
        let mut members = members(body)?;
        for (name, value) in [("location", Value::from(existing.location.as_str())), ("tags", existing.tags.clone())] {
            members.entry(name).or_insert(value);
        }
        let row = plan_put(id, Some(&existing), Value::Object(members), self.locations(), self.now_ms())?;
        let row = self.write_group(&mut tx, ctx, false, row).await?;
        tx.commit().await?;
        Ok(shown(row))
    }

    async fn write_group(
        &self,
        tx: &mut Connection,
        ctx: &RequestContext,
        is_new: bool,
        row: ResourceGroupRow,
    ) -> Result<ResourceGroupRow, ArmError> {
        if is_new {
            resource_group::insert(tx, &row).await?;
        } else {
            resource_group::update(tx, &row).await?;
        }
        audit::record(tx, ctx, self.now_ms(), WRITE, &row.id, None).await?;
        Ok(row)
    }

    /// Begins to delete a group with everything in it; `None` when there is none. A group that is being deleted answers
    /// with the operation that does it.
    ///
    /// # Errors
    /// `AuthorizationFailed`, `PreconditionFailed`.
    pub async fn resource_group_delete(
        &self,
        ctx: &RequestContext,
        id: &ResourceId,
    ) -> Result<Option<Accepted>, ArmError> {
        let mut tx = self.db().write().await?;
        authz::authorize(&mut tx, &ctx.caller, DELETE, id).await?;
        let found = resource_group::find(&mut tx, id.key()).await?;
        ctx.preconditions.check(found.as_ref().map(|row| ETag::new(&row.etag)).as_ref())?;
        let Some(mut row) = found else { return Ok(None) };
        let operation = match operation::unfinished(&mut tx, &row.key, row.uid).await?.pop() {
            Some(underway) if underway.kind == OperationKind::DeleteGroup => {
                OperationRef { id: underway.id, subscription: underway.subscription, location: underway.location }
            }
            _ => {
                row.state = ProvisioningState::Deleting;
                row.etag = Uuid::new_v4().to_string();
                resource_group::update(&mut tx, &row).await?;
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
                operations::accept(&mut tx, ctx, self.now_ms(), new).await?
            }
        };
        tx.commit().await?;
        self.wake();
        Ok(Some(Accepted { created: false, resource: None, operation }))
    }

    /// A page of a subscription's groups.
    ///
    /// # Errors
    /// `SubscriptionNotFound`, `AuthorizationFailed`, `InvalidSkipToken`.
    pub async fn resource_group_list(
        &self,
        ctx: &RequestContext,
        subscription: Uuid,
        continuation: Option<&str>,
    ) -> Result<Page, ArmError> {
        let after = continuation.map(SkipToken::decode).transpose()?;
        let mut tx = self.db().read().await?;
        let scope = ResourceId::of_subscription(SubscriptionId::new(subscription));
        authz::authorize(&mut tx, &ctx.caller, READ, &scope).await?;
        let after = after.as_ref().map(|token| token.last_key.as_str());
        let mut rows = resource_group::list(&mut tx, subscription, after, PAGE + 1).await?;
        let more = rows.len() > PAGE as usize;
        rows.truncate(PAGE as usize);
        let last_key = rows.last().filter(|_| more).map(|row| row.key.clone());
        let continuation = last_key.map(|last_key| SkipToken { last_key }.encode());
        Ok(Page { items: rows.into_iter().map(shown).collect(), continuation })
    }
}

fn refuse_deleting(row: &ResourceGroupRow) -> Result<(), ArmError> {
    if row.state == ProvisioningState::Deleting {
        return Err(ArmError::resource_group_being_deleted(&row.name));
    }
    Ok(())
}

/// Decides about a write to a group.
fn plan_put(
    id: &ResourceId,
    existing: Option<&ResourceGroupRow>,
    body: Value,
    locations: &Locations,
    now_ms: i64,
) -> Result<ResourceGroupRow, ArmError> {
    let (Some(subscription), Some(name)) = (id.subscription(), id.group()) else { return Err(id.not_found()) };
    let mut members = members(body)?;
    let text = |members: &Map<String, Value>, name: &str| members.get(name).and_then(Value::as_str).map(str::to_owned);
    let wanted = text(&members, "location").filter(|text| !text.trim().is_empty());
    let wanted = wanted.ok_or_else(ArmError::location_required)?;
    let managed_by = text(&members, "managedBy");
    let tags = members.remove("tags").filter(|tags| !tags.is_null()).unwrap_or(Value::Null);
    if !tags.is_null() {
        tags::check(&Value::Object(Map::from_iter([("tags".to_owned(), tags.clone())])))?;
    }
    let etag = Uuid::new_v4().to_string();
    if let Some(existing) = existing {
        refuse_deleting(existing)?;
        let asked = locations.find(&wanted).cloned().or_else(|| Location::normalise(&wanted));
        if asked.as_ref().map(Location::as_str) != Some(existing.location.as_str()) {
            return Err(ArmError::invalid_resource_group_location(&existing.name, &existing.location, &wanted));
        }
        let managed_by = managed_by.or_else(|| existing.managed_by.clone());
        return Ok(ResourceGroupRow { tags, managed_by, etag, ..existing.clone() });
    }
    let location = locations.require(&wanted, "Microsoft.Resources/resourceGroups")?;
    Ok(ResourceGroupRow {
        key: id.key().to_owned(),
        id: id.as_str().to_owned(),
        uid: Uuid::new_v4(),
        subscription: subscription.as_uuid(),
        name: name.as_str().to_owned(),
        location: location.as_str().to_owned(),
        tags,
        managed_by,
        state: ProvisioningState::Succeeded,
        generation: 1,
        etag,
        created_ms: now_ms,
    })
}

/// The members of a body, names in the specification's spelling.
fn members(body: Value) -> Result<Map<String, Value>, ArmError> {
    let Value::Object(sent) = body else {
        return Err(ArmError::invalid_request_content("The body must be a JSON object."));
    };
    let mut members = Map::new();
    for (name, value) in sent {
        let known = KNOWN_MEMBERS.iter().find(|known| known.eq_ignore_ascii_case(&name));
        let Some(known) = known else {
            let text =
                format!("Could not find member '{name}' on object of type 'ResourceGroupDefinition'. Path '{name}'.");
            return Err(ArmError::invalid_request_content(&text));
        };
        members.insert((*known).to_owned(), value);
    }
    Ok(members)
}

/// The document of an answer, in ARM's order.
fn shown(row: ResourceGroupRow) -> Resource {
    let mut document = Map::new();
    let mut put = |name: &str, value: Value| document.insert(name.to_owned(), value);
    put("id", row.id.into());
    put("name", row.name.into());
    put("type", ResourceType::ResourceGroup.as_str().into());
    put("location", row.location.into());
    if let Some(managed_by) = row.managed_by {
        put("managedBy", managed_by.into());
    }
    if !row.tags.is_null() {
        put("tags", row.tags);
    }
    let state = ("provisioningState".to_owned(), row.state.as_str().into());
    put("properties", Value::Object(Map::from_iter([state])));
    Resource { document: Value::Object(document), etag: row.etag }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "/subscriptions/f4662c1d-e072-46af-8700-b8ca2968ccab/resourceGroups/RG";

    fn plan(existing: Option<&ResourceGroupRow>, body: Value) -> Result<ResourceGroupRow, ArmError> {
        let east = Location::normalise("eastus").unwrap();
        plan_put(&ID.parse().unwrap(), existing, body, &Locations::new([(east, None)]), 1)
    }

    #[test]
    fn bad_bodies_are_refused() {
        for (body, code) in [
            (json!([]), "InvalidRequestContent"),
            (json!({}), "LocationRequired"),
            (json!({ "location": "" }), "LocationRequired"),
            (json!({ "location": "mars" }), "LocationNotAvailableForResourceType"),
            (json!({ "location": "eastus", "tags": { "a": 1 } }), "InvalidTags"),
            (json!({ "location": "eastus", "tag": {} }), "InvalidRequestContent"),
        ] {
            assert_eq!(plan(None, body.clone()).unwrap_err().code, code, "{body}");
        }
    }

    #[test]
    fn a_group_stays_where_it_is() {
        let row = plan(None, json!({ "Location": "East US", "tags": { "a": "b" } })).unwrap();
        assert_eq!((row.location.as_str(), &row.tags), ("eastus", &json!({ "a": "b" })));
        let again = plan(Some(&row), json!({ "location": "EASTUS" })).unwrap();
        assert_eq!((again.uid, again.tags), (row.uid, Value::Null));
        let error = plan(Some(&row), json!({ "location": "westus" })).unwrap_err();
        assert_eq!((error.status, error.code.as_ref()), (409, "InvalidResourceGroupLocation"));
        let going = ResourceGroupRow { state: ProvisioningState::Deleting, ..row };
        assert_eq!(plan(Some(&going), json!({ "location": "eastus" })).unwrap_err().code, "ResourceGroupBeingDeleted");
    }

    #[test]
    fn the_document_is_arms() {
        let row = plan(None, json!({ "location": "eastus", "tags": {} })).unwrap();
        let expected = format!(
            r#"{{"id":"{ID}","name":"RG","type":"Microsoft.Resources/resourceGroups","location":"eastus","tags":{{}},"properties":{{"provisioningState":"Succeeded"}}}}"#
        );
        assert_eq!(shown(row).document.to_string(), expected);
    }
}
