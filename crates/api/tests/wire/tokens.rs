//! Tokens: endpoints, claims, audiences, and what every refusal says.

use std::sync::Arc;

use axum::{body::Body, http::Request};
use galerie_testkit::{Answer, Gallery, GalleryOptions, VirtualClock};
use serde_json::Value;

async fn get(gallery: &Gallery, path: &str) -> Answer {
    gallery.send(Request::get(path).body(Body::empty()).expect("a request")).await
}

async fn ask(gallery: &Gallery, endpoint: &str, wanted: &str) -> Answer {
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}&{wanted}",
        gallery.client_id,
        gallery.client_secret()
    );
    gallery.form(endpoint, &form).await
}

async fn subscriptions(gallery: &Gallery, token: &str) -> Answer {
    let request =
        Request::get("/subscriptions?api-version=2022-12-01").header("authorization", format!("Bearer {token}"));
    gallery.send(request.body(Body::empty()).expect("a request")).await
}

pub(crate) fn claims(token: &str) -> Value {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let payload = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64")).expect("JSON")
}

fn access_token(answer: &Answer) -> String {
    answer.json()["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned()
}

#[tokio::test]
async fn v2_takes_a_scope_and_answers_numbers() {
    let gallery = Gallery::start().await;
    let endpoint = format!("/{}/oauth2/v2.0/token", gallery.tenant);
    let answer = ask(&gallery, &endpoint, "scope=https://localhost:8443//.default").await.expect(200);
    assert!(answer.json()["expires_in"].is_u64() && answer.json()["token_type"] == "Bearer");
    assert_eq!(answer.header("cache-control"), Some("no-store, no-cache"));
    let claims = claims(&access_token(&answer));
    assert_eq!(claims["aud"], "https://localhost:8443/");
    assert_eq!(claims["tid"], gallery.tenant.to_string());
    assert_eq!(claims["appid"], gallery.client_id.to_string());
    assert_eq!(claims["idtyp"], "app");
    assert_eq!(claims["iss"], format!("https://localhost:8443/{}/v2.0", gallery.tenant));
    assert!(claims["oid"].is_string() && claims["ver"].is_string());
    assert_eq!(subscriptions(&gallery, &access_token(&answer)).await.status, 200);
}

#[tokio::test]
async fn v1_takes_a_resource_and_answers_numbers_as_text() {
    let gallery = Gallery::start().await;
    let endpoint = format!("/{}/oauth2/token", gallery.tenant);
    let answer = ask(&gallery, &endpoint, "resource=https%3A%2F%2Fmanagement.core.windows.net%2F").await.expect(200);
    for name in ["expires_in", "ext_expires_in", "expires_on", "not_before"] {
        assert!(answer.json()[name].as_str().is_some_and(|text| text.parse::<u64>().is_ok()), "{name}");
    }
    assert_eq!(answer.json()["resource"], "https://management.core.windows.net/");
    let token = access_token(&answer);
    let claims = claims(&token);
    assert_eq!((&claims["ver"], &claims["idtyp"]), (&"1.0".into(), &"app".into()));
    assert_eq!(claims["tid"], gallery.tenant.to_string());
    assert_eq!(claims["appid"], gallery.client_id.to_string());
    assert!(claims["oid"].is_string(), "{claims}");
    assert_eq!(subscriptions(&gallery, &token).await.status, 200);
}

#[tokio::test]
async fn adfs_style_works_without_a_tenant() {
    let gallery = Gallery::start().await;
    let discovery = get(&gallery, "/adfs/.well-known/openid-configuration").await.expect(200).json();
    assert_eq!(discovery["token_endpoint"], "https://localhost:8443/adfs/oauth2/token");
    for wanted in ["scope=https://localhost:8443/.default", "resource=https%3A%2F%2Flocalhost%3A8443%2F"] {
        let answer = ask(&gallery, "/adfs/oauth2/token", wanted).await.expect(200);
        assert!(answer.json()["expires_in"].is_u64(), "{wanted}");
        assert_eq!(claims(&access_token(&answer))["iss"], "https://localhost:8443/adfs", "{wanted}");
        assert_eq!(subscriptions(&gallery, &access_token(&answer)).await.status, 200, "{wanted}");
    }
}

#[tokio::test]
async fn an_alias_is_the_applications_tenant() {
    let gallery = Gallery::start().await;
    for alias in ["organizations", "common"] {
        let path = format!("/{alias}/v2.0/.well-known/openid-configuration");
        let discovery = get(&gallery, &path).await.expect(200).json();
        assert_eq!(discovery["token_endpoint"], format!("https://localhost:8443/{alias}/oauth2/v2.0/token"));
        let endpoint = format!("/{alias}/oauth2/v2.0/token");
        let answer = ask(&gallery, &endpoint, "scope=https://management.azure.com/.default").await.expect(200);
        assert_eq!(claims(&access_token(&answer))["tid"], gallery.tenant.to_string());
    }
    let form = "grant_type=client_credentials&client_id=8c9d1c1e-35d1-4b39-9d0c-5a3a3e3d1b11&client_secret=x&scope=https://management.azure.com/.default";
    assert_eq!(gallery.form("/common/oauth2/v2.0/token", form).await.json()["error"], "unauthorized_client");
}

#[tokio::test]
async fn arm_takes_each_of_its_audiences_and_refuses_the_others() {
    let options = GalleryOptions { hosts: vec!["gallery.example.com".to_owned()], ..GalleryOptions::default() };
    let gallery = Gallery::start_with(options).await;
    let endpoint = format!("/{}/oauth2/v2.0/token", gallery.tenant);
    for (resource, status) in [
        ("https://localhost:8443", 200),
        ("https://127.0.0.1:8443/", 200),
        ("https://gallery.example.com", 200),
        ("https://management.azure.com", 200),
        ("https://management.azure.com/", 200),
        ("https://management.core.windows.net", 200),
        ("https://graph.microsoft.com", 401),
        ("https://graph.windows.net/", 401),
        ("https://managedhsm.azure.net", 401),
        ("https://localhost:8443/msgraph", 401),
        ("https://storage.azure.com/", 401),
        ("https://vault.azure.net", 401),
    ] {
        let answer = ask(&gallery, &endpoint, &format!("scope={resource}/.default")).await.expect(200);
        let refused = subscriptions(&gallery, &access_token(&answer)).await;
        assert_eq!(refused.status, status, "{resource}: {refused}");
        if status == 401 {
            assert_eq!(refused.code(), "InvalidAuthenticationTokenAudience", "{resource}");
        }
    }
    let unknown = ask(&gallery, &endpoint, "scope=https://elsewhere.example/.default").await;
    assert_eq!((unknown.status, unknown.json()["error"].as_str()), (400, Some("invalid_resource")));
}

#[tokio::test]
async fn every_401_says_where_tokens_come_from() {
    let clock = Arc::new(VirtualClock::now());
    let options = GalleryOptions { clock: Some(clock.clone()), ..GalleryOptions::default() };
    let gallery = Gallery::start_with(options).await;
    let good = gallery.token().await.to_owned();
    let mut forged = good.clone();
    forged.truncate(forged.len() - 8);
    forged.push_str("AAAAAAAA");
    let none = good.rsplit_once('.').map(|(head, _)| format!("{head}.")).expect("three parts");
    let path = gallery.path("{s}/resourceGroups?api-version=2024-11-01");
    let check = async |authorization: Option<String>, code: &str| {
        let mut request = Request::get(&path);
        if let Some(authorization) = &authorization {
            request = request.header("authorization", authorization);
        }
        let answer = gallery.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, code), "{authorization:?}");
        let challenge = answer.header("www-authenticate").expect("a challenge");
        let expected = format!("Bearer authorization_uri=\"https://localhost:8443/{}\"", gallery.tenant);
        assert!(challenge.starts_with(&expected), "{challenge}");
        assert!(
            challenge.contains("error=\"invalid_token\"") && challenge.contains("error_description="),
            "{challenge}"
        );
    };
    check(None, "AuthenticationFailed").await;
    check(Some("Basic eDp5".to_owned()), "InvalidAuthenticationToken").await;
    check(Some("Bearer x".to_owned()), "InvalidAuthenticationToken").await;
    check(Some(format!("Bearer {forged}")), "InvalidAuthenticationToken").await;
    check(Some(format!("Bearer {none}")), "InvalidAuthenticationToken").await;
    clock.advance_ms(2 * 3600 * 1000);
    check(Some(format!("Bearer {good}")), "ExpiredAuthenticationToken").await;
    let anywhere = get(&gallery, "/subscriptions?api-version=2022-12-01").await.expect(401);
    let challenge = anywhere.header("www-authenticate").expect("a challenge");
    assert!(challenge.contains("https://localhost:8443/organizations"), "{challenge}");
}

