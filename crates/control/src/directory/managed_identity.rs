//! Managed identities: service principals that belong to a resource. They have no application and no credentials, come and
//! go with their resource, and are changed by nobody else.

use galerie_arm::ArmError;
use serde_json::json;
use uuid::Uuid;

use super::{error, new_object, service_principal};
use crate::db::{
    Connection,
    directory_object::ObjectKind,
    service_principal::{self as principals, ServicePrincipalRow},
};

const KIND: &str = "ManagedIdentity";

/// Makes the identity of a resource, with the object id that the resource says.
///
/// # Errors
/// `Directory_QuotaExceeded`; the catalogue's.
pub(crate) async fn insert(
    tx: &mut Connection,
    tenant: Uuid,
    id: Uuid,
    name: &str,
    resource: &str,
) -> Result<(), ArmError> {
    let mut object = new_object(tx, tenant, ObjectKind::ServicePrincipal, name).await?;
    object.id = id;
    let document = json!({ "servicePrincipalType": KIND, "alternativeNames": ["isExplicit=False", resource] });
    let app_id = Uuid::new_v4();
    let row = ServicePrincipalRow { object, app_id, administrator: false, enabled: true, document };
    Ok(principals::insert(tx, &row).await?)
}

/// Removes the identity of a resource, with the roles that it has; one that is not there is fine.
///
/// # Errors
/// `CannotDeleteLastRbacAdminAssignment`; the catalogue's.
pub(crate) async fn remove(tx: &mut Connection, id: Uuid) -> Result<(), ArmError> {
    match principals::find(tx, id).await?.filter(is_managed) {
        Some(row) => service_principal::remove(tx, &row).await,
        None => Ok(()),
    }
}

/// Refuses to change or delete the identity of a resource.
///
/// # Errors
/// `Request_BadRequest`.
pub(super) fn require_not_managed(row: &ServicePrincipalRow) -> Result<(), ArmError> {
    if is_managed(row) {
        let message = "This service principal is the managed identity of a resource. It has no credentials, and it is changed \
                       and deleted with its resource.";
        return Err(error::bad_request(message));
    }
    Ok(())
}

fn is_managed(row: &ServicePrincipalRow) -> bool {
    row.document["servicePrincipalType"] == KIND
}
