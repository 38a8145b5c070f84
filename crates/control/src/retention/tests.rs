//! Retention on real versions and a clock that is moved: soft deletion, races, rights, uses; and a model on random ones.

mod model;

use galerie_arm::{ApiVersion, OperationStatus};
use serde_json::{Value, json};

use super::run::{self, By, Outcome};
use crate::{
    AuditFilter, Confirmed, RequestContext, RetentionSettings, Scope, authz,
    db::{disk_image, resource, setting, transact, version_use},
    testing::World,
};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const DEFINITION: &str = "galleries/g/images/i";
const WRITE: &str = "Microsoft.Compute/galleries/images/write";
const DELETE: &str = "Microsoft.Compute/galleries/images/versions/delete";

fn version(name: &str) -> String {
    format!("{DEFINITION}/versions/{name}")
}

/// Versions `1.0.0`, `2.0.0`, ... in eastus, a day between one and the next.
async fn published(count: u32) -> World {
    let world = World::new().await;
    world.start();
    world.furnish().await;
    let uploaded = world.upload(b"guest bytes", true).await;
    assert_eq!(world.ended(&uploaded).await, (OperationStatus::Succeeded, None));
    for number in 1..=count {
        publish(&world, &format!("{number}.0.0")).await;
        world.clock.advance(DAY_MS);
    }
    world
}

async fn publish(world: &World, name: &str) {
    let published = world.publish_as(name, &["eastus"]).await.unwrap();
    assert_eq!(world.ended(&published).await, (OperationStatus::Succeeded, None));
}

async fn set(world: &World, keep: u32, older_than_days: u32) {
    let settings = RetentionSettings { keep, older_than_days, automatic: false };
    world.control.set_retention_policy(&world.ctx(), &world.id(DEFINITION), Ok(settings)).await.unwrap();
}

/// What a dry run says of each version: its name and the reason's word.
async fn dry(world: &World) -> Vec<(String, String)> {
    reasons(&world.control.retention_dry_run(&world.ctx(), &world.id(DEFINITION), None).await.unwrap())
}

fn reasons(outcome: &Value) -> Vec<(String, String)> {
    let texts = |version: &Value| ["version", "reason"].map(|name| version[name].as_str().unwrap().to_owned());
    outcome["versions"].as_array().unwrap().iter().map(texts).map(|[version, reason]| (version, reason)).collect()
}

fn expect(found: Vec<(String, String)>, expected: &[(&str, &str)]) {
    let found: Vec<(&str, &str)> = found.iter().map(|(version, reason)| (&**version, &**reason)).collect();
    assert_eq!(found, expected);
}

/// Runs the policy; the names of what it deleted.
async fn run(world: &World) -> Vec<String> {
    deleted(&world.control.retention_run(&world.ctx(), &world.id(DEFINITION), Ok(None)).await.unwrap())
}

fn deleted(outcome: &Value) -> Vec<String> {
    let versions = outcome["versions"].as_array().unwrap().iter().filter(|version| version["deleted"] == true);
    versions.map(|version| version["version"].as_str().unwrap().to_owned()).collect()
}

async fn make_disk(world: &World, name: &str, reference: &str) {
    let id = format!("{}{reference}", world.id(DEFINITION));
    let body = json!({ "location": "eastus", "properties": { "creationData":
        { "createOption": "FromImage", "galleryImageReference": { "id": id } } } });
    let made = world.put(&format!("disks/{name}"), body).await.unwrap();
    assert_eq!(world.ended(&made).await, (OperationStatus::Succeeded, None));
}

