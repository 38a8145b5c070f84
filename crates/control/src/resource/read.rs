//! Reading resources: one, and pages of many. Authorization is asked in the transaction that reads.
//!
//! A list in a subscription or a group shows what its reader may read of it, and is never refused; a list below a resource
//! needs the right over that resource.

use galerie_arm::{ArmError, ResourceId, ResourceType, SubscriptionId, paging::SkipToken, schema::Shape};

use super::{
    Expand, TRACKED, Verb, action,
    page::{self, PAGE_ITEMS, Part},
    place, render, tracked_type,
};
use crate::{
    authz::{self, Visible, VisiblePart},
    control::Control,
    db::{
        self, Connection,
        resource::{ListedRow, Show},
    },
    request::{DocumentText, ListScope, Page, RequestContext, Resource},
};

impl Control {
    /// One resource.
    ///
    /// # Errors
    /// `AuthorizationFailed` whether or not it exists; then which of group, parent and resource is not there.
    pub async fn get(&self, context: &RequestContext, id: &ResourceId, expand: &Expand) -> Result<Resource, ArmError> {
        let resource_type = tracked_type(id, context.api_version)?;
        let mut tx = self.db().read().await?;
        authz::authorize(&mut tx, &context.caller, action(resource_type, Verb::Read), id).await?;
        let Some(row) = db::resource::find(&mut tx, id.key()).await? else {
            place::find(&mut tx, id).await?;
            return Err(id.not_found());
        };
        render::resource(&mut tx, self.locations(), row, context.api_version, *expand).await
    }

    /// A page of a list, in key order; `continuation` is the last page's.
    ///
    /// # Errors
    /// `AuthorizationFailed`, a parent or group that is not there, a continuation that we did not make.
    pub async fn list(
        &self,
        context: &RequestContext,
        scope: &ListScope,
        continuation: Option<&str>,
    ) -> Result<Page, ArmError> {
        let after = continuation.map(SkipToken::decode).transpose()?.map(|token| token.last_key);
        let after = after.as_deref();
        let view = View(scope.listed_type().map(|resource_type| Shape::of(resource_type, context.api_version)));
        let mut tx = self.db().read().await?;
        let (mut items, ends_at) = match scope {
            ListScope::Children { parent, resource_type } => {
                (children(&mut tx, context, parent, *resource_type, after, view).await?, None)
            }
            ListScope::Group { group, resource_type } => {
                visible_in(&mut tx, context, group, *resource_type, after, view).await?
            }
            ListScope::Subscription { subscription, resource_type } => {
                let subscription = ResourceId::of_subscription(SubscriptionId::new(*subscription));
                visible_in(&mut tx, context, &subscription, *resource_type, after, view).await?
            }
        };
        let last_key = page::cut(&mut items, |item| &item.key, ends_at.as_deref());
        let items = items.into_iter().map(|item| item.document).collect::<db::Result<Vec<_>>>()?;
        tracing::trace!(?scope, items = items.len(), "listed");
        Ok(Page { items, continuation: last_key.map(|last_key| SkipToken { last_key }.encode()) })
    }
}

/// A resource in a list.
struct Item {
    key: String,
    /// What cannot be shown fails the page that it is on, and no other.
    document: db::Result<DocumentText>,
}

/// As what resources are shown: of one type as its api-version has them, of all types without their properties.
#[derive(Clone, Copy)]
struct View(Option<Shape>);

impl View {
    fn item(self, row: &ListedRow<'_>) -> Item {
        let document = match self.0 {
            Some(shape) => render::listed(row, shape),
            None => render::generic(row),
        };
        Item { key: row.key.to_owned(), document }
    }

    fn show(self) -> impl Show<Item> {
        move |row: &ListedRow<'_>| self.item(row)
    }
}

/// Children of a resource: a page and one more, to know whether another follows.
async fn children(
    tx: &mut Connection,
    context: &RequestContext,
    parent: &ResourceId,
    resource_type: ResourceType,
    after: Option<&str>,
    view: View,
) -> Result<Vec<Item>, ArmError> {
    authz::authorize(tx, &context.caller, action(resource_type, Verb::Read), parent).await?;
    let rows = db::resource::list_children(tx, parent.key(), resource_type, after, PAGE_ITEMS + 1, view.show()).await?;
    // What has children is there, and so is everything above it.
    if rows.is_empty() {
        require_parent(tx, parent).await?;
    }
    Ok(rows)
}

