//! Which process has what was uploaded to a disk and is in no store yet.

use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row, bigint},
    statement::query,
};

const FIND: &str = "SELECT * FROM uploads WHERE upload = $1";
const INSERT: &str = "INSERT INTO uploads (upload, region, process, generation, has_pages, is_released) \
     VALUES ($1, $2, $3, 1, 0, 0) ON CONFLICT (upload) DO NOTHING";
const ADOPT: &str = "UPDATE uploads SET process = $3, generation = generation + 1, is_released = 0 \
     WHERE upload = $1 AND generation = $2 AND has_pages = $4";
const MARK_PAGES: &str = "UPDATE uploads SET has_pages = 1 WHERE upload = $1 AND process = $2";
const RELEASE: &str = "UPDATE uploads SET is_released = 1 WHERE upload = $1 AND process = $2";
const HOLD: &str = "UPDATE uploads SET is_released = 0, generation = generation + 1 WHERE upload = $1 AND process = $2";
const TAKE_BACK: &str = "UPDATE uploads SET is_released = 0 WHERE process = $1 AND is_released = 1";
const OF_PROCESS: &str = "SELECT * FROM uploads WHERE process = $1 ORDER BY upload";
const OF_OTHERS: &str =
    "SELECT * FROM uploads WHERE region = $1 AND process <> $2 AND upload > $3 ORDER BY upload LIMIT $4";
const REGIONS_OF_OTHERS: &str = "SELECT DISTINCT region FROM uploads WHERE process <> $1";
const ORPHANS: &str = "SELECT COUNT(*) FROM uploads \
     WHERE NOT EXISTS (SELECT 1 FROM resources WHERE resources.uid = uploads.upload)";
const FORGET: &str =
    "DELETE FROM uploads WHERE NOT EXISTS (SELECT 1 FROM resources WHERE resources.uid = uploads.upload)";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[
    FIND,
    INSERT,
    ADOPT,
    MARK_PAGES,
    RELEASE,
    HOLD,
    TAKE_BACK,
    OF_PROCESS,
    OF_OTHERS,
    REGIONS_OF_OTHERS,
    ORPHANS,
    FORGET,
];

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UploadRow {
    /// The disk's incarnation.
    pub(crate) upload: Uuid,
    pub(crate) region: String,
    pub(crate) process: String,
    /// Bumped by every adoption, and when its process holds on to it.
    pub(crate) generation: u64,
    /// Whether pages were acknowledged: only who sees them may adopt it.
    pub(crate) has_pages: bool,
    /// Whether its process, which is stopping, lets it go.
    pub(crate) is_released: bool,
}

impl Row for UploadRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            upload: columns.id("upload")?,
            region: columns.text("region")?,
            process: columns.text("process")?,
            generation: columns.unsigned("generation")?,
            has_pages: columns.flag("has_pages")?,
            is_released: columns.flag("is_released")?,
        })
    }
}

/// An upload's process.
pub(crate) async fn find(tx: &mut Connection, upload: Uuid) -> Result<Option<UploadRow>> {
    row::one(tx, query(FIND).bind(upload.to_string())).await
}

/// Makes an upload a process's, unless it is somebody's. Whether it was nobody's.
pub(crate) async fn insert(tx: &mut Connection, upload: Uuid, region: &str, process: &str) -> Result<bool> {
    Ok(row::run(tx, query(INSERT).bind(upload.to_string()).bind(region).bind(process)).await? == 1)
}

/// Makes an upload another process's, unless somebody was faster, be it its own process, which is not dead and is about to
/// acknowledge the first page. Whether nobody was.
pub(crate) async fn adopt(tx: &mut Connection, seen: &UploadRow, process: &str) -> Result<bool> {
    let statement = query(ADOPT).bind(seen.upload.to_string()).bind(bigint(seen.generation)).bind(process);
    Ok(row::run(tx, statement.bind(i64::from(seen.has_pages))).await? == 1)
}

/// Says that pages are about to be acknowledged. Whether it is still the process's.
pub(crate) async fn mark_pages(tx: &mut Connection, upload: Uuid, process: &str) -> Result<bool> {
    Ok(row::run(tx, query(MARK_PAGES).bind(upload.to_string()).bind(process)).await? == 1)
}

