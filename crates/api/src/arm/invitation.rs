//! `POST .../sharedGallerySubscriptions/{owner}/sharedGalleries/{gallery}/accept|reject`: answers to a share, by a subscription
//! or, at the tenant's level, by the tenant.

use galerie_arm::{ArmError, GalleryName, SubscriptionId, sharing::parse_unique_name};
use galerie_control::{Invitation, Invited};

use super::{
    Answer,
    call::{Call, POST},
    response, tracked,
};

/// A subscription's answer; `answer` is folded.
pub(super) async fn of_subscription(call: Call, answer: &str) -> Answer {
    call.only(&POST)?;
    let invited = Invited::Subscription(tracked::subscription_of(&call)?.as_uuid());
    act(call, invited, 5, answer).await
}

/// The caller's tenant's answer.
pub(super) async fn of_tenant(call: Call, answer: &str) -> Answer {
    call.only(&POST)?;
    act(call, Invited::Tenant, 3, answer).await
}

/// 204: it is done when it is answered. The location's name is the segment `at`, the gallery's subscription and name follow.
async fn act(call: Call, invited: Invited, at: usize, answer: &str) -> Answer {
    let context = call.context()?;
    let accepts = match answer {
        "accept" => true,
        "reject" => false,
        _ => return Err(ArmError::path_not_found(&call.path()).into()),
    };
    let segment = |offset: usize| call.segments.get(at + offset).map(String::as_str).unwrap_or_default();
    let owner: SubscriptionId = segment(2).parse()?;
    let gallery = named(segment(4), owner)?;
    let invitation = Invitation { invited, location: segment(0).to_owned(), owner, gallery, path: call.path() };
    call.state.control.answer_share(&context, &invitation, accepts).await?;
    Ok(response::empty(204))
}

/// The gallery's name, or its unique name, which begins with its subscription.
fn named(text: &str, owner: SubscriptionId) -> Result<GalleryName, ArmError> {
    match parse_unique_name(text) {
        Some((subscription, name)) if subscription == owner => Ok(name),
        _ => text.parse(),
    }
}
