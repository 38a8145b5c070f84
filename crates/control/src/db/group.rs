//! Groups, and who is in them. Every change of a membership makes what was compiled of the tenant's access stale.

use serde_json::Value;
use uuid::Uuid;

use super::{
    Connection, Result, access_revision,
    directory_object::{self, DirectoryObjectRow, ObjectKind},
    row::{self, Columns, Row, json},
    statement::{query, query_of},
};

const FIND: &str =
    "SELECT o.*, g.document FROM directory_groups g JOIN directory_objects o ON o.id = g.id WHERE g.id = $1";
const INSERT: &str = "INSERT INTO directory_groups (id, document) VALUES ($1, $2)";
const UPDATE: &str = "UPDATE directory_groups SET document = $2 WHERE id = $1";
const DELETE: &str = "DELETE FROM directory_groups WHERE id = $1";
const DELETE_MEMBERS: &str = "DELETE FROM group_members WHERE group_id = $1";
const ADD_MEMBER: &str =
    "INSERT INTO group_members (group_id, member) VALUES ($1, $2) ON CONFLICT (group_id, member) DO NOTHING";
const REMOVE_MEMBER: &str = "DELETE FROM group_members WHERE group_id = $1 AND member = $2";
const REMOVE_FROM_ALL: &str = "DELETE FROM group_members WHERE member = $1";
const LIST_MEMBERS: &str = "SELECT o.* FROM group_members m JOIN directory_objects o ON o.id = m.member \
     WHERE m.group_id = $1 AND m.member > $2 ORDER BY m.member LIMIT $3";
const DIRECT: &str = "SELECT group_id FROM group_members WHERE member = $1 ORDER BY group_id LIMIT $2";
/// UNION, which leaves out what was found before, ends even where groups are members of each other.
macro_rules! memberships {
    ($of:literal) => {
        concat!(
            "WITH RECURSIVE above (id) AS (SELECT group_id FROM group_members WHERE ",
            $of,
            " UNION SELECT m.group_id FROM group_members m JOIN above a ON m.member = a.id) \
             SELECT id FROM above ORDER BY id"
        )
    };
}
const MEMBERSHIPS: &str = memberships!("member = $1");
const MEMBERSHIPS_OF_ANY: [&str; 2] = [
    memberships!("member IN (SELECT value FROM json_each($1))"),
    memberships!("member = ANY(ARRAY(SELECT jsonb_array_elements_text($1::jsonb)))"),
];

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[
    FIND,
    INSERT,
    UPDATE,
    DELETE,
    DELETE_MEMBERS,
    ADD_MEMBER,
    REMOVE_MEMBER,
    REMOVE_FROM_ALL,
    LIST_MEMBERS,
    DIRECT,
    MEMBERSHIPS,
];

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GroupRow {
    pub(crate) object: DirectoryObjectRow,
    /// Description and the like.
    pub(crate) document: Value,
}

impl Row for GroupRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self { object: DirectoryObjectRow::read(columns)?, document: columns.json("document")? })
    }
}

/// A group of any tenant.
pub(crate) async fn find(tx: &mut Connection, id: Uuid) -> Result<Option<GroupRow>> {
    row::one(tx, query(FIND).bind(id.to_string())).await
}

/// Adds a group without members.
pub(crate) async fn insert(tx: &mut Connection, group: &GroupRow) -> Result<()> {
    debug_assert_eq!(group.object.kind, ObjectKind::Group);
    directory_object::insert(tx, &group.object).await?;
    row::run(tx, query(INSERT).bind(group.object.id.to_string()).bind(json(&group.document))).await?;
    Ok(())
}

/// Writes what can change of a group.
pub(crate) async fn update(tx: &mut Connection, group: &GroupRow) -> Result<()> {
    directory_object::rename(tx, group.object.id, &group.object.display_name).await?;
    row::run(tx, query(UPDATE).bind(group.object.id.to_string()).bind(json(&group.document))).await?;
    Ok(())
}

/// Removes a group's row and its list of members.
pub(crate) async fn delete(tx: &mut Connection, id: Uuid) -> Result<()> {
    access_revision::advance_for(tx, id).await?;
    row::run(tx, query(DELETE_MEMBERS).bind(id.to_string())).await?;
    row::run(tx, query(DELETE).bind(id.to_string())).await?;
    Ok(())
}

/// Makes an object a member. Whether it was none.
pub(crate) async fn add_member(tx: &mut Connection, group: Uuid, member: Uuid) -> Result<bool> {
    access_revision::advance_for(tx, member).await?;
    Ok(row::run(tx, query(ADD_MEMBER).bind(group.to_string()).bind(member.to_string())).await? == 1)
}