/// Lets an upload go to whoever sees it.
pub(crate) async fn release(tx: &mut Connection, upload: Uuid, process: &str) -> Result<()> {
    row::run(tx, query(RELEASE).bind(upload.to_string()).bind(process)).await?;
    Ok(())
}

/// Holds on to an upload, also when it was let go; who looked at it before adopts it no more. Whether it is still the process's.
pub(crate) async fn hold(tx: &mut Connection, upload: Uuid, process: &str) -> Result<bool> {
    Ok(row::run(tx, query(HOLD).bind(upload.to_string()).bind(process)).await? == 1)
}

/// Takes back what a process let go at its last end and nobody took; how many.
pub(crate) async fn take_back(tx: &mut Connection, process: &str) -> Result<u64> {
    row::run(tx, query(TAKE_BACK).bind(process)).await
}

/// A process's uploads.
pub(crate) async fn of_process(tx: &mut Connection, process: &str) -> Result<Vec<UploadRow>> {
    row::all(tx, query(OF_PROCESS).bind(process)).await
}

/// A page of a region's uploads that are other processes', from after `after`.
pub(crate) async fn of_others(
    tx: &mut Connection,
    region: &str,
    process: &str,
    after: Uuid,
    limit: u32,
) -> Result<Vec<UploadRow>> {
    let statement = query(OF_OTHERS).bind(region).bind(process).bind(after.to_string());
    row::all(tx, statement.bind(i64::from(limit))).await
}

/// The regions in which other processes have uploads.
pub(crate) async fn regions_of_others(tx: &mut Connection, process: &str) -> Result<Vec<String>> {
    row::all(tx, query(REGIONS_OF_OTHERS).bind(process)).await
}

/// Whether there are uploads of disks that are gone.
pub(crate) async fn has_orphans(tx: &mut Connection) -> Result<bool> {
    let count: Option<i64> = row::one(tx, query(ORPHANS)).await?;
    Ok(count.unwrap_or(0) > 0)
}

/// Forgets the uploads of disks that are gone; how many.
pub(crate) async fn forget_orphans(tx: &mut Connection) -> Result<u64> {
    row::run(tx, query(FORGET)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Regression: a process that was taken for dead and woke acknowledged its first page, and then lost the upload to one
    /// that could not see that page.
    #[tokio::test]
    async fn an_upload_whose_first_page_came_meanwhile_is_not_adopted_unseen() {
        let (_directory, db) = super::super::tests::fresh().await;
        let (mut tx, upload) = (db.write().await.unwrap(), Uuid::new_v4());
        assert!(insert(&mut tx, upload, "eastus", "slow").await.unwrap());
        let seen = find(&mut tx, upload).await.unwrap().unwrap();
        assert!(mark_pages(&mut tx, upload, "slow").await.unwrap());
        assert!(!adopt(&mut tx, &seen, "quick").await.unwrap());
        let seen = find(&mut tx, upload).await.unwrap().unwrap();
        assert!(seen.has_pages && adopt(&mut tx, &seen, "quick").await.unwrap(), "who sees the pages may");
        assert!(!mark_pages(&mut tx, upload, "slow").await.unwrap());
    }

    #[tokio::test]
    async fn who_saw_an_upload_let_go_does_not_adopt_it_once_it_is_held() {
        let (_directory, db) = super::super::tests::fresh().await;
        let (mut tx, upload) = (db.write().await.unwrap(), Uuid::new_v4());
        assert!(insert(&mut tx, upload, "eastus", "stopping").await.unwrap());
        release(&mut tx, upload, "stopping").await.unwrap();
        let seen = find(&mut tx, upload).await.unwrap().unwrap();
        assert!(seen.is_released && hold(&mut tx, upload, "stopping").await.unwrap());
        assert!(!adopt(&mut tx, &seen, "other").await.unwrap());
        assert!(!find(&mut tx, upload).await.unwrap().unwrap().is_released);
        assert!(!hold(&mut tx, upload, "other").await.unwrap());
    }
}
