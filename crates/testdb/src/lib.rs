//! Which database a test uses: a SQLite file, or, when `GALERIE_TEST_POSTGRES` holds the URL of a PostgreSQL database, a
//! schema of its own in that one.
//!
//! The whole suite runs on both by setting the variable (`make test-postgres`). Schemas are left behind: the cluster is a
//! throw-away one (`scripts/postgres.sh`).

use std::path::Path;

use sqlx::{Connection, Executor, PgConnection, SqlSafeStr};
use uuid::Uuid;

/// The variable that chooses PostgreSQL.
pub const VARIABLE: &str = "GALERIE_TEST_POSTGRES";

/// The URL of the PostgreSQL schema that belongs to a test's directory, made when it is not there; `None`: use a SQLite
/// file in the directory.
///
/// # Panics
/// When the variable is set and its database cannot be used: a test that was meant for PostgreSQL must not pass on SQLite.
pub async fn postgres_of(directory: &Path) -> Option<String> {
    let url = std::env::var(VARIABLE).ok()?;
    let name = Uuid::new_v5(&Uuid::NAMESPACE_URL, directory.as_os_str().as_encoded_bytes());
    let schema = format!("test_{}", name.simple());
    let mut connection = PgConnection::connect(&url).await.unwrap_or_else(|error| panic!("{VARIABLE}: {error}"));
    let create = sqlx::AssertSqlSafe(format!("CREATE SCHEMA IF NOT EXISTS {schema}"));
    connection.execute(create.into_sql_str()).await.unwrap_or_else(|error| panic!("create a schema: {error}"));
    let separator = if url.contains('?') { '&' } else { '?' };
    Some(format!("{url}{separator}options=-c%20search_path%3D{schema}"))
}