#[tokio::test]
async fn a_run_is_its_dry_run_and_a_second_one_finds_nothing() {
    let world = published(5).await;
    let patch = json!({ "properties": { "publishingProfile": { "excludeFromLatest": true } } });
    world.control.patch(&world.ctx(), &world.id(&version("5.0.0")), patch).await.unwrap();
    world.control.set_version_pin(&world.ctx(), &world.id(&version("1.0.0")), true).await.unwrap();
    set(&world, 1, 3).await;
    let expected = [
        ("5.0.0", "ExcludedFromLatest"),
        ("4.0.0", "AmongTheLast"),
        ("3.0.0", "Superseded"),
        ("2.0.0", "Superseded"),
        ("1.0.0", "Pinned"),
    ];
    expect(dry(&world).await, &expected);
    let outcome = world.control.retention_run(&world.ctx(), &world.id(DEFINITION), Ok(None)).await.unwrap();
    expect(reasons(&outcome), &expected);
    assert_eq!(deleted(&outcome), ["3.0.0", "2.0.0"]);
    assert_eq!(world.get(&version("2.0.0")).await.unwrap_err().status, 404);
    assert_eq!(run(&world).await, [""; 0]);
    // The newest is too young a day after it was published, and old enough another day later.
    set(&world, 1, 7).await;
    publish(&world, "6.0.0").await;
    expect(
        dry(&world).await[1..].to_vec(),
        &[("5.0.0", "ExcludedFromLatest"), ("4.0.0", "Young"), ("1.0.0", "Pinned")],
    );
    world.control.set_version_pin(&world.ctx(), &world.id(&version("1.0.0")), false).await.unwrap();
    world.clock.advance(5 * DAY_MS);
    assert_eq!(run(&world).await, ["4.0.0", "1.0.0"]);
    world.control.shutdown().await;
}

#[tokio::test]
async fn what_is_used_or_protected_stays() {
    let world = published(4).await;
    set(&world, 1, 0).await;
    make_disk(&world, "used", "/versions/1.0.0").await;
    let protected = json!({ "properties": { "safetyProfile": { "blockDeletionBeforeEndOfLife": true },
        "publishingProfile": { "endOfLifeDate": "2099-01-01T00:00:00Z" } } });
    let ctx = RequestContext { api_version: ApiVersion::stable(2024, 3, 3), ..world.ctx() };
    world.control.patch(&ctx, &world.id(&version("2.0.0")), protected).await.unwrap();
    let expected = [("4.0.0", "AmongTheLast"), ("3.0.0", "Superseded"), ("2.0.0", "Protected"), ("1.0.0", "InUse")];
    expect(dry(&world).await, &expected);
    assert_eq!(run(&world).await, ["3.0.0"]);
    world.delete("disks/used").await.unwrap();
    assert_eq!(run(&world).await, ["1.0.0"]);
    world.control.shutdown().await;
}

/// A version that is made from another, in another region's time, holds it until it is made.
#[tokio::test]
async fn what_something_is_being_made_from_stays() {
    let world = published(2).await;
    set(&world, 1, 0).await;
    world.regions["westus"].set_open(false);
    let copy = json!({ "location": "eastus", "properties": {
        "storageProfile": { "source": { "id": world.id(&version("1.0.0")).as_str() } },
        "publishingProfile": { "excludeFromLatest": true, "targetRegions": [{ "name": "eastus" }, { "name": "westus" }] } } });
    let making = world.put(&version("9.0.0"), copy).await.unwrap();
    expect(dry(&world).await, &[("9.0.0", "NotSucceeded"), ("2.0.0", "AmongTheLast"), ("1.0.0", "InUse")]);
    assert_eq!(run(&world).await, [""; 0]);
    world.regions["westus"].set_open(true);
    world.ended(&making).await;
    assert_eq!(run(&world).await, ["1.0.0"]);
    world.control.shutdown().await;
}

#[tokio::test]
async fn a_deletion_is_soft_where_the_gallery_says_so_and_is_in_the_audit() {
    let world = published(3).await;
    let policy = json!({ "location": "eastus", "properties": { "softDeletePolicy": { "isSoftDeleteEnabled": true } } });
    let newest = RequestContext { api_version: ApiVersion::stable(2026, 3, 3), ..world.ctx() };
    world.control.put(&newest, &world.id("galleries/g"), policy).await.unwrap();
    let settings = RetentionSettings { keep: 1, older_than_days: 0, automatic: true };
    world.control.set_retention_policy(&world.ctx(), &world.id(DEFINITION), Ok(settings)).await.unwrap();
    world.control.run_retention_policies().await.unwrap();
    let kept = world.control.soft_deleted_versions(&newest, &world.id(DEFINITION), None).await.unwrap();
    let names: Vec<Value> = kept.items.iter().map(|item| item.to_value()["name"].clone()).collect();
    assert_eq!(names, ["1.0.0", "2.0.0"]);
    let audit = world.control.audit_list(&world.ctx(), &AuditFilter::default()).await.unwrap();
    let of = |action: &str| {
        let rows = audit["value"].as_array().unwrap().iter().filter(|row| row["action"] == action);
        rows.map(|row| row["correlationId"].clone()).collect::<Vec<_>>()
    };
    let (runs, deletions) = (of(super::run::RUN), of("Microsoft.Compute/galleries/images/versions/delete"));
    assert_eq!((runs.len(), deletions.len()), (1, 2));
    assert!(deletions.iter().all(|id| *id == runs[0]), "one run");
    let restore = json!({ "properties": { "restore": true } });
    world.control.patch(&newest, &world.id(&version("1.0.0")), restore).await.unwrap();
    world.control.shutdown().await;
}

