//! `.../locations/{l}/sharedGalleries`: what is shared with a subscription or its tenant.

use galerie_arm::{ArmError, sharing::GalleryProxy};
use galerie_control::ProxyList;

use super::{
    Answer,
    call::Call,
    proxy::{self, Asked},
};

/// The list of galleries, and everything below one.
pub(super) async fn answer(call: Call) -> Answer {
    let to_tenant = is_to_tenant(&call)?;
    let below = proxy::below(&call);
    let asked = match below.split_first() {
        None => Some(Asked::List(ProxyList::Galleries { to_tenant })),
        Some((name, rest)) => proxy::parse(GalleryProxy::Shared((*name).to_owned()), rest)?,
    };
    match asked {
        Some(asked) => proxy::answer(&call, asked).await,
        None => Err(ArmError::path_not_found(&call.path()).into()),
    }
}

/// `sharedTo=tenant`: what is shared with the whole tenant, in place of the subscription. Below a gallery it says nothing more:
/// the gallery is seen either way.
fn is_to_tenant(call: &Call) -> Result<bool, ArmError> {
    match call.query.get("sharedTo") {
        None | Some("") => Ok(false),
        Some(text) if text.eq_ignore_ascii_case("tenant") => Ok(true),
        Some(text) => Err(ArmError::invalid_query("sharedTo", text)),
    }
}
