//! Wrong passwords: a user's in its row, those of a name that nobody has in a row of their own. What is asked of the one is asked of
//! the other, or the difference would tell which names there are.

use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row},
    statement::query,
};

const FIND_USERS: &str = "SELECT failures, failed_ms FROM users WHERE id = $1";
const FIND_NOBODYS: &str = "SELECT failures, failed_ms FROM nobodys_failures WHERE name = $1";
const SET_USERS: &str = "UPDATE users SET failures = $2, failed_ms = $3 WHERE id = $1";
const SET_NOBODYS: &str = "INSERT INTO nobodys_failures (name, failures, failed_ms) VALUES ($1, $2, $3) \
     ON CONFLICT (name) DO UPDATE SET failures = excluded.failures, failed_ms = excluded.failed_ms";
const TAKE_USERS_BACK: &str = "UPDATE users SET failures = failures - 1, \
     failed_ms = CASE WHEN failures = $2 AND failed_ms = $3 THEN $4 ELSE failed_ms END WHERE id = $1 AND failures > 0";
const TAKE_NOBODYS_BACK: &str = "UPDATE nobodys_failures SET failures = failures - 1, \
     failed_ms = CASE WHEN failures = $2 AND failed_ms = $3 THEN $4 ELSE failed_ms END WHERE name = $1 AND failures > 0";
const NEWEST_BEYOND: &str = "SELECT failed_ms FROM nobodys_failures ORDER BY failed_ms DESC LIMIT 1 OFFSET $1";
const FORGET_USERS: &str = "UPDATE users SET failures = 0 WHERE failures > 0 AND failed_ms < $1";
const FORGET_NOBODYS: &str = "DELETE FROM nobodys_failures WHERE failed_ms < $1";
const CLEAR: &str = "UPDATE users SET failures = 0 WHERE id = $1 AND failures > 0";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[
    FIND_USERS,
    FIND_NOBODYS,
    SET_USERS,
    SET_NOBODYS,
    TAKE_USERS_BACK,
    TAKE_NOBODYS_BACK,
    NEWEST_BEYOND,
    FORGET_USERS,
    FORGET_NOBODYS,
    CLEAR,
];

/// Whose they are.
#[derive(Debug, Clone)]
pub(crate) enum Tried {
    /// An object id.
    User(Uuid),
    /// The keyed hash of a name that nobody has.
    Nobody(String),
}

impl Tried {
    /// The statement for whose they are, and the key of the row.
    fn of(&self, users: &'static str, nobodys: &'static str) -> (&'static str, String) {
        match self {
            Self::User(id) => (users, id.to_string()),
            Self::Nobody(name) => (nobodys, name.clone()),
        }
    }
}

/// Those that count; see `identity::guessing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Failures {
    pub(crate) count: u32,
    /// When the last one was.
    pub(crate) last_ms: i64,
}

impl Row for Failures {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self { count: columns.unsigned("failures")?, last_ms: columns.integer("failed_ms")? })
    }
}

/// What is counted.
pub(crate) async fn find(tx: &mut Connection, tried: &Tried) -> Result<Failures> {
    let (statement, key) = tried.of(FIND_USERS, FIND_NOBODYS);
    let found: Option<Failures> = row::one(tx, query(statement).bind(key)).await?;
    Ok(found.unwrap_or_default())
}

/// Sets what is counted.
pub(crate) async fn set(tx: &mut Connection, tried: &Tried, failures: Failures) -> Result<()> {
    let (statement, key) = tried.of(SET_USERS, SET_NOBODYS);
    let statement = query(statement).bind(key).bind(i64::from(failures.count)).bind(failures.last_ms);
    row::run(tx, statement).await?;
    Ok(())
}

/// Counts one less; where nothing came after `counted`, the last one is again when it was before.
pub(crate) async fn take_back(tx: &mut Connection, tried: &Tried, counted: Failures, former_ms: i64) -> Result<()> {
    let (statement, key) = tried.of(TAKE_USERS_BACK, TAKE_NOBODYS_BACK);
    let statement = query(statement).bind(key).bind(i64::from(counted.count)).bind(counted.last_ms).bind(former_ms);
    row::run(tx, statement).await?;
    Ok(())
}

/// When the last one was of the first name that nobody has and that is too many.
pub(crate) async fn newest_beyond(tx: &mut Connection, most: u32) -> Result<Option<i64>> {
    row::one(tx, query(NEWEST_BEYOND).bind(i64::from(most))).await
}

/// Forgets all before a time. How many names that nobody has.
pub(crate) async fn forget(tx: &mut Connection, before_ms: i64) -> Result<u64> {
    row::run(tx, query(FORGET_USERS).looks_at_many().bind(before_ms)).await?;
    row::run(tx, query(FORGET_NOBODYS).bind(before_ms)).await
}

/// Forgets a user's.
pub(crate) async fn clear(tx: &mut Connection, user: Uuid) -> Result<()> {
    row::run(tx, query(CLEAR).bind(user.to_string())).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::tests::fresh, *};

    #[tokio::test]
    async fn one_is_taken_back_and_the_oldest_names_go_first() {
        let (_directory, db) = fresh().await;
        let mut tx = db.write().await.unwrap();
        let name = |number: i64| Tried::Nobody(number.to_string());
        for number in 1..=3 {
            set(&mut tx, &name(number), Failures { count: 2, last_ms: 10 * number }).await.unwrap();
        }
        let counted = Failures { count: 3, last_ms: 40 };
        set(&mut tx, &name(3), counted).await.unwrap();
        take_back(&mut tx, &name(3), counted, 30).await.unwrap();
        assert_eq!(find(&mut tx, &name(3)).await.unwrap(), Failures { count: 2, last_ms: 30 });
        // Somebody else tried meanwhile: that stays.
        set(&mut tx, &name(3), Failures { count: 4, last_ms: 50 }).await.unwrap();
        take_back(&mut tx, &name(3), counted, 30).await.unwrap();
        assert_eq!(find(&mut tx, &name(3)).await.unwrap(), Failures { count: 3, last_ms: 50 });
        assert_eq!(newest_beyond(&mut tx, 3).await.unwrap(), None);
        assert_eq!(newest_beyond(&mut tx, 2).await.unwrap(), Some(10));
        assert_eq!(forget(&mut tx, 11).await.unwrap(), 1);
        assert_eq!(find(&mut tx, &name(1)).await.unwrap(), Failures::default());
        assert_eq!(find(&mut tx, &name(2)).await.unwrap().count, 2);
    }
}