#[tokio::test]
async fn faults_at_the_token_endpoint_are_oauths() {
    let gallery = Gallery::start().await;
    let endpoint = format!("/{}/oauth2/v2.0/token", gallery.tenant);
    let id = gallery.client_id;
    let scope = "scope=https://localhost:8443/.default";
    for (path, form, status, error) in [
        (endpoint.clone(), String::new(), 400, "invalid_request"),
        (endpoint.clone(), "grant_type=password".to_owned(), 400, "unsupported_grant_type"),
        (endpoint.clone(), format!("grant_type=client_credentials&client_id={id}&{scope}"), 401, "invalid_client"),
        (
            endpoint.clone(),
            format!("grant_type=client_credentials&client_id={id}&client_secret=no&{scope}"),
            401,
            "invalid_client",
        ),
        (
            endpoint.clone(),
            format!("grant_type=client_credentials&client_id=x&client_secret=no&{scope}"),
            400,
            "unauthorized_client",
        ),
        (
            endpoint.clone(),
            format!("grant_type=client_credentials&client_id={id}&client_secret=no&scope=user.read"),
            400,
            "invalid_scope",
        ),
        (
            "/none/oauth2/v2.0/token".to_owned(),
            format!("grant_type=client_credentials&client_id={id}&client_secret=no&{scope}"),
            400,
            "invalid_request",
        ),
        ("/common/userrealm/somebody".to_owned(), String::new(), 404, "invalid_request"),
    ] {
        let answer = gallery.form(&path, &form).await;
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401, "{form}");
        let document = answer.json();
        assert_eq!((answer.status, document["error"].as_str()), (status, Some(error)), "{form}: {document}");
        assert!(document["error_description"].as_str().is_some_and(|text| text.starts_with("AADSTS")), "{document}");
        assert!(
            document["error_codes"][0].is_u64()
                && document["trace_id"].is_string()
                && document["timestamp"].is_string()
        );
        assert_eq!(document["correlation_id"].as_str(), answer.header("x-ms-correlation-request-id"));
    }
    let json =
        Request::post(&endpoint).header("content-type", "application/json").body("{}".into()).expect("a request");
    let large = Request::post(&endpoint).body(vec![b'a'; 65 * 1024].into()).expect("a request");
    for (answer, status) in [
        (gallery.send(json).await, 415),
        (get(&gallery, &endpoint).await, 405),
        (gallery.send(large).await, 413),
        (gallery.form(&format!("/{}/discovery/v2.0/keys", gallery.tenant), "").await, 405),
    ] {
        assert_eq!((answer.status, &answer.json()["error"]), (status, &"invalid_request".into()), "{answer}");
        assert!(answer.json()["error_description"].as_str().is_some_and(|text| text.starts_with("AADSTS")), "{answer}");
    }
    assert_eq!(get(&gallery, "/none/v2.0/.well-known/openid-configuration").await.status, 400);
}

