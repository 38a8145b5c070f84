//! Reading a request's body into the specification's spelling, with the texts that Compute (Newtonsoft.Json) answers.

use serde_json::{Map, Number, Value};

use super::table::Kind;
use super::{Shape, View};
use crate::error::{ArmError, quoted};
use crate::timestamp;

/// The longest text of a property. Longer than anything that a resource means by one: certificates in UEFI settings have some
/// tens of thousands. Azure publishes no bound but the body's.
pub(super) const LONGEST_TEXT_CHARS: usize = 65_536;

/// Where a value is in the body: only written down when something is wrong.
struct Path<'a> {
    outer: Option<&'a Path<'a>>,
    step: Step<'a>,
}

enum Step<'a> {
    Root,
    Name(&'a str),
    Index(usize),
}

impl Path<'_> {
    fn text(&self) -> String {
        let outer = self.outer.map(Path::text).unwrap_or_default();
        match self.step {
            Step::Root => outer,
            Step::Index(index) => format!("{outer}[{index}]"),
            Step::Name(name) if outer.is_empty() => quoted(name),
            Step::Name(name) => format!("{outer}.{}", quoted(name)),
        }
    }
}

/// Whether a text means a value of an enum. One that is several at once (`SystemAssigned, UserAssigned`) may be written in
/// any order and without the space: az leaves it out.
fn is_same_value(known: &str, text: &str) -> bool {
    let parts = |text: &str| -> Vec<String> {
        let mut parts: Vec<String> = text.split(',').map(|part| part.trim().to_ascii_lowercase()).collect();
        parts.sort_unstable();
        parts
    };
    known.eq_ignore_ascii_case(text) || (known.contains(',') && text.contains(',') && parts(known) == parts(text))
}

struct Reader {
    view: View,
    parameter: &'static str,
}

pub(super) fn accept(shape: &Shape, body: Value) -> Result<Value, ArmError> {
    if !body.is_object() {
        return Err(ArmError::invalid_request_content("the body must be a JSON object"));
    }
    let reader = Reader { view: shape.view, parameter: shape.parameter };
    let root = Path { outer: None, step: Step::Root };
    let accepted = reader.read(shape.root, body, &root)?;
    Ok(accepted.unwrap_or_else(|| Value::Object(Map::new())))
}

impl Reader {
    /// The value as it is kept; `None` for absence.
    fn read(&self, kind: &Kind, value: Value, path: &Path<'_>) -> Result<Option<Value>, ArmError> {
        if value.is_null() {
            return Ok(None);
        }
        let read = match kind {
            Kind::Any => value,
            Kind::Object { type_name, .. } => self.read_object(kind, type_name, value, path)?,
            Kind::Map(items) => self.read_map(items, value, path)?,
            Kind::List(items) => self.read_list(items, value, path)?,
            Kind::Enum(values) => return self.read_enum(values, value, path),
            Kind::String => self.read_string(value, path)?,
            Kind::Date => self.read_date(value, path)?,
            Kind::Bool => self.read_bool(value, path)?,
            Kind::Int32 => self.read_integer(value, path, i64::from(i32::MIN), i64::from(i32::MAX), "Int32")?,
            Kind::Int64 => self.read_integer(value, path, i64::MIN, i64::MAX, "Int64")?,
            Kind::Number => self.read_number(value, path)?,
        };
        Ok(Some(read))
    }

    fn read_object(&self, kind: &Kind, type_name: &str, value: Value, path: &Path<'_>) -> Result<Value, ArmError> {
        let members = self.object(value, type_name, path)?;
        let mut read = Map::with_capacity(members.len());
        for (name, member) in members {
            let here = Path { outer: Some(path), step: Step::Name(&name) };
            match kind.property(&name).filter(|(_, property)| property.is_in(self.view.index)) {
                Some((_, property)) if property.read_only.contains(self.view.index) => {}
                Some((spelled, property)) => {
                    // The last of several spellings of one name wins, as it does at the real service.
                    match self.read(&property.kind, member, &Path { outer: Some(path), step: Step::Name(spelled) })? {
                        Some(member) => read.insert(spelled.to_owned(), member),
                        None => read.shift_remove(spelled),
                    };
                }
                None if self.view.newer => {
                    if !member.is_null() {
                        read.insert(name, member);
                    }
                }
                // Our own `etag` comes back from callers that read, modify and write.
                None if path.outer.is_none() && name.eq_ignore_ascii_case("etag") => {}
                None => {
                    let text = format!("Could not find member '{}' on object of type '{type_name}'.", quoted(&name));
                    return Err(self.bad(&here, &text));
                }
            }
        }
        Ok(Value::Object(read))
    }

