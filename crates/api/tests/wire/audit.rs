//! What goes into the audit, seen from outside.

use axum::{body::Body, http::Request};
use galerie_testkit::Gallery;
use serde_json::{Value, json};

/// Rows of the audit once those of refusals are written, which takes a second.
async fn rows(gallery: &Gallery, query: &str, at_least: usize) -> Vec<Value> {
    loop {
        let answer = gallery.post(&format!("/galerie/audit/list{query}"), None).await.expect(200);
        let rows = answer.json()["value"].as_array().unwrap().clone();
        if rows.len() >= at_least {
            return rows;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_write_and_a_refusal_are_told() {
    let gallery = Gallery::start().await;
    let group = format!("/subscriptions/{}/resourceGroups/rg?api-version=2024-11-01", gallery.subscription);
    let _ = gallery.put(&group, json!({ "location": "eastus" })).await.expect(201);
    let stranger = Request::get(format!("{group}&sig=secret")).body(Body::empty()).unwrap();
    let _ = gallery.send(stranger).await.expect(401);
    let rows = rows(&gallery, "", 2).await;
    let written = rows.iter().find(|row| row["outcome"] == "Accepted").unwrap();
    assert_eq!(written["action"], "Microsoft.Resources/subscriptions/resourceGroups/write");
    assert_eq!(written["caller"], gallery.client_id.to_string());
    let refused = rows.iter().find(|row| row["outcome"] == "Denied").unwrap();
    assert_eq!((&refused["action"], &refused["code"]), (&json!("GET arm"), &json!("AuthenticationFailed")));
    assert!(!serde_json::to_string(&rows).unwrap().contains("secret"), "no query is ever recorded");
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
