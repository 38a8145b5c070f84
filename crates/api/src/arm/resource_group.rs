//! Resource groups.

use axum::http::Method;
use galerie_arm::ResourceId;

use super::{
    Answer, accepted,
    call::{Call, Failure, GET},
    response,
    route::id_of,
    tracked,
};

static METHODS: [Method; 5] = [Method::GET, Method::HEAD, Method::PUT, Method::PATCH, Method::DELETE];

/// `/subscriptions/{s}/resourceGroups/{g}`.
pub(super) async fn answer(call: Call) -> Answer {
    let id = id_of(&call, 0)?;
    match call.method {
        Method::GET => get(call, id).await,
        Method::HEAD => exists(call, id).await,
        Method::PUT => put(call, id).await,
        Method::PATCH => patch(call, id).await,
        Method::DELETE => delete(call, id).await,
        _ => Err(Failure::Method(&METHODS)),
    }
}

async fn get(call: Call, id: ResourceId) -> Answer {
    let group = call.state.control.resource_group_get(&call.context()?, &id).await?;
    Ok(response::resource(200, &group))
}

async fn exists(call: Call, id: ResourceId) -> Answer {
    let exists = call.state.control.resource_group_exists(&call.context()?, &id).await?;
    Ok(response::empty(if exists { 204 } else { 404 }))
}

async fn put(mut call: Call, id: ResourceId) -> Answer {
    let context = call.context()?;
    let body = call.json().await?;
    let (created, group) = call.state.control.resource_group_put(&context, &id, body).await?;
    Ok(response::resource(if created { 201 } else { 200 }, &group))
}

async fn patch(mut call: Call, id: ResourceId) -> Answer {
    let context = call.context()?;
    let body = call.json().await?;
    let group = call.state.control.resource_group_patch(&context, &id, body).await?;
    Ok(response::resource(200, &group))
}

/// With everything in it: 202 and a `Location`. A group that is not there is 404, as the real service has it.
async fn delete(call: Call, id: ResourceId) -> Answer {
    match call.state.control.resource_group_delete(&call.context()?, &id).await? {
        Some(accepted) => Ok(accepted::group_delete(&call, &accepted.operation)),
        None => Err(id.not_found().into()),
    }
}

/// `/subscriptions/{s}/resourceGroups`.
pub(super) async fn list(call: Call) -> Answer {
    call.only(&GET)?;
    let subscription = tracked::subscription_of(&call)?.as_uuid();
    let page = call.state.control.resource_group_list(&call.context()?, subscription, call.continuation()).await?;
    let next_link = page.continuation.as_deref().map(|continuation| call.next_link(continuation));
    Ok(response::page(&page, next_link.as_deref()))
}
