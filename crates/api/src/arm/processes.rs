//! `GET /galerie/processes`: which processes serve the catalogue. Ours, not Azure's.

use super::{
    Answer,
    call::{Call, GET},
    response,
};

/// Every process that was seen within a day.
pub(super) async fn list(call: Call) -> Answer {
    call.only(&GET)?;
    let context = call.own_context();
    Ok(response::json(200, &call.state.control.processes(&context).await?))
}
