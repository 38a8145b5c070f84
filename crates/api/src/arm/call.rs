//! One authenticated request to ARM, taken apart.

use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use axum::{
    body::{Body, HttpBody},
    http::{HeaderMap, Method, header},
};
use galerie_arm::{ApiVersion, ArmError, body::LARGEST_BODY_BYTES, etag::Precondition, parse_body};
use galerie_control::{Caller, RequestContext};
use serde_json::Value;

use crate::{
    body::{self, BodyError},
    hosts::AcceptedHost,
    middleware::request_ids::RequestIds,
    query::Query,
    state::ApiState,
};

/// Only reading.
pub(crate) static GET: [Method; 1] = [Method::GET];
/// Only acting.
pub(crate) static POST: [Method; 1] = [Method::POST];

/// Why a call has no answer of its own.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What went wrong.
    Arm(ArmError),
    /// The path does not have this method; it has these.
    Method(&'static [Method]),
}

impl From<ArmError> for Failure {
    fn from(error: ArmError) -> Self {
        Self::Arm(error)
    }
}

/// A request whose caller is known.
pub(crate) struct Call {
    pub(crate) state: ApiState,
    pub(crate) method: Method,
    /// The path as it was sent.
    pub(crate) raw_path: String,
    /// The path's segments, decoded.
    pub(crate) segments: Vec<String>,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) host: AcceptedHost,
    pub(crate) ids: RequestIds,
    pub(crate) caller: Caller,
    /// The caller as other tenants know it.
    pub(crate) auxiliary: Vec<Caller>,
    /// Where it comes from.
    pub(crate) client_address: Option<IpAddr>,
    /// Locked by nobody: it only makes a reference to a call good on another thread, which a body alone is not.
    pub(crate) body: Mutex<Body>,
}

impl Call {
    /// Refuses other methods than these.
    ///
    /// # Errors
    /// `HttpMethodNotSupported`.
    pub(crate) fn only(&self, allowed: &'static [Method]) -> Result<(), Failure> {
        if allowed.contains(&self.method) { Ok(()) } else { Err(Failure::Method(allowed)) }
    }

    /// The path in its decoded form: an id, without doubled slashes.
    pub(crate) fn path(&self) -> String {
        format!("/{}", self.segments.join("/"))
    }

    /// The request's `api-version`.
    ///
    /// # Errors
    /// `MissingApiVersionParameter`, `InvalidApiVersionParameter`.
    pub(crate) fn api_version(&self) -> Result<ApiVersion, ArmError> {
        ApiVersion::from_query(self.query.get("api-version"))
    }

    /// What the domain wants to know beside id and body.
    ///
    /// # Errors
    /// Of the api-version and of the conditions.
    pub(crate) fn context(&self) -> Result<RequestContext, ArmError> {
        let text = |name| self.headers.get(name).map(|value| value.to_str().unwrap_or_default());
        Ok(RequestContext {
            caller: self.caller.clone(),
            api_version: self.api_version()?,
            preconditions: Precondition::from_headers(text(header::IF_MATCH), text(header::IF_NONE_MATCH))?,
            auxiliary: self.auxiliary.clone(),
            correlation_id: self.ids.correlation,
            client_address: self.client_address,
        })
    }

    /// The same for our own routes, which have one version and no conditions.
    pub(crate) fn own_context(&self) -> RequestContext {
        RequestContext {
            caller: self.caller.clone(),
            api_version: ApiVersion::stable(2024, 3, 3),
            preconditions: Precondition::default(),
            auxiliary: Vec::new(),
            correlation_id: self.ids.correlation,
            client_address: self.client_address,
        }
    }

    /// Whether there is a body.
    pub(crate) fn has_body(&mut self) -> bool {
        !self.body.get_mut().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// `UnsupportedMediaType` when it says that it is something else; of size, depth and syntax.
    pub(crate) async fn json(&mut self) -> Result<Value, ArmError> {
        self.check_content_type()?;
        let body = self.body.get_mut().unwrap_or_else(PoisonError::into_inner);
        let body = std::mem::replace(body, Body::empty());
        let bytes = body::read(&self.headers, body, LARGEST_BODY_BYTES).await.map_err(|error| match error {
            BodyError::TooLarge { limit_bytes } => ArmError::request_too_large(limit_bytes),
            BodyError::Broken => ArmError::invalid_request_content("the body ended early"),
        })?;
        parse_body(&bytes, LARGEST_BODY_BYTES)
    }

    /// Clients may leave the type out; what they state must be JSON.
    fn check_content_type(&self) -> Result<(), ArmError> {
        let Some(stated) = self.headers.get(header::CONTENT_TYPE) else { return Ok(()) };
        let stated = stated.to_str().unwrap_or_default();
        let essence = stated.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let is_json = essence.is_empty() || essence.ends_with("/json") || essence.ends_with("+json");
        if is_json { Ok(()) } else { Err(ArmError::unsupported_media_type(stated)) }
    }

    /// This list's next page: the same URL with another `$skiptoken`.
    pub(crate) fn next_link(&self, continuation: &str) -> String {
        let kept = self.query.encode_without("$skiptoken");
        let separator = if kept.is_empty() { "" } else { "&" };
        format!("{}{}?{kept}{separator}$skiptoken={continuation}", self.host.url(), self.raw_path)
    }

    /// Where to go on, if this asks for a later page.
    pub(crate) fn continuation(&self) -> Option<&str> {
        self.query.get("$skiptoken")
    }
}