    fn object(&self, value: Value, type_name: &str, path: &Path<'_>) -> Result<Map<String, Value>, ArmError> {
        match value {
            Value::Object(members) => Ok(members),
            Value::Array(_) => {
                let text = format!(
                    "Cannot deserialize the current JSON array (e.g. [1,2,3]) into type '{type_name}' because the type \
                     requires a JSON object (e.g. {{\"name\":\"value\"}}) to deserialize correctly."
                );
                Err(self.bad(path, &text))
            }
            scalar => Err(self.cannot_convert(&scalar, type_name, path)),
        }
    }

    fn read_map(&self, items: &Kind, value: Value, path: &Path<'_>) -> Result<Value, ArmError> {
        let members = self.object(value, "Dictionary", path)?;
        let mut read = Map::with_capacity(members.len());
        for (name, member) in members {
            let here = Path { outer: Some(path), step: Step::Name(&name) };
            if let Some(member) = self.read(items, member, &here)? {
                read.insert(name, member);
            }
        }
        Ok(Value::Object(read))
    }

    fn read_list(&self, items: &Kind, value: Value, path: &Path<'_>) -> Result<Value, ArmError> {
        let entries = match value {
            Value::Array(entries) => entries,
            Value::Object(_) => {
                let text = "Cannot deserialize the current JSON object (e.g. {\"name\":\"value\"}) into type 'List' because \
                            the type requires a JSON array (e.g. [1,2,3]) to deserialize correctly.";
                return Err(self.bad(path, text));
            }
            scalar => return Err(self.cannot_convert(&scalar, "List", path)),
        };
        let mut read = Vec::with_capacity(entries.len());
        for (index, entry) in entries.into_iter().enumerate() {
            let here = Path { outer: Some(path), step: Step::Index(index) };
            read.extend(self.read(items, entry, &here)?);
        }
        Ok(Value::Array(read))
    }

    fn read_enum(&self, values: &[String], value: Value, path: &Path<'_>) -> Result<Option<Value>, ArmError> {
        let text = self.scalar_text(value, path)?;
        self.check_length(&text, path)?;
        if text.trim().is_empty() {
            return Ok(None);
        }
        match values.iter().find(|known| is_same_value(known, text.trim())) {
            Some(known) => Ok(Some(Value::from(known.as_str()))),
            None if self.view.newer => Ok(Some(Value::from(text))),
            None => {
                let message = format!(
                    "Error converting value \"{}\" to type '{}'. Allowed values are: {}.",
                    quoted(&text),
                    path_name(path),
                    values.join(", ")
                );
                Err(self.bad(path, &message))
            }
        }
    }

    fn read_string(&self, value: Value, path: &Path<'_>) -> Result<Value, ArmError> {
        let text = self.scalar_text(value, path)?;
        self.check_length(&text, path)?;
        Ok(Value::from(text))
    }

    /// Nothing that is written down is longer than a text can be.
    fn check_length(&self, text: &str, path: &Path<'_>) -> Result<(), ArmError> {
        if text.len() <= LONGEST_TEXT_CHARS || text.chars().count() <= LONGEST_TEXT_CHARS {
            return Ok(());
        }
        let message = format!(
            "The value of parameter {} is too long. It must have at most {LONGEST_TEXT_CHARS} characters.",
            path_name(path)
        );
        Err(self.out_of_bounds(path, message))
    }

    fn read_date(&self, value: Value, path: &Path<'_>) -> Result<Value, ArmError> {
        match &value {
            Value::String(text) if text.is_empty() || timestamp::parse_ms(text).is_some() => Ok(value),
            Value::String(text) => {
                Err(self.bad(path, &format!("Could not convert string to DateTime: {}.", quoted(text))))
            }
            other => Err(self.cannot_convert(other, "DateTime", path)),
        }
    }

    fn read_bool(&self, value: Value, path: &Path<'_>) -> Result<Value, ArmError> {
        match &value {
            Value::Bool(_) => Ok(value),
            Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(Value::Bool(true)),
            Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(Value::Bool(false)),
            Value::String(text) => {
                Err(self.bad(path, &format!("Could not convert string to boolean: {}.", quoted(text))))
            }
            other => Err(self.cannot_convert(other, "Boolean", path)),
        }
    }

