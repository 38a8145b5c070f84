use galerie_arm::ArmError;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ActivityFilter, AuditFilter, Denial, KnownHead, prune, seal_all};
use crate::{
    db::{audit, audit_seal, transact},
    testing::World,
};

/// A gallery with three accepted writes (group, gallery, definition), sealed in batches.
async fn sealed() -> World {
    let world = World::new().await;
    world.furnish().await;
    seal_all(&world.control).await.unwrap();
    world.put("galleries/other", json!({ "location": "eastus" })).await.unwrap();
    seal_all(&world.control).await.unwrap();
    world
}

async fn verify(world: &World, known: Option<&str>) -> Value {
    let known: Option<KnownHead> = known.map(|head| head.parse().unwrap());
    world.control.audit_verify(&world.ctx(), known.as_ref()).await.unwrap()
}

/// What is found wrong, as `seal: problem`.
fn problems(report: &Value) -> Vec<String> {
    let problems = report["problems"].as_array().unwrap();
    problems.iter().map(|one| format!("{}: {}", one["seal"], one["problem"].as_str().unwrap())).collect()
}

/// Does something to the catalogue behind the gallery's back.
async fn tamper(world: &World, statement: &'static str) {
    let touched = transact!(world.control.db(), |tx| -> Result<u64, ArmError> {
        Ok(crate::db::tests::run(tx, statement).await?)
    });
    assert!(touched.unwrap() > 0, "{statement}");
}

#[tokio::test]
async fn an_untouched_chain_is_intact() {
    let world = sealed().await;
    let report = verify(&world, None).await;
    assert_eq!((report["intact"].as_bool(), report["seals"].as_u64()), (Some(true), Some(2)), "{report}");
    assert_eq!((report["rows"].as_u64(), report["rowsNotSealedYet"].as_u64()), (Some(4), Some(0)), "{report}");
    let head = report["head"].as_str().unwrap();
    assert_eq!(verify(&world, Some(head)).await["intact"], true);
}

#[tokio::test]
async fn whatever_is_tampered_with_is_found() {
    for (statement, expected) in [
        (
            "UPDATE audit SET principal = '00000000-0000-0000-0000-000000000001' WHERE sequence = 2",
            "1: its rows were changed",
        ),
        ("UPDATE audit SET at_ms = at_ms + 1 WHERE sequence = 1", "1: its rows were changed"),
        ("UPDATE audit SET outcome = 'Denied' WHERE sequence = 4", "2: its rows were changed"),
        ("DELETE FROM audit WHERE sequence = 1", "1: 2 of its 3 rows are there"),
        ("UPDATE audit SET sequence = sequence + 10 WHERE sequence = 4", "2: 0 of its 1 rows are there"),
        ("UPDATE audit_seals SET sealed_ms = sealed_ms + 1 WHERE number = 2", "2: its signature is wrong"),
        ("UPDATE audit_seals SET digest = '00' WHERE number = 1", "1: its signature is wrong"),
        ("DELETE FROM audit_seals WHERE number = 2", "2: there are rows that it covered, and the seal is missing"),
        ("DELETE FROM audit_seals WHERE number = 1", "1: the seal is missing"),
        (
            "UPDATE audit_seals SET pruned_ms = 1 WHERE number = 1",
            "1: its rows were deleted for their age, and there are rows again",
        ),
    ] {
        let world = sealed().await;
        tamper(&world, statement).await;
        let report = verify(&world, None).await;
        assert_eq!(report["intact"], false, "{statement}");
        let found = problems(&report);
        assert!(found.iter().any(|found| found == expected), "{statement}: {found:?}");
    }
}

/// Cutting the newest rows off with their seal leaves a shorter chain that is whole: the head in the log shows it.
#[tokio::test]
async fn a_chain_that_was_cut_short_lacks_the_head_that_was_kept() {
    let world = sealed().await;
    let head = verify(&world, None).await["head"].as_str().unwrap().to_owned();
    tamper(&world, "DELETE FROM audit WHERE sequence = 4").await;
    tamper(&world, "DELETE FROM audit_seals WHERE number = 2").await;
    assert_eq!(verify(&world, None).await["intact"], true);
    let report = verify(&world, Some(&head)).await;
    assert_eq!(problems(&report), ["2: the head that you named is not in the chain"]);
}

#[tokio::test]
async fn of_two_sealers_one_seals() {
    let world = World::new().await;
    world.furnish().await;
    let (one, other) = tokio::join!(seal_all(&world.control), seal_all(&world.control));
    one.and(other).unwrap();
    let report = verify(&world, None).await;
    assert_eq!((report["intact"].as_bool(), report["rows"].as_u64()), (Some(true), Some(3)), "{report}");
}

