//! Single values of the whole catalogue.

use super::{Connection, Result, row, statement::query};

const FIND: &str = "SELECT value FROM settings WHERE name = $1";
const PUT: &str =
    "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
const REMOVE: &str = "DELETE FROM settings WHERE name = $1";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[FIND, PUT, REMOVE];

/// The catalogue's own id: a GUID, written when the catalogue is made. Every region store names it.
pub(crate) const CATALOGUE: &str = "catalogue";
/// The tenant of the first start.
pub(crate) const FIRST_TENANT: &str = "first.tenant";
/// The subscription of the first start.
pub(crate) const FIRST_SUBSCRIPTION: &str = "first.subscription";
/// The administrator's service principal.
pub(crate) const ADMINISTRATOR: &str = "administrator";

/// There while nobody can have the first administrator's secret: the process that made it has not written it down yet.
pub(crate) const UNDELIVERED: &str = "administrator.undelivered";
/// Who keeps collection from deleting, and until when.
pub(crate) const COLLECTION_HOLD: &str = "collection.hold";
/// Before the region and tenant whose collection waits for a verification; the value is since when.
pub(crate) const COLLECTION_WAITS: &str = "collection.waits/";
/// Before the tenant whose last changes of access the value lists; see `access_revision`.
pub(crate) const ACCESS_CHANGES: &str = "access.changes/";
/// Before what identifies an external issuer; the value is its public keys, as last read.
pub(crate) const ISSUER_KEYS: &str = "issuer.keys/";
/// By how much the catalogue's clock was moved on, in ms; see `clock`.
pub(crate) const CLOCK_AHEAD: &str = "clock.ahead";
/// The restore that filled the catalogue.
pub(crate) const RESTORE: &str = "restore";

/// There once it is recorded which image versions the disks of an earlier schema were made from.
pub(crate) const VERSION_USES: &str = "version-uses.recorded";

/// A value.
pub(crate) async fn find(tx: &mut Connection, name: &str) -> Result<Option<String>> {
    row::one(tx, query(FIND).bind(name)).await
}

/// Sets a value.
pub(crate) async fn put(tx: &mut Connection, name: &str, value: &str) -> Result<()> {
    row::run(tx, query(PUT).bind(name).bind(value)).await?;
    Ok(())
}

/// Removes a value. Absent is fine.
pub(crate) async fn remove(tx: &mut Connection, name: &str) -> Result<()> {
    row::run(tx, query(REMOVE).bind(name)).await?;
    Ok(())
}
