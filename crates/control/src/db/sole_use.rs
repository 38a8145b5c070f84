//! Using a catalogue beside others, or alone.
//!
//! A serving process shares an advisory lock on its schema; what must be alone (an offline command) takes it for itself.
//! The lock ends with its session, however the process ends, so what is dead keeps nobody out.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};

use super::{Db, Pools, Result};

/// One lock for each schema, whatever else lives in the database. `hashtext` has no collisions to fear here: a lock that
/// two schemas share refuses a start, and never lets two in.
const TRY_ALONE: &str = "SELECT pg_try_advisory_lock(hashtext('galerie'), hashtext(current_schema()))";
const TRY_SHARED: &str = "SELECT pg_try_advisory_lock_shared(hashtext('galerie'), hashtext(current_schema()))";
const UNLOCK: &str = "SELECT pg_advisory_unlock_all()";

/// How long it is waited for an answer to giving the lock up.
const GIVE_UP_WITHIN: Duration = Duration::from_secs(5);

/// The right to use the catalogue, while the value lives.
#[derive(Debug)]
pub(crate) struct CatalogueUse {
    /// Its session holds PostgreSQL's lock.
    session: Option<PgConnection>,
}

impl CatalogueUse {
    /// Gives it up. When this is over, whoever needs the catalogue alone may have it; a session that only ended is a moment's longer.
    pub(crate) async fn give_up(self) {
        let Some(mut session) = self.session else { return };
        match tokio::time::timeout(GIVE_UP_WITHIN, sqlx::query(UNLOCK).execute(&mut session)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(error = &error as &dyn std::error::Error, "give the catalogue up"),
            Err(_) => tracing::debug!("the database does not answer; its lock ends with the session"),
        }
    }

    /// Whether the lock is still held.
    pub(crate) async fn holds(&mut self) -> bool {
        match &mut self.session {
            Some(session) => session.ping().await.is_ok(),
            None => true,
        }
    }
}

impl Db {
    /// Asks for the catalogue alone; `None` when another process has it. A SQLite file is guarded by its data directory.
    pub(crate) async fn sole_use(&self) -> Result<Option<CatalogueUse>> {
        self.try_lock(TRY_ALONE).await
    }

    /// Asks for the catalogue beside others who do the same; `None` when one has it alone.
    pub(crate) async fn shared_use(&self) -> Result<Option<CatalogueUse>> {
        self.try_lock(TRY_SHARED).await
    }

    async fn try_lock(&self, statement: &'static str) -> Result<Option<CatalogueUse>> {
        match &self.pools {
            Pools::Sqlite(_) => Ok(Some(CatalogueUse { session: None })),
            Pools::Postgres { options, .. } => lock(options, statement).await,
        }
    }
}

async fn lock(options: &PgConnectOptions, statement: &'static str) -> Result<Option<CatalogueUse>> {
    let mut session = sqlx::ConnectOptions::connect(options).await?;
    let is_ours: bool = sqlx::query_scalar(statement).fetch_one(&mut session).await?;
    Ok(is_ours.then_some(CatalogueUse { session: Some(session) }))
}
