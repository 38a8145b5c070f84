//! Revisions of what decides who may do what, one for each tenant.
//!
//! Read in the transaction that asks, a revision says whether what was compiled earlier still holds. So a change counts from
//! the next transaction of any process on.

use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row},
    statement::query,
};

const FIND: &str = "SELECT revision FROM access_revisions WHERE tenant = $1";
const PUT: &str = "INSERT INTO access_revisions (tenant, revision) VALUES ($1, $2) \
                   ON CONFLICT (tenant) DO UPDATE SET revision = excluded.revision";

const PUT_OF_OBJECT: &str = "INSERT INTO access_revisions (tenant, revision) \
     SELECT tenant, $2 FROM directory_objects WHERE id = $1 \
     ON CONFLICT (tenant) DO UPDATE SET revision = excluded.revision";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[FIND, PUT, PUT_OF_OBJECT];

/// A revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Revision(Uuid);

impl Row for Revision {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self(columns.id("revision")?))
    }
}

/// The tenant's revision; `None` before its first change.
pub(crate) async fn find(tx: &mut Connection, tenant: Uuid) -> Result<Option<Revision>> {
    row::one(tx, query(FIND).bind(tenant.to_string())).await
}

/// Makes everything that was compiled of the tenant's access stale. **Before** the change itself, in its transaction: what
/// is compiled in between must not be taken for what was there.
pub(crate) async fn advance(tx: &mut Connection, tenant: Uuid) -> Result<()> {
    row::run(tx, query(PUT).bind(tenant.to_string()).bind(Uuid::new_v4().to_string())).await?;
    Ok(())
}

/// The same of the tenant of a directory's object, whose memberships change.
pub(crate) async fn advance_for(tx: &mut Connection, object: Uuid) -> Result<()> {
    row::run(tx, query(PUT_OF_OBJECT).bind(object.to_string()).bind(Uuid::new_v4().to_string())).await?;
    Ok(())
}
