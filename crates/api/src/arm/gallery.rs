//! Galleries: `Microsoft.Compute/galleries`.

use super::{Answer, accepted::Family, call::Call, tracked};

/// `.../galleries/{name}`.
pub(super) async fn answer(call: Call) -> Answer {
    tracked::answer(call, Family::Gallery).await
}
