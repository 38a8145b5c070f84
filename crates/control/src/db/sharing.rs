//! With whom galleries are shared, which are published, and what was before a Reset; and what consumers see of them.
//!
//! Lists are by what consumers may know (a gallery's unique key, a public name), never by the owner's ids.

use galerie_arm::{ResourceType, sharing::SharingGroupKind};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Connection, Result,
    resource::ResourceRow,
    row::{self, Columns, Row, json},
    statement::query,
};

const GROUPS: &str = "SELECT * FROM gallery_shares WHERE gallery = $1 ORDER BY kind DESC, shared_ms, id";
const ADD_GROUP: &str =
    "INSERT INTO gallery_shares (gallery, kind, id, shared_ms) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
const REMOVE_GROUP: &str = "DELETE FROM gallery_shares WHERE gallery = $1 AND kind = $2 AND id = $3";
const CLEAR_GROUPS: &str = "DELETE FROM gallery_shares WHERE gallery = $1";
const IS_OFFERED: &str = "SELECT COUNT(*) FROM gallery_shares WHERE gallery = $1 \
     AND ((kind = 'Subscriptions' AND id = $2) OR (kind = 'AADTenants' AND id = $3))";
/// A subscription that rejected a gallery sees it by no share; a tenant, by none with the tenant.
const IS_SHARED: &str = "SELECT COUNT(*) FROM gallery_shares s WHERE s.gallery = $1 \
     AND ((s.kind = 'Subscriptions' AND s.id = $2) OR (s.kind = 'AADTenants' AND s.id = $3)) \
     AND NOT EXISTS (SELECT 1 FROM share_rejections x WHERE x.gallery = s.gallery \
     AND ((x.kind = s.kind AND x.id = s.id) OR (x.kind = 'Subscriptions' AND x.id = $2)))";
const REJECT: &str =
    "INSERT INTO share_rejections (gallery, kind, id, rejected_ms) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
const ACCEPT: &str = "DELETE FROM share_rejections WHERE gallery = $1 AND kind = $2 AND id = $3";
const CLEAR_REJECTIONS: &str = "DELETE FROM share_rejections WHERE gallery = $1";
// Complete replicas below a gallery or definition are a range of their primary key: '0' is what follows '/'. The index of regions
// would have all complete replicas of the region looked at, in every gallery; a text that is put together has no index.
macro_rules! seen_in_region {
    ($region:literal) => {
        concat!(
            "(r.location = ",
            $region,
            " OR EXISTS (SELECT 1 FROM replicas c WHERE c.version > r.key || '/' AND c.version < r.key || '0' \
     AND c.region || '' = ",
            $region,
            " AND c.state = 'Completed'))"
        )
    };
}
const LIST_SHARED: &str = concat!(
    "SELECT r.* FROM gallery_shares s JOIN resources r ON r.key = s.gallery WHERE s.kind = $1 AND s.id = $2 AND ",
    seen_in_region!("$3"),
    " AND NOT EXISTS (SELECT 1 FROM share_rejections x WHERE x.gallery = s.gallery \
     AND ((x.kind = s.kind AND x.id = s.id) OR (x.kind = 'Subscriptions' AND x.id = $6))) \
     AND r.unique_key > $4 ORDER BY r.unique_key LIMIT $5"
);
const IS_SEEN: &str = concat!("SELECT COUNT(*) FROM resources r WHERE r.key = $1 AND ", seen_in_region!("$2"));
const LIST_DEFINITIONS: &str = concat!(
    "SELECT r.* FROM resources r WHERE r.parent = $1 AND r.type = $2 AND ",
    seen_in_region!("$3"),
    " AND r.key > $4 ORDER BY r.key LIMIT $5"
);
const LIST_VERSIONS: &str = "SELECT r.* FROM resources r JOIN replicas c ON c.version = r.key AND c.region = $3 \
     AND c.state = 'Completed' WHERE r.parent = $1 AND r.type = $2 AND r.key > $4 ORDER BY r.key LIMIT $5";
const PUBLISH: &str =
    "INSERT INTO community_galleries (public_name, gallery, published_ms) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
