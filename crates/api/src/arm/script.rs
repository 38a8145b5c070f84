//! Gallery scripts and their versions: `Microsoft.Compute/galleries/scripts`.

use super::{Answer, accepted::Family, call::Call, tracked};

/// `.../galleries/{gallery}/scripts/{script}`, and `.../versions/{version}` below it.
pub(super) async fn answer(call: Call) -> Answer {
    tracked::answer(call, Family::Gallery).await
}
