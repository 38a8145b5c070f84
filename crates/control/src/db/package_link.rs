//! Links to packages that are to be fetched. The row goes when the bytes are there.

use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row},
    statement::query,
};

const LIST: &str = "SELECT * FROM package_links WHERE resource = $1 ORDER BY lun";
const UPSERT: &str = "INSERT INTO package_links (resource, lun, property, wrap_id, link) VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT (resource, lun) DO UPDATE SET property = excluded.property, wrap_id = excluded.wrap_id, \
     link = excluded.link";
const DELETE: &str = "DELETE FROM package_links WHERE resource = $1";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[LIST, UPSERT, DELETE];

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackageLinkRow {
    /// The version's key.
    pub(crate) resource: String,
    /// Which of the version's images it becomes.
    pub(crate) lun: i64,
    /// The property that named it, as a path in the document.
    pub(crate) property: String,
    /// Authenticated with the link.
    pub(crate) wrap_id: Uuid,
    /// Wrapped, in base64.
    pub(crate) link: String,
}

impl Row for PackageLinkRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            resource: columns.text("resource")?,
            lun: columns.integer("lun")?,
            property: columns.text("property")?,
            wrap_id: columns.id("wrap_id")?,
            link: columns.text("link")?,
        })
    }
}

/// What is still to be fetched of a version, the package first.
pub(crate) async fn list(tx: &mut Connection, version: &str) -> Result<Vec<PackageLinkRow>> {
    row::all(tx, query(LIST).bind(version)).await
}

/// Adds or replaces a link.
pub(crate) async fn put(tx: &mut Connection, link: &PackageLinkRow) -> Result<()> {
    let statement = query(UPSERT).bind(&link.resource).bind(link.lun).bind(&link.property);
    row::run(tx, statement.bind(link.wrap_id.to_string()).bind(&link.link)).await?;
    Ok(())
}

/// Everything of a version is there.
pub(crate) async fn delete(tx: &mut Connection, version: &str) -> Result<()> {
    row::run(tx, query(DELETE).bind(version)).await?;
    Ok(())
}
