//! A tenant's directory: users, groups, applications, service principals, and who may change them.
//!
//! One file per object, as Microsoft Graph has them; what Graph calls a property beside those that mean something here is
//! kept in an object's document as it came. Promises: every change is one transaction with its audit row; it is refused, before
//! anything is looked up, to whom it does not belong; deleting a principal leaves nothing that names it. Does not: know HTTP,
//! or what a role assignment is (that is `authz`). See `docs/design/identity.md`.

pub mod app_role_assignment;
pub mod application;
pub mod credential;
pub mod error;
pub mod group;
pub mod list;
pub mod role;
pub mod service_principal;
pub mod user;

mod access;
pub(crate) mod app_role;
pub(crate) mod external;
pub(crate) mod managed_identity;
mod owner;
mod removal;

pub(crate) use self::access::has_role;

use galerie_arm::ArmError;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::db::{
    Connection,
    directory_object::{self, DirectoryObjectRow, ObjectKind},
};

/// Objects of one directory.
pub(crate) const MOST_OBJECTS: u64 = 500_000;
/// Characters of a display name, as in Graph.
pub(crate) const LONGEST_NAME_CHARS: usize = 256;
/// Bytes of an object's document.
pub(crate) const LONGEST_DOCUMENT_BYTES: usize = 32 * 1024;
/// Owners of one object, as in Graph.
pub(crate) const MOST_OWNERS: u32 = 100;

/// Properties that are kept as they came.
pub type Document = Map<String, Value>;

/// An object of a directory, of any kind.
#[derive(Debug, Clone, PartialEq)]
pub enum DirectoryObject {
    /// A person.
    User(user::User),
    /// Users, service principals and groups.
    Group(group::Group),
    /// What a tenant registered.
    Application(application::Application),
    /// What an application is to a tenant.
    ServicePrincipal(service_principal::ServicePrincipal),
}

/// The object of a row, read in full. `None` when it went meanwhile, which within a transaction it cannot.
pub(crate) async fn read(
    tx: &mut Connection,
    object: &DirectoryObjectRow,
) -> Result<Option<DirectoryObject>, ArmError> {
    Ok(match object.kind {
        ObjectKind::User => user::read(tx, object.id).await?.map(DirectoryObject::User),
        ObjectKind::Group => group::read(tx, object.id).await?.map(DirectoryObject::Group),
        ObjectKind::Application => application::read(tx, object.id).await?.map(DirectoryObject::Application),
        ObjectKind::ServicePrincipal => {
            service_principal::read(tx, object.id).await?.map(DirectoryObject::ServicePrincipal)
        }
    })
}

/// Checks a display name and trims it.
///
/// # Errors
/// `Request_BadRequest` with the rule.
pub(crate) fn display_name(text: &str) -> Result<String, ArmError> {
    let text = text.trim();
    let chars = text.chars().count();
    let is_shown = text.chars().any(|c| !c.is_whitespace() && !is_invisible(c));
    if !is_shown || chars > LONGEST_NAME_CHARS || text.chars().any(is_harmful) {
        let rule = format!("1 to {LONGEST_NAME_CHARS} characters, none of which is a control character");
        return Err(error::invalid_value("displayName", &rule));
    }
    Ok(text.to_owned())
}

/// Control characters, and those that turn the direction of what people read.
fn is_harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Characters that take no room.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{2060}'..='\u{2064}' | '\u{FEFF}' | '\u{00AD}')
}

/// Checks a document's size.
///
/// # Errors
/// `Request_BadRequest`.
fn check_document(document: &Document) -> Result<(), ArmError> {
    let bytes = serde_json::to_string(document).map_or(usize::MAX, |text| text.len());
    if bytes > LONGEST_DOCUMENT_BYTES {
        let message = format!("The object's properties are larger than {LONGEST_DOCUMENT_BYTES} bytes together.");
        return Err(error::bad_request(message));
    }
    Ok(())
}

/// Puts the properties of a change over those that are there; `null` removes one, an object is merged one level deep, as
/// Graph does with its complex types.
fn merge(document: &mut Document, change: Document) {
    for (name, value) in change {
        if value.is_null() {
            document.remove(&name);
        } else if let (Some(Value::Object(there)), Value::Object(change)) = (document.get_mut(&name), &value) {
            there.extend(change.clone());
        } else {
            document.insert(name, value);
        }
    }
}

/// A new object's row, if the directory has room for it.
///
/// # Errors
/// `Directory_QuotaExceeded`.
async fn new_object(
    tx: &mut Connection,
    tenant: Uuid,
    kind: ObjectKind,
    name: &str,
) -> Result<DirectoryObjectRow, ArmError> {
    let display_name = display_name(name)?;
    if directory_object::count(tx, tenant).await? >= MOST_OBJECTS {
        return Err(error::quota_exceeded(MOST_OBJECTS));
    }
    let created_ms = tx.now_ms().await?;
    Ok(DirectoryObjectRow { id: Uuid::new_v4(), tenant, kind, display_name, created_ms })
}

/// A document column as properties.
fn properties(document: &Value) -> Document {
    document.as_object().cloned().unwrap_or_default()
}

#[cfg(test)]
mod managed_identity_tests;
#[cfg(test)]
mod tests;