/// Ends a membership. Whether there was one.
pub(crate) async fn remove_member(tx: &mut Connection, group: Uuid, member: Uuid) -> Result<bool> {
    access_revision::advance_for(tx, member).await?;
    Ok(row::run(tx, query(REMOVE_MEMBER).bind(group.to_string()).bind(member.to_string())).await? == 1)
}

/// Ends all memberships of an object.
pub(crate) async fn remove_from_all(tx: &mut Connection, member: Uuid) -> Result<()> {
    access_revision::advance_for(tx, member).await?;
    row::run(tx, query(REMOVE_FROM_ALL).bind(member.to_string())).await?;
    Ok(())
}

/// The direct members after one, in the order of their ids.
pub(crate) async fn list_members(
    tx: &mut Connection,
    group: Uuid,
    after: Option<Uuid>,
    limit: u32,
) -> Result<Vec<DirectoryObjectRow>> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    row::all(tx, query(LIST_MEMBERS).bind(group.to_string()).bind(after).bind(i64::from(limit))).await
}

/// The groups that an object is directly in.
pub(crate) async fn direct_memberships(tx: &mut Connection, member: Uuid, limit: u32) -> Result<Vec<Uuid>> {
    ids(row::all(tx, query(DIRECT).bind(member.to_string()).bind(i64::from(limit))).await?)
}

/// The groups that an object is in, directly or through other groups, in the order of their ids.
pub(crate) async fn memberships(tx: &mut Connection, principal: Uuid) -> Result<Vec<Uuid>> {
    ids(row::all(tx, query(MEMBERSHIPS).bind(principal.to_string())).await?)
}

/// The same of all groups that any of several objects is in.
pub(crate) async fn memberships_of_any(tx: &mut Connection, objects: &[Uuid]) -> Result<Vec<Uuid>> {
    ids(row::all(tx, query_of(MEMBERSHIPS_OF_ANY).bind(json(&objects))).await?)
}

fn ids(texts: Vec<String>) -> Result<Vec<Uuid>> {
    let parsed = |text: &String| {
        text.parse().map_err(|_| super::Error::Corrupt(format!("a membership is in the group '{text}'")))
    };
    texts.iter().map(parsed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{
        tenant::{self, TenantRow},
        tests::fresh,
    };

    async fn group(tx: &mut Connection, id: u128) -> Uuid {
        let object = DirectoryObjectRow {
            id: Uuid::from_u128(id),
            tenant: Uuid::nil(),
            kind: ObjectKind::Group,
            display_name: format!("Group {id}"),
            created_ms: 1,
        };
        let id = object.id;
        insert(tx, &GroupRow { object, document: Value::Null }).await.unwrap();
        id
    }

    #[tokio::test]
    async fn memberships_reach_through_nested_groups_and_end_in_circles() {
        let (_directory, db) = fresh().await;
        let mut tx = db.write().await.unwrap();
        let row = TenantRow { id: Uuid::nil(), display_name: String::new(), default_domain: "d".into(), created_ms: 1 };
        tenant::insert(&mut tx, &row).await.unwrap();
        let mut ids = Vec::new();
        for id in 1..=5 {
            ids.push(group(&mut tx, id).await);
        }
        let [member, inner, outer, circle, elsewhere] = ids[..] else { unreachable!("five") };
        for (above, below) in [(inner, member), (outer, inner), (circle, outer), (inner, circle), (elsewhere, outer)] {
            assert!(add_member(&mut tx, above, below).await.unwrap());
            assert!(!add_member(&mut tx, above, below).await.unwrap(), "twice");
        }
        assert_eq!(memberships(&mut tx, member).await.unwrap(), [inner, outer, circle, elsewhere]);
        assert_eq!(direct_memberships(&mut tx, member, 10).await.unwrap(), [inner]);
        assert_eq!(memberships_of_any(&mut tx, &[member, outer]).await.unwrap(), [inner, outer, circle, elsewhere]);
        assert!(memberships_of_any(&mut tx, &[elsewhere]).await.unwrap().is_empty());
        assert!(memberships(&mut tx, elsewhere).await.unwrap().is_empty());
        remove_member(&mut tx, outer, inner).await.unwrap();
        assert_eq!(memberships(&mut tx, member).await.unwrap(), [inner]);
        assert_eq!(directory_object::kind_of(&mut tx, inner).await.unwrap(), Some((Uuid::nil(), ObjectKind::Group)));
        assert_eq!(directory_object::kind_of(&mut tx, Uuid::from_u128(9)).await.unwrap(), None);
    }
}
