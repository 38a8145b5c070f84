//! What clients do who make something: upload, publish, change and delete.

use std::time::Duration;

use bytes::Bytes;
use galerie_arm::ArmError;
use galerie_control::{BlobAction, OperationResult, Sas};
use galerie_testkit::vhd;
use serde_json::{Value, json};
use tokio::{sync::watch, time::sleep};

use crate::{
    client::{Answer, Client, Refusal, blob_may_pass},
    image::{GUEST_BYTES, Image},
    model::{DEFINITIONS, Model, Stage, Target, Version, definition_path},
    random::Random,
    world::{REGIONS, World},
};

/// How many versions a client has at most.
const MOST_VERSIONS: usize = 4;
/// Between what a client does.
const REST_MAX_MS: u64 = 8_000;
/// Between the parts of an upload whose client is slow: long enough for its process to die and be taken for dead.
const PART_PAUSE_MAX_MS: u64 = 60_000;

/// A client that changes versions of its own.
pub(crate) struct Publisher {
    client: Client,
    model: Model,
    number: u32,
    made: u32,
}

/// The group, the gallery and the definitions that everybody uses.
pub(crate) async fn furnish(world: &World) -> Answer<()> {
    let mut client = Client::new(world, "owner".to_owned(), 10);
    let id = world.id("");
    client
        .ask("PUT rg", move |control, context| {
            let id = id.clone();
            let body = json!({ "location": REGIONS[0] });
            Box::pin(async move { control.resource_group_put(&context, &id, body).await.map(drop) })
        })
        .await?;
    client.put("galleries/g", json!({ "location": REGIONS[0] })).await?;
    for definition in 0..DEFINITIONS {
        let body = json!({ "location": REGIONS[0], "properties": { "osType": "Linux", "osState": "Generalized",
            "identifier": { "publisher": "p", "offer": "o", "sku": format!("s{definition}") } } });
        client.put(&definition_path(definition), body).await?;
    }
    Ok(())
}

impl Publisher {
    pub(crate) fn new(world: &World, model: &Model, number: u32) -> Self {
        let client = Client::new(world, format!("publisher {number}"), 20 + u64::from(number));
        Self { client, model: model.clone(), number, made: 0 }
    }

    /// Does one thing after the other, until told to stop.
    pub(crate) async fn work(mut self, is_over: watch::Receiver<bool>) {
        while !*is_over.borrow() {
            self.act().await;
            sleep(Duration::from_millis(self.client.random.below(REST_MAX_MS))).await;
        }
    }

    async fn act(&mut self) {
        let own = self.own();
        let action = self.client.random.below(100);
        let some = self.client.random.pick(&own).cloned();
        match (some, action) {
            (Some(path), 0..20) => self.remove(&path).await,
            (Some(path), 20..50) => self.change(&path).await,
            (Some(path), 50..65) if own.len() < MOST_VERSIONS => self.copy(&path).await,
            _ if own.len() < MOST_VERSIONS => self.publish().await,
            (Some(path), _) => self.change(&path).await,
            (None, _) => {}
        }
    }

    /// The paths of what it has.
    fn own(&self) -> Vec<String> {
        let own =
            |(_, version): &(String, Version)| version.numbers[0] == self.number && version.stage == Stage::Accepted;
        self.model.all().into_iter().filter(own).map(|(path, _)| path).collect()
    }

    /// Makes a disk by an upload, and a version from it.
    async fn publish(&mut self) {
        let image = Image::any(&mut self.client.random);
        let home = self.client.random.index(REGIONS.len());
        self.made += 1;
        let disk = format!("disks/d{}-{}", self.number, self.made);
        match self.upload(&disk, home, &image).await {
            Ok(()) => {
                let source = json!({ "osDiskImage": { "source": { "id": self.client.world.id(&disk).as_str() } } });
                self.make(home, image, source).await;
            }
            Err(refusal) => self.client.note(format_args!("{disk} came to nothing: {refusal}")),
        }
        if let Err(refusal) = self.client.delete(&disk).await {
            self.unexpected(&format!("DELETE {disk}"), &refusal);
        }
    }

