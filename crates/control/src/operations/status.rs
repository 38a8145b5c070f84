//! How an operation is, and what came of it.

use galerie_arm::{ArmError, OperationStatus, ResourceId, SubscriptionId, operation::OperationDocument};
use serde_json::Value;
use uuid::Uuid;

use super::{Answer, OperationKind};
use crate::{
    Control,
    access::{self, GrantView},
    authz,
    db::{
        Connection,
        operation::{self, OperationRow},
        replica,
    },
    request::{RequestContext, Resource},
};

/// An operation as its status URL shows it.
#[derive(Debug)]
pub struct OperationView {
    /// The status document, without an output.
    pub document: OperationDocument,
    /// The finished access that the output is to hold a SAS of; only for who asked for it.
    pub grant: Option<GrantView>,
}

/// What came of an operation.
#[derive(Debug)]
pub enum OperationResult {
    /// Nothing yet.
    Pending,
    /// The resource as it is now.
    Resource(Box<Resource>),
    /// It succeeded and gives nothing back.
    Empty,
    /// It succeeded and gives back what was asked for.
    Asked(Value),
    /// What it was to delete is gone.
    Deleted,
    /// Access, to be signed; only for who asked for it.
    Access(GrantView),
    /// It failed or was cancelled.
    Failed(ArmError),
}

impl Control {
    /// How an operation is.
    ///
    /// # Errors
    /// 404 when it is not there, was forgotten, or is another subscription's; `AuthorizationFailed` for who neither began it
    /// nor may read the subscription's operations.
    pub async fn operation_status(
        &self,
        ctx: &RequestContext,
        subscription: Uuid,
        id: Uuid,
    ) -> Result<OperationView, ArmError> {
        let mut tx = self.db().read().await?;
        let row = find(&mut tx, ctx, subscription, id).await?;
        let mut percent = row.percent;
        if row.kind == OperationKind::ReplicateVersion && row.status == OperationStatus::InProgress {
            percent = replicas_percent(&mut tx, &row.resource).await?;
        }
        let grant = match (row.status, row.answer) {
            (OperationStatus::Succeeded, Answer::Grant(grant)) if row.initiator == ctx.caller.principal => {
                // Access that was ended since leaves a succeeded operation without an output.
                access::view(&mut tx, grant).await.ok()
            }
            _ => None,
        };
        let document = OperationDocument {
            name: row.id.to_string(),
            status: row.status,
            started_at_ms: row.created_ms,
            ended_at_ms: row.ended_ms,
            percent_complete: (row.status == OperationStatus::InProgress).then_some(f64::from(percent)),
            output: None,
            error: row.error,
        };
        Ok(OperationView { document, grant })
    }

    /// What came of an operation.
    ///
    /// # Errors
    /// As [`Control::operation_status`]; and what reading the resource or the grant answers.
    pub async fn operation_result(
        &self,
        ctx: &RequestContext,
        subscription: Uuid,
        id: Uuid,
    ) -> Result<OperationResult, ArmError> {
        let mut tx = self.db().read().await?;
        let row = find(&mut tx, ctx, subscription, id).await?;
        Ok(match (row.status, row.answer) {
            (OperationStatus::InProgress, _) => OperationResult::Pending,
            (OperationStatus::Failed | OperationStatus::Canceled, _) => {
                OperationResult::Failed(row.error.unwrap_or_else(|| ArmError::internal(&row.id.to_string())))
            }
            (OperationStatus::Succeeded, Answer::Empty) => OperationResult::Empty,
            (OperationStatus::Succeeded, Answer::Input) => OperationResult::Asked(row.input),
            (OperationStatus::Succeeded, Answer::Deleted) => OperationResult::Deleted,
            (OperationStatus::Succeeded, Answer::Grant(grant)) => {
                if row.initiator != ctx.caller.principal {
                    return Err(ArmError::operation_not_found(&id.to_string()));
                }
                OperationResult::Access(access::view(&mut tx, grant).await?)
            }
            (OperationStatus::Succeeded, Answer::Resource) => {
                drop(tx);
                let resource = ResourceId::parse(&row.resource, "id")?;
                OperationResult::Resource(Box::new(
                    self.get(ctx, &resource, &crate::resource::Expand::default()).await?,
                ))
            }
        })
    }
}

/// The operation, if the caller began it or may read its subscription's. To anybody else it makes no difference whether there
/// is one.
async fn find(
    tx: &mut Connection,
    ctx: &RequestContext,
    subscription: Uuid,
    id: Uuid,
) -> Result<OperationRow, ArmError> {
    let found = operation::find(tx, id).await?;
    let found = found.filter(|row| row.subscription == subscription && row.tenant == ctx.caller.tenant);
    if let Some(own) = found.as_ref().filter(|row| row.initiator == ctx.caller.principal) {
        return Ok(own.clone());
    }
    let scope = ResourceId::of_subscription(SubscriptionId::new(subscription));
    authz::authorize(tx, &ctx.caller, "Microsoft.Compute/locations/capsOperations/read", &scope).await?;
    found.ok_or_else(|| ArmError::operation_not_found(&id.to_string()))
}

async fn replicas_percent(tx: &mut Connection, version: &str) -> Result<u8, ArmError> {
    let replicas = replica::list_for_version(tx, version).await?;
    let sum: usize = replicas.iter().map(|replica| usize::from(replica.percent())).sum();
    Ok(u8::try_from(sum / replicas.len().max(1)).unwrap_or(99).min(99))
}
