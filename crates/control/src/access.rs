//! Access to the bytes of disks and snapshots: grants, the states they move a disk through, and SAS signatures.
//!
//! ```text
//! ReadyToUpload --begin(Write)--> ActiveUpload --end--> Unattached (after the import)
//! Unattached    --begin(Read)---> ActiveSAS    --end--> Unattached
//! ```
//! A SAS names a grant row and dies with it. It is signed when its operation's result is read, by who asked for it, and is
//! never stored. Ending an upload imports its pages, or, when the client cut and committed chunks, makes their manifest
//! the disk's content in the same transaction.
//!
//! Time ends the SAS and nothing else: what was uploaded stays, and `endGetAccess` makes it the content whenever it comes.
//! It therefore means the same before and after the reconciler has found the grant expired.

use base64::{Engine, engine::general_purpose::STANDARD};
use galerie_arm::{
    ArmError, ProvisioningState, ResourceId, ResourceType,
    disk::DiskState,
    schema::{ActionBody, Shape},
};
use galerie_region::UploadId;
use galerie_store::ManifestId;
use serde_json::Value;
use uuid::Uuid;

pub use crate::db::grant::Permission;
use crate::{
    authz,
    control::Control,
    db::{self, Connection, grant::GrantRow, resource::ResourceRow, transact},
    disk,
    operations::{self, Answer, NewOperation, OperationKind},
    processes::Place,
    quota,
    request::{Accepted, Caller, OperationRef, RequestContext},
    resource::{
        Verb, action,
        document::{integer, text},
        place,
        plan::OS_LUN,
        tracked_type,
    },
};

/// Longest grant: what an unsigned 32-bit number of seconds holds, as in Azure.
const LONGEST_S: i64 = u32::MAX as i64;

/// A grant, as far as making its SAS asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantView {
    /// The grant.
    pub grant_id: Uuid,
    /// The incarnation of the disk or snapshot.
    pub resource_uid: Uuid,
    /// Its name, for the URL.
    pub name: String,
    /// What may be done.
    pub permission: Permission,
    /// When it ends: whole seconds.
    pub expires_ms: i64,
}

impl GrantView {
    /// The permission as a SAS has it: `r`, or `rw` for an upload.
    pub fn permission_letters(&self) -> &'static str {
        letters(self.permission)
    }
}

/// Base64 of an HMAC-SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SasSignature(pub String);

pub(crate) fn letters(permission: Permission) -> &'static str {
    match permission {
        Permission::Read => "r",
        Permission::Write => "rw",
    }
}

/// What a signature covers. Each part has a fixed alphabet, so a line break separates them for certain.
pub(crate) fn signed_text(resource_uid: Uuid, grant_id: Uuid, permission: &str, expires_ms: i64) -> String {
    format!("galerie-sas-1\n{resource_uid}\n{grant_id}\n{permission}\n{expires_ms}")
}

/// What a body asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    permission: Permission,
    duration_ms: i64,
}

fn wanted(body: &Value) -> Result<Wanted, ArmError> {
    let permission = match text(body, "access") {
        Some("Read") => Permission::Read,
        Some("Write") => Permission::Write,
        Some(other) => {
            let message = format!("The value '{other}' of parameter 'access' is invalid. It must be Read or Write.");
            return Err(ArmError::invalid_parameter("grantAccessData.access", message));
        }
        None => return Err(ArmError::required_parameter_missing("grantAccessData.access")),
    };
    let duration_s = integer(body, "durationInSeconds")
        .ok_or_else(|| ArmError::required_parameter_missing("grantAccessData.durationInSeconds"))?;
    if !(1..=LONGEST_S).contains(&duration_s) {
        return Err(ArmError::out_of_range("durationInSeconds", duration_s, 1, LONGEST_S));
    }
    if text(body, "fileFormat").is_some_and(|format| format != "VHD") {
        let message = "The fileFormat VHDX is not supported by this server; use VHD.";
        return Err(ArmError::invalid_parameter("grantAccessData.fileFormat", message));
    }
    if body.get("getSecureVMGuestStateSAS").and_then(Value::as_bool) == Some(true) {
        return Err(ArmError::parameter_not_allowed("grantAccessData.getSecureVMGuestStateSAS"));
    }
    Ok(Wanted { permission, duration_ms: duration_s * 1000 })
}

