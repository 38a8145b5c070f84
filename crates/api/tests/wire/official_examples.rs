//! Azure's own examples, replayed: each is asked as a request, and answered with a status of the example's and with
//! every member that the example's answer has.
//!
//! `official_examples/galleries.rs` and `disks_and_images.rs` say what each asks, what must be there before, and what we do not
//! answer, with the reason. Names, groups and subscriptions are mapped; sources are made once. The examples are those of `crates/arm/tests/examples`.

mod disks_and_images;
mod galleries;
mod table;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use axum::{
    body::Body,
    http::{Method, Request},
};
use galerie_testkit::{Answer, Gallery, GalleryOptions, SecondTenant};
use serde_json::{Value, json};

use self::table::{Row, Tables};

/// Regions that the examples name.
const REGIONS: [&str; 3] = ["westus", "eastus", "southcentralus"];
const SOURCES: &str = "{s}/resourceGroups/sources/providers/Microsoft.Compute";

struct Replay {
    gallery: Gallery,
    /// Who sees what is shared.
    consumer: SecondTenant,
    /// `galleries-2024-03-03`.
    folder: &'static str,
    tables: Tables,
    /// What stands for each source that the examples name.
    sources: BTreeMap<String, String>,
    faults: Vec<String>,
    /// The reasons that were needed; one that is not needed any more must go.
    used: BTreeSet<&'static str>,
}

#[tokio::test]
async fn examples_of_galleries_in_2023_07_03() {
    let _ = replay("galleries-2023-07-03", galleries::TABLES, 59).await;
}

#[tokio::test]
async fn examples_of_galleries_in_2024_03_03() {
    let used = replay("galleries-2024-03-03", galleries::TABLES, 77).await;
    all_are_needed(galleries::TABLES, &used);
}

#[tokio::test]
async fn examples_of_disks() {
    let used = replay("disks-2024-03-02", disks_and_images::DISKS, 38).await;
    all_are_needed(disks_and_images::DISKS, &used);
}

#[tokio::test]
async fn examples_of_snapshots() {
    let used = replay("snapshots-2024-03-02", disks_and_images::SNAPSHOTS, 11).await;
    all_are_needed(disks_and_images::SNAPSHOTS, &used);
}

#[tokio::test]
async fn examples_of_managed_images() {
    let used = replay("images-2024-11-01", disks_and_images::IMAGES, 12).await;
    all_are_needed(disks_and_images::IMAGES, &used);
}

