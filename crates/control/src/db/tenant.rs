//! Tenants.

use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row},
    statement::query,
};

const FIND: &str = "SELECT * FROM tenants WHERE id = $1";
const INSERT: &str = "INSERT INTO tenants (id, display_name, default_domain, created_ms) VALUES ($1, $2, $3, $4)";
const FIND_BY_DOMAIN: &str = "SELECT * FROM tenants WHERE default_domain = $1";
const UPDATE: &str = "UPDATE tenants SET display_name = $2, default_domain = $3 WHERE id = $1";
const LIST: &str = "SELECT * FROM tenants ORDER BY id";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[FIND, FIND_BY_DOMAIN, INSERT, UPDATE, LIST];

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TenantRow {
    pub(crate) id: Uuid,
    pub(crate) display_name: String,
    /// In small letters.
    pub(crate) default_domain: String,
    pub(crate) created_ms: i64,
}

impl Row for TenantRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            id: columns.id("id")?,
            display_name: columns.text("display_name")?,
            default_domain: columns.text("default_domain")?,
            created_ms: columns.integer("created_ms")?,
        })
    }
}

/// A tenant.
pub(crate) async fn find(tx: &mut Connection, id: Uuid) -> Result<Option<TenantRow>> {
    row::one(tx, query(FIND).bind(id.to_string())).await
}

/// A tenant by its domain, in any spelling.
pub(crate) async fn find_by_domain(tx: &mut Connection, domain: &str) -> Result<Option<TenantRow>> {
    row::one(tx, query(FIND_BY_DOMAIN).bind(domain.to_ascii_lowercase())).await
}

/// Whether a text is a domain's name, in small letters (RFC 1035, section 2.3.1, with digits first, as RFC 1123 has it).
pub(crate) fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.contains('.') && text.split('.').all(is_label)
}

/// Writes what can change of a tenant.
pub(crate) async fn update(tx: &mut Connection, tenant: &TenantRow) -> Result<()> {
    let statement = query(UPDATE).bind(tenant.id.to_string()).bind(&tenant.display_name);
    row::run(tx, statement.bind(&tenant.default_domain)).await?;
    Ok(())
}

/// Adds a tenant.
pub(crate) async fn insert(tx: &mut Connection, tenant: &TenantRow) -> Result<()> {
    let statement = query(INSERT).bind(tenant.id.to_string()).bind(&tenant.display_name);
    row::run(tx, statement.bind(&tenant.default_domain).bind(tenant.created_ms)).await?;
    Ok(())
}

/// All tenants; there are few.
pub(crate) async fn list(tx: &mut Connection) -> Result<Vec<TenantRow>> {
    row::all(tx, query(LIST)).await
}