/// The state that granting access moves a disk into.
fn granted(kind: &str, name: &str, state: DiskState, permission: Permission) -> Result<DiskState, ArmError> {
    match (state, permission) {
        (DiskState::ReadyToUpload, Permission::Write) => Ok(DiskState::ActiveUpload),
        (DiskState::Unattached, Permission::Read) => Ok(DiskState::ActiveSas),
        (DiskState::ActiveSas | DiskState::ActiveUpload, _) => Err(ArmError::access_already_granted(kind, name)),
        (state, Permission::Read) => Err(ArmError::invalid_disk_state("BeginGetAccess (Read)", name, state.as_str())),
        (state, Permission::Write) => Err(ArmError::invalid_disk_state("BeginGetAccess (Write)", name, state.as_str())),
    }
}

/// The state that the end of access leaves; an upload is not content yet.
fn ended(state: DiskState) -> DiskState {
    match state {
        DiskState::ActiveUpload => DiskState::ReadyToUpload,
        DiskState::ActiveSas => DiskState::Unattached,
        other => other,
    }
}

/// What was uploaded to a disk and is not its content yet.
#[derive(Debug, Default)]
struct Uploaded {
    /// The image that chunks were committed as, with the size that its guest will see.
    committed: Option<(ManifestId, u64)>,
    /// Whether pages were written, where no chunks were committed.
    has_pages: bool,
}

/// What ending access leaves.
struct EndedAccess {
    operation: OperationRef,
    /// The upload whose committed chunks became the content, and its region: its pages go.
    promoted: Option<(UploadId, String)>,
}

/// What granting access makes.
struct BegunAccess {
    row: ResourceRow,
    operation: OperationRef,
    /// The size of an upload to make room for.
    upload_bytes: Option<u64>,
}

/// What granting access does in the accepting transaction.
async fn begin(
    tx: &mut Connection,
    context: &RequestContext,
    id: &ResourceId,
    resource_type: ResourceType,
    body: Value,
    now_ms: i64,
) -> Result<BegunAccess, ArmError> {
    let wanted = wanted(&body)?;
    let row = find_idle(tx, id).await?;
    if wanted.permission == Permission::Write {
        quota::check_not_exceeded(tx, &row).await?;
    }
    if let Some(grant) = db::grant::find_for_resource(tx, &row.key).await?
        && grant.expires_ms <= now_ms
    {
        expire(tx, &grant, now_ms).await?;
    }
    let state = db::disk::find(tx, &row.key).await?.map_or(DiskState::Unattached, |disk| disk.state);
    let next = granted(resource_type.body_parameter(), &row.name, state, wanted.permission)?;
    db::disk::set_state(tx, &row.key, next).await?;
    let grant = GrantRow {
        id: Uuid::new_v4(),
        resource: row.key.clone(),
        resource_uid: row.uid,
        permission: wanted.permission,
        file_format: "VHD".to_owned(),
        initiator: context.caller.principal,
        created_ms: now_ms,
        // A SAS names its end in seconds.
        expires_ms: (now_ms + wanted.duration_ms) / 1000 * 1000,
    };
    db::grant::insert(tx, &grant).await?;
    let new = operation(&row, id, Verb::BeginGetAccess, Answer::Grant(grant.id));
    let operation = operations::accept(tx, context, now_ms, new).await?;
    let upload_bytes = db::disk::find(tx, &row.key).await?.and_then(|disk| disk.upload_bytes);
    let upload_bytes = upload_bytes.filter(|_| wanted.permission == Permission::Write);
    Ok(BegunAccess { row, operation, upload_bytes })
}

