//! What callers were granted, compiled once and kept while it holds.
//!
//! Whoever asks reads the tenant's revision in its own transaction and compares. What differs is brought up to date from
//! that transaction's rows: the scopes at which the caller's own assignments changed since, or everything when it is not known
//! what changed, or when that is more than assignments. Nothing expires and nobody is told of changes, so nothing is missed: a
//! change counts from the next transaction of any process on. Dropping an entry costs two queries.

use std::{collections::BTreeSet, sync::Arc};

use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};
use uuid::Uuid;

use super::{
    built_in_roles,
    evaluator::{Grants, Role},
};
use crate::db::{
    self, Connection,
    access_revision::{self, AccessChange, Revision},
    group, role_assignment, role_definition,
};

/// Grants that are kept, of all callers.
const MOST_GRANTS: u64 = 200_000;
/// About what a grant takes.
const GRANT_BYTES: usize = 256;
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
    access: Compiled,
}

/// What the rows say of a caller.
#[derive(Debug, Clone)]
struct Compiled {
    /// Whose assignments count: the caller's own and those of the groups that it is in. Sorted.
    holders: Arc<[Uuid]>,
    /// Those that any of the holders has.
    roles: Arc<[Arc<Role>]>,
    grants: Arc<Grants>,
}

#[derive(Debug, Clone)]
struct KnownWeight;

impl Weighter<Principal, Known> for KnownWeight {
    fn weight(&self, _: &Principal, known: &Known) -> u64 {
        let Compiled { holders, grants, roles } = &known.access;
        // A custom role is looked up for each caller anew; whoever writes a long one does not fill the memory with it.
        let patterns: usize = roles.iter().map(|role| role.pattern_bytes()).sum();
        CALLER_GRANTS + (known.groups.len() + holders.len() + grants.count() + patterns / GRANT_BYTES) as u64
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
    let remembered = Arc::clone(tx.remembered());
    let cache = &remembered.access;
    let known = cache.callers.get(&(tenant, principal)).filter(|known| *known.groups == *groups);
    let brought_up = match known {
        Some(known) if known.revision == revision => return Ok(known.access.grants),
        Some(known) => bring_up(tx, tenant, known, revision).await?,
        None => None,
    };
    let access = match brought_up {
        Some(access) => access,
        None => compile(tx, tenant, principal, groups).await?,
    };
    let grants = Arc::clone(&access.grants);
    cache.callers.insert((tenant, principal), Known { revision, groups: groups.into(), access });
    Ok(grants)
}

/// Compiles again what changed of a caller's access since it was compiled; `None` when that is everything.
async fn bring_up(
    tx: &mut Connection,
    tenant: Uuid,
    known: Known,
    revision: Option<Revision>,
) -> db::Result<Option<Compiled>> {
    let (Some(earlier), Some(now)) = (known.revision, revision) else { return Ok(None) };
    let Some(changes) = access_revision::changes_since(tx, tenant, earlier, now).await? else { return Ok(None) };
    let mut access = known.access;
    let Some(scopes) = access.changed(changes) else { return Ok(None) };
    if scopes.is_empty() {
        return Ok(Some(access));
    }
    let mut roles = access.roles.to_vec();
    let grants = Arc::make_mut(&mut access.grants);
    for scope_key in scopes {
        let mut held = Vec::new();
        for holding in role_assignment::granted_at(tx, tenant, &scope_key).await? {
            if access.holders.binary_search(&holding.principal).is_ok() {
                held.extend(find_role(tx, tenant, holding.role, &mut roles).await?);
            }
        }
        grants.set(&scope_key, &held);
    }
    access.roles = roles.into();
    Ok(Some(access))
}

impl Compiled {
    /// The scopes at which changes are changes of what the caller has; `None` when they are more than assignments.
    fn changed(&self, changes: Vec<AccessChange>) -> Option<BTreeSet<String>> {
        let mut scopes = BTreeSet::new();
        for change in changes {
            match change {
                AccessChange::Assignment { principal, scope_key } => {
                    if self.holders.binary_search(&principal).is_ok() {
                        scopes.insert(scope_key);
                    }
                }
                AccessChange::Object(object) => {
                    let is_held = self.roles.iter().any(|role| role.id == object);
                    if is_held || self.holders.binary_search(&object).is_ok() {
                        return None;
                    }
                }
            }
        }
        Some(scopes)
    }
}

async fn compile(tx: &mut Connection, tenant: Uuid, principal: Uuid, groups: &[Uuid]) -> db::Result<Compiled> {
    let mut holders = [&[principal][..], groups].concat();
    holders.extend(group::memberships_of_any(tx, &holders).await?);
    holders.sort_unstable();
    holders.dedup();
    let mut roles: Vec<Arc<Role>> = Vec::new();
    let mut granted = Vec::new();
    for (scope_key, role) in role_assignment::granted(tx, tenant, &holders).await? {
        if let Some(role) = find_role(tx, tenant, role, &mut roles).await? {
            granted.push((scope_key, role));
        }
    }
    Ok(Compiled { holders: holders.into(), roles: roles.into(), grants: Arc::new(Grants::new(granted)) })
}

/// What a look-up would be that remembers nothing.
#[cfg(test)]
pub(super) async fn compiled_anew(tx: &mut Connection, tenant: Uuid, principal: Uuid) -> db::Result<Arc<Grants>> {
    Ok(compile(tx, tenant, principal, &[]).await?.grants)
}

/// A role by its id: one of those that were looked up before, a built-in one, or one of the tenant's.
async fn find_role(
    tx: &mut Connection,
    tenant: Uuid,
    id: Uuid,
    known: &mut Vec<Arc<Role>>,
) -> db::Result<Option<Arc<Role>>> {
    if let Some(role) = known.iter().find(|role| role.id == id) {
        return Ok(Some(Arc::clone(role)));
    }
    let found = match built_in_roles::find(id) {
        Some(built_in) => Some(Arc::clone(&built_in.role)),
        None => {
            let custom = role_definition::find(tx, tenant, id).await?;
            custom.map(|row| Arc::new(Role { id: row.id, permissions: row.permissions }))
        }
    };
    known.extend(found.clone());
    Ok(found)
}
