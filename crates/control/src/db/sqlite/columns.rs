//! The columns of a row that SQLite is at.

use std::cell::Cell;

use rusqlite::{Row, Statement, types::ValueRef};

use crate::db::{Error, Result, copy::ColumnKind};

/// A row, read where SQLite has it.
pub(in crate::db) struct SqliteColumns<'r> {
    row: &'r Row<'r>,
    columns: usize,
    /// Where the next name is looked for first: rows are mostly read in their statement's order.
    next: Cell<usize>,
}

impl<'r> SqliteColumns<'r> {
    pub(super) fn new(row: &'r Row<'r>) -> Self {
        Self { row, columns: statement(row).column_count(), next: Cell::new(0) }
    }

    /// The place of a column.
    pub(in crate::db) fn index(&self, name: &str) -> Result<usize> {
        let statement = statement(self.row);
        for step in 0..self.columns {
            let index = (self.next.get() + step) % self.columns;
            if statement.column_name(index)? == name {
                self.next.set(index + 1);
                return Ok(index);
            }
        }
        Err(Error::Corrupt(format!("a row has no column {name}")))
    }

    pub(in crate::db) fn text(&self, index: usize) -> Result<Option<&str>> {
        match self.row.get_ref(index)? {
            ValueRef::Null => Ok(None),
            ValueRef::Text(text) => match std::str::from_utf8(text) {
                Ok(text) => Ok(Some(text)),
                Err(_) => Err(self.contradiction(index, "not UTF-8")),
            },
            _ => Err(self.contradiction(index, "not text")),
        }
    }

    pub(in crate::db) fn integer(&self, index: usize) -> Result<Option<i64>> {
        match self.row.get_ref(index)? {
            ValueRef::Null => Ok(None),
            ValueRef::Integer(number) => Ok(Some(number)),
            _ => Err(self.contradiction(index, "not a whole number")),
        }
    }

    /// The names and kinds of all columns, in the table's order.
    pub(in crate::db) fn kinds(&self) -> Vec<(String, ColumnKind)> {
        let columns = statement(self.row).columns();
        let kind = |declared: Option<&str>| ColumnKind::of(declared.unwrap_or_default());
        columns.iter().map(|column| (column.name().to_owned(), kind(column.decl_type()))).collect()
    }

    fn contradiction(&self, index: usize, what: &str) -> Error {
        let name = statement(self.row).column_name(index).unwrap_or("a column");
        Error::Corrupt(format!("{name} is {what}"))
    }
}

fn statement<'r>(row: &'r Row<'r>) -> &'r Statement<'r> {
    row.as_ref()
}
