//! What users, groups, applications and service principals have in common: one space of ids, a tenant, a name.

use std::str::FromStr;

use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row},
    statement::query,
};

const FIND: &str = "SELECT * FROM directory_objects WHERE id = $1";
const INSERT: &str = "INSERT INTO directory_objects (id, tenant, kind, display_name, sort_key, created_ms) \
                      VALUES ($1, $2, $3, $4, $5, $6)";
const RENAME: &str = "UPDATE directory_objects SET display_name = $2, sort_key = $3 WHERE id = $1";
const DELETE: &str = "DELETE FROM directory_objects WHERE id = $1";
/// By name, which is how lists are ordered; `$3` and `$4` bound the names, `$5` and `$6` are where the page begins.
const LIST: &str = "SELECT * FROM directory_objects WHERE tenant = $1 AND kind = $2 AND sort_key >= $3 AND sort_key < $4 \
     AND (sort_key, id) > ($5, $6) ORDER BY sort_key, id LIMIT $7";
const COUNT: &str = "SELECT COUNT(*) FROM directory_objects WHERE tenant = $1";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[FIND, INSERT, RENAME, DELETE, LIST, COUNT];

/// What an object of a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    /// A person.
    User,
    /// Users, service principals and groups.
    Group,
    /// What an application is, in the tenant that registered it.
    Application,
    /// What an application is to a tenant: who it acts as.
    ServicePrincipal,
}

impl ObjectKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::User, Self::Group, Self::Application, Self::ServicePrincipal];

    /// As ARM (`principalType`) and the table spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
            Self::Application => "Application",
            Self::ServicePrincipal => "ServicePrincipal",
        }
    }
}

impl FromStr for ObjectKind {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(())
    }
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DirectoryObjectRow {
    /// The object id.
    pub(crate) id: Uuid,
    pub(crate) tenant: Uuid,
    pub(crate) kind: ObjectKind,
    pub(crate) display_name: String,
    pub(crate) created_ms: i64,
}

impl Row for DirectoryObjectRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            id: columns.id("id")?,
            tenant: columns.id("tenant")?,
            kind: columns.parsed("kind")?,
            display_name: columns.text("display_name")?,
            created_ms: columns.integer("created_ms")?,
        })
    }
}

/// A display name, or a prefix of one, as lists are ordered by.
pub(crate) fn sort_key(display_name: &str) -> String {
    display_name.to_lowercase()
}

/// An object of any tenant.
pub(crate) async fn find(tx: &mut Connection, id: Uuid) -> Result<Option<DirectoryObjectRow>> {
    row::one(tx, query(FIND).bind(id.to_string())).await
}

/// The tenant and kind of an object; `None` when there is none.
pub(crate) async fn kind_of(tx: &mut Connection, id: Uuid) -> Result<Option<(Uuid, ObjectKind)>> {
    Ok(find(tx, id).await?.map(|found| (found.tenant, found.kind)))
}

/// Adds what every object has; the object's own table follows.
pub(crate) async fn insert(tx: &mut Connection, object: &DirectoryObjectRow) -> Result<()> {
    let statement = query(INSERT)
        .bind(object.id.to_string())
        .bind(object.tenant.to_string())
        .bind(object.kind.as_str())
        .bind(&object.display_name)
        .bind(sort_key(&object.display_name))
        .bind(object.created_ms);
    row::run(tx, statement).await?;
    Ok(())
}

/// Gives an object another name.
pub(crate) async fn rename(tx: &mut Connection, id: Uuid, display_name: &str) -> Result<()> {
    let statement = query(RENAME).bind(id.to_string()).bind(display_name).bind(sort_key(display_name));
    row::run(tx, statement).await?;
    Ok(())
}

/// Removes an object, to which nothing may refer any more.
pub(crate) async fn delete(tx: &mut Connection, id: Uuid) -> Result<()> {
    row::run(tx, query(DELETE).bind(id.to_string())).await?;
    Ok(())
}

/// Greater than every name: the last character there is.
const AFTER_ALL_NAMES: char = '\u{10FFFF}';

/// A tenant's objects of one kind whose names begin with `prefix` (folded), after `after` (a name's sort key and an id).
pub(crate) async fn list(
    tx: &mut Connection,
    (tenant, kind): (Uuid, ObjectKind),
    prefix: &str,
    after: Option<&(String, Uuid)>,
    limit: u32,
) -> Result<Vec<DirectoryObjectRow>> {
    let (name, id) = after.map_or((String::new(), String::new()), |(name, id)| (name.clone(), id.to_string()));
    let statement = query(LIST)
        .bind(tenant.to_string())
        .bind(kind.as_str())
        .bind(prefix)
        .bind(format!("{prefix}{AFTER_ALL_NAMES}"))
        .bind(name)
        .bind(id)
        .bind(i64::from(limit));
    row::all(tx, statement).await
}

/// How many objects a tenant's directory has.
pub(crate) async fn count(tx: &mut Connection, tenant: Uuid) -> Result<u64> {
    let count: Option<i64> = row::one(tx, query(COUNT).bind(tenant.to_string())).await?;
    Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
}
