//! Every tracked resource: one row each, whatever the type.

use galerie_arm::{ProvisioningState, ResourceType, disk::DiskState};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Connection, Result, operation, role_assignment,
    row::{self, Columns, Row, bigint, json},
    statement::{Statement, query, query_of},
};
use crate::authz::KeyRange;

const FIND: &str = "SELECT * FROM resources WHERE key = $1";
const FIND_BY_UID: &str = "SELECT * FROM resources WHERE uid = $1";
const FIND_BY_UNIQUE_KEY: &str = "SELECT * FROM resources WHERE unique_key = $1";
const INSERT: &str = "INSERT INTO resources (key, uid, id, type, tenant, subscription, resource_group, parent, name, \
     location, unique_key, provisioning_state, generation, etag, document, created_ms, updated_ms) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";
const UPDATE: &str = "UPDATE resources SET unique_key = $4, provisioning_state = $5, generation = $6, etag = $7, \
     document = $8, updated_ms = $9 WHERE key = $1 AND uid = $2 AND generation = $3";
const SET_STATE: &str = "UPDATE resources SET provisioning_state = $3 WHERE key = $1 AND uid = $2";
const RECORD_PROGRESS: &str = "UPDATE resources SET provisioning_state = $3, document = $4 WHERE key = $1 AND uid = $2";
const DELETE: &str = "DELETE FROM resources WHERE key = $1 AND uid = $2";
const DELETE_VERSION: &str = "DELETE FROM image_versions WHERE key = $1";
const DELETE_REPLICAS: &str = "DELETE FROM replicas WHERE version = $1";
const DELETE_IMAGES: &str = "DELETE FROM disk_images WHERE resource = $1";
const DELETE_DISK: &str = "DELETE FROM disks WHERE key = $1";
const DELETE_GRANTS: &str = "DELETE FROM grants WHERE resource = $1";
const DELETE_SHARES: &str = "DELETE FROM gallery_shares WHERE gallery = $1";
const DELETE_PUBLICATION: &str = "DELETE FROM community_galleries WHERE gallery = $1";
const DELETE_FORMER_SHARING: &str = "DELETE FROM former_sharing WHERE gallery = $1";
const DELETE_SOFT_DELETION: &str = "DELETE FROM soft_deletions WHERE key = $1";
const DELETE_FOREIGN_SOURCE: &str = "DELETE FROM foreign_sources WHERE resource = $1";
const DELETE_RETENTION: &str = "DELETE FROM retention_policies WHERE definition = $1";
const DELETE_VERSION_PIN: &str = "DELETE FROM pinned_versions WHERE version = $1";
const DELETE_VERSION_USE: &str = "DELETE FROM version_uses WHERE resource = $1";
const DELETE_REJECTIONS: &str = "DELETE FROM share_rejections WHERE gallery = $1";
const DELETE_PACKAGE_LINKS: &str = "DELETE FROM package_links WHERE resource = $1";
const CHILDREN: &str = "SELECT * FROM resources WHERE parent = $1 ORDER BY type, key LIMIT $2";
const FIRST_IN_GROUP: &str = "SELECT * FROM resources WHERE resource_group = $1 AND type = $2 ORDER BY key LIMIT $3";
// A key begins with its group's key and a slash, and '0' is what follows '/': a range of the primary key.
const ROWS_BELOW: &str = "SELECT * FROM resources WHERE key > $1 AND key < $2 ORDER BY key LIMIT $3";
/// What a list shows of its rows.
macro_rules! list {
    ($disk_state:literal, $range:literal) => {
        concat!(
            "SELECT key, id, type, name, location, provisioning_state, etag, ",
            $disk_state,
            " AS disk_state, document FROM resources WHERE ",
            $range
        )
    };
}
macro_rules! list_with_disk_state {
    ($range:literal) => {
        list!("(SELECT state FROM disks WHERE disks.key = resources.key)", $range)
    };
}
// SQLite plans a statement again each time that a parameter is bound which is its whole limit; a sum is not looked into.
// No disk has a parent.
const LIST_CHILDREN: &str =
    list!("CAST(NULL AS TEXT)", "parent = $1 AND type = $2 AND key > $3 ORDER BY key LIMIT $4 + 0");