impl Control {
    /// Grants access to a disk's or snapshot's bytes. The operation's result is the grant.
    ///
    /// # Errors
    /// A body or a state that does not allow it: one grant at a time, `Write` for upload disks only, `Read` for the others.
    pub async fn begin_get_access(
        &self,
        context: &RequestContext,
        id: &ResourceId,
        body: Value,
    ) -> Result<Accepted, ArmError> {
        let resource_type = accessible_type(context, id)?;
        let body = Shape::of_action(ActionBody::GrantAccess, context.api_version).accept(body);
        let begun = transact!(self.db(), |tx| -> Result<BegunAccess, ArmError> {
            let now_ms = tx.now_ms().await?;
            authz::authorize(tx, &context.caller, action(resource_type, Verb::BeginGetAccess), id).await?;
            let begun = begin(tx, context, id, resource_type, body.clone()?, now_ms).await?;
            if begun.upload_bytes.is_some() {
                self.check_catalogue_space().await?;
                self.check_region_space(&begun.row.location).await?;
            }
            Ok(begun)
        })?;
        self.wake();
        if let Some(length_bytes) = begun.upload_bytes {
            self.prepare_upload(&begun.row, length_bytes).await;
        }
        Ok(Accepted { created: false, resource: None, operation: begun.operation })
    }

    /// Makes room for an upload, so that one that is ended before its first page is told what it lacks. A region that
    /// cannot do it says why at the first page.
    async fn prepare_upload(&self, row: &ResourceRow, length_bytes: u64) {
        let Some(region) = self.region(&row.location) else { return };
        if !matches!(self.place_of_upload(row.uid, &row.location).await, Ok(Place::Here)) {
            return;
        }
        if let Err(error) = region.create_upload(UploadId(row.uid), length_bytes).await {
            tracing::warn!(error = &error as &dyn std::error::Error, disk = %row.id, "make room for an upload");
        }
    }

    /// Ends access: every SAS is dead when this returns. What was uploaded becomes the disk's content.
    ///
    /// # Errors
    /// Not there, not allowed, or another operation in progress; 507 when the region has no room to import what was
    /// uploaded, and then nothing has changed. Ending what was not begun is fine, and does nothing
    /// unless something was uploaded.
    pub async fn end_get_access(&self, context: &RequestContext, id: &ResourceId) -> Result<Accepted, ArmError> {
        let resource_type = accessible_type(context, id)?;
        // Looking at bytes is not the accepting transaction's work.
        let uploaded = self.uploaded(context, id, resource_type).await?;
        let ended = transact!(self.db(), |tx| -> Result<EndedAccess, ArmError> {
            authz::authorize(tx, &context.caller, action(resource_type, Verb::EndGetAccess), id).await?;
            let row = find(tx, id).await?;
            let (upload, location) = (UploadId(row.uid), row.location.clone());
            let (operation, is_promoted) = self.end(tx, context, id, row, &uploaded).await?;
            Ok(EndedAccess { operation, promoted: is_promoted.then_some((upload, location)) })
        })?;
        self.wake();
        if let Some((upload, location)) = ended.promoted
            && let Some(region) = self.region(&location)
            && let Err(error) = region.remove_upload(upload).await
        {
            // Nobody reads them any more; the staging reconciler removes them.
            tracing::warn!(error = &error as &dyn std::error::Error, %upload, "remove the pages of a committed upload");
        }
        Ok(Accepted { created: false, resource: None, operation: ended.operation })
    }

