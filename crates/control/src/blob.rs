//! A disk's or snapshot's bytes behind a shared access signature.
//!
//! An upload is read and written as the pages that were staged; everything else is read as a fixed VHD that is made while
//! it is sent. Every request looks its grant up, so that revoking is instant: a signature alone opens nothing. It is good
//! while whoever asked for it has the right to ask for it again. Requests take time, so both are looked up again before and
//! after pages are written, and every second while bytes are sent.

use std::{ops::Range, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use galerie_arm::ArmError;
use galerie_disk::{
    BlockDevice, ImageDevice,
    export::{ExportFormat, ExportLayout},
};
use galerie_region::{Region, UploadId};
use galerie_store::ExtentKind;
use uuid::Uuid;

use crate::{
    access::{Permission, letters, signed_text},
    authz,
    control::Control,
    db::{self, Connection, grant::GrantRow, resource::ResourceRow, transact},
    processes::Place,
    quota,
    resource::{Verb, action},
    source, space,
};

/// What a page's offset and length are multiples of.
pub const PAGE_BYTES: u64 = 512;
/// Bytes that one read of staged pages takes.
const READ_BYTES: u64 = 1 << 20;
/// How long a download goes on before its grant is looked up again.
const GRANT_CHECK_MS: u64 = 1000;
/// Extents that are looked at in one go, and ranges after which the rest is told as one.
const EXTENTS_AT_ONCE: usize = 1024;
const MOST_RANGES: usize = 65_536;

/// Why a blob request is refused. Each variant is one of storage's error codes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// The signature, its expiry, or the grant that it names is no good. 403 `AuthenticationFailed`.
    #[error("Server failed to authenticate the request. {0}")]
    AuthenticationFailed(&'static str),
    /// The grant does not allow this. 403 `AuthorizationPermissionMismatch`.
    #[error("This request is not authorized to perform this operation using this permission.")]
    PermissionMismatch,
    /// 404 `BlobNotFound`.
    #[error("The specified blob does not exist.")]
    NotFound,
    /// Not whole pages, or outside. 416 `InvalidPageRange`.
    #[error("The page range specified is invalid. {0}")]
    InvalidPageRange(String),
    /// 400 `InvalidInput`.
    #[error("One of the request inputs is not valid. {0}")]
    InvalidInput(String),
    /// The state of the disk does not allow it. 409 `InvalidOperation`.
    #[error("{0}")]
    Conflict(String),
    /// A disk of the region or of the catalogue is full; the text says which. 507 `InsufficientStorage`.
    #[error("{0}")]
    Full(String),
    /// The owner holds more than its quota; the text has the numbers. 409 `QuotaExceeded`.
    #[error("{0}")]
    QuotaExceeded(String),
    /// The region's file system takes no writes now; somebody must mend that. 503 `ServerBusy`.
    #[error("The region '{0}' cannot be written to.")]
    Unwritable(String),
    /// Too many uploads at once, or a region that is away. 503 `ServerBusy`.
    #[error("The server is busy. {0}")]
    Busy(String),
    /// Our fault; the log has the rest under this number. 500 `InternalError`.
    #[error("The server encountered an internal error. Please retry the request. ({0})")]
    Internal(Uuid),
}

impl BlobError {
    /// HTTP status and storage's code.
    pub const fn status_and_code(&self) -> (u16, &'static str) {
        match self {
            Self::AuthenticationFailed(_) => (403, "AuthenticationFailed"),
            Self::PermissionMismatch => (403, "AuthorizationPermissionMismatch"),
            Self::NotFound => (404, "BlobNotFound"),
            Self::InvalidPageRange(_) => (416, "InvalidPageRange"),
            Self::InvalidInput(_) => (400, "InvalidInput"),
            Self::Conflict(_) => (409, "InvalidOperation"),
            Self::QuotaExceeded(_) => (409, "QuotaExceeded"),
            Self::Full(_) => (507, "InsufficientStorage"),
            Self::Unwritable(_) | Self::Busy(_) => (503, "ServerBusy"),
            Self::Internal(_) => (500, "InternalError"),
        }
    }

    pub(crate) fn internal(action: &'static str, error: &(dyn std::error::Error + 'static)) -> Self {
        let number = Uuid::new_v4();
        tracing::error!(error, %number, "{action}");
        Self::Internal(number)
    }

    /// What a region's failure to take bytes means.
    pub(crate) fn in_region(region: &str, error: galerie_region::Error) -> Self {
        if error.is_unwritable() {
            tracing::error!(region, error = &error as &dyn std::error::Error, "a region cannot be written to");
            return Self::Unwritable(region.to_owned());
        }
        if let galerie_region::Error::LowSpace(low) = error {
            return space::low_in_region(region, low).into();
        }
        error.into()
    }
}

