//! Objects as Graph shows them.

use galerie_arm::timestamp;
use galerie_control::ObjectKind;
use galerie_control::directory::{
    DirectoryObject, Document,
    application::Application,
    credential::{Credential, CredentialKind},
    group::Group,
    service_principal::ServicePrincipal,
    user::User,
};
use serde_json::{Value, json};

use super::type_name;

/// Any object, with its type: for lists of several kinds.
pub(super) fn typed(object: &DirectoryObject) -> Value {
    let (kind, document) = match object {
        DirectoryObject::User(found) => (ObjectKind::User, user(found)),
        DirectoryObject::Group(found) => (ObjectKind::Group, group(found)),
        DirectoryObject::Application(found) => (ObjectKind::Application, application(found)),
        DirectoryObject::ServicePrincipal(found) => (ObjectKind::ServicePrincipal, service_principal(found)),
    };
    let mut whole = json!({ "@odata.type": type_name(kind) });
    put(&mut whole, document.as_object().cloned().unwrap_or_default());
    whole
}

/// Any object, without its type.
pub(super) fn plain(object: &DirectoryObject) -> Value {
    match object {
        DirectoryObject::User(found) => user(found),
        DirectoryObject::Group(found) => group(found),
        DirectoryObject::Application(found) => application(found),
        DirectoryObject::ServicePrincipal(found) => service_principal(found),
    }
}

pub(super) fn user(found: &User) -> Value {
    let mut document = json!({
        "id": found.id,
        "userPrincipalName": found.name,
        "displayName": found.display_name,
        "accountEnabled": found.enabled,
        "userType": "Member",
        "createdDateTime": time(found.created_ms),
        "creationType": found.is_external.then_some("External"),
        "businessPhones": [],
        "givenName": null,
        "surname": null,
        "mail": null,
        "mailNickname": null,
        "jobTitle": null,
        "mobilePhone": null,
        "officeLocation": null,
        "preferredLanguage": null
    });
    put(&mut document, found.document.clone());
    document
}

pub(super) fn group(found: &Group) -> Value {
    let mut document = json!({
        "id": found.id,
        "displayName": found.display_name,
        "description": null,
        "mailNickname": null,
        "mailEnabled": false,
        "securityEnabled": true,
        "groupTypes": [],
        "createdDateTime": time(found.created_ms)
    });
    put(&mut document, found.document.clone());
    document
}

pub(super) fn application(found: &Application) -> Value {
    let mut document = json!({
        "id": found.id,
        "appId": found.app_id,
        "displayName": found.display_name,
        "createdDateTime": time(found.created_ms),
        "publisherDomain": null,
        "signInAudience": "AzureADMyOrg",
        "identifierUris": [],
        "isFallbackPublicClient": null,
        "web": { "redirectUris": [], "homePageUrl": null, "logoutUrl": null },
        "publicClient": { "redirectUris": [] },
        "spa": { "redirectUris": [] },
        "api": { "oauth2PermissionScopes": [], "preAuthorizedApplications": [], "knownClientApplications": [] },
        "appRoles": [],
        "requiredResourceAccess": [],
        "tags": [],
        "passwordCredentials": secrets(&found.credentials),
        "keyCredentials": certificates(&found.credentials)
    });
    put(&mut document, found.document.clone());
    document
}

pub(super) fn service_principal(found: &ServicePrincipal) -> Value {
    let mut document = json!({
        "id": found.id,
        "appId": found.app_id,
        "displayName": found.display_name,
        "appDisplayName": found.display_name,
        "appOwnerOrganizationId": found.application_tenant,
        "accountEnabled": found.enabled,
        "servicePrincipalType": "Application",
        "servicePrincipalNames": found.names,
        "createdDateTime": time(found.created_ms),
        "appRoleAssignmentRequired": false,
        "appRoles": found.app_roles,
        "oauth2PermissionScopes": [],
        "alternativeNames": [],
        "replyUrls": [],
        "tags": [],
        "passwordCredentials": secrets(&found.credentials),
        "keyCredentials": certificates(&found.credentials)
    });
    put(&mut document, found.document.clone());
    document
}

/// A secret without what is secret.
pub(super) fn secret(found: &Credential) -> Value {
    json!({
        "keyId": found.id,
        "displayName": found.display_name,
        "hint": found.hint,
        "secretText": null,
        "customKeyIdentifier": null,
        "startDateTime": time(found.starts_ms),
        "endDateTime": found.expires_ms.map(time)
    })
}

fn secrets(credentials: &[Credential]) -> Vec<Value> {
    credentials.iter().filter(|found| found.kind == CredentialKind::Secret).map(secret).collect()
}

/// The key itself is left out, as Graph does in lists.
fn certificates(credentials: &[Credential]) -> Vec<Value> {
    let certificates = credentials.iter().filter(|found| found.kind == CredentialKind::Certificate);
    let shown = |found: &Credential| {
        json!({
            "keyId": found.id,
            "displayName": found.display_name,
            "customKeyIdentifier": found.thumbprint,
            "type": "AsymmetricX509Cert",
            "usage": "Verify",
            "key": null,
            "startDateTime": time(found.starts_ms),
            "endDateTime": found.expires_ms.map(time)
        })
    };
    certificates.map(shown).collect()
}

/// Graph's times are UTC, spelled with a Z.
pub(super) fn time(ms: i64) -> String {
    timestamp::format_ms(ms).replace("+00:00", "Z")
}

/// Puts properties over those that are there; objects are merged one level deep.
fn put(document: &mut Value, properties: Document) {
    for (name, value) in properties {
        if let (Some(Value::Object(there)), Value::Object(properties)) = (document.get_mut(&name), &value) {
            there.extend(properties.clone());
        } else {
            document[name] = value;
        }
    }
}
