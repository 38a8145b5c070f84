//! How an accepted write is answered. Clients check these statuses and headers to the letter.
//!
//! | | galleries, definitions, versions, managed images | disks, snapshots |
//! |---|---|---|
//! | PUT | 201 new, 200 existing; `Azure-AsyncOperation` | 202 (201 is an error to az); both headers |
//! | PATCH | 200; `Azure-AsyncOperation` | 202; both |
//! | DELETE, actions | 202; both | 202; both |
//!
//! Sources: the clients' tables of accepted statuses, and recordings of the real service.

use axum::{
    http::{HeaderName, HeaderValue, header},
    response::Response,
};
use galerie_arm::ApiVersion;
use galerie_control::{Accepted, OperationRef};

use super::{call::Call, response};

const ASYNC_OPERATION: HeaderName = HeaderName::from_static("azure-asyncoperation");

/// Resources that are answered alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Galleries and what is in them.
    Gallery,
    /// Managed images.
    Image,
    /// Disks and snapshots.
    Disk,
}

impl Family {
    /// The segment of the operations' URLs.
    const fn operations(self) -> &'static str {
        match self {
            Self::Gallery => "capsOperations",
            Self::Image => "operations",
            Self::Disk => "DiskOperations",
        }
    }
}

/// After a PUT.
pub(super) fn put(call: &Call, accepted: &Accepted, family: Family) -> Response {
    let status = match (family, accepted.created) {
        (Family::Disk, _) => 202,
        (_, true) => 201,
        (_, false) => 200,
    };
    with_resource(call, accepted, family, status)
}

/// After a PATCH.
pub(super) fn patch(call: &Call, accepted: &Accepted, family: Family) -> Response {
    with_resource(call, accepted, family, if family == Family::Disk { 202 } else { 200 })
}

/// After a DELETE or an action: no body.
pub(super) fn action(call: &Call, accepted: &Accepted, family: Family) -> Response {
    let mut answer = response::empty(202);
    set_url(&mut answer, ASYNC_OPERATION, &status_url(call, &accepted.operation, family));
    set_url(&mut answer, header::LOCATION, &result_url(call, &accepted.operation, family));
    response::polled(answer)
}

fn with_resource(call: &Call, accepted: &Accepted, family: Family, status: u16) -> Response {
    let mut answer = match &accepted.resource {
        Some(resource) => response::resource(status, resource),
        None => response::empty(status),
    };
    set_url(&mut answer, ASYNC_OPERATION, &status_url(call, &accepted.operation, family));
    if family == Family::Disk {
        set_url(&mut answer, header::LOCATION, &result_url(call, &accepted.operation, family));
    }
    response::polled(answer)
}

/// After the DELETE of a group: a `Location` only.
pub(super) fn group_delete(call: &Call, operation: &OperationRef) -> Response {
    let mut answer = response::empty(202);
    let (url, version) = (call.host.url(), version_of(call));
    let result = format!(
        "{url}/subscriptions/{}/operationresults/{}?api-version={version}",
        operation.subscription, operation.id
    );
    set_url(&mut answer, header::LOCATION, &result);
    response::polled(answer)
}

/// Still running: poll the same URL again.
pub(super) fn pending(call: &Call) -> Response {
    let mut answer = response::empty(202);
    let query = call.query.encode_without("");
    let again = format!("{}{}?{query}", call.host.url(), call.raw_path);
    set_url(&mut answer, header::LOCATION, &again);
    response::polled(answer)
}

fn status_url(call: &Call, operation: &OperationRef, family: Family) -> String {
    format!(
        "{}/subscriptions/{}/providers/Microsoft.Compute/locations/{}/{}/{}?api-version={}",
        call.host.url(),
        operation.subscription,
        operation.location,
        family.operations(),
        operation.id,
        version_of(call)
    )
}

fn result_url(call: &Call, operation: &OperationRef, family: Family) -> String {
    format!("{}&monitor=true", status_url(call, operation, family))
}

/// The request's own, which was read before anything was accepted.
fn version_of(call: &Call) -> ApiVersion {
    call.api_version().unwrap_or(ApiVersion::stable(2024, 3, 3))
}

fn set_url(response: &mut Response, name: HeaderName, url: &str) {
    if let Ok(value) = HeaderValue::from_str(url) {
        response.headers_mut().insert(name, value);
    }
}
