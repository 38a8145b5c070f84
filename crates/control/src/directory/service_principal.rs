//! Service principals: what an application is to a tenant, and who its tokens act as.

use galerie_arm::ArmError;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Document, access, check_document,
    credential::{self, Credential, NewCertificate},
    error,
    managed_identity::require_not_managed,
    merge, new_object, properties, removal,
    role::DirectoryRole,
};
use crate::{
    Control, audit,
    db::{
        Connection, application,
        directory_object::{self, ObjectKind},
        directory_role,
        service_principal::{self, ServicePrincipalRow},
        transact,
    },
    request::{Caller, RequestContext},
};

/// A service principal.
#[derive(Debug, Clone, PartialEq)]
pub struct ServicePrincipal {
    /// The object id.
    pub id: Uuid,
    /// The client id of its application.
    pub app_id: Uuid,
    /// What people call it: its application's name when it was made.
    pub display_name: String,
    /// Whether it may sign in.
    pub enabled: bool,
    /// When it was made, ms since 1970.
    pub created_ms: i64,
    /// What Graph shows beside these.
    pub document: Document,
    /// Its own credentials, beside its application's.
    pub credentials: Vec<Credential>,
    /// The tenant that registered the application.
    pub application_tenant: Option<Uuid>,
    /// What it is known by: the client id and the application's URIs.
    pub names: Vec<String>,
    /// What its application says that others can be to it.
    pub app_roles: Vec<Value>,
}

/// A service principal of any tenant.
pub(super) async fn read(tx: &mut Connection, id: Uuid) -> Result<Option<ServicePrincipal>, ArmError> {
    match service_principal::find(tx, id).await? {
        Some(row) => Ok(Some(whole(tx, row).await?)),
        None => Ok(None),
    }
}

async fn whole(tx: &mut Connection, row: ServicePrincipalRow) -> Result<ServicePrincipal, ArmError> {
    let credentials = credential::list(tx, row.object.id).await?;
    let application = application::find_by_app(tx, row.app_id).await?;
    let uris = application.as_ref().and_then(|found| found.document["identifierUris"].as_array().cloned());
    let app_roles = application.as_ref().and_then(|found| found.document["appRoles"].as_array().cloned());
    let uris = uris.unwrap_or_default().into_iter().filter_map(|uri| uri.as_str().map(str::to_owned));
    let document = properties(&row.document);
    let ServicePrincipalRow { object, app_id, enabled, .. } = row;
    Ok(ServicePrincipal {
        id: object.id,
        app_id,
        display_name: object.display_name,
        enabled,
        created_ms: object.created_ms,
        document,
        credentials,
        application_tenant: application.map(|found| found.object.tenant),
        names: [app_id.to_string()].into_iter().chain(uris).collect(),
        app_roles: app_roles.unwrap_or_default(),
    })
}

pub(super) async fn find(tx: &mut Connection, caller: &Caller, id: Uuid) -> Result<ServicePrincipalRow, ArmError> {
    let found = service_principal::find(tx, id).await?.filter(|found| found.object.tenant == caller.tenant);
    found.ok_or_else(|| error::not_found(&id.to_string()))
}

/// Removes a principal and everything that names it.
pub(super) async fn remove(tx: &mut Connection, row: &ServicePrincipalRow) -> Result<(), ArmError> {
    removal::begin(tx, &row.object).await?;
    service_principal::delete(tx, row.object.id).await?;
    removal::finish(tx, &row.object).await
}

/// Puts what an application is to a tenant into the catalogue.
pub(crate) async fn insert(
    tx: &mut Connection,
    tenant: Uuid,
    app_id: Uuid,
    name: &str,
    document: Document,
) -> Result<ServicePrincipalRow, ArmError> {
    let object = new_object(tx, tenant, ObjectKind::ServicePrincipal, name).await?;
    let row = ServicePrincipalRow { object, app_id, administrator: false, enabled: true, document: document.into() };
    service_principal::insert(tx, &row).await?;
    Ok(row)
}

