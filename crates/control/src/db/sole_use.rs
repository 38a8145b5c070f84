//! Being the only process that uses a catalogue.

use sqlx::{PgConnection, postgres::PgConnectOptions};

use super::{Db, Pools, Result};

/// One lock for each schema, whatever else lives in the database. `hashtext` has no collisions to fear here: a lock that
/// two schemas share refuses a start, and never lets two in.
const TRY_LOCK: &str = "SELECT pg_try_advisory_lock(hashtext('galerie'), hashtext(current_schema()))";

/// The catalogue is this process's while the value lives.
#[derive(Debug)]
pub(crate) struct SoleUse {
    /// Its session holds PostgreSQL's lock, which ends with it, however the process ends.
    _session: Option<PgConnection>,
}

impl Db {
    /// Asks for the catalogue alone; `None` when another process has it. A SQLite file is guarded by its data directory.
    pub(crate) async fn sole_use(&self) -> Result<Option<SoleUse>> {
        match &self.pools {
            Pools::Sqlite { .. } => Ok(Some(SoleUse { _session: None })),
            Pools::Postgres { options, .. } => lock(options).await,
        }
    }
}

async fn lock(options: &PgConnectOptions) -> Result<Option<SoleUse>> {
    let mut session = sqlx::ConnectOptions::connect(options).await?;
    let is_ours: bool = sqlx::query_scalar(TRY_LOCK).fetch_one(&mut session).await?;
    Ok(is_ours.then_some(SoleUse { _session: Some(session) }))
}