const LIST_IN_GROUP: &str =
    list_with_disk_state!("resource_group = $1 AND type = $2 AND key > $3 ORDER BY key LIMIT $4 + 0");
const LIST_IN_SUBSCRIPTION: &str =
    list_with_disk_state!("subscription = $1 AND type = $2 AND key > $3 ORDER BY key LIMIT $4 + 0");
const LIST_RANGE: &str = list_with_disk_state!(
    "subscription = $1 AND type = $2 AND key > $3 AND key >= $4 AND key <= $5 ORDER BY key LIMIT $6 + 0"
);
const LIST_KEYS: [&str; 2] = [
    list_with_disk_state!(
        "subscription = $1 AND type = $2 AND key IN (SELECT value FROM json_each($3)) ORDER BY key LIMIT $4 + 0"
    ),
    list_with_disk_state!(
        "subscription = $1 AND type = $2 AND key = ANY(ARRAY(SELECT jsonb_array_elements_text($3::jsonb))) \
         ORDER BY key LIMIT $4 + 0"
    ),
];
const LIST_BELOW: &str = list!("CAST(NULL AS TEXT)", "key > $1 AND key < $2 AND type <> $4 ORDER BY key LIMIT $3 + 0");

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[
    FIND,
    FIND_BY_UID,
    FIND_BY_UNIQUE_KEY,
    INSERT,
    UPDATE,
    SET_STATE,
    RECORD_PROGRESS,
    DELETE,
    DELETE_VERSION,
    DELETE_REPLICAS,
    DELETE_IMAGES,
    DELETE_DISK,
    DELETE_GRANTS,
    DELETE_SHARES,
    DELETE_PUBLICATION,
    DELETE_FORMER_SHARING,
    DELETE_SOFT_DELETION,
    DELETE_FOREIGN_SOURCE,
    DELETE_RETENTION,
    DELETE_VERSION_PIN,
    DELETE_VERSION_USE,
    DELETE_REJECTIONS,
    DELETE_PACKAGE_LINKS,
    CHILDREN,
    FIRST_IN_GROUP,
    ROWS_BELOW,
    LIST_CHILDREN,
    LIST_IN_GROUP,
    LIST_IN_SUBSCRIPTION,
    LIST_RANGE,
    LIST_BELOW,
];

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ResourceRow {
    /// The folded id.
    pub(crate) key: String,
    /// This incarnation: a resource that is re-created under its name has another.
    pub(crate) uid: Uuid,
    /// The id in the spelling of creation.
    pub(crate) id: String,
    pub(crate) resource_type: ResourceType,
    pub(crate) tenant: Uuid,
    pub(crate) subscription: Uuid,
    /// The group's key.
    pub(crate) resource_group: String,
    /// The parent resource's key.
    pub(crate) parent: Option<String>,
    pub(crate) name: String,
    /// Normalised.
    pub(crate) location: String,
    /// What must be unique beside the key.
    pub(crate) unique_key: Option<String>,
    pub(crate) provisioning_state: ProvisioningState,
    /// Bumped by every accepted write.
    pub(crate) generation: u64,
    /// Changes with every accepted write.
    pub(crate) etag: String,
    /// The accepted body with defaults filled in; no state.
    pub(crate) document: Value,
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: i64,
}

impl ResourceRow {
    /// Whether it is something whose bytes are in several regions: a version of an image, be it a soft-deleted one, of an
    /// application or of a script.
    pub(crate) const fn has_replicas(&self) -> bool {
        matches!(
            self.resource_type,
            ResourceType::ImageVersion
                | ResourceType::SoftDeletedVersion
                | ResourceType::ApplicationVersion
                | ResourceType::ScriptVersion
        )
    }
}

