//! `/galerie/retention/{id}`: an image definition's retention policy, and an image version's pin. Ours, not Azure's.
//!
//! | | definition | version |
//! |---|---|---|
//! | GET | the policy | whether it is pinned |
//! | PUT | sets it: `keep`, `olderThanDays`, `automatic` | pins it |
//! | DELETE | removes it | unpins it |
//! | POST | runs it, of what a dry run said as far as the body repeats that (`at`, `versions`); `dryRun=true` only says what it would do, also for a `keep` and `olderThanDays` to try | – |

use axum::http::Method;
use galerie_arm::{ArmError, ResourceId};
use galerie_control::{Confirmed, RetentionSettings};
use serde_json::{Map, Value};

use super::{
    Answer,
    call::{Call, Failure},
    response,
};

static POLICY_METHODS: [Method; 4] = [Method::GET, Method::PUT, Method::POST, Method::DELETE];
static PIN_METHODS: [Method; 3] = [Method::GET, Method::PUT, Method::DELETE];

/// A definition's policy.
pub(super) async fn policy(mut call: Call) -> Answer {
    call.only(&POLICY_METHODS)?;
    let (context, definition) = (call.own_context(), target(&call)?);
    let has_body = call.method == Method::PUT || call.method == Method::POST && call.has_body();
    let body = if has_body { Some(call.json().await?) } else { None };
    let control = &call.state.control;
    let document = match (&call.method, body) {
        (&Method::GET, _) => control.retention_policy(&context, &definition).await?,
        (&Method::PUT, Some(body)) => {
            control.set_retention_policy(&context, &definition, RetentionSettings::parse(&body)).await?
        }
        (&Method::POST, _) if is_dry(&call)? => {
            control.retention_dry_run(&context, &definition, to_try(&call)?).await?
        }
        (&Method::POST, body) => {
            let confirmed = body.as_ref().map(Confirmed::parse).transpose();
            control.retention_run(&context, &definition, confirmed).await?
        }
        (&Method::DELETE, _) => {
            control.remove_retention_policy(&context, &definition).await?;
            return Ok(response::empty(204));
        }
        _ => return Err(Failure::Method(&POLICY_METHODS)),
    };
    Ok(response::json(200, &document))
}

/// A version's pin.
pub(super) async fn pin(call: Call) -> Answer {
    call.only(&PIN_METHODS)?;
    let (context, version) = (call.own_context(), target(&call)?);
    let control = &call.state.control;
    let document = if call.method == Method::GET {
        control.version_pin(&context, &version).await?
    } else {
        control.set_version_pin(&context, &version, call.method == Method::PUT).await?
    };
    Ok(response::json(200, &document))
}

/// The id that follows `/galerie/retention`.
fn target(call: &Call) -> Result<ResourceId, ArmError> {
    ResourceId::parse(&format!("/{}", call.segments.get(2..).unwrap_or_default().join("/")), "path")
}

fn is_dry(call: &Call) -> Result<bool, ArmError> {
    match call.query.get("dryRun") {
        None => Ok(false),
        Some(text) => text.to_ascii_lowercase().parse().map_err(|_| ArmError::invalid_query("dryRun", text)),
    }
}

/// Settings to try in place of the policy's.
fn to_try(call: &Call) -> Result<Option<RetentionSettings>, ArmError> {
    let mut settings = Map::new();
    for name in ["keep", "olderThanDays"] {
        if let Some(text) = call.query.get(name) {
            let number: u32 = text.parse().map_err(|_| ArmError::invalid_query(name, text))?;
            settings.insert(name.to_owned(), number.into());
        }
    }
    if settings.is_empty() { Ok(None) } else { RetentionSettings::parse(&Value::Object(settings)).map(Some) }
}