/// Only a policy that says so runs by itself, and one that was removed deletes nothing.
#[tokio::test]
async fn policies_are_off_until_they_are_switched_on() {
    let world = published(2).await;
    world.control.run_retention_policies().await.unwrap();
    set(&world, 1, 0).await;
    world.control.run_retention_policies().await.unwrap();
    world.get(&version("1.0.0")).await.unwrap();
    world.control.remove_retention_policy(&world.ctx(), &world.id(DEFINITION)).await.unwrap();
    world.control.remove_retention_policy(&world.ctx(), &world.id(DEFINITION)).await.unwrap();
    let nothing = world.control.retention_run(&world.ctx(), &world.id(DEFINITION), Ok(None)).await.unwrap_err();
    assert_eq!(nothing.status, 404);
    let tried = RetentionSettings { keep: 1, older_than_days: 0, automatic: true };
    let tried = world.control.retention_dry_run(&world.ctx(), &world.id(DEFINITION), Some(tried)).await.unwrap();
    expect(reasons(&tried), &[("2.0.0", "AmongTheLast"), ("1.0.0", "Superseded")]);
    assert_eq!((&tried["policy"], &tried["dryRun"]), (&Value::Null, &json!(true)));
    world.get(&version("1.0.0")).await.unwrap();
    world.control.shutdown().await;
}

/// Who may do these things in the group.
async fn somebody(world: &World, name: &str, actions: &[&str]) -> RequestContext {
    let (role, group) = (uuid::Uuid::new_v4(), Scope::At(Box::new(world.id(""))));
    let body = authz::tests::custom(name, actions, &[world.id("").as_str()]);
    world.control.role_definition_put(&world.ctx(), &group, &role.to_string(), &body).await.unwrap();
    let ctx = authz::tests::newcomer(world).await;
    authz::tests::give(world, &ctx, role, &group).await;
    ctx
}

async fn planned(world: &World) -> Outcome {
    let mut tx = world.control.db().read().await.unwrap();
    run::plan(&mut tx, &world.id(DEFINITION), None, None).await.unwrap()
}

/// What changed since it was decided is decided again by whoever deletes it.
#[tokio::test]
async fn what_changed_since_the_decision_is_not_deleted() {
    let world = published(5).await;
    set(&world, 1, 0).await;
    let (ctx, id) = (world.ctx(), world.id(DEFINITION));
    let mut outcome = planned(&world).await;
    // Meanwhile one is pinned, one is made again, and the policy keeps more.
    world.control.set_version_pin(&ctx, &world.id(&version("1.0.0")), true).await.unwrap();
    world.delete(&version("2.0.0")).await.unwrap();
    publish(&world, "2.0.0").await;
    set(&world, 2, 0).await;
    world.control.carry_out(&ctx, &id, &mut outcome, By::Caller).await.unwrap();
    assert_eq!(deleted(&run::shown(&outcome)), ["3.0.0"]);
    for left in ["1.0.0", "2.0.0", "4.0.0", "5.0.0"] {
        world.get(&version(left)).await.unwrap();
    }
    // Without the policy nothing goes, whatever was decided.
    set(&world, 1, 0).await;
    let mut outcome = planned(&world).await;
    world.control.remove_retention_policy(&ctx, &id).await.unwrap();
    world.control.carry_out(&ctx, &id, &mut outcome, By::Caller).await.unwrap();
    assert_eq!(deleted(&run::shown(&outcome)), [""; 0]);
    world.control.shutdown().await;
}