/// Regression: the token endpoint's 401 did not say where tokens come from, nor which scheme was refused.
#[tokio::test]
async fn invalid_clients_are_challenged() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let gallery = Gallery::start().await;
    let tenant = gallery.tenant;
    let wanted = "scope=https://localhost:8443/.default";
    let form = format!("grant_type=client_credentials&client_id={}&client_secret=no&{wanted}", gallery.client_id);
    for (path, name) in [
        (format!("/{tenant}/oauth2/v2.0/token"), tenant.to_string()),
        ("/organizations/oauth2/v2.0/token".to_owned(), "organizations".to_owned()),
        ("/adfs/oauth2/token".to_owned(), "adfs".to_owned()),
    ] {
        let refused = gallery.form(&path, &form).await.expect(401);
        let expected = format!("Bearer authorization_uri=\"https://localhost:8443/{name}\"");
        assert_eq!(refused.header("www-authenticate"), Some(expected.as_str()), "{path}");
    }
    let request = Request::post(format!("/{tenant}/oauth2/v2.0/token"))
        .header("authorization", format!("Basic {}", STANDARD.encode(format!("{}:no", gallery.client_id))))
        .body(format!("grant_type=client_credentials&{wanted}").into());
    let refused = gallery.send(request.expect("a request")).await.expect(401);
    let challenges: Vec<_> = refused.headers.get_all("www-authenticate").iter().collect();
    assert!(challenges.len() == 2 && challenges[1].as_bytes().starts_with(b"Basic realm="), "{challenges:?}");
}

