//! Who did what, written in the transaction that does it.

use galerie_arm::ArmError;
use uuid::Uuid;

use crate::{
    db::{
        Connection,
        audit::{self, AuditRow},
    },
    request::RequestContext,
};

/// Records an accepted write.
///
/// # Errors
/// The catalogue's.
pub(crate) async fn record(
    tx: &mut Connection,
    ctx: &RequestContext,
    now_ms: i64,
    action: &'static str,
    resource: &str,
    operation: Option<Uuid>,
) -> Result<(), ArmError> {
    let row = AuditRow {
        at_ms: now_ms,
        tenant: ctx.caller.tenant,
        principal: ctx.caller.principal,
        action,
        resource,
        operation,
        correlation_id: ctx.correlation_id,
        detail: "",
    };
    Ok(audit::insert(tx, &row).await?)
}