impl Control {
    /// Makes an application known in the caller's tenant; one of another tenant only if that one says so
    /// (`signInAudience`).
    ///
    /// # Errors
    /// `Authorization_RequestDenied`; `Request_BadRequest` for an application that is not there;
    /// `Request_MultipleObjectsWithSameKeyValue`.
    pub async fn service_principal_create(
        &self,
        ctx: &RequestContext,
        app_id: Uuid,
        enabled: bool,
        document: Document,
    ) -> Result<ServicePrincipal, ArmError> {
        transact!(self.db(), |tx| -> Result<ServicePrincipal, ArmError> {
            let application = application::find_by_app(tx, app_id).await?;
            let tenant = ctx.caller.tenant;
            let owned = match &application {
                Some(found) => directory_role::is_owner(tx, found.object.id, ctx.caller.principal).await?,
                None => false,
            };
            if !owned {
                access::require(tx, &ctx.caller, DirectoryRole::ApplicationAdministrator).await?;
            }
            let is_offered = |document: &Value| document["signInAudience"].as_str() == Some("AzureADMultipleOrgs");
            let application = application.filter(|found| found.object.tenant == tenant || is_offered(&found.document));
            let Some(application) = application else {
                return Err(error::bad_request(format!(
                    "The appId '{app_id}' of the service principal does not reference a valid application object."
                )));
            };
            if service_principal::find_by_app(tx, tenant, app_id).await?.is_some() {
                return Err(error::principal_exists(&app_id.to_string()));
            }
            check_document(&document)?;
            let mut row = insert(tx, tenant, app_id, &application.object.display_name, document.clone()).await?;
            if !enabled {
                row.enabled = false;
                service_principal::update(tx, &row).await?;
            }
            if directory_object::find(tx, ctx.caller.principal).await?.is_some() {
                directory_role::add_owner(tx, row.object.id, ctx.caller.principal).await?;
            }
            record(tx, ctx, "microsoft.directory/servicePrincipals/create", row.object.id).await?;
            whole(tx, row).await
        })
    }

    /// A service principal by its object id.
    ///
    /// # Errors
    /// `Request_ResourceNotFound`.
    pub async fn service_principal(&self, caller: &Caller, id: Uuid) -> Result<ServicePrincipal, ArmError> {
        let mut tx = self.db().read().await?;
        let row = find(&mut tx, caller, id).await?;
        whole(&mut tx, row).await
    }

    /// The caller's tenant's service principal by one of its names: the client id or a URI of its application.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn service_principal_by_name(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<Option<ServicePrincipal>, ArmError> {
        let mut tx = self.db().read().await?;
        let app_id = match name.parse() {
            Ok(app_id) => Some(app_id),
            Err(_) => application::find_by_uri(&mut tx, caller.tenant, name).await?.map(|found| found.app_id),
        };
        let Some(app_id) = app_id else { return Ok(None) };
        match service_principal::find_by_app(&mut tx, caller.tenant, app_id).await? {
            Some(row) => Ok(Some(whole(&mut tx, row).await?)),
            None => Ok(None),
        }
    }

    /// Changes a service principal. Certificates that are given take the place of those that are there.
    ///
    /// # Errors
    /// `Authorization_RequestDenied`; `Request_ResourceNotFound`; `Request_BadRequest`.
    pub async fn service_principal_update(
        &self,
        ctx: &RequestContext,
        id: Uuid,
        enabled: Option<bool>,
        change: Document,
        certificates: Option<&[NewCertificate]>,
    ) -> Result<ServicePrincipal, ArmError> {
        transact!(self.db(), |tx| -> Result<ServicePrincipal, ArmError> {
            access::require_or_owner(tx, &ctx.caller, DirectoryRole::ApplicationAdministrator, id).await?;
            let mut row = find(tx, &ctx.caller, id).await?;
            access::require_no_greater_power(tx, &ctx.caller, row.app_id).await?;
            require_not_managed(&row)?;
            if enabled == Some(false) && row.administrator {
                return Err(error::denied());
            }
            row.enabled = enabled.unwrap_or(row.enabled);
            let mut document = properties(&row.document);
            merge(&mut document, change.clone());
            check_document(&document)?;
            row.document = json!(document);
            service_principal::update(tx, &row).await?;
            if let Some(certificates) = certificates {
                credential::replace_certificates(tx, id, certificates).await?;
            }
            record(tx, ctx, "microsoft.directory/servicePrincipals/update", id).await?;
            whole(tx, row).await
        })
    }

    /// Deletes a service principal; its application stays.
    ///
    /// # Errors
    /// `Authorization_RequestDenied`, also for the operator's; `Request_ResourceNotFound`.
    pub async fn service_principal_delete(&self, ctx: &RequestContext, id: Uuid) -> Result<(), ArmError> {
        transact!(self.db(), |tx| -> Result<(), ArmError> {
            access::require_or_owner(tx, &ctx.caller, DirectoryRole::ApplicationAdministrator, id).await?;
            let row = find(tx, &ctx.caller, id).await?;
            access::require_no_greater_power(tx, &ctx.caller, row.app_id).await?;
            require_not_managed(&row)?;
            if row.administrator {
                return Err(error::denied());
            }
            remove(tx, &row).await?;
            record(tx, ctx, "microsoft.directory/servicePrincipals/delete", id).await
        })
    }
}

async fn record(
    tx: &mut Connection,
    ctx: &RequestContext,
    action: &'static str,
    principal: Uuid,
) -> Result<(), ArmError> {
    let now_ms = tx.now_ms().await?;
    audit::record(tx, ctx, now_ms, action, &format!("/servicePrincipals/{principal}"), None).await
}
