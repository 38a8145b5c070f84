//! `.../locations/{l}/communityGalleries/{public name}`: what is published. Their list is a Resource Graph query.

use galerie_arm::{ArmError, sharing::GalleryProxy};

use super::{Answer, call::Call, proxy};

/// Everything below a gallery.
pub(super) async fn answer(call: Call) -> Answer {
    let below = proxy::below(&call);
    let asked = match below.split_first() {
        None => None,
        Some((name, rest)) => proxy::parse(GalleryProxy::Community((*name).to_owned()), rest)?,
    };
    match asked {
        Some(asked) => proxy::answer(&call, asked).await,
        None => Err(ArmError::path_not_found(&call.path()).into()),
    }
}
