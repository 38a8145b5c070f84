use proptest::prelude::*;
use serde_json::json;

use super::*;

const NEWER_THAN_ALL: ApiVersion = ApiVersion::stable(2099, 1, 1);

fn version(text: &str) -> ApiVersion {
    text.parse().expect("a version")
}

fn image_version(api_version: &str) -> Shape {
    Shape::of(ResourceType::ImageVersion, version(api_version))
}

/// Accepts a version's properties and gives them back as they are kept.
fn accepted(api_version: &str, properties: Value) -> Value {
    let body = json!({ "location": "eastus", "properties": properties });
    image_version(api_version).accept(body).expect("an acceptable body")["properties"].clone()
}

fn refused(shape: Shape, body: Value) -> (String, String) {
    let error = shape.accept(body).expect_err("a body to refuse");
    assert_eq!((error.status, error.code.as_ref()), (400, "BadRequest"));
    (error.message, error.target.expect("a target"))
}

#[test]
fn text_that_is_no_document_is_refused() {
    let shape = Shape::of(ResourceType::Gallery, NEWER_THAN_ALL);
    for stored in ["", "{", "[]", "null", "\"text\"", "{}{}"] {
        let parts = DocumentParts { head: &[], stored, states: &[], hidden: &[], etag: "e" };
        assert!(shape.project_text(&parts, &mut Vec::new()).is_err(), "{stored}");
    }
}

#[test]
fn spellings_become_the_specifications() {
    let kept = accepted(
        "2024-03-03",
        json!({ "PublishingProfile": { "TARGETREGIONS": [{ "Name": "East US", "storageAccountType": "standard_zrs" }] } }),
    );
    let expected = json!({ "publishingProfile": { "targetRegions": [{ "name": "East US", "storageAccountType": "Standard_ZRS" }] } });
    assert_eq!(kept, expected);
}

#[test]
fn absence_and_emptiness_are_told_apart() {
    let kept = accepted(
        "2024-03-03",
        json!({
            "storageProfile": {},
            "publishingProfile": {
                "targetRegions": [], "storageAccountType": "", "replicationMode": null, "endOfLifeDate": "",
                "targetExtendedLocations": [null, { "name": "" }]
            },
            "provisioningState": "Succeeded",
            "replicationStatus": { "aggregatedState": "nonsense" }
        }),
    );
    let expected = json!({
        "storageProfile": {},
        "publishingProfile": { "targetRegions": [], "endOfLifeDate": "", "targetExtendedLocations": [{ "name": "" }] }
    });
    assert_eq!(kept, expected);
}

