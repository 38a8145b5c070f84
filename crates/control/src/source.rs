//! Resolving what a version, managed image, disk or snapshot is made from.
//!
//! A source is looked up by the one who asks, in the transaction that accepts the write: without the right to its bytes the
//! answer is the same whether or not it exists. What is found holds manifests that are durable in the region of what is
//! being made, so making it moves no bytes; unless they are another tenant's, whose bytes are copied (`docs/design/sharing.md`).

use galerie_arm::{
    ArmError, Location, ReplicationState, ResourceId, ResourceType, SubscriptionId, VersionReference, VersionSelector,
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    authz::linked,
    db::{
        self, Connection,
        foreign_source::{ForeignAccess, ForeignSource},
        resource::ResourceRow,
    },
    disk::creation_data,
    image_version::storage_profile::{Fit, Wanted},
    latest,
    request::RequestContext,
    resource::{
        document::text,
        plan::{HeldImage, OS_LUN, UsedVersion},
    },
    sharing::reach::Viewer,
    soft_delete,
};

/// Something that a resource can be made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// As the client wrote it.
    pub(crate) id: String,
    /// The `uniqueId` of a disk or snapshot.
    pub(crate) unique_id: Option<Uuid>,
    /// What it says about itself.
    pub(crate) facts: SourceFacts,
    /// Its disks, the OS disk first.
    pub(crate) disks: Vec<SourceDisk>,
    /// Whose it is, when the bytes are another tenant's and must be copied.
    pub(crate) foreign: Option<ForeignSource>,
    /// The image version that it is.
    pub(crate) version: Option<UsedVersion>,
}

/// What a source says about itself; what it does not know fits anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SourceFacts {
    /// `Linux`, `Windows`.
    pub(crate) os_type: Option<String>,
    /// `Generalized`, `Specialized`.
    pub(crate) os_state: Option<String>,
    /// `V1`, `V2`.
    pub(crate) hyper_v_generation: Option<String>,
}

/// One disk of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceDisk {
    /// Its bytes.
    pub(crate) image: HeldImage,
    /// `None`, `ReadOnly`, `ReadWrite`, where the source says.
    pub(crate) host_caching: Option<String>,
}

/// Who asks, and what for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    /// The request.
    pub(crate) context: &'a RequestContext,
    /// What is being made.
    pub(crate) target: &'a ResourceId,
    /// Its type.
    pub(crate) making: ResourceType,
    /// Where it is being made.
    pub(crate) location: &'a Location,
}

impl SourceFacts {
    /// What a disk's, snapshot's or definition's document says.
    fn of(document: &Value) -> Self {
        let fact = |name: &str| text(document, &format!("properties.{name}")).map(str::to_owned);
        Self { os_type: fact("osType"), os_state: fact("osState"), hyper_v_generation: fact("hyperVGeneration") }
    }
}

