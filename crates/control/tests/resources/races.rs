//! Writers side by side. SQLite has one writer at a time; PostgreSQL lets them run and ends one (`make test-postgres`).

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
    for round in 0..ROUNDS {
        let parent = format!("galleries/g{round}");
        let child = format!("{parent}/images/i");
        gallery.make(&parent, json!({ "location": "eastus" })).await;
        let (made, deleted) = tokio::join!(gallery.put(&child, definition_body("s")), gallery.delete(&parent));
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
    for round in 0..ROUNDS {
        let wanted = |group: &str| {
            gallery.id(&format!("/resourceGroups/{group}/providers/Microsoft.Compute/galleries/g{round}"))
        };
        let ids = [wanted(crate::support::GROUP), wanted("other")];
        let context = gallery.context();
        let puts = ids.iter().map(|id| gallery.control.put(&context, id, json!({ "location": "eastus" })));
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
    gallery.make("galleries/g", json!({ "location": "eastus" })).await;
    for round in 0..ROUNDS {
        let etag = gallery.get("galleries/g").await["etag"].as_str().unwrap().trim_matches('"').to_owned();
        let mut context = gallery.context();
        context.preconditions = Precondition::from_headers(Some(&ETag::new(&etag).to_string()), None).unwrap();
        let body = |writer: usize| json!({ "location": "eastus", "tags": { "round": round.to_string(), "writer": writer.to_string() } });
        let outcomes = join_all((0..WRITERS).map(|writer| gallery.control.put(&context, &id, body(writer)))).await;
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
