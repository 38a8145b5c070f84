//! `/metadata/endpoints` in its three shapes; `/` and `/healthz`.

use axum::{body::Body, http::Request};
use galerie_testkit::{Answer, Gallery};
use serde_json::Value;

async fn get(gallery: &Gallery, path: &str) -> Answer {
    gallery.send(Request::get(path).body(Body::empty()).expect("a request")).await
}

#[tokio::test]
async fn the_oldest_is_an_object_of_endpoints() {
    let gallery = Gallery::start().await;
    let document = get(&gallery, "/metadata/endpoints?api-version=2015-01-01").await.expect(200).json();
    for name in ["galleryEndpoint", "graphEndpoint", "portalEndpoint"] {
        assert!(document[name].as_str().is_some_and(|url| url.starts_with("https://localhost:8443")), "{name}");
    }
    assert_eq!(document["authentication"]["loginEndpoint"], "https://localhost:8443/");
    assert_eq!(document["authentication"]["audiences"][0], "https://localhost:8443");
}

#[tokio::test]
async fn the_middle_one_is_an_array_and_the_newest_an_object_without_empty_fields() {
    let gallery = Gallery::start().await;
    let middle = get(&gallery, "/metadata/endpoints?api-version=2019-05-01").await.expect(200).json();
    let newest = get(&gallery, "/Metadata//Endpoints/?api-version=2022-09-01").await.expect(200).json();
    assert_eq!(middle.as_array().expect("an array")[0]["resourceManager"], newest["resourceManager"]);
    for name in
        ["name", "resourceManager", "authentication", "portal", "gallery", "microsoftGraphResourceId", "suffixes"]
    {
        assert!(newest.get(name).is_some(), "{name}");
    }
    assert!(newest["suffixes"]["storage"].is_string() && newest["suffixes"]["keyVaultDns"].is_string());
    assert_filled(&newest);
}

fn assert_filled(value: &Value) {
    match value {
        Value::Object(fields) => fields.values().for_each(assert_filled),
        Value::Array(items) => {
            assert!(!items.is_empty());
            items.iter().for_each(assert_filled);
        }
        other => assert!(other.as_str().is_some_and(|text| !text.is_empty()), "{other}"),
    }
}

#[tokio::test]
async fn faults_are_arms() {
    let gallery = Gallery::start().await;
    assert_eq!(get(&gallery, "/metadata/endpoints").await.code(), "MissingApiVersionParameter");
    assert_eq!(get(&gallery, "/metadata/other?api-version=2022-09-01").await.status, 404);
    let posted = gallery.form("/metadata/endpoints?api-version=2022-09-01", "").await;
    assert_eq!((posted.status, posted.header("allow")), (405, Some("GET")));
}

#[tokio::test]
async fn home_and_health_need_nothing() {
    let gallery = Gallery::start().await;
    assert_eq!(get(&gallery, "/healthz").await.expect(200).body, "ok\n");
    assert!(String::from_utf8_lossy(&get(&gallery, "/").await.expect(200).body).contains("Galerie"));
}

/// A load balancer asks by address and learns from the status what to do.
#[tokio::test]
async fn what_is_stopping_lives_and_is_not_ready() {
    let gallery = Gallery::start().await;
    assert_eq!(get(&gallery, "/healthz/ready").await.expect(200).body, "ready\n");
    gallery.control.begin_draining().await;
    assert_eq!(get(&gallery, "/healthz/ready").await.expect(503).body, "draining\n");
    assert_eq!(get(&gallery, "/healthz").await.expect(200).body, "ok\n");
    gallery.control.shutdown().await;
    let closed = Gallery::start().await;
    closed.control.shutdown().await;
    assert_eq!(get(&closed, "/healthz/ready").await.expect(503).body, "the catalogue does not answer\n");
}