const UNPUBLISH: &str = "DELETE FROM community_galleries WHERE gallery = $1";
const IS_PUBLISHED: &str = "SELECT COUNT(*) FROM community_galleries WHERE gallery = $1";
const FIND_PUBLISHED: &str = "SELECT r.* FROM community_galleries p JOIN resources r ON r.key = p.gallery \
     WHERE p.public_name = $1";
const PUBLISHED_IN_GROUP: &str = "SELECT r.* FROM community_galleries p JOIN resources r ON r.key = p.gallery \
     WHERE r.resource_group = $1 LIMIT 1";
const LIST_PUBLISHED: &str = "SELECT r.*, p.public_name FROM community_galleries p JOIN resources r ON r.key = p.gallery \
     WHERE ($1 = '' OR r.location = $1) AND p.public_name > $2 ORDER BY p.public_name LIMIT $3";
const COUNT_PUBLISHED: &str = "SELECT COUNT(*) FROM community_galleries p JOIN resources r ON r.key = p.gallery \
     WHERE ($1 = '' OR r.location = $1)";
const REMEMBER: &str = "INSERT INTO former_sharing (gallery, profile) VALUES ($1, $2) \
     ON CONFLICT (gallery) DO UPDATE SET profile = excluded.profile";
const FORMER: &str = "SELECT profile FROM former_sharing WHERE gallery = $1";
const FORGET: &str = "DELETE FROM former_sharing WHERE gallery = $1";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[
    GROUPS,
    ADD_GROUP,
    REMOVE_GROUP,
    CLEAR_GROUPS,
    IS_OFFERED,
    IS_SHARED,
    REJECT,
    ACCEPT,
    CLEAR_REJECTIONS,
    LIST_SHARED,
    IS_SEEN,
    LIST_DEFINITIONS,
    LIST_VERSIONS,
    PUBLISH,
    UNPUBLISH,
    IS_PUBLISHED,
    FIND_PUBLISHED,
    PUBLISHED_IN_GROUP,
    LIST_PUBLISHED,
    COUNT_PUBLISHED,
    REMEMBER,
    FORMER,
    FORGET,
];

/// A subscription or tenant that a gallery is shared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SharingGroupRow {
    pub(crate) kind: SharingGroupKind,
    pub(crate) id: Uuid,
}

impl Row for SharingGroupRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self { kind: columns.parsed("kind")?, id: columns.id("id")? })
    }
}

/// A published gallery under its public name, in small letters.
#[derive(Debug, Clone)]
pub(crate) struct PublishedRow {
    pub(crate) public_name: String,
    pub(crate) gallery: ResourceRow,
}

impl Row for PublishedRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self { public_name: columns.text("public_name")?, gallery: ResourceRow::read(columns)? })
    }
}

/// With whom a gallery is shared, subscriptions first, in the order in which they came.
pub(crate) async fn groups(tx: &mut Connection, gallery: &str) -> Result<Vec<SharingGroupRow>> {
    row::all(tx, query(GROUPS).bind(gallery)).await
}

/// Shares a gallery, with who rejected an earlier share, too; again is fine.
pub(crate) async fn add_group(tx: &mut Connection, gallery: &str, group: SharingGroupRow, now_ms: i64) -> Result<()> {
    accept(tx, gallery, group).await?;
    let statement = query(ADD_GROUP).bind(gallery).bind(group.kind.as_str()).bind(group.id.to_string());
    row::run(tx, statement.bind(now_ms)).await?;
    Ok(())
}

/// Ends the sharing with one group.
pub(crate) async fn remove_group(tx: &mut Connection, gallery: &str, group: SharingGroupRow) -> Result<()> {
    row::run(tx, query(REMOVE_GROUP).bind(gallery).bind(group.kind.as_str()).bind(group.id.to_string())).await?;
    Ok(())
}

/// Ends the sharing with every group.
pub(crate) async fn clear_groups(tx: &mut Connection, gallery: &str) -> Result<()> {
    row::run(tx, query(CLEAR_GROUPS).bind(gallery)).await?;
    row::run(tx, query(CLEAR_REJECTIONS).bind(gallery)).await?;
    Ok(())
}

