//! Revisions of what decides who may do what, one for each tenant, and what the last changes were.
//!
//! Read in the transaction that asks, a revision says whether what was compiled earlier still holds. So a change counts from
//! the next transaction of any process on. What changed is written beside it, the newest first, so that whoever compiled an
//! earlier revision compiles no more than that again:
//!
//! ```text
//! 8b7f... 52a1... /subscriptions/...    the roles at a scope of a user, group or service principal
//! 03c9... 77de...                       a principal's memberships, or a custom role
//! ```
//! Each line begins with the revision that the change made. Lines are cut off after [`CHANGES_LENGTH`] characters, in the
//! middle of one perhaps: whoever does not find the own revision's beginning compiles everything.

use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row},
    setting,
    statement::query,
};

/// Characters of changes that are kept of a tenant: about sixty changes of assignments to versions.
const CHANGES_LENGTH: i64 = 16_384;

const FIND: &str = "SELECT revision FROM access_revisions WHERE tenant = $1";
const PUT: &str = "INSERT INTO access_revisions (tenant, revision) VALUES ($1, $2) \
                   ON CONFLICT (tenant) DO UPDATE SET revision = excluded.revision";
const TENANT_OF: &str = "SELECT tenant FROM directory_objects WHERE id = $1";
const PUT_CHANGE: &str = "INSERT INTO settings (name, value) VALUES ($1, $2) \
     ON CONFLICT (name) DO UPDATE SET value = substr(excluded.value || settings.value, 1, CAST($3 AS INTEGER))";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[FIND, PUT, TENANT_OF, PUT_CHANGE];

/// A revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Revision(Uuid);

impl Row for Revision {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self(columns.id("revision")?))
    }
}

/// What a transaction is about to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AccessChange {
    /// A principal's roles at a scope.
    Assignment { principal: Uuid, scope_key: String },
    /// What an object is to whoever is, has or is in it: the memberships of a principal, all assignments of one, what a
    /// custom role allows.
    Object(Uuid),
}

impl AccessChange {
    fn line(&self, revision: Uuid) -> String {
        match self {
            Self::Assignment { principal, scope_key } => format!("{revision} {principal} {scope_key}\n"),
            Self::Object(object) => format!("{revision} {object}\n"),
        }
    }

    /// What follows a line's revision; `None` when it is none of ours.
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.splitn(2, ' ');
        let object = fields.next()?.parse().ok()?;
        Some(match fields.next() {
            Some(scope_key) => Self::Assignment { principal: object, scope_key: scope_key.to_owned() },
            None => Self::Object(object),
        })
    }
}

/// The tenant's revision; `None` before its first change.
pub(crate) async fn find(tx: &mut Connection, tenant: Uuid) -> Result<Option<Revision>> {
    row::one(tx, query(FIND).bind(tenant.to_string())).await
}

/// What changed after `earlier`, up to `now`, which is the revision that this transaction sees. `None` when nobody knows:
/// it is too long ago, or was never true.
pub(crate) async fn changes_since(
    tx: &mut Connection,
    tenant: Uuid,
    earlier: Revision,
    now: Revision,
) -> Result<Option<Vec<AccessChange>>> {
    let text = setting::find(tx, &changes_name(tenant)).await?.unwrap_or_default();
    Ok(changes_between(&text, earlier, now))
}

fn changes_between(text: &str, earlier: Revision, now: Revision) -> Option<Vec<AccessChange>> {
    let mut changes = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let (revision, change) = line.split_once(' ').unwrap_or((line, ""));
        let revision = Revision(revision.parse().ok()?);
        // A revision that was made without a line beside it is a change that nobody described.
        if index == 0 && revision != now {
            return None;
        }
        if revision == earlier {
            return Some(changes);
        }
        changes.push(AccessChange::parse(change)?);
    }
    None
}

/// Makes what was compiled of the tenant's access stale as far as `changes` go. **Before** the changes themselves, in their
/// transaction: what is compiled in between must not be taken for what was there.
pub(crate) async fn advance(tx: &mut Connection, tenant: Uuid, changes: &[AccessChange]) -> Result<()> {
    let revision = Uuid::new_v4();
    let lines: String = changes.iter().map(|change| change.line(revision)).collect();
    row::run(tx, query(PUT).bind(tenant.to_string()).bind(revision.to_string())).await?;
    row::run(tx, query(PUT_CHANGE).bind(changes_name(tenant)).bind(lines).bind(CHANGES_LENGTH)).await?;
    Ok(())
}

