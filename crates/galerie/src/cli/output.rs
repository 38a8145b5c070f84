//! What commands print: tables for people, JSON for programs. Progress and everything else goes to standard error.

use std::{
    borrow::Cow,
    io::{IsTerminal, Write},
};

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use super::failure::{Failure, Result};

/// Spaces between columns.
const COLUMN_GAP: u16 = 2;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// The server's documents as they are.
    Json,
}

/// `-o`.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct OutputArgs {
    /// How to print the result
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub(crate) output: Format,
}

/// Prints a line on standard output.
///
/// # Errors
/// When nobody can read it; a closed pipe is no failure.
pub(crate) fn line(text: &str) -> Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new(format!("print the result: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// Prints a line on standard error: what happened, not what was asked for.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", printable(text));
}

/// Prints a document.
///
/// # Errors
/// As [`line()`].
pub(crate) fn json(document: &Value) -> Result<()> {
    line(&serde_json::to_string_pretty(document).expect("JSON becomes text"))
}

/// Prints what was listed: the documents as they are, or a row of each.
///
/// # Errors
/// As [`line()`].
pub(crate) fn list(
    format: Format,
    documents: Vec<Value>,
    header: &[&str],
    row: impl Fn(&Value) -> Vec<String>,
) -> Result<()> {
    match format {
        Format::Json => json(&Value::Array(documents)),
        Format::Table => table(header, documents.iter().map(row).collect()),
    }
}

/// Prints rows under a header.
///
/// # Errors
/// As [`line()`].
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) -> Result<()> {
    let mut table = plain_table();
    table.set_header(header.iter().copied());
    table.add_rows(rows.iter().map(|row| row.iter().map(|cell| printable(cell))));
    print(table)
}

/// Prints names and values; those without a value are left out.
///
/// # Errors
/// As [`line()`].
pub(crate) fn properties(rows: Vec<(&str, Option<String>)>) -> Result<()> {
    let mut table = plain_table();
    let filled = rows.into_iter().filter_map(|(name, value)| Some([name.to_owned(), printable(&value?).into_owned()]));
    table.add_rows(filled.filter(|[_, value]| !value.is_empty()));
    print(table)
}

/// Columns without lines between them. What is not read on a terminal is never wrapped, so that `grep` finds it.
fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    // Some terminals (a script's) have no size; nothing would fit into none.
    let on_terminal = std::io::stdout().is_terminal() && table.width().is_some_and(|width| width > 0);
    table.set_content_arrangement(if on_terminal { ContentArrangement::Dynamic } else { ContentArrangement::Disabled });
    table
}

fn print(mut table: Table) -> Result<()> {
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, COLUMN_GAP));
    });
    line(&table.trim_fmt())
}

/// Text that may come from somebody else, without what a terminal would obey.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let obeyed = |character: char| character.is_control() && character != '\n';
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let escape = |character: char| match obeyed(character) {
        true => character.escape_unicode().to_string(),
        false => character.to_string(),
    };
    Cow::Owned(text.chars().map(escape).collect())
}

/// A size as people say it.
pub(crate) fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// Asks before something is gone for good.
///
/// # Errors
/// When the answer is no, or nobody is there to ask.
pub(crate) fn confirm(question: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new("nobody is there to confirm this").advise("Say --yes."));
    }
    let mut answer = String::new();
    let _ = write!(std::io::stderr().lock(), "{} [y/N] ", printable(question));
    std::io::stdin().read_line(&mut answer).map_err(|error| Failure::new(format!("read the answer: {error}")))?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::new("nothing was done")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nobody_else() {
        assert_eq!(printable("Größe\n  1 GiB"), "Größe\n  1 GiB");
        assert_eq!(printable("a\u{1b}]0;b\u{7}\r\u{9b}c"), "a\\u{1b}]0;b\\u{7}\\u{d}\\u{9b}c");
    }
}