/// A share is seen no more by whom it is with; whether it was.
pub(crate) async fn reject(tx: &mut Connection, gallery: &str, by: SharingGroupRow, now_ms: i64) -> Result<bool> {
    let statement = query(REJECT).bind(gallery).bind(by.kind.as_str()).bind(by.id.to_string());
    Ok(row::run(tx, statement.bind(now_ms)).await? == 1)
}

/// A share is seen again by whom it is with; whether it was not.
pub(crate) async fn accept(tx: &mut Connection, gallery: &str, by: SharingGroupRow) -> Result<bool> {
    let statement = query(ACCEPT).bind(gallery).bind(by.kind.as_str()).bind(by.id.to_string());
    Ok(row::run(tx, statement).await? == 1)
}

/// Whether a gallery is shared with a subscription or with its tenant, be it rejected.
pub(crate) async fn is_offered(tx: &mut Connection, gallery: &str, subscription: Uuid, tenant: Uuid) -> Result<bool> {
    let statement = query(IS_OFFERED).bind(gallery).bind(subscription.to_string()).bind(tenant.to_string());
    Ok(row::one::<i64>(tx, statement).await?.is_some_and(|count| count > 0))
}

/// Whether a gallery is shared with a subscription or with its tenant, and they do not mind.
pub(crate) async fn is_shared(tx: &mut Connection, gallery: &str, subscription: Uuid, tenant: Uuid) -> Result<bool> {
    let statement = query(IS_SHARED).bind(gallery).bind(subscription.to_string()).bind(tenant.to_string());
    Ok(row::one::<i64>(tx, statement).await?.is_some_and(|count| count > 0))
}

/// Whether a gallery or definition is seen in a region: it lives there, or a version below it is complete there.
pub(crate) async fn is_seen(tx: &mut Connection, key: &str, region: &str) -> Result<bool> {
    Ok(row::one::<i64>(tx, query(IS_SEEN).bind(key).bind(region)).await?.is_some_and(|count| count > 0))
}

/// A page of the galleries that are shared with a group, not rejected by it or by the subscription that looks, and seen in a
/// region, by unique key, after `after`.
pub(crate) async fn list_shared(
    tx: &mut Connection,
    group: SharingGroupRow,
    viewer: Uuid,
    region: &str,
    after: &str,
    limit: u32,
) -> Result<Vec<ResourceRow>> {
    let statement = query(LIST_SHARED).bind(group.kind.as_str()).bind(group.id.to_string()).bind(region);
    row::all(tx, statement.bind(after).bind(i64::from(limit)).bind(viewer.to_string())).await
}

/// A page of a gallery's definitions that are seen in a region, by key, after `after`.
pub(crate) async fn list_definitions(
    tx: &mut Connection,
    gallery: &str,
    region: &str,
    after: &str,
    limit: u32,
) -> Result<Vec<ResourceRow>> {
    children(tx, LIST_DEFINITIONS, gallery, ResourceType::ImageDefinition, region, after, limit).await
}

/// A page of a definition's versions that are complete in a region, by key, after `after`.
pub(crate) async fn list_versions(
    tx: &mut Connection,
    definition: &str,
    region: &str,
    after: &str,
    limit: u32,
) -> Result<Vec<ResourceRow>> {
    children(tx, LIST_VERSIONS, definition, ResourceType::ImageVersion, region, after, limit).await
}

async fn children(
    tx: &mut Connection,
    statement: &'static str,
    parent: &str,
    resource_type: ResourceType,
    region: &str,
    after: &str,
    limit: u32,
) -> Result<Vec<ResourceRow>> {
    let statement = query(statement).bind(parent).bind(resource_type.as_str()).bind(region);
    row::all(tx, statement.bind(after).bind(i64::from(limit))).await
}

/// Publishes a gallery under a public name; again is fine.
pub(crate) async fn publish(tx: &mut Connection, public_name: &str, gallery: &str, now_ms: i64) -> Result<()> {
    row::run(tx, query(PUBLISH).bind(public_name.to_lowercase()).bind(gallery).bind(now_ms)).await?;
    Ok(())
}

