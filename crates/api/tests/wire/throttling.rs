//! Azure's budgets of requests: what is left, what is refused and how, and when it may come again.

use std::sync::Arc;

use axum::http::Method;
use galerie_api::Throttling;
use galerie_testkit::{Answer, Gallery, GalleryOptions, VirtualClock};
use serde_json::{Value, json};

const READS: &str = "x-ms-ratelimit-remaining-subscription-reads";
const WRITES: &str = "x-ms-ratelimit-remaining-subscription-writes";
const RESOURCE: &str = "x-ms-ratelimit-remaining-resource";

/// A gallery with budgets, whose clock stands still.
async fn throttled() -> (Gallery, Arc<VirtualClock>) {
    let clock = Arc::new(VirtualClock::now());
    let throttling = Throttling::Azure;
    let options = GalleryOptions { clock: Some(clock.clone()), throttling, ..GalleryOptions::default() };
    (Gallery::start_with(options).await, clock)
}

async fn groups(gallery: &Gallery) -> Answer {
    gallery.get("{s}/resourceGroups?api-version=2024-11-01").await
}

#[tokio::test]
async fn a_bucket_is_emptied_and_fills_again() {
    let (gallery, clock) = throttled().await;
    for left in (0..250).rev() {
        let answer = groups(&gallery).await.expect(200);
        assert_eq!(answer.header(READS), Some(left.to_string().as_str()));
    }
    let refused = groups(&gallery).await.expect(429);
    assert_eq!(refused.code(), "SubscriptionRequestsThrottled");
    let message = refused.json()["error"]["message"].as_str().expect("a message").to_owned();
    let expected = format!("Number of 'read' requests for subscription '{}' actor '", gallery.subscription);
    assert!(message.starts_with(&expected) && message.contains("try again after '1' seconds"), "{message}");
    assert_eq!((refused.header("retry-after"), refused.header(READS)), (Some("1"), Some("0")));
    assert_eq!(refused.header("x-ms-failure-cause"), Some("gateway"));
    assert_eq!(refused.header("x-ms-ratelimit-remaining-subscription-global-reads"), Some("3500"));

    // What names no subscription has a budget of its own, and so have writes; our own routes have none.
    let tenants = gallery.get("/tenants?api-version=2022-12-01").await.expect(200);
    assert_eq!(tenants.header("x-ms-ratelimit-remaining-tenant-reads"), Some("249"));
    gallery.make_group("rg", "eastus").await;
    let processes = gallery.get("/galerie/processes").await.expect(200);
    assert_eq!(processes.header("retry-after"), None);

    clock.advance_ms(1000);
    let after = groups(&gallery).await.expect(200);
    assert_eq!(after.header(READS), Some("24"), "25 a second come back");
    clock.advance_ms(3600 * 1000 / 2);
    assert_eq!(groups(&gallery).await.expect(200).header(READS), Some("249"), "a bucket is never more than full");
}

#[tokio::test]
async fn a_refused_write_does_nothing() {
    let (gallery, _clock) = throttled().await;
    gallery.make_group("rg", "eastus").await;
    let path = "{s}/resourceGroups/rg?api-version=2024-11-01";
    let put =
        async |tag: u64| gallery.put(path, json!({ "location": "eastus", "tags": { "n": tag.to_string() } })).await;
    for left in (0..199).rev() {
        assert_eq!(put(left).await.expect(200).header(WRITES), Some(left.to_string().as_str()));
    }
    let refused = put(999).await.expect(429);
    assert_eq!(refused.code(), "SubscriptionRequestsThrottled");
    assert_eq!(gallery.get(path).await.expect(200).json()["tags"]["n"], "0");
    // Deletions are another budget.
    let deleted = gallery.delete(path).await.expect(202);
    assert_eq!(deleted.header("x-ms-ratelimit-remaining-subscription-deletes"), Some("199"));
}

/// A detail's message is JSON in a text: what clients log of it, and how they get at the figures.
fn figures(refused: &Answer, at: usize) -> Value {
    let detail = &refused.json()["error"]["details"][at];
    assert_eq!(detail["code"], "TooManyRequests");
    let figures: Value = serde_json::from_str(detail["message"].as_str().expect("a message")).expect("JSON");
    assert_eq!(detail["target"], figures["operationGroup"]);
    figures
}

#[tokio::test]
async fn the_provider_has_budgets_of_its_own() {
    let (gallery, clock) = throttled().await;
    gallery.make_group("rg", "eastus").await;
    let path = "{s}/resourceGroups/rg/providers/Microsoft.Compute/galleries/g?api-version=2024-03-03";
    let put = async || gallery.put(path, json!({ "location": "eastus" })).await;
    let first = put().await.expect(201);
    let left = "Microsoft.Compute/CreateUpdateGallery3Min;49,Microsoft.Compute/CreateUpdateGallery30Min;299";
    assert_eq!(first.header(RESOURCE), Some(left));
    let read = gallery.get(path).await.expect(200);
    let left = "Microsoft.Compute/GetGallery3Min;349,Microsoft.Compute/GetGallery30Min;2499";
    assert_eq!(read.header(RESOURCE), Some(left));
    let status = gallery.call(Method::GET, first.header("azure-asyncoperation").expect("an operation"), None).await;
    let left = "Microsoft.Compute/GetOperationStatus3Min;4999,Microsoft.Compute/GetOperationStatus30Min;14999";
    assert_eq!(status.expect(200).header(RESOURCE), Some(left));
    for _ in 1..50 {
        let _ = put().await.expect(200);
    }
    clock.advance_ms(60_000);
    let refused = put().await.expect(429);
    assert_eq!((refused.code().as_str(), refused.header("retry-after")), ("OperationNotAllowed", Some("120")));
    assert_eq!(refused.json()["error"]["innererror"]["internalErrorCode"], "TooManyRequestsReceived");
    let figures = figures(&refused, 0);
    assert_eq!(figures["operationGroup"], "CreateUpdateGallery3Min");
    assert_eq!((&figures["allowedRequestCount"], &figures["measuredRequestCount"]), (&50.into(), &51.into()));
    assert!(figures["endTime"].as_str().expect("a time").ends_with("+00:00"), "{figures}");
    clock.advance_ms(119_999);
    assert_eq!(put().await.expect(429).header("retry-after"), Some("1"));
    clock.advance_ms(1);
    let _ = put().await.expect(200);
}

#[tokio::test]
async fn without_budgets_nothing_is_refused() {
    let gallery = Gallery::start().await;
    for _ in 0..300 {
        assert_eq!(groups(&gallery).await.expect(200).header(READS), Some("249"));
    }
}
