//! `POST .../galleries/{name}/share`: with whom a gallery is shared.

use super::{
    Answer,
    accepted::{self, Family},
    call::{Call, POST},
    route::id_of,
};

/// 202 without a body; the operation's result is what was asked for.
pub(super) async fn answer(mut call: Call) -> Answer {
    call.only(&POST)?;
    let (id, context) = (id_of(&call, 1)?, call.context()?);
    let body = call.json().await?;
    let accepted = call.state.control.share(&context, &id, body).await?;
    Ok(accepted::action(&call, &accepted, Family::Gallery))
}
