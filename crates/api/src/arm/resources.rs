//! `/resources`: resources of all types, in a subscription or a group.

use galerie_arm::{ArmError, ResourceId, ResourceType};
use galerie_control::{DocumentText, ListScope};

use super::{Answer, call::Call, filter::Filter, response, route::id_of, tracked};

/// `/subscriptions/{s}/resources`.
pub(super) async fn in_subscription(call: Call) -> Answer {
    let subscription = tracked::subscription_of(&call)?;
    let filter = Filter::parse(call.query.get("$filter"))?;
    match &filter.resource_group {
        Some(group) => {
            let group = ResourceId::of_group(subscription, &group.parse()?);
            list(call, &filter, |resource_type| ListScope::Group { group, resource_type }).await
        }
        None => {
            let subscription = subscription.as_uuid();
            list(call, &filter, |resource_type| ListScope::Subscription { subscription, resource_type }).await
        }
    }
}

/// `/subscriptions/{s}/resourceGroups/{g}/resources`.
pub(super) async fn in_group(call: Call) -> Answer {
    let group = id_of(&call, 1)?;
    let filter = Filter::parse(call.query.get("$filter"))?;
    let elsewhere = |name: &String| group.group().is_none_or(|group| !group.as_str().eq_ignore_ascii_case(name));
    if filter.resource_group.as_ref().is_some_and(elsewhere) {
        return Err(ArmError::invalid_query("$filter", call.query.get("$filter").unwrap_or_default()).into());
    }
    list(call, &filter, |resource_type| ListScope::Group { group, resource_type }).await
}

/// Lists of one type are generic here too: without properties.
async fn list(call: Call, filter: &Filter, scope: impl FnOnce(Option<ResourceType>) -> ListScope) -> Answer {
    let wanted = match &filter.resource_type {
        None => return tracked::list(call, scope(None)).await,
        Some(text) => ResourceType::parse(text),
    };
    let Some(resource_type) = wanted.filter(|found| tracked::TYPES.contains(found)) else {
        call.context()?;
        return Ok(response::list(Vec::new()));
    };
    if call.method != axum::http::Method::GET {
        return tracked::list(call, scope(Some(resource_type))).await;
    }
    let context = call.context()?;
    let mut page = call.state.control.list(&context, &scope(Some(resource_type)), call.continuation()).await?;
    for item in &mut page.items {
        let mut document = item.to_value();
        if let Some(members) = document.as_object_mut() {
            members.shift_remove("properties");
        }
        *item = DocumentText::from(&document);
    }
    let next_link = page.continuation.as_deref().map(|continuation| call.next_link(continuation));
    Ok(response::page(&page, next_link.as_deref()))
}
