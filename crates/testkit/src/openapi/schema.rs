//! A JSON value held against a schema of Swagger 2.0, as strictly as its direction allows.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::Violation;

/// The rule that a required member breaks by its absence.
pub(super) const MISSING: &str = "required, and missing";
/// The rule that a member without a schema breaks.
pub(super) const NOT_DECLARED: &str = "not declared";
/// The rule that a null in an answer breaks: absence is absence.
pub(super) const NULL: &str = "null";
/// The rule that an empty body breaks.
pub(super) const NO_BODY: &str = "a body is declared, and there is none";

/// Who wrote the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// A client: what Compute forgives is forgiven.
    Request,
    /// We: nothing is.
    Response,
}

impl Direction {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
        }
    }
}

pub(super) struct Checker<'a> {
    definitions: &'a Map<String, Value>,
    direction: Direction,
    /// Members that are not declared may be of a later api-version.
    newer: bool,
    violations: Vec<Violation>,
}

/// What an object may have: its own properties and those that it inherits.
#[derive(Default)]
struct Object<'a> {
    properties: Vec<(&'a str, &'a Value)>,
    required: Vec<&'a str>,
    additional: Option<&'a Value>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(definitions: &'a Map<String, Value>, direction: Direction, newer: bool) -> Self {
        Self { definitions, direction, newer, violations: Vec::new() }
    }

    pub(super) fn check(mut self, schema: &'a Value, value: &Value) -> Vec<Violation> {
        let at = self.direction.name().to_owned();
        self.value(schema, value, &at);
        self.violations
    }

    fn broken(&mut self, at: &str, rule: impl Into<String>) {
        self.violations.push(Violation::new(at, rule));
    }

    fn value(&mut self, schema: &'a Value, value: &Value, at: &str) {
        let schema = resolved(self.definitions, schema);
        if value.is_null() {
            if self.direction == Direction::Response {
                self.broken(at, NULL);
            }
            return;
        }
        match schema.get("type").and_then(Value::as_str) {
            Some("string") => self.string(schema, value, at),
            Some("integer") => self.integer(schema, value, at),
            Some("number") if self.scalar(value).parse::<f64>().is_err() => self.broken(at, "no number"),
            Some("boolean") if !self.is_boolean(value) => self.broken(at, "no boolean"),
            Some("number" | "boolean") => {}
            Some("array") => self.array(schema, value, at),
            _ => self.object(schema, value, at),
        }
    }

    fn array(&mut self, schema: &'a Value, value: &Value, at: &str) {
        let Some(entries) = value.as_array() else { return self.broken(at, "no array") };
        for (index, entry) in entries.iter().enumerate() {
            self.value(&schema["items"], entry, &format!("{at}/{index}"));
        }
    }

    fn object(&mut self, schema: &'a Value, value: &Value, at: &str) {
        let mut object = Object::default();
        gather(self.definitions, schema, &mut object);
        if object.properties.is_empty() && object.additional.is_none() {
            // An object of no declared form, or anything at all.
            if schema.get("type").is_some() && !value.is_object() {
                self.broken(at, "no object");
            }
            return;
        }
        let Some(members) = value.as_object() else { return self.broken(at, "no object") };
        for (name, member) in members {
            let here = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
            let same = |known: &str| match self.direction {
                Direction::Response => known == name,
                Direction::Request => known.eq_ignore_ascii_case(name),
            };
            match object.properties.iter().find(|(known, _)| same(known)).copied() {
                // What only the service writes is ignored when a client sends it.
                Some((_, property)) if self.direction == Direction::Request && is_read_only(property) => {}
                Some((_, property)) => self.value(property, member, &here),
                None => match object.additional {
                    Some(schema) => self.value(schema, member, &here),
                    None if self.newer => {}
                    None => self.broken(&here, NOT_DECLARED),
                },
            }
        }
        self.required(&object, members, at);
    }

    fn required(&mut self, object: &Object<'a>, members: &Map<String, Value>, at: &str) {
        for name in &object.required {
            let property = object.properties.iter().rfind(|(known, _)| known == name).map(|(_, property)| *property);
            let is_demanded = property.is_none_or(|property| match self.direction {
                Direction::Request => !is_read_only(property),
                Direction::Response => !is_write_only(property),
            });
            let is_there = members.iter().any(|(member, value)| member.eq_ignore_ascii_case(name) && !value.is_null());
            if is_demanded && !is_there {
                self.broken(&format!("{at}/{name}"), MISSING);
            }
        }
    }

    fn string(&mut self, schema: &Value, value: &Value, at: &str) {
        let Some(text) = self.text(value) else { return self.broken(at, "no string") };
        if let Some(known) = schema.get("enum").and_then(Value::as_array) {
            return self.enumeration(schema, known, &text, at);
        }
        if self.direction == Direction::Request {
            return;
        }
        let is_well_formed = match schema.get("format").and_then(Value::as_str) {
            Some("date-time") => is_date_time(&text),
            Some("uuid") => uuid::Uuid::parse_str(&text).is_ok(),
            _ => true,
        };
        if !is_well_formed {
            self.broken(at, format!("'{text}' is no {}", schema["format"]));
        }
        let length = text.chars().count() as u64;
        let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
        if bound("minLength").is_some_and(|least| length < least)
            || bound("maxLength").is_some_and(|most| length > most)
        {
            self.broken(at, format!("a length of {length} is out of bounds"));
        }
    }

    fn enumeration(&mut self, schema: &Value, known: &[Value], text: &str, at: &str) {
        let names: Vec<&str> = known.iter().filter_map(Value::as_str).collect();
        let is_open = schema.get("open").is_some();
        let alike = names.iter().find(|name| name.eq_ignore_ascii_case(text));
        match (self.direction, alike) {
            (Direction::Response, Some(name)) if *name != text => {
                self.broken(at, format!("'{text}' is spelled '{name}'"));
            }
            (_, None) if !is_open && !text.is_empty() => self.broken(at, format!("'{text}' is none of {names:?}")),
            _ => {}
        }
    }

    fn integer(&mut self, schema: &Value, value: &Value, at: &str) {
        let Ok(number) = self.scalar(value).parse::<i64>() else { return self.broken(at, "no integer") };
        if schema.get("format").and_then(Value::as_str) == Some("int32") && i32::try_from(number).is_err() {
            self.broken(at, format!("{number} is no int32"));
        }
        let bound = |name: &str| schema.get(name).and_then(Value::as_i64);
        if bound("minimum").is_some_and(|least| number < least) || bound("maximum").is_some_and(|most| number > most) {
            self.broken(at, format!("{number} is out of bounds"));
        }
    }

    /// A number's text; of a request also the text that stands for one.
    fn scalar(&self, value: &Value) -> String {
        match value {
            Value::Number(number) => number.to_string(),
            Value::String(text) if self.direction == Direction::Request => text.trim().to_owned(),
            _ => String::new(),
        }
    }

    fn text(&self, value: &Value) -> Option<String> {
        match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(_) | Value::Bool(_) if self.direction == Direction::Request => Some(value.to_string()),
            _ => None,
        }
    }

    fn is_boolean(&self, value: &Value) -> bool {
        let is_word = |text: &str| text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false");
        value.is_boolean() || (self.direction == Direction::Request && value.as_str().is_some_and(is_word))
    }
}

