//! `/directoryObjects`, and what users, groups and service principals have alike: the groups that they are in.

use std::collections::BTreeSet;

use axum::response::Response;
use galerie_arm::ArmError;
use galerie_control::{
    ObjectKind,
    directory::{DirectoryObject, error, list::Continuation},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Answer, call::Call, document, properties::Properties, wrong_method};
use crate::arm::response;

/// Ids in one request, as in Graph.
const MOST_IDS: usize = 1000;
/// Groups that `checkMemberGroups` takes, as in Graph.
const MOST_GROUPS: usize = 20;

pub(super) async fn answer(mut call: Call, rest: &[&str]) -> Answer {
    match (rest, call.method.as_str()) {
        (["getbyids" | "microsoft.graph.getbyids"], "POST") => get_by_ids(&mut call).await,
        ([_], "GET") => {
            let wanted = call.id(1)?;
            let found = call.control().directory_objects(call.caller(), &[wanted]).await?;
            let found = found.first().map(document::typed);
            let found = found.ok_or_else(|| error::not_found(call.segment(1)))?;
            Ok(call.entity(200, "directoryObjects", found))
        }
        ([_, below @ ..], _) if !below.is_empty() => {
            let id = call.id(1)?;
            of_member(call, id, below).await
        }
        _ => Err(wrong_method(&call)),
    }
}

/// `getMemberGroups`, `getMemberObjects`, `checkMemberGroups`, `memberOf`, `transitiveMemberOf` of an object.
pub(super) async fn of_member(mut call: Call, object: Uuid, below: &[&str]) -> Answer {
    match (below, call.method.as_str()) {
        (["getmembergroups" | "getmemberobjects"], "POST") => {
            let mut body = Properties::new(call.json().await?, "getMemberGroups");
            // All groups are security groups.
            body.flag("securityEnabledOnly")?;
            body.end()?;
            let found = call.control().member_groups(call.caller(), object).await?;
            Ok(texts(found))
        }
        (["checkmembergroups"], "POST") => {
            let mut body = Properties::new(call.json().await?, "checkMemberGroups");
            let groups = ids(&mut body, "groupIds", MOST_GROUPS)?;
            body.end()?;
            let groups: BTreeSet<Uuid> = groups.into_iter().collect();
            Ok(texts(call.control().check_member_groups(call.caller(), object, &groups).await?))
        }
        (["memberof"], "GET") => {
            let found = call.control().member_of(call.caller(), object).await?;
            Ok(call.list(found.iter().map(document::typed).collect(), "directoryObjects", None))
        }
        (["transitivememberof"], "GET") => {
            let ids = call.control().member_groups(call.caller(), object).await?;
            let found = call.control().directory_objects(call.caller(), &ids).await?;
            Ok(call.list(found.iter().map(document::typed).collect(), "directoryObjects", None))
        }
        _ => Err(wrong_method(&call)),
    }
}

/// A page of objects in the order of their ids; it is the last when it is not full.
pub(super) fn page(call: &Call, found: &[DirectoryObject], top: u32, set: &str) -> Response {
    let last = found.last().filter(|_| found.len() == top as usize);
    let next = last.map(|last| Continuation { name: String::new(), id: id_of(last) });
    call.list(found.iter().map(document::typed).collect(), set, next.as_ref())
}

fn id_of(object: &DirectoryObject) -> Uuid {
    match object {
        DirectoryObject::User(found) => found.id,
        DirectoryObject::Group(found) => found.id,
        DirectoryObject::Application(found) => found.id,
        DirectoryObject::ServicePrincipal(found) => found.id,
    }
}

async fn get_by_ids(call: &mut Call) -> Answer {
    let mut body = Properties::new(call.json().await?, "getByIds");
    let wanted = ids(&mut body, "ids", MOST_IDS)?;
    let types = body.take("types");
    body.end()?;
    let mut found = call.control().directory_objects(call.caller(), &wanted).await?;
    if let Some(types) = types.as_ref().and_then(Value::as_array).filter(|types| !types.is_empty()) {
        let is_asked = |kind: &str| {
            types
                .iter()
                .filter_map(Value::as_str)
                .any(|asked| asked.eq_ignore_ascii_case(kind) || asked.eq_ignore_ascii_case("directoryObject"))
        };
        found.retain(|object| is_asked(type_of(object)));
    }
    Ok(call.list(found.iter().map(document::typed).collect(), "directoryObjects", None))
}

fn type_of(object: &DirectoryObject) -> &'static str {
    let kind = match object {
        DirectoryObject::User(_) => ObjectKind::User,
        DirectoryObject::Group(_) => ObjectKind::Group,
        DirectoryObject::Application(_) => ObjectKind::Application,
        DirectoryObject::ServicePrincipal(_) => ObjectKind::ServicePrincipal,
    };
    super::type_name(kind).rsplit('.').next().unwrap_or_default()
}

fn ids(body: &mut Properties, name: &str, most: usize) -> Result<Vec<Uuid>, ArmError> {
    let rule = format!("a list of 1 to {most} object ids");
    let invalid = || error::invalid_value(name, &rule);
    let list = body.take(name).ok_or_else(invalid)?;
    let list = list.as_array().filter(|list| (1..=most).contains(&list.len())).ok_or_else(invalid)?;
    list.iter().map(|value| value.as_str().and_then(|text| text.parse().ok()).ok_or_else(invalid)).collect()
}

/// A list of ids.
fn texts(ids: Vec<Uuid>) -> Response {
    response::json(
        200,
        &json!({ "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#Collection(Edm.String)", "value": ids }),
    )
}
