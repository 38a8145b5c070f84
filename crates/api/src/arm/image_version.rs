//! Image versions: `Microsoft.Compute/galleries/images/versions`.

use super::{Answer, accepted::Family, call::Call, tracked};

/// `.../galleries/{gallery}/images/{image}/versions/{name}`.
pub(super) async fn answer(call: Call) -> Answer {
    tracked::answer(call, Family::Gallery).await
}
