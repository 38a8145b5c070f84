//! Each protocol's own error body, for everything that is wrong before the domain is asked.

use axum::{body::Body, http::Request};
use galerie_testkit::{Answer, Gallery};
use serde_json::{Value, json};

const GALLERY: &str = "{s}/resourceGroups/rg/providers/Microsoft.Compute/galleries/g";

async fn send(gallery: &Gallery, method: &str, path: &str, content_type: Option<&str>, body: Vec<u8>) -> Answer {
    let mut request = Request::builder()
        .method(method)
        .uri(gallery.path(path))
        .header("authorization", format!("Bearer {}", gallery.token().await));
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    gallery.send(request.body(Body::from(body)).expect("a request")).await
}

#[tokio::test]
async fn api_versions() {
    let gallery = Gallery::start().await;
    assert_eq!(gallery.get(GALLERY).await.expect(400).code(), "MissingApiVersionParameter");
    assert_eq!(gallery.get(&format!("{GALLERY}?api-version=")).await.expect(400).code(), "MissingApiVersionParameter");
    assert_eq!(gallery.get(&format!("{GALLERY}?api-version=1")).await.expect(400).code(), "InvalidApiVersionParameter");
    gallery.make_group("rg", "eastus").await;
    let path = format!("{GALLERY}?api-version=2024-03-03");
    gallery.succeeded(&gallery.put(&path, json!({ "location": "eastus" })).await).await;
    for version in ["2018-06-01", "2020-01-01", "2024-03-03-preview", "2031-12-31", "2001-01-01"] {
        let answer = gallery.get(&format!("{GALLERY}?Api-Version={version}")).await;
        assert_eq!(answer.status, 200, "{version}: {answer}");
    }
}

#[tokio::test]
async fn paths_match_without_regard_to_case_and_slashes() {
    let gallery = Gallery::start().await;
    gallery.make_group("MyRG", "eastus").await;
    let path = "{s}/resourceGroups/MyRG/providers/Microsoft.Compute/galleries/MyGallery?api-version=2024-03-03";
    let created = gallery.put(path, json!({ "location": "East US" })).await;
    gallery.succeeded(&created).await;
    let id = created.json()["id"].clone();
    let loose = format!(
        "/SUBSCRIPTIONS/{}//resourcegroups/myrg/Providers/microsoft.compute/GALLERIES/mygallery//?API-VERSION=2024-03-03",
        gallery.subscription.to_string().to_uppercase()
    );
    let found = gallery.get(&loose).await.expect(200).json();
    assert_eq!((&found["id"], &found["name"]), (&id, &json!("MyGallery")));
    assert!(
        id.as_str()
            .is_some_and(|id| id.ends_with("/resourceGroups/MyRG/providers/Microsoft.Compute/galleries/MyGallery"))
    );
    let escaped = path.replace("MyGallery", "%4dyGallery");
    assert_eq!(gallery.get(&escaped).await.status, 200);
}

#[tokio::test]
async fn unknown_paths_types_and_methods() {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    let group = "{s}/resourceGroups/rg/providers";
    for (path, status, code) in [
        ("/nothing/here?api-version=2024-03-03".to_owned(), 404, "NotFound"),
        ("/favicon.ico".to_owned(), 404, "NotFound"),
        (format!("{group}/Microsoft.Compute/widgets/w?api-version=2024-03-03"), 404, "InvalidResourceType"),
        (format!("{group}/Microsoft.Widgets/widgets/w?api-version=2024-03-03"), 404, "InvalidResourceNamespace"),
        (format!("{group}/Microsoft.Compute/availabilitySets/a?api-version=2024-03-03"), 501, "NotImplemented"),
        (
            format!(
                "{group}/Microsoft.Compute/galleries/g/providers/Microsoft.Authorization/denyAssignments?api-version=2022-04-01"
            ),
            501,
            "NotImplemented",
        ),
        (
            "{s}/providers/Microsoft.Compute/locations/eastus/publishers?api-version=2023-07-03".to_owned(),
            501,
            "NotImplemented",
        ),
        (
            "{s}/providers/Microsoft.Compute/locations/eastus/widgets?api-version=2023-07-03".to_owned(),
            404,
            "InvalidResourceType",
        ),
        (format!("{group}/Microsoft.Compute/galleries/none?api-version=2024-03-03"), 404, "ResourceNotFound"),
        (
            "{s}/resourceGroups/none/providers/Microsoft.Compute/galleries/g?api-version=2024-03-03".to_owned(),
            404,
            "ResourceGroupNotFound",
        ),
        (
            "/subscriptions/8c9d1c1e-35d1-4b39-9d0c-5a3a3e3d1b11/resourceGroups?api-version=2024-03-03".to_owned(),
            404,
            "SubscriptionNotFound",
        ),
    ] {
        let answer = gallery.get(&path).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{path}: {answer}");
    }
    for (method, path, allow) in [
        ("POST", format!("{GALLERY}?api-version=2024-03-03"), "GET, HEAD, PUT, PATCH, DELETE"),
        ("PUT", "{s}/resourceGroups?api-version=2024-03-03".to_owned(), "GET"),
        (
            "GET",
            "{s}/resourceGroups/rg/providers/Microsoft.Compute/disks/d/beginGetAccess?api-version=2025-01-02"
                .to_owned(),
            "POST",
        ),
        ("TRACE", format!("{GALLERY}?api-version=2024-03-03"), "GET, HEAD, PUT, PATCH, DELETE"),
    ] {
        let answer = send(&gallery, method, &path, None, Vec::new()).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allow)), "{method} {path}");
        assert_eq!(answer.code(), "HttpMethodNotSupported");
    }
}

