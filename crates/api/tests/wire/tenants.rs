//! Tenants are kept apart: a route's tenant must be the token's.

use axum::{body::Body, http::Request};
use galerie_testkit::{Answer, Gallery};

async fn get(gallery: &Gallery, path: &str, token: &str) -> Answer {
    let request = Request::get(path).header("authorization", format!("Bearer {token}"));
    gallery.send(request.body(Body::empty()).expect("a request")).await
}

#[tokio::test]
async fn a_token_is_good_in_its_own_tenant_only() {
    let gallery = Gallery::start().await;
    let other = gallery.second_tenant().await;
    let (ours, theirs) = (gallery.token().await, other.token.as_str());
    for (token, subscription, tenant) in
        [(theirs, gallery.subscription, gallery.tenant), (ours, other.subscription, other.tenant)]
    {
        let version = format!(
            "/subscriptions/{subscription}/resourceGroups/rg/providers/Microsoft.Compute/galleries/g/images/i/versions/1.0.0"
        );
        for path in [
            format!("/subscriptions/{subscription}?api-version=2022-12-01"),
            format!("/subscriptions/{subscription}/resourceGroups?api-version=2024-11-01"),
            format!("{version}?api-version=2024-03-03"),
            format!("/content{version}"),
        ] {
            let refused = get(&gallery, &path, token).await.expect(401);
            assert_eq!(refused.code(), "InvalidAuthenticationTokenTenant", "{path}");
            // Where the right token comes from.
            let challenge = refused.header("www-authenticate").expect("a challenge");
            assert!(
                challenge.starts_with(&format!("Bearer authorization_uri=\"https://localhost:8443/{tenant}\"")),
                "{challenge}"
            );
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