impl From<db::Error> for BlobError {
    fn from(error: db::Error) -> Self {
        match error {
            db::Error::Busy => Self::Busy("Try again.".to_owned()),
            passing @ (db::Error::Full(_) | db::Error::Unavailable(_)) => galerie_arm::ArmError::from(passing).into(),
            other => Self::internal("use the catalogue for a blob", &other),
        }
    }
}

impl From<galerie_arm::ArmError> for BlobError {
    fn from(error: galerie_arm::ArmError) -> Self {
        match error.status {
            503 => Self::Busy(error.message),
            507 => Self::Full(error.message),
            _ if error.details.iter().any(|detail| detail.code == quota::QUOTA_EXCEEDED) => {
                Self::QuotaExceeded(error.message)
            }
            500.. => Self::internal("serve a blob", &error),
            403 | 404 => Self::InvalidInput(error.message),
            _ => Self::Conflict(error.message),
        }
    }
}

impl From<galerie_region::Error> for BlobError {
    fn from(error: galerie_region::Error) -> Self {
        match error {
            // What was being done names a path, which is the log's business.
            galerie_region::Error::Full(action) => {
                tracing::warn!(action, "a region has no space left for a blob");
                Self::Full("The region has no space left. Try again when there is room.".to_owned())
            }
            galerie_region::Error::Refused(why) | galerie_region::Error::Invalid(why) => Self::InvalidInput(why),
            galerie_region::Error::NotFound(what) => Self::InvalidInput(what),
            galerie_region::Error::Busy(why) => Self::Busy(format!("Try again: {why}.")),
            other => Self::internal("use a region for a blob", &other),
        }
    }
}

/// What a shared access signature says, as its URL had it.
#[derive(Debug, Clone)]
pub struct Sas<'a> {
    /// The disk's or snapshot's incarnation, from the path.
    pub resource_uid: Uuid,
    /// `si`.
    pub grant_id: Uuid,
    /// `sp`.
    pub permission: &'a str,
    /// `se`, in ms since the epoch.
    pub expires_ms: i64,
    /// `sig`, URL-decoded.
    pub signature: &'a str,
}

/// What a request wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobAction {
    /// GET, HEAD.
    Read,
    /// PUT.
    Write,
}

/// An open blob: good for one request.
pub struct Blob {
    pub(crate) control: Control,
    pub(crate) row: ResourceRow,
    pub(crate) grant: GrantRow,
    pub(crate) region: Arc<dyn Region>,
    content: BlobContent,
}

enum BlobContent {
    /// Staged pages.
    Upload { upload: UploadId, length_bytes: u64 },
    /// An image, shown as a fixed VHD.
    Image { device: Arc<dyn BlockDevice>, layout: ExportLayout, etag: String },
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blob").field("resource", &self.row.id).field("grant", &self.grant.id).finish_non_exhaustive()
    }
}