/// The same of the tenant of a directory's object, which itself changes what it is to others.
pub(crate) async fn advance_for(tx: &mut Connection, object: Uuid) -> Result<()> {
    let Some(tenant) = row::one::<String>(tx, query(TENANT_OF).bind(object.to_string())).await? else { return Ok(()) };
    advance(tx, row::parse("tenant", &tenant)?, &[AccessChange::Object(object)]).await
}

fn changes_name(tenant: Uuid) -> String {
    format!("{}{tenant}", setting::ACCESS_CHANGES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{
        tenant::{self, TenantRow},
        tests::fresh,
    };

    fn assignment(number: u128) -> AccessChange {
        AccessChange::Assignment { principal: Uuid::from_u128(number), scope_key: format!("/subscriptions/s/{number}") }
    }

    #[tokio::test]
    async fn what_changed_is_told_in_order_and_not_for_ever() {
        let (_directory, db) = fresh().await;
        let (tenant, mut tx) = (Uuid::nil(), db.write().await.unwrap());
        let row = TenantRow { id: tenant, display_name: String::new(), default_domain: "d".into(), created_ms: 1 };
        tenant::insert(&mut tx, &row).await.unwrap();
        let at_the_root = AccessChange::Assignment { principal: Uuid::nil(), scope_key: String::new() };
        let changes = [assignment(1), AccessChange::Object(Uuid::from_u128(2)), at_the_root, assignment(3)];
        let mut revisions = Vec::new();
        for change in &changes {
            advance(&mut tx, tenant, std::slice::from_ref(change)).await.unwrap();
            revisions.push(find(&mut tx, tenant).await.unwrap().unwrap());
        }
        let now = revisions[3];
        for (index, earlier) in revisions.iter().enumerate() {
            let mut found = changes_since(&mut tx, tenant, *earlier, now).await.unwrap().unwrap();
            found.reverse();
            assert_eq!(found, changes[index + 1..]);
        }
        // Several at once are one revision.
        advance(&mut tx, tenant, &changes).await.unwrap();
        let after = find(&mut tx, tenant).await.unwrap().unwrap();
        assert_eq!(changes_since(&mut tx, tenant, now, after).await.unwrap().unwrap().len(), changes.len());
        assert_eq!(changes_since(&mut tx, tenant, after, after).await.unwrap().unwrap(), []);
        let now = after;
        let elsewhere = Revision(Uuid::new_v4());
        assert_eq!(changes_since(&mut tx, tenant, elsewhere, now).await.unwrap(), None);
        // Made by who writes no lines: nobody knows what it was.
        assert_eq!(changes_since(&mut tx, tenant, revisions[0], elsewhere).await.unwrap(), None);
        let length = assignment(1).line(Uuid::nil()).len();
        let kept_length = usize::try_from(CHANGES_LENGTH).unwrap();
        for number in 0..=kept_length / length {
            advance(&mut tx, tenant, &[assignment(number as u128)]).await.unwrap();
        }
        let kept = setting::find(&mut tx, &changes_name(tenant)).await.unwrap().unwrap();
        assert_eq!(kept.len(), kept_length);
        let latest = find(&mut tx, tenant).await.unwrap().unwrap();
        assert_eq!(changes_since(&mut tx, tenant, now, latest).await.unwrap(), None);
    }

    /// Wherever the text is cut off, what is told is everything that happened or nothing.
    #[test]
    fn a_cut_is_never_taken_for_the_end() {
        let revisions: Vec<Uuid> = (1..=4).map(Uuid::from_u128).collect();
        let lines: String = revisions.iter().rev().map(|revision| assignment(7).line(*revision)).collect();
        let (now, earlier) = (Revision(revisions[3]), Revision(revisions[1]));
        let whole = changes_between(&lines, earlier, now).unwrap();
        assert_eq!(whole, [assignment(7), assignment(7)]);
        for cut in 0..lines.len() {
            let told = changes_between(&lines[..cut], earlier, now);
            assert!(told.is_none() || told.as_ref() == Some(&whole), "{cut}: {told:?}");
        }
    }
}
