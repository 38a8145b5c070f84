//! What a request's body may hold, property by property: for tests that are made from the description.

use serde_json::{Map, Value, json};

use super::{
    bundle::{Bundle, find},
    path::Target,
    schema::{declared_in, is_read_only, resolved},
};

/// A member that a client may write.
#[derive(Debug, Clone, PartialEq)]
pub struct Property {
    /// JSON pointer; the entries of lists are `/0`.
    pub pointer: String,
    /// What it holds.
    pub kind: Kind,
    /// Whether a body without it is refused.
    pub required: bool,
}

/// What a member holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// An object of declared members, which follow.
    Object,
    /// An object of any names.
    Map,
    /// An array; its entry follows.
    List,
    /// Text.
    Text,
    /// A date and time.
    Date,
    /// One of these.
    Enumeration(Vec<String>),
    /// A whole number, with its greatest value.
    Integer(i64),
    /// Any number.
    Number,
    /// True or false.
    Boolean,
    /// Anything.
    Any,
}

impl Property {
    /// Its name: the last one in the pointer that is no list's index.
    #[must_use]
    pub fn name(&self) -> &str {
        self.pointer.rsplit('/').find(|name| name.parse::<usize>().is_err()).unwrap_or_default()
    }

    /// A value that it may have, as far as the description says. A text is no other member's, whatever the case of its letters.
    #[must_use]
    pub fn example(&self) -> Value {
        match &self.kind {
            Kind::Object => json!({}),
            Kind::Map => json!({ format!("Key-{}", self.mark()): self.text() }),
            Kind::List => json!([null]),
            Kind::Text | Kind::Any => json!(self.text()),
            Kind::Date => json!("2099-01-31T00:00:00Z"),
            Kind::Enumeration(values) => json!(values[0]),
            Kind::Integer(_) | Kind::Number => json!(1),
            Kind::Boolean => json!(true),
        }
    }

    /// `OsDisk-1c4e`: its name, and what tells it from others of that name.
    fn text(&self) -> String {
        let (first, rest) = self.name().split_at_checked(1).unwrap_or_default();
        format!("{}{rest}-{}", first.to_uppercase(), self.mark())
    }

    /// The FNV-1a hash of its pointer, folded to 16 bits.
    fn mark(&self) -> String {
        let hash =
            self.pointer.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        format!("{:04x}", (hash >> 16) ^ (hash & 0xffff))
    }
}

/// The members of an operation's body, each after the one that holds it; empty when the operation has none.
#[must_use]
pub fn of(method: &str, target: &str) -> Vec<Property> {
    let mut properties = Vec::new();
    if let Some(found) = find(method, &Target::parse(target)) {
        gather(&found.bundle, &found.operation["body"], "", &mut properties);
    }
    properties
}

fn gather(bundle: &Bundle, schema: &Value, at: &str, properties: &mut Vec<Property>) {
    let (members, required) = declared_in(&bundle.definitions, schema);
    for (name, member) in members {
        if !is_read_only(member) {
            add(bundle, member, format!("{at}/{name}"), required.contains(&name), properties);
        }
    }
}

fn add(bundle: &Bundle, schema: &Value, pointer: String, required: bool, properties: &mut Vec<Property>) {
    let outer = schema;
    let schema = resolved(&bundle.definitions, schema);
    if is_read_only(outer) || is_read_only(schema) {
        return;
    }
    let kind = kind_of(&bundle.definitions, schema);
    properties.push(Property { pointer: pointer.clone(), kind: kind.clone(), required });
    match kind {
        Kind::List => add(bundle, &schema["items"], format!("{pointer}/0"), false, properties),
        Kind::Object => gather(bundle, schema, &pointer, properties),
        _ => {}
    }
}

fn kind_of(definitions: &Map<String, Value>, schema: &Value) -> Kind {
    let text = |name: &str| schema.get(name).and_then(Value::as_str).unwrap_or_default();
    let values = |values: &Vec<Value>| values.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    match (text("type"), text("format"), schema.get("enum").and_then(Value::as_array)) {
        (_, _, Some(known)) => Kind::Enumeration(values(known)),
        ("string", "date-time", _) => Kind::Date,
        ("string", ..) => Kind::Text,
        ("integer", format, _) => {
            let widest = if format == "int32" { i64::from(i32::MAX) } else { i64::MAX };
            Kind::Integer(schema.get("maximum").and_then(Value::as_i64).unwrap_or(widest))
        }
        ("number", ..) => Kind::Number,
        ("boolean", ..) => Kind::Boolean,
        ("array", ..) => Kind::List,
        _ if schema.get("additionalProperties").is_some() => Kind::Map,
        _ if declared_in(definitions, schema).0.is_empty() => Kind::Any,
        _ => Kind::Object,
    }
}
