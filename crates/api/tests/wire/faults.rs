//! What goes wrong on purpose: each fault as its client sees it, and the way in that stays.

use axum::{
    body::Body,
    http::{Method, Request},
};
use bytes::Bytes;
use galerie_api::{AnswerFault, AnswerTrouble, Faults, Strikes};
use galerie_testkit::{Answer, Gallery, GalleryOptions, RegionTrouble, client_form};
use serde_json::{Value, json};

const GROUPS: &str = "{s}/resourceGroups?api-version=2024-11-01";
const FAULT: &str = "x-galerie-fault";

async fn with_answers(faults: &[(Option<Method>, Strikes, AnswerTrouble)]) -> Gallery {
    let fault = |(number, (method, strikes, what)): (usize, &(Option<Method>, Strikes, AnswerTrouble))| AnswerFault {
        text: format!("fault-{number}"),
        method: method.clone(),
        strikes: *strikes,
        what: *what,
    };
    let answers: Vec<_> = faults.iter().enumerate().map(fault).collect();
    let faults = Faults { said: answers.iter().map(|fault| fault.text.clone()).collect(), answers };
    Gallery::start_with(GalleryOptions { faults, ..GalleryOptions::default() }).await
}

async fn health(gallery: &Gallery) -> String {
    let answer = gallery.send(Request::get("/healthz").body(Body::empty()).expect("a request")).await.expect(200);
    String::from_utf8(answer.body.to_vec()).expect("text")
}

#[tokio::test]
async fn every_fifth_request_is_throttled() {
    let throttled = AnswerTrouble::Throttled { retry_after_s: 2 };
    let gallery = with_answers(&[(None, Strikes::Every(5), throttled)]).await;
    let mut statuses = Vec::new();
    for _ in 0..10 {
        let answer = gallery.get(GROUPS).await;
        statuses.push(answer.status);
        let is_struck = answer.status == 429;
        assert_eq!(answer.header(FAULT), is_struck.then_some("fault-0"));
        assert_eq!(answer.header("retry-after"), is_struck.then_some("2"));
        assert!(!is_struck || answer.code() == "TooManyRequests");
    }
    assert_eq!(statuses, [200, 200, 200, 200, 429, 200, 200, 200, 200, 429]);
    assert_eq!(health(&gallery).await, "ok\nfault fault-0\n");
}

#[tokio::test]
async fn our_own_routes_and_tokens_are_spared() {
    let failed = AnswerTrouble::Failed { status: 500, retry_after_s: None, after: false };
    let gallery = with_answers(&[(None, Strikes::Every(1), failed)]).await;
    let answer = gallery.get(GROUPS).await.expect(500);
    assert_eq!((answer.code().as_str(), answer.header("retry-after")), ("InternalServerError", None));
    let _ = gallery.get("/galerie/processes").await.expect(200);
    let refused = gallery.send(Request::get(gallery.path(GROUPS)).body(Body::empty()).expect("a request")).await;
    assert_eq!(refused.expect(401).header(FAULT), None, "who calls is asked first");
}

#[tokio::test]
async fn a_lost_answer_leaves_what_was_done() {
    let lost = AnswerTrouble::Failed { status: 503, retry_after_s: Some(7), after: true };
    let gallery = with_answers(&[(Some(Method::PUT), Strikes::Every(1), lost)]).await;
    let path = "{s}/resourceGroups/rg?api-version=2024-11-01";
    let answer = gallery.put(path, json!({ "location": "eastus" })).await.expect(503);
    assert_eq!((answer.header("retry-after"), answer.header(FAULT)), (Some("7"), Some("fault-0")));
    assert_eq!(gallery.get(path).await.expect(200).json()["location"], "eastus", "it was done all the same");
}

