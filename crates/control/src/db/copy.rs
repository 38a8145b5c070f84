//! The catalogue's rows as text that either database can be filled from: what a backup keeps of it.
//!
//! One zstd frame of JSON lines, described in `docs/design/backup.md`. The schema has text and whole numbers only, so nothing
//! is lost between the two databases. A copy may have been made by others: names in it are checked before they become SQL.

use std::io::{BufRead, BufReader, Read, Write};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{
    Connection, Error, Result,
    row::Columns,
    statement::{Statement, Value, query_text},
};

/// Every table but those that mean something to living processes only, parents before what refers to them.
pub(super) const TABLES: &[&str] = &[
    "settings",
    "sequences",
    "wrapped_keys",
    "tenants",
    "subscriptions",
    "directory_objects",
    "users",
    "directory_groups",
    "group_members",
    "directory_owners",
    "directory_role_members",
    "applications",
    "application_uris",
    "service_principals",
    "app_role_assignments",
    "credentials",
    "subscription_aliases",
    "access_revisions",
    "role_definitions",
    "role_assignments",
    "resource_groups",
    "resources",
    "image_versions",
    "soft_deletions",
    "disk_images",
    "package_links",
    "replicas",
    "disks",
    "grants",
    "operations",
    "condemned_packs",
    "region_stores",
    "quotas",
    "charges",
    "usages",
    "gallery_shares",
    "community_galleries",
    "former_sharing",
    "foreign_sources",
    "retention_policies",
    "pinned_versions",
    "version_uses",
    "azure_usages",
    "share_rejections",
    "audit",
    "audit_seals",
];
/// Tables that are not copied. Whoever held a pin, an upload's pages or a chore does not live any more when a copy is read, and
/// what was scrubbed were other disks. Whoever was signed in signs in again, and a link that was used stays used: an old copy
/// must not bring back what was ended since.
#[cfg(test)]
const LEFT_OUT: &[&str] = &[
    "pins",
    "processes",
    "uploads",
    "chores",
    "scrubs",
    "sessions",
    "authorization_codes",
    "device_codes",
    "nobodys_failures",
    "invitations",
    "_sqlx_migrations",
];

/// Fast, and small enough: rows are much alike.
const ZSTD_LEVEL: i32 = 3;
/// The longest line that is read: a document is bounded by what a request may send.
const LONGEST_LINE_BYTES: u64 = 64 * 1024 * 1024;
/// The longest name of a table or column.
const LONGEST_NAME_BYTES: usize = 63;

/// A copy that was made.
#[derive(Debug)]
pub(crate) struct Copy {
    /// As it is kept.
    pub(crate) bytes: Vec<u8>,
    pub(crate) schema: i64,
    pub(crate) rows: u64,
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    catalogue: u32,
    schema: i64,
}

/// Before a table's rows.
#[derive(Debug, Serialize, Deserialize)]
struct TableHead {
    table: String,
    columns: Vec<(String, ColumnKind)>,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
struct Tail {
    rows: u64,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ColumnKind {
    Text,
    Integer,
}

impl ColumnKind {
    /// By the name of its type; the schema has no others.
    pub(super) fn of(type_name: &str) -> Self {
        if type_name.eq_ignore_ascii_case("TEXT") { Self::Text } else { Self::Integer }
    }
}

const COPY_VERSION: u32 = 1;

/// Copies every row that a transaction sees. `schema` is the one that this program knows.
pub(crate) async fn write(tx: &mut Connection, schema: i64) -> Result<Copy> {
    let mut encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL).map_err(packed)?;
    line(&mut encoder, &Head { catalogue: COPY_VERSION, schema })?;
    let mut rows = 0;
    for table in TABLES {
        let mut begun: Option<TableHead> = None;
        let each = |columns: &Columns<'_>| -> Result<()> {
            let head = match &begun {
                Some(head) => head,
                None => {
                    let head = TableHead { table: (*table).to_owned(), columns: columns.kinds() };
                    line(&mut encoder, &head)?;
                    begun.insert(head)
                }
            };
            rows += 1;
            line(&mut encoder, &columns.values(&head.columns)?)
        };
        tx.for_each(query_text(format!("SELECT * FROM {table}")).looks_at_many(), each).await?;
    }
    line(&mut encoder, &Tail { rows })?;
    Ok(Copy { bytes: encoder.finish().map_err(packed)?, schema, rows })
}

