//! Bodies that somebody made to hurt: each gets an answer, in time that grows with its size and no faster.

use galerie_arm::body::LARGEST_BODY_BYTES;
use galerie_arm::schema::Shape;
use galerie_arm::{ApiVersion, Document, ResourceType, image_version::ImageVersion, parse_body};
use serde_json::{Value, json};

fn shape(version: &str) -> Shape {
    Shape::of(ResourceType::ImageVersion, version.parse().unwrap())
}

#[test]
fn nesting_below_a_kept_member_is_bounded() {
    let newest = Shape::of(ResourceType::ImageVersion, ApiVersion::stable(2099, 1, 1));
    let deep = format!("{{\"properties\":{{\"news\":{}1{}}}}}", "[".repeat(60), "]".repeat(60));
    let body = parse_body(deep.as_bytes(), LARGEST_BODY_BYTES).unwrap();
    let document = newest.accept(body.clone()).unwrap();
    assert_eq!(newest.merge_put(&document, document.clone()), body);
}

#[test]
fn a_list_as_long_as_a_body_can_hold_is_merged() {
    let regions: Vec<Value> = (0..24_000).map(|n| json!({ "name": format!("r{n}") })).collect();
    let body = json!({ "location": "x", "properties": { "publishingProfile": { "targetRegions": regions } } });
    let text = serde_json::to_vec(&body).unwrap();
    assert!(text.len() < LARGEST_BODY_BYTES);
    let document = shape("2024-03-03").accept(parse_body(&text, LARGEST_BODY_BYTES).unwrap()).unwrap();
    let merged = shape("2024-03-03").merge_put(&document, document.clone());
    assert_eq!(merged, document);
}

#[test]
fn many_data_disks_and_spellings_are_answered() {
    let disk = json!({ "lun": 1, "source": { "id": "/subscriptions/x" } });
    let disks = Value::from(vec![disk; 50_000]);
    let os = json!({ "source": { "uri": "https://h/c/b.vhd" } });
    let body = json!({ "properties": { "storageProfile": { "osDiskImage": os, "dataDiskImages": disks } } });
    let document = shape("2024-03-03").accept(body).unwrap();
    assert_eq!(ImageVersion::read(&document).unwrap().source().unwrap_err().status, 400);

    let mut members: Vec<String> = (0..40_000).map(|n| format!("\"news{n}\":{n}")).collect();
    members.extend((0..256).map(|n: u32| {
        let spelled: String = "location"
            .chars()
            .enumerate()
            .map(|(at, c)| if n >> at & 1 == 1 { c.to_ascii_uppercase() } else { c })
            .collect();
        format!("\"{spelled}\":{}", if n.is_multiple_of(2) { "null" } else { "\"x\"" })
    }));
    let body = parse_body(format!("{{{}}}", members.join(",")).as_bytes(), LARGEST_BODY_BYTES).unwrap();
    let newest = Shape::of(ResourceType::ImageVersion, ApiVersion::stable(2099, 1, 1));
    assert_eq!(newest.accept(body.clone()).unwrap().as_object().unwrap().len(), 40_001);
    assert_eq!(shape("2024-03-03").accept(body).unwrap_err().code, "BadRequest");
}
