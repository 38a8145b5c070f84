//! Where users are signed in. A session's refresh token names its generation; the row holds the newest.

use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row, bigint},
    statement::query,
};

const FIND: &str = "SELECT * FROM sessions WHERE id = $1";
const INSERT: &str = "INSERT INTO sessions (id, tenant, user_id, app_id, generation, rotated_ms, created_ms, expires_ms) \
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const ROTATE: &str = "UPDATE sessions SET generation = $2, rotated_ms = $3 WHERE id = $1";
const DELETE: &str = "DELETE FROM sessions WHERE id = $1";
/// All but the newest.
const DELETE_OLDEST: &str = "DELETE FROM sessions WHERE user_id = $1 AND id NOT IN \
     (SELECT id FROM sessions WHERE user_id = $1 ORDER BY created_ms DESC, id LIMIT $2)";
const DELETE_EXPIRED: &str = "DELETE FROM sessions WHERE expires_ms <= $1";
const DELETE_OF_USER: &str = "DELETE FROM sessions WHERE user_id = $1";
const DELETE_CODES_OF_USER: &str = "DELETE FROM authorization_codes WHERE user_id = $1";
const DELETE_DEVICES_OF_USER: &str = "DELETE FROM device_codes WHERE user_id = $1";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[
    FIND,
    INSERT,
    ROTATE,
    DELETE,
    DELETE_OLDEST,
    DELETE_EXPIRED,
    DELETE_OF_USER,
    DELETE_CODES_OF_USER,
    DELETE_DEVICES_OF_USER,
];

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionRow {
    pub(crate) id: Uuid,
    pub(crate) tenant: Uuid,
    pub(crate) user: Uuid,
    /// The application that the user signed in through.
    pub(crate) app_id: Uuid,
    /// Of the newest refresh token.
    pub(crate) generation: u64,
    /// When it became that.
    pub(crate) rotated_ms: i64,
    pub(crate) created_ms: i64,
    pub(crate) expires_ms: i64,
}

impl Row for SessionRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            id: columns.id("id")?,
            tenant: columns.id("tenant")?,
            user: columns.id("user_id")?,
            app_id: columns.id("app_id")?,
            generation: columns.unsigned("generation")?,
            rotated_ms: columns.integer("rotated_ms")?,
            created_ms: columns.integer("created_ms")?,
            expires_ms: columns.integer("expires_ms")?,
        })
    }
}

/// A session.
pub(crate) async fn find(tx: &mut Connection, id: Uuid) -> Result<Option<SessionRow>> {
    row::one(tx, query(FIND).bind(id.to_string())).await
}

/// Begins a session; of the user's others the `keep` newest stay.
pub(crate) async fn insert(tx: &mut Connection, session: &SessionRow, keep: u32) -> Result<()> {
    row::run(tx, query(DELETE_OLDEST).bind(session.user.to_string()).bind(i64::from(keep))).await?;
    let statement = query(INSERT)
        .bind(session.id.to_string())
        .bind(session.tenant.to_string())
        .bind(session.user.to_string())
        .bind(session.app_id.to_string())
        .bind(bigint(session.generation))
        .bind(session.rotated_ms)
        .bind(session.created_ms)
        .bind(session.expires_ms);
    row::run(tx, statement).await?;
    Ok(())
}

/// Makes a generation the newest.
pub(crate) async fn rotate(tx: &mut Connection, id: Uuid, generation: u64, now_ms: i64) -> Result<()> {
    row::run(tx, query(ROTATE).bind(id.to_string()).bind(bigint(generation)).bind(now_ms)).await?;
    Ok(())
}

/// Ends a session. Whether it was there.
pub(crate) async fn delete(tx: &mut Connection, id: Uuid) -> Result<bool> {
    Ok(row::run(tx, query(DELETE).bind(id.to_string())).await? == 1)
}

/// Ends the sessions whose time is over.
pub(crate) async fn delete_expired(tx: &mut Connection, now_ms: i64) -> Result<u64> {
    row::run(tx, query(DELETE_EXPIRED).bind(now_ms)).await
}

/// Ends a user's sessions, and what would begin one.
pub(crate) async fn delete_of_user(tx: &mut Connection, user: Uuid) -> Result<()> {
    for statement in [DELETE_CODES_OF_USER, DELETE_DEVICES_OF_USER, DELETE_OF_USER] {
        row::run(tx, query(statement).bind(user.to_string())).await?;
    }
    Ok(())
}