impl Control {
    /// Opens what a shared access signature names.
    ///
    /// # Errors
    /// `AuthenticationFailed` for a signature that is wrong, over or revoked; `PermissionMismatch`; `NotFound`.
    pub async fn open_blob(&self, sas: &Sas<'_>, wanted: BlobAction) -> Result<Blob, BlobError> {
        let text = signed_text(sas.resource_uid, sas.grant_id, sas.permission, sas.expires_ms);
        let signature = STANDARD.decode(sas.signature).unwrap_or_default();
        if !self.keys().sas_verify(text.as_bytes(), &signature) {
            return Err(BlobError::AuthenticationFailed("The signature does not match."));
        }
        let (grant, row, disk, images) = {
            let mut tx = self.db().read().await?;
            if sas.expires_ms <= tx.now_ms().await? {
                return Err(BlobError::AuthenticationFailed("The signature has expired."));
            }
            let grant = find_grant(&mut tx, sas.grant_id).await?;
            if grant.resource_uid != sas.resource_uid {
                return Err(REVOKED);
            }
            let row = db::resource::find_by_uid(&mut tx, sas.resource_uid).await?.ok_or(BlobError::NotFound)?;
            check_right(&mut tx, &row, &grant).await?;
            let disk = db::disk::find(&mut tx, &row.key).await?.ok_or(BlobError::NotFound)?;
            let images = source::held_images(&mut tx, &row.key).await?;
            (grant, row, disk, images)
        };
        if letters(grant.permission) != sas.permission {
            return Err(BlobError::AuthenticationFailed("The permission is not the one that was granted."));
        }
        if wanted == BlobAction::Write && grant.permission != Permission::Write {
            return Err(BlobError::PermissionMismatch);
        }
        let region =
            self.region(&row.location).ok_or_else(|| BlobError::Busy("The region is not available now.".to_owned()))?;
        let content = match (grant.permission, disk.upload_bytes, images.first()) {
            (Permission::Write, Some(length_bytes), _) => {
                let upload = UploadId(row.uid);
                self.require_upload_here(upload.0, &row.location).await?;
                let made = region.create_upload(upload, length_bytes).await;
                made.map_err(|error| BlobError::in_region(&row.location, error))?;
                BlobContent::Upload { upload, length_bytes }
            }
            (Permission::Read, _, Some(image)) => {
                let reader = region.open_image(row.tenant, image.manifest).await?;
                let layout = ExportLayout::new(ExportFormat::FixedVhd, image.virtual_size_bytes, &image.manifest);
                let layout = layout.map_err(|error| BlobError::internal("lay out a VHD", &error))?;
                let etag = image.manifest.to_string().chars().take(32).collect();
                BlobContent::Image { device: Arc::new(ImageDevice::new(reader)), layout, etag }
            }
            _ => return Err(BlobError::NotFound),
        };
        Ok(Blob { control: self.clone(), row, grant, region, content })
    }
}

impl Control {
    /// Where a request to a blob is answered. Anything that is wrong with it is found here: its handler says what.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn place_of_blob(&self, sas: &Sas<'_>) -> Result<Place, ArmError> {
        let text = signed_text(sas.resource_uid, sas.grant_id, sas.permission, sas.expires_ms);
        let signature = STANDARD.decode(sas.signature).unwrap_or_default();
        if !self.is_one_of_several() || !self.keys().sas_verify(text.as_bytes(), &signature) {
            return Ok(Place::Here);
        }
        let found = db::resource::find_by_uid(&mut *self.db().read().await?, sas.resource_uid).await?;
        match found {
            None => Ok(Place::Here),
            Some(row) if sas.permission == letters(Permission::Write) => {
                Ok(self.place_of_upload(row.uid, &row.location).await?)
            }
            Some(row) => self.place_of_region(&row.location).await,
        }
    }

    /// Refuses an upload that another process has: it was adopted since the request was sent here.
    async fn require_upload_here(&self, upload: Uuid, region: &str) -> Result<(), BlobError> {
        match self.place_of_upload(upload, region).await? {
            Place::Here => Ok(()),
            Place::At(_) => Err(BlobError::Busy("The upload is another process's now. Try again.".to_owned())),
            Place::Away(why) => Err(BlobError::Busy(why)),
        }
    }
}

impl Blob {
    /// The length of the blob: of the VHD file, footer included.
    pub fn length_bytes(&self) -> u64 {
        match &self.content {
            BlobContent::Upload { length_bytes, .. } => *length_bytes,
            BlobContent::Image { layout, .. } => layout.length_bytes(),
        }
    }

