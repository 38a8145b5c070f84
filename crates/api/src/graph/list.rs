//! Lists of one kind of object: by what is indexed when the filter says so, by name otherwise.

use galerie_arm::ArmError;
use galerie_control::{
    ObjectKind,
    directory::{DirectoryObject, list::Continuation},
};
use serde_json::Value;

use super::{Answer, call::Call, document, filter::Filter};

/// Objects that are looked at for one page of a filter that no index serves; the page may then be short.
const MOST_LOOKED_AT: u32 = 1000;

/// `GET /users`, `/groups`, `/applications`, `/servicePrincipals`.
pub(super) async fn answer(call: &Call, kind: ObjectKind, set: &str) -> Answer {
    let filter = Filter::parse(call.query.get("$filter"))?;
    let top = call.top()?;
    if let Some(found) = looked_up(call, kind, &filter).await? {
        let documents: Vec<Value> = found.iter().map(document::plain).filter(|found| filter.matches(found)).collect();
        return Ok(call.list(documents, set, None));
    }
    let prefix = filter.prefix("displayName").unwrap_or_default();
    let is_filtered = call.query.get("$filter").is_some();
    let limit = if is_filtered { MOST_LOOKED_AT.max(top) } else { top };
    let page = call.control().directory_list(call.caller(), kind, prefix, call.continuation()?, limit).await?;
    let (mut documents, mut next) = (Vec::new(), page.continuation);
    let wanted = top as usize;
    for object in page.objects {
        if documents.len() == wanted {
            break;
        }
        let shown = document::plain(&object);
        if filter.matches(&shown) {
            documents.push(shown);
            if documents.len() == wanted {
                next = Some(behind(&object));
            }
        }
    }
    Ok(call.list(documents, set, next.as_ref()))
}

/// What the filter names by something that only one object has; `None` when it names nothing such.
async fn looked_up(call: &Call, kind: ObjectKind, filter: &Filter) -> Result<Option<Vec<DirectoryObject>>, ArmError> {
    let (control, caller) = (call.control(), call.caller());
    if let Some(id) = filter.equal("id") {
        let ids: Vec<_> = id.parse().into_iter().collect();
        let mut found = control.directory_objects(caller, &ids).await?;
        found.retain(|object| kind_of(object) == kind);
        return Ok(Some(found));
    }
    Ok(match kind {
        ObjectKind::User => match filter.equal("userPrincipalName") {
            Some(name) => Some(existing(control.user(caller, name).await)?.map(DirectoryObject::User)),
            None => None,
        },
        ObjectKind::Group => None,
        ObjectKind::Application => match (filter.equal("appId"), filter.any("identifierUris")) {
            (Some(app_id), _) => {
                let found = match app_id.parse() {
                    Ok(app_id) => control.application_by_app_id(caller, app_id).await?,
                    Err(_) => None,
                };
                Some(found.map(DirectoryObject::Application))
            }
            (None, Some(uri)) => Some(control.application_by_uri(caller, uri).await?.map(DirectoryObject::Application)),
            (None, None) => None,
        },
        ObjectKind::ServicePrincipal => match filter.equal("appId").or(filter.any("servicePrincipalNames")) {
            Some(name) => {
                let found = control.service_principal_by_name(caller, name).await?;
                Some(found.map(DirectoryObject::ServicePrincipal))
            }
            None => None,
        },
    }
    .map(|found| found.into_iter().collect()))
}

/// An object that may not be there.
fn existing<T>(found: Result<T, ArmError>) -> Result<Option<T>, ArmError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.status == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

fn kind_of(object: &DirectoryObject) -> ObjectKind {
    match object {
        DirectoryObject::User(_) => ObjectKind::User,
        DirectoryObject::Group(_) => ObjectKind::Group,
        DirectoryObject::Application(_) => ObjectKind::Application,
        DirectoryObject::ServicePrincipal(_) => ObjectKind::ServicePrincipal,
    }
}

/// Where a list goes on behind an object.
fn behind(object: &DirectoryObject) -> Continuation {
    let (name, id) = match object {
        DirectoryObject::User(found) => (&found.display_name, found.id),
        DirectoryObject::Group(found) => (&found.display_name, found.id),
        DirectoryObject::Application(found) => (&found.display_name, found.id),
        DirectoryObject::ServicePrincipal(found) => (&found.display_name, found.id),
    };
    Continuation::behind(name, id)
}