fn line(out: &mut impl Write, value: &impl Serialize) -> Result<()> {
    serde_json::to_writer(&mut *out, value).map_err(|error| packed(error.into()))?;
    out.write_all(b"\n").map_err(packed)
}

fn packed(source: std::io::Error) -> Error {
    Error::Io { action: "pack the catalogue's rows".to_owned(), source }
}

/// A copy that is being read.
pub(crate) struct Reader<'a> {
    lines: Box<dyn BufRead + Send + 'a>,
    schema: i64,
}

impl<'a> Reader<'a> {
    /// Reads the head.
    ///
    /// # Errors
    /// `Corrupt` when it is no copy, or a later program's.
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self> {
        let decoder = zstd::Decoder::new(bytes).map_err(|_| corrupt("is not packed as one"))?;
        let mut reader = Self { lines: Box::new(BufReader::new(decoder)), schema: 0 };
        let head: Head = serde_json::from_str(&reader.line()?).map_err(|_| corrupt("does not begin as one"))?;
        if head.catalogue != COPY_VERSION {
            return Err(corrupt(&format!("has version {}, and this program knows {COPY_VERSION}", head.catalogue)));
        }
        reader.schema = head.schema;
        Ok(reader)
    }

    /// The schema of its rows.
    pub(crate) fn schema(&self) -> i64 {
        self.schema
    }

    fn line(&mut self) -> Result<String> {
        let mut text = String::new();
        let read = self.lines.by_ref().take(LONGEST_LINE_BYTES).read_line(&mut text);
        read.map_err(|error| corrupt(&format!("cannot be read: {error}")))?;
        match text.pop() {
            Some('\n') => Ok(text),
            _ => Err(corrupt("ends early")),
        }
    }

    /// Fills a catalogue of the copy's schema, in which nothing is but what its migrations put there; how many rows.
    ///
    /// # Errors
    /// `Corrupt` when the copy is not what it should be; the catalogue's.
    pub(crate) async fn fill(mut self, tx: &mut Connection) -> Result<u64> {
        let (mut rows, mut insert) = (0, None);
        loop {
            let text = self.line()?;
            if text.starts_with('[') {
                let Some(insert) = &insert else { return Err(corrupt("has rows of no table")) };
                tx.execute(row(insert, &text)?).await?;
                rows += 1;
            } else if let Ok(head) = serde_json::from_str::<TableHead>(&text) {
                tx.execute(query_text(format!("DELETE FROM {}", name(&head.table)?))).await?;
                insert = Some(Insert::new(&head)?);
            } else {
                let tail: Tail = serde_json::from_str(&text).map_err(|_| corrupt("has a line of no kind"))?;
                return if tail.rows == rows { Ok(rows) } else { Err(corrupt("lacks rows")) };
            }
        }
    }
}

fn corrupt(why: &str) -> Error {
    Error::Corrupt(format!("the copy of the catalogue {why}"))
}

/// How rows of a table are put.
struct Insert {
    text: String,
    kinds: Vec<ColumnKind>,
}

impl Insert {
    fn new(head: &TableHead) -> Result<Self> {
        let names: Vec<&str> = head.columns.iter().map(|(column, _)| name(column)).collect::<Result<_>>()?;
        let places: Vec<String> = (1..=names.len()).map(|number| format!("${number}")).collect();
        let text = format!("INSERT INTO {} ({}) VALUES ({})", name(&head.table)?, names.join(", "), places.join(", "));
        Ok(Self { text, kinds: head.columns.iter().map(|(_, kind)| *kind).collect() })
    }
}