    /// Constant while the grant lives, so that a client may resume a download with `If-Match`. Unquoted.
    pub fn etag(&self) -> String {
        match &self.content {
            BlobContent::Upload { upload, .. } => upload.0.simple().to_string(),
            BlobContent::Image { etag, .. } => etag.clone(),
        }
    }

    /// When the disk or snapshot was last written to, in ms since the epoch.
    pub fn last_modified_ms(&self) -> i64 {
        self.row.updated_ms
    }

    /// Writes pages; durable when it returns. What it acknowledged is in what the end of the access imports.
    ///
    /// # Errors
    /// `InvalidPageRange` for what is not whole pages of the blob; `PermissionMismatch` on what is only read; `Full`;
    /// `AuthenticationFailed` when the access ended meanwhile.
    pub async fn write_pages(&self, offset_bytes: u64, bytes: Bytes) -> Result<(), BlobError> {
        let (upload, length_bytes) = self.staged()?;
        check_pages(offset_bytes, bytes.len() as u64, length_bytes)?;
        self.check_quota().await?;
        self.begin_pages().await?;
        let written = self.region.write_pages(upload, offset_bytes, bytes).await;
        written.map_err(|error| BlobError::in_region(&self.row.location, error))?;
        self.check_grant().await
    }

    /// Makes pages zero again; durable when it returns.
    ///
    /// # Errors
    /// As [`Blob::write_pages`].
    pub async fn clear_pages(&self, range_bytes: Range<u64>) -> Result<(), BlobError> {
        let (upload, length_bytes) = self.staged()?;
        check_pages(range_bytes.start, range_bytes.end.saturating_sub(range_bytes.start), length_bytes)?;
        self.begin_pages().await?;
        let cleared = self.region.clear_pages(upload, range_bytes).await;
        cleared.map_err(|error| BlobError::in_region(&self.row.location, error))?;
        self.check_grant().await
    }

    /// The bytes of a range, in order.
    ///
    /// # Errors
    /// `InvalidPageRange` for a range that is not inside the blob. The stream ends at the first failing read, and soon
    /// after the access has ended.
    pub fn read(
        &self,
        range_bytes: Range<u64>,
    ) -> Result<stream::BoxStream<'static, Result<Bytes, BlobError>>, BlobError> {
        if range_bytes.start > range_bytes.end || range_bytes.end > self.length_bytes() {
            return Err(BlobError::InvalidPageRange(format!("The blob has {} bytes.", self.length_bytes())));
        }
        let bytes = match &self.content {
            BlobContent::Upload { upload, .. } => read_staged(Arc::clone(&self.region), *upload, range_bytes).boxed(),
            BlobContent::Image { device, layout, .. } => {
                let bytes = layout.stream(&**device, range_bytes);
                let bytes = bytes.map_err(|error| BlobError::internal("read a VHD", &error))?;
                bytes.map(|item| item.map_err(|error| BlobError::internal("read a VHD", &error))).boxed()
            }
        };
        Ok(while_granted(self.control.clone(), self.row.clone(), self.grant.id, bytes).boxed())
    }

    /// The ranges within `range_bytes` that may hold something other than zeros: ascending, merged, whole pages.
    ///
    /// # Errors
    /// Of the region only.
    pub async fn page_ranges(&self, range_bytes: Range<u64>) -> Result<Vec<Range<u64>>, BlobError> {
        let all = match &self.content {
            BlobContent::Upload { upload, .. } => self.region.upload_ranges(*upload).await?,
            BlobContent::Image { device, layout, .. } => image_ranges(&**device, layout, &range_bytes).await?,
        };
        let within = |range: Range<u64>| range.start.max(range_bytes.start)..range.end.min(range_bytes.end);
        Ok(all.into_iter().map(within).filter(|range| !range.is_empty()).collect())
    }

    /// Takes no more bytes for an owner who holds more than its quota; it was lowered.
    pub(crate) async fn check_quota(&self) -> Result<(), BlobError> {
        Ok(quota::check_not_exceeded(&mut *self.control.db().read().await?, &self.row).await?)
    }

    /// Pages take the place of what an upload of chunks committed: whoever comes last says what the disk is to be. That is
    /// durable before the first page is.
    async fn begin_pages(&self) -> Result<(), BlobError> {
        self.control.mark_pages(self.row.uid).await?;
        if !self.is_committed(&mut *self.control.db().read().await?).await? {
            return Ok(());
        }
        transact!(self.control.db(), |tx| -> Result<(), BlobError> {
            if self.is_committed(tx).await? {
                db::disk::set_staged_manifest(tx, &self.row.key, None).await?;
            }
            Ok(())
        })
    }

    /// Whether chunks were committed to the disk; refused when the access has ended.
    async fn is_committed(&self, tx: &mut Connection) -> Result<bool, BlobError> {
        let grant = find_grant(tx, self.grant.id).await?;
        check_right(tx, &self.row, &grant).await?;
        Ok(db::disk::find(tx, &self.row.key).await?.is_some_and(|disk| disk.staged_manifest.is_some()))
    }

    async fn check_grant(&self) -> Result<(), BlobError> {
        check_grant(&self.control, &self.row, self.grant.id).await
    }

    fn staged(&self) -> Result<(UploadId, u64), BlobError> {
        match &self.content {
            BlobContent::Upload { upload, length_bytes } => Ok((*upload, *length_bytes)),
            BlobContent::Image { .. } => Err(BlobError::PermissionMismatch),
        }
    }
}

