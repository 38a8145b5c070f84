//! Reading versions of images, applications and scripts blob by blob: what `galerie pull` and `galerie nbd` ask for over HTTPS.
//!
//! Who may read a version may read its bytes, as whoever may read one in Azure may make a disk of it. The right is asked
//! for by every request, and again every few seconds while a long answer is sent. Only blobs that the version itself lists
//! are given out: a segment that its manifest lists, a chunk that such a segment lists. Knowing a
//! hash buys nothing.
//!
//! What is given out was checked against its hash, though the client checks it again: that is how damage is noticed here.
//!
//! Nothing is pinned: each request finds the version's row, which keeps its bytes. Of a version that is deleted meanwhile the
//! next request finds nothing, and a read that is under way fails.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use galerie_arm::{ArmError, Location, ReplicationState, ResourceId, ResourceType, VersionReference};
use galerie_store::{BlobId, BlobSource, ChunkId, Manifest, ManifestId, Segment, SegmentId, StoredBlob};
use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};

use crate::{
    access::region_away,
    authz,
    control::Control,
    db::{self, Connection, resource::ResourceRow},
    processes::Place,
    replica_changes::noun,
    request::{Caller, RequestContext},
    resource::{
        Verb, action,
        plan::{HeldImage, OS_LUN},
    },
    source,
};

/// Blobs that one request may ask for.
pub const MOST_BLOBS: usize = 4096;
/// What the lists that are kept may take: a segment's has about 32 KiB, the largest manifest's 32 MiB.
const LISTS_MAX_BYTES: u64 = 128 << 20;
/// What a list takes beside its ids.
const LIST_BYTES: u64 = 128;
const TYPICAL_LISTS: usize = 4096;

/// What a blob lists: sorted.
type List = Arc<[BlobId]>;

/// What blobs list, decoded once.
pub(crate) struct Lists {
    cache: Cache<BlobId, List, ListWeight>,
}

#[derive(Debug, Clone)]
struct ListWeight;

impl Weighter<BlobId, List> for ListWeight {
    fn weight(&self, _: &BlobId, list: &List) -> u64 {
        LIST_BYTES + size_of_val(&**list) as u64
    }
}

impl Default for Lists {
    fn default() -> Self {
        // One shard: a shard keeps nothing that is larger than its own share.
        let options = OptionsBuilder::new()
            .shards(1)
            .estimated_items_capacity(TYPICAL_LISTS)
            .weight_capacity(LISTS_MAX_BYTES)
            .build()
            .expect("both capacities are given");
        let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        Self { cache: Cache::with_options(options, ListWeight, hasher, lifecycle) }
    }
}

impl Lists {
    fn keep(&self, id: BlobId, listed: impl Iterator<Item = BlobId>) -> List {
        let mut listed: Vec<BlobId> = listed.collect();
        listed.sort_unstable();
        listed.dedup();
        let list = List::from(listed);
        self.cache.insert(id, Arc::clone(&list));
        list
    }
}

/// How long an answer goes on before the right to it is asked for again.
const RIGHT_CHECK_MS: u64 = 5000;

/// One disk of an image version in one region, readable blob by blob.
pub struct Content {
    right: Right,
    version_id: String,
    region: Location,
    manifest: ManifestId,
    virtual_size_bytes: u64,
    source: Arc<dyn BlobSource>,
    lists: Arc<Lists>,
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content")
            .field("version", &self.version_id)
            .field("manifest", &self.manifest)
            .finish_non_exhaustive()
    }
}

/// What is said of an image that is not whole in a region.
fn damaged(region: &Location, more: &str) -> ArmError {
    let message = format!(
        "A part of this image is damaged or lost in region '{region}'. Where another region has it, it is being healed: try again. \
         `galerie store verify --region {region}` finds all there is at once, and says what is hurt.{more}"
    );
    ArmError::new(500, "ImageDamaged", message)
}

/// Whether the version was whole in the region and is not any more.
async fn is_healing(tx: &mut Connection, version: Option<&ResourceId>, region: &Location) -> Result<bool, ArmError> {
    let Some(version) = version else { return Ok(false) };
    let replica = db::replica::find(tx, version.key(), region.as_str()).await?;
    Ok(replica.is_some_and(|replica| replica.completed_ms.is_some() && replica.state != ReplicationState::Completed))
}