    /// Makes a version from another one.
    async fn copy(&mut self, from: &str) {
        let Some(version) = self.model.get(from) else { return };
        let there: Vec<usize> = (0..REGIONS.len()).filter(|region| version.targets[*region].is_some()).collect();
        let Some(home) = self.client.random.pick(&there).copied() else { return };
        self.made += 1;
        let source = json!({ "source": { "id": self.client.world.id(from).as_str() } });
        self.make(home, version.image, source).await;
    }

    /// PUTs a version, and waits for its operation, perhaps.
    async fn make(&mut self, home: usize, image: Image, storage_profile: Value) {
        let random = &mut self.client.random;
        let definition = random.index(DEFINITIONS);
        let numbers = [self.number, random.below(3) as u32, self.made];
        let targets = some_targets(random, home);
        let is_excluded = random.percent(20);
        let path = Model::path(definition, numbers);
        let body = json!({ "location": REGIONS[home], "properties": {
            "storageProfile": storage_profile, "publishingProfile": publishing_profile(&targets, is_excluded) } });
        self.model.add(
            &path,
            Version {
                definition,
                numbers,
                image: image.clone(),
                home,
                stage: Stage::Asked,
                targets,
                is_excluded,
                is_changing: false,
                epoch: 0,
            },
        );
        self.client.note(format_args!("{path} is to hold {image} in {}", REGIONS[home]));
        match self.client.put(&path, body).await {
            Ok(operation) => {
                self.model.update(&path, |version| version.stage = Stage::Accepted);
                if self.client.random.percent(70) {
                    let ended = self.client.ended(&operation).await;
                    self.client.note(format_args!("{path}: {}", told(&ended)));
                }
            }
            Err(refusal) => {
                self.client.note(format_args!("{path} came to nothing: {refusal}"));
                // An attempt whose answer was lost may have been accepted.
                self.remove(&path).await;
            }
        }
    }

    /// Other target regions, or other exclusions.
    async fn change(&mut self, path: &str) {
        let Some(before) = self.model.get(path) else { return };
        let random = &mut self.client.random;
        let targets = some_targets(random, before.home);
        let is_excluded = random.percent(20);
        let body = json!({ "properties": { "publishingProfile": publishing_profile(&targets, is_excluded) } });
        self.model.update(path, |version| version.is_changing = true);
        match self.client.patch(path, body).await {
            Ok(operation) => {
                self.model.update(path, |version| {
                    (version.targets, version.is_excluded) = (targets, is_excluded);
                    version.is_changing = false;
                });
                if self.client.random.percent(50) {
                    let ended = self.client.ended(&operation).await;
                    self.client.note(format_args!("{path}: {}", told(&ended)));
                }
            }
            Err(refusal) => {
                self.unexpected(&format!("PATCH {path}"), &refusal);
                self.remove(path).await;
            }
        }
    }

    async fn remove(&mut self, path: &str) {
        self.model.update(path, |version| version.stage = Stage::Leaving);
        match self.client.delete(path).await {
            Ok(()) => self.model.remove(path),
            Err(refusal) => self.unexpected(&format!("DELETE {path}"), &refusal),
        }
    }

    /// Makes a disk whose content is the image.
    async fn upload(&mut self, disk: &str, home: usize, image: &Image) -> Answer<()> {
        let size_bytes = GUEST_BYTES + vhd::FOOTER_BYTES as u64;
        let body = json!({ "location": REGIONS[home],
            "properties": { "creationData": { "createOption": "Upload", "uploadSizeBytes": size_bytes } } });
        self.client.put(disk, body).await?;
        loop {
            let grant = self.grant(disk).await?;
            match self.send(&grant, image).await {
                Ok(()) => break,
                Err(why) => self.client.note(format_args!("upload {disk}: {why}; once more from the beginning")),
            }
            self.revoke(disk).await?;
        }
        self.revoke(disk).await
    }

