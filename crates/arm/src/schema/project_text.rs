//! As `project`, from a stored document's text to an answer's, without a tree in between: a page of a list holds a hundred
//! documents, and building and walking their trees was a third of what a page cost.
//!
//! One pass: what the view shows is written while it is read, and what needs no look inside is copied as it stands. What is
//! written, read again, is what `project` answers of the same parts; a property test holds the two together. Members may come
//! in another order.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, value::RawValue};

use super::View;
use super::table::Kind;

/// What an answer is put together from.
#[derive(Debug, Clone, Copy)]
pub struct DocumentParts<'a> {
    /// Members of text that come first, in place of stored ones.
    pub head: &'a [(&'static str, &'a str)],
    /// The stored document.
    pub stored: &'a str,
    /// Members of text in `properties`, in place of stored ones.
    pub states: &'a [(&'static str, &'a str)],
    /// A path that is left out, such as `properties`, `securityProfile`, `uefiSettings`; empty for none.
    pub hidden: &'static [&'static str],
    /// Comes last, whether or not the api-version has it.
    pub etag: &'a str,
}

impl DocumentParts<'_> {
    /// The parts as one document, for what has to look at all of it.
    pub(super) fn to_document(self) -> serde_json::Result<Value> {
        let texts = |members: &[(&'static str, &str)]| -> Vec<(String, Value)> {
            members.iter().map(|(name, text)| ((*name).to_owned(), Value::from(*text))).collect()
        };
        let mut document = Map::from_iter(texts(self.head));
        for (name, value) in serde_json::from_str::<Map<String, Value>>(self.stored)? {
            document.entry(name).or_insert(value);
        }
        document.insert(ETAG.to_owned(), self.etag.into());
        if let [path @ .., last] = self.hidden {
            let holder = path.iter().try_fold(&mut document, |members, name| members.get_mut(*name)?.as_object_mut());
            holder.and_then(|holder| holder.shift_remove(*last));
        }
        if !self.states.is_empty() {
            let properties = document.entry(PROPERTIES).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(properties) = properties {
                properties.extend(texts(self.states));
            }
        }
        Ok(Value::Object(document))
    }
}

/// Appends what is shown of the parts to `out`.
pub(super) fn project(root: &Kind, view: View, parts: &DocumentParts<'_>, out: &mut Vec<u8>) -> serde_json::Result<()> {
    let changes = Changes { set: parts.head, below: Some(parts.states), hidden: parts.hidden };
    let mut deserializer = serde_json::Deserializer::from_str(parts.stored);
    Show { kind: root, view, changes, out: &mut *out }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    // An object was written, or nothing that a member could be added to.
    if out.pop() != Some(b'}') {
        return Err(serde_json::Error::custom("the document is no object"));
    }
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    write_text(out, ETAG);
    out.push(b':');
    write_text(out, parts.etag);
    out.push(b'}');
    Ok(())
}

/// What becomes of one object's members beside being shown.
#[derive(Clone, Copy, Default)]
struct Changes<'a> {
    /// Set here, in place of stored ones.
    set: &'a [(&'static str, &'a str)],
    /// To be set in the member `properties`; only the root has it.
    below: Option<&'a [(&'static str, &'a str)]>,
    /// The rest of the path to what is left out.
    hidden: &'a [&'static str],
}

const PROPERTIES: &str = "properties";
const ETAG: &str = "etag";

impl<'a> Changes<'a> {
    fn hides(&self, name: &str) -> bool {
        matches!(self.hidden, [last] if *last == name)
    }

    fn sets(&self, name: &str) -> bool {
        self.set.iter().any(|(set, _)| *set == name)
    }

    fn of_member(&self, name: &str) -> Self {
        let hidden = match self.hidden {
            [first, rest @ ..] if *first == name => rest,
            _ => &[],
        };
        let set = self.below.filter(|_| name == PROPERTIES).unwrap_or_default();
        Self { set, below: None, hidden }
    }

    fn is_none(&self) -> bool {
        self.set.is_empty() && self.hidden.is_empty()
    }
}

/// Reads one value and writes what is shown of it. Answers whether that left nothing of an object that had members.
struct Show<'a, 'o> {
    kind: &'a Kind,
    view: View,
    changes: Changes<'a>,
    out: &'o mut Vec<u8>,
}