    /// What ending access does in the accepting transaction. Answers also whether committed chunks became the content.
    async fn end(
        &self,
        tx: &mut Connection,
        context: &RequestContext,
        id: &ResourceId,
        mut row: ResourceRow,
        uploaded: &Uploaded,
    ) -> Result<(OperationRef, bool), ArmError> {
        let now_ms = tx.now_ms().await?;
        if let Some(running) = db::operation::unfinished(tx, &row.key, row.uid).await?.pop() {
            // A repeated request joins the import that the first one began; nothing else answers as it does.
            if running.kind != OperationKind::ImportUpload {
                return Err(operations::in_progress(&row.name));
            }
            return Ok((running.reference(), false));
        }
        if let Some(grant) = db::grant::find_for_resource(tx, &row.key).await?
            && grant.expires_ms <= now_ms
        {
            expire(tx, &grant, now_ms).await?;
        }
        let disk = db::disk::find(tx, &row.key).await?;
        let grant = db::grant::find_for_resource(tx, &row.key).await?;
        if let Some(grant) = &grant {
            db::grant::delete(tx, grant.id).await?;
            self.chunk_uploads().close(grant.id);
        }
        let nothing_left = operation(&row, id, Verb::EndGetAccess, Answer::Empty);
        let Some(disk) = disk else {
            return Ok((operations::accept(tx, context, now_ms, nothing_left).await?, false));
        };
        let staged = uploaded.committed.filter(|(manifest, _)| disk.staged_manifest == Some(*manifest));
        let is_upload = match disk.state {
            DiskState::ActiveUpload => true,
            // The access ended before, by time or by an import that failed.
            DiskState::ReadyToUpload => staged.is_some() || uploaded.has_pages,
            _ => false,
        };
        if !is_upload {
            db::disk::set_state(tx, &row.key, ended(disk.state)).await?;
            return Ok((operations::accept(tx, context, now_ms, nothing_left).await?, false));
        }
        let previous = row.generation;
        row.generation += 1;
        row.updated_ms = now_ms;
        let mut kind = OperationKind::Immediate;
        match staged {
            Some((manifest, virtual_size_bytes)) => {
                hold(tx, &row, manifest, virtual_size_bytes).await?;
                disk::content_arrived(&mut row.document, virtual_size_bytes);
                db::disk::set_staged_manifest(tx, &row.key, None).await?;
                db::disk::set_state(tx, &row.key, DiskState::Unattached).await?;
            }
            None => {
                self.check_region_space(&row.location).await?;
                db::disk::set_state(tx, &row.key, DiskState::ActiveUpload).await?;
                row.provisioning_state = ProvisioningState::Updating;
                kind = OperationKind::ImportUpload;
            }
        }
        db::resource::update(tx, &row, previous).await?;
        quota::settle(tx, &row).await?;
        let finished = kind == OperationKind::Immediate;
        let region = (!finished).then_some(row.location.as_str());
        let new = operation(&row, id, Verb::EndGetAccess, Answer::Empty);
        let accepted = operations::accept(tx, context, now_ms, NewOperation { kind, region, finished, ..new }).await?;
        Ok((accepted, finished))
    }

    /// Whether a caller may end the access to a disk or snapshot.
    ///
    /// # Errors
    /// `SubscriptionNotFound`, `AuthorizationFailed`, whether or not there is such a disk.
    pub async fn may_end_access(&self, caller: &Caller, id: &ResourceId) -> Result<(), ArmError> {
        match id.resource_type() {
            Some(found @ (ResourceType::Disk | ResourceType::Snapshot)) => {
                let end = action(found, Verb::EndGetAccess);
                authz::authorize(&mut *self.db().read().await?, caller, end, id).await
            }
            _ => Ok(()),
        }
    }

