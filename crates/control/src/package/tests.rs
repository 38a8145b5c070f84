use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::{
    application,
    resource::{
        plan::{OS_LUN, Work},
        testing::{GALLERY, Given, location},
    },
    source::{SourceDisk, SourceFacts},
};

const LINK: &str = "https://store.example.com/packages/agent.zip";
const DISK: &str =
    "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/g/providers/Microsoft.Compute/disks/d";

fn body(source: Value) -> Value {
    json!({ "location": "eastus", "properties": { "publishingProfile": {
        "source": source,
        "manageActions": { "install": "i", "remove": "r" },
        "targetRegions": [{ "name": "westus" }, { "name": "East US" }] } } })
}

fn given(body: Value) -> Given {
    Given::new(&format!("{GALLERY}/applications/a/versions/1.0.0"), body)
}

fn planned(given: &Given, around: &Surroundings) -> Result<Plan, ArmError> {
    application::version::plan(given.write(), around)
}

fn disk(lun: i64) -> Source {
    let image = HeldImage { lun, manifest: format!("{:064x}", 7).parse().unwrap(), virtual_size_bytes: 5 };
    let disks = vec![SourceDisk { image, host_caching: None }];
    Source {
        id: DISK.to_owned(),
        unique_id: Some(Uuid::nil()),
        facts: SourceFacts::default(),
        disks,
        foreign: None,
        version: None,
    }
}

fn links(plan: &Plan) -> Vec<(i64, &str)> {
    let mut links = Vec::new();
    for effect in &plan.effects {
        if let Effect::AwaitPackages(named) = effect {
            links.extend(named.iter().map(|link| (link.lun, link.url.as_str())));
        }
    }
    links
}

fn regions(plan: &Plan) -> Vec<(&str, bool)> {
    let mut regions = Vec::new();
    for effect in &plan.effects {
        if let Effect::AddReplica { region, completed, .. } = effect {
            regions.push((region.as_str(), *completed));
        }
    }
    regions
}

#[test]
fn what_is_fetched_is_first_at_home_alone() {
    let signed = format!("{LINK}?sv=1&sig=secret");
    let source = json!({ "mediaLink": signed, "defaultConfigurationLink": "https://store.example.com/agent.conf" });
    let plan = planned(&given(body(source)), &Surroundings::default()).unwrap();
    assert_eq!((plan.state, &plan.work), (ProvisioningState::Creating, &Work::Replicate));
    assert_eq!(links(&plan), [(OS_LUN, signed.as_str()), (0, "https://store.example.com/agent.conf")]);
    assert_eq!(regions(&plan), [("eastus", false)]);
    let shown = &plan.document["properties"]["publishingProfile"];
    assert_eq!(shown["source"]["mediaLink"], LINK, "a signature is not kept");
    assert_eq!(shown["targetRegions"][0]["name"], "West US");
    assert_eq!((&shown["excludeFromLatest"], &shown["enableHealthCheck"]), (&json!(false), &json!(false)));
    assert!(!format!("{plan:?}").contains("secret"));
}

#[test]
fn a_disk_gives_its_bytes_at_once() {
    let around = Surroundings { sources: vec![disk(OS_LUN)], ..Surroundings::default() };
    let plan = planned(&given(body(json!({ "mediaLink": DISK }))), &around).unwrap();
    assert!(plan.effects.contains(&Effect::HoldImages(vec![disk(OS_LUN).disks[0].image])));
    assert_eq!(regions(&plan), [("eastus", true), ("westus", false)]);
    assert_eq!(plan.document["properties"]["publishingProfile"]["source"]["mediaLink"], DISK);
    let mut alone = body(json!({ "mediaLink": DISK }));
    alone["properties"]["publishingProfile"]["targetRegions"] = json!([]);
    let plan = planned(&given(alone), &around).unwrap();
    assert_eq!((plan.state, plan.work), (ProvisioningState::Succeeded, Work::Nothing));
}

#[test]
fn what_is_wrong_is_named() {
    let source = json!({ "mediaLink": LINK });
    let with = |path: &str, value: Value| {
        let mut body = body(source.clone());
        set(&mut body, &format!("properties.publishingProfile.{path}"), value);
        body
    };
    let long = "x".repeat(4097);
    for (body, expected) in [
        (with("source", json!({})), "mediaLink"),
        (
            with("source.mediaLink", json!("agent.zip")),
            "galleryApplicationVersion.properties.publishingProfile.source.mediaLink",
        ),
        (
            with("source.defaultConfigurationLink", json!("ftp://h/c")),
            "galleryApplicationVersion.properties.publishingProfile.source.defaultConfigurationLink",
        ),
        (with("manageActions", json!({ "install": "i" })), "remove"),
        (with("manageActions", json!({ "remove": "r" })), "install"),
        (
            with("manageActions.install", json!(long)),
            "galleryApplicationVersion.properties.publishingProfile.manageActions.install",
        ),
        (
            with("manageActions.update", json!(long)),
            "galleryApplicationVersion.properties.publishingProfile.manageActions.update",
        ),
        (
            with("settings.packageFileName", json!(long)),
            "galleryApplicationVersion.properties.publishingProfile.settings.packageFileName",
        ),
        (
            with("endOfLifeDate", json!("2001-01-01T00:00:00Z")),
            "galleryApplicationVersion.properties.publishingProfile.endOfLifeDate",
        ),
        (
            with("targetRegions", json!([{ "name": "westus" }])),
            "galleryApplicationVersion.properties.publishingProfile.targetRegions",
        ),
        (
            with("replicationMode", json!("Shallow")),
            "galleryApplicationVersion.properties.publishingProfile.targetRegions",
        ),
        (
            with("customActions", json!([{ "name": "a" }])),
            "galleryApplicationVersion.properties.publishingProfile.customActions.script",
        ),
    ] {
        let error = planned(&given(body.clone()), &Surroundings::default()).unwrap_err();
        assert_eq!((error.status, error.target.as_deref()), (400, Some(expected)), "{body}");
    }
    let id = format!("{GALLERY}/applications/a/versions/1.0");
    let error = planned(&Given::new(&id, body(source)), &Surroundings::default()).unwrap_err();
    assert_eq!(error.target.as_deref(), Some("galleryApplicationVersionName"));
    assert!(error.message.starts_with("The application version name '1.0' is invalid."), "{}", error.message);
}