const REVOKED: BlobError = BlobError::AuthenticationFailed("The access has been revoked.");

async fn find_grant(tx: &mut Connection, grant_id: Uuid) -> Result<GrantRow, BlobError> {
    let now_ms = tx.now_ms().await?;
    db::grant::find(tx, grant_id).await?.filter(|grant| grant.expires_ms > now_ms).ok_or(REVOKED)
}

/// Refuses the signature of somebody who may not ask for it any more.
pub(crate) async fn check_right(tx: &mut Connection, row: &ResourceRow, grant: &GrantRow) -> Result<(), BlobError> {
    let begin = action(row.resource_type, Verb::BeginGetAccess);
    if authz::permits(tx, row.tenant, grant.initiator, begin, &row.key).await? {
        return Ok(());
    }
    Err(BlobError::AuthenticationFailed("Whoever asked for the access has lost the right to it."))
}

async fn check_grant(control: &Control, row: &ResourceRow, grant_id: Uuid) -> Result<(), BlobError> {
    let mut tx = control.db().read().await?;
    let grant = find_grant(&mut tx, grant_id).await?;
    check_right(&mut tx, row, &grant).await
}

/// `bytes`, until the grant is found to have ended.
fn while_granted(
    control: Control,
    row: ResourceRow,
    grant_id: Uuid,
    bytes: stream::BoxStream<'static, Result<Bytes, BlobError>>,
) -> impl Stream<Item = Result<Bytes, BlobError>> + Send {
    let (checked_ms, row) = (control.now_ms(), Arc::new(row));
    stream::try_unfold((bytes, checked_ms), move |(mut bytes, mut checked_ms)| {
        let (control, row) = (control.clone(), Arc::clone(&row));
        async move {
            let now_ms = control.now_ms();
            if now_ms.abs_diff(checked_ms) >= GRANT_CHECK_MS {
                check_grant(&control, &row, grant_id).await?;
                checked_ms = now_ms;
            }
            Ok(bytes.try_next().await?.map(|piece| (piece, (bytes, checked_ms))))
        }
    })
}

fn check_pages(offset_bytes: u64, count_bytes: u64, length_bytes: u64) -> Result<(), BlobError> {
    let aligned = offset_bytes.is_multiple_of(PAGE_BYTES) && count_bytes.is_multiple_of(PAGE_BYTES);
    let inside = offset_bytes.checked_add(count_bytes).is_some_and(|end| end <= length_bytes);
    if aligned && inside && count_bytes > 0 {
        return Ok(());
    }
    Err(BlobError::InvalidPageRange(format!(
        "Pages begin and end at multiples of {PAGE_BYTES} bytes and lie within the blob's {length_bytes} bytes; this range has \
         {count_bytes} bytes at {offset_bytes}."
    )))
}