    /// Where the end of an access is accepted: what was uploaded is looked at, and chunks that are open are closed. Anything
    /// that is wrong with the request is found here: its handler says what.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn place_of_access_end(&self, id: &ResourceId) -> Result<Place, ArmError> {
        if !self.is_one_of_several() {
            return Ok(Place::Here);
        }
        let found = {
            let mut tx = self.db().read().await?;
            match db::resource::find(&mut tx, id.key()).await? {
                Some(row) => db::disk::find(&mut tx, &row.key).await?.map(|disk| (row, disk.state)),
                None => None,
            }
        };
        match found {
            Some((row, DiskState::ReadyToUpload | DiskState::ActiveUpload)) => {
                Ok(self.place_of_upload(row.uid, &row.location).await?)
            }
            _ => Ok(Place::Here),
        }
    }

    /// What was uploaded to a disk and is not its content yet.
    async fn uploaded(
        &self,
        context: &RequestContext,
        id: &ResourceId,
        resource_type: ResourceType,
    ) -> Result<Uploaded, ArmError> {
        let (row, disk) = {
            let mut tx = self.db().read().await?;
            authz::authorize(&mut tx, &context.caller, action(resource_type, Verb::EndGetAccess), id).await?;
            let row = find(&mut tx, id).await?;
            let disk = db::disk::find(&mut tx, &row.key).await?;
            (row, disk)
        };
        let waits = |state| matches!(state, DiskState::ReadyToUpload | DiskState::ActiveUpload);
        let Some(disk) = disk.filter(|disk| waits(disk.state)) else { return Ok(Uploaded::default()) };
        let region = self.region(&row.location).ok_or_else(|| region_away(&row.location))?;
        let unreadable = |error: galerie_region::Error| {
            tracing::error!(error = &error as &dyn std::error::Error, disk = %row.id, "look at what was uploaded");
            ArmError::service_unavailable("What was uploaded cannot be read now. Try again.")
        };
        if let Some(manifest) = disk.staged_manifest {
            let image = region.open_image(row.tenant, manifest).await.map_err(unreadable)?;
            return Ok(Uploaded { committed: Some((manifest, image.virtual_size_bytes())), has_pages: false });
        }
        let has_pages = match region.upload_ranges(UploadId(row.uid)).await {
            Ok(ranges) => !ranges.is_empty(),
            Err(galerie_region::Error::NotFound(_)) => false,
            Err(error) => return Err(unreadable(error)),
        };
        Ok(Uploaded { committed: None, has_pages })
    }

    /// Signs a grant: what makes its URL a shared access signature.
    pub fn sign_sas(&self, grant: &GrantView) -> SasSignature {
        let text = signed_text(grant.resource_uid, grant.grant_id, grant.permission_letters(), grant.expires_ms);
        SasSignature(STANDARD.encode(self.keys().sas_sign(text.as_bytes())))
    }
}

/// An operation on `row` that its transaction finishes.
fn operation<'a>(row: &'a ResourceRow, id: &'a ResourceId, verb: Verb, answer: Answer) -> NewOperation<'a> {
    NewOperation {
        kind: OperationKind::Immediate,
        action: action(row.resource_type, verb),
        resource: id,
        uid: row.uid,
        generation: row.generation,
        location: &row.location,
        region: None,
        input: Value::Null,
        answer,
        finished: true,
    }
}

fn accessible_type(context: &RequestContext, id: &ResourceId) -> Result<ResourceType, ArmError> {
    match tracked_type(id, context.api_version)? {
        found @ (ResourceType::Disk | ResourceType::Snapshot) => Ok(found),
        other => Err(ArmError::method_not_allowed("POST", other.as_str())),
    }
}

async fn find(tx: &mut Connection, id: &ResourceId) -> Result<ResourceRow, ArmError> {
    if let Some(row) = db::resource::find(tx, id.key()).await? {
        return Ok(row);
    }
    place::find(tx, id).await?;
    Err(id.not_found())
}

/// A disk that no operation is working on.
async fn find_idle(tx: &mut Connection, id: &ResourceId) -> Result<ResourceRow, ArmError> {
    let row = find(tx, id).await?;
    match row.provisioning_state {
        ProvisioningState::Succeeded => Ok(row),
        state => Err(ArmError::invalid_disk_state("BeginGetAccess", &row.name, state.as_str())),
    }
}

/// Makes `manifest` the content of a disk.
async fn hold(
    tx: &mut Connection,
    row: &ResourceRow,
    manifest: ManifestId,
    virtual_size_bytes: u64,
) -> Result<(), ArmError> {
    let image = db::disk_image::DiskImageRow {
        resource: row.key.clone(),
        lun: OS_LUN,
        tenant: row.tenant,
        region: row.location.clone(),
        manifest,
        virtual_size_bytes,
    };
    Ok(db::disk_image::insert(tx, &image).await?)
}

