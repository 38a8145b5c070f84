//! What needs no token: the page, health, the cloud's description.

use axum::{body::Body, http::Request};
use galerie_testkit::Gallery;

use super::{METHODS, Table};
use crate::{route_class::RouteClass, routes};

/// Nobody is asked who they are; but only our own hosts describe themselves.
const ASKERS: [&str; 3] = ["anonymous", "a token that is none", "another host's name"];

#[tokio::test]
async fn what_is_open_answers_as_the_table_says() {
    let gallery = Gallery::start().await;
    let mut table = Table::new(&ASKERS);
    for class in [RouteClass::Home, RouteClass::Health, RouteClass::Metadata] {
        for pattern in routes::of(class) {
            for method in METHODS {
                let mut statuses = Vec::new();
                for asker in ASKERS {
                    let path = format!("{}?api-version=2022-09-01", pattern.replace("{...}", "anything"));
                    let mut request = Request::builder().method(method.clone()).uri(path);
                    match asker {
                        "a token that is none" => request = request.header("authorization", "Bearer none"),
                        "another host's name" => request = request.header("host", "elsewhere.example"),
                        _ => {}
                    }
                    statuses.push(gallery.send(request.body(Body::empty()).expect("a request")).await.status);
                }
                table.push(&method, pattern, statuses);
            }
        }
    }
    table.check(RouteClass::Home);
}