#[test]
fn the_last_of_two_spellings_wins() {
    let body: Value =
        serde_json::from_str(r#"{"tags":{"a":"1"},"Tags":{"b":"2"},"LOCATION":"x","location":null}"#).unwrap();
    let kept = Shape::of(ResourceType::Gallery, version("2024-03-03")).accept(body).unwrap();
    assert_eq!(kept, json!({ "tags": { "b": "2" } }));
}

#[test]
fn undeclared_members_are_refused_as_compute_does() {
    let body = json!({ "location": "eastus", "properties": { "publishingProfile": { "replicationMode": "Full" } } });
    let (message, target) = refused(image_version("2019-12-01"), body.clone());
    assert_eq!(
        message,
        "Could not find member 'replicationMode' on object of type 'GalleryImageVersionPublishingProfile'. Path \
         'properties.publishingProfile.replicationMode'."
    );
    assert_eq!(target, "galleryImageVersion.properties.publishingProfile.replicationMode");
    assert!(image_version("2021-07-01").accept(body).is_ok());
    let (message, _) = refused(Shape::of(ResourceType::Gallery, version("2024-03-03")), json!({ "x\u{7}": 1 }));
    assert!(message.starts_with("Could not find member 'x\u{FFFD}' on object of type 'Gallery'."), "{message}");
}

#[test]
fn wrong_types_are_refused_with_their_path() {
    for (properties, text) in [
        (json!({ "storageProfile": "x" }), "Error converting value \"x\" to type 'GalleryImageVersionStorageProfile'."),
        (json!({ "storageProfile": [] }), "Cannot deserialize the current JSON array"),
        (json!({ "publishingProfile": { "targetRegions": {} } }), "Cannot deserialize the current JSON object"),
        (json!({ "publishingProfile": { "targetRegions": [3] } }), "Error converting value 3 to type 'TargetRegion'."),
        (json!({ "publishingProfile": { "replicaCount": "many" } }), "Could not convert string to integer: many."),
        (json!({ "publishingProfile": { "replicaCount": 1.5 } }), "Input string '1.5' is not a valid integer."),
        (
            json!({ "publishingProfile": { "replicaCount": 2_147_483_648_i64 } }),
            "JSON integer 2147483648 is too large or small",
        ),
        (
            json!({ "publishingProfile": { "replicaCount": u64::MAX } }),
            "JSON integer 18446744073709551615 is too large",
        ),
        (json!({ "publishingProfile": { "excludeFromLatest": "no" } }), "Could not convert string to boolean: no."),
        (json!({ "publishingProfile": { "excludeFromLatest": 1 } }), "Error converting value 1 to type 'Boolean'."),
        (json!({ "publishingProfile": { "endOfLifeDate": "soon" } }), "Could not convert string to DateTime: soon."),
        (json!({ "publishingProfile": { "storageAccountType": "Tape" } }), "Error converting value \"Tape\" to type"),
        (
            json!({ "publishingProfile": { "storageAccountType": {} } }),
            "Unexpected character encountered while parsing value: {.",
        ),
    ] {
        let (message, target) = refused(image_version("2024-03-03"), json!({ "properties": properties }));
        assert!(message.starts_with(text), "{message}");
        assert!(
            message.contains("Path 'properties.") && target.starts_with("galleryImageVersion.properties."),
            "{message}"
        );
    }
    for body in [json!([]), json!("x"), json!(null), json!(1)] {
        assert_eq!(image_version("2024-03-03").accept(body).unwrap_err().code, "InvalidRequestContent");
    }
}

#[test]
fn texts_without_end_and_numbers_below_zero_are_refused() {
    let long = "ä".repeat(accept::LONGEST_TEXT_CHARS);
    let kept = Shape::of(ResourceType::Gallery, version("2024-03-03")).accept(json!({ "location": long })).unwrap();
    assert_eq!(kept["location"], long);
    for (properties, text, name) in [
        (
            json!({ "publishingProfile": { "targetRegions": [{ "name": format!("{long}x") }] } }),
            "too long",
            "targetRegions[0].name",
        ),
        (
            json!({ "publishingProfile": { "storageAccountType": format!("{long}x") } }),
            "too long",
            "storageAccountType",
        ),
        (
            json!({ "publishingProfile": { "replicaCount": -1 } }),
            "The value -1 of parameter replicaCount",
            "replicaCount",
        ),
        (
            json!({ "publishingProfile": { "replicaCount": "-7" } }),
            "The value -7 of parameter replicaCount",
            "replicaCount",
        ),
    ] {
        let error = image_version("2024-03-03").accept(json!({ "properties": properties })).unwrap_err();
        assert_eq!((error.status, error.code.as_ref()), (400, "InvalidParameter"));
        assert!(error.message.contains(text), "{}", error.message);
        assert_eq!(error.target, Some(format!("galleryImageVersion.properties.publishingProfile.{name}")));
    }
}

#[test]
fn scalars_written_as_strings_are_read() {
    let kept =
        accepted("2024-03-03", json!({ "publishingProfile": { "replicaCount": "2", "excludeFromLatest": "True" } }));
    assert_eq!(kept, json!({ "publishingProfile": { "replicaCount": 2, "excludeFromLatest": true } }));
}

#[test]
fn a_version_newer_than_our_data_keeps_what_we_do_not_know() {
    let shape = Shape::of(ResourceType::ImageVersion, NEWER_THAN_ALL);
    let body = json!({
        "location": "eastus",
        "properties": { "publishingProfile": { "storageAccountType": "Quantum_LRS", "news": [{ "a": null }] } }
    });
    let document = shape.accept(body.clone()).unwrap();
    assert_eq!(document, body);
    assert_eq!(shape.project(document.clone()), body);
    let older = image_version("2026-03-03").project(document.clone());
    assert!(older.pointer("/properties/publishingProfile/news").is_none());
    // An older write keeps it; a newer one that leaves it out removes it.
    let incoming = json!({ "location": "eastus", "properties": { "publishingProfile": {} } });
    let kept = image_version("2021-10-01").merge_put(&document, incoming.clone());
    assert!(kept.pointer("/properties/publishingProfile/news").is_some());
    let removed = shape.merge_put(&document, incoming);
    assert!(removed.pointer("/properties/publishingProfile/news").is_none());
}

#[test]
fn an_older_write_keeps_what_it_cannot_express() {
    let stored = json!({
        "location": "eastus",
        "tags": { "a": "1" },
        "properties": {
            "publishingProfile": {
                "replicaCount": 3,
                "publishedDate": "2024-01-01T00:00:00Z",
                "replicationMode": "Full",
                "targetRegions": [
                    { "name": "East US", "regionalReplicaCount": 2, "excludeFromLatest": true },
                    { "name": "West US", "excludeFromLatest": true }
                ]
            },
            "safetyProfile": { "blockDeletionBeforeEndOfLife": true },
            "provisioningState": "Succeeded"
        }
    });
    let incoming = json!({ "location": "eastus", "properties": { "publishingProfile": { "targetRegions": [{ "name": "eastus" }] } } });
    let merged = image_version("2019-12-01").merge_put(&stored, incoming);
    let expected = json!({
        "location": "eastus",
        "properties": {
            "publishingProfile": {
                "targetRegions": [{ "name": "eastus", "excludeFromLatest": true }],
                "publishedDate": "2024-01-01T00:00:00Z",
                "replicationMode": "Full"
            },
            "safetyProfile": { "blockDeletionBeforeEndOfLife": true },
            "provisioningState": "Succeeded"
        }
    });
    assert_eq!(merged, expected);
}

#[test]
fn what_a_version_expresses_and_omits_is_removed_but_not_what_is_below() {
    // 2022-08-03 has safetyProfile, but not blockDeletionBeforeEndOfLife.
    let stored = json!({ "properties": { "safetyProfile": {
        "allowDeletionOfReplicatedLocations": true, "reportedForPolicyViolation": false, "blockDeletionBeforeEndOfLife": true
    } } });
    let merged = image_version("2022-08-03").merge_put(&stored, json!({ "properties": {} }));
    assert_eq!(merged, json!({ "properties": { "safetyProfile": { "blockDeletionBeforeEndOfLife": true } } }));
    let merged = image_version("2024-03-03").merge_put(&stored, json!({ "properties": {} }));
    assert_eq!(merged, json!({ "properties": {} }));
}

#[test]
fn patch_replaces_tags_and_lists_and_merges_objects() {
    let shape = image_version("2024-03-03");
    let stored = json!({
        "location": "eastus", "tags": { "a": "1", "b": "2" },
        "properties": { "publishingProfile": { "replicaCount": 1, "targetRegions": [{ "name": "x" }, { "name": "y" }] } }
    });
    let incoming =
        json!({ "tags": { "c": "3" }, "properties": { "publishingProfile": { "targetRegions": [{ "name": "z" }] } } });
    let expected = json!({
        "location": "eastus", "tags": { "c": "3" },
        "properties": { "publishingProfile": { "replicaCount": 1, "targetRegions": [{ "name": "z" }] } }
    });
    assert_eq!(shape.merge_patch(&stored, incoming), expected);
    assert_eq!(shape.merge_patch(&stored, json!({})), stored);
}

#[test]
fn what_is_required_is_named() {
    let shape = Shape::of(ResourceType::ImageDefinition, version("2024-03-03"));
    let check = |document: Value| shape.check_required(&document).map_err(|error| (error.message, error.target));
    let mut document = json!({ "location": "eastus", "properties": {
        "osType": "Linux", "osState": "Generalized", "identifier": { "publisher": "p", "offer": "o", "sku": "s" }
    } });
    assert_eq!(check(document.clone()), Ok(()));
    document["properties"].as_object_mut().unwrap().shift_remove("osState");
    let expected = "Required parameter 'osState' is missing (null).".to_owned();
    assert_eq!(check(document), Err((expected, Some("galleryImage.properties.osState".to_owned()))));
    let (message, _) = check(json!({ "properties": {} })).unwrap_err();
    assert!(message.contains("'location'") || message.contains("'osType'"), "{message}");
}

#[test]
fn gaps_in_our_data_read_forward_and_write_backward() {
    let shape = |text: &str| Shape::of(ResourceType::Disk, version(text));
    let path = ["properties", "availabilityPolicy"];
    assert!(!shape("2020-01-01").declares(&path) && !shape("2024-03-02").declares(&path));
    assert!(
        shape("2025-01-02").declares(&path)
            && shape("2026-03-02").declares(&path)
            && shape("2030-01-01").declares(&path)
    );
    let stored = json!({ "properties": { "availabilityPolicy": { "actionOnDiskDelay": "None" }, "tier": "P4" } });
    let merged = shape("2025-01-02").merge_put(&stored, json!({ "properties": {} }));
    assert_eq!(merged, json!({ "properties": { "availabilityPolicy": { "actionOnDiskDelay": "None" } } }));
    let merged = shape("2026-03-02").merge_put(&stored, json!({ "properties": {} }));
    assert_eq!(merged, json!({ "properties": {} }));
}

#[test]
fn every_type_of_ours_has_a_table() {
    let without = [ResourceType::Subscription, ResourceType::SoftDeletedVersion, ResourceType::VirtualMachine];
    for resource_type in ResourceType::ALL {
        assert_eq!(
            Shape::find(*resource_type, NEWER_THAN_ALL).is_none(),
            without.contains(resource_type),
            "{resource_type}"
        );
    }
    let grant = Shape::of_action(ActionBody::GrantAccess, version("2019-07-01"));
    let body = grant.accept(json!({ "access": "read", "durationInSeconds": 10 })).unwrap();
    assert_eq!(body, json!({ "access": "Read", "durationInSeconds": 10 }));
    let share = Shape::of_action(ActionBody::Share, version("2023-07-03"));
    let body =
        share.accept(json!({ "operationType": "add", "groups": [{ "type": "AADTENANTS", "ids": ["x"] }] })).unwrap();
    assert_eq!(body, json!({ "operationType": "Add", "groups": [{ "type": "AADTenants", "ids": ["x"] }] }));
    assert_eq!(Shape::known_versions(ResourceType::Gallery).len(), 15);
}

#[test]
fn shapes_grow_with_the_versions() {
    let has = |api_version: &str, path: &[&str]| image_version(api_version).declares(path);
    for (path, first) in [
        (&["properties", "storageProfile", "source", "virtualMachineId"][..], "2023-07-03"),
        (&["properties", "publishingProfile", "targetRegions", "excludeFromLatest"], "2022-03-03"),
        (&["properties", "publishingProfile", "replicationMode"], "2021-07-01"),
        (&["properties", "restore"], "2024-03-03"),
    ] {
        let versions = Shape::known_versions(ResourceType::ImageVersion);
        for each in versions {
            assert_eq!(has(&each.to_string(), path), *each >= version(first), "{path:?} in {each}");
        }
    }
    assert!(has("2019-03-01", &["properties", "publishingProfile", "source", "managedImage", "id"]));
    assert!(!has("2019-07-01", &["properties", "publishingProfile", "source"]));
}

/// Any JSON, with names that often are real ones.
fn any_json() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        Just("properties".to_owned()),
        Just("publishingProfile".to_owned()),
        Just("storageProfile".to_owned()),
        Just("targetRegions".to_owned()),
        Just("source".to_owned()),
        Just("managedImage".to_owned()),
        Just("id".to_owned()),
        Just("name".to_owned()),
        Just("tags".to_owned()),
        "[a-z]{1,3}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-zA-Z0-9 ]{0,5}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_version() -> impl Strategy<Value = ApiVersion> {
    (2015_u16..2030, 1_u8..=12, 1_u8..=28).prop_map(|(year, month, day)| ApiVersion::stable(year, month, day))
}

