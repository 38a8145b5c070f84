//! Tenants are kept apart: a token is good in its own tenant's subscriptions only.

use axum::{body::Body, http::Request};
use galerie_testkit::{Answer, Gallery};

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
