//! Writers side by side, in two processes. SQLite has one writer at a time; PostgreSQL lets them run and ends one (`make test-postgres`).

use futures::future::join_all;
use galerie_arm::{ETag, etag::Precondition};
use serde_json::json;

use crate::support::{Gallery, definition_body};

/// How often each race is run.
const ROUNDS: usize = 20;
/// Writers of one thing.
const WRITERS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_child_and_the_deletion_of_its_parent_do_not_both_win() {
    let gallery = Gallery::start().await;
    let (other, context) = (gallery.beside().await, gallery.context());
    for round in 0..ROUNDS {
        let parent = format!("galleries/g{round}");
        let child = format!("{parent}/images/i");
        gallery.make(&parent, json!({ "location": "eastus" })).await;
        let parent_id = gallery.compute(&parent);
        let (made, deleted) =
            tokio::join!(gallery.put(&child, definition_body("s")), other.delete(&context, &parent_id));
        match (&made, &deleted) {
            (Ok(_), Err(refused)) => {
                assert_eq!(refused.code, "CannotDeleteResource");
                assert_eq!(gallery.get(&child).await["name"], "i");
            }
            (Err(refused), Ok(Some(_))) => {
                assert_eq!((refused.status, refused.code.as_ref()), (404, "ParentResourceNotFound"));
                assert_eq!(gallery.get_error(&parent).await.status, 404);
            }
            both => panic!("round {round}: {both:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_gallery_gets_a_name_that_two_groups_want() {
    let gallery = Gallery::start().await;
    let processes = [gallery.control.clone(), gallery.beside().await];
    for round in 0..ROUNDS {
        let wanted = |group: &str| {
            gallery.id(&format!("/resourceGroups/{group}/providers/Microsoft.Compute/galleries/g{round}"))
        };
        let ids = [wanted(crate::support::GROUP), wanted("other")];
        let context = gallery.context();
        let puts =
            ids.iter().zip(&processes).map(|(id, process)| process.put(&context, id, json!({ "location": "eastus" })));
        let outcomes = join_all(puts).await;
        let refusals: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
        assert_eq!(refusals.len(), 1, "round {round}: {outcomes:?}");
        assert!(refusals[0].message.contains("is not unique within the subscription"), "{}", refusals[0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_writers_that_name_the_same_state_one_wins() {
    let gallery = Gallery::start().await;
    let id = gallery.compute("galleries/g");
    let processes = [gallery.control.clone(), gallery.beside().await];
    gallery.make("galleries/g", json!({ "location": "eastus" })).await;
    for round in 0..ROUNDS {
        let etag = gallery.get("galleries/g").await["etag"].as_str().unwrap().trim_matches('"').to_owned();
        let mut context = gallery.context();
        context.preconditions = Precondition::from_headers(Some(&ETag::new(&etag).to_string()), None).unwrap();
        let body = |writer: usize| json!({ "location": "eastus", "tags": { "round": round.to_string(), "writer": writer.to_string() } });
        let outcomes =
            join_all((0..WRITERS).map(|writer| processes[writer % 2].put(&context, &id, body(writer)))).await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "round {round}: {outcomes:?}");
        for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            assert_eq!(refused.status, 412, "{refused}");
        }
    }
}

/// Without a condition each write takes the place of the one before, and none is lost half-way.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_without_conditions_all_get_through() {
    let gallery = Gallery::start().await;
    let puts = (0..WRITERS * 4)
        .map(|writer| gallery.put("galleries/g", json!({ "location": "eastus", "tags": { "w": writer.to_string() } })));
    let outcomes = join_all(puts).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.as_ref().is_ok_and(|accepted| accepted.created)).count(), 1);
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
}

/// Two processes replace one version at the same time: each write is whole, and the later one's operation is the one that counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_writers_of_one_version_leave_one_operation() {
    let gallery = Gallery::start().await;
    let processes = [gallery.control.clone(), gallery.beside().await];
    gallery.define("g", "i").await;
    gallery.upload("d", &crate::support::vhd(1).await).await;
    let path = "galleries/g/images/i/versions/1.0.0";
    let id = gallery.compute(path);
    let body = crate::support::version_body(&gallery.compute("disks/d"), &["eastus"]);
    gallery.make(path, body).await;
    for round in 0..ROUNDS {
        let context = gallery.context();
        let body = |writer: usize| {
            let regions = [["eastus", "westus"], ["eastus", "westeurope"]][writer].map(|name| json!({ "name": name }));
            json!({ "location": "eastus", "tags": { "round": round.to_string() }, "properties": {
                "storageProfile": {}, "publishingProfile": { "targetRegions": regions } } })
        };
        let outcomes = join_all((0..2).map(|writer| processes[writer].put(&context, &id, body(writer)))).await;
        for accepted in outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()) {
            // The one that lost its place says so.
            if let Err(error) = gallery.finish(&accepted.operation).await {
                assert_eq!(error.code, "OperationPreempted", "round {round}: {error}");
            }
        }
        let version = gallery.get(path).await;
        let asked = &version["properties"]["publishingProfile"]["targetRegions"];
        let replicas = version["properties"]["replicationStatus"]["summary"].as_array().unwrap();
        assert_eq!(asked.as_array().unwrap().len(), replicas.len(), "round {round}: {version}");
        assert!(replicas.iter().all(|replica| replica["state"] == "Completed"), "round {round}: {version}");
        assert!(outcomes.iter().any(Result::is_ok), "round {round}: {outcomes:?}");
    }
}
