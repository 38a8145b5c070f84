//! Devices that wait for a user.

use std::str::FromStr;

use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row},
    statement::query,
};

const FIND: &str = "SELECT * FROM device_codes WHERE hash = $1";
const FIND_BY_USER_CODE: &str = "SELECT * FROM device_codes WHERE user_hash = $1";
const INSERT: &str = "INSERT INTO device_codes (hash, user_hash, tenant, app_id, scope, address, state, user_id, created_ms, \
     polled_ms, expires_ms) VALUES ($1, $2, $3, $4, $5, $6, 'Pending', NULL, $7, 0, $8)";
const DECIDE: &str = "UPDATE device_codes SET state = $2, user_id = $3 WHERE user_hash = $1 AND state = 'Pending'";
const POLLED: &str = "UPDATE device_codes SET polled_ms = $2 WHERE hash = $1";
const DELETE: &str = "DELETE FROM device_codes WHERE hash = $1";
const DELETE_EXPIRED: &str = "DELETE FROM device_codes WHERE expires_ms <= $1";
const COUNT: &str = "SELECT COUNT(*) FROM device_codes";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] =
    &[FIND, FIND_BY_USER_CODE, INSERT, DECIDE, POLLED, DELETE, DELETE_EXPIRED, COUNT];

/// What became of a device's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeviceState {
    /// Nobody has decided.
    Pending,
    /// A user lets it in.
    Approved,
    /// A user does not.
    Denied,
}

impl DeviceState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Approved => "Approved",
            Self::Denied => "Denied",
        }
    }
}

impl FromStr for DeviceState {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Pending, Self::Approved, Self::Denied].into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeviceCodeRow {
    /// Keyed, of the device code.
    pub(crate) hash: String,
    /// Keyed, of the user code.
    pub(crate) user_hash: String,
    /// Whose users may approve it; `None`: any.
    pub(crate) tenant: Option<Uuid>,
    pub(crate) app_id: Uuid,
    pub(crate) scope: String,
    /// Who asked.
    pub(crate) address: String,
    pub(crate) state: DeviceState,
    pub(crate) user: Option<Uuid>,
    pub(crate) created_ms: i64,
    /// When the device asked last.
    pub(crate) polled_ms: i64,
    pub(crate) expires_ms: i64,
}

impl Row for DeviceCodeRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            hash: columns.text("hash")?,
            user_hash: columns.text("user_hash")?,
            tenant: columns.optional_parsed("tenant")?,
            app_id: columns.id("app_id")?,
            scope: columns.text("scope")?,
            address: columns.text("address")?,
            state: columns.parsed("state")?,
            user: columns.optional_parsed("user_id")?,
            created_ms: columns.integer("created_ms")?,
            polled_ms: columns.integer("polled_ms")?,
            expires_ms: columns.integer("expires_ms")?,
        })
    }
}

/// A request by its device code.
pub(crate) async fn find(tx: &mut Connection, hash: &str) -> Result<Option<DeviceCodeRow>> {
    row::one(tx, query(FIND).bind(hash)).await
}

/// A request by its user code.
pub(crate) async fn find_by_user_code(tx: &mut Connection, user_hash: &str) -> Result<Option<DeviceCodeRow>> {
    row::one(tx, query(FIND_BY_USER_CODE).bind(user_hash)).await
}

/// Adds a request that is pending.
pub(crate) async fn insert(tx: &mut Connection, device: &DeviceCodeRow) -> Result<()> {
    let statement = query(INSERT)
        .bind(&device.hash)
        .bind(&device.user_hash)
        .bind(device.tenant.map(|tenant| tenant.to_string()))
        .bind(device.app_id.to_string())
        .bind(&device.scope)
        .bind(&device.address)
        .bind(device.created_ms)
        .bind(device.expires_ms);
    row::run(tx, statement).await?;
    Ok(())
}

/// Decides a pending request. Whether it was pending.
pub(crate) async fn decide(
    tx: &mut Connection,
    user_hash: &str,
    state: DeviceState,
    user: Option<Uuid>,
) -> Result<bool> {
    let statement = query(DECIDE).bind(user_hash).bind(state.as_str()).bind(user.map(|user| user.to_string()));
    Ok(row::run(tx, statement).await? == 1)
}

/// Records that the device asked.
pub(crate) async fn polled(tx: &mut Connection, hash: &str, now_ms: i64) -> Result<()> {
    row::run(tx, query(POLLED).bind(hash).bind(now_ms)).await?;
    Ok(())
}

/// Removes a request. Whether it was there.
pub(crate) async fn delete(tx: &mut Connection, hash: &str) -> Result<bool> {
    Ok(row::run(tx, query(DELETE).bind(hash)).await? == 1)
}

/// Forgets the requests whose time is over.
pub(crate) async fn delete_expired(tx: &mut Connection, now_ms: i64) -> Result<u64> {
    row::run(tx, query(DELETE_EXPIRED).bind(now_ms)).await
}

/// How many requests there are.
pub(crate) async fn count(tx: &mut Connection) -> Result<u64> {
    let count: Option<i64> = row::one(tx, query(COUNT)).await?;
    Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
}
