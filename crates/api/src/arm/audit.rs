//! `POST /galerie/audit/{list|verify}`: who did what and who was refused, and whether that can be trusted. Ours, not Azure's.

use galerie_arm::{ArmError, timestamp};
use galerie_control::{AuditFilter, KnownHead};
use uuid::Uuid;

use super::{
    Answer,
    call::{Call, POST},
    response,
};

/// `list` takes `since`, `until`, `principal`, `resource`, `denied`, `top` and `continuation` from the query, `verify` a `head`
/// that was kept.
pub(super) async fn act(call: Call, action: &str) -> Answer {
    call.only(&POST)?;
    let context = call.own_context();
    let control = &call.state.control;
    let document = match action {
        "list" => control.audit_list(&context, &filter(&call)?).await?,
        "verify" => control.audit_verify(&context, head(&call)?.as_ref()).await?,
        _ => return Err(ArmError::path_not_found(&call.path()).into()),
    };
    Ok(response::json(200, &document))
}

fn head(call: &Call) -> Result<Option<KnownHead>, ArmError> {
    let parsed = call.query.get("head").map(str::parse).transpose();
    parsed.map_err(|problem: &str| ArmError::invalid_parameter("head", problem))
}

fn filter(call: &Call) -> Result<AuditFilter, ArmError> {
    Ok(AuditFilter {
        since_ms: time(call, "since")?.unwrap_or(i64::MIN),
        until_ms: time(call, "until")?,
        principal: parsed::<Uuid>(call, "principal", "a principal's object id, a GUID")?,
        resource: call.query.get("resource").unwrap_or_default().to_owned(),
        denied_only: parsed(call, "denied", "true or false")?.unwrap_or(false),
        top: parsed(call, "top", "a whole number")?,
        continuation: call.query.get("continuation").map(str::to_owned),
    })
}

fn time(call: &Call, name: &str) -> Result<Option<i64>, ArmError> {
    let read = |text| {
        let invalid = || ArmError::invalid_parameter(name, "It is a date or a time, such as 2026-11-26T09:00:00Z.");
        timestamp::parse_ms(text).ok_or_else(invalid)
    };
    call.query.get(name).map(read).transpose()
}

fn parsed<T: std::str::FromStr>(call: &Call, name: &str, what: &str) -> Result<Option<T>, ArmError> {
    let read = |text: &str| text.parse().map_err(|_| ArmError::invalid_parameter(name, format!("It is {what}.")));
    call.query.get(name).map(read).transpose()
}