/// A body that a shape accepts, made from its table. `seed` chooses.
fn body_of(kind: &Kind, view: View, seed: &mut u64) -> Value {
    let mut choose = |among: u64| {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) % among
    };
    match kind {
        Kind::Object { properties, .. } => {
            let writable = properties
                .iter()
                .filter(|(_, property)| property.is_in(view.index) && !property.read_only.contains(view.index));
            let chosen: Vec<_> = writable.filter(|_| choose(3) > 0).collect();
            chosen.into_iter().map(|(name, property)| (name.clone(), body_of(&property.kind, view, seed))).collect()
        }
        Kind::Map(items) => (0..choose(3)).map(|n| n.to_string()).map(|n| (n, body_of(items, view, seed))).collect(),
        Kind::List(items) => (0..choose(3)).map(|_| body_of(items, view, seed)).collect(),
        Kind::Enum(values) => values[usize::try_from(choose(values.len() as u64)).expect("small")].as_str().into(),
        Kind::String => format!("text {}", choose(3)).into(),
        Kind::Date => format!("205{}-07-01", choose(10)).into(),
        Kind::Bool => (choose(2) == 0).into(),
        Kind::Int32 | Kind::Int64 => choose(4).into(),
        Kind::Number => 0.5.into(),
        Kind::Any => json!([{}]),
    }
}