/// Regression: a sweep that had read the policies went on with one that was told meanwhile to run by itself no more.
#[tokio::test]
async fn a_policy_that_was_stopped_or_is_anothers_now_does_not_run_by_itself() {
    let world = published(3).await;
    let (ctx, id) = (world.ctx(), world.id(DEFINITION));
    let other = somebody(&world, "Other", &[WRITE, DELETE]).await;
    let automatic = |automatic| Ok(RetentionSettings { keep: 1, older_than_days: 0, automatic });
    world.control.set_retention_policy(&ctx, &id, automatic(true)).await.unwrap();
    let mut outcome = planned(&world).await;
    for (by, settings) in [(&ctx, automatic(false)), (&other, automatic(true))] {
        world.control.set_retention_policy(by, &id, settings).await.unwrap();
        world.control.carry_out(&ctx, &id, &mut outcome, By::Policy).await.unwrap();
        assert_eq!(deleted(&run::shown(&outcome)), [""; 0]);
    }
    world.control.set_retention_policy(&ctx, &id, automatic(true)).await.unwrap();
    world.control.carry_out(&ctx, &id, &mut outcome, By::Policy).await.unwrap();
    assert_eq!(deleted(&run::shown(&outcome)), ["2.0.0", "1.0.0"]);
    world.control.shutdown().await;
}

/// Regression: who agreed to what a dry run showed had whatever the policy said a moment later deleted.
#[tokio::test]
async fn nothing_goes_that_was_not_confirmed() {
    let world = published(4).await;
    set(&world, 2, 0).await;
    let (ctx, id) = (world.ctx(), world.id(DEFINITION));
    let dry = world.control.retention_dry_run(&ctx, &id, None).await.unwrap();
    let going: Vec<Value> =
        dry["versions"].as_array().unwrap()[2..].iter().map(|gone| gone["version"].clone()).collect();
    assert_eq!(going, ["2.0.0", "1.0.0"]);
    // Meanwhile the policy keeps less, and one is made again.
    world.clock.advance(1);
    set(&world, 1, 0).await;
    world.delete(&version("1.0.0")).await.unwrap();
    publish(&world, "1.0.0").await;
    let confirmed = Confirmed::parse(&json!({ "at": dry["at"], "versions": going })).unwrap();
    let run = world.control.retention_run(&ctx, &id, Ok(Some(confirmed))).await.unwrap();
    assert_eq!(deleted(&run), ["2.0.0"]);
    for (body, target) in [
        (json!([]), "body"),
        (json!({ "at": dry["at"] }), "versions"),
        (json!({ "at": "soon", "versions": [] }), "at"),
        (json!({ "at": dry["at"], "versions": [1] }), "versions"),
        (json!({ "at": dry["at"], "versions": [], "force": true }), "force"),
    ] {
        assert_eq!(Confirmed::parse(&body).unwrap_err().target.as_deref(), Some(target), "{body}");
    }
    world.control.shutdown().await;
}

#[tokio::test]
async fn a_policy_takes_the_rights_that_it_uses() {
    let world = published(2).await;
    let id = world.id(DEFINITION);
    let settings = RetentionSettings { keep: 1, older_than_days: 0, automatic: false };
    let writes = somebody(&world, "Writes", &[WRITE, "Microsoft.Compute/galleries/images/versions/write"]).await;
    let deletes = somebody(&world, "Deletes", &[DELETE]).await;
    let both = somebody(&world, "Both", &[WRITE, DELETE]).await;
    for (ctx, may_set, may_run, may_pin) in
        [(&writes, false, false, true), (&deletes, false, true, false), (&both, true, true, false)]
    {
        let answer = world.control.set_retention_policy(ctx, &id, Ok(settings)).await;
        assert_eq!(answer.map_err(|error| error.status).is_ok(), may_set);
        set(&world, 2, 0).await;
        assert_eq!(
            world.control.retention_run(ctx, &id, Ok(None)).await.map_err(|error| error.status).is_ok(),
            may_run
        );
        let pinned = world.control.set_version_pin(ctx, &world.id(&version("1.0.0")), true).await;
        assert_eq!(pinned.is_ok(), may_pin);
        let dry = world.control.retention_dry_run(ctx, &id, None).await.unwrap_err();
        assert_eq!(dry.status, 403, "none of them reads versions");
        let shown = world.control.retention_policy(ctx, &id).await.unwrap_err();
        assert_eq!(shown.status, 403);
    }
    world.control.shutdown().await;
}

