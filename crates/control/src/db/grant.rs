//! Access to a disk's or snapshot's bytes. A SAS names the row and dies with it.

use std::str::FromStr;

use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row},
    statement::query,
};

const FIND: &str = "SELECT * FROM grants WHERE id = $1";
const FIND_FOR_RESOURCE: &str = "SELECT * FROM grants WHERE resource = $1";
const INSERT: &str = "INSERT INTO grants (id, resource, resource_uid, permission, file_format, initiator, created_ms, expires_ms) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const DELETE: &str = "DELETE FROM grants WHERE id = $1";
const LIST_EXPIRED: &str = "SELECT * FROM grants WHERE expires_ms <= $1 ORDER BY expires_ms LIMIT $2";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[FIND, FIND_FOR_RESOURCE, INSERT, DELETE, LIST_EXPIRED];

/// What a grant lets its holder do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Download.
    Read,
    /// Upload, and read back.
    Write,
}

impl Permission {
    /// As ARM and the table spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "Read",
            Self::Write => "Write",
        }
    }
}

impl FromStr for Permission {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Read, Self::Write].into_iter().find(|permission| permission.as_str() == text).ok_or(())
    }
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GrantRow {
    pub(crate) id: Uuid,
    /// The disk's or snapshot's key.
    pub(crate) resource: String,
    /// Its incarnation.
    pub(crate) resource_uid: Uuid,
    pub(crate) permission: Permission,
    /// `VHD`.
    pub(crate) file_format: String,
    /// The object id of who asked; nobody else is given the SAS.
    pub(crate) initiator: Uuid,
    pub(crate) created_ms: i64,
    pub(crate) expires_ms: i64,
}

impl Row for GrantRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            id: columns.id("id")?,
            resource: columns.text("resource")?,
            resource_uid: columns.id("resource_uid")?,
            permission: columns.parsed("permission")?,
            file_format: columns.text("file_format")?,
            initiator: columns.id("initiator")?,
            created_ms: columns.integer("created_ms")?,
            expires_ms: columns.integer("expires_ms")?,
        })
    }
}

/// A grant.
pub(crate) async fn find(tx: &mut Connection, id: Uuid) -> Result<Option<GrantRow>> {
    row::one(tx, query(FIND).bind(id.to_string())).await
}

/// The grant on a resource; there is at most one.
pub(crate) async fn find_for_resource(tx: &mut Connection, resource: &str) -> Result<Option<GrantRow>> {
    row::one(tx, query(FIND_FOR_RESOURCE).bind(resource)).await
}

/// Adds a grant.
pub(crate) async fn insert(tx: &mut Connection, grant: &GrantRow) -> Result<()> {
    let statement = query(INSERT)
        .bind(grant.id.to_string())
        .bind(&grant.resource)
        .bind(grant.resource_uid.to_string())
        .bind(grant.permission.as_str())
        .bind(&grant.file_format)
        .bind(grant.initiator.to_string())
        .bind(grant.created_ms)
        .bind(grant.expires_ms);
    row::run(tx, statement).await?;
    Ok(())
}

/// Ends a grant. Whether it was there.
pub(crate) async fn delete(tx: &mut Connection, id: Uuid) -> Result<bool> {
    Ok(row::run(tx, query(DELETE).bind(id.to_string())).await? == 1)
}

/// Grants that have expired, the longest expired first.
pub(crate) async fn list_expired(tx: &mut Connection, now_ms: i64, limit: u32) -> Result<Vec<GrantRow>> {
    row::all(tx, query(LIST_EXPIRED).bind(now_ms).bind(i64::from(limit))).await
}
