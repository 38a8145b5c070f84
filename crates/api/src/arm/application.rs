//! Gallery applications and their versions: `Microsoft.Compute/galleries/applications`.

use super::{Answer, accepted::Family, call::Call, tracked};

/// `.../galleries/{gallery}/applications/{application}`, and `.../versions/{version}` below it.
pub(super) async fn answer(call: Call) -> Answer {
    tracked::answer(call, Family::Gallery).await
}
