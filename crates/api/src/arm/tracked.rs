//! What all tracked resources have in common on the wire: read, write, change, delete, list.

use axum::http::Method;
use galerie_arm::{ApiVersion, ArmError, ETag, ResourceId, ResourceType};
use galerie_control::{Expand, ListScope, RequestContext};

use super::{
    Answer,
    accepted::{self, Family},
    call::{Call, Failure, GET},
    response,
    route::id_of,
};

/// The types that have lists.
pub(super) const TYPES: [ResourceType; 12] = [
    ResourceType::Gallery,
    ResourceType::ImageDefinition,
    ResourceType::ImageVersion,
    ResourceType::Application,
    ResourceType::ApplicationVersion,
    ResourceType::AccessControlProfile,
    ResourceType::AccessControlProfileVersion,
    ResourceType::Script,
    ResourceType::ScriptVersion,
    ResourceType::ManagedImage,
    ResourceType::Disk,
    ResourceType::Snapshot,
];
/// The first api-version in which a version can be deleted for good.
const WITH_BYPASS: ApiVersion = ApiVersion::stable(2026, 3, 3);
/// What a tracked resource can be asked.
static METHODS: [Method; 5] = [Method::GET, Method::HEAD, Method::PUT, Method::PATCH, Method::DELETE];

/// Answers a request to one resource of a family.
pub(super) async fn answer(call: Call, family: Family) -> Answer {
    let id = id_of(&call, 0)?;
    match call.method {
        Method::GET => get(call, id).await,
        Method::HEAD => head(call, id).await,
        Method::PUT => put(call, id, family).await,
        Method::PATCH => patch(call, id, family).await,
        Method::DELETE => delete(call, id, family).await,
        _ => Err(Failure::Method(&METHODS)),
    }
}

async fn get(call: Call, id: ResourceId) -> Answer {
    let context = call.context()?;
    let expand = Expand::parse(call.query.get("$expand"), call.query.get("$select"))?;
    let resource = call.state.control.get(&context, &id, &expand).await?;
    if context.preconditions.is_not_modified(&ETag::new(&resource.etag)) {
        return Ok(response::empty(304));
    }
    Ok(response::resource(200, &resource))
}

/// Whether it exists, as Microsoft.Resources' `CheckExistenceById` asks.
async fn head(call: Call, id: ResourceId) -> Answer {
    let context = call.context()?;
    match call.state.control.get(&context, &id, &Expand::default()).await {
        Ok(_) => Ok(response::empty(204)),
        Err(error) if error.status == 404 => Ok(response::empty(404)),
        Err(error) => Err(error.into()),
    }
}

async fn put(mut call: Call, id: ResourceId, family: Family) -> Answer {
    let context = call.context()?;
    let body = call.json().await?;
    let accepted = call.state.control.put(&context, &id, body).await?;
    Ok(accepted::put(&call, &accepted, family))
}

async fn patch(mut call: Call, id: ResourceId, family: Family) -> Answer {
    let context = call.context()?;
    let body = call.json().await?;
    let accepted = call.state.control.patch(&context, &id, body).await?;
    Ok(accepted::patch(&call, &accepted, family))
}

async fn delete(call: Call, id: ResourceId, family: Family) -> Answer {
    let context = call.context()?;
    let control = &call.state.control;
    let deleted = if bypasses_soft_delete(&call, &context)? {
        control.delete_for_good(&context, &id).await?
    } else {
        control.delete(&context, &id).await?
    };
    match deleted {
        Some(accepted) => Ok(accepted::action(&call, &accepted, family)),
        None => Ok(response::empty(204)),
    }
}

/// `bypassSoftDelete=true`, of api-versions that have it; an earlier one means nothing by it, and nothing is lost.
fn bypasses_soft_delete(call: &Call, context: &RequestContext) -> Result<bool, ArmError> {
    match call.query.get("bypassSoftDelete") {
        Some(text) if context.api_version >= WITH_BYPASS => {
            text.to_ascii_lowercase().parse().map_err(|_| ArmError::invalid_query("bypassSoftDelete", text))
        }
        _ => Ok(false),
    }
}

/// Answers a request to a collection.
pub(super) async fn list(call: Call, scope: ListScope) -> Answer {
    call.only(&GET)?;
    let context = call.context()?;
    let page = call.state.control.list(&context, &scope, call.continuation()).await?;
    let next_link = page.continuation.as_deref().map(|continuation| call.next_link(continuation));
    Ok(response::page(&page, next_link.as_deref()))
}

/// The subscription in the call's path.
///
/// # Errors
/// `InvalidSubscriptionId`.
pub(super) fn subscription_of(call: &Call) -> Result<galerie_arm::SubscriptionId, ArmError> {
    let text = call.segments.get(1).map(String::as_str).unwrap_or_default();
    text.parse()
}
