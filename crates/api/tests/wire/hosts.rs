//! Hosts: which are answered, and what is built from them.

use axum::{body::Body, http::Request};
use galerie_testkit::{Answer, Gallery, GalleryOptions};
use serde_json::json;

async fn get(gallery: &Gallery, host: &str, path: &str) -> Answer {
    let request = Request::get(path).header("host", host);
    gallery.send(request.body(Body::empty()).expect("a request")).await
}

#[tokio::test]
async fn strangers_names_are_421() {
    let options = GalleryOptions { hosts: vec!["gallery.example.com".to_owned()], ..GalleryOptions::default() };
    let gallery = Gallery::start_with(options).await;
    for host in ["gallery.example.com", "gallery.example.com:8443", "localhost", "127.0.0.1:8443", "[::1]:8443"] {
        assert_eq!(get(&gallery, host, "/").await.status, 200, "{host}");
    }
    for host in ["evil.example", "gallery.example.com.evil.example", ""] {
        let answer = get(&gallery, host, "/").await;
        assert_eq!((answer.status, answer.code().as_str()), (421, "MisdirectedRequest"), "{host}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{host}");
    }
    assert_eq!(get(&gallery, "10.9.8.7", "/healthz").await.status, 200);
}

#[tokio::test]
async fn absolute_urls_are_built_from_the_accepted_host() {
    let options = GalleryOptions { hosts: vec!["gallery.example.com".to_owned()], ..GalleryOptions::default() };
    let gallery = Gallery::start_with(options).await;
    let metadata = get(&gallery, "Gallery.Example.com:444", "/metadata/endpoints?api-version=2022-09-01").await;
    assert_eq!(metadata.json()["resourceManager"], "https://gallery.example.com:444/");
    let path = format!("/{}/v2.0/.well-known/openid-configuration", gallery.tenant);
    let discovery = get(&gallery, "gallery.example.com", &path).await.json();
    assert_eq!(discovery["issuer"], format!("https://gallery.example.com/{}/v2.0", gallery.tenant));
    let request = Request::put(
        gallery.path("{s}/resourceGroups/rg/providers/Microsoft.Compute/galleries/g?api-version=2024-03-03"),
    )
    .header("host", "gallery.example.com:444")
    .header("authorization", format!("Bearer {}", gallery.token().await));
    gallery.make_group("rg", "eastus").await;
    let body = Body::from(json!({ "location": "eastus" }).to_string());
    let created = gallery.send(request.body(body).expect("a request")).await.expect(201);
    let url = created.header("azure-asyncoperation").expect("a URL");
    assert!(url.starts_with("https://gallery.example.com:444/"), "{url}");
}

#[tokio::test]
async fn standard_headers_and_ids_are_on_every_answer() {
    let gallery = Gallery::start().await;
    let correlation = "8c9d1c1e-35d1-4b39-9d0c-5a3a3e3d1b11";
    let request = Request::get("/subscriptions?api-version=2022-12-01")
        .header("x-ms-client-request-id", "mine")
        .header("x-ms-correlation-request-id", correlation);
    let answer = gallery.send(request.body(Body::empty()).expect("a request")).await;
    for (name, value) in [
        ("cache-control", "no-cache"),
        ("pragma", "no-cache"),
        ("expires", "-1"),
        ("x-content-type-options", "nosniff"),
        ("x-ms-client-request-id", "mine"),
        ("x-ms-correlation-request-id", correlation),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert!(answer.header("x-ms-request-id").is_some() && answer.header("x-ms-routing-request-id").is_some());
    assert_eq!(answer.header("strict-transport-security"), None);
    let remote =
        Gallery::start_with(GalleryOptions { hosts: vec!["g.example".to_owned()], ..GalleryOptions::default() });
    assert!(get(&remote.await, "g.example", "/").await.header("strict-transport-security").is_some());
}
