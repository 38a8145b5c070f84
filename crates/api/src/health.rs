//! `/healthz`: whether the process lives; `/healthz/ready`: whether it can be sent requests, for load balancers.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use galerie_control::Control;

const TEXT: [(&str, &str); 1] = [("content-type", "text/plain; charset=utf-8")];

/// 200 for a process that lives; for `/healthz/ready` 503 while it is stopping or has no catalogue, and a line for each region
/// whose store cannot be opened. It begins to listen when
/// it has started, so an answer means that it has.
/// What is wrong on purpose is said, too.
pub(crate) async fn answer(control: &Control, faults: &[String], path: &str) -> Response {
    let faults: String = faults.iter().map(|fault| format!("fault {fault}\n")).collect();
    if !path.trim_end_matches('/').ends_with("/ready") {
        return (TEXT, format!("ok\n{faults}")).into_response();
    }
    match control.readiness().await {
        Ok(()) => {
            let mut text = format!("ready\n{faults}");
            // What does not need them goes on, so the process is to be sent requests.
            for region in control.away_regions() {
                text.push_str(&format!("region {region}: away\n"));
            }
            (TEXT, text).into_response()
        }
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{why}\n")).into_response(),
    }
}
