//! A request's body as properties: each is taken once, and what nobody takes is kept or refused by name.

use galerie_arm::{ArmError, timestamp};
use galerie_control::directory::{Document, error};
use serde_json::{Map, Value};

/// Set by the service on every object. Clients that send back what they read may repeat them.
const SERVICES: [&str; 5] = ["id", "createdDateTime", "deletedDateTime", "@odata.context", "@odata.type"];

/// A body's properties, of a resource that messages call `resource`.
pub(super) struct Properties {
    map: Map<String, Value>,
    resource: &'static str,
}

impl Properties {
    pub(super) fn new(map: Map<String, Value>, resource: &'static str) -> Self {
        Self { map, resource }
    }

    /// Takes a property; `null` is as good as none.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    /// Takes a text.
    ///
    /// # Errors
    /// `Request_BadRequest`.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, ArmError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(error::invalid_value(name, "a text")),
        }
    }

    /// Takes a text that must be there.
    ///
    /// # Errors
    /// `Request_BadRequest`.
    pub(super) fn required(&mut self, name: &str) -> Result<String, ArmError> {
        self.text(name)?.ok_or_else(|| error::missing(name, self.resource))
    }

    /// Takes true or false.
    ///
    /// # Errors
    /// `Request_BadRequest`.
    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, ArmError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(error::invalid_value(name, "true or false")),
        }
    }

    /// Takes a time, in ms since 1970.
    ///
    /// # Errors
    /// `Request_BadRequest`.
    pub(super) fn time(&mut self, name: &str) -> Result<Option<i64>, ArmError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let time = timestamp::parse_ms(&text).filter(|ms| (0..=LATEST_MS).contains(ms));
        time.map(Some).ok_or_else(|| error::invalid_value(name, "a date and time such as 2027-01-31T12:00:00Z"))
    }

    /// Takes an object.
    ///
    /// # Errors
    /// `Request_BadRequest`.
    pub(super) fn object(&mut self, name: &str) -> Result<Option<Self>, ArmError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Self { map, resource: self.resource })),
            Some(_) => Err(error::invalid_value(name, "an object")),
        }
    }

    /// Takes a list of objects.
    ///
    /// # Errors
    /// `Request_BadRequest`.
    pub(super) fn objects(&mut self, name: &str) -> Result<Option<Vec<Self>>, ArmError> {
        let invalid = || error::invalid_value(name, "a list of objects");
        let resource = self.resource;
        let object = |value: Value| match value {
            Value::Object(map) => Ok(Self { map, resource }),
            _ => Err(invalid()),
        };
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(list)) => list.into_iter().map(object).collect::<Result<_, _>>().map(Some),
            Some(_) => Err(invalid()),
        }
    }

    /// What is left: properties of these names are kept, others refused.
    ///
    /// # Errors
    /// `Request_BadRequest` with the property's name.
    pub(super) fn rest(self, kept: &[&str], read_only: &[&str]) -> Result<Document, ArmError> {
        for name in self.map.keys() {
            if SERVICES.contains(&name.as_str()) || read_only.contains(&name.as_str()) {
                return Err(error::read_only(name));
            }
            if !kept.contains(&name.as_str()) {
                return Err(error::unknown_property(name, self.resource));
            }
        }
        Ok(self.map)
    }

    /// Refuses what is left.
    ///
    /// # Errors
    /// `Request_BadRequest` with the property's name.
    pub(super) fn end(self) -> Result<(), ArmError> {
        self.rest(&[], &[]).map(drop)
    }
}

/// The end of the year 9999: what Graph's own dates end with.
const LATEST_MS: i64 = 253_402_300_799_999;
