//! Tenants are kept apart: a token is good in its own tenant's subscriptions only.

use axum::{body::Body, http::Request};
use galerie_testkit::{Answer, Gallery};
use serde_json::json;

async fn get(gallery: &Gallery, path: &str, token: &str) -> Answer {
    let request = Request::get(path).header("authorization", format!("Bearer {token}"));
    gallery.send(request.body(Body::empty()).expect("a request")).await
}

#[tokio::test]
async fn anothers_subscription_is_as_if_it_were_not_there() {
    let gallery = Gallery::start().await;
    let other = gallery.second_tenant().await;
    let (ours, theirs) = (gallery.token().await, other.token.as_str());
    let unknown = uuid::Uuid::new_v4();
    for (token, foreign) in [(theirs, gallery.subscription), (ours, other.subscription)] {
        let paths = |subscription: uuid::Uuid| {
            let version = format!(
                "/subscriptions/{subscription}/resourceGroups/rg/providers/Microsoft.Compute/galleries/g/images/i/versions/1.0.0"
            );
            [
                format!("/subscriptions/{subscription}?api-version=2022-12-01"),
                format!("/subscriptions/{subscription}/resourceGroups?api-version=2024-11-01"),
                format!("{version}?api-version=2024-03-03"),
                format!("/content{version}"),
            ]
        };
        for (path, of_nobody) in paths(foreign).iter().zip(paths(unknown)) {
            let refused = get(&gallery, path, token).await.expect(404);
            assert_eq!(refused.code(), "SubscriptionNotFound", "{path}");
            let absent = get(&gallery, &of_nobody, token).await.expect(404).json().to_string();
            assert_eq!(refused.json().to_string(), absent.replace(&unknown.to_string(), &foreign.to_string()));
        }
    }
    for (token, subscription) in [(ours, gallery.subscription), (theirs, other.subscription)] {
        let path = format!("/subscriptions/{subscription}/resourceGroups?api-version=2024-11-01");
        let _ = get(&gallery, &path, token).await.expect(200);
    }
}

#[tokio::test]
async fn a_caller_sees_its_own_tenant_and_subscriptions() {
    let gallery = Gallery::start().await;
    let other = gallery.second_tenant().await;
    for (token, tenant, subscription) in [
        (gallery.token().await, gallery.tenant, gallery.subscription),
        (other.token.as_str(), other.tenant, other.subscription),
    ] {
        for (path, name, id) in [
            ("/tenants?api-version=2022-12-01", "tenantId", tenant),
            ("/subscriptions?api-version=2022-12-01", "subscriptionId", subscription),
        ] {
            let listed = get(&gallery, path, token).await.expect(200).json();
            let ids: Vec<_> =
                listed["value"].as_array().expect("a list").iter().map(|item| item[name].clone()).collect();
            assert_eq!(ids, [id.to_string()], "{path}");
        }
    }
}

/// What `az account alias` sends.
#[tokio::test]
async fn an_alias_makes_a_subscription_once() {
    let gallery = Gallery::start().await;
    let alias = "/providers/Microsoft.Subscription/aliases/Staging?api-version=2021-10-01";
    let body = json!({ "properties": { "displayName": "Staging", "workload": "Production", "billingScope": "x" } });
    assert_eq!(gallery.get(alias).await.expect(404).code(), "AliasNotFound");
    let made = gallery.put(alias, body.clone()).await.expect(201).json();
    assert_eq!((&made["name"], &made["properties"]["provisioningState"]), (&"Staging".into(), &"Succeeded".into()));
    let again = gallery.put(&alias.replace("Staging", "STAGING"), body).await.expect(200).json();
    assert_eq!(again["properties"]["subscriptionId"], made["properties"]["subscriptionId"]);
    let id = made["properties"]["subscriptionId"].as_str().expect("an id");
    let group = format!("/subscriptions/{id}/resourceGroups/rg?api-version=2024-11-01");
    let _ = gallery.put(&group, json!({ "location": "eastus" })).await.expect(201);
    let listed =
        gallery.get("/providers/Microsoft.Subscription/aliases?api-version=2021-10-01").await.expect(200).json();
    assert_eq!(listed["value"].as_array().map(Vec::len), Some(1));
    let other = gallery.second_tenant().await;
    let theirs = get(&gallery, alias, &other.token).await;
    assert_eq!((theirs.status, theirs.code().as_str()), (404, "AliasNotFound"));
    let _ = gallery.delete(alias).await.expect(200);
    let _ = gallery.delete(alias).await.expect(204);
    let _ = gallery.get(&group).await.expect(200);
    for (path, body, code) in [
        (alias, json!({ "properties": { "displayName": "" } }), "InvalidParameter"),
        (alias, json!({ "properties": { "subscriptionId": id } }), "InvalidParameter"),
        ("/providers/Microsoft.Subscription/aliases/a%20b?api-version=2021-10-01", json!({}), "InvalidParameter"),
    ] {
        assert_eq!(gallery.put(path, body.clone()).await.expect(400).code(), code, "{body}");
    }
}

#[tokio::test]
async fn only_the_operator_makes_tenants() {
    let gallery = Gallery::start().await;
    let create = "/galerie/tenant/create?displayName=Research&domain=Research.Example";
    let made = gallery.post(create, None).await.expect(200).json();
    assert_eq!(made["defaultDomain"], "research.example");
    assert_eq!(gallery.post(create, None).await.expect(409).code(), "Conflict");
    for wrong in ["displayName=&domain=a.example", "displayName=x&domain=nodot", "displayName=x&domain=-a.example", ""]
    {
        let refused = gallery.post(&format!("/galerie/tenant/create?{wrong}"), None).await.expect(400);
        assert_eq!(refused.code(), "InvalidParameter", "{wrong}");
    }
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}&scope=https://localhost:8443/.default",
        made["clientId"].as_str().expect("an id"),
        made["clientSecret"].as_str().expect("a secret")
    );
    let token = gallery.form("/research.example/oauth2/v2.0/token", &form).await.expect(200).json();
    let token = token["access_token"].as_str().expect("a token").to_owned();
    for path in [
        "/galerie/tenant/create?displayName=x",
        "/galerie/tenant/list",
        "/galerie/keys/rotate",
        "/galerie/audit/verify",
    ] {
        let request = Request::post(path).header("authorization", format!("Bearer {token}"));
        let refused = gallery.send(request.body(Body::empty()).expect("a request")).await.expect(403);
        assert_eq!(refused.code(), "AuthorizationFailed", "{path}");
    }
    let _ = get(&gallery, "/galerie/processes", &token).await.expect(403);
    // Its own tenant it may rename, and nobody else's.
    let update = async |tenant: &str| {
        let path = format!("/galerie/tenant/update?tenant={tenant}&displayName=Renamed");
        let request = Request::post(path).header("authorization", format!("Bearer {token}"));
        gallery.send(request.body(Body::empty()).expect("a request")).await
    };
    let _ = update(made["tenantId"].as_str().expect("an id")).await.expect(200);
    let _ = update(&gallery.tenant.to_string()).await.expect(403);
}
