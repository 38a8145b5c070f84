//! The processes that serve a shared catalogue.

use std::str::FromStr;

use super::{
    Connection, Result,
    row::{self, Columns, Row, bigint, json},
    statement::query,
};

const REGISTER: &str = "INSERT INTO processes (id, incarnation, url, regions, version, state, started_ms, expires_ms) \
     VALUES ($1, 1, $2, $3, $4, 'Serving', $5, $6) ON CONFLICT (id) DO UPDATE SET \
     incarnation = processes.incarnation + 1, url = excluded.url, regions = excluded.regions, \
     version = excluded.version, state = excluded.state, started_ms = excluded.started_ms, \
     expires_ms = excluded.expires_ms RETURNING incarnation";
const LIST: &str = "SELECT * FROM processes ORDER BY id";
const PROLONG: &str = "UPDATE processes SET expires_ms = $3 WHERE id = $1 AND incarnation = $2";
const SET_STATE: &str = "UPDATE processes SET state = $3 WHERE id = $1 AND incarnation = $2";
const SET_REGIONS: &str = "UPDATE processes SET regions = $3 WHERE id = $1 AND incarnation = $2";
const LEAVE: &str = "DELETE FROM processes WHERE id = $1 AND incarnation = $2";
const FORGET: &str = "DELETE FROM processes WHERE expires_ms <= $1 AND NOT EXISTS \
     (SELECT 1 FROM uploads WHERE uploads.process = processes.id)";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[REGISTER, LIST, PROLONG, SET_STATE, SET_REGIONS, LEAVE, FORGET];

/// Whether a process takes new requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProcessState {
    /// It does.
    Serving,
    /// It is about to stop.
    Draining,
}

impl ProcessState {
    /// As the table spells it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "Serving",
            Self::Draining => "Draining",
        }
    }
}

impl FromStr for ProcessState {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Serving, Self::Draining].into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProcessRow {
    pub(crate) id: String,
    pub(crate) incarnation: u64,
    /// Where other processes reach it; '': nowhere.
    pub(crate) url: String,
    pub(crate) regions: Vec<String>,
    pub(crate) version: String,
    pub(crate) state: ProcessState,
    pub(crate) started_ms: i64,
    pub(crate) expires_ms: i64,
}

impl Row for ProcessRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            id: columns.text("id")?,
            incarnation: columns.unsigned("incarnation")?,
            url: columns.text("url")?,
            regions: columns.json("regions")?,
            version: columns.text("version")?,
            state: columns.parsed("state")?,
            started_ms: columns.integer("started_ms")?,
            expires_ms: columns.integer("expires_ms")?,
        })
    }
}

/// Which start of a process; its writes about itself name both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start<'a> {
    pub(crate) id: &'a str,
    pub(crate) incarnation: u64,
}

/// Adds a process, or begins a new incarnation of one; its number.
pub(crate) async fn register(
    tx: &mut Connection,
    id: &str,
    url: &str,
    regions: &[String],
    version: &str,
    now_ms: i64,
    expires_ms: i64,
) -> Result<u64> {
    let statement = query(REGISTER).bind(id).bind(url).bind(json(&regions)).bind(version).bind(now_ms);
    let incarnation: Option<i64> = row::one(tx, statement.bind(expires_ms)).await?;
    Ok(incarnation.and_then(|number| u64::try_from(number).ok()).unwrap_or_default())
}

/// Every process, dead ones, too: they are few.
pub(crate) async fn list(tx: &mut Connection) -> Result<Vec<ProcessRow>> {
    row::all(tx, query(LIST)).await
}

/// Says that a process lives. Whether it is still this start.
pub(crate) async fn prolong(tx: &mut Connection, start: Start<'_>, expires_ms: i64) -> Result<bool> {
    let statement = query(PROLONG).bind(start.id).bind(bigint(start.incarnation)).bind(expires_ms);
    Ok(row::run(tx, statement).await? == 1)
}

/// Says whether it takes new requests. Whether it is still this start.
pub(crate) async fn set_state(tx: &mut Connection, start: Start<'_>, state: ProcessState) -> Result<bool> {
    let statement = query(SET_STATE).bind(start.id).bind(bigint(start.incarnation)).bind(state.as_str());
    Ok(row::run(tx, statement).await? == 1)
}

/// Says which regions a process serves.
pub(crate) async fn set_regions(tx: &mut Connection, start: Start<'_>, regions: &[String]) -> Result<()> {
    row::run(tx, query(SET_REGIONS).bind(start.id).bind(bigint(start.incarnation)).bind(json(&regions))).await?;
    Ok(())
}

/// Removes a process that stops; absent is fine.
pub(crate) async fn leave(tx: &mut Connection, start: Start<'_>) -> Result<()> {
    row::run(tx, query(LEAVE).bind(start.id).bind(bigint(start.incarnation))).await?;
    Ok(())
}

/// Forgets processes that have been dead since `before_ms` and have nothing that somebody waits for; how many.
pub(crate) async fn forget(tx: &mut Connection, before_ms: i64) -> Result<u64> {
    row::run(tx, query(FORGET).bind(before_ms)).await
}
