//! Resource groups.

use galerie_arm::ProvisioningState;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row, json},
    statement::{query, query_of},
};

const FIND: &str = "SELECT * FROM resource_groups WHERE key = $1";
const INSERT: &str = "INSERT INTO resource_groups \
     (key, id, uid, subscription, name, location, document, provisioning_state, generation, etag, created_ms) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
const UPDATE: &str = "UPDATE resource_groups SET document = $3, provisioning_state = $4, \
     generation = generation + 1, etag = $5 WHERE key = $1 AND uid = $2";
const DELETE: &str = "DELETE FROM resource_groups WHERE key = $1 AND uid = $2";
const LIST_KEYS: [&str; 2] = [
    "SELECT * FROM resource_groups WHERE subscription = $1 AND key IN (SELECT value FROM json_each($2)) \
     ORDER BY key LIMIT $3",
    "SELECT * FROM resource_groups WHERE subscription = $1 \
     AND key = ANY(ARRAY(SELECT jsonb_array_elements_text($2::jsonb))) ORDER BY key LIMIT $3",
];
const LIST: &str = "SELECT * FROM resource_groups WHERE subscription = $1 AND key > $2 ORDER BY key LIMIT $3";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[FIND, INSERT, UPDATE, DELETE, LIST];

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ResourceGroupRow {
    /// The folded id.
    pub(crate) key: String,
    /// The id in the spelling of creation.
    pub(crate) id: String,
    /// This incarnation.
    pub(crate) uid: Uuid,
    pub(crate) subscription: Uuid,
    pub(crate) name: String,
    /// Normalised.
    pub(crate) location: String,
    /// The accepted body.
    pub(crate) document: Value,
    /// `Succeeded` or `Deleting`.
    pub(crate) state: ProvisioningState,
    pub(crate) generation: u64,
    pub(crate) etag: String,
    pub(crate) created_ms: i64,
}

impl Row for ResourceGroupRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            key: columns.text("key")?,
            id: columns.text("id")?,
            uid: columns.id("uid")?,
            subscription: columns.id("subscription")?,
            name: columns.text("name")?,
            location: columns.text("location")?,
            document: columns.json("document")?,
            state: columns.parsed("provisioning_state")?,
            generation: columns.unsigned("generation")?,
            etag: columns.text("etag")?,
            created_ms: columns.integer("created_ms")?,
        })
    }
}

/// A group by its key.
pub(crate) async fn find(tx: &mut Connection, key: &str) -> Result<Option<ResourceGroupRow>> {
    row::one(tx, query(FIND).bind(key)).await
}

/// Adds a group.
pub(crate) async fn insert(tx: &mut Connection, group: &ResourceGroupRow) -> Result<()> {
    let statement = query(INSERT)
        .bind(&group.key)
        .bind(&group.id)
        .bind(group.uid.to_string())
        .bind(group.subscription.to_string())
        .bind(&group.name)
        .bind(&group.location)
        .bind(json(&group.document))
        .bind(group.state.as_str())
        .bind(row::bigint(group.generation))
        .bind(&group.etag)
        .bind(group.created_ms);
    row::run(tx, statement).await?;
    Ok(())
}

/// Writes what may change of a group, and bumps its generation. Whether that incarnation was there.
pub(crate) async fn update(tx: &mut Connection, group: &ResourceGroupRow) -> Result<bool> {
    let statement = query(UPDATE)
        .bind(&group.key)
        .bind(group.uid.to_string())
        .bind(json(&group.document))
        .bind(group.state.as_str())
        .bind(&group.etag);
    Ok(row::run(tx, statement).await? == 1)
}

/// Removes a group; its resources must be gone. Whether that incarnation was there.
pub(crate) async fn delete(tx: &mut Connection, key: &str, uid: Uuid) -> Result<bool> {
    Ok(row::run(tx, query(DELETE).bind(key).bind(uid.to_string())).await? == 1)
}

/// A page of a subscription's groups, by key, after `after`.
pub(crate) async fn list(
    tx: &mut Connection,
    subscription: Uuid,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<ResourceGroupRow>> {
    let statement = query(LIST).bind(subscription.to_string()).bind(after.unwrap_or(""));
    row::all(tx, statement.bind(i64::from(limit))).await
}

/// A subscription's groups with these keys, by key.
pub(crate) async fn list_keys(
    tx: &mut Connection,
    subscription: Uuid,
    keys: &[&str],
    limit: u32,
) -> Result<Vec<ResourceGroupRow>> {
    let statement = query_of(LIST_KEYS).bind(subscription.to_string()).bind(json(&keys));
    row::all(tx, statement.bind(i64::from(limit))).await
}