#[tokio::test]
async fn old_rows_go_and_the_chain_stays_whole() {
    let world = sealed().await;
    let kept = world.control.tuning().audit_kept.unwrap();
    prune(&world.control).await.unwrap();
    assert_eq!(verify(&world, None).await["rows"], 4);
    world.clock.advance(i64::try_from(kept.as_millis()).unwrap() + 1000);
    world.put("galleries/late", json!({ "location": "eastus" })).await.unwrap();
    seal_all(&world.control).await.unwrap();
    prune(&world.control).await.unwrap();
    let report = verify(&world, None).await;
    assert_eq!((report["intact"].as_bool(), report["rows"].as_u64()), (Some(true), Some(1)), "{report}");
    assert_eq!(report["sealsWhoseRowsWereDeletedForTheirAge"], 2);
}

fn refusal(world: &World, scope: &str) -> Denial {
    Denial {
        caller: Some(world.caller.clone()),
        address: Some([192, 0, 2, 1].into()),
        action: "Microsoft.Compute/galleries/delete".to_owned(),
        scope: scope.to_owned(),
        code: "AuthorizationFailed".to_owned(),
        correlation_id: Uuid::from_u128(7),
    }
}

#[tokio::test]
async fn lists_are_paged_and_narrowed() {
    let world = sealed().await;
    let scope = world.id("galleries/g").to_string();
    world.control.audit_denial(refusal(&world, &scope));
    world.control.write_denials().await.unwrap();
    let list = async |filter: AuditFilter| world.control.audit_list(&world.ctx(), &filter).await.unwrap();
    let (mut seen, mut continuation) = (Vec::new(), None);
    loop {
        let page = list(AuditFilter { since_ms: i64::MIN, top: Some(2), continuation, ..Default::default() }).await;
        seen.extend(page["value"].as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap().to_owned()));
        continuation = page["continuation"].as_str().map(str::to_owned);
        if continuation.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 5);
    let below = list(AuditFilter { since_ms: i64::MIN, resource: scope.to_uppercase(), ..Default::default() }).await;
    // The gallery, its definition, and the refusal; not the gallery `other`.
    assert_eq!(below["value"].as_array().unwrap().len(), 3, "{below}");
    let denied = list(AuditFilter { since_ms: i64::MIN, denied_only: true, ..Default::default() }).await;
    let row = &denied["value"][0];
    assert_eq!((row["outcome"].as_str(), row["code"].as_str()), (Some("Denied"), Some("AuthorizationFailed")));
    assert_eq!((row["address"].as_str(), row["sealed"].as_bool()), (Some("192.0.2.1"), Some(false)), "{row}");
    let wrong = AuditFilter { continuation: Some("1".to_owned()), ..Default::default() };
    let error = world.control.audit_list(&world.ctx(), &wrong).await.unwrap_err();
    assert_eq!(error.code, "InvalidParameter");
}

#[tokio::test]
async fn the_activity_log_tells_what_became_of_a_request() {
    let world = sealed().await;
    world.clock.advance(1);
    world.control.audit_denial(refusal(&world, &world.id("galleries/g").to_string()));
    world.control.write_denials().await.unwrap();
    let log = async |filter: ActivityFilter| {
        let page = world.control.activity_log(&world.ctx(), world.subscription, &filter, None).await.unwrap();
        page.0.iter().map(|event| (event["operationName"]["value"].clone(), event["status"]["value"].clone())).collect()
    };
    let everything = ActivityFilter { since_ms: i64::MIN, ..Default::default() };
    let all: Vec<(Value, Value)> = log(everything.clone()).await;
    assert_eq!(all.len(), 5, "{all:?}");
    assert_eq!(all[0], (json!("Microsoft.Compute/galleries/delete"), json!("Failed")));
    assert!(all[1..].iter().all(|(_, status)| status == "Succeeded"), "{all:?}");
    let failed: Vec<_> = log(ActivityFilter { status: Some("failed".to_owned()), ..everything.clone() }).await;
    assert_eq!(failed.len(), 1);
    let group: Vec<_> = log(ActivityFilter { resource_group: Some("RG".to_owned()), ..everything.clone() }).await;
    let other: Vec<_> = log(ActivityFilter { resource_group: Some("r".to_owned()), ..everything }).await;
    assert_eq!((group.len(), other.len()), (5, 0));
}

/// What was written before there were seals is sealed like everything else.
#[tokio::test]
async fn rows_are_found_by_place_and_none_is_left() {
    let world = sealed().await;
    let mut tx = world.control.db().read().await.unwrap();
    let last = audit_seal::last(&mut tx).await.unwrap().unwrap();
    let rows = audit::in_chain(&mut tx, 1, last.end()).await.unwrap();
    let places: Vec<_> = rows.iter().map(|row| row.sequence).collect();
    assert_eq!(places, [Some(1), Some(2), Some(3), Some(4)]);
    assert!(rows.iter().all(|row| row.subscription == world.subscription.to_string()));
}
