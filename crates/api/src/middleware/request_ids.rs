//! Ids of a request: ours (`x-ms-request-id`), the one that ties it to others (`x-ms-correlation-request-id`), and the
//! client's, echoed. The correlation id is also in the log and in the body of a 500.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use uuid::Uuid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-ms-correlation-request-id");
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");
const ROUTING_ID: HeaderName = HeaderName::from_static("x-ms-routing-request-id");
/// Longest client id that is echoed, in bytes.
const LONGEST_CLIENT_ID_BYTES: usize = 256;

/// The ids of a request, among its extensions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestIds {
    /// This request alone.
    pub(crate) request: Uuid,
    /// This request and those that belong to it.
    pub(crate) correlation: Uuid,
}

impl RequestIds {
    /// A request's, or new ones for a request that has none.
    pub(crate) fn of(request: &Request) -> Self {
        let given = request.extensions().get::<Self>().copied();
        given.unwrap_or_else(|| Self { request: Uuid::new_v4(), correlation: Uuid::new_v4() })
    }
}

/// Chooses the ids and puts them on the answer.
pub(crate) async fn layer(mut request: Request, next: Next) -> Response {
    let ids = RequestIds { request: Uuid::new_v4(), correlation: given_correlation(request.headers()) };
    let client = request.headers().get(CLIENT_REQUEST_ID).filter(|id| id.len() <= LONGEST_CLIENT_ID_BYTES).cloned();
    request.extensions_mut().insert(ids);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, value(&ids.request.to_string()));
    headers.insert(CORRELATION_ID, value(&ids.correlation.to_string()));
    headers.insert(ROUTING_ID, value(&format!("GALERIE:{}", ids.request)));
    if let Some(client) = client {
        headers.insert(CLIENT_REQUEST_ID, client);
    }
    response
}

/// The caller's correlation id, if it is a GUID; a new one otherwise.
fn given_correlation(headers: &HeaderMap) -> Uuid {
    let given = headers.get(CORRELATION_ID).and_then(|id| Uuid::parse_str(id.to_str().ok()?).ok());
    given.unwrap_or_else(Uuid::new_v4)
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("GUIDs and letters are header characters")
}