/// # Errors
/// Which of the group, the resources above and the parent is not there.
pub(crate) async fn require_parent(tx: &mut Connection, parent: &ResourceId) -> Result<(), ArmError> {
    place::find(tx, parent).await?;
    if db::resource::find(tx, parent.key()).await?.is_none() {
        let names: Vec<&str> = parent.chain().map(|(_, name)| name).collect();
        return Err(ArmError::parent_resource_not_found(&names.join("/")));
    }
    Ok(())
}

/// What the caller sees of a subscription or a group, of one type or of all: a page and one more, and the key up to which
/// everything was read, when it was not everything.
async fn visible_in(
    tx: &mut Connection,
    context: &RequestContext,
    within: &ResourceId,
    resource_type: Option<ResourceType>,
    after: Option<&str>,
    view: View,
) -> Result<(Vec<Item>, Option<String>), ArmError> {
    let types = resource_type.map_or(TRACKED.to_vec(), |only| vec![only]);
    let mut visible = Vec::with_capacity(types.len());
    for listed in types {
        let read = action(listed, Verb::Read);
        visible.push((listed, authz::visible_resources(tx, &context.caller, read, within, listed, after).await?));
    }
    let is_all = |(_, visible): &(ResourceType, Visible)| *visible == Visible::All;
    // Whether there is such a group is told only to who may see all of something in it.
    if within.group().is_some()
        && visible.iter().any(is_all)
        && db::resource_group::find(tx, within.key()).await?.is_none()
    {
        return Err(within.not_found());
    }
    if visible.iter().all(is_all) {
        return Ok((all_in(tx, within, resource_type, after, view).await?, None));
    }
    let (mut rows, mut ends_at) = (Vec::new(), None::<String>);
    for (listed, visible) in &visible {
        let (more, ends_here) = typed(tx, within, *listed, visible, after, view).await?;
        rows.extend(more);
        ends_at = match (ends_at, ends_here) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
    rows.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    Ok((rows, ends_at))
}

/// Everything in a subscription or a group.
async fn all_in(
    tx: &mut Connection,
    within: &ResourceId,
    resource_type: Option<ResourceType>,
    after: Option<&str>,
    view: View,
) -> Result<Vec<Item>, ArmError> {
    let limit = PAGE_ITEMS + 1;
    Ok(match (within.group(), within.subscription()) {
        (None, Some(subscription)) => {
            db::resource::list_in_subscription(tx, subscription.as_uuid(), resource_type, after, limit, view.show())
                .await?
        }
        _ => db::resource::list_in_group(tx, within.key(), resource_type, after, limit, view.show()).await?,
    })
}

/// What is visible of one type.
async fn typed(
    tx: &mut Connection,
    within: &ResourceId,
    resource_type: ResourceType,
    visible: &Visible,
    after: Option<&str>,
    view: View,
) -> Result<(Vec<Item>, Option<String>), ArmError> {
    let VisiblePart { ranges, ends_at } = match visible {
        Visible::All => return Ok((all_in(tx, within, Some(resource_type), after, view).await?, None)),
        Visible::Part(part) => part,
    };
    let Some(subscription) = within.subscription() else { return Ok((Vec::new(), None)) };
    let subscription = subscription.as_uuid();
    let mut rows = Vec::new();
    for part in page::parts(ranges) {
        let left = (PAGE_ITEMS + 1).saturating_sub(u32::try_from(rows.len()).unwrap_or(u32::MAX));
        if left == 0 {
            break;
        }
        rows.extend(match part {
            Part::Keys(keys) => {
                db::resource::list_keys(tx, subscription, resource_type, &keys, left, view.show()).await?
            }
            Part::Range(range) => {
                db::resource::list_in_range(tx, subscription, resource_type, range, after, left, view.show()).await?
            }
        });
    }
    Ok((rows, ends_at.clone()))
}
