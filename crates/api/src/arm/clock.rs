//! `POST /galerie/clock/{show|advance}`: the time, where it can be moved (`--fault clock`). Ours, not Azure's.

use std::time::Duration;

use galerie_arm::ArmError;

use super::{
    Answer,
    call::{Call, POST},
    response,
};

/// `advance` takes `seconds` from the query. Where the clock is the machine's, there is no such path.
pub(super) async fn act(call: Call, action: &str) -> Answer {
    let control = &call.state.control;
    if !control.has_movable_clock() {
        return Err(ArmError::path_not_found(&call.path()).into());
    }
    call.only(&POST)?;
    let context = call.own_context();
    let document = match action {
        "show" => control.clock(&context).await?,
        "advance" => {
            let seconds = call.query.get("seconds").ok_or_else(|| ArmError::required_parameter_missing("seconds"))?;
            let seconds: u32 = seconds.parse().map_err(|_| {
                ArmError::invalid_parameter("seconds", "A clock is moved on by a whole number of seconds.")
            })?;
            control.advance_clock(&context, Duration::from_secs(u64::from(seconds))).await?
        }
        _ => return Err(ArmError::path_not_found(&call.path()).into()),
    };
    Ok(response::json(200, &document))
}