impl Asker<'_> {
    /// The sources that a body names, in order; each disk under the lun it is wanted as.
    ///
    /// # Errors
    /// See [`Asker::find`].
    pub(crate) async fn find_all(&self, tx: &mut Connection, wanted: &[Wanted]) -> Result<Vec<Source>, ArmError> {
        let mut sources = Vec::with_capacity(wanted.len());
        for one in wanted {
            sources.push(self.find(tx, one).await?);
        }
        Ok(sources)
    }

    /// The source that a body names.
    ///
    /// # Errors
    /// Not an id, not a type that can be a source here, not the caller's to take bytes from, not there, in another region,
    /// without content yet.
    pub(crate) async fn find(&self, tx: &mut Connection, wanted: &Wanted) -> Result<Source, ArmError> {
        if wanted.fit == Fit::Whole && is_proxy(&wanted.id) {
            return self.proxied_version(tx, wanted).await;
        }
        let id = parse_id(&wanted.id, &wanted.target)?;
        if let Some(source_type) = id.resource_type() {
            linked::authorize_source(tx, self.context, self.target, (source_type, &id)).await?;
        }
        match (wanted.fit, id.resource_type()) {
            (Fit::Whole, Some(ResourceType::ManagedImage)) => self.managed_image(tx, &id, wanted).await,
            (Fit::Whole, Some(ResourceType::ImageVersion)) => self.image_version(tx, &id, wanted).await,
            (Fit::Whole, Some(ResourceType::VirtualMachine)) => Err(self.missing(&id, wanted)),
            (Fit::OneDisk, Some(ResourceType::Disk | ResourceType::Snapshot)) => self.disk(tx, &id, wanted).await,
            (Fit::Whole, _) => Err(ArmError::invalid_source_type(&wanted.id).with_target(wanted.target.as_str())),
            (Fit::OneDisk, _) => Err(ArmError::invalid_disk_source_type(&wanted.id, &wanted.target)),
        }
    }

    /// The disk of an image version that a reference names; `latest` is that of this region. `property` of
    /// `galleryImageReference` says which kind of reference it must be.
    ///
    /// # Errors
    /// `InvalidParameter` for a reference of another kind; `LinkedAuthorizationFailed`; `GalleryImageNotFound` for anything
    /// that is not replicated here, or not shared with the subscription.
    pub(crate) async fn find_image(
        &self,
        tx: &mut Connection,
        reference: &str,
        property: &str,
        target: &str,
        lun: Option<i64>,
    ) -> Result<Source, ArmError> {
        let parsed = VersionReference::parse(&rooted(reference), target)?;
        check_kind(&parsed, property, target)?;
        let found = match version_scope(&parsed) {
            Some(id) => {
                linked::authorize_source(tx, self.context, self.target, (ResourceType::ImageVersion, &id)).await?;
                find_version(tx, reference, target, self.location).await?
            }
            None => self.viewer().version(tx, &parsed, self.location).await?,
        };
        let lun = lun.unwrap_or(OS_LUN);
        let Some(image) = held_images(tx, &found.row.key).await?.into_iter().find(|image| image.lun == lun) else {
            let message = format!("The gallery image version {reference} has no data disk with the lun {lun}.");
            return Err(ArmError::invalid_parameter("disk.properties.creationData.galleryImageReference.lun", message));
        };
        let facts = if lun == OS_LUN { SourceFacts::of(&found.definition.document) } else { SourceFacts::default() };
        let disks = vec![SourceDisk { image, host_caching: None }];
        let foreign = self.foreign(&found.row, &parsed)?;
        Ok(Source { id: reference.to_owned(), unique_id: None, facts, disks, foreign, version: used(&found.row) })
    }

    fn viewer(&self) -> Viewer {
        // Where there is no subscription nothing is shared with it.
        let subscription = self.target.subscription().map(SubscriptionId::as_uuid).unwrap_or_default();
        Viewer { subscription, tenant: self.context.caller.tenant }
    }

    /// What has to be remembered of a version that is another tenant's. `reference` is how it was named.
    fn foreign(&self, version: &ResourceRow, reference: &VersionReference) -> Result<Option<ForeignSource>, ArmError> {
        if version.tenant == self.context.caller.tenant {
            return Ok(None);
        }
        let access = match reference {
            // Whoever authorized the read is among the request's further tokens.
            VersionReference::Private { .. } => {
                let reader = self.context.auxiliary.iter().find(|reader| reader.tenant == version.tenant);
                let nobody = || ArmError::internal(&self.context.correlation_id.to_string());
                ForeignAccess::Role(reader.ok_or_else(nobody)?.principal)
            }
            VersionReference::Shared { .. } => ForeignAccess::Shared,
            VersionReference::Community { .. } => ForeignAccess::Community,
        };
        let (version, version_uid, tenant) = (version.key.clone(), version.uid, version.tenant);
        Ok(Some(ForeignSource { tenant, version, version_uid, access }))
    }

    /// A version through a shared or community gallery, with every disk.
    async fn proxied_version(&self, tx: &mut Connection, wanted: &Wanted) -> Result<Source, ArmError> {
        let reference = VersionReference::parse(&wanted.id, &wanted.target)?;
        let found = self.viewer().version(tx, &reference, self.location).await.map_err(|error| match error.status {
            404 => error.with_target(wanted.target.as_str()),
            _ => error,
        })?;
        let foreign = self.foreign(&found.row, &reference)?;
        self.whole(tx, wanted, &found.row, Some(&found.definition), foreign).await
    }

    async fn whole(
        &self,
        tx: &mut Connection,
        wanted: &Wanted,
        version: &ResourceRow,
        definition: Option<&ResourceRow>,
        foreign: Option<ForeignSource>,
    ) -> Result<Source, ArmError> {
        let facts = definition.map(|definition| SourceFacts::of(&definition.document)).unwrap_or_default();
        let disks = held_images(tx, &version.key).await?;
        let disks = disks.into_iter().map(|image| SourceDisk { image, host_caching: None }).collect();
        Ok(Source { id: wanted.id.clone(), unique_id: None, facts, disks, foreign, version: used(version) })
    }

    async fn managed_image(&self, tx: &mut Connection, id: &ResourceId, wanted: &Wanted) -> Result<Source, ArmError> {
        let row = self.row_here(tx, id, wanted).await?;
        let profile = &row.document["properties"]["storageProfile"];
        let caching = |lun: i64| {
            let disks = profile["dataDisks"].as_array().map(Vec::as_slice).unwrap_or_default();
            let data_disk = || disks.iter().find(|disk| disk["lun"].as_i64() == Some(lun));
            let disk = if lun == OS_LUN { profile.get("osDisk") } else { data_disk() };
            text(disk?, "caching").map(str::to_owned)
        };
        let facts = SourceFacts {
            os_type: text(profile, "osDisk.osType").map(str::to_owned),
            os_state: text(profile, "osDisk.osState").map(str::to_owned),
            hyper_v_generation: text(&row.document, "properties.hyperVGeneration").map(str::to_owned),
        };
        let images = held_images(tx, &row.key).await?;
        let disks = images.into_iter().map(|image| SourceDisk { image, host_caching: caching(image.lun) }).collect();
        Ok(Source { id: wanted.id.clone(), unique_id: None, facts, disks, foreign: None, version: None })
    }

    async fn image_version(&self, tx: &mut Connection, id: &ResourceId, wanted: &Wanted) -> Result<Source, ArmError> {
        let row = soft_delete::find_usable(tx, id.key()).await?.ok_or_else(|| self.missing(id, wanted))?;
        if !is_replicated(tx, &row.key, self.location.as_str()).await? {
            return Err(self.missing(id, wanted));
        }
        let definition = match row.parent.as_deref() {
            Some(parent) => db::resource::find(tx, parent).await?,
            None => None,
        };
        let foreign = self.foreign(&row, &VersionReference::from_id(id, &wanted.target)?)?;
        self.whole(tx, wanted, &row, definition.as_ref(), foreign).await
    }

    async fn disk(&self, tx: &mut Connection, id: &ResourceId, wanted: &Wanted) -> Result<Source, ArmError> {
        let row = self.row_here(tx, id, wanted).await?;
        let Some(image) = held_images(tx, &row.key).await?.into_iter().next() else {
            let state = db::disk::find(tx, &row.key).await?.map_or("Creating", |disk| disk.state.as_str());
            let operation = format!("Create {}", self.making.body_parameter());
            return Err(ArmError::invalid_disk_state(&operation, id.name(), state).with_target(wanted.target.as_str()));
        };
        let image = HeldImage { lun: wanted.lun, ..image };
        let facts = SourceFacts { os_state: None, ..SourceFacts::of(&row.document) };
        let disks = vec![SourceDisk { image, host_caching: None }];
        Ok(Source { id: wanted.id.clone(), unique_id: Some(row.uid), facts, disks, foreign: None, version: None })
    }

    /// A managed image, disk or snapshot in the region where something is being made.
    async fn row_here(&self, tx: &mut Connection, id: &ResourceId, wanted: &Wanted) -> Result<ResourceRow, ArmError> {
        let row = db::resource::find(tx, id.key()).await?.ok_or_else(|| self.missing(id, wanted))?;
        if row.location == self.location.as_str() {
            return Ok(row);
        }
        if self.making == ResourceType::ImageVersion {
            return Err(self.missing(id, wanted));
        }
        let message = format!(
            "The source {} is in the location '{}'. It must be in the location '{}' of the {} that is made from it.",
            row.id,
            row.location,
            self.location,
            self.making.body_parameter()
        );
        Err(ArmError::invalid_parameter(&wanted.target, message))
    }

    /// How absence is told: versions have words of their own for it.
    fn missing(&self, id: &ResourceId, wanted: &Wanted) -> ArmError {
        match self.making {
            ResourceType::ImageVersion => ArmError::source_not_found(&wanted.id, &wanted.target),
            _ => id.not_found().with_target(wanted.target.as_str()),
        }
    }
}

