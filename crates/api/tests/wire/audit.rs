//! What goes into the audit, seen from outside.

use std::time::{Duration, Instant};

use axum::{body::Body, http::Request};
use galerie_testkit::Gallery;
use serde_json::{Value, json};

/// How long refusals may take into the audit; they are written every second.
const PATIENCE: Duration = Duration::from_secs(60);

/// Rows of the audit, the newest first, once `is_whole` finds in them what it waits for.
pub(crate) async fn rows(gallery: &Gallery, is_whole: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        let answer = gallery.post("/galerie/audit/list", None).await.expect(200);
        let rows = answer.json()["value"].as_array().unwrap().clone();
        if is_whole(&rows) {
            return rows;
        }
        assert!(Instant::now() < give_up, "{rows:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until so many refusals with an error's code were recorded.
pub(crate) async fn refusals(gallery: &Gallery, code: &str, expected: u64) {
    let count = |rows: &[Value]| -> u64 {
        rows.iter().filter(|row| row["code"] == code).filter_map(|row| row["occurrences"].as_u64()).sum()
    };
    let found = rows(gallery, |rows| count(rows) >= expected).await;
    assert_eq!(count(&found), expected, "{code}");
}

#[tokio::test]
async fn a_write_and_a_refusal_are_told() {
    let gallery = Gallery::start().await;
    let group = format!("/subscriptions/{}/resourceGroups/rg?api-version=2024-11-01", gallery.subscription);
    let _ = gallery.put(&group, json!({ "location": "eastus" })).await.expect(201);
    let stranger = Request::get(format!("{group}&sig=secret")).body(Body::empty()).unwrap();
    let _ = gallery.send(stranger).await.expect(401);
    let rows = rows(&gallery, |rows| rows.len() >= 2).await;
    let written = rows.iter().find(|row| row["outcome"] == "Accepted").unwrap();
    assert_eq!(written["action"], "Microsoft.Resources/subscriptions/resourceGroups/write");
    assert_eq!(written["caller"], gallery.client_id.to_string());
    let refused = rows.iter().find(|row| row["outcome"] == "Denied").unwrap();
    assert_eq!((&refused["action"], &refused["code"]), (&json!("GET arm"), &json!("AuthenticationFailed")));
    assert!(!serde_json::to_string(&rows).unwrap().contains("secret"), "no query is ever recorded");
}

/// It looks as if it were not there, and is a refusal all the same.
#[tokio::test]
async fn a_foreign_subscription_is_a_refusal() {
    let gallery = Gallery::start().await;
    let other = gallery.second_tenant().await;
    let group = format!("/subscriptions/{}/resourceGroups/rg?api-version=2024-11-01", other.subscription);
    let _ = gallery.put(&group, json!({ "location": "eastus" })).await.expect(404);
    let rows = rows(&gallery, |rows| rows.iter().any(|row| row["outcome"] == "Denied")).await;
    let refused = rows.iter().find(|row| row["outcome"] == "Denied").unwrap();
    assert_eq!(refused["code"], "SubscriptionNotFound");
    assert_eq!(refused["action"], "Microsoft.Resources/subscriptions/resourceGroups/write");
    assert_eq!(refused["resource"], format!("/subscriptions/{}", other.subscription));
    assert_eq!(refused["caller"], gallery.client_id.to_string());
}

/// Regression: any tenant's administrator read the whole audit.
#[tokio::test]
async fn another_tenants_administrator_sees_what_is_theirs() {
    let gallery = Gallery::start().await;
    let other = gallery.second_tenant().await;
    let theirs = format!("/subscriptions/{}/resourceGroups/rg?api-version=2024-11-01", other.subscription);
    let ours = format!("/subscriptions/{}/resourceGroups/rg?api-version=2024-11-01", gallery.subscription);
    let body = json!({ "location": "eastus" });
    let _ = gallery.put(&ours, body.clone()).await.expect(201);
    // We are refused in their subscription: that is in their audit, without our name.
    let _ = gallery.put(&theirs, body.clone()).await.expect(404);
    let _ = rows(&gallery, |rows| rows.iter().any(|row| row["code"] == "SubscriptionNotFound")).await;
    let request = |request: axum::http::request::Builder, body: Body| {
        request.header("authorization", format!("Bearer {}", other.token)).body(body).unwrap()
    };
    let created = request(Request::put(&theirs).header("content-type", "application/json"), body.to_string().into());
    let _ = gallery.send(created).await.expect(201);
    let list = gallery.send(request(Request::post("/galerie/audit/list"), Body::empty())).await.expect(200).json();
    let seen = list["value"].as_array().unwrap();
    let of = |subscription: uuid::Uuid| {
        let subscription = subscription.to_string();
        seen.iter().filter(|row| row["resource"].as_str().unwrap().contains(&subscription)).count()
    };
    assert_eq!((of(gallery.subscription), of(other.subscription)), (0, 2), "{list}");
    let foreign: Vec<_> = seen.iter().filter(|row| row["tenantId"] == json!(gallery.tenant)).collect();
    assert!(foreign.len() == 1 && foreign[0]["callerName"].is_null(), "{list}");
    assert_eq!(foreign[0]["caller"], foreign[0]["principalId"], "nor the name that they sign in by");
    // The Activity Log tells no more, and of strangers not what they were refused, which they could fill it with.
    let events = format!(
        "/subscriptions/{}/providers/Microsoft.Insights/eventtypes/management/values?api-version=2015-04-01&$filter=eventTimestamp%20ge%20%272020-01-01T00:00:00Z%27",
        other.subscription
    );
    let log = gallery.send(request(Request::get(&events), Body::empty())).await.expect(200).json();
    let events = log["value"].as_array().unwrap();
    assert!(events.len() == 1 && events[0]["caller"] != foreign[0]["principalId"], "{log}");
    assert!(!log.to_string().contains(&gallery.client_id.to_string()), "{log}");
}

/// Who looks after stores is told, too.
#[tokio::test]
async fn a_collection_is_told() {
    let gallery = Gallery::start().await;
    let _ = gallery.post("/galerie/store/eastus/collect", None).await.expect(200);
    let rows = rows(&gallery, |rows| !rows.is_empty()).await;
    assert_eq!(
        (&rows[0]["action"], &rows[0]["resource"]),
        (&json!("Galerie/stores/collect/action"), &json!("/galerie/store/eastus"))
    );
}

#[tokio::test]
async fn the_activity_log_is_azures() {
    let gallery = Gallery::start().await;
    let subscription = format!("/subscriptions/{}", gallery.subscription);
    let group = format!("{subscription}/resourceGroups/rg?api-version=2024-11-01");
    let _ = gallery.put(&group, json!({ "location": "eastus" })).await.expect(201);
    let log =
        format!("{subscription}/providers/microsoft.insights/eventtypes/management/values?api-version=2015-04-01");
    let filter = "$filter=eventTimestamp%20ge%20'2020-01-01T00:00:00Z'%20and%20resourceGroupName%20eq%20'rg'";
    let events = gallery.get(&format!("{log}&{filter}")).await.expect(200).json();
    let event = &events["value"][0];
    assert_eq!(event["operationName"]["value"], "Microsoft.Resources/subscriptions/resourceGroups/write");
    assert_eq!((&event["status"]["value"], &event["resourceGroupName"]), (&json!("Succeeded"), &json!("rg")));
    let narrow = gallery.get(&format!("{log}&{filter}&$select=eventTimestamp,caller")).await.expect(200).json();
    assert_eq!(narrow["value"][0].as_object().unwrap().len(), 2);
    let wrong = gallery.get(&format!("{log}&$filter=operationName%20eq%20'x'")).await.expect(400);
    assert_eq!(wrong.json()["error"]["target"], "$filter");
}

#[tokio::test]
async fn a_check_says_that_all_is_well_and_a_head_must_look_like_one() {
    let gallery = Gallery::start().await;
    let report = gallery.post("/galerie/audit/verify", None).await.expect(200).json();
    assert_eq!(report["intact"], true);
    let wrong = gallery.post("/galerie/audit/verify?head=17", None).await.expect(400);
    assert_eq!(wrong.json()["error"]["target"], "head");
}
