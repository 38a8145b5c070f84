//! Image definitions: `Microsoft.Compute/galleries/images`.

use super::{Answer, accepted::Family, call::Call, tracked};

/// `.../galleries/{gallery}/images/{name}`.
pub(super) async fn answer(call: Call) -> Answer {
    tracked::answer(call, Family::Gallery).await
}