/// Replays a folder of examples; which of the tables' reasons were needed.
async fn replay(folder: &'static str, tables: Tables, count: usize) -> BTreeSet<&'static str> {
    let options = GalleryOptions { regions: REGIONS.map(str::to_owned).to_vec(), ..GalleryOptions::default() };
    let gallery = Gallery::start_with(options).await;
    let consumer = gallery.second_tenant().await;
    let (sources, used) = (BTreeMap::new(), BTreeSet::new());
    let mut replay = Replay { gallery, consumer, folder, tables, sources, faults: Vec::new(), used };
    replay.make_sources().await;
    let files = files_of(folder);
    assert_eq!(files.len(), count);
    for (index, file) in files.iter().enumerate() {
        match replay.tables.not_served.iter().find(|(prefix, _)| file.starts_with(prefix)) {
            Some((prefix, _)) => _ = replay.used.insert(prefix),
            None => replay.one(file, index).await,
        }
    }
    assert!(replay.faults.is_empty(), "{}", replay.faults.join("\n"));
    replay.used
}

#[track_caller]
fn all_are_needed(tables: Tables, used: &BTreeSet<&'static str>) {
    let reasons = tables.not_served.iter().map(|row| row.0).chain(tables.refused.iter().map(|row| row.0));
    let reasons = reasons.chain(tables.absent_members.iter().map(|row| row.1));
    let idle: Vec<_> = reasons.filter(|key| !used.contains(key)).collect();
    assert!(idle.is_empty(), "reasons that nothing needs any more: {idle:?}");
}

fn path_of(folder: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../arm/tests/examples").join(folder)
}

fn files_of(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(path_of(folder)).expect("examples");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
    let mut names: Vec<String> = names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect();
    names.sort();
    names
}

impl Replay {
    fn example(&self, file: &str) -> Value {
        let text = std::fs::read(path_of(self.folder).join(format!("{file}.json"))).expect("an example");
        serde_json::from_slice(&text).expect("JSON")
    }

    fn row_of(&self, file: &str) -> &'static Row {
        let row = self.tables.rows.iter().find(|row| row.file == file);
        row.unwrap_or_else(|| panic!("no row for the example {file}"))
    }

    /// Disks, snapshots, an image and a version for the examples to be made from, all in West US.
    async fn make_sources(&mut self) {
        self.gallery.make_group("sources", "westus").await;
        let name = |kind: &str, name: &str| format!("{SOURCES}/{kind}/{name}");
        for disk in ["os", "data"] {
            let body = json!({ "location": "westus", "properties": { "osType": "Windows", "hyperVGeneration": "V1",
                "creationData": { "createOption": "Empty" }, "diskSizeGB": 20 } });
            self.make(&name("disks", disk), "2024-03-02", body).await;
        }
        let disk = |disk: &str| self.gallery.path(&name("disks", disk));
        let (os, data) = (disk("os"), disk("data"));
        let copy = json!({ "location": "westus", "properties": { "creationData": { "createOption": "Copy", "sourceResourceId": os } } });
        self.make(&name("snapshots", "os"), "2024-03-02", copy.clone()).await;
        self.make(&name("snapshots", "data"), "2024-03-02", copy).await;
        let image = json!({ "location": "westus", "properties": { "hyperVGeneration": "V1", "storageProfile": {
            "osDisk": { "osType": "Windows", "osState": "Generalized", "managedDisk": { "id": os } },
            "dataDisks": [{ "lun": 1, "managedDisk": { "id": data } }] } } });
        self.make(&name("images", "image"), "2024-11-01", image).await;
        let image = self.gallery.path(&name("images", "image"));
        let community = json!({ "permissions": "Community", "communityGalleryInfo": { "publicNamePrefix": "sources",
            "publisherContact": "a@example.com", "publisherUri": "https://example.com", "eula": "e" } });
        self.make(
            &name("galleries", "sources"),
            "2024-03-03",
            json!({ "location": "westus", "properties": { "sharingProfile": community } }),
        )
        .await;
        let definition = json!({ "location": "westus", "properties": { "osType": "Windows", "osState": "Generalized", "hyperVGeneration": "V1",
            "identifier": { "publisher": "p", "offer": "o", "sku": "s" } } });
        self.make(&name("galleries", "sources/images/i"), "2024-03-03", definition).await;
        let version =
            json!({ "location": "westus", "properties": { "storageProfile": { "source": { "id": image } } } });
        self.make(&name("galleries", "sources/images/i/versions/1.0.0"), "2024-03-03", version).await;
        let share = format!("{SOURCES}/galleries/sources/share?api-version=2024-03-03");
        self.gallery
            .succeeded(&self.gallery.post(&share, Some(json!({ "operationType": "EnableCommunity" }))).await)
            .await;
        let shown =
            self.gallery.get(&format!("{SOURCES}/galleries/sources?api-version=2024-03-03")).await.expect(200).json();
        let public =
            shown["properties"]["sharingProfile"]["communityGalleryInfo"]["publicNames"][0].as_str().expect("a name");
        let compute = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroup}/providers/Microsoft.Compute";
        let ours = |path: &str| self.gallery.path(&format!("{SOURCES}/{path}"));
        self.sources = [
            (format!("{compute}/images/{{imageName}}"), image),
            (format!("{compute}/snapshots/{{osSnapshotName}}"), ours("snapshots/os")),
            (format!("{compute}/disks/{{dataDiskName}}"), data),
            (format!("{compute}/virtualMachines/{{vmName}}"), ours("virtualMachines/vm")),
            // Nothing is fetched here; a package is the bytes of a disk, too.
            (
                "https://mystorageaccount.blob.core.windows.net/mycontainer/package.zip?{sasKey}".to_owned(),
                ours("disks/data"),
            ),
            (
                format!("{compute}/galleries/{{galleryName}}/images/{{imageDefinitionName}}/versions/{{versionName}}"),
                ours("galleries/sources/images/i/versions/1.0.0"),
            ),
            (
                "/Subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/Providers/Microsoft.Compute/Galleries/{galleryName}/Images/{imageName}/Versions/1.0.0".to_owned(),
                ours("galleries/sources/images/i/versions/1.0.0"),
            ),
            (
                "/CommunityGalleries/{communityGalleryPublicGalleryName}/Images/{imageName}/Versions/1.0.0".to_owned(),
                format!("/CommunityGalleries/{public}/Images/i/Versions/1.0.0"),
            ),
            (
                "/communityGalleries/{communityGalleryName}/images/{communityGalleryImageName}".to_owned(),
                format!("/CommunityGalleries/{public}/Images/i"),
            ),
        ]
        .into();
    }

    async fn make(&self, path: &str, version: &str, body: Value) {
        let accepted = self.gallery.put(&format!("{path}?api-version={version}"), body).await;
        self.gallery.succeeded(&accepted).await;
    }

    /// Replays an example in a group of its own, after what it needs.
    async fn one(&mut self, file: &str, index: usize) {
        let (group, gallery) = (format!("examples-{index}"), format!("myGallery{index}"));
        let mut place = Place { group, gallery, parameters: Value::Null };
        place.parameters = self.mapped(self.example(file)["parameters"].clone(), &place);
        self.gallery.make_group(&place.group, "westus").await;
        let row = self.row_of(file);
        for step in row.given {
            let answer = self.ask(step, &place).await;
            assert!(answer.status < 300, "{file}: {step}: {answer}");
            if answer.header("azure-asyncoperation").is_some() {
                self.gallery.succeeded(&answer).await;
            }
        }
        let answer = self.ask(file, &place).await;
        if let Some((_, status, code, _)) = self.tables.refused.iter().find(|(refused, ..)| *refused == file) {
            self.used.insert(row.file);
            if answer.status != *status || answer.code() != *code {
                self.faults.push(format!("{file}: not {status} {code}: {answer}"));
            }
            return;
        }
        self.compare(file, &answer, &place).await;
        if answer.status < 300 && answer.header("azure-asyncoperation").is_some() {
            let status = self.gallery.status_of(&answer).await;
            if status["status"] != "Succeeded" {
                self.faults.push(format!("{file}: {status}"));
            }
        }
    }

    /// Asks what an example asks. `file`, or `file pointer=value ...` for one whose body says something else there.
    async fn ask(&self, step: &str, place: &Place) -> Answer {
        let mut words = step.split(' ');
        let file = words.next().unwrap_or_default();
        let row = self.row_of(file);
        let parameters = self.mapped(self.example(file)["parameters"].clone(), place);
        let text = |name: &str| {
            let is_one = ["diskName", "snapshotName", "imageName"].contains(&name);
            let parameters = if is_one { &place.parameters } else { &parameters };
            parameters[name].as_str().unwrap_or_default().to_owned()
        };
        let mut path = row.path.replace("{rg}", &place.group);
        for name in [
            "galleryName",
            "galleryImageName",
            "galleryImageVersionName",
            "galleryApplicationName",
            "galleryApplicationVersionName",
            "inVMAccessControlProfileName",
            "inVMAccessControlProfileVersionName",
            "artifactType",
            "artifactName",
            "diskName",
            "snapshotName",
            "imageName",
        ] {
            path = path.replace(&format!("{{{name}}}"), &text(name));
        }
        // What consumers see has the names that were made, not the example's.
        let owner = format!("{}-{}", self.gallery.subscription, place.gallery.to_uppercase());
        path = path.replace("{galleryUniqueName}", &owner);
        if path.contains("{publicGalleryName}") {
            path = path.replace("{publicGalleryName}", &self.public_name(place).await);
        }
        path = format!("{path}?api-version={}", self.folder.split_once('-').expect("a version").1);
        for option in ["$expand", "$select"] {
            if let Some(value) = parameters.get(option).and_then(Value::as_str) {
                path = format!("{path}&{option}={value}");
            }
        }
        let mut body = parameters.get(row.body).cloned();
        for change in words {
            let (pointer, value) = change.split_once('=').expect("pointer=value");
            let (above, name) = pointer.rsplit_once('/').expect("a pointer");
            let value = value.replace("{consumer}", &self.consumer.tenant.to_string());
            let value = value.replace("{consumerSubscription}", &self.consumer.subscription.to_string());
            let place = body.as_mut().and_then(|body| body.pointer_mut(above)).expect("a place");
            place[name] = serde_json::from_str(&value).unwrap_or_else(|_| json!(value));
        }
        let method: Method = row.method.parse().expect("a method");
        if row.is_asked_by_consumer() {
            return self.ask_as_consumer(method, &path).await;
        }
        self.gallery.call(method, &path, body).await
    }

    async fn ask_as_consumer(&self, method: Method, path: &str) -> Answer {
        let path = path.replace("{s}", &format!("/subscriptions/{}", self.consumer.subscription));
        let token = format!("Bearer {}", self.consumer.token);
        let request = Request::builder().method(method).uri(path).header("authorization", token);
        self.gallery.send(request.body(Body::empty()).expect("a request")).await
    }

    async fn public_name(&self, place: &Place) -> String {
        let path =
            format!("{{s}}/resourceGroups/{}/providers/Microsoft.Compute/galleries/{}", place.group, place.gallery);
        let shown = self.gallery.get(&format!("{path}?api-version=2024-03-03")).await.expect(200).json();
        let names = &shown["properties"]["sharingProfile"]["communityGalleryInfo"]["publicNames"];
        names[0].as_str().expect("a public name").to_owned()
    }

    fn mapped(&self, value: Value, place: &Place) -> Value {
        match value {
            Value::Object(members) => members
                .into_iter()
                .map(|(name, value)| (self.text(&name, place), self.mapped(value, place)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            Value::Array(entries) => entries.into_iter().map(|entry| self.mapped(entry, place)).collect(),
            Value::String(text) => self.text(&text, place).into(),
            other => other,
        }
    }

    fn text(&self, text: &str, place: &Place) -> String {
        if let Some(source) = self.sources.get(text) {
            return source.clone();
        }
        // Examples of disks and images have many names for what they are made from.
        for kind in ["disks", "snapshots"] {
            if text.starts_with("subscriptions/") && text.contains(&format!("/Microsoft.Compute/{kind}/")) {
                let which = if text.ends_with('2') { "data" } else { "os" };
                return self.gallery.path(&format!("{SOURCES}/{kind}/{which}"));
            }
        }
        let subscription = self.gallery.subscription.to_string();
        let text = text.replace("{subscription-id}", &subscription).replace("{subscriptionId}", &subscription);
        text.replace("myGalleryName", &place.gallery).replace("myResourceGroup", &place.group)
    }

    /// Holds an answer against the example's.
    async fn compare(&mut self, file: &str, answer: &Answer, place: &Place) {
        let example = self.mapped(self.example(file), place);
        let responses = example["responses"].as_object().expect("responses");
        let Some(response) = responses.get(&answer.status.to_string()) else {
            return self.faults.push(format!("{file}: a status that the example has not: {answer}"));
        };
        let wanted = &response["body"];
        // What an action answers is at the end of its operation, as it is in recordings.
        let result = match answer.header("location") {
            Some(_) if answer.body.is_empty() && !wanted.is_null() => self.gallery.result_of(answer).await,
            _ => answer.clone(),
        };
        if !wanted.is_null() && result.body.is_empty() {
            return self.faults.push(format!("{file}: no body"));
        }
        let shown = if result.body.is_empty() { Value::Null } else { result.json() };
        let mut absent = Vec::new();
        members(wanted, &shown, "", &mut absent);
        for pointer in absent {
            let known = self
                .tables
                .absent_members
                .iter()
                .find(|(files, member, _)| file.starts_with(files) && pointer.ends_with(member));
            match known {
                Some((_, member, _)) => _ = self.used.insert(member),
                None => self.faults.push(format!("{file}: {} has no {pointer}: {answer}", answer.status)),
            }
        }
    }
}

/// Where an example happens.
struct Place {
    group: String,
    gallery: String,
    /// The example's, mapped: the disk, snapshot or image that is there before has its name.
    parameters: Value,
}

/// The members of `wanted` that are not in `shown`. Of lists each entry is held against the one at its place.
fn members(wanted: &Value, shown: &Value, at: &str, absent: &mut Vec<String>) {
    match (wanted, shown) {
        (Value::Object(wanted), _) => {
            for (name, value) in wanted {
                let here = format!("{at}/{name}");
                match shown.get(name) {
                    Some(shown) => members(value, shown, &here, absent),
                    None => absent.push(here),
                }
            }
        }
        (Value::Array(wanted), _) => {
            for (index, value) in wanted.iter().enumerate() {
                match shown.get(index) {
                    Some(shown) => members(value, shown, &format!("{at}/{index}"), absent),
                    None => absent.push(format!("{at}/{index}")),
                }
            }
        }
        _ => {}
    }
}