impl Control {
    /// Opens a disk of an image version for reading: the OS disk, or the data disk with that lun. Without a region it is read
    /// where the version lives; `latest` is then that of the definition's location.
    ///
    /// # Errors
    /// `AuthorizationFailed`; `GalleryImageNotFound` for anything that is not replicated to the region, `ImageDamaged` for what was
    /// and is being healed.
    pub async fn open_content(
        &self,
        context: &RequestContext,
        version: &VersionReference,
        region: Option<&str>,
        lun: Option<i32>,
    ) -> Result<Content, ArmError> {
        let type_name = ResourceType::ImageVersion.as_str();
        let region = region.map(|text| self.locations().require(text, type_name).cloned()).transpose();
        let mut tx = self.db().read().await?;
        let scope = source::version_scope(version)
            .ok_or_else(|| ArmError::gallery_image_not_found(&version.to_string(), "any"))?;
        let right = Right::new(self, context, ResourceType::ImageVersion, scope);
        right.authorize(&mut tx).await?;
        let home = home_of(&mut tx, source::version_scope(version).as_ref()).await?;
        let region = match region? {
            Some(region) => region,
            None => home.ok_or_else(|| ArmError::gallery_image_not_found(&version.to_string(), "any"))?,
        };
        let found = match source::find_version(&mut tx, &version.to_string(), "version", &region).await {
            Ok(found) => found,
            Err(error) => {
                let is_healing = is_healing(&mut tx, source::version_scope(version).as_ref(), &region).await?;
                return Err(if is_healing { damaged(&region, "") } else { error });
            }
        };
        let lun = lun.map_or(OS_LUN, i64::from);
        let image = source::held_images(&mut tx, &found.row.key).await?.into_iter().find(|image| image.lun == lun);
        let image = image.ok_or_else(|| {
            let message = format!("The gallery image version {} has no data disk with the lun {lun}.", found.row.id);
            ArmError::invalid_parameter("lun", message)
        })?;
        drop(tx);
        self.open_image(right, found.row, region, image).await
    }

    /// Opens the package of an application's version or a script's version for reading; with the lun 0 an application's default
    /// configuration. Without a region it is read where the version lives.
    ///
    /// # Errors
    /// `AuthorizationFailed`; 404 for what is not there, has not been fetched, or is not replicated to the region.
    pub async fn open_package(
        &self,
        context: &RequestContext,
        version: &ResourceId,
        region: Option<&str>,
        lun: Option<i32>,
    ) -> Result<Content, ArmError> {
        let resource_type = package_type(version)?;
        let region = region.map(|text| self.locations().require(text, resource_type.as_str()).cloned()).transpose();
        let mut tx = self.db().read().await?;
        let right = Right::new(self, context, resource_type, version.clone());
        right.authorize(&mut tx).await?;
        let row = db::resource::find(&mut tx, version.key()).await?.ok_or_else(|| version.not_found())?;
        let home = Location::normalise(&row.location);
        let region = region?.or(home).ok_or_else(|| version.not_found())?;
        let lun = lun.map_or(OS_LUN, i64::from);
        let image = source::held_images(&mut tx, &row.key).await?.into_iter().find(|image| image.lun == lun);
        let is_here = source::is_replicated(&mut tx, &row.key, region.as_str()).await?;
        let (Some(image), true) = (image, is_here) else {
            let message = format!(
                "The {} {} has {} in the region '{region}'.",
                noun(resource_type),
                row.id,
                if lun == OS_LUN { "no bytes" } else { "no default configuration" }
            );
            return Err(ArmError::new(404, "NotFound", message));
        };
        drop(tx);
        self.open_image(right, row, region, image).await
    }

    async fn open_image(
        &self,
        right: Right,
        version: ResourceRow,
        region: Location,
        image: HeldImage,
    ) -> Result<Content, ArmError> {
        let plane = self.region(region.as_str()).ok_or_else(|| region_away(region.as_str()))?;
        let source = plane.blobs(version.tenant).await;
        let source = source.map_err(|error| unreadable("open a region's blobs", &error))?;
        Ok(Content {
            right,
            version_id: version.id,
            region,
            manifest: image.manifest,
            virtual_size_bytes: image.virtual_size_bytes,
            source,
            lists: Arc::clone(self.content_lists()),
        })
    }
}

/// The type of something that has a package.
fn package_type(version: &ResourceId) -> Result<ResourceType, ArmError> {
    let found = version.resource_type();
    let found = found.filter(|found| matches!(found, ResourceType::ApplicationVersion | ResourceType::ScriptVersion));
    found.ok_or_else(|| version.not_found())
}

