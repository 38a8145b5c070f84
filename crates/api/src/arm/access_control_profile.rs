//! In-VM access control profiles and their versions: `Microsoft.Compute/galleries/inVMAccessControlProfiles`.

use super::{Answer, accepted::Family, call::Call, tracked};

/// `.../galleries/{gallery}/inVMAccessControlProfiles/{profile}`, and `.../versions/{version}` below it.
pub(super) async fn answer(call: Call) -> Answer {
    tracked::answer(call, Family::Gallery).await
}