pub(crate) fn region_away(region: &str) -> ArmError {
    ArmError::service_unavailable(&format!("The region '{region}' is not available now. Try again later."))
}

/// Ends a grant whose time is over. An upload's pages and commitment stay: it may be granted again.
///
/// # Errors
/// Of the catalogue only.
pub(crate) async fn expire(tx: &mut Connection, grant: &GrantRow, now_ms: i64) -> Result<(), ArmError> {
    debug_assert!(grant.expires_ms <= now_ms, "only what is over is ended");
    if let Some(disk) = db::disk::find(tx, &grant.resource).await? {
        db::disk::set_state(tx, &grant.resource, ended(disk.state)).await?;
    }
    db::grant::delete(tx, grant.id).await?;
    Ok(())
}

/// What making a grant's SAS asks.
///
/// # Errors
/// 404 when the grant has ended.
pub(crate) async fn view(tx: &mut Connection, grant_id: Uuid) -> Result<GrantView, ArmError> {
    let ended = || ArmError::new(404, "NotFound", "The access that this operation granted has ended.");
    let grant = db::grant::find(tx, grant_id).await?.ok_or_else(ended)?;
    let row = db::resource::find_by_uid(tx, grant.resource_uid).await?.ok_or_else(ended)?;
    Ok(GrantView {
        grant_id: grant.id,
        resource_uid: grant.resource_uid,
        name: row.name,
        permission: grant.permission,
        expires_ms: grant.expires_ms,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bodies() {
        for (body, expected) in [
            (json!({ "access": "Read", "durationInSeconds": 60 }), Ok(Permission::Read)),
            (json!({ "access": "Write", "durationInSeconds": 1, "fileFormat": "VHD" }), Ok(Permission::Write)),
            (json!({ "access": "None", "durationInSeconds": 60 }), Err("grantAccessData.access")),
            (json!({ "durationInSeconds": 60 }), Err("grantAccessData.access")),
            (json!({ "access": "Read" }), Err("grantAccessData.durationInSeconds")),
            (json!({ "access": "Read", "durationInSeconds": 0 }), Err("durationInSeconds")),
            (json!({ "access": "Read", "durationInSeconds": 4_294_967_296_i64 }), Err("durationInSeconds")),
            (
                json!({ "access": "Read", "durationInSeconds": 60, "fileFormat": "VHDX" }),
                Err("grantAccessData.fileFormat"),
            ),
        ] {
            let answer = wanted(&body).map(|wanted| wanted.permission).map_err(|error| error.target.unwrap());
            assert_eq!(answer, expected.map_err(str::to_owned), "{body}");
        }
    }

    #[test]
    fn one_grant_at_a_time_and_of_the_right_kind() {
        use DiskState::{ActiveSas, ActiveUpload, ReadyToUpload, Unattached};
        for (state, permission, expected) in [
            (ReadyToUpload, Permission::Write, Some(ActiveUpload)),
            (ReadyToUpload, Permission::Read, None),
            (ActiveUpload, Permission::Write, None),
            (ActiveUpload, Permission::Read, None),
            (Unattached, Permission::Read, Some(ActiveSas)),
            (Unattached, Permission::Write, None),
            (ActiveSas, Permission::Read, None),
        ] {
            let answer = granted("disk", "d", state, permission);
            assert!(answer.as_ref().err().is_none_or(|error| error.status == 409));
            assert_eq!(answer.ok(), expected, "{state} {permission:?}");
        }
    }

    #[test]
    fn every_part_is_signed() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let text = signed_text(one, one, "r", 1000);
        for other in [
            signed_text(two, one, "r", 1000),
            signed_text(one, two, "r", 1000),
            signed_text(one, one, "rw", 1000),
            signed_text(one, one, "r", 2000),
        ] {
            assert_ne!(text, other);
        }
    }
}
