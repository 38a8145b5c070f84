//! `/applications`, their secrets, certificates and owners.

use galerie_control::{ObjectKind, directory::error};

use super::{
    Answer,
    call::{Call, done},
    credential, document, list, owner,
    properties::Properties,
    wrong_method,
};

/// What is kept of an application as it comes.
const KEPT: [&str; 18] = [
    "identifierUris",
    "signInAudience",
    "isFallbackPublicClient",
    "web",
    "publicClient",
    "spa",
    "api",
    "appRoles",
    "optionalClaims",
    "requiredResourceAccess",
    "tags",
    "groupMembershipClaims",
    "description",
    "notes",
    "serviceManagementReference",
    "info",
    "isDeviceOnlyAuthSupported",
    "parentalControlSettings",
];
const READ_ONLY: [&str; 2] = ["appId", "publisherDomain"];

pub(super) async fn answer(mut call: Call, rest: &[&str]) -> Answer {
    match (rest, call.method.as_str()) {
        ([], "GET") => list::answer(&call, ObjectKind::Application, "applications").await,
        ([], "POST") => {
            let mut body = Properties::new(call.json().await?, "Application");
            let name = body.required("displayName")?;
            let certificates = credential::certificates(&mut body)?.unwrap_or_default();
            credential::no_secrets(&mut body)?;
            let document = body.rest(&KEPT, &READ_ONLY)?;
            let made = call.control().application_create(&call.context, &name, document, &certificates).await?;
            Ok(call.entity(201, "applications", document::application(&made)))
        }
        ([_], "GET") => {
            let found = call.control().application(call.caller(), call.id(1)?).await?;
            Ok(call.entity(200, "applications", document::application(&found)))
        }
        ([_], "PATCH") => {
            let mut body = Properties::new(call.json().await?, "Application");
            let name = body.text("displayName")?;
            let certificates = credential::certificates(&mut body)?;
            credential::no_secrets(&mut body)?;
            let (id, change) = (call.id(1)?, body.rest(&KEPT, &READ_ONLY)?);
            let certificates = certificates.as_deref();
            call.control().application_update(&call.context, id, name.as_deref(), change, certificates).await?;
            Ok(done())
        }
        ([_], "DELETE") => {
            call.control().application_delete(&call.context, call.id(1)?).await?;
            Ok(done())
        }
        ([_, "addpassword"], "POST") => credential::add(call, ObjectKind::Application).await,
        ([_, "removepassword"], "POST") => credential::remove(call, ObjectKind::Application).await,
        ([_, "owners", below @ ..], _) => owner::answer(call, ObjectKind::Application, below).await,
        ([_, "federatedidentitycredentials"], "GET") => {
            call.control().application(call.caller(), call.id(1)?).await?;
            Ok(call.list(Vec::new(), "federatedIdentityCredentials", None))
        }
        ([_, "federatedidentitycredentials", ..], _) => Err(error::bad_request(
            "Federated identity credentials are not supported by this server; use a certificate.",
        )),
        _ => Err(wrong_method(&call)),
    }
}