    async fn grant(&mut self, disk: &str) -> Answer<galerie_control::GrantView> {
        let id = self.client.world.id(disk);
        self.client
            .ask(&format!("grant {disk}"), move |control, context| {
                let id = id.clone();
                Box::pin(async move {
                    let body = json!({ "access": "Write", "durationInSeconds": 86_400 });
                    let operation = control.begin_get_access(&context, &id, body).await?.operation;
                    match control.operation_result(&context, operation.subscription, operation.id).await? {
                        OperationResult::Access(grant) => Ok(grant),
                        other => Err(ArmError::internal(&format!("not a grant: {other:?}"))),
                    }
                })
            })
            .await
    }

    /// Ends access, which imports what was sent.
    async fn revoke(&mut self, disk: &str) -> Answer<()> {
        let id = self.client.world.id(disk);
        let operation = self
            .client
            .ask(&format!("revoke {disk}"), move |control, context| {
                let id = id.clone();
                Box::pin(async move { Ok(control.end_get_access(&context, &id).await?.operation) })
            })
            .await?;
        self.client.ended(&operation).await
    }

    /// Writes the pages of a VHD, each where the upload is.
    async fn send(&mut self, grant: &galerie_control::GrantView, image: &Image) -> Result<(), String> {
        let footer = Bytes::copy_from_slice(&vhd::footer(GUEST_BYTES));
        self.write(grant, 0, &image.head()).await?;
        if self.client.random.percent(25) {
            sleep(Duration::from_millis(self.client.random.below(PART_PAUSE_MAX_MS))).await;
        }
        self.write(grant, GUEST_BYTES, &footer).await
    }

    async fn write(
        &mut self,
        grant: &galerie_control::GrantView,
        offset_bytes: u64,
        bytes: &Bytes,
    ) -> Result<(), String> {
        for _ in 0..200 {
            let asked = self.client.any_process().await;
            let signature = asked.control.sign_sas(grant).0;
            let (grant, bytes, control) = (grant.clone(), bytes.clone(), asked.control.clone());
            let place = {
                let (control, signature, grant) = (control.clone(), signature.clone(), grant.clone());
                asked.call(async move { control.place_of_blob(&sas(&grant, &signature)).await }).await
            };
            let there = match &place {
                Some(Ok(place)) => self.client.at(&asked, place),
                _ => None,
            };
            if let Some(process) = there {
                let control = process.control.clone();
                let written = process.call(async move {
                    let blob = control.open_blob(&sas(&grant, &signature), BlobAction::Write).await?;
                    blob.write_pages(offset_bytes, bytes).await
                });
                match written.await {
                    Some(Ok(())) => return Ok(()),
                    Some(Err(error)) if blob_may_pass(&error) => {}
                    Some(Err(error)) => return Err(error.to_string()),
                    None => {}
                }
            }
            sleep(Duration::from_secs(2)).await;
        }
        Err("the upload's process is away".to_owned())
    }

    /// What no fault explains.
    fn unexpected(&self, what: &str, refusal: &Refusal) {
        self.client.world.verdict().break_with("a client is understood", format_args!("{what}: {refusal}"));
    }
}

fn sas<'a>(grant: &galerie_control::GrantView, signature: &'a str) -> Sas<'a> {
    Sas {
        resource_uid: grant.resource_uid,
        grant_id: grant.grant_id,
        permission: grant.permission_letters(),
        expires_ms: grant.expires_ms,
        signature,
    }
}

fn told(ended: &Answer<()>) -> String {
    match ended {
        Ok(()) => "its operation succeeded".to_owned(),
        Err(refusal) => format!("its operation did not succeed: {refusal}"),
    }
}

/// The home region, and perhaps others.
fn some_targets(random: &mut Random, home: usize) -> [Option<Target>; REGIONS.len()] {
    std::array::from_fn(|region| {
        let is_wanted = random.percent(60) || region == home;
        is_wanted.then(|| Target { is_excluded: random.percent(15) })
    })
}

fn publishing_profile(targets: &[Option<Target>; REGIONS.len()], is_excluded: bool) -> Value {
    let regions: Vec<Value> = REGIONS
        .iter()
        .zip(targets)
        .filter_map(|(name, target)| {
            let target = (*target)?;
            Some(json!({ "name": name, "excludeFromLatest": target.is_excluded }))
        })
        .collect();
    json!({ "targetRegions": regions, "excludeFromLatest": is_excluded })
}