/// Disks of a catalogue that did not record uses are found by what their documents say.
#[tokio::test]
async fn earlier_uses_are_recorded_once() {
    let world = published(2).await;
    set(&world, 1, 0).await;
    make_disk(&world, "old", "/versions/1.0.0").await;
    transact!(world.control.db(), |tx| -> crate::db::Result<()> {
        version_use::forget_all(tx).await?;
        setting::remove(tx, setting::VERSION_USES).await
    })
    .unwrap();
    for _ in 0..2 {
        expect(dry(&world).await, &[("2.0.0", "AmongTheLast"), ("1.0.0", "InUse")]);
    }
    world.control.shutdown().await;
}

#[tokio::test]
async fn policies_and_pins_go_with_what_they_are_about() {
    let world = published(1).await;
    set(&world, 1, 0).await;
    world.control.set_version_pin(&world.ctx(), &world.id(&version("1.0.0")), true).await.unwrap();
    world.delete(&version("1.0.0")).await.unwrap();
    world.delete(DEFINITION).await.unwrap();
    let mut tx = world.control.db().read().await.unwrap();
    let key = world.id(DEFINITION).key().to_owned();
    assert!(resource::find(&mut tx, &key).await.unwrap().is_none());
    assert_eq!(crate::db::retention_policy::find(&mut tx, &key).await.unwrap(), None);
    assert!(crate::db::pinned_version::below(&mut tx, &key).await.unwrap().is_empty());
    assert!(disk_image::list_for(&mut tx, world.id(&version("1.0.0")).key()).await.unwrap().is_empty());
    drop(tx);
    world.control.shutdown().await;
}

#[test]
fn settings_are_read_strictly() {
    for (body, expected) in [
        (json!({ "keep": 3 }), Ok((3, 0, false))),
        (json!({ "keep": 1, "olderThanDays": 36_500, "automatic": true }), Ok((1, 36_500, true))),
        (json!({}), Err("keep")),
        (json!({ "keep": 0 }), Err("keep")),
        (json!({ "keep": 1.5 }), Err("keep")),
        (json!({ "keep": "3" }), Err("keep")),
        (json!({ "keep": 1, "olderThanDays": -1 }), Err("olderThanDays")),
        (json!({ "keep": 1, "olderThanDays": 36_501 }), Err("olderThanDays")),
        (json!({ "keep": 1, "automatic": "yes" }), Err("automatic")),
        (json!({ "keep": 1, "keeep": 1 }), Err("keeep")),
        (json!([]), Err("body")),
    ] {
        let read = RetentionSettings::parse(&body);
        let read = read.map(|found| (found.keep, found.older_than_days, found.automatic)).map_err(|error| {
            assert_eq!((error.status, error.code.as_ref()), (400, "InvalidParameter"), "{body}");
            error.target.unwrap()
        });
        assert_eq!(read, expected.map_err(str::to_owned), "{body}");
    }
}

/// Two processes run the policy, while somebody pins a version and somebody makes a disk of another: each version goes once, and
/// what somebody got hold of is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn runs_race_with_each_other_and_with_whoever_needs_a_version() {
    let world = published(9).await;
    let other = world.reopen().await;
    set(&world, 1, 0).await;
    let (ctx, id) = (world.ctx(), world.id(DEFINITION));
    let (pinned, used) = (world.id(&version("4.0.0")), format!("{}/versions/5.0.0", world.id(DEFINITION)));
    let disk = json!({ "location": "eastus", "properties": { "creationData":
        { "createOption": "FromImage", "galleryImageReference": { "id": used } } } });
    let (one, two, pin, made) = tokio::join!(
        world.control.retention_run(&ctx, &id, Ok(None)),
        other.control.retention_run(&ctx, &id, Ok(None)),
        other.control.set_version_pin(&ctx, &pinned, true),
        world.put("disks/used", disk),
    );
    let mut gone = [deleted(&one.unwrap()), deleted(&two.unwrap())].concat();
    gone.sort();
    let all = gone.len();
    gone.dedup();
    assert_eq!(gone.len(), all, "each once: {gone:?}");
    for (number, is_held) in [(4, pin.is_ok()), (5, made.is_ok())] {
        let name = format!("{number}.0.0");
        let is_there = world.get(&version(&name)).await.is_ok();
        assert_eq!((is_there, gone.contains(&name)), (is_held, !is_held), "{name}");
    }
    world.get(&version("9.0.0")).await.unwrap();
    assert!(gone.len() >= 6, "{gone:?}");
    other.control.shutdown().await;
    world.control.shutdown().await;
}