/// Without empty objects: a response does not tell one that was written from one that holds only what it cannot show.
fn without_empty_objects(value: Value) -> Value {
    let is_kept = |value: &Value| value.as_object().is_none_or(|members| !members.is_empty());
    match value {
        Value::Object(members) => {
            let members = members.into_iter().map(|(name, member)| (name, without_empty_objects(member)));
            Value::Object(members.filter(|(_, member)| is_kept(member)).collect())
        }
        Value::Array(entries) => entries.into_iter().map(without_empty_objects).collect(),
        scalar => scalar,
    }
}

/// Numbers as whole ones: a fraction may be read as its neighbour.
fn without_fractions(value: Value) -> Value {
    match value {
        Value::Object(members) => members.into_iter().map(|(name, it)| (name, without_fractions(it))).collect(),
        Value::Array(entries) => entries.into_iter().map(without_fractions).collect(),
        Value::Number(number) if number.is_f64() => 1.into(),
        scalar => scalar,
    }
}

/// The document with what no shape would accept, at its root and in its properties.
fn with_members(document: &mut Value, more: Value) -> Value {
    document["properties"]["securityProfile"] = more.clone();
    if let (Some(members), Value::Object(more)) = (document.as_object_mut(), more) {
        members.extend(more);
    }
    document.clone()
}

