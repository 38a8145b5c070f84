//! Columns as the domain's types, and the three ways a statement is run.

use std::str::FromStr;

use serde::de::DeserializeOwned;
use sqlx::{
    Column, ColumnIndex, Row as _, TypeInfo,
    postgres::{PgColumn, PgRow},
};
use uuid::Uuid;

use super::{Connection, Error, Result, copy::ColumnKind, sqlite::SqliteColumns, statement::Statement};

/// A row that can be read into a type of its own.
pub(super) trait Row: Sized + Send {
    /// Reads the columns.
    fn read(columns: &Columns<'_>) -> Result<Self>;
}

/// The columns of one row, by name; read fastest in the statement's order.
pub(super) enum Columns<'r> {
    Sqlite(SqliteColumns<'r>),
    Postgres(&'r PgRow),
}

impl Columns<'_> {
    fn index(&self, name: &str) -> Result<usize> {
        match self {
            Self::Sqlite(row) => row.index(name),
            Self::Postgres(row) => Ok(ColumnIndex::<PgRow>::index(&name, row)?),
        }
    }

    fn text_at(&self, index: usize) -> Result<Option<&str>> {
        match self {
            Self::Sqlite(row) => row.text(index),
            Self::Postgres(row) => Ok(row.try_get(index)?),
        }
    }

    fn integer_at(&self, index: usize) -> Result<Option<i64>> {
        match self {
            Self::Sqlite(row) => row.integer(index),
            Self::Postgres(row) => Ok(row.try_get(index)?),
        }
    }

    /// The names and kinds of all columns, in the table's order.
    pub(super) fn kinds(&self) -> Vec<(String, ColumnKind)> {
        match self {
            Self::Sqlite(row) => row.kinds(),
            Self::Postgres(row) => {
                let kind = |column: &PgColumn| (column.name().to_owned(), ColumnKind::of(column.type_info().name()));
                row.columns().iter().map(kind).collect()
            }
        }
    }

    /// The values of all columns, which are of these kinds, in the table's order.
    pub(super) fn values(&self, kinds: &[(String, ColumnKind)]) -> Result<Vec<serde_json::Value>> {
        let value = |(index, (_, kind)): (usize, &(String, ColumnKind))| match kind {
            ColumnKind::Text => Ok(self.text_at(index)?.into()),
            ColumnKind::Integer => Ok(self.integer_at(index)?.into()),
        };
        kinds.iter().enumerate().map(value).collect()
    }

    /// Text where the database has it.
    pub(super) fn str(&self, name: &'static str) -> Result<&str> {
        there(name, self.optional_str(name)?)
    }

    fn optional_str(&self, name: &'static str) -> Result<Option<&str>> {
        self.text_at(self.index(name)?)
    }

    pub(super) fn text(&self, name: &'static str) -> Result<String> {
        self.str(name).map(str::to_owned)
    }

    pub(super) fn optional_text(&self, name: &'static str) -> Result<Option<String>> {
        Ok(self.optional_str(name)?.map(str::to_owned))
    }

    /// A number that may be negative; also a time.
    pub(super) fn integer(&self, name: &'static str) -> Result<i64> {
        there(name, self.optional_integer(name)?)
    }

    pub(super) fn optional_integer(&self, name: &'static str) -> Result<Option<i64>> {
        self.integer_at(self.index(name)?)
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
        parse(name, self.str(name)?)
    }

    pub(super) fn optional_parsed<T: FromStr>(&self, name: &'static str) -> Result<Option<T>> {
        self.optional_str(name)?.map(|text| parse(name, text)).transpose()
    }

    pub(super) fn json<T: DeserializeOwned>(&self, name: &'static str) -> Result<T> {
        parse_json(name, self.str(name)?)
    }

    pub(super) fn optional_json<T: DeserializeOwned>(&self, name: &'static str) -> Result<Option<T>> {
        self.optional_str(name)?.map(|text| parse_json(name, text)).transpose()
    }
}

/// What a column that is never null holds.
fn there<T>(name: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| Error::Corrupt(format!("{name} is null")))
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
    tx.fetch_optional(statement, R::read).await
}

/// Runs a statement that answers rows; the statement itself bounds how many, or says that it looks at many.
pub(super) async fn all<R: Row>(tx: &mut Connection, statement: Statement<'_>) -> Result<Vec<R>> {
    tx.fetch_all(statement, R::read).await
}

/// Runs a statement that answers nothing, not even by `RETURNING`; how many rows it touched.
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
    fn read(columns: &Columns<'_>) -> Result<Self> {
        there("the first column", columns.text_at(0)?).map(str::to_owned)
    }
}

impl Row for i64 {
    /// The first column.
    fn read(columns: &Columns<'_>) -> Result<Self> {
        there("the first column", columns.integer_at(0)?)
    }
}
