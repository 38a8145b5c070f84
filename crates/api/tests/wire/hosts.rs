//! Hosts: which are answered, and what is built from them.

use axum::{body::Body, http::Request};
use galerie_testkit::{Answer, Gallery, GalleryOptions};
use serde_json::{Value, json};

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

/// RFC 9112, section 3.2: whichever of two is meant, somebody on the way may have taken the other.
#[tokio::test]
async fn two_host_headers_are_refused() {
    let gallery = Gallery::start().await;
    let request = Request::get("/").header("host", "localhost").header("host", "evil.example").body(Body::empty());
    assert_eq!(gallery.send(request.expect("a request")).await.status, 400);
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

/// The second name, and what every URL must begin with.
const SECOND: &str = "gallery.example.com:444";
const SECOND_URL: &str = "https://gallery.example.com:444";

/// A request to the second name, with the administrator's token unless it has one.
async fn ask(gallery: &Gallery, method: &str, path: &str, body: Option<Value>) -> Answer {
    let path = path.strip_prefix(SECOND_URL).unwrap_or(path);
    let request = Request::builder()
        .method(method)
        .uri(gallery.path(path))
        .header("host", SECOND)
        .header("authorization", format!("Bearer {}", gallery.token().await));
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    gallery.send(request.body(body).expect("a request")).await
}

/// Every URL in a document is of the second name, but for the public cloud's audiences. Answers how many there are.
fn check_urls(value: &Value) -> usize {
    match value {
        Value::Object(members) => members.values().map(check_urls).sum(),
        Value::Array(items) => items.iter().map(check_urls).sum(),
        Value::String(text) if text.starts_with("https://") && !text.starts_with("https://management.") => {
            assert!(text.starts_with(SECOND_URL), "{text}");
            1
        }
        _ => 0,
    }
}

#[track_caller]
fn check_header(answer: &Answer, name: &str) -> String {
    let url = answer.header(name).unwrap_or_else(|| panic!("no {name}: {answer}"));
    assert!(url.starts_with(&format!("{SECOND_URL}/")), "{name}: {url}");
    url.to_owned()
}

async fn with_a_second_name() -> Gallery {
    let options = GalleryOptions { hosts: vec!["gallery.example.com".to_owned()], ..GalleryOptions::default() };
    Gallery::start_with(options).await
}

#[tokio::test]
async fn what_anyone_may_read_names_the_accepted_host() {
    let gallery = with_a_second_name().await;
    let tenant = gallery.tenant;
    for (path, least) in [
        ("/metadata/endpoints?api-version=2015-01-01".to_owned(), 5),
        ("/metadata/endpoints?api-version=2019-05-01".to_owned(), 10),
        ("/metadata/endpoints?api-version=2022-09-01".to_owned(), 10),
        (format!("/{tenant}/.well-known/openid-configuration"), 4),
        (format!("/{tenant}/v2.0/.well-known/openid-configuration"), 4),
        ("/organizations/v2.0/.well-known/openid-configuration".to_owned(), 4),
        ("/adfs/.well-known/openid-configuration".to_owned(), 4),
        (format!("/common/discovery/instance?authorization_endpoint={SECOND_URL}/{tenant}/oauth2/authorize"), 1),
    ] {
        let document = get(&gallery, SECOND, &path).await.expect(200).json();
        assert!(check_urls(&document) >= least, "{path}: {document}");
        assert!(!document.to_string().contains("localhost"), "{path}: {document}");
    }
    let refused = get(&gallery, SECOND, &gallery.path("{s}/resourceGroups?api-version=2024-11-01")).await.expect(401);
    let challenge = refused.header("www-authenticate").expect("a challenge");
    assert!(challenge.starts_with(&format!("Bearer authorization_uri=\"{SECOND_URL}/{tenant}\"")), "{challenge}");
}

#[tokio::test]
async fn a_tokens_issuer_is_the_accepted_host() {
    let gallery = with_a_second_name().await;
    let tenant = gallery.tenant;
    for (path, wanted, issuer) in [
        (format!("/{tenant}/oauth2/token"), format!("resource={SECOND_URL}/"), format!("{SECOND_URL}/{tenant}/")),
        (
            format!("/{tenant}/oauth2/v2.0/token"),
            format!("scope={SECOND_URL}/.default"),
            format!("{SECOND_URL}/{tenant}/v2.0"),
        ),
        ("/adfs/oauth2/token".to_owned(), format!("resource={SECOND_URL}"), format!("{SECOND_URL}/adfs")),
    ] {
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&{wanted}",
            gallery.client_id,
            gallery.client_secret()
        );
        let request = Request::post(&path).header("host", SECOND).body(Body::from(form)).expect("a request");
        let token =
            gallery.send(request).await.expect(200).json()["access_token"].as_str().expect("a token").to_owned();
        assert_eq!(crate::tokens::claims(&token)["iss"], issuer, "{path}");
        // What one name issued is good under the others.
        let request =
            Request::get("/subscriptions?api-version=2022-12-01").header("authorization", format!("Bearer {token}"));
        let _ = gallery.send(request.body(Body::empty()).expect("a request")).await.expect(200);
    }
}