#[tokio::test]
async fn bodies_that_do_not_parse() {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    let path = format!("{GALLERY}?api-version=2024-03-03");
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    for (content_type, body, status, code) in [
        (Some("application/json"), b"{".to_vec(), 400, "InvalidRequestContent"),
        (Some("application/json"), Vec::new(), 400, "InvalidRequestContent"),
        (None, deep.into_bytes(), 400, "InvalidRequestContent"),
        (Some("text/xml"), b"<a/>".to_vec(), 415, "UnsupportedMediaType"),
        (None, vec![b' '; (4 << 20) + 1], 413, "RequestContentTooLarge"),
    ] {
        let answer = send(&gallery, "PUT", &path, content_type, body).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer}");
    }
    let untyped = send(&gallery, "PUT", &path, None, br#"{"location":"eastus"}"#.to_vec()).await;
    assert_eq!(untyped.status, 201, "{untyped}");
}

/// Regression: a page of a hundred resources was hundreds of megabytes. What counts is what is kept, however little at a time it came.
#[tokio::test]
async fn what_a_resource_keeps_is_bounded() {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    let body = |name: &str, value: Value| json!({ "location": "eastus", "properties": { name: value } });
    let (text, numbers) = (json!("x".repeat(150 << 10)), json!(vec![0; 6_000]));
    for path in [GALLERY, "{s}/resourceGroups/large"] {
        let target = format!("{path}?api-version=2035-01-01");
        let too_large = [(&json!("x".repeat(300 << 10)), 413), (&json!(vec![0; 20_000]), 400)];
        for (value, status) in too_large {
            let _ = gallery.put(&target, body("news", value.clone())).await.expect(status);
            assert_eq!(gallery.get(&target).await.status, 404, "{path}");
        }
        for (value, status, code) in [(&text, 413, "RequestContentTooLarge"), (&numbers, 400, "InvalidRequestContent")]
        {
            let made = gallery.put(&target, body("news", value.clone())).await;
            assert!(made.status < 300, "{path}: {made}");
            let before = gallery.get(&target).await.expect(200).json();
            let refused = gallery.patch(&target, body("more", value.clone())).await.expect(status);
            assert_eq!(refused.code(), code, "{path}");
            assert_eq!(gallery.get(&target).await.expect(200).json(), before, "{path}");
        }
    }
}

#[tokio::test]
async fn undeclared_members_are_refused_unless_the_version_is_newer_than_our_data() {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    let body = json!({ "location": "eastus", "properties": { "surprise": 1 } });
    let refused = gallery.put(&format!("{GALLERY}?api-version=2024-03-03"), body.clone()).await.expect(400);
    let message = refused.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.starts_with("Could not find member 'surprise' on object of type "), "{message}");
    let newer = format!("{GALLERY}?api-version=2035-01-01");
    let kept = gallery.put(&newer, body).await.expect(201);
    assert_eq!(kept.json()["properties"]["surprise"], 1);
    assert_eq!(gallery.get(&newer).await.json()["properties"]["surprise"], 1);
}

/// Regression: 421 was ARM's JSON on every path.
#[tokio::test]
async fn a_strangers_host_is_told_in_the_protocols_own_words() {
    let gallery = Gallery::start().await;
    let ask = async |path: &str| {
        let request = Request::get(path).header("host", "evil.example").body(Body::empty());
        gallery.send(request.expect("a request")).await.expect(421)
    };
    for path in
        ["/", "/subscriptions?api-version=2022-12-01", "/metadata/endpoints?api-version=2022-09-01", "/content/x"]
    {
        assert_eq!(ask(path).await.code(), "MisdirectedRequest", "{path}");
    }
    for path in ["/t/oauth2/v2.0/token", "/adfs/oauth2/token", "/t/v2.0/.well-known/openid-configuration"] {
        let document = ask(path).await.json();
        assert_eq!(document["error"], "invalid_request", "{path}");
        assert!(document["error_description"].as_str().is_some_and(|text| text.contains("evil.example")), "{document}");
    }
    let graph = ask("/msgraph/v1.0/me").await.json();
    assert_eq!(graph["error"]["code"], "MisdirectedRequest");
    assert!(graph["error"]["innerError"]["request-id"].is_string(), "{graph}");
    let blob = ask("/blob/8c9d1c1e-35d1-4b39-9d0c-5a3a3e3d1b11/d").await;
    assert_eq!(blob.header("x-ms-error-code"), Some("MisdirectedRequest"));
    assert_eq!(blob.header("content-type"), Some("application/xml"));
    assert!(blob.header("x-ms-version").is_some());
}

#[tokio::test]
async fn graph_and_storage_have_their_own_forms() {
    let gallery = Gallery::start().await;
    // The token is for Azure Resource Manager.
    let graph = gallery.get("/msgraph/v1.0/me").await.expect(401);
    assert_eq!(graph.code(), "InvalidAuthenticationTokenAudience");
    assert!(graph.json()["error"]["innerError"]["request-id"].is_string());
    let blob = gallery.get("/blob/8c9d1c1e-35d1-4b39-9d0c-5a3a3e3d1b11/d").await;
    assert_eq!((blob.status, blob.header("x-ms-error-code")), (403, Some("AuthenticationFailed")));
    assert_eq!(blob.header("content-type"), Some("application/xml"));
    assert!(String::from_utf8_lossy(&blob.body).contains("<Error><Code>AuthenticationFailed</Code><Message>"));
    let elsewhere = gallery.get("/blob/x").await;
    assert_eq!((elsewhere.status, elsewhere.header("x-ms-error-code")), (404, Some("BlobNotFound")));
}
