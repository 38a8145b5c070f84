//! Sends a request to the process that can answer it, when several serve one catalogue.
//!
//! Any process answers what the catalogue knows. Bytes lie with some: a region's with those that serve it, an upload's with
//! the one that began it. A request about them is answered here or handed on whole: the client's host, token, signature and
//! query are kept, the body is streamed, and the answer comes back as it is. One hop at most: a request that was handed on
//! once is answered or refused.
//!
//! A peer that cannot be reached has got nothing, so the request waits until somebody can take it, for a while.

mod errand;

use std::{fmt::Debug, time::Duration};

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, header},
    response::Response,
};
use futures::future::BoxFuture;
use galerie_arm::ArmError;
use galerie_control::{Peer, Place};
use tokio::time::Instant;

use self::errand::Errand;
use crate::{
    front_door, hosts::AcceptedHost, middleware::client_address, middleware::request_ids::RequestIds,
    route_class::RouteClass, state::ApiState,
};

/// Names the process that handed a request on.
pub const FORWARDED_BY: HeaderName = HeaderName::from_static("x-galerie-forwarded-by");
/// How long a request waits for a process that can take it: longer than a dead one is taken for alive.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long it waits before it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(300);
/// What clients are told to wait.
const RETRY_AFTER_S: &str = "2";

/// The way to other processes.
pub trait Forward: Debug + Send + Sync {
    /// Sends a request to a peer, with the host that the client asked for.
    fn send<'a>(&'a self, peer: &'a Peer, host: &'a str, request: Request) -> BoxFuture<'a, Result<Response, Unsent>>;
}

/// Why a peer did not answer.
#[derive(Debug)]
pub enum Unsent {
    /// It got nothing of the request, which is whole.
    Unreached(Box<Request>),
    /// It may have got it; why there is no answer.
    Broken(String),
}

/// What became of a request.
pub(crate) enum Routed {
    /// It is answered here.
    Here(Request),
    /// It was answered.
    Answered(Response),
}

/// Hands a request on, if it is another process's to answer.
pub(crate) async fn route(
    state: &ApiState,
    request: Request,
    class: RouteClass,
    host: &AcceptedHost,
    ids: RequestIds,
) -> Routed {
    let Some(forward) = state.options.forward.clone().filter(|_| state.control.is_one_of_several()) else {
        return Routed::Here(request);
    };
    let Some(errand) = Errand::of(class, &request) else { return Routed::Here(request) };
    if !errand.may_go(state, request.headers()).await {
        return Routed::Here(request);
    }
    let method = request.method().clone();
    let refuse = |error: &ArmError| {
        let mut response = front_door::error(error, class, &method, ids);
        response.headers_mut().entry(header::RETRY_AFTER).or_insert(HeaderValue::from_static(RETRY_AFTER_S));
        Routed::Answered(response)
    };
    let is_forwarded = request.headers().contains_key(FORWARDED_BY);
    let give_up = Instant::now() + PATIENCE;
    let mut request = request;
    loop {
        let peer = match errand.place(&state.control).await {
            Ok(Place::Here) => return Routed::Here(request),
            Ok(Place::At(peer)) => peer,
            Ok(Place::Away(why)) => return refuse(&ArmError::service_unavailable(&why)),
            Err(error) => return refuse(&error),
        };
        if is_forwarded {
            return refuse(&ArmError::service_unavailable(
                "What is asked for has just moved to another process. Try again.",
            ));
        }
        if let Ok(own) = HeaderValue::from_str(state.control.process_id()) {
            request.headers_mut().insert(FORWARDED_BY, own);
        }
        client_address::hand_on(&mut request);
        match forward.send(&peer, host.as_str(), request).await {
            Ok(response) => {
                metrics::counter!("galerie_forwarded_requests_total", "route" => class.label()).increment(1);
                return Routed::Answered(response);
            }
            Err(Unsent::Unreached(whole)) if Instant::now() < give_up => {
                request = *whole;
                request.headers_mut().remove(FORWARDED_BY);
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            Err(unsent) => {
                let why = match unsent {
                    Unsent::Unreached(_) => "cannot be reached".to_owned(),
                    Unsent::Broken(why) => why,
                };
                tracing::warn!(peer = peer.id, url = peer.url, why, "hand a request on");
                metrics::counter!("galerie_forward_failures_total", "route" => class.label()).increment(1);
                let message = "The server process that has what is asked for does not answer. Try again.";
                return refuse(&ArmError::service_unavailable(message));
            }
        }
    }
}
