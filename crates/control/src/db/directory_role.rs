//! Who has which directory role, and who owns which object.

use uuid::Uuid;

use super::{
    Connection, Result,
    directory_object::DirectoryObjectRow,
    row::{self, Columns, Row},
    statement::query,
};

const ADD: &str = "INSERT INTO directory_role_members (tenant, role, member) VALUES ($1, $2, $3) \
                   ON CONFLICT (tenant, role, member) DO NOTHING";
const REMOVE: &str = "DELETE FROM directory_role_members WHERE tenant = $1 AND role = $2 AND member = $3";
const REMOVE_FROM_ALL: &str = "DELETE FROM directory_role_members WHERE member = $1";
const OF: &str = "SELECT role FROM directory_role_members WHERE member = $1 AND tenant = $2 ORDER BY role";
const LIST: &str =
    "SELECT role, member FROM directory_role_members WHERE tenant = $1 AND member > $2 ORDER BY member, role LIMIT $3";
const HAS_USER: &str = "SELECT COUNT(*) FROM directory_role_members r JOIN users u ON u.id = r.member \
                        WHERE r.tenant = $1 AND r.role = $2 AND u.enabled = 1";
const ADD_OWNER: &str =
    "INSERT INTO directory_owners (object, owner) VALUES ($1, $2) ON CONFLICT (object, owner) DO NOTHING";
const REMOVE_OWNER: &str = "DELETE FROM directory_owners WHERE object = $1 AND owner = $2";
const REMOVE_OWNERS: &str = "DELETE FROM directory_owners WHERE object = $1 OR owner = $1";
const IS_OWNER: &str = "SELECT COUNT(*) FROM directory_owners WHERE object = $1 AND owner = $2";
const LIST_OWNERS: &str = "SELECT o.* FROM directory_owners w JOIN directory_objects o ON o.id = w.owner \
                           WHERE w.object = $1 ORDER BY w.owner LIMIT $2";
const LIST_OWNED: &str = "SELECT o.* FROM directory_owners w JOIN directory_objects o ON o.id = w.object \
                          WHERE w.owner = $1 AND w.object > $2 ORDER BY w.object LIMIT $3";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[
    ADD,
    REMOVE,
    REMOVE_FROM_ALL,
    OF,
    LIST,
    HAS_USER,
    ADD_OWNER,
    REMOVE_OWNER,
    REMOVE_OWNERS,
    IS_OWNER,
    LIST_OWNERS,
    LIST_OWNED,
];

/// A row of the roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoleMemberRow {
    pub(crate) role: String,
    pub(crate) member: Uuid,
}

impl Row for RoleMemberRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self { role: columns.text("role")?, member: columns.id("member")? })
    }
}

/// Gives a role. Whether it was not given before.
pub(crate) async fn add(tx: &mut Connection, tenant: Uuid, role: &str, member: Uuid) -> Result<bool> {
    Ok(row::run(tx, query(ADD).bind(tenant.to_string()).bind(role).bind(member.to_string())).await? == 1)
}

/// Takes a role. Whether it was there.
pub(crate) async fn remove(tx: &mut Connection, tenant: Uuid, role: &str, member: Uuid) -> Result<bool> {
    Ok(row::run(tx, query(REMOVE).bind(tenant.to_string()).bind(role).bind(member.to_string())).await? == 1)
}

/// Takes all roles of an object.
pub(crate) async fn remove_from_all(tx: &mut Connection, member: Uuid) -> Result<()> {
    row::run(tx, query(REMOVE_FROM_ALL).bind(member.to_string())).await?;
    Ok(())
}

/// The roles of an object in a tenant.
pub(crate) async fn of(tx: &mut Connection, tenant: Uuid, member: Uuid) -> Result<Vec<String>> {
    row::all(tx, query(OF).bind(member.to_string()).bind(tenant.to_string())).await
}

/// Who has roles in a tenant, in the order of their ids.
pub(crate) async fn list(
    tx: &mut Connection,
    tenant: Uuid,
    after: Option<Uuid>,
    limit: u32,
) -> Result<Vec<RoleMemberRow>> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    row::all(tx, query(LIST).bind(tenant.to_string()).bind(after).bind(i64::from(limit))).await
}

/// Whether any user that may sign in has a role in a tenant.
pub(crate) async fn has_user(tx: &mut Connection, tenant: Uuid, role: &str) -> Result<bool> {
    let count: Option<i64> = row::one(tx, query(HAS_USER).bind(tenant.to_string()).bind(role)).await?;
    Ok(count.unwrap_or(0) > 0)
}

/// Makes an object an owner. Whether it was none.
pub(crate) async fn add_owner(tx: &mut Connection, object: Uuid, owner: Uuid) -> Result<bool> {
    Ok(row::run(tx, query(ADD_OWNER).bind(object.to_string()).bind(owner.to_string())).await? == 1)
}

/// Ends an ownership. Whether there was one.
pub(crate) async fn remove_owner(tx: &mut Connection, object: Uuid, owner: Uuid) -> Result<bool> {
    Ok(row::run(tx, query(REMOVE_OWNER).bind(object.to_string()).bind(owner.to_string())).await? == 1)
}

/// Ends what an object owns, and who owns it.
pub(crate) async fn remove_owners(tx: &mut Connection, object: Uuid) -> Result<()> {
    row::run(tx, query(REMOVE_OWNERS).bind(object.to_string())).await?;
    Ok(())
}

/// Whether an object is owned by another.
pub(crate) async fn is_owner(tx: &mut Connection, object: Uuid, owner: Uuid) -> Result<bool> {
    let count: Option<i64> = row::one(tx, query(IS_OWNER).bind(object.to_string()).bind(owner.to_string())).await?;
    Ok(count.unwrap_or(0) > 0)
}

/// The owners of an object.
pub(crate) async fn list_owners(tx: &mut Connection, object: Uuid, limit: u32) -> Result<Vec<DirectoryObjectRow>> {
    row::all(tx, query(LIST_OWNERS).bind(object.to_string()).bind(i64::from(limit))).await
}

/// What an object owns, after one, in the order of their ids.
pub(crate) async fn list_owned(
    tx: &mut Connection,
    owner: Uuid,
    after: Option<Uuid>,
    limit: u32,
) -> Result<Vec<DirectoryObjectRow>> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    row::all(tx, query(LIST_OWNED).bind(owner.to_string()).bind(after).bind(i64::from(limit))).await
}
