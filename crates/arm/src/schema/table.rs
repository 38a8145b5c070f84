//! The property tables, as `compute.json` holds them. Read once, on first use.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

use crate::api_version::ApiVersion;

/// Every family with its types.
pub(super) struct Table {
    families: Vec<Family>,
    types: HashMap<String, (usize, TypeEntry)>,
}

/// Types that are versioned together.
pub(super) struct Family {
    /// Known versions, oldest first; never empty.
    pub(super) versions: Vec<ApiVersion>,
    /// Whether Azure has versions between these that we have no data of.
    pub(super) sparse: bool,
}

/// One type's table.
pub(super) struct TypeEntry {
    /// Index of the first version that has the type.
    pub(super) first: usize,
    pub(super) root: Kind,
}

/// What a value may be.
#[derive(Debug)]
pub(super) enum Kind {
    Object { type_name: String, properties: Vec<(String, Property)> },
    Map(Box<Kind>),
    List(Box<Kind>),
    Enum(Vec<String>),
    String,
    Date,
    Bool,
    Int32,
    Int64,
    Number,
    Any,
}

/// One property of an object.
#[derive(Debug)]
pub(super) struct Property {
    pub(super) kind: Kind,
    pub(super) present: Spans,
    pub(super) read_only: Spans,
    pub(super) required: Spans,
}

/// In which of a family's versions something holds.
#[derive(Debug)]
pub(super) enum Spans {
    Always,
    Never,
    /// Half-open ranges of indexes.
    Within(Vec<(usize, usize)>),
}

impl Spans {
    pub(super) fn contains(&self, index: usize) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Within(ranges) => ranges.iter().any(|(from, to)| (*from..*to).contains(&index)),
        }
    }

    fn read(value: Option<&Value>, absent: Self) -> Self {
        match value {
            None => absent,
            Some(Value::Array(ranges)) => Self::Within(ranges.iter().map(Self::read_range).collect()),
            Some(_) => Self::Always,
        }
    }

    fn read_range(range: &Value) -> (usize, usize) {
        let index = |at: usize| range.get(at).and_then(Value::as_u64).and_then(|index| usize::try_from(index).ok());
        (index(0).expect("a range begins somewhere"), index(1).unwrap_or(usize::MAX))
    }
}

impl Kind {
    /// The property of this name in any case, with its spelling.
    pub(super) fn property(&self, name: &str) -> Option<(&str, &Property)> {
        let Self::Object { properties, .. } = self else { return None };
        // What is stored has the table's spelling, which is quicker to compare.
        let exactly = properties.iter().find(|(spelled, _)| spelled == name);
        let found = exactly.or_else(|| properties.iter().find(|(spelled, _)| spelled.eq_ignore_ascii_case(name)))?;
        Some((&found.0, &found.1))
    }

    fn read(node: &Value) -> Self {
        let items = || Box::new(Self::read(&node["items"]));
        match node["k"].as_str().expect("every node has a kind") {
            "object" => Self::Object {
                type_name: node["type"].as_str().expect("objects are named").to_owned(),
                properties: node["p"]
                    .as_object()
                    .expect("objects have properties")
                    .iter()
                    .map(Property::read)
                    .collect(),
            },
            "map" => Self::Map(items()),
            "list" => Self::List(items()),
            "enum" => {
                let values = node["e"].as_array().expect("enums have values").iter();
                Self::Enum(values.map(|value| value.as_str().expect("of text").to_owned()).collect())
            }
            "string" => Self::String,
            "date" => Self::Date,
            "bool" => Self::Bool,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "number" => Self::Number,
            _ => Self::Any,
        }
    }
}

impl Property {
    fn read((name, node): (&String, &Value)) -> (String, Self) {
        let property = Self {
            kind: Kind::read(node),
            present: Spans::read(node.get("in"), Spans::Always),
            read_only: Spans::read(node.get("ro"), Spans::Never),
            required: Spans::read(node.get("req"), Spans::Never),
        };
        (name.clone(), property)
    }
}

/// The file's outer layers; the nodes are read by [`Kind::read`].
#[derive(Deserialize)]
struct File {
    families: HashMap<String, FileFamily>,
}

#[derive(Deserialize)]
struct FileFamily {
    versions: Vec<String>,
    sparse: bool,
    types: HashMap<String, FileType>,
}

#[derive(Deserialize)]
struct FileType {
    first: usize,
    node: Value,
}

impl Table {
    pub(super) fn get() -> &'static Self {
        static TABLE: LazyLock<Table> = LazyLock::new(|| Table::read(include_str!("compute.json")));
        &TABLE
    }

    pub(super) fn find(&self, key: &str) -> Option<(&Family, &TypeEntry)> {
        let (family, entry) = self.types.get(key)?;
        Some((&self.families[*family], entry))
    }

    /// The text is checked in and read by every test, so what is wrong with it is our own mistake.
    fn read(text: &str) -> Self {
        let file: File = serde_json::from_str(text).expect("compute.json is what the generator writes");
        let mut table = Self { families: Vec::new(), types: HashMap::new() };
        for family in file.families.into_values() {
            let versions = family.versions.iter().map(|version| version.parse().expect("a version")).collect();
            for (key, entry) in family.types {
                let entry = TypeEntry { first: entry.first, root: Kind::read(&entry.node) };
                table.types.insert(key, (table.families.len(), entry));
            }
            table.families.push(Family { versions, sparse: family.sparse });
        }
        table
    }
}
