//! Operations: the status document, and the result at the `Location`.
//!
//! The document is HTTP 200 whatever came of the operation. The result is the finished resource, nothing, or the error. A
//! SAS is signed here, when its initiator reads it; it is stored nowhere.

use galerie_arm::ArmError;
use galerie_control::{GrantView, OperationResult};
use serde_json::json;
use uuid::Uuid;

use super::{
    Answer, accepted,
    call::{Call, GET},
    response, tracked,
};
use crate::blob::sas;

/// `GET .../locations/{l}/capsOperations/{id}`; with `monitor=true` the result.
pub(super) async fn answer(call: Call, id: &str) -> Answer {
    call.only(&GET)?;
    let id = operation_id(id)?;
    let is_monitored = call.query.get("monitor").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if is_monitored { result(call, id).await } else { status(call, id).await }
}

/// `GET /subscriptions/{s}/operationresults/{id}`: of a group's deletion.
pub(super) async fn group_result(call: Call, id: &str) -> Answer {
    call.only(&GET)?;
    let id = operation_id(id)?;
    result(call, id).await
}

async fn status(call: Call, id: Uuid) -> Answer {
    let subscription = tracked::subscription_of(&call)?.as_uuid();
    let view = call.state.control.operation_status(&call.context()?, subscription, id).await?;
    let mut document = view.document;
    document.output = view.grant.map(|grant| access(&call, &grant));
    Ok(response::polled(response::json(200, &document.to_value())))
}

async fn result(call: Call, id: Uuid) -> Answer {
    let subscription = tracked::subscription_of(&call)?.as_uuid();
    let result = call.state.control.operation_result(&call.context()?, subscription, id).await?;
    Ok(match result {
        OperationResult::Pending => accepted::pending(&call),
        OperationResult::Resource(resource) => response::resource(200, &resource),
        OperationResult::Empty => response::empty(200),
        OperationResult::Asked(asked) => response::json(200, &asked),
        OperationResult::Deleted => response::empty(204),
        OperationResult::Access(grant) => response::json(200, &access(&call, &grant)),
        OperationResult::Failed(error) => return Err(error.into()),
    })
}

fn access(call: &Call, grant: &GrantView) -> serde_json::Value {
    json!({ "accessSAS": sas::url(&call.host, grant, &call.state.control.sign_sas(grant)) })
}

fn operation_id(text: &str) -> Result<Uuid, ArmError> {
    Uuid::parse_str(text).map_err(|_| ArmError::operation_not_found(text))
}