#[tokio::test]
async fn secrets_may_come_by_basic_authentication() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let gallery = Gallery::start().await;
    let credentials = STANDARD.encode(format!("{}:{}", gallery.client_id, gallery.client_secret()));
    let request = Request::post(format!("/{}/oauth2/v2.0/token", gallery.tenant))
        .header("authorization", format!("Basic {credentials}"))
        .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
        .body("grant_type=client_credentials&scope=https://localhost:8443/.default".into());
    let _ = gallery.send(request.expect("a request")).await.expect(200);
}

#[tokio::test]
async fn discovery_and_keys() {
    let gallery = Gallery::start().await;
    let base = format!("https://localhost:8443/{}", gallery.tenant);
    let v2 = get(&gallery, &format!("/{}/v2.0/.well-known/openid-configuration", gallery.tenant)).await.json();
    assert_eq!(v2["token_endpoint"], format!("{base}/oauth2/v2.0/token"));
    assert_eq!(v2["issuer"], format!("{base}/v2.0"));
    let v1 = get(&gallery, &format!("/{}/.well-known/openid-configuration", gallery.tenant)).await.json();
    assert_eq!(v1["token_endpoint"], format!("{base}/oauth2/token"));
    let keys = gallery.path(v2["jwks_uri"].as_str().expect("a URL"));
    let keys = get(&gallery, &keys).await.expect(200).json();
    for name in ["kty", "kid", "n", "e"] {
        assert!(keys["keys"][0][name].is_string(), "{keys}");
    }
    let instance =
        format!("/common/discovery/instance?api-version=1.1&authorization_endpoint={base}/oauth2/v2.0/authorize");
    let instance = get(&gallery, &instance).await.expect(200).json();
    assert_eq!(instance["tenant_discovery_endpoint"], format!("{base}/v2.0/.well-known/openid-configuration"));
    assert_eq!(instance["metadata"][0]["aliases"][0], "localhost:8443");
    let elsewhere = "/common/discovery/instance?authorization_endpoint=https://evil.example/t/oauth2/authorize";
    assert_eq!(get(&gallery, elsewhere).await.json()["error"], "invalid_instance");
}
