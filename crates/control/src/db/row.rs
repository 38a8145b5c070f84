//! Columns as the domain's types, and the three ways a statement is run.

use std::str::FromStr;

use serde::de::DeserializeOwned;
use sqlx::{Column, ColumnIndex, Decode, Row as _, Type, TypeInfo, postgres::PgRow, sqlite::SqliteRow};
use uuid::Uuid;

use super::{Connection, Error, Result, copy::ColumnKind, statement::Statement};

/// A row that can be read into a type of its own.
pub(super) trait Row: Sized {
    /// Reads the columns.
    fn read(columns: &Columns) -> Result<Self>;
}

/// The columns of one row, by name.
pub(super) enum Columns {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Columns {
    fn get<T, I>(&self, column: I) -> Result<T>
    where
        T: for<'r> Decode<'r, sqlx::Sqlite>
            + Type<sqlx::Sqlite>
            + for<'r> Decode<'r, sqlx::Postgres>
            + Type<sqlx::Postgres>,
        I: ColumnIndex<SqliteRow> + ColumnIndex<PgRow>,
    {
        match self {
            Self::Sqlite(row) => Ok(row.try_get(column)?),
            Self::Postgres(row) => Ok(row.try_get(column)?),
        }
    }

    /// The names and kinds of all columns, in the table's order.
    pub(super) fn kinds(&self) -> Vec<(String, ColumnKind)> {
        fn kind(column: &impl Column) -> (String, ColumnKind) {
            let is_text = column.type_info().name().eq_ignore_ascii_case("TEXT");
            (column.name().to_owned(), if is_text { ColumnKind::Text } else { ColumnKind::Integer })
        }
        match self {
            Self::Sqlite(row) => row.columns().iter().map(kind).collect(),
            Self::Postgres(row) => row.columns().iter().map(kind).collect(),
        }
    }

    /// The values of all columns, in the table's order.
    pub(super) fn values(&self) -> Result<Vec<serde_json::Value>> {
        let kinds = self.kinds();
        let value = |(index, (_, kind)): (usize, &(String, ColumnKind))| match kind {
            ColumnKind::Text => Ok(self.get::<Option<String>, usize>(index)?.into()),
            ColumnKind::Integer => Ok(self.get::<Option<i64>, usize>(index)?.into()),
        };
        kinds.iter().enumerate().map(value).collect()
    }

    pub(super) fn text(&self, name: &'static str) -> Result<String> {
        self.get(name)
    }

    pub(super) fn optional_text(&self, name: &'static str) -> Result<Option<String>> {
        self.get(name)
    }

    /// A number that may be negative; also a time.
    pub(super) fn integer(&self, name: &'static str) -> Result<i64> {
        self.get(name)
    }

    pub(super) fn optional_integer(&self, name: &'static str) -> Result<Option<i64>> {
        self.get(name)
    }

    /// A number that is never negative and fits `T`.
    pub(super) fn unsigned<T: TryFrom<i64>>(&self, name: &'static str) -> Result<T> {
        let value = self.integer(name)?;
        T::try_from(value).map_err(|_| Error::Corrupt(format!("{name} is {value}")))
    }

    pub(super) fn optional_unsigned(&self, name: &'static str) -> Result<Option<u64>> {
        let value = self.optional_integer(name)?;
        let convert = |value| u64::try_from(value).map_err(|_| Error::Corrupt(format!("{name} is {value}")));
        value.map(convert).transpose()
    }

    pub(super) fn flag(&self, name: &'static str) -> Result<bool> {
        Ok(self.integer(name)? != 0)
    }

    pub(super) fn id(&self, name: &'static str) -> Result<Uuid> {
        self.parsed(name)
    }

    /// Text in a type's own spelling.
    pub(super) fn parsed<T: FromStr>(&self, name: &'static str) -> Result<T> {
        parse(name, &self.text(name)?)
    }

    pub(super) fn optional_parsed<T: FromStr>(&self, name: &'static str) -> Result<Option<T>> {
        self.optional_text(name)?.map(|text| parse(name, &text)).transpose()
    }

    pub(super) fn json<T: DeserializeOwned>(&self, name: &'static str) -> Result<T> {
        parse_json(name, &self.text(name)?)
    }

    pub(super) fn optional_json<T: DeserializeOwned>(&self, name: &'static str) -> Result<Option<T>> {
        self.optional_text(name)?.map(|text| parse_json(name, &text)).transpose()
    }
}

/// Text in a type's own spelling; `name` is the column's.
pub(super) fn parse<T: FromStr>(name: &str, text: &str) -> Result<T> {
    text.parse().map_err(|_| Error::Corrupt(format!("{name} is '{text}'")))
}

fn parse_json<T: DeserializeOwned>(name: &str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| Error::Corrupt(format!("{name}: {error}")))
}

/// Runs a statement that answers at most one row.
pub(super) async fn one<R: Row>(tx: &mut Connection, statement: Statement<'_>) -> Result<Option<R>> {
    tx.fetch_optional(statement).await?.map(|columns| R::read(&columns)).transpose()
}

/// Runs a statement that answers rows; the statement itself bounds how many.
pub(super) async fn all<R: Row>(tx: &mut Connection, statement: Statement<'_>) -> Result<Vec<R>> {
    tx.fetch_all(statement).await?.iter().map(R::read).collect()
}

/// Runs a statement that answers nothing; how many rows it touched.
pub(super) async fn run(tx: &mut Connection, statement: Statement<'_>) -> Result<u64> {
    tx.execute(statement).await
}

/// A count or size as the database keeps it. Nothing that we count reaches 2^63; what would is held there.
pub(super) fn bigint(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A JSON column's text.
pub(super) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("our documents have text keys only")
}

impl Row for String {
    /// The first column.
    fn read(columns: &Columns) -> Result<Self> {
        columns.get(0)
    }
}

impl Row for i64 {
    /// The first column.
    fn read(columns: &Columns) -> Result<Self> {
        columns.get(0)
    }
}
