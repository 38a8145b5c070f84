//! Disks: `Microsoft.Compute/disks`; and the two actions that disks and snapshots share.

use super::{
    Answer, accepted,
    accepted::Family,
    call::{Call, POST},
    route::id_of,
    tracked,
};

/// What can be done to a disk or snapshot beside reading and writing it, in small letters.
pub(super) const ACTIONS: [&str; 2] = ["begingetaccess", "endgetaccess"];

/// `.../disks/{name}`.
pub(super) async fn answer(call: Call) -> Answer {
    tracked::answer(call, Family::Disk).await
}

/// `POST .../{disk or snapshot}/beginGetAccess`: the operation's result holds a SAS.
pub(super) async fn begin_get_access(mut call: Call) -> Answer {
    call.only(&POST)?;
    let (id, context) = (id_of(&call, 1)?, call.context()?);
    let body = call.json().await?;
    let accepted = call.state.control.begin_get_access(&context, &id, body).await?;
    Ok(accepted::action(&call, &accepted, Family::Disk))
}

/// `POST .../{disk or snapshot}/endGetAccess`.
pub(super) async fn end_get_access(call: Call) -> Answer {
    call.only(&POST)?;
    let (id, context) = (id_of(&call, 1)?, call.context()?);
    let accepted = call.state.control.end_get_access(&context, &id).await?;
    Ok(accepted::action(&call, &accepted, Family::Disk))
}