impl Control {
    /// Whether a caller may read a version's content.
    ///
    /// # Errors
    /// `SubscriptionNotFound`, `AuthorizationFailed`, whether or not there is such a version.
    pub async fn may_read_content(&self, caller: &Caller, version: &VersionReference) -> Result<(), ArmError> {
        let Some(scope) = source::version_scope(version) else { return Ok(()) };
        let read = action(ResourceType::ImageVersion, Verb::Read);
        authz::authorize(&mut *self.db().read().await?, caller, read, &scope).await
    }

    /// As [`Control::may_read_content`], of a version that has a package.
    ///
    /// # Errors
    /// As [`Control::may_read_content`].
    pub async fn may_read_package(&self, caller: &Caller, version: &ResourceId) -> Result<(), ArmError> {
        let read = action(package_type(version)?, Verb::Read);
        authz::authorize(&mut *self.db().read().await?, caller, read, version).await
    }

    /// Where a version's content is read: see [`Control::open_content`]. Anything that is wrong with the request is found
    /// here: its handler says what.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn place_of_content(&self, version: &VersionReference, region: Option<&str>) -> Result<Place, ArmError> {
        self.place_of_version(source::version_scope(version).as_ref(), region).await
    }

    /// Where a package is read: see [`Control::open_package`].
    ///
    /// # Errors
    /// As [`Control::place_of_content`].
    pub async fn place_of_package(&self, version: &ResourceId, region: Option<&str>) -> Result<Place, ArmError> {
        self.place_of_version(Some(version), region).await
    }

    async fn place_of_version(&self, version: Option<&ResourceId>, region: Option<&str>) -> Result<Place, ArmError> {
        if !self.is_one_of_several() {
            return Ok(Place::Here);
        }
        let location = match region {
            Some(text) => self.locations().find(text).cloned(),
            None => home_of(&mut *self.db().read().await?, version).await?,
        };
        match location {
            Some(location) => self.place_of_region(location.as_str()).await,
            None => Ok(Place::Here),
        }
    }
}

/// Where a version, or for `latest` its definition, lives.
async fn home_of(tx: &mut Connection, id: Option<&ResourceId>) -> Result<Option<Location>, ArmError> {
    let Some(id) = id else { return Ok(None) };
    let row = db::resource::find_kept(tx, id.key()).await?;
    Ok(row.and_then(|row| Location::normalise(&row.location)))
}

/// Somebody's right to read versions, which may end while an answer is sent.
struct Right {
    control: Control,
    caller: Caller,
    /// What it takes.
    read: &'static str,
    scope: ResourceId,
    checked_ms: AtomicI64,
}

impl Right {
    fn new(control: &Control, context: &RequestContext, resource_type: ResourceType, scope: ResourceId) -> Self {
        let (read, checked_ms) = (action(resource_type, Verb::Read), AtomicI64::new(control.now_ms()));
        Self { control: control.clone(), caller: context.caller.clone(), read, scope, checked_ms }
    }

    async fn authorize(&self, tx: &mut Connection) -> Result<(), ArmError> {
        authz::authorize(tx, &self.caller, self.read, &self.scope).await
    }