impl Row for ResourceRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            key: columns.text("key")?,
            uid: columns.id("uid")?,
            id: columns.text("id")?,
            resource_type: columns.parsed("type")?,
            tenant: columns.id("tenant")?,
            subscription: columns.id("subscription")?,
            resource_group: columns.text("resource_group")?,
            parent: columns.optional_text("parent")?,
            name: columns.text("name")?,
            location: columns.text("location")?,
            unique_key: columns.optional_text("unique_key")?,
            provisioning_state: columns.parsed("provisioning_state")?,
            generation: columns.unsigned("generation")?,
            etag: columns.text("etag")?,
            document: columns.json("document")?,
            created_ms: columns.integer("created_ms")?,
            updated_ms: columns.integer("updated_ms")?,
        })
    }
}

/// What a list shows of a row, where the database has it: a page is a hundred of them, and each is looked at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListedRow<'r> {
    pub(crate) key: &'r str,
    pub(crate) id: &'r str,
    pub(crate) resource_type: ResourceType,
    pub(crate) name: &'r str,
    pub(crate) location: &'r str,
    pub(crate) provisioning_state: ProvisioningState,
    pub(crate) etag: &'r str,
    /// Of a disk or snapshot in a list of its type.
    pub(crate) disk_state: Option<DiskState>,
    /// The document's text.
    pub(crate) document: &'r str,
}

impl<'r> ListedRow<'r> {
    fn read(columns: &'r Columns<'_>) -> Result<Self> {
        Ok(Self {
            key: columns.str("key")?,
            id: columns.str("id")?,
            resource_type: columns.parsed("type")?,
            name: columns.str("name")?,
            location: columns.str("location")?,
            provisioning_state: columns.parsed("provisioning_state")?,
            etag: columns.str("etag")?,
            disk_state: columns.optional_parsed("disk_state")?,
            document: columns.str("document")?,
        })
    }
}

