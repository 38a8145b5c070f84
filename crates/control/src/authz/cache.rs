//! What callers were granted, compiled once and kept while it holds.
//!
//! Whoever asks reads the tenant's revision in its own transaction and compares: what differs is compiled again from that
//! transaction's rows. Nothing expires and nobody is told of changes, so nothing is missed: a change counts from the next
//! transaction of any process on. Dropping an entry costs a few queries.

use std::sync::Arc;

use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};
use uuid::Uuid;

use super::{built_in_roles, evaluator::Grants, evaluator::Role};
use crate::db::{
    self, Connection, access_revision,
    access_revision::Revision,
    group,
    role_assignment::{self, RoleAssignmentRow},
    role_definition,
};

/// Grants that are kept, of all callers.
const MOST_GRANTS: u64 = 200_000;
/// What a caller takes without any, in grants.
const CALLER_GRANTS: u64 = 4;
const TYPICAL_CALLERS: usize = 1024;

/// A principal of a tenant.
type Principal = (Uuid, Uuid);

/// The callers' grants.
pub(crate) struct AccessCache {
    callers: Cache<Principal, Known, KnownWeight>,
}

#[derive(Debug, Clone)]
struct Known {
    revision: Option<Revision>,
    /// What the caller's token said.
    groups: Arc<[Uuid]>,
    grants: Arc<Grants>,
}

#[derive(Debug, Clone)]
struct KnownWeight;

impl Weighter<Principal, Known> for KnownWeight {
    fn weight(&self, _: &Principal, known: &Known) -> u64 {
        CALLER_GRANTS + (known.groups.len() + known.grants.count()) as u64
    }
}

impl std::fmt::Debug for AccessCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessCache").field("callers", &self.callers.len()).finish_non_exhaustive()
    }
}

impl Default for AccessCache {
    fn default() -> Self {
        let options = OptionsBuilder::new()
            .estimated_items_capacity(TYPICAL_CALLERS)
            .weight_capacity(MOST_GRANTS)
            .build()
            .expect("both capacities are set");
        let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        Self { callers: Cache::with_options(options, KnownWeight, hasher, lifecycle) }
    }
}

/// What was granted to a principal of a tenant, as this transaction sees it. `groups`: those that it is in beside what the
/// directory knows.
pub(crate) async fn grants(
    tx: &mut Connection,
    tenant: Uuid,
    principal: Uuid,
    groups: &[Uuid],
) -> db::Result<Arc<Grants>> {
    let revision = access_revision::find(tx, tenant).await?;
    let cache = Arc::clone(tx.access());
    if let Some(known) = cache.callers.get(&(tenant, principal))
        && known.revision == revision
        && *known.groups == *groups
    {
        return Ok(known.grants);
    }
    let grants = Arc::new(compile(tx, tenant, principal, groups).await?);
    let known = Known { revision, groups: groups.into(), grants: Arc::clone(&grants) };
    cache.callers.insert((tenant, principal), known);
    Ok(grants)
}

async fn compile(tx: &mut Connection, tenant: Uuid, principal: Uuid, groups: &[Uuid]) -> db::Result<Grants> {
    let mut grants = Grants::default();
    let mut roles: Vec<Arc<Role>> = Vec::new();
    let mut holders = vec![principal];
    for member in std::iter::once(&principal).chain(groups) {
        holders.extend(group::memberships(tx, *member).await?);
    }
    holders.extend(groups);
    holders.sort_unstable();
    holders.dedup();
    for holder in holders {
        for RoleAssignmentRow { scope_key, role, .. } in role_assignment::list_for_principal(tx, tenant, holder).await?
        {
            let role = match roles.iter().find(|known| known.id == role) {
                Some(known) => Arc::clone(known),
                None => {
                    let Some(found) = find_role(tx, tenant, role).await? else { continue };
                    roles.push(Arc::clone(&found));
                    found
                }
            };
            grants.add(&scope_key, &role);
        }
    }
    Ok(grants)
}

/// A role by its id: a built-in one, or one of the tenant's.
async fn find_role(tx: &mut Connection, tenant: Uuid, id: Uuid) -> db::Result<Option<Arc<Role>>> {
    if let Some(built_in) = built_in_roles::find(id) {
        return Ok(Some(Arc::clone(&built_in.role)));
    }
    let custom = role_definition::find(tx, tenant, id).await?;
    Ok(custom.map(|row| Arc::new(Role { id: row.id, permissions: row.permissions })))
}