    /// Asks again, when that was some time ago.
    async fn recheck(&self) -> Result<(), ArmError> {
        let now_ms = self.control.now_ms();
        if now_ms.abs_diff(self.checked_ms.load(Ordering::Relaxed)) >= RIGHT_CHECK_MS {
            let mut tx = self.control.db().read().await?;
            authz::authorize_still(&mut tx, &self.caller, self.read, &self.scope).await?;
            self.checked_ms.store(now_ms, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Content {
    /// The version's id, in the spelling of creation; for `latest` the one it means.
    pub fn version_id(&self) -> &str {
        &self.version_id
    }

    /// Where it is read.
    pub fn region(&self) -> &Location {
        &self.region
    }

    /// The image.
    pub fn manifest(&self) -> ManifestId {
        self.manifest
    }

    /// The size the guest sees.
    pub fn virtual_size_bytes(&self) -> u64 {
        self.virtual_size_bytes
    }

    /// The manifest, encoded.
    ///
    /// # Errors
    /// When it cannot be read now.
    pub async fn manifest_blob(&self) -> Result<StoredBlob, ArmError> {
        self.fetch_one(self.manifest.0, None).await
    }

    /// Segments that the manifest lists, encoded, in the order asked for.
    ///
    /// # Errors
    /// 404 for the first that it does not list; 400 for more than [`MOST_BLOBS`].
    pub async fn segments(&self, segments: &[SegmentId]) -> Result<Vec<StoredBlob>, ArmError> {
        let ids: Vec<BlobId> = segments.iter().map(|segment| segment.0).collect();
        let listed = self.listed_by_manifest().await?;
        self.fetch(&ids, &listed, self.manifest.0).await
    }

    /// Chunks that a segment lists which the manifest lists, encoded, in the order asked for.
    ///
    /// # Errors
    /// As [`Content::segments`].
    pub async fn chunks(&self, segment: SegmentId, chunks: &[ChunkId]) -> Result<Vec<StoredBlob>, ArmError> {
        let ids: Vec<BlobId> = chunks.iter().map(|chunk| chunk.0).collect();
        if self.listed_by_manifest().await?.binary_search(&segment.0).is_err() {
            return Err(not_listed(segment.0));
        }
        let listed = self.listed_by_segment(segment).await?;
        self.fetch(&ids, &listed, segment.0).await
    }

    async fn fetch(&self, ids: &[BlobId], listed: &[BlobId], by: BlobId) -> Result<Vec<StoredBlob>, ArmError> {
        self.right.recheck().await?;
        if ids.len() > MOST_BLOBS {
            let message = format!("At most {MOST_BLOBS} blobs may be asked for at once, not {}.", ids.len());
            return Err(ArmError::invalid_parameter("ids", message));
        }
        if let Some(stranger) = ids.iter().find(|id| listed.binary_search(id).is_err()) {
            return Err(not_listed(*stranger));
        }
        self.source
            .fetch_verified(ids, Some(by))
            .await
            .map_err(|error| self.read_failed("read blobs of a version", &error))
    }

    async fn fetch_one(&self, id: BlobId, listed_by: Option<BlobId>) -> Result<StoredBlob, ArmError> {
        let blobs = self.source.fetch_verified(&[id], listed_by).await;
        let blobs = blobs.map_err(|error| self.read_failed("read a blob of a version", &error))?;
        blobs.into_iter().next().ok_or_else(|| not_listed(id))
    }

    /// What could not be read, for the log; for the client, whether it is the image that is hurt.
    fn read_failed(&self, action: &'static str, error: &galerie_store::Error) -> ArmError {
        let (id, region) = (uuid::Uuid::new_v4(), self.region.as_str());
        let cause = error as &dyn std::error::Error;
        tracing::error!(error = cause, correlation_id = %id, version = self.version_id, region, "{action}");
        if !error.is_damage() && !matches!(error, galerie_store::Error::NotFound(_)) {
            return ArmError::internal(&id.to_string());
        }
        damaged(&self.region, &format!(" Correlation id: '{id}'."))
    }

    async fn listed_by_manifest(&self) -> Result<List, ArmError> {
        let id = self.manifest.0;
        if let Some(listed) = self.lists.cache.get(&id) {
            return Ok(listed);
        }
        let bytes = decode(&self.fetch_one(id, None).await?)?;
        let manifest = Manifest::decode(&bytes).map_err(|error| unreadable("decode a manifest", &error))?;
        Ok(self.lists.keep(id, manifest.segments().iter().map(|(_, segment)| segment.0)))
    }

    async fn listed_by_segment(&self, segment: SegmentId) -> Result<List, ArmError> {
        if let Some(listed) = self.lists.cache.get(&segment.0) {
            return Ok(listed);
        }
        let bytes = decode(&self.fetch_one(segment.0, Some(self.manifest.0)).await?)?;
        let decoded = Segment::decode(&bytes).map_err(|error| unreadable("decode a segment", &error))?;
        let chunks = decoded.entries().iter().filter_map(|entry| entry.chunk).map(|chunk| chunk.0);
        Ok(self.lists.keep(segment.0, chunks))
    }
}

fn decode(blob: &StoredBlob) -> Result<bytes::Bytes, ArmError> {
    blob.decode().map_err(|error| unreadable("decode a blob", &error))
}

fn not_listed(id: BlobId) -> ArmError {
    ArmError::new(404, "NotFound", format!("The blob {id} is not part of this image version."))
}

fn unreadable(action: &'static str, error: &(dyn std::error::Error + 'static)) -> ArmError {
    let id = uuid::Uuid::new_v4();
    tracing::error!(error, correlation_id = %id, "{action}");
    ArmError::internal(&id.to_string())
}
