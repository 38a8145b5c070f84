//! `.../owners`, and references to objects (`$ref`).

use galerie_arm::ArmError;
use galerie_control::{ObjectKind, directory::error};
use uuid::Uuid;

use super::{
    Answer,
    call::{Call, done, id},
    document,
    properties::Properties,
    wrong_method,
};

/// What is below `owners`.
pub(super) async fn answer(mut call: Call, kind: ObjectKind, below: &[&str]) -> Answer {
    let object = call.id(1)?;
    match (below, call.method.as_str()) {
        ([], "GET") => {
            let found = call.control().owners(call.caller(), kind, object).await?;
            Ok(call.list(found.iter().map(document::typed).collect(), "directoryObjects", None))
        }
        (["$ref"], "POST") => {
            let owner = referenced(&mut call).await?;
            call.control().add_owner(&call.context, kind, object, owner).await?;
            Ok(done())
        }
        ([_, "$ref"], "DELETE") => {
            call.control().remove_owner(&call.context, kind, object, call.id(3)?).await?;
            Ok(done())
        }
        _ => Err(wrong_method(&call)),
    }
}

/// The object that a body refers to: `{"@odata.id": ".../directoryObjects/{id}"}`.
///
/// # Errors
/// `Request_BadRequest`.
pub(super) async fn referenced(call: &mut Call) -> Result<Uuid, ArmError> {
    let mut body = Properties::new(call.json().await?, "Reference");
    let url = body.required("@odata.id")?;
    body.end()?;
    let last = url.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let invalid = || error::invalid_value("@odata.id", "a URL that ends in an object's id");
    id(last).map_err(|_| invalid())
}