/// What becomes of each row of a list.
pub(crate) trait Show<T>: Fn(&ListedRow<'_>) -> T + Send {}

impl<T, F: Fn(&ListedRow<'_>) -> T + Send> Show<T> for F {}

/// A resource by its key.
pub(crate) async fn find(tx: &mut Connection, key: &str) -> Result<Option<ResourceRow>> {
    let found = find_kept(tx, key).await?;
    Ok(found.filter(|row| row.resource_type != ResourceType::SoftDeletedVersion))
}

/// A resource by its key, be it a soft-deleted version.
pub(crate) async fn find_kept(tx: &mut Connection, key: &str) -> Result<Option<ResourceRow>> {
    row::one(tx, query(FIND).bind(key)).await
}

/// A resource by its incarnation.
pub(crate) async fn find_by_uid(tx: &mut Connection, uid: Uuid) -> Result<Option<ResourceRow>> {
    row::one(tx, query(FIND_BY_UID).bind(uid.to_string())).await
}

/// The resource that has taken a unique key.
pub(crate) async fn find_by_unique_key(tx: &mut Connection, unique_key: &str) -> Result<Option<ResourceRow>> {
    row::one(tx, query(FIND_BY_UNIQUE_KEY).bind(unique_key)).await
}

/// Adds a resource.
pub(crate) async fn insert(tx: &mut Connection, resource: &ResourceRow) -> Result<()> {
    let statement = query(INSERT)
        .bind(&resource.key)
        .bind(resource.uid.to_string())
        .bind(&resource.id)
        .bind(resource.resource_type.as_str())
        .bind(resource.tenant.to_string())
        .bind(resource.subscription.to_string())
        .bind(&resource.resource_group)
        .bind(&resource.parent)
        .bind(&resource.name)
        .bind(&resource.location)
        .bind(&resource.unique_key)
        .bind(resource.provisioning_state.as_str())
        .bind(bigint(resource.generation))
        .bind(&resource.etag)
        .bind(json(&resource.document))
        .bind(resource.created_ms)
        .bind(resource.updated_ms);
    row::run(tx, statement).await?;
    Ok(())
}

/// Writes what may change of a resource. Fenced: only over the same incarnation at `previous_generation`; whether it was.
pub(crate) async fn update(tx: &mut Connection, resource: &ResourceRow, previous_generation: u64) -> Result<bool> {
    let statement = query(UPDATE)
        .bind(&resource.key)
        .bind(resource.uid.to_string())
        .bind(bigint(previous_generation))
        .bind(&resource.unique_key)
        .bind(resource.provisioning_state.as_str())
        .bind(bigint(resource.generation))
        .bind(&resource.etag)
        .bind(json(&resource.document))
        .bind(resource.updated_ms);
    Ok(row::run(tx, statement).await? == 1)
}

/// Writes progress: the state alone. Neither generation nor etag changes. Whether that incarnation was there.
pub(crate) async fn set_state(tx: &mut Connection, key: &str, uid: Uuid, state: ProvisioningState) -> Result<bool> {
    Ok(row::run(tx, query(SET_STATE).bind(key).bind(uid.to_string()).bind(state.as_str())).await? == 1)
}

/// Writes progress: the state, and what the service itself filled into the document. Neither generation nor etag changes.
/// Whether that incarnation was there.
pub(crate) async fn record_progress(
    tx: &mut Connection,
    key: &str,
    uid: Uuid,
    state: ProvisioningState,
    document: &Value,
) -> Result<bool> {
    let statement = query(RECORD_PROGRESS).bind(key).bind(uid.to_string()).bind(state.as_str());
    Ok(row::run(tx, statement.bind(json(document))).await? == 1)
}

/// Removes a resource with everything that hangs off it, who has roles at it included, and cancels its unfinished
/// operations. It must have no children. Whether that incarnation was there.
pub(crate) async fn delete_with_everything(tx: &mut Connection, resource: &ResourceRow, now_ms: i64) -> Result<bool> {
    let ResourceRow { key, uid, tenant, .. } = resource;
    role_assignment::delete_at_or_below(tx, *tenant, key).await?;
    let hanging = [
        DELETE_GRANTS,
        DELETE_REPLICAS,
        DELETE_IMAGES,
        DELETE_DISK,
        DELETE_VERSION,
        DELETE_SHARES,
        DELETE_PUBLICATION,
        DELETE_FORMER_SHARING,
        DELETE_SOFT_DELETION,
        DELETE_FOREIGN_SOURCE,
        DELETE_RETENTION,
        DELETE_VERSION_PIN,
        DELETE_VERSION_USE,
        DELETE_REJECTIONS,
        DELETE_PACKAGE_LINKS,
    ];
    for statement in hanging {
        row::run(tx, query(statement).bind(key)).await?;
    }
    operation::cancel_for_resource(tx, *uid, now_ms).await?;
    Ok(row::run(tx, query(DELETE).bind(key).bind(uid.to_string())).await? == 1)
}

/// Some children, of any type.
pub(crate) async fn first_children(tx: &mut Connection, key: &str, most: u32) -> Result<Vec<ResourceRow>> {
    row::all(tx, query(CHILDREN).bind(key).bind(i64::from(most))).await
}

/// Some of a group's resources of one type.
pub(crate) async fn first_in_group(
    tx: &mut Connection,
    group_key: &str,
    resource_type: ResourceType,
    most: u32,
) -> Result<Vec<ResourceRow>> {
    let statement = query(FIRST_IN_GROUP).bind(group_key).bind(resource_type.as_str());
    row::all(tx, statement.bind(i64::from(most))).await
}

/// Some of a subscription's resources of all types, soft-deleted ones included, whole, by key, after `after`.
pub(crate) async fn rows_in_subscription(
    tx: &mut Connection,
    subscription: Uuid,
    after: Option<&str>,
    most: u32,
) -> Result<Vec<ResourceRow>> {
    let (after, end) = range_below(&format!("/subscriptions/{subscription}"), after);
    row::all(tx, query(ROWS_BELOW).bind(&after).bind(&end).bind(i64::from(most))).await
}

/// A page of a resource's children of one type, by key, after `after`.
pub(crate) async fn list_children<T: Send>(
    tx: &mut Connection,
    parent: &str,
    resource_type: ResourceType,
    after: Option<&str>,
    limit: u32,
    show: impl Show<T>,
) -> Result<Vec<T>> {
    typed(tx, LIST_CHILDREN, parent, resource_type, after, limit, show).await
}

/// A page of a group's resources, by key, after `after`; of one type or of all.
pub(crate) async fn list_in_group<T: Send>(
    tx: &mut Connection,
    group_key: &str,
    resource_type: Option<ResourceType>,
    after: Option<&str>,
    limit: u32,
    show: impl Show<T>,
) -> Result<Vec<T>> {
    match resource_type {
        Some(resource_type) => typed(tx, LIST_IN_GROUP, group_key, resource_type, after, limit, show).await,
        None => below(tx, group_key, after, limit, show).await,
    }
}

/// A page of a subscription's resources, by key, after `after`; of one type or of all.
pub(crate) async fn list_in_subscription<T: Send>(
    tx: &mut Connection,
    subscription: Uuid,
    resource_type: Option<ResourceType>,
    after: Option<&str>,
    limit: u32,
    show: impl Show<T>,
) -> Result<Vec<T>> {
    let subscription = subscription.to_string();
    match resource_type {
        Some(resource_type) => typed(tx, LIST_IN_SUBSCRIPTION, &subscription, resource_type, after, limit, show).await,
        None => below(tx, &format!("/subscriptions/{subscription}"), after, limit, show).await,
    }
}

/// A page of a subscription's resources of one type whose keys lie in a range, by key, after `after`.
pub(crate) async fn list_in_range<T: Send>(
    tx: &mut Connection,
    subscription: Uuid,
    resource_type: ResourceType,
    range: &KeyRange,
    after: Option<&str>,
    limit: u32,
    show: impl Show<T>,
) -> Result<Vec<T>> {
    let statement = query(LIST_RANGE).bind(subscription.to_string()).bind(resource_type.as_str());
    let statement = statement.bind(after.unwrap_or("")).bind(&range.first).bind(&range.last);
    shown(tx, statement.bind(i64::from(limit)), show).await
}

/// A subscription's resources of one type with these keys, by key.
pub(crate) async fn list_keys<T: Send>(
    tx: &mut Connection,
    subscription: Uuid,
    resource_type: ResourceType,
    keys: &[&str],
    limit: u32,
    show: impl Show<T>,
) -> Result<Vec<T>> {
    let statement = query_of(LIST_KEYS).bind(subscription.to_string()).bind(resource_type.as_str());
    shown(tx, statement.bind(json(&keys)).bind(i64::from(limit)), show).await
}

async fn typed<T: Send>(
    tx: &mut Connection,
    statement: &'static str,
    scope: &str,
    resource_type: ResourceType,
    after: Option<&str>,
    limit: u32,
    show: impl Show<T>,
) -> Result<Vec<T>> {
    let statement = query(statement).bind(scope).bind(resource_type.as_str()).bind(after.unwrap_or(""));
    shown(tx, statement.bind(i64::from(limit)), show).await
}

async fn below<T: Send>(
    tx: &mut Connection,
    scope: &str,
    after: Option<&str>,
    limit: u32,
    show: impl Show<T>,
) -> Result<Vec<T>> {
    let (after, end) = range_below(scope, after);
    let statement = query(LIST_BELOW).bind(&after).bind(&end).bind(i64::from(limit));
    shown(tx, statement.bind(ResourceType::SoftDeletedVersion.as_str()), show).await
}

/// Runs a statement that answers rows of a list, and shows each where the database has it.
async fn shown<T: Send>(tx: &mut Connection, statement: Statement<'_>, show: impl Show<T>) -> Result<Vec<T>> {
    tx.fetch_all(statement, move |columns| Ok(show(&ListedRow::read(columns)?))).await
}

/// The keys below a scope, or those of them after `after`: what they come after, and what they come before.
fn range_below(scope: &str, after: Option<&str>) -> (String, String) {
    let first = format!("{scope}/");
    let after = after.filter(|after| **after > *first).map_or(first, str::to_owned);
    (after, format!("{scope}0"))
}
