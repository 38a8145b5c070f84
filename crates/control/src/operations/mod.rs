//! The durable record of accepted work, and the workers that carry it out.
//!
//! ```text
//!   InProgress --(the work is done, in the same transaction)--> Succeeded
//!       |------(final failure, or passing ones MOST_ATTEMPTS times)--> Failed
//!       `------(a newer operation, or the resource's deletion)--> Canceled
//! ```
//! Work that ends its process is counted, too: claimed once more than it may be tried, it has failed.
//!
//! An operation is a row; a worker is replaceable. Steps look first, then act, then record, and each is safe to run
//! twice. Every write that a worker makes names its lease; a stale holder is refused.

mod copy_image;
mod create_empty_disk;
mod delete_group;
mod failure;
mod fetch;
mod import_upload;
mod lease;
mod progress;
pub(crate) mod replicate;
mod status;
mod worker;

use std::str::FromStr;

use galerie_arm::{ArmError, OperationStatus, ResourceId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use self::failure::Failure;
pub use self::status::{OperationResult, OperationView};
pub(crate) use self::worker::{start, start_region};
use crate::{
    audit,
    db::{
        Connection,
        operation::{self, NEVER_MS, OperationRow},
    },
    request::{OperationRef, RequestContext},
};

/// Attempts before a passing failure becomes final.
pub(crate) const MOST_ATTEMPTS: u64 = 8;
/// The first wait between attempts, in ms; it doubles.
const FIRST_BACKOFF_MS: i64 = 1_000;
/// The longest wait between attempts, in ms.
pub(crate) const LONGEST_BACKOFF_MS: i64 = 60_000;

/// How long to wait after the `attempts`-th attempt, in ms.
pub(crate) fn backoff_ms(attempts: u64) -> i64 {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    (FIRST_BACKOFF_MS << doublings).min(LONGEST_BACKOFF_MS)
}

/// What an operation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum OperationKind {
    /// Ends when the version's replicas are all terminal; nothing by itself.
    ReplicateVersion,
    /// Staged pages become a disk's content.
    ImportUpload,
    /// A disk of zeros is written.
    CreateEmptyDisk,
    /// A disk's image is copied from another tenant's image version.
    CopyImage,
    /// A group's resources are deleted, children first, then the group.
    DeleteGroup,
    /// Finished by the transaction that accepted it.
    Immediate,
}

impl OperationKind {
    const ALL: [Self; 6] = [
        Self::ReplicateVersion,
        Self::ImportUpload,
        Self::CreateEmptyDisk,
        Self::CopyImage,
        Self::DeleteGroup,
        Self::Immediate,
    ];

    /// As the table spells it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ReplicateVersion => "ReplicateVersion",
            Self::ImportUpload => "ImportUpload",
            Self::CreateEmptyDisk => "CreateEmptyDisk",
            Self::CopyImage => "CopyImage",
            Self::DeleteGroup => "DeleteGroup",
            Self::Immediate => "Immediate",
        }
    }

    /// Whether a newer operation of this kind on the same resource takes the place of an unfinished `older`.
    fn preempts(self, older: Self) -> bool {
        match older {
            // Whatever is accepted on a version, its replicas are then this operation's business, or nobody's.
            Self::ReplicateVersion => true,
            _ => older == self,
        }
    }
}

impl FromStr for OperationKind {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(())
    }
}

/// What an operation's result URL answers once it succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Answer {
    /// The resource.
    Resource,
    /// 200 and nothing.
    Empty,
    /// 200 and the operation's input: what was asked for.
    Input,
    /// 204.
    Deleted,
    /// The SAS of this grant, for its initiator.
    Grant(Uuid),
}

/// Work to be accepted.
#[derive(Debug)]
pub(crate) struct NewOperation<'a> {
    pub(crate) kind: OperationKind,
    /// What was authorized: `Microsoft.Compute/galleries/write`.
    pub(crate) action: &'static str,
    /// The resource or group.
    pub(crate) resource: &'a ResourceId,
    /// Its incarnation.
    pub(crate) uid: Uuid,
    /// Its generation after this write.
    pub(crate) generation: u64,
    /// The location in the operation's URL; normalised.
    pub(crate) location: &'a str,
    /// The region whose process must do it; `None`: any.
    pub(crate) region: Option<&'a str>,
    /// By kind.
    pub(crate) input: Value,
    pub(crate) answer: Answer,
    /// Whether this transaction leaves nothing to do.
    pub(crate) finished: bool,
}

/// Writes the operation row and the audit row of an accepted write, and ends what it takes the place of.
///
/// # Errors
/// The catalogue's.
pub(crate) async fn accept(
    tx: &mut Connection,
    ctx: &RequestContext,
    now_ms: i64,
    new: NewOperation<'_>,
) -> Result<OperationRef, ArmError> {
    let id = Uuid::new_v4();
    let preempted = ArmError::operation_preempted(&id.to_string());
    for older in operation::unfinished(tx, new.resource.key(), new.uid).await? {
        if new.kind.preempts(older.kind) {
            operation::cancel(tx, older.lease(), &preempted, now_ms).await?;
        }
    }
    let subscription = new.resource.subscription().map(|id| id.as_uuid()).unwrap_or_default();
    let row = OperationRow {
        id,
        kind: new.kind,
        tenant: ctx.caller.tenant,
        subscription,
        location: new.location.to_owned(),
        region: new.region.map(str::to_owned),
        resource: new.resource.key().to_owned(),
        resource_uid: new.uid,
        resource_generation: new.generation,
        initiator: ctx.caller.principal,
        correlation_id: ctx.correlation_id,
        api_version: ctx.api_version.to_string(),
        status: if new.finished { OperationStatus::Succeeded } else { OperationStatus::InProgress },
        input: new.input,
        answer: new.answer,
        error: None,
        percent: if new.finished { 100 } else { 0 },
        attempts: 0,
        next_attempt_ms: if new.kind == OperationKind::ReplicateVersion { NEVER_MS } else { now_ms },
        lease_owner: None,
        lease_until_ms: 0,
        generation: 0,
        created_ms: now_ms,
        ended_ms: new.finished.then_some(now_ms),
    };
    operation::insert(tx, &row).await?;
    audit::record(tx, ctx, now_ms, new.action, new.resource.as_str(), Some(id)).await?;
    metrics::counter!("galerie_operations_accepted_total", "kind" => new.kind.as_str()).increment(1);
    Ok(OperationRef { id, subscription, location: row.location })
}

/// The refusal of a request that must wait for a running operation.
pub(crate) fn in_progress(name: &str) -> ArmError {
    ArmError::conflict(&format!("Another operation on '{name}' is in progress. Try again when it has ended."))
}

/// Why work is given up that was begun too often: whoever began it never got to say how it ended.
fn never_ended(attempts: u64) -> Failure {
    let message = format!("The work was begun {} times and never came to its end.", attempts.saturating_sub(1));
    Failure::Final(ArmError::new(500, "InternalOperationError", message))
}

#[cfg(test)]
mod tests;