/// Takes a gallery from the public; one that is not published is fine.
pub(crate) async fn unpublish(tx: &mut Connection, gallery: &str) -> Result<()> {
    row::run(tx, query(UNPUBLISH).bind(gallery)).await?;
    Ok(())
}

/// Whether a gallery is published.
pub(crate) async fn is_published(tx: &mut Connection, gallery: &str) -> Result<bool> {
    Ok(row::one::<i64>(tx, query(IS_PUBLISHED).bind(gallery)).await?.is_some_and(|count| count > 0))
}

/// The gallery that is published under a name, in any case.
pub(crate) async fn find_published(tx: &mut Connection, public_name: &str) -> Result<Option<ResourceRow>> {
    row::one(tx, query(FIND_PUBLISHED).bind(public_name.to_lowercase())).await
}

/// A published gallery in a resource group.
pub(crate) async fn published_in_group(tx: &mut Connection, group_key: &str) -> Result<Option<ResourceRow>> {
    row::one(tx, query(PUBLISHED_IN_GROUP).bind(group_key)).await
}

/// A page of published galleries, by public name, after `after`; all, or those that live in a location.
pub(crate) async fn list_published(
    tx: &mut Connection,
    location: Option<&str>,
    after: &str,
    limit: u32,
) -> Result<Vec<PublishedRow>> {
    let statement = query(LIST_PUBLISHED).bind(location.unwrap_or("")).bind(after);
    row::all(tx, statement.bind(i64::from(limit))).await
}

/// How many such galleries there are.
pub(crate) async fn count_published(tx: &mut Connection, location: Option<&str>) -> Result<u64> {
    let count: Option<i64> = row::one(tx, query(COUNT_PUBLISHED).bind(location.unwrap_or(""))).await?;
    Ok(count.unwrap_or(0).unsigned_abs())
}

/// Keeps what a Reset takes away.
pub(crate) async fn remember(tx: &mut Connection, gallery: &str, profile: &Value) -> Result<()> {
    row::run(tx, query(REMEMBER).bind(gallery).bind(json(profile))).await?;
    Ok(())
}

/// The sharing profile before the last Reset, if the gallery was not shared again since.
pub(crate) async fn former(tx: &mut Connection, gallery: &str) -> Result<Option<Value>> {
    let text: Option<String> = row::one(tx, query(FORMER).bind(gallery)).await?;
    let parse = |text: String| {
        serde_json::from_str(&text).map_err(|_| super::Error::Corrupt(format!("a former sharing profile is '{text}'")))
    };
    text.map(parse).transpose()
}

/// Forgets it; the gallery is shared again.
pub(crate) async fn forget(tx: &mut Connection, gallery: &str) -> Result<()> {
    row::run(tx, query(FORGET).bind(gallery)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::tests::fresh;

    /// A step of a plan.
    struct Step(String);

    impl Row for Step {
        fn read(columns: &Columns) -> Result<Self> {
            Ok(Self(columns.text("detail")?))
        }
    }

    /// Regression: every complete replica of the region was looked at for every gallery and definition. What PostgreSQL plans depends on
    /// what it has counted.
    #[tokio::test]
    async fn what_is_seen_in_a_region_is_looked_for_below_it() {
        let (_directory, db) = fresh().await;
        if db.is_shared() {
            return;
        }
        let mut tx = db.read().await.unwrap();
        for text in [IS_SEEN, LIST_SHARED, LIST_DEFINITIONS] {
            let explain = ["x"; 6]
                .iter()
                .fold(crate::db::statement::query_text(format!("EXPLAIN QUERY PLAN {text}")), |statement, value| {
                    statement.bind(*value)
                });
            let steps: Vec<Step> = row::all(&mut tx, explain).await.unwrap();
            let replicas: Vec<_> = steps.iter().filter(|step| step.0.starts_with("SEARCH c ")).collect();
            assert!(matches!(replicas[..], [step] if step.0.contains("(version>? AND version<?)")), "{text}");
        }
    }
}
