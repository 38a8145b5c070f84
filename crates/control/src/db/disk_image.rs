//! The manifests that resources hold alive. With replicas, pins and staged uploads they are the collector's roots.

use galerie_store::{ManifestId, Roots};
use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row, bigint},
    statement::query,
};

const LIST: &str = "SELECT * FROM disk_images WHERE resource = $1 ORDER BY lun";
const LIST_WITH: &str = "SELECT * FROM disk_images WHERE tenant = $1 AND manifest = $2 ORDER BY resource, lun";
const UPSERT: &str = "INSERT INTO disk_images (resource, lun, tenant, region, manifest, virtual_size_bytes) \
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (resource, lun) DO UPDATE SET \
     manifest = excluded.manifest, virtual_size_bytes = excluded.virtual_size_bytes";
// A replica that was complete once is whole but for what is damaged.
const WHOLE_ROOTS: &str = "SELECT i.manifest FROM disk_images i WHERE i.region = $1 AND i.tenant = $2 AND NOT EXISTS \
       (SELECT 1 FROM replicas h WHERE h.version = i.resource AND h.region = $1 AND h.completed_ms IS NULL) \
     UNION SELECT i.manifest FROM replicas r JOIN disk_images i ON i.resource = r.version \
       WHERE r.region = $1 AND i.tenant = $2 AND r.completed_ms IS NOT NULL \
     UNION SELECT manifest FROM pins WHERE region = $1 AND tenant = $2 AND manifest IS NOT NULL \
     UNION SELECT d.staged_manifest FROM disks d JOIN resources s ON s.key = d.key \
       WHERE d.staged_manifest IS NOT NULL AND s.location = $1 AND s.tenant = $2";

const ARRIVING_ROOTS: &str = "SELECT DISTINCT i.manifest FROM replicas r JOIN disk_images i ON i.resource = r.version \
     WHERE r.region = $1 AND i.tenant = $2 AND r.completed_ms IS NULL";

const REGIONS_WITH: &str = "SELECT i.region FROM disk_images i WHERE i.tenant = $1 AND i.manifest = $2 \
     UNION SELECT r.region FROM replicas r JOIN disk_images i ON i.resource = r.version \
       WHERE i.tenant = $1 AND i.manifest = $2 ORDER BY 1";

const COMPLETE_ROOTS: &str = "SELECT i.manifest FROM disk_images i WHERE i.region = $1 AND i.tenant = $2 \
     AND NOT EXISTS (SELECT 1 FROM foreign_sources f WHERE f.resource = i.resource) \
     UNION SELECT i.manifest FROM replicas r JOIN disk_images i ON i.resource = r.version \
       WHERE r.region = $1 AND i.tenant = $2 AND r.completed_ms IS NOT NULL";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] =
    &[LIST, LIST_WITH, UPSERT, WHOLE_ROOTS, ARRIVING_ROOTS, REGIONS_WITH, COMPLETE_ROOTS];

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DiskImageRow {
    /// The resource's key.
    pub(crate) resource: String,
    /// A data disk's lun; -1 for an OS disk and for a disk's or snapshot's only content.
    pub(crate) lun: i64,
    pub(crate) tenant: Uuid,
    /// Where the resource lives; replicas add their own regions.
    pub(crate) region: String,
    pub(crate) manifest: ManifestId,
    pub(crate) virtual_size_bytes: u64,
}

impl Row for DiskImageRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            resource: columns.text("resource")?,
            lun: columns.integer("lun")?,
            tenant: columns.id("tenant")?,
            region: columns.text("region")?,
            manifest: columns.parsed("manifest")?,
            virtual_size_bytes: columns.unsigned("virtual_size_bytes")?,
        })
    }
}

/// The images of a resource, the OS disk first.
pub(crate) async fn list_for(tx: &mut Connection, resource: &str) -> Result<Vec<DiskImageRow>> {
    row::all(tx, query(LIST).bind(resource)).await
}

/// Where a tenant's resources hold an image.
pub(crate) async fn list_with(tx: &mut Connection, tenant: Uuid, manifest: ManifestId) -> Result<Vec<DiskImageRow>> {
    row::all(tx, query(LIST_WITH).looks_at_many().bind(tenant.to_string()).bind(manifest.to_string())).await
}

/// Makes a resource hold an image; the one it held at that lun is let go.
pub(crate) async fn insert(tx: &mut Connection, image: &DiskImageRow) -> Result<()> {
    let statement = query(UPSERT)
        .bind(&image.resource)
        .bind(image.lun)
        .bind(image.tenant.to_string())
        .bind(&image.region)
        .bind(image.manifest.to_string())
        .bind(bigint(image.virtual_size_bytes));
    row::run(tx, statement).await?;
    Ok(())
}

/// Every manifest that must stay in a region for a tenant. Whole are the images of what lives there, of replicas that are
/// complete or were (of which something is brought again), of pins, and of uploads that wait to be a disk's content; arriving
/// those of replicas that were never complete.
pub(crate) async fn roots(tx: &mut Connection, region: &str, tenant: Uuid) -> Result<Roots> {
    let whole = manifests(tx, WHOLE_ROOTS, region, tenant).await?;
    Ok(Roots { whole, arriving: manifests(tx, ARRIVING_ROOTS, region, tenant).await? })
}

/// The regions that have, or were to have, a tenant's image.
pub(crate) async fn regions_with(tx: &mut Connection, tenant: Uuid, manifest: ManifestId) -> Result<Vec<String>> {
    row::all(tx, query(REGIONS_WITH).looks_at_many().bind(tenant.to_string()).bind(manifest.to_string())).await
}

/// The manifests that a region has promised to hold whole for a tenant: of what lives there, and of replicas that were
/// complete, be they damaged and copied again now. What is still being copied from another tenant is not promised yet.
pub(crate) async fn complete_roots(tx: &mut Connection, region: &str, tenant: Uuid) -> Result<Vec<ManifestId>> {
    manifests(tx, COMPLETE_ROOTS, region, tenant).await
}

async fn manifests(
    tx: &mut Connection,
    statement: &'static str,
    region: &str,
    tenant: Uuid,
) -> Result<Vec<ManifestId>> {
    let texts: Vec<String> =
        row::all(tx, query(statement).looks_at_many().bind(region).bind(tenant.to_string())).await?;
    let parse = |text: String| text.parse().map_err(|_| super::Error::Corrupt(format!("a manifest is '{text}'")));
    texts.into_iter().map(parse).collect()
}