/// A member's name; borrowed unless it holds an escape.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Show<'a, '_> {
    /// As which kind a member is shown, if it is: everything is `Any`.
    fn kind_of(&self, name: &str) -> Option<&'a Kind> {
        match self.kind {
            Kind::Object { .. } => match self.kind.property(name) {
                Some((_, property)) => property.is_in(self.view.index).then_some(&property.kind),
                None => self.view.newer.then_some(&Kind::Any),
            },
            Kind::Map(items) => Some(items),
            _ => Some(&Kind::Any),
        }
    }

    /// Begins a member of the object that began at `start`.
    fn begin_member(&mut self, start: usize, Name(name): &Name<'_>) {
        if self.out.len() > start {
            self.out.push(b',');
        }
        match name {
            // It stands in a text without an escape, and needs none.
            Cow::Borrowed(name) => {
                self.out.push(b'"');
                self.out.extend_from_slice(name.as_bytes());
                self.out.push(b'"');
            }
            Cow::Owned(name) => write(self.out, name),
        }
        self.out.push(b':');
    }

    fn set(&mut self, start: usize) {
        for (name, text) in self.changes.set {
            if self.kind_of(name).is_some() {
                self.begin_member(start, &Name(Cow::Borrowed(name)));
                write_text(self.out, text);
            }
        }
    }

    /// `properties` of a document that was stored without.
    fn add_properties(&mut self, start: usize) {
        let changes = self.changes.of_member(PROPERTIES);
        let Some(kind) = self.kind_of(PROPERTIES).filter(|_| !changes.set.is_empty()) else { return };
        let before = self.out.len();
        self.begin_member(start, &Name(Cow::Borrowed(PROPERTIES)));
        self.out.push(b'{');
        let inner = self.out.len();
        Show { kind, view: self.view, changes, out: &mut *self.out }.set(inner);
        if self.out.len() == inner {
            self.out.truncate(before);
        } else {
            self.out.push(b'}');
        }
    }

    /// A member that is shown as `kind`.
    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        start: usize,
        name: &Name<'_>,
        kind: &'a Kind,
        members: &mut A,
    ) -> Result<(), A::Error> {
        let before = self.out.len();
        self.begin_member(start, name);
        let changes = self.changes.of_member(&name.0);
        if is_shown_whole(kind) && changes.is_none() {
            self.out.extend_from_slice(members.next_value::<&RawValue>()?.get().as_bytes());
            return Ok(());
        }
        let emptied = members.next_value_seed(Show { kind, view: self.view, changes, out: &mut *self.out })?;
        // What this version cannot show anything of may never have been written in this version.
        if emptied && matches!(self.kind, Kind::Object { .. }) {
            self.out.truncate(before);
        }
        Ok(())
    }
}

/// Whether a value of the kind looks the same in every api-version.
fn is_shown_whole(kind: &Kind) -> bool {
    match kind {
        Kind::Object { .. } => false,
        Kind::Map(items) | Kind::List(items) => is_shown_whole(items),
        _ => true,
    }
}

/// As [`write`], for texts of which most need no escape: ids, names, states.
fn write_text(out: &mut Vec<u8>, text: &str) {
    let needs_escape = text.bytes().fold(false, |found, byte| found | (byte < b' ') | (byte == b'"') | (byte == b'\\'));
    if needs_escape {
        return write(out, text);
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

fn write<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("texts and numbers are JSON, and memory takes them");
}

impl<'de> DeserializeSeed<'de> for Show<'_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Show<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a stored document's value")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<bool, A::Error> {
        self.out.push(b'{');
        let start = self.out.len();
        let is_root = self.changes.below.is_some();
        if is_root {
            self.set(start);
        }
        let (mut had_members, mut had_properties) = (!self.changes.set.is_empty(), false);
        while let Some(member) = members.next_key::<Name<'_>>()? {
            let name = &*member.0;
            let is_replaced = self.changes.sets(name) || (is_root && name == ETAG);
            if is_replaced || self.changes.hides(name) {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            (had_members, had_properties) = (true, had_properties || name == PROPERTIES);
            match self.kind_of(name) {
                Some(kind) => self.member(start, &member, kind, &mut members)?,
                None => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        if !is_root {
            self.set(start);
        } else if !had_properties {
            self.add_properties(start);
        }
        self.out.push(b'}');
        Ok(had_members && self.out.len() == start + 1)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<bool, A::Error> {
        let Self { kind, view, out, .. } = self;
        let kind: &Kind = if let Kind::List(items) = kind { items } else { &Kind::Any };
        out.push(b'[');
        let start = out.len();
        loop {
            let end = out.len();
            if end > start {
                out.push(b',');
            }
            if entries.next_element_seed(Show { kind, view, changes: Changes::default(), out: &mut *out })?.is_none() {
                out.truncate(end);
                break;
            }
        }
        out.push(b']');
        Ok(false)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<bool, E> {
        write_text(self.out, text);
        Ok(false)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
        write(self.out, &value);
        Ok(false)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<bool, E> {
        write(self.out, &number);
        Ok(false)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<bool, E> {
        write(self.out, &number);
        Ok(false)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<bool, E> {
        write(self.out, &number);
        Ok(false)
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        self.out.extend_from_slice(b"null");
        Ok(false)
    }
}
