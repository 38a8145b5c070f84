//! Where a version goes: its definition, home region and target regions; made where they are missing and `--create` says so.

use galerie_arm::{DefinitionName, GalleryName, Location, ResourceGroupName, ResourceId, SubscriptionId, VersionName};
use serde_json::json;

use super::{NewDefinition, PublishArgs, target_region::TargetRegion};
use crate::{
    cli::{
        document::text,
        failure::{Failure, Result},
        output,
    },
    client::{Client, DefinitionReference},
};

/// The group that `--create` makes when no other is said.
const DEFAULT_GROUP: &str = "galerie";

/// Where the version goes.
pub(super) struct Place {
    /// The definition's path.
    pub(super) definition: String,
    pub(super) definition_is_new: bool,
    /// The group's path.
    pub(super) group: String,
    /// The version's own region.
    pub(super) home: Location,
    /// At least one; the home region is among them.
    pub(super) targets: Vec<TargetRegion>,
}

impl Place {
    /// Finds the place, making what is missing with `--create`.
    ///
    /// # Errors
    /// What is missing, without `--create`.
    pub(super) async fn find_or_make(client: &Client, args: &PublishArgs) -> Result<Self> {
        let reference = &args.version.definition;
        let said_group = args.group.resource_group.as_ref();
        let gallery = match reference.gallery.find(client, said_group).await? {
            Some(id) => id,
            None => gallery_in_default_group(client, &reference.gallery.gallery),
        };
        let (document, group) = (client.find(gallery.as_str(), &[]).await?, group_of(&gallery)?);
        if document.is_none() {
            // Before it is asked in which region: the name may be a slip.
            refuse_unless_create(args, &format!("gallery '{}'", reference.gallery.gallery))?;
        }
        let gallery_location = document.as_ref().and_then(|gallery| Location::normalise(&text(gallery, "location")));
        let (home, targets) = regions(args.location.as_ref(), &args.target_regions, gallery_location.as_ref())?;
        if document.is_none() {
            make_gallery(client, &gallery, &group, &home).await?;
        }
        let definition = reference.of(&gallery);
        let definition_is_new = client.find(definition.as_str(), &[]).await?.is_none();
        if definition_is_new {
            refuse_unless_create(args, &format!("image definition '{}'", reference.definition))?;
            make_definition(
                client,
                &definition,
                reference,
                gallery_location.as_ref().unwrap_or(&home),
                &args.definition,
            )
            .await?;
        }
        Ok(Self {
            definition: definition.to_string(),
            definition_is_new,
            group: client.group_path(group.as_str()),
            home,
            targets,
        })
    }

    pub(super) fn version_path(&self, version: &VersionName) -> String {
        format!("{}/versions/{version}", self.definition)
    }
}

fn gallery_in_default_group(client: &Client, gallery: &GalleryName) -> ResourceId {
    let group = DEFAULT_GROUP.parse().expect("a valid name");
    ResourceId::of_gallery(SubscriptionId::new(client.profile().subscription_id), &group, gallery)
}

fn group_of(gallery: &ResourceId) -> Result<ResourceGroupName> {
    gallery.group().cloned().ok_or_else(|| Failure::new(format!("{gallery} is in no resource group")))
}

fn refuse_unless_create(args: &PublishArgs, what: &str) -> Result<()> {
    match args.create {
        true => Ok(()),
        false => Err(Failure::new(format!("there is no {what}")).advise("Check the name (`galerie gallery list`, `galerie definition list GALLERY`), or say --create to have it made.")),
    }
}

/// The home region and the target regions, which it is one of.
pub(in crate::cli) fn regions(
    said: Option<&Location>,
    targets: &[TargetRegion],
    gallery: Option<&Location>,
) -> Result<(Location, Vec<TargetRegion>)> {
    let is_target = |location: &&Location| targets.is_empty() || targets.iter().any(|it| it.location == **location);
    let home = said
        .or_else(|| gallery.filter(is_target))
        .or_else(|| targets.first().map(|target| &target.location))
        .ok_or_else(|| Failure::new("no region was said").advise("Say where it goes: --target-region REGION."))?
        .clone();
    let mut targets = targets.to_vec();
    if !targets.iter().any(|target| target.location == home) {
        targets.insert(0, TargetRegion { location: home.clone(), replica_count: None });
    }
    Ok((home, targets))
}

async fn make_gallery(client: &Client, gallery: &ResourceId, group: &ResourceGroupName, home: &Location) -> Result<()> {
    let group_path = client.group_path(group.as_str());
    if client.find(&group_path, &[]).await?.is_none() {
        let accepted = client.put(&group_path, &json!({ "location": home.as_str() })).await?;
        client.wait("make the resource group", accepted).await?;
        output::note(&format!("Made resource group {group}."));
    }
    let accepted = client.put(gallery.as_str(), &json!({ "location": home.as_str(), "properties": {} })).await?;
    client.wait("make the gallery", accepted).await?;
    output::note(&format!("Made gallery {} in {home}.", gallery.name()));
    Ok(())
}

async fn make_definition(
    client: &Client,
    definition: &ResourceId,
    reference: &DefinitionReference,
    location: &Location,
    new: &NewDefinition,
) -> Result<()> {
    let name: &DefinitionName = &reference.definition;
    let document = json!({
        "location": location.as_str(),
        "properties": {
            "osType": new.os_type,
            "osState": new.os_state,
            "hyperVGeneration": new.hyper_v_generation,
            "architecture": new.architecture,
            "identifier": {
                "publisher": new.publisher.as_deref().unwrap_or(reference.gallery.gallery.as_str()),
                "offer": new.offer.as_deref().unwrap_or(name.as_str()),
                "sku": new.sku,
            },
        },
    });
    let accepted = client.put(definition.as_str(), &document).await?;
    client.wait("make the image definition", accepted).await?;
    let NewDefinition { os_type, os_state, hyper_v_generation, .. } = new;
    output::note(&format!("Made image definition {name} ({os_type}, {os_state}, {hyper_v_generation})."));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(said: Option<&str>, targets: &[&str], gallery: Option<&str>, expected: Option<(&str, &[&str])>) {
        let location = |text: &str| Location::normalise(text).unwrap();
        let parsed: Vec<TargetRegion> = targets.iter().map(|text| text.parse().unwrap()).collect();
        let found = regions(said.map(location).as_ref(), &parsed, gallery.map(location).as_ref());
        let found = found.ok().map(|(home, targets)| {
            (home.to_string(), targets.iter().map(|target| target.location.to_string()).collect::<Vec<_>>())
        });
        let expected = expected.map(|(home, targets)| {
            (home.to_owned(), targets.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn the_home_region_is_always_a_target() {
        check(None, &[], None, None);
        check(None, &[], Some("eastus"), Some(("eastus", &["eastus"])));
        check(None, &["westus", "eastus=2"], Some("eastus"), Some(("eastus", &["westus", "eastus"])));
        check(None, &["westus"], Some("eastus"), Some(("westus", &["westus"])));
        check(None, &["westus"], None, Some(("westus", &["westus"])));
        check(Some("eastus"), &["westus"], None, Some(("eastus", &["eastus", "westus"])));
    }
}
