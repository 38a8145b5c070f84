//! Resources whose images are being copied from another tenant's image version. The row goes when they are there.

use uuid::Uuid;

use super::{
    Connection, Error, Result,
    row::{self, Columns, Row},
    statement::query,
};

const FIND: &str = "SELECT * FROM foreign_sources WHERE resource = $1";
const UPSERT: &str = "INSERT INTO foreign_sources (resource, tenant, version, version_uid, access, reader) \
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (resource) DO UPDATE SET tenant = excluded.tenant, \
     version = excluded.version, version_uid = excluded.version_uid, access = excluded.access, \
     reader = excluded.reader";
const DELETE: &str = "DELETE FROM foreign_sources WHERE resource = $1";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[FIND, UPSERT, DELETE];

/// Why a version of another tenant may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ForeignAccess {
    /// Its gallery is shared with the reader's subscription or tenant.
    Shared,
    /// Its gallery is published.
    Community,
    /// This principal of the version's tenant has a role over it, and the reader showed its token.
    Role(Uuid),
}

impl ForeignAccess {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "Shared",
            Self::Community => "Community",
            Self::Role(_) => "Role",
        }
    }
}

/// A version of another tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForeignSource {
    /// The version's tenant: whose bytes they are.
    pub(crate) tenant: Uuid,
    /// The version's key.
    pub(crate) version: String,
    /// Its incarnation.
    pub(crate) version_uid: Uuid,
    pub(crate) access: ForeignAccess,
}

impl Row for ForeignSource {
    fn read(columns: &Columns) -> Result<Self> {
        let access = columns.text("access")?;
        let access = match (access.as_str(), columns.optional_parsed("reader")?) {
            ("Shared", _) => ForeignAccess::Shared,
            ("Community", _) => ForeignAccess::Community,
            ("Role", Some(reader)) => ForeignAccess::Role(reader),
            _ => return Err(Error::Corrupt(format!("access is '{access}'"))),
        };
        let (version, version_uid) = (columns.text("version")?, columns.id("version_uid")?);
        Ok(Self { tenant: columns.id("tenant")?, version, version_uid, access })
    }
}

/// What a resource's images are being copied from.
pub(crate) async fn find(tx: &mut Connection, resource: &str) -> Result<Option<ForeignSource>> {
    row::one(tx, query(FIND).bind(resource)).await
}

/// Records it.
pub(crate) async fn put(tx: &mut Connection, resource: &str, source: &ForeignSource) -> Result<()> {
    let statement = query(UPSERT).bind(resource).bind(source.tenant.to_string()).bind(&source.version);
    let reader = match source.access {
        ForeignAccess::Role(reader) => Some(reader.to_string()),
        ForeignAccess::Shared | ForeignAccess::Community => None,
    };
    let statement = statement.bind(source.version_uid.to_string()).bind(source.access.as_str()).bind(reader);
    row::run(tx, statement).await?;
    Ok(())
}

/// The images are there.
pub(crate) async fn delete(tx: &mut Connection, resource: &str) -> Result<()> {
    row::run(tx, query(DELETE).bind(resource)).await?;
    Ok(())
}