#[tokio::test]
async fn several_faults_strike_in_their_order() {
    let ms = std::time::Duration::from_millis;
    let late = AnswerTrouble::Late(ms(1), ms(2));
    let gateway = AnswerTrouble::Failed { status: 504, retry_after_s: None, after: false };
    let gallery = with_answers(&[(None, Strikes::Every(1), late), (None, Strikes::Every(2), gateway)]).await;
    let said = |answer: &Answer| {
        answer.headers.get_all(FAULT).iter().map(|text| text.to_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(said(&gallery.get(GROUPS).await.expect(200)), ["fault-0"]);
    let answer = gallery.get(GROUPS).await.expect(504);
    assert_eq!(
        (said(&answer), answer.code().as_str()),
        (vec!["fault-0".to_owned(), "fault-1".to_owned()], "GatewayTimeout")
    );
}

/// A gallery with one region in trouble, and a version's path and body.
pub(crate) async fn troubled(trouble: RegionTrouble) -> (Gallery, String, Value) {
    let troubled_regions = vec![("westus".to_owned(), trouble)];
    let gallery = Gallery::start_with(GalleryOptions { troubled_regions, ..GalleryOptions::default() }).await;
    gallery.make_group("rg", "eastus").await;
    let disk = "{s}/resourceGroups/rg/providers/Microsoft.Compute/disks/d";
    gallery.upload_disk(disk, "eastus", &vec![7; 20 << 20]).await;
    let definition = gallery.make_definition("rg", "g", "i", "eastus").await;
    let body = json!({
        "location": "eastus",
        "properties": {
            "publishingProfile": { "targetRegions": [{ "name": "eastus" }, { "name": "westus" }] },
            "storageProfile": { "osDiskImage": { "source": { "id": gallery.path(disk) } } }
        }
    });
    (gallery, format!("{definition}/versions/1.0.0?api-version=2024-03-03"), body)
}

/// The state and the details of a version in westus.
async fn in_westus(gallery: &Gallery, path: &str) -> (String, String, String) {
    let version = gallery.get(&format!("{path}&$expand=ReplicationStatus")).await.expect(200).json();
    let status = &version["properties"]["replicationStatus"];
    let found = status["summary"].as_array().and_then(|all| all.iter().find(|region| region["region"] == "West US"));
    let text = |name: &str| found.and_then(|region| region[name].as_str()).unwrap_or_default().to_owned();
    (version["properties"]["provisioningState"].as_str().expect("a state").to_owned(), text("state"), text("details"))
}

#[tokio::test]
async fn a_copy_fails_and_the_same_put_repeats_it() {
    let (gallery, path, body) = troubled(RegionTrouble { failing_copies: 1, ..RegionTrouble::default() }).await;
    let status = gallery.status_of(&gallery.put(&path, body.clone()).await.expect(201)).await;
    assert_eq!(status["status"], "Failed");
    assert_eq!(status["error"]["code"], "GalleryReplicationFailed", "{status}");
    let (provisioning, state, details) = in_westus(&gallery, &path).await;
    assert_eq!((provisioning.as_str(), state.as_str()), ("Failed", "Failed"));
    assert!(details.contains("injected fault"), "{details}");

    gallery.succeeded(&gallery.put(&path, body).await).await;
    let (provisioning, state, _) = in_westus(&gallery, &path).await;
    assert_eq!((provisioning.as_str(), state.as_str()), ("Succeeded", "Completed"));
}

#[tokio::test]
async fn a_region_that_is_down_is_tried_again() {
    let (gallery, path, body) = troubled(RegionTrouble { is_down: true, ..RegionTrouble::default() }).await;
    let accepted = gallery.put(&path, body).await.expect(201);
    for _ in 0..6000 {
        let (provisioning, state, details) = in_westus(&gallery, &path).await;
        assert_eq!((provisioning.as_str(), state.as_str()), ("Creating", "Replicating"));
        if !details.is_empty() {
            assert!(details.contains("injected fault: the region is down"), "{details}");
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let url = accepted.header("azure-asyncoperation").expect("an operation");
    assert_eq!(gallery.get(url).await.expect(200).json()["status"], "InProgress", "for minutes");
    let (_, _, details) = in_westus(&gallery, &path).await;
    assert!(!details.is_empty(), "the first attempt has failed");
}

#[tokio::test]
async fn the_clock_is_moved_by_the_operator_and_only_where_it_can_be() {
    let still = Gallery::start().await;
    assert_eq!(still.post("/galerie/clock/advance?seconds=5", None).await.expect(404).code(), "NotFound");
    let gallery = Gallery::start_with(GalleryOptions { movable_clock: true, ..GalleryOptions::default() }).await;
    gallery.make_group("rg", "eastus").await;
    let shown = gallery.post("/galerie/clock/show", None).await.expect(200).json();
    assert_eq!(shown["aheadMs"], 0);
    let sas = {
        let disk = "{s}/resourceGroups/rg/providers/Microsoft.Compute/disks/d";
        gallery.make_upload_disk(disk, "eastus", (20 << 20) + 512).await;
        gallery.grant(disk, "Write").await
    };
    let _ = gallery.blob(Method::HEAD, &sas, "", &[], Bytes::new()).await.expect(200);
    let told = async || {
        let rows = crate::audit::rows(&gallery, |_| true).await;
        rows.iter().filter(|row| row["action"] == "Galerie/clock/advance/action").count()
    };
    for wrong in ["", "?seconds=-1", "?seconds=soon", "?seconds=99999999999", "?seconds=4294967295"] {
        let refused = gallery.post(&format!("/galerie/clock/advance{wrong}"), None).await;
        assert_eq!(refused.status, 400, "{wrong}: {refused}");
    }
    assert_eq!(told().await, 0, "what did not move is not told as moved");
    let _ = gallery.post("/galerie/clock/advance?seconds=1", None).await.expect(200);
    assert_eq!(told().await, 1);
    let other = gallery.second_tenant().await.token;
    let request = Request::post("/galerie/clock/advance?seconds=5").header("authorization", format!("Bearer {other}"));
    let by_other = gallery.send(request.body(Body::empty()).expect("a request")).await;
    assert_eq!(by_other.status, 403, "one tenant does not move the time of all: {by_other}");
    let moved = gallery.post("/galerie/clock/advance?seconds=7200", None).await.expect(200).json();
    assert_eq!(moved["aheadMs"], 7_201_000);
    assert_eq!(gallery.get(GROUPS).await.expect(401).code(), "ExpiredAuthenticationToken", "tokens follow it");
    let ended = gallery.blob(Method::HEAD, &sas, "", &[], Bytes::new()).await;
    assert_eq!(ended.status, 403, "so do the ends of SAS");
    // A restart does not take time back.
    let gallery = gallery.restart().await;
    let form = client_form(gallery.client_id, gallery.client_secret(), &gallery.url());
    let issued = gallery.form(&format!("/{}/oauth2/v2.0/token", gallery.tenant), &form).await.expect(200).json();
    let token = issued["access_token"].as_str().expect("a token").to_owned();
    let request = Request::post("/galerie/clock/show").header("authorization", format!("Bearer {token}"));
    let shown = gallery.send(request.body(Body::empty()).expect("a request")).await.expect(200).json();
    assert_eq!(shown["aheadMs"], 7_201_000);
}
