//! Many writers of one version: with `If-Match` none is lost, without it the last one's regions are what there is.

use axum::{
    body::Body,
    http::{Method, Request},
};
use futures::future::join_all;
use galerie_testkit::{Answer, Gallery, GalleryOptions};
use serde_json::{Value, json};

/// Writers; each has a region to add.
const WRITERS: usize = 16;
/// A writer that was refused as often as there are others, and more, is being starved.
const MOST_TRIES: usize = 400;

/// A gallery with a home and a region for each writer, and a version's path.
async fn gallery() -> (Gallery, String) {
    let regions = std::iter::once("home".to_owned()).chain((0..WRITERS).map(region)).collect();
    let gallery = Gallery::start_with(GalleryOptions { regions, ..GalleryOptions::default() }).await;
    gallery.make_group("rg", "home").await;
    let disk = "{s}/resourceGroups/rg/providers/Microsoft.Compute/disks/d";
    gallery.upload_disk(disk, "home", &vec![3; 20 << 20]).await;
    let definition = gallery.make_definition("rg", "g", "i", "home").await;
    let body = json!({
        "location": "home",
        "properties": {
            "publishingProfile": { "targetRegions": [{ "name": "home" }] },
            "storageProfile": { "osDiskImage": { "source": { "id": gallery.path(disk) } } }
        }
    });
    let path = format!("{definition}/versions/1.0.0?api-version=2024-03-03");
    gallery.succeeded(&gallery.put(&path, body).await.expect(201)).await;
    (gallery, path)
}

fn region(writer: usize) -> String {
    format!("region{writer:02}")
}

fn regions_of(version: &Value) -> Vec<String> {
    let regions = version["properties"]["publishingProfile"]["targetRegions"].as_array().expect("regions");
    let mut names: Vec<_> = regions.iter().map(|region| region["name"].as_str().expect("a name").to_owned()).collect();
    names.sort();
    names
}

/// Sends the regions that the version had when it was `read`, and one more. A catalogue on PostgreSQL may say that it is busy, and
/// then nothing was done: it is sent again, as clients do.
async fn add(gallery: &Gallery, path: &str, read: &Answer, writer: usize, if_match: bool) -> Answer {
    let mut regions = read.json()["properties"]["publishingProfile"]["targetRegions"].clone();
    regions.as_array_mut().expect("regions").push(json!({ "name": region(writer) }));
    let body = json!({ "properties": { "publishingProfile": { "targetRegions": regions } } });
    for _ in 0..MOST_TRIES {
        let mut request = Request::builder()
            .method(Method::PATCH)
            .uri(gallery.path(path))
            .header("authorization", format!("Bearer {}", gallery.token().await))
            .header("content-type", "application/json");
        if if_match {
            request = request.header("if-match", read.header("etag").expect("an entity tag"));
        }
        let answer = gallery.send(request.body(Body::from(body.to_string())).expect("a request")).await;
        if answer.status != 503 {
            return answer;
        }
        assert!(answer.code() == "ServiceUnavailable" && answer.header("retry-after").is_some(), "{answer}");
    }
    panic!("the catalogue is always busy");
}

/// Reads and writes until nobody wrote in between; how often it tried.
async fn add_at_last(gallery: &Gallery, path: &str, writer: usize) -> usize {
    for tries in 1..=MOST_TRIES {
        let read = gallery.get(path).await.expect(200);
        let answer = add(gallery, path, &read, writer, true).await;
        match answer.status {
            200 => return tries,
            412 => assert_eq!(answer.code(), "PreconditionFailed"),
            _ => panic!("{answer}"),
        }
    }
    panic!("writer {writer} never got through");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_say_what_they_saw_lose_nothing() {
    let (gallery, path) = gallery().await;
    let tries: usize =
        join_all((0..WRITERS).map(|writer| add_at_last(&gallery, &path, writer))).await.into_iter().sum();
    assert!(tries > WRITERS, "they did not meet");
    let version = gallery.get(&path).await.expect(200).json();
    let mut expected: Vec<_> = (0..WRITERS).map(region).chain(["home".to_owned()]).collect();
    expected.sort();
    assert_eq!(regions_of(&version), expected);
    // The last write's operation ends when every region has the version.
    let same = add_nothing(&gallery, &path).await;
    assert_eq!(gallery.status_of(&same).await["status"], "Succeeded");
    let shown = gallery.get(&format!("{path}&$expand=ReplicationStatus")).await.expect(200).json();
    let summary = shown["properties"]["replicationStatus"]["summary"].as_array().expect("regions").clone();
    assert_eq!(summary.len(), WRITERS + 1);
    assert!(summary.iter().all(|region| region["state"] == "Completed"), "{shown}");
}

async fn add_nothing(gallery: &Gallery, path: &str) -> Answer {
    gallery.patch(path, json!({ "tags": { "race": "over" } })).await.expect(200)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_condition_the_last_one_replaces_the_others() {
    let (gallery, path) = gallery().await;
    let read = gallery.get(&path).await.expect(200);
    let answers = join_all((0..WRITERS).map(|writer| add(&gallery, &path, &read, writer, false))).await;
    assert!(
        answers.iter().all(|answer| answer.status == 200),
        "{:?}",
        answers.iter().map(Answer::to_string).collect::<Vec<_>>()
    );
    let version = gallery.get(&path).await.expect(200).json();
    let regions = regions_of(&version);
    assert!(regions.len() == 2 && regions[0] == "home", "a list is replaced, never merged: {regions:?}");
    assert_eq!(gallery.status_of(&add_nothing(&gallery, &path).await).await["status"], "Succeeded");
}
