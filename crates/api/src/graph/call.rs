//! One authenticated request to Graph, taken apart; and answers in Graph's form.

use std::sync::{Mutex, PoisonError};

use axum::{
    body::Body,
    http::{HeaderMap, Method},
    response::Response,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use galerie_arm::{ArmError, parse_body};
use galerie_control::{
    Caller, Control, RequestContext,
    directory::{error, list::Continuation},
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    arm::response,
    body::{self, BodyError},
    hosts::AcceptedHost,
    query::Query,
    state::ApiState,
};

/// Largest body that is read.
const LARGEST_BODY_BYTES: usize = 256 * 1024;
/// Objects of a page, when nobody says and at most, as in Graph.
const PAGE: u32 = 100;
const LARGEST_PAGE: u32 = 999;

/// A request whose caller is known.
pub(super) struct Call {
    pub(super) state: ApiState,
    pub(super) method: Method,
    pub(super) raw_path: String,
    /// Decoded, `users('x')` taken apart; `msgraph` and the version first.
    pub(super) segments: Vec<String>,
    pub(super) query: Query,
    pub(super) headers: HeaderMap,
    pub(super) host: AcceptedHost,
    pub(super) context: RequestContext,
    /// Locked by nobody: it only makes a reference to a call good on another thread, which a body alone is not.
    pub(super) body: Mutex<Body>,
}

impl Call {
    pub(super) fn control(&self) -> &Control {
        &self.state.control
    }

    pub(super) fn caller(&self) -> &Caller {
        &self.context.caller
    }

    /// A segment behind the version, in its own spelling.
    pub(super) fn segment(&self, index: usize) -> &str {
        self.segments.get(index + 2).map_or("", String::as_str)
    }

    /// A segment that is an object's id.
    ///
    /// # Errors
    /// `Request_ResourceNotFound`, as for an id that is nobody's.
    pub(super) fn id(&self, index: usize) -> Result<Uuid, ArmError> {
        id(self.segment(index))
    }

    /// The body: a JSON object.
    ///
    /// # Errors
    /// `Request_BadRequest`.
    pub(super) async fn json(&mut self) -> Result<Map<String, Value>, ArmError> {
        let body = self.body.get_mut().unwrap_or_else(PoisonError::into_inner);
        let body = std::mem::replace(body, Body::empty());
        let bytes = body::read(&self.headers, body, LARGEST_BODY_BYTES).await.map_err(|failure| match failure {
            BodyError::TooLarge { limit_bytes } => {
                ArmError::new(413, "Request_BadRequest", format!("The body is larger than {limit_bytes} bytes."))
            }
            BodyError::Broken => error::bad_request("The body ended early."),
        })?;
        let value = parse_body(&bytes, LARGEST_BODY_BYTES);
        let value = value.map_err(|failure| error::bad_request(format!("The body is no JSON: {}", failure.message)))?;
        match value {
            Value::Object(object) => Ok(object),
            _ => Err(error::bad_request("The body must be a JSON object.")),
        }
    }

    /// `$top`.
    ///
    /// # Errors
    /// `Request_BadRequest`.
    pub(super) fn top(&self) -> Result<u32, ArmError> {
        let Some(text) = self.query.get("$top") else { return Ok(PAGE) };
        let top = text.parse().ok().filter(|top| (1..=LARGEST_PAGE).contains(top));
        top.ok_or_else(|| {
            error::bad_request(format!("Invalid page size specified: '$top' is from 1 to {LARGEST_PAGE}."))
        })
    }

    /// Where to go on, if this asks for a later page.
    ///
    /// # Errors
    /// `Request_BadRequest` for what no answer held.
    pub(super) fn continuation(&self) -> Result<Option<Continuation>, ArmError> {
        let Some(text) = self.query.get("$skiptoken") else { return Ok(None) };
        let read = || {
            let (name, id): (String, Uuid) = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
            // No name has a NUL, and PostgreSQL takes none.
            (!name.contains('\0')).then_some(Continuation { name, id })
        };
        read().map(Some).ok_or_else(|| error::bad_request("Invalid '$skiptoken': use the @odata.nextLink as it is."))
    }

    /// This list's next page: the same URL with another `$skiptoken`.
    pub(super) fn next_link(&self, after: &Continuation) -> String {
        let token = URL_SAFE_NO_PAD.encode(json!([after.name, after.id]).to_string());
        let kept = self.query.encode_without("$skiptoken");
        let separator = if kept.is_empty() { "" } else { "&" };
        format!("{}{}?{kept}{separator}$skiptoken={token}", self.host.url(), self.raw_path)
    }

    /// Where Graph is.
    fn root(&self) -> String {
        format!("{}/msgraph/{}", self.host.url(), self.segments.get(1).map_or("v1.0", String::as_str))
    }

    /// One object; `set` is the collection that it is in.
    pub(super) fn entity(&self, status: u16, set: &str, document: Value) -> Response {
        let mut whole = json!({ "@odata.context": format!("{}/$metadata#{set}/$entity", self.root()) });
        merge(&mut whole, self.selected(document));
        response::json(status, &whole)
    }

    /// A list.
    pub(super) fn list(&self, documents: Vec<Value>, set: &str, next: Option<&Continuation>) -> Response {
        let documents: Vec<Value> = documents.into_iter().map(|document| self.selected(document)).collect();
        let mut whole = json!({ "@odata.context": format!("{}/$metadata#{set}", self.root()) });
        if let Some(next) = next {
            whole["@odata.nextLink"] = self.next_link(next).into();
        }
        whole["value"] = documents.into();
        response::json(200, &whole)
    }

    /// What `$select` leaves of a document.
    fn selected(&self, mut document: Value) -> Value {
        let Some(select) = self.query.get("$select") else { return document };
        let names: Vec<&str> = select.split(',').map(str::trim).collect();
        if let Some(object) = document.as_object_mut() {
            object.retain(|name, _| {
                name.starts_with('@') || names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
            });
        }
        document
    }
}

/// An object's id.
///
/// # Errors
/// `Request_ResourceNotFound`, as for an id that is nobody's.
pub(super) fn id(text: &str) -> Result<Uuid, ArmError> {
    text.parse().map_err(|_| error::not_found(text))
}

/// No body.
pub(super) fn done() -> Response {
    response::empty(204)
}

fn merge(into: &mut Value, from: Value) {
    if let (Some(into), Value::Object(from)) = (into.as_object_mut(), from) {
        into.extend(from);
    }
}