/// Commands of 4096 characters are allowed, whatever their length in bytes.
#[test]
fn lengths_are_in_characters() {
    let mut body = body(json!({ "mediaLink": LINK }));
    set(&mut body, "properties.publishingProfile.manageActions.install", "\u{e4}".repeat(4096));
    assert!(planned(&given(body), &Surroundings::default()).is_ok());
}

fn complete(regions: &[&str]) -> Surroundings {
    let replicas = regions.iter().map(|name| (location(name), ReplicationState::Completed)).collect();
    Surroundings { replicas, ..Surroundings::default() }
}

#[test]
fn what_is_there_never_changes() {
    let signed = body(json!({ "mediaLink": format!("{LINK}?sig=a") }));
    let stored = planned(&given(signed), &Surroundings::default()).unwrap().document;
    let around = complete(&["eastus", "westus"]);
    for (sent, expected) in [
        (body(json!({ "mediaLink": LINK })), None),
        (body(json!({ "mediaLink": format!("{LINK}?sig=b") })), None),
        (body(json!({ "mediaLink": format!("{LINK}2") })), Some("source.mediaLink")),
        (body(json!({ "mediaLink": LINK.to_uppercase() })), Some("source.mediaLink")),
        (body(json!({ "mediaLink": format!(" {LINK}#part") })), None),
        (body(json!({ "mediaLink": DISK })), Some("source.mediaLink")),
        (body(json!({ "mediaLink": LINK, "defaultConfigurationLink": LINK })), Some("source.defaultConfigurationLink")),
    ] {
        let given = given(sent.clone()).over(stored.clone());
        let answer = planned(&given, &around);
        let refused = answer.as_ref().err().map(|error| (error.code.to_string(), error.target.clone().unwrap()));
        let expected = expected.map(|path| {
            let target = format!("galleryApplicationVersion.properties.publishingProfile.{path}");
            ("PropertyChangeNotAllowed".to_owned(), target)
        });
        assert_eq!(refused, expected, "{sent}");
        if let Ok(plan) = answer {
            let source = |document: &Value| document["properties"]["publishingProfile"]["source"].clone();
            assert_eq!(source(&plan.document), source(&stored));
            assert_eq!((links(&plan).len(), plan.state), (0, ProvisioningState::Succeeded));
        }
    }
}

#[test]
fn what_could_not_be_fetched_may_be_named_anew() {
    let stored = planned(&given(body(json!({ "mediaLink": LINK }))), &Surroundings::default()).unwrap().document;
    let around = Surroundings {
        replicas: vec![(location("eastus"), ReplicationState::Failed)],
        awaited: vec![OS_LUN],
        ..Surroundings::default()
    };
    let failed = |sent: Value| given(sent).over(stored.clone()).state(ProvisioningState::Failed);
    let signed = format!("{LINK}?sig=b");
    for (link, expected) in [
        (LINK, None),
        (signed.as_str(), Some(signed.as_str())),
        ("https://store.example.com/other.zip", Some("https://store.example.com/other.zip")),
    ] {
        let plan = planned(&failed(body(json!({ "mediaLink": link }))), &around).unwrap();
        assert_eq!(links(&plan).first().map(|(_, url)| *url), expected, "{link}");
        let retries = plan.effects.iter().filter(|effect| matches!(effect, Effect::KeepReplica { retry: true, .. }));
        assert_eq!((retries.count(), regions(&plan).len()), (1, 0), "{link}");
        assert_eq!((plan.state, plan.work), (ProvisioningState::Updating, Work::Replicate));
    }
    // While it is being fetched it is as fixed as when it is there.
    let fetching =
        given(body(json!({ "mediaLink": format!("{LINK}2") }))).over(stored.clone()).state(ProvisioningState::Creating);
    let around = Surroundings { replicas: vec![(location("eastus"), ReplicationState::Replicating)], ..around };
    assert_eq!(planned(&fetching, &around).unwrap_err().code, "PropertyChangeNotAllowed");
}
