//! Every example body of Azure's specification is accepted by its version's shape, and answered as it came.

use std::fs;
use std::path::{Path, PathBuf};

use galerie_arm::schema::{ActionBody, Shape};
use galerie_arm::{ApiVersion, ResourceType};
use serde_json::Value;

/// Names of body parameters, as the specification has them.
const PARAMETERS: &[(&str, ResourceType)] = &[
    ("gallery", ResourceType::Gallery),
    ("galleryImage", ResourceType::ImageDefinition),
    ("galleryImageVersion", ResourceType::ImageVersion),
    ("galleryApplication", ResourceType::Application),
    ("galleryApplicationVersion", ResourceType::ApplicationVersion),
    ("galleryInVMAccessControlProfile", ResourceType::AccessControlProfile),
    ("galleryInVMAccessControlProfileVersion", ResourceType::AccessControlProfileVersion),
    ("disk", ResourceType::Disk),
    ("snapshot", ResourceType::Snapshot),
    ("parameters", ResourceType::ManagedImage),
];

fn example_files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/examples");
    let folders = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let mut files: Vec<PathBuf> =
        folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path())).collect();
    files.sort();
    files
}

fn read(file: &Path) -> (Value, ApiVersion) {
    let example: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let folder = file.parent().unwrap().file_name().unwrap().to_str().unwrap();
    let version = folder.split_once('-').unwrap().1.parse().unwrap();
    (example, version)
}

/// Examples that contradict their own specification: (file, the value that no enumeration has).
const WRONG_EXAMPLES: &[(&str, &str)] = &[
    ("GalleryImageVersion_Create_WithAdditionalReplicaSets.json", "\"PreviumV2_LRS\""),
    ("Snapshot_GetIncrementalSnapshot.json", "\"0\""),
];

fn is_wrong(file: &Path, message: &str) -> bool {
    let name = file.file_name().unwrap().to_str().unwrap();
    WRONG_EXAMPLES.iter().any(|(wrong, member)| *wrong == name && message.contains(member))
}

#[test]
fn every_request_is_accepted_and_comes_back() {
    let (mut count, mut faults) = (0, Vec::new());
    for file in example_files() {
        let (example, version) = read(&file);
        for (parameter, resource_type) in PARAMETERS {
            let Some(body) = example["parameters"].get(parameter) else { continue };
            count += 1;
            let shape = Shape::of(*resource_type, version);
            match shape.accept(body.clone()) {
                Ok(document) => {
                    let shown = shape.project(document.clone());
                    compare("", body, &shown, &mut |path, sent, kept| {
                        // What was dropped must be dropped again; nothing may appear.
                        faults.push(format!("{}: {path}: sent {sent:?}, kept {kept:?}", file.display()));
                    });
                }
                Err(error) if is_wrong(&file, &error.message) => {}
                Err(error) => faults.push(format!("{}: {error}", file.display())),
            }
        }
        for (parameter, action) in [("grantAccessData", ActionBody::GrantAccess), ("sharingUpdate", ActionBody::Share)]
        {
            let Some(body) = example["parameters"].get(parameter) else { continue };
            count += 1;
            assert_eq!(Shape::of_action(action, version).accept(body.clone()).as_ref(), Ok(body), "{}", file.display());
        }
    }
    assert!(count > 80, "only {count} bodies were found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_response_is_shown_whole() {
    let (mut count, mut faults) = (0, Vec::new());
    for file in example_files() {
        let (example, version) = read(&file);
        for response in example["responses"].as_object().unwrap().values() {
            let entries: Vec<&Value> = match response["body"]["value"].as_array() {
                Some(page) => page.iter().collect(),
                None => vec![&response["body"]],
            };
            for body in entries {
                let Some(resource_type) = type_of(body) else { continue };
                count += 1;
                let shape = Shape::of(resource_type, version);
                compare("", body, &shape.project(body.clone()), &mut |path, sent, kept| {
                    faults.push(format!("{}: {path}: {sent:?} is shown as {kept:?}", file.display()));
                });
                // Read-modify-write: what is answered is accepted again, without what only the server writes.
                match shape.accept(body.clone()) {
                    Err(error) if !is_wrong(&file, &error.message) => {
                        faults.push(format!("{}: {error}", file.display()))
                    }
                    _ => {}
                }
            }
        }
    }
    assert!(count > 100, "only {count} bodies were found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn type_of(body: &Value) -> Option<ResourceType> {
    let id = body.get("id")?.as_str()?;
    let types: Vec<&str> = id.split("/providers/").last()?.split('/').collect();
    let mut full_type = types.first()?.to_string();
    for segment in types[1..].iter().step_by(2) {
        full_type.push('/');
        full_type.push_str(segment);
    }
    let found = ResourceType::parse(&full_type)?;
    // What is deleted softly, and what belongs to others, has no table.
    (!Shape::known_versions(found).is_empty()).then_some(found)
}

/// Reports every difference, apart from the spelling of enum values and of property names.
fn compare(path: &str, sent: &Value, kept: &Value, report: &mut impl FnMut(&str, Option<&Value>, Option<&Value>)) {
    match (sent, kept) {
        (Value::Object(sent), Value::Object(kept)) => {
            for (name, value) in sent {
                let same = kept.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
                match same {
                    Some((_, other)) => compare(&format!("{path}.{name}"), value, other, report),
                    None => report(&format!("{path}.{name}"), Some(value), None),
                }
            }
            for (name, value) in kept {
                if !sent.keys().any(|other| other.eq_ignore_ascii_case(name)) {
                    report(&format!("{path}.{name}"), None, Some(value));
                }
            }
        }
        (Value::Array(sent), Value::Array(kept)) if sent.len() == kept.len() => {
            for (index, (one, other)) in sent.iter().zip(kept).enumerate() {
                compare(&format!("{path}[{index}]"), one, other, report);
            }
        }
        (Value::String(sent), Value::String(kept)) if sent.eq_ignore_ascii_case(kept) => {}
        (sent, kept) if sent == kept => {}
        (sent, kept) => report(path, Some(sent), Some(kept)),
    }
}