#[tokio::test]
async fn what_writes_and_lists_answer_names_the_accepted_host() {
    let gallery = with_a_second_name().await;
    gallery.make_group("rg", "eastus").await;
    let disk = "{s}/resourceGroups/rg/providers/Microsoft.Compute/disks/d";
    let at = |action: &str| format!("{disk}{action}?api-version=2025-01-02");
    let empty =
        json!({ "location": "eastus", "properties": { "creationData": { "createOption": "Empty" }, "diskSizeGB": 1 } });
    let created = ask(&gallery, "PUT", &at(""), Some(empty)).await.expect(202);
    let (status, location) = (check_header(&created, "azure-asyncoperation"), check_header(&created, "location"));
    while ask(&gallery, "GET", &status, None).await.expect(200).json()["status"] == "InProgress" {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let _ = ask(&gallery, "GET", &location, None).await.expect(200);
    let body = json!({ "access": "Read", "durationInSeconds": 60 });
    let begun = ask(&gallery, "POST", &at("/beginGetAccess"), Some(body)).await.expect(202);
    let (status, location) = (check_header(&begun, "azure-asyncoperation"), check_header(&begun, "location"));
    while ask(&gallery, "GET", &status, None).await.expect(200).json()["status"] == "InProgress" {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    for url in [&status, &location] {
        let document = ask(&gallery, "GET", url, None).await.expect(200).json();
        assert_eq!(check_urls(&document), 1, "{document}");
    }
    check_header(&ask(&gallery, "POST", &at("/endGetAccess"), None).await.expect(202), "location");
    for index in 0..101 {
        gallery.make_group(&format!("rg{index}"), "eastus").await;
    }
    let listed = ask(&gallery, "GET", "{s}/resourceGroups?api-version=2024-11-01", None).await.expect(200).json();
    assert_eq!(check_urls(&listed), 1, "one nextLink");
    let next = listed["nextLink"].as_str().expect("a second page");
    assert_eq!(ask(&gallery, "GET", next, None).await.expect(200).json()["value"].as_array().map(Vec::len), Some(2));
    let deleted = ask(&gallery, "DELETE", "{s}/resourceGroups/rg?api-version=2024-11-01", None).await.expect(202);
    check_header(&deleted, "location");
}

#[tokio::test]
async fn an_operation_under_way_names_the_accepted_host() {
    let options =
        GalleryOptions { hosts: vec!["gallery.example.com".to_owned()], workers: false, ..GalleryOptions::default() };
    let gallery = Gallery::start_with(options).await;
    gallery.make_group("rg", "eastus").await;
    let deleted = ask(&gallery, "DELETE", "{s}/resourceGroups/rg?api-version=2024-11-01", None).await.expect(202);
    let location = check_header(&deleted, "location");
    let pending = ask(&gallery, "GET", &location, None).await.expect(202);
    assert_eq!(check_header(&pending, "location"), location);
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
