//! Filling a catalogue from a backup, and what changes with it.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::waiting::begin_waiting;
use crate::{
    Database, Error, StoreIdentity, clock,
    db::{self, Connection, Db, copy, operation, region_store, replica, restored, setting, transact},
};

/// What is restored, and as what.
#[derive(Debug)]
pub struct CatalogueRestore<'a> {
    /// Which backup, as messages name it.
    pub backup: String,
    /// Names this restore: when it was interrupted, the same one goes on.
    pub restore_id: Uuid,
    /// The copy in the backup.
    pub copy: &'a [u8],
    /// What the regions' new stores say of themselves.
    pub stores: BTreeMap<String, StoreIdentity>,
    /// Regions and tenants whose collection waits for a verification.
    pub waiting: Vec<(String, Uuid)>,
    /// Throw the wrapped keys and all client secrets away, because the master key is lost.
    pub discard_keys: bool,
    /// The machine's present.
    pub now_ms: i64,
}

/// Fills a database that has no catalogue yet; how many rows. When the same restore did so already, it only goes on.
///
/// # Errors
/// `CatalogueExists` when there is another catalogue; `ClockMoved` when the backup's clock was moved on and the database has its own;
/// the copy's faults; the database's.
pub async fn restore_catalogue(database: &Database, restore: &CatalogueRestore<'_>) -> Result<u64, Error> {
    let reader = copy::Reader::open(restore.copy)?;
    let schema = reader.schema();
    let rows = match Db::open_at(database, schema, &format!("in backup {}", restore.backup)).await {
        Ok(db) => {
            let rows = fill(&db, restore, reader).await?;
            db.close().await;
            rows
        }
        // It was filled and migrated before, by this restore or otherwise.
        Err(db::Error::Newer { known, .. }) if known == schema => 0,
        Err(error) => return Err(error.into()),
    };
    // From here on in this program's schema.
    let db = Db::open(database).await?;
    is_of(&mut *db.read().await?, restore).await?;
    transact!(&db, |tx| -> Result<(), Error> { change(tx, restore).await })?;
    db.close().await;
    Ok(rows)
}

async fn fill(db: &Db, restore: &CatalogueRestore<'_>, reader: copy::Reader<'_>) -> Result<u64, Error> {
    // Not `transact!`: the copy is read once, and nobody else is there to race with.
    let mut tx = db.write().await?;
    if setting::find(&mut tx, setting::CATALOGUE).await?.is_some() {
        return is_of(&mut tx, restore).await.map(|()| 0);
    }
    let rows = reader.fill(&mut tx).await?;
    if db.is_shared() && clock::remembered(&mut tx).await? > 0 {
        return Err(Error::ClockMoved);
    }
    setting::put(&mut tx, setting::RESTORE, &restore.restore_id.to_string()).await?;
    tx.commit().await?;
    Ok(rows)
}

/// Refuses a catalogue that another restore, or a server, has filled.
async fn is_of(tx: &mut Connection, restore: &CatalogueRestore<'_>) -> Result<(), Error> {
    match setting::find(tx, setting::RESTORE).await? {
        Some(found) if found == restore.restore_id.to_string() => Ok(()),
        _ => Err(Error::CatalogueExists),
    }
}

/// What is different from now on. Twice is once.
async fn change(tx: &mut Connection, restore: &CatalogueRestore<'_>) -> Result<(), Error> {
    for (region, store) in &restore.stores {
        if !restored::replace_store(tx, region, store.store_id, store.epoch).await? {
            return Err(db::Error::Corrupt(format!("the backup has no store of region {region}")).into());
        }
    }
    // Of a region without images that was not backed up, or is not restored. Its old store is not where it will be served.
    for known in region_store::list(tx).await? {
        if !restore.stores.contains_key(&known.region) {
            restored::forget_store(tx, &known.region).await?;
        }
    }
    restored::end_access(tx).await?;
    restored::forget_failures(tx).await?;
    operation::release_all(tx).await?;
    replica::release_all(tx).await?;
    super::release_hold(tx).await?;
    if restore.discard_keys {
        restored::discard_keys(tx).await?;
    }
    let now_ms = restore.now_ms.saturating_add(clock::remembered(tx).await?);
    for (region, tenant) in &restore.waiting {
        begin_waiting(tx, region, *tenant, now_ms).await?;
    }
    Ok(())
}
