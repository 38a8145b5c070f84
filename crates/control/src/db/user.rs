//! Users, and how they may sign in.

use serde_json::Value;
use uuid::Uuid;

use super::{
    Connection, Result,
    directory_object::{self, DirectoryObjectRow, ObjectKind},
    row::{self, Columns, Row, json},
    statement::query,
};

const FIND: &str = "SELECT o.*, u.name, u.enabled, u.password_hash, u.must_change, u.sessions_valid_ms, u.issuer, u.subject, \
     u.document FROM users u JOIN directory_objects o ON o.id = u.id WHERE u.id = $1";
const FIND_BY_NAME: &str = "SELECT o.*, u.name, u.enabled, u.password_hash, u.must_change, u.sessions_valid_ms, u.issuer, \
     u.subject, u.document FROM users u JOIN directory_objects o ON o.id = u.id WHERE u.name_key = $1";
const INSERT: &str = "INSERT INTO users (id, name, name_key, enabled, password_hash, must_change, sessions_valid_ms, issuer, \
     subject, failures, failed_ms, document) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0, $10)";
const UPDATE: &str = "UPDATE users SET name = $2, name_key = $3, enabled = $4, password_hash = $5, must_change = $6, \
     sessions_valid_ms = $7, document = $8 WHERE id = $1";
const DELETE: &str = "DELETE FROM users WHERE id = $1";
const COUNT_OF_ISSUER: &str = "SELECT COUNT(*) FROM users WHERE issuer = $1";
const IS_ISSUER_ELSEWHERE: &str = "SELECT COUNT(*) FROM users u JOIN directory_objects o ON o.id = u.id \
     WHERE u.issuer = $1 AND o.tenant <> $2";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] =
    &[FIND, FIND_BY_NAME, INSERT, UPDATE, DELETE, COUNT_OF_ISSUER, IS_ISSUER_ELSEWHERE];

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct UserRow {
    pub(crate) object: DirectoryObjectRow,
    /// The user principal name, as written.
    pub(crate) name: String,
    pub(crate) enabled: bool,
    /// argon2id, in PHC's form.
    pub(crate) password_hash: Option<String>,
    pub(crate) must_change: bool,
    /// Tokens that were issued before are worth nothing.
    pub(crate) sessions_valid_ms: i64,
    /// An external issuer, and what it calls the user.
    pub(crate) external: Option<(String, String)>,
    /// What Graph shows beside these.
    pub(crate) document: Value,
}

impl Row for UserRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            object: DirectoryObjectRow::read(columns)?,
            name: columns.text("name")?,
            enabled: columns.flag("enabled")?,
            password_hash: columns.optional_text("password_hash")?,
            must_change: columns.flag("must_change")?,
            sessions_valid_ms: columns.integer("sessions_valid_ms")?,
            external: columns.optional_text("issuer")?.zip(columns.optional_text("subject")?),
            document: columns.json("document")?,
        })
    }
}

/// A user principal name as it is compared.
pub(crate) fn name_key(name: &str) -> String {
    name.to_lowercase()
}

/// A user by its object id.
pub(crate) async fn find(tx: &mut Connection, id: Uuid) -> Result<Option<UserRow>> {
    row::one(tx, query(FIND).bind(id.to_string())).await
}

/// A user by its name, in any spelling.
pub(crate) async fn find_by_name(tx: &mut Connection, name: &str) -> Result<Option<UserRow>> {
    row::one(tx, query(FIND_BY_NAME).bind(name_key(name))).await
}

/// How many users an external issuer's tokens made.
pub(crate) async fn count_of_issuer(tx: &mut Connection, issuer: &str) -> Result<u64> {
    let count: Option<i64> = row::one(tx, query(COUNT_OF_ISSUER).bind(issuer)).await?;
    Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
}

/// Whether an external issuer's users are in another tenant than this one.
pub(crate) async fn is_issuer_elsewhere(tx: &mut Connection, issuer: &str, tenant: Uuid) -> Result<bool> {
    let count: Option<i64> = row::one(tx, query(IS_ISSUER_ELSEWHERE).bind(issuer).bind(tenant.to_string())).await?;
    Ok(count.is_some_and(|count| count > 0))
}

/// Adds a user.
pub(crate) async fn insert(tx: &mut Connection, user: &UserRow) -> Result<()> {
    debug_assert_eq!(user.object.kind, ObjectKind::User);
    directory_object::insert(tx, &user.object).await?;
    let (issuer, subject) = user.external.clone().unzip();
    let statement = query(INSERT)
        .bind(user.object.id.to_string())
        .bind(&user.name)
        .bind(name_key(&user.name))
        .bind(i64::from(user.enabled))
        .bind(&user.password_hash)
        .bind(i64::from(user.must_change))
        .bind(user.sessions_valid_ms)
        .bind(issuer)
        .bind(subject)
        .bind(json(&user.document));
    row::run(tx, statement).await?;
    Ok(())
}

/// Writes what can change of a user.
pub(crate) async fn update(tx: &mut Connection, user: &UserRow) -> Result<()> {
    directory_object::rename(tx, user.object.id, &user.object.display_name).await?;
    let statement = query(UPDATE)
        .bind(user.object.id.to_string())
        .bind(&user.name)
        .bind(name_key(&user.name))
        .bind(i64::from(user.enabled))
        .bind(&user.password_hash)
        .bind(i64::from(user.must_change))
        .bind(user.sessions_valid_ms)
        .bind(json(&user.document));
    row::run(tx, statement).await?;
    Ok(())
}

/// Removes a user's row.
pub(crate) async fn delete(tx: &mut Connection, id: Uuid) -> Result<()> {
    row::run(tx, query(DELETE).bind(id.to_string())).await?;
    Ok(())
}
