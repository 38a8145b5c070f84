//! What `sharedGalleries` and `communityGalleries` have in common: reading, in a location, below a gallery's name.

use galerie_arm::{ArmError, sharing::GalleryProxy};
use galerie_control::{ProxyItem, ProxyList, ProxyPlace};

use super::{
    Answer,
    call::{Call, GET},
    response, tracked,
};

/// Segments before the name of a gallery: `/subscriptions/{s}/providers/Microsoft.Compute/locations/{l}/sharedGalleries`.
const ABOVE: usize = 7;

/// What a path asks for.
pub(super) enum Asked {
    /// One document.
    Item(ProxyItem),
    /// A list.
    List(ProxyList),
}

/// What is below the collection of galleries.
pub(super) fn below(call: &Call) -> Vec<&str> {
    call.segments.iter().skip(ABOVE).map(String::as_str).collect()
}

/// What a path below a gallery's name asks for; `None` for a path that nothing has.
///
/// # Errors
/// A name that breaks its rule.
pub(super) fn parse(proxy: GalleryProxy, below: &[&str]) -> Result<Option<Asked>, ArmError> {
    let is = |segment: &str, word: &str| segment.eq_ignore_ascii_case(word);
    Ok(Some(match *below {
        [] => Asked::Item(ProxyItem::Gallery(proxy)),
        [images] if is(images, "images") => Asked::List(ProxyList::Definitions(proxy)),
        [images, definition] if is(images, "images") => Asked::Item(ProxyItem::Definition(proxy, definition.parse()?)),
        [images, definition, versions] if is(images, "images") && is(versions, "versions") => {
            Asked::List(ProxyList::Versions(proxy, definition.parse()?))
        }
        [images, definition, versions, version] if is(images, "images") && is(versions, "versions") => {
            Asked::Item(ProxyItem::Version(proxy, definition.parse()?, version.parse()?))
        }
        _ => return Ok(None),
    }))
}

/// Answers it.
pub(super) async fn answer(call: &Call, asked: Asked) -> Answer {
    call.only(&GET)?;
    let context = call.context()?;
    let subscription = tracked::subscription_of(call)?.as_uuid();
    let location = call.segments.get(ABOVE - 2).cloned().unwrap_or_default();
    let place = ProxyPlace { subscription, location };
    let control = &call.state.control;
    match asked {
        Asked::Item(item) => Ok(response::json(200, &control.proxy(&context, &place, &item).await?)),
        Asked::List(list) => {
            let page = control.proxies(&context, &place, &list, call.continuation()).await?;
            let next_link = page.continuation.as_deref().map(|continuation| call.next_link(continuation));
            Ok(response::part_of_list(page.items, next_link))
        }
    }
}
