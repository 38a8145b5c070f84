//! What changes in a catalogue that was restored from a backup.

use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, bigint},
    statement::query,
};

const REPLACE_STORE: &str = "UPDATE region_stores SET store_id = $2, epoch = $3 WHERE region = $1";
const FORGET_STORE: &str = "DELETE FROM region_stores WHERE region = $1";
const END_GRANTS: &str = "DELETE FROM grants";
const END_UPLOADS: &str = "UPDATE disks SET state = 'ReadyToUpload' WHERE state = 'ActiveUpload'";
const END_DOWNLOADS: &str = "UPDATE disks SET state = 'Unattached' WHERE state = 'ActiveSAS'";
const FORGET_FAILURES: &str = "UPDATE users SET failures = 0 WHERE failures > 0";
const DISCARD_KEYS: &str = "DELETE FROM wrapped_keys";
const DISCARD_SECRETS: &str = "DELETE FROM credentials WHERE kind = 'Secret'";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[
    REPLACE_STORE,
    FORGET_STORE,
    END_GRANTS,
    END_UPLOADS,
    END_DOWNLOADS,
    FORGET_FAILURES,
    DISCARD_KEYS,
    DISCARD_SECRETS,
];

/// Names the store that takes the place of a region's. Whether the region had one.
pub(crate) async fn replace_store(tx: &mut Connection, region: &str, store_id: Uuid, epoch: u64) -> Result<bool> {
    let statement = query(REPLACE_STORE).bind(region).bind(store_id.to_string()).bind(bigint(epoch));
    Ok(row::run(tx, statement).await? == 1)
}

/// Forgets a region's store that does not come back: the region gets a new one when it is served.
pub(crate) async fn forget_store(tx: &mut Connection, region: &str) -> Result<()> {
    row::run(tx, query(FORGET_STORE).bind(region)).await?;
    Ok(())
}

/// Ends every grant: its holder spoke to another server, whose pages are not here.
pub(crate) async fn end_access(tx: &mut Connection) -> Result<()> {
    for statement in [END_GRANTS, END_UPLOADS, END_DOWNLOADS] {
        row::run(tx, query(statement)).await?;
    }
    Ok(())
}

/// Forgets wrong passwords of users: those of names that nobody has are in no backup.
pub(crate) async fn forget_failures(tx: &mut Connection) -> Result<()> {
    row::run(tx, query(FORGET_FAILURES)).await?;
    Ok(())
}

/// Throws away the wrapped keys and what was hashed with one of them.
pub(crate) async fn discard_keys(tx: &mut Connection) -> Result<()> {
    row::run(tx, query(DISCARD_KEYS)).await?;
    row::run(tx, query(DISCARD_SECRETS)).await?;
    Ok(())
}