/// The schema that a reference leads to.
pub(super) fn resolved<'a>(definitions: &'a Map<String, Value>, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    while let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        schema = definitions.get(name).unwrap_or_else(|| panic!("no definition of {name}"));
    }
    schema
}

/// The members that an object declares or inherits, and which of them it must have.
pub(super) fn declared_in<'a>(
    definitions: &'a Map<String, Value>,
    schema: &'a Value,
) -> (Vec<(&'a str, &'a Value)>, Vec<&'a str>) {
    let mut object = Object::default();
    gather(definitions, resolved(definitions, schema), &mut object);
    (object.properties, object.required)
}

fn gather<'a>(definitions: &'a Map<String, Value>, schema: &'a Value, object: &mut Object<'a>) {
    for parent in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        gather(definitions, resolved(definitions, parent), object);
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    object.properties.extend(properties.into_iter().flatten().map(|(name, value)| (name.as_str(), value)));
    let required = schema.get("required").and_then(Value::as_array);
    object.required.extend(required.into_iter().flatten().filter_map(Value::as_str));
    object.additional = schema.get("additionalProperties").or(object.additional);
    // Of a property that parent and child declare, the child's counts.
    let mut seen = HashSet::new();
    object.properties.reverse();
    object.properties.retain(|(name, _)| seen.insert(*name));
    object.properties.reverse();
}

pub(super) fn is_read_only(property: &Value) -> bool {
    let mutability = property.get("x-ms-mutability").and_then(Value::as_array);
    property.get("readOnly").is_some() || mutability.is_some_and(|only| only.len() == 1 && only[0] == "read")
}

fn is_write_only(property: &Value) -> bool {
    let mutability = property.get("x-ms-mutability").and_then(Value::as_array);
    property.get("x-ms-secret").is_some() || mutability.is_some_and(|marks| !marks.iter().any(|mark| mark == "read"))
}

/// RFC 3339: `2024-01-31T12:00:00`, perhaps a fraction, `Z` or an offset.
fn is_date_time(text: &str) -> bool {
    let Some((date, time)) = text.split_once('T') else { return false };
    let digits = |text: &str, lengths: &[usize], between: char| {
        let parts: Vec<&str> = text.split(between).collect();
        parts.len() == lengths.len()
            && parts
                .iter()
                .zip(lengths)
                .all(|(part, length)| part.len() == *length && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let (clock, offset) = match time.find(['Z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => return false,
    };
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let is_offset = offset == "Z" || offset.get(1..).is_some_and(|offset| digits(offset, &[2, 2], ':'));
    digits(date, &[4, 2, 2], '-')
        && digits(whole, &[2, 2, 2], ':')
        && is_offset
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
}