const TYPES_WITH_TABLES: [ResourceType; 6] = [
    ResourceType::Gallery,
    ResourceType::ImageDefinition,
    ResourceType::ImageVersion,
    ResourceType::ManagedImage,
    ResourceType::Disk,
    ResourceType::Snapshot,
];

proptest! {
    #[test]
    fn what_the_table_declares_is_accepted_kept_and_shown(mut seed: u64, version in any_version(), at in 0_usize..6) {
        let shape = Shape::of(TYPES_WITH_TABLES[at], version);
        let body = body_of(shape.root, shape.view, &mut seed);
        let document = shape.accept(body.clone()).unwrap();
        prop_assert_eq!(without_empty_objects(shape.project(document.clone())), without_empty_objects(body));
    }

    #[test]
    fn a_write_is_read_back_and_leaves_the_rest_alone(mut seed: u64, version in any_version(), at in 0_usize..6) {
        // The source of 2018 is kept in a place that its versions cannot write; its own test covers it.
        prop_assume!(version >= ApiVersion::stable(2019, 7, 1));
        let newest = Shape::of(TYPES_WITH_TABLES[at], ApiVersion::stable(2026, 4, 1));
        let stored = newest.accept(body_of(newest.root, newest.view, &mut seed)).unwrap();
        let shape = Shape::of(TYPES_WITH_TABLES[at], version);
        // In a gap of the data a version shows more than it replaces.
        prop_assume!(shape.view.index == shape.view.writes);
        let incoming = shape.accept(body_of(shape.root, shape.view, &mut seed)).unwrap();
        let merged = shape.merge_put(&stored, incoming.clone());
        prop_assert_eq!(without_empty_objects(shape.project(merged.clone())), without_empty_objects(incoming.clone()));
        // The same write again changes nothing.
        prop_assert_eq!(shape.merge_put(&merged, incoming), merged.clone());
        // What the version cannot say at all is still there.
        let hidden = ["restore", "allowUpdateImage", "softDeletePolicy", "availabilityPolicy"];
        for name in hidden.into_iter().filter(|name| !shape.declares(&["properties", name])) {
            prop_assert_eq!(merged["properties"].get(name), stored["properties"].get(name));
        }
    }

    #[test]
    fn what_is_accepted_is_accepted_again_unchanged(body in any_json(), version in any_version()) {
        for resource_type in [ResourceType::ImageVersion, ResourceType::Disk, ResourceType::ManagedImage] {
            let shape = Shape::of(resource_type, version);
            if let Ok(document) = shape.accept(body.clone()) {
                let shown = shape.project(document.clone());
                prop_assert_eq!(shape.accept(shown), Ok(document.clone()));
                prop_assert_eq!(shape.merge_put(&document, document.clone()), document.clone());
                prop_assert_eq!(shape.merge_patch(&document, document.clone()), document);
            }
        }
    }

    #[test]
    fn any_documents_merge_and_show(stored in any_json(), incoming in any_json(), version in any_version()) {
        let shape = Shape::of(ResourceType::ImageVersion, version);
        let merged = shape.merge_put(&stored, incoming.clone());
        // A write of the newest version says everything that is known.
        let _ = shape.project(merged.clone());
        let _ = shape.merge_patch(&stored, incoming);
        let _ = shape.check_required(&merged);
    }

    #[test]
    fn text_is_shown_as_its_document_is(
        mut seed: u64, other in any_json(), version in any_version(), at in 0_usize..6, hides: bool, has_state: bool,
    ) {
        let newest = Shape::of(TYPES_WITH_TABLES[at], NEWER_THAN_ALL);
        let shape = Shape::of(TYPES_WITH_TABLES[at], version);
        let mut stored = newest.accept(body_of(newest.root, newest.view, &mut seed)).unwrap();
        for document in [stored.clone(), with_members(&mut stored, without_fractions(other))] {
            let text = document.to_string();
            let parts = DocumentParts {
                head: &[("name", "a \"name\""), ("id", "/an/id"), ("unheard", "of")],
                stored: &text,
                states: if has_state { &[("provisioningState", "Updating"), ("diskState", "Reserved")] } else { &[] },
                hidden: if hides { &["properties", "securityProfile", "uefiSettings"] } else { &[] },
                etag: "\"e\"",
            };
            let mut shown = b"before".to_vec();
            shape.project_text(&parts, &mut shown).unwrap();
            let shown: Value = serde_json::from_slice(shown.strip_prefix(b"before").unwrap()).unwrap();
            prop_assert_eq!(shown, shape.project(parts.to_document().unwrap()));
        }
    }

    #[test]
    fn any_version_maps_to_the_newest_known_not_later(version in any_version()) {
        let known = Shape::known_versions(ResourceType::Gallery);
        let mapped = Shape::of(ResourceType::Gallery, version).view.index;
        let expected = known.iter().rposition(|each| *each <= version).unwrap_or(0);
        prop_assert_eq!(mapped, expected);
        prop_assert_eq!(Shape::of(ResourceType::Gallery, version).view.newer, version > known[known.len() - 1]);
    }
}

#[test]
fn several_values_at_once_are_one_value() {
    let shape = Shape::of(ResourceType::Gallery, "2024-03-03".parse().unwrap());
    for text in ["SystemAssigned, UserAssigned", "SystemAssigned,UserAssigned", "userassigned ,systemassigned"] {
        let read = shape.accept(json!({ "identity": { "type": text } })).unwrap();
        assert_eq!(read["identity"]["type"], "SystemAssigned, UserAssigned", "{text}");
    }
    for text in ["SystemAssigned,", "SystemAssigned, None", "SystemAssigned UserAssigned", ","] {
        assert!(shape.accept(json!({ "identity": { "type": text } })).is_err(), "{text}");
    }
}
