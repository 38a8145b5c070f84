//! Managed images: `Microsoft.Compute/images`.

use super::{Answer, accepted::Family, call::Call, tracked};

/// `.../images/{name}`.
pub(super) async fn answer(call: Call) -> Answer {
    tracked::answer(call, Family::Image).await
}
