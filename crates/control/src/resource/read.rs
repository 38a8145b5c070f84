//! Reading resources: one, and pages of many. Authorization is asked in the transaction that reads.

use galerie_arm::{ArmError, ResourceId, ResourceType, SubscriptionId, paging::SkipToken, schema::Shape};

use super::{Expand, Verb, action, place, render, tracked_type};
use crate::{
    authz,
    control::Control,
    db::{self, Connection, resource::ListedRow},
    request::{ListScope, Page, RequestContext, Resource},
};

/// Resources on a page of a list.
const PAGE_ITEMS: u32 = 100;
/// What a list of all types needs.
const LIST_ALL: &str = "Microsoft.Resources/subscriptions/resources/read";

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
        let mut tx = self.db().read().await?;
        let (listed, wanted) = authorize_list(&mut tx, context, scope).await?;
        let mut rows = rows_of(&mut tx, scope, after.as_deref()).await?;
        let has_more = rows.len() > PAGE_ITEMS as usize;
        rows.truncate(PAGE_ITEMS as usize);
        let last_key = rows.last().map(|row| row.key.clone());
        let shape = wanted.map(|resource_type| Shape::of(resource_type, context.api_version));
        let items = rows.iter().map(|row| match shape {
            Some(shape) => render::listed(row, shape),
            None => render::generic(row),
        });
        let items = items.collect::<db::Result<Vec<_>>>()?;
        tracing::trace!(scope = %listed, items = items.len(), "listed");
        let continuation = last_key.filter(|_| has_more).map(|last_key| SkipToken { last_key }.encode());
        Ok(Page { items, continuation })
    }
}

/// Asks for the right to list, and whether what is listed in is there. Answers the scope, for the log, and the type.
async fn authorize_list(
    tx: &mut Connection,
    context: &RequestContext,
    scope: &ListScope,
) -> Result<(String, Option<ResourceType>), ArmError> {
    match scope {
        ListScope::Children { parent, resource_type } => {
            authz::authorize(tx, &context.caller, action(*resource_type, Verb::Read), parent).await?;
            place::find(tx, parent).await?;
            if db::resource::find(tx, parent.key()).await?.is_none() {
                let names: Vec<&str> = parent.chain().map(|(_, name)| name).collect();
                return Err(ArmError::parent_resource_not_found(&names.join("/")));
            }
            Ok((parent.to_string(), Some(*resource_type)))
        }
        ListScope::Group { group, resource_type } => {
            authz::authorize(tx, &context.caller, list_action(*resource_type), group).await?;
            if db::resource_group::find(tx, group.key()).await?.is_none() {
                return Err(group.not_found());
            }
            Ok((group.to_string(), *resource_type))
        }
        ListScope::Subscription { subscription, resource_type } => {
            let id = ResourceId::of_subscription(SubscriptionId::new(*subscription));
            authz::authorize(tx, &context.caller, list_action(*resource_type), &id).await?;
            Ok((id.to_string(), *resource_type))
        }
    }
}

fn list_action(resource_type: Option<ResourceType>) -> &'static str {
    resource_type.map_or(LIST_ALL, |resource_type| action(resource_type, Verb::Read))
}

/// One more than a page, to know whether another follows.
async fn rows_of(tx: &mut Connection, scope: &ListScope, after: Option<&str>) -> Result<Vec<ListedRow>, ArmError> {
    let limit = PAGE_ITEMS + 1;
    Ok(match scope {
        ListScope::Children { parent, resource_type } => {
            db::resource::list_children(tx, parent.key(), *resource_type, after, limit).await?
        }
        ListScope::Group { group, resource_type } => {
            db::resource::list_in_group(tx, group.key(), *resource_type, after, limit).await?
        }
        ListScope::Subscription { subscription, resource_type } => {
            db::resource::list_in_subscription(tx, *subscription, *resource_type, after, limit).await?
        }
    })
}