/// An image version that is replicated to a region, with its definition.
#[derive(Debug, Clone)]
pub(crate) struct FoundVersion {
    /// The version.
    pub(crate) row: ResourceRow,
    /// Its definition.
    pub(crate) definition: ResourceRow,
}

/// Over what a reference to a version needs the right to read versions: the version itself; for `latest`, which may come to
/// be any of them, its definition. `None` for a reference that names no resource.
pub(crate) fn version_scope(version: &VersionReference) -> Option<ResourceId> {
    let VersionReference::Private { subscription, group, gallery, definition, version: selector } = version else {
        return None;
    };
    Some(match selector {
        VersionSelector::Latest => ResourceId::of_definition(*subscription, group, gallery, definition),
        VersionSelector::Exact(name) => ResourceId::of_version(*subscription, group, gallery, definition, name),
    })
}

/// The version that a reference means in a region: `latest` is that region's. The right to read versions over
/// [`version_scope`] must have been asked for in this transaction.
///
/// # Errors
/// `GalleryImageNotFound` for anything that is not replicated to the region.
pub(crate) async fn find_version(
    tx: &mut Connection,
    reference: &str,
    target: &str,
    region: &Location,
) -> Result<FoundVersion, ArmError> {
    let missing = || ArmError::gallery_image_not_found(reference, region.as_str());
    let VersionReference::Private { subscription, group, gallery, definition, version } =
        VersionReference::parse(&rooted(reference), target)?
    else {
        return Err(missing());
    };
    let definition_id = ResourceId::of_definition(subscription, &group, &gallery, &definition);
    let definition_row = db::resource::find(tx, definition_id.key()).await?.ok_or_else(missing)?;
    let key = match &version {
        VersionSelector::Latest => latest::find(tx, definition_id.key(), region)
            .await?
            .ok_or_else(|| ArmError::no_latest_version(&definition_row.id))?,
        VersionSelector::Exact(name) => {
            let id = ResourceId::of_version(subscription, &group, &gallery, &definition, name);
            id.key().to_owned()
        }
    };
    let row = soft_delete::find_usable(tx, &key).await?.ok_or_else(missing)?;
    if !is_replicated(tx, &key, region.as_str()).await? {
        return Err(missing());
    }
    Ok(FoundVersion { row, definition: definition_row })
}