/// A name that may stand in a statement: it cannot end it, whoever wrote the copy.
fn name(text: &str) -> Result<&str> {
    let is_name = (1..=LONGEST_NAME_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && !text.starts_with("_sqlx");
    if is_name { Ok(text) } else { Err(corrupt("has a table or column of no possible name")) }
}

fn row(insert: &Insert, text: &str) -> Result<Statement<'static>> {
    let values: Vec<Json> = serde_json::from_str(text).map_err(|_| corrupt("has a row that is none"))?;
    if values.len() != insert.kinds.len() {
        return Err(corrupt("has a row of another length than its table"));
    }
    let mut statement = query_text(insert.text.clone());
    for (value, kind) in values.into_iter().zip(&insert.kinds) {
        statement = statement.bind(match (kind, value) {
            (ColumnKind::Text, Json::Null) => Value::Text(None),
            (ColumnKind::Text, Json::String(text)) => Value::Text(Some(text.into())),
            (ColumnKind::Integer, Json::Null) => Value::Integer(None),
            (ColumnKind::Integer, Json::Number(number)) if number.is_i64() => Value::Integer(number.as_i64()),
            _ => return Err(corrupt("has a value that is not its column's")),
        });
    }
    Ok(statement)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{Db, setting, tests::fresh};

    async fn copied(db: &Db) -> Copy {
        write(&mut db.read().await.unwrap(), 1).await.unwrap()
    }

    fn packed_lines(lines: &[&str]) -> Vec<u8> {
        zstd::encode_all(format!("{}\n", lines.join("\n")).as_bytes(), 1).unwrap()
    }

    async fn fill(bytes: &[u8]) -> Result<u64> {
        let (_directory, db) = fresh().await;
        let mut tx = db.write().await?;
        let rows = Reader::open(bytes)?.fill(&mut tx).await?;
        tx.commit().await?;
        Ok(rows)
    }

    #[tokio::test]
    async fn every_table_is_copied_or_left_out_on_purpose() {
        let (_directory, db) = fresh().await;
        let mut tx = db.write().await.unwrap();
        let mut known: Vec<&str> = TABLES.iter().chain(LEFT_OUT).copied().collect();
        known.sort_unstable();
        assert_eq!(tx.tables().await.unwrap(), known, "a new table is copied, or has a reason not to be");
    }

    #[tokio::test]
    async fn rows_come_back_as_they_were_nothing_and_all() {
        let (_directory, db) = fresh().await;
        let mut tx = db.write().await.unwrap();
        for (name, value) in [("a", ""), ("b", "ü\n\"'; DROP TABLE settings; --"), ("c", "\u{1f5bc}")] {
            setting::put(&mut tx, name, value).await.unwrap();
        }
        let key =
            "INSERT INTO wrapped_keys (id, purpose, wrapped, created_ms, retired_ms) VALUES ('k', 'p', 'w', $1, NULL)";
        tx.execute(super::super::statement::query(key).bind(i64::MAX)).await.unwrap();
        tx.commit().await.unwrap();
        let copy = copied(&db).await;
        let (_other_directory, other) = fresh().await;
        let mut tx = other.write().await.unwrap();
        let reader = Reader::open(&copy.bytes).unwrap();
        assert_eq!(reader.schema(), 1);
        assert_eq!(reader.fill(&mut tx).await.unwrap(), copy.rows);
        tx.commit().await.unwrap();
        assert_eq!(copied(&other).await.bytes, copy.bytes);
    }

    #[tokio::test]
    async fn what_is_no_copy_is_refused() {
        let head = r#"{"catalogue":1,"schema":1}"#;
        let table = r#"{"table":"settings","columns":[["name","text"],["value","text"]]}"#;
        assert_eq!(fill(&packed_lines(&[head, table, r#"["a","b"]"#, r#"{"rows":1}"#])).await.unwrap(), 1);
        for lines in [
            vec![],
            vec![r#"{"catalogue":2,"schema":1}"#, r#"{"rows":0}"#],
            vec![head],
            vec![head, table, r#"["a","b"]"#],
            vec![head, table, r#"["a","b"]"#, r#"{"rows":2}"#],
            vec![head, r#"["a","b"]"#, r#"{"rows":1}"#],
            vec![head, table, r#"["a"]"#, r#"{"rows":1}"#],
            vec![head, table, r#"["a",7]"#, r#"{"rows":1}"#],
            vec![head, table, r#"["a",null]"#, r#"{"rows":1}"#],
            vec![head, r#"{"table":"settings; DROP TABLE audit","columns":[["name","text"]]}"#, r#"{"rows":0}"#],
            vec![head, r#"{"table":"_sqlx_migrations","columns":[["version","integer"]]}"#, r#"{"rows":0}"#],
            vec![head, r#"{"table":"settings","columns":[["name) --","text"]]}"#, r#"{"rows":0}"#],
            vec![head, r#"{"table":"nowhere","columns":[["name","text"]]}"#, r#"{"rows":0}"#],
            vec![head, "7"],
        ] {
            assert!(fill(&packed_lines(&lines)).await.is_err(), "{lines:?}");
        }
        assert!(fill(b"not packed").await.is_err());
    }
}
