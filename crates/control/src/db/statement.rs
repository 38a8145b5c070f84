//! A statement with its values, the same for every database.

use std::borrow::Cow;

use sqlx::{AssertSqlSafe, Postgres, SqlSafeStr, SqlStr, postgres::PgArguments, query as prepared, query::Query};

/// A value that a statement names `$1`, `$2`, ...; the schema has no other types.
#[derive(Debug, Clone)]
pub(super) enum Value<'q> {
    /// For a `TEXT` column.
    Text(Option<Cow<'q, str>>),
    /// For a `BIGINT` column.
    Integer(Option<i64>),
}

/// A statement, and what its parameters are.
#[derive(Debug, Clone)]
pub(super) struct Statement<'q> {
    sqlite: SqlStr,
    postgres: SqlStr,
    values: Vec<Value<'q>>,
    looks_at_many: bool,
}

/// A statement that both databases understand.
pub(super) fn query<'q>(text: &'static str) -> Statement<'q> {
    Statement { sqlite: text.into_sql_str(), postgres: text.into_sql_str(), values: Vec::new(), looks_at_many: false }
}

/// A statement that was put together: only for copying whole tables, whose names are ours or were checked.
pub(super) fn query_text<'q>(text: String) -> Statement<'q> {
    let text = AssertSqlSafe(text).into_sql_str();
    Statement { sqlite: text.clone(), postgres: text, values: Vec::new(), looks_at_many: false }
}

/// A statement in each database's own words: for `SKIP LOCKED`, which SQLite, having one writer, does not know, and for lists of
/// values, which the two read from JSON each in its own way.
pub(super) fn query_of<'q>(texts: [&'static str; 2]) -> Statement<'q> {
    let [sqlite, postgres] = texts;
    Statement {
        sqlite: sqlite.into_sql_str(),
        postgres: postgres.into_sql_str(),
        values: Vec::new(),
        looks_at_many: false,
    }
}

impl<'q> Statement<'q> {
    /// It looks at more rows than a request ought to: all of a tenant's, all of a table's. SQLite does it where the thread's other tasks
    /// can go on elsewhere.
    pub(super) fn looks_at_many(mut self) -> Self {
        self.looks_at_many = true;
        self
    }

    pub(super) fn is_of_many(&self) -> bool {
        self.looks_at_many
    }

    /// The next parameter.
    pub(super) fn bind(mut self, value: impl Into<Value<'q>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// The text in SQLite's words.
    pub(super) fn for_sqlite(&self) -> &str {
        self.sqlite.as_str()
    }

    pub(super) fn values(&self) -> &[Value<'q>] {
        &self.values
    }

    pub(super) fn for_postgres(self) -> Query<'q, Postgres, PgArguments> {
        self.values.into_iter().fold(prepared(self.postgres), |query, value| match value {
            Value::Text(text) => query.bind(text),
            Value::Integer(number) => query.bind(number),
        })
    }
}

impl<'q> From<&'q str> for Value<'q> {
    fn from(text: &'q str) -> Self {
        Self::Text(Some(text.into()))
    }
}

impl<'q> From<&'q String> for Value<'q> {
    fn from(text: &'q String) -> Self {
        Self::Text(Some(text.as_str().into()))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Some(text.into()))
    }
}

impl From<Option<String>> for Value<'_> {
    fn from(text: Option<String>) -> Self {
        Self::Text(text.map(Cow::Owned))
    }
}

impl<'q> From<&'q Option<String>> for Value<'q> {
    fn from(text: &'q Option<String>) -> Self {
        Self::Text(text.as_deref().map(Cow::Borrowed))
    }
}

impl<'q> From<Option<&'q str>> for Value<'q> {
    fn from(text: Option<&'q str>) -> Self {
        Self::Text(text.map(Cow::Borrowed))
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(Some(number))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(number: Option<i64>) -> Self {
        Self::Integer(number)
    }
}