/// Whether a version's bytes are in a region.
pub(crate) async fn is_replicated(tx: &mut Connection, version: &str, region: &str) -> db::Result<bool> {
    let replica = db::replica::find(tx, version, region).await?;
    Ok(replica.is_some_and(|replica| replica.state == ReplicationState::Completed))
}

/// A version as what is made from it remembers it.
fn used(version: &ResourceRow) -> Option<UsedVersion> {
    Some(UsedVersion { key: version.key.clone(), uid: version.uid })
}

/// Whether a text begins as a reference through a shared or community gallery.
fn is_proxy(text: &str) -> bool {
    let first = text.trim_start_matches('/').split('/').next().unwrap_or_default();
    ["SharedGalleries", "CommunityGalleries"].iter().any(|kind| first.eq_ignore_ascii_case(kind))
}

/// Each property of a disk's `galleryImageReference` takes one kind of reference.
fn check_kind(reference: &VersionReference, property: &str, target: &str) -> Result<(), ArmError> {
    let (expected, form) = match reference {
        VersionReference::Private { .. } => (creation_data::IMAGE_ID, "id"),
        VersionReference::Shared { .. } => (creation_data::SHARED_IMAGE_ID, "sharedGalleryImageId"),
        VersionReference::Community { .. } => (creation_data::COMMUNITY_IMAGE_ID, "communityGalleryImageId"),
    };
    if expected == property {
        return Ok(());
    }
    let message = format!("The reference '{reference}' belongs into galleryImageReference.{form}.");
    Err(ArmError::invalid_parameter(target, message))
}

/// The images that a resource holds, the OS disk first.
pub(crate) async fn held_images(tx: &mut Connection, key: &str) -> Result<Vec<HeldImage>, ArmError> {
    let rows = db::disk_image::list_for(tx, key).await?;
    let mut images: Vec<HeldImage> = rows
        .into_iter()
        .map(|row| HeldImage { lun: row.lun, manifest: row.manifest, virtual_size_bytes: row.virtual_size_bytes })
        .collect();
    images.sort_by_key(|image| image.lun);
    Ok(images)
}

/// An id as bodies have it: the slash at its start may be missing, as in the specification's own examples.
fn parse_id(text: &str, target: &str) -> Result<ResourceId, ArmError> {
    ResourceId::parse(&rooted(text), target)
}

fn rooted(text: &str) -> std::borrow::Cow<'_, str> {
    let text = text.trim();
    if text.len() >= 14 && text.is_char_boundary(14) && text[..14].eq_ignore_ascii_case("subscriptions/") {
        format!("/{text}").into()
    } else {
        text.into()
    }
}