    fn read_integer(
        &self,
        value: Value,
        path: &Path<'_>,
        least: i64,
        most: i64,
        name: &str,
    ) -> Result<Value, ArmError> {
        let number = match &value {
            Value::Number(number) => number.clone(),
            Value::String(text) => match text.trim().parse::<i64>() {
                Ok(number) => Number::from(number),
                Err(_) => {
                    return Err(self.bad(path, &format!("Could not convert string to integer: {}.", quoted(text))));
                }
            },
            other => return Err(self.cannot_convert(other, name, path)),
        };
        if number.is_f64() {
            return Err(self.bad(path, &format!("Input string '{number}' is not a valid integer.")));
        }
        match number.as_i64() {
            // Counts, sizes, indexes and rates: a body has no other whole numbers.
            Some(integer) if (least..0).contains(&integer) => {
                let name = path_name(path);
                let message = format!(
                    "The value {integer} of parameter {name} is out of range. The value must not be less than 0."
                );
                Err(self.out_of_bounds(path, message))
            }
            Some(integer) if (least..=most).contains(&integer) => Ok(Value::Number(number)),
            _ => Err(self.bad(path, &format!("JSON integer {number} is too large or small for an {name}."))),
        }
    }

    fn read_number(&self, value: Value, path: &Path<'_>) -> Result<Value, ArmError> {
        match &value {
            Value::Number(_) => Ok(value),
            Value::String(text) => match text.trim().parse::<f64>().ok().and_then(Number::from_f64) {
                Some(number) => Ok(Value::Number(number)),
                None => Err(self.bad(path, &format!("Could not convert string to double: {}.", quoted(text)))),
            },
            other => Err(self.cannot_convert(other, "Double", path)),
        }
    }

    /// A scalar as text, as Compute reads numbers and booleans where it expects a string.
    fn scalar_text(&self, value: Value, path: &Path<'_>) -> Result<String, ArmError> {
        match value {
            Value::String(text) => Ok(text),
            Value::Number(number) => Ok(number.to_string()),
            Value::Bool(truth) => Ok(if truth { "True" } else { "False" }.to_owned()),
            other => Err(self.cannot_convert(&other, "String", path)),
        }
    }

    fn cannot_convert(&self, value: &Value, type_name: &str, path: &Path<'_>) -> ArmError {
        let text = match value {
            Value::Object(_) => "Unexpected character encountered while parsing value: {.".to_owned(),
            Value::Array(_) => "Unexpected character encountered while parsing value: [.".to_owned(),
            Value::String(text) => format!("Error converting value \"{}\" to type '{type_name}'.", quoted(text)),
            other => format!("Error converting value {other} to type '{type_name}'."),
        };
        self.bad(path, &text)
    }

    fn out_of_bounds(&self, path: &Path<'_>, message: String) -> ArmError {
        ArmError::invalid_parameter(&format!("{}.{}", self.parameter, path.text()), message)
    }

    fn bad(&self, path: &Path<'_>, text: &str) -> ArmError {
        let path = path.text();
        ArmError::bad_body(self.parameter, &path, format!("{text} Path '{path}'."))
    }
}

/// What stands for an enumeration's name in a text: its property's.
fn path_name(path: &Path<'_>) -> String {
    match (&path.step, path.outer) {
        (Step::Name(name), _) => (*name).to_owned(),
        (_, Some(outer)) => path_name(outer),
        (_, None) => String::new(),
    }
}

pub(super) fn check_required(shape: &Shape, document: &Value) -> Result<(), ArmError> {
    let root = Path { outer: None, step: Step::Root };
    missing(shape.root, shape.view, document, &root).map_or(Ok(()), |path| {
        let name = path.rsplit('.').next().unwrap_or(&path).to_owned();
        let message = format!("Required parameter '{name}' is missing (null).");
        Err(ArmError::invalid_parameter(&format!("{}.{path}", shape.parameter), message))
    })
}

/// The path of the first required property that is absent.
fn missing(kind: &Kind, view: View, value: &Value, path: &Path<'_>) -> Option<String> {
    match (kind, value) {
        (Kind::Object { properties, .. }, Value::Object(members)) => properties.iter().find_map(|(name, property)| {
            let here = Path { outer: Some(path), step: Step::Name(name) };
            match members.get(name) {
                Some(member) => missing(&property.kind, view, member, &here),
                None => is_demanded(property, view).then(|| here.text()),
            }
        }),
        (Kind::List(items), Value::Array(entries)) => entries.iter().enumerate().find_map(|(index, entry)| {
            missing(items, view, entry, &Path { outer: Some(path), step: Step::Index(index) })
        }),
        (Kind::Map(items), Value::Object(members)) => members.iter().find_map(|(name, member)| {
            missing(items, view, member, &Path { outer: Some(path), step: Step::Name(name) })
        }),
        _ => None,
    }
}

/// Whether the caller must give a property. `publishingProfile.source` of 2018 is kept in another place (see
/// `image_version_source`), so the domain's rules about sources cover it.
fn is_demanded(property: &super::table::Property, view: View) -> bool {
    let is_old_source =
        matches!(&property.kind, Kind::Object { type_name, .. } if type_name == "GalleryArtifactSource");
    property.required.contains(view.index)
        && property.is_in(view.index)
        && !property.read_only.contains(view.index)
        && !is_old_source
}