fn read_staged(
    region: Arc<dyn Region>,
    upload: UploadId,
    range_bytes: Range<u64>,
) -> impl Stream<Item = Result<Bytes, BlobError>> + Send {
    stream::try_unfold(range_bytes.start, move |at| {
        let region = Arc::clone(&region);
        let end = range_bytes.end.min(at.saturating_add(READ_BYTES));
        async move {
            if at >= end {
                return Ok(None);
            }
            let bytes = region.read_pages(upload, at..end).await?;
            Ok(Some((bytes, end)))
        }
    })
}

/// Where an exported VHD holds data: its disk's data, and the footer. After [`MOST_RANGES`] the rest is told as one range:
/// what is told may hold zeros, what is not told does.
async fn image_ranges(
    device: &dyn BlockDevice,
    layout: &ExportLayout,
    wanted: &Range<u64>,
) -> Result<Vec<Range<u64>>, BlobError> {
    let disk_end = device.size_bytes().min(wanted.end);
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let mut at = wanted.start - wanted.start % PAGE_BYTES;
    while at < disk_end {
        if ranges.len() >= MOST_RANGES {
            ranges.push(at..disk_end.next_multiple_of(PAGE_BYTES));
            break;
        }
        let extents = device.extents(at..disk_end, EXTENTS_AT_ONCE).await;
        let extents = extents.map_err(|error| BlobError::internal("map a VHD", &error))?;
        let Some(last) = extents.last() else { break };
        at = last.range_bytes.end;
        for extent in extents.iter().filter(|extent| extent.kind == ExtentKind::Data) {
            let start = extent.range_bytes.start - extent.range_bytes.start % PAGE_BYTES;
            push_merged(&mut ranges, start..extent.range_bytes.end.next_multiple_of(PAGE_BYTES));
        }
    }
    let length_bytes = layout.length_bytes();
    push_merged(&mut ranges, length_bytes - PAGE_BYTES..length_bytes);
    Ok(ranges)
}

fn push_merged(ranges: &mut Vec<Range<u64>>, next: Range<u64>) {
    match ranges.last_mut() {
        Some(last) if last.end >= next.start => last.end = last.end.max(next.end),
        _ => ranges.push(next),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_whole_and_inside() {
        for (offset, count, expected) in [
            (0, 512, true),
            (512, 1024, true),
            (1536, 512, true),
            (0, 2048, true),
            (1, 512, false),
            (0, 511, false),
            (0, 0, false),
            (2048, 512, false),
            (u64::MAX - 511, 512, false),
        ] {
            assert_eq!(check_pages(offset, count, 2048).is_ok(), expected, "{offset} {count}");
        }
    }

    /// Regression: a full region answered with the path of its staging file.
    #[test]
    fn a_full_region_keeps_its_paths_to_itself() {
        let error = BlobError::from(galerie_region::Error::Full("write pages to /srv/secret/x.page-blob".to_owned()));
        assert_eq!(error.status_and_code(), (507, "InsufficientStorage"));
        assert!(!error.to_string().contains("/srv"), "{error}");
    }

    /// Regression: a region that turned read-only while it was served was an internal error with a number.
    #[test]
    fn a_region_that_takes_no_writes_says_so() {
        use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        for kind in [ReadOnlyFilesystem, PermissionDenied] {
            let io = || std::io::Error::from(kind);
            let action = || "write pages to /srv/secret/x".to_owned();
            let stored = galerie_store::Error::Io { action: action(), source: io() };
            for error in [
                galerie_region::Error::Io { action: action(), source: io() },
                galerie_region::Error::Store { action: action(), source: stored },
            ] {
                let error = BlobError::in_region("eastus", error);
                assert_eq!(error.status_and_code(), (503, "ServerBusy"));
                assert_eq!(error.to_string(), "The region 'eastus' cannot be written to.");
            }
        }
    }

    #[test]
    fn neighbours_are_one_range() {
        let mut ranges = Vec::new();
        for range in [0..512, 512..1024, 2048..4096, 3072..3584] {
            push_merged(&mut ranges, range);
        }
        assert_eq!(ranges, [0..1024, 2048..4096]);
    }
}
