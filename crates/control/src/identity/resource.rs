//! Applications as what tokens are for: which a tenant has, and what those who ask are to them.
//!
//! A token for a service of the gallery itself says nothing of roles. One for an application says the roles that its principal
//! has there (`roles`), and is not issued where the application asks for an assignment and there is none.

use serde_json::Value;
use uuid::Uuid;

use super::{Identity, IdentityError, TokenShape, client::AZURE_CLI};
use crate::{
    db::{
        self, Connection, app_role_assignment,
        application::{self, ApplicationRow},
        service_principal::{self, ServicePrincipalRow},
        user::UserRow,
    },
    directory::app_role,
    directory::application::names_another,
};

/// The length of a GUID as client ids are written.
const GUID_CHARS: usize = 36;

/// Who may have roles at an application.
#[derive(Debug, Clone, Copy)]
enum Holder {
    /// A user: also by the groups that have the user as a member.
    User(Uuid),
    /// A service principal: by itself alone, as in Entra.
    Application(Uuid),
}

/// What a user is to two applications.
#[derive(Debug, Default)]
pub(super) struct UsersRoles {
    /// To the one that the access token is for.
    pub(super) at_resource: Vec<String>,
    /// To the one that the user signs in through: what the id token says.
    pub(super) at_client: Vec<String>,
}

/// An application, as a tenant has it.
struct Resource {
    principal: ServicePrincipalRow,
    /// The application's own: its roles.
    document: Value,
}

/// The application of an audience in a tenant: by its client id or by one of its URIs.
async fn find(tx: &mut Connection, tenant: Uuid, audience: &str) -> Result<Option<Resource>, db::Error> {
    match client_id(audience) {
        Some(app_id) => find_by_app(tx, tenant, app_id).await,
        None => {
            let application = application::find_by_uri(tx, tenant, audience).await?;
            // Those from before the rule, too, would fool whoever accepts them.
            let application = application.filter(|application| !names_another(audience, application));
            in_tenant(tx, tenant, application).await
        }
    }
}

async fn find_by_app(tx: &mut Connection, tenant: Uuid, app_id: Uuid) -> Result<Option<Resource>, db::Error> {
    let application = application::find_by_app(tx, app_id).await?;
    in_tenant(tx, tenant, application).await
}

async fn in_tenant(
    tx: &mut Connection,
    tenant: Uuid,
    application: Option<ApplicationRow>,
) -> Result<Option<Resource>, db::Error> {
    let Some(application) = application else { return Ok(None) };
    let principal = service_principal::find_by_app(tx, tenant, application.app_id).await?;
    let principal = principal.filter(|principal| principal.enabled);
    Ok(principal.map(|principal| Resource { principal, document: application.document }))
}

fn client_id(audience: &str) -> Option<Uuid> {
    audience.parse().ok().filter(|_| audience.len() == GUID_CHARS)
}

/// What somebody is to an application.
///
/// # Errors
/// `NotAssigned` where the application wants an assignment.
async fn roles(tx: &mut Connection, resource: &Resource, holder: Holder) -> Result<Vec<String>, IdentityError> {
    let id = resource.principal.object.id;
    let held = match holder {
        Holder::User(user) => app_role_assignment::roles_with_groups(tx, user, id).await?,
        Holder::Application(principal) => app_role_assignment::roles(tx, principal, id).await?,
    };
    let required = &resource.principal.document["appRoleAssignmentRequired"];
    let must_be_assigned = !matches!(required, Value::Null | Value::Bool(false));
    if held.is_empty() && must_be_assigned {
        return Err(IdentityError::NotAssigned(resource.principal.object.display_name.clone()));
    }
    Ok(app_role::values(&resource.document, &held))
}

/// What a service principal is to the application that its token is for; nothing to a service of the gallery.
///
/// # Errors
/// `UnknownResource`, `NotAssigned`.
pub(super) async fn roles_of_application(
    tx: &mut Connection,
    principal: &ServicePrincipalRow,
    shape: &TokenShape,
) -> Result<Vec<String>, IdentityError> {
    if !shape.is_application {
        return Ok(Vec::new());
    }
    let found = find(tx, principal.object.tenant, &shape.audience).await?;
    let resource = found.ok_or_else(|| IdentityError::UnknownResource(shape.audience.clone()))?;
    roles(tx, &resource, Holder::Application(principal.object.id)).await
}

/// What a user is to the application that signs the user in, and to the one that the token is for.
///
/// # Errors
/// `UnknownResource`, `NotAssigned`.
pub(super) async fn roles_of_user(
    tx: &mut Connection,
    user: &UserRow,
    app_id: Uuid,
    shape: &TokenShape,
) -> Result<UsersRoles, IdentityError> {
    let (tenant, holder) = (user.object.tenant, Holder::User(user.object.id));
    let at_client = roles_at_client(tx, user.object.tenant, user.object.id, app_id).await?;
    if !shape.is_application {
        return Ok(UsersRoles { at_resource: Vec::new(), at_client });
    }
    let found = find(tx, tenant, &shape.audience).await?;
    let resource = found.ok_or_else(|| IdentityError::UnknownResource(shape.audience.clone()))?;
    Ok(UsersRoles { at_resource: roles(tx, &resource, holder).await?, at_client })
}

/// What a user is to the application that signs the user in; nothing where it is only registered, or known everywhere.
///
/// # Errors
/// `NotAssigned`.
pub(super) async fn roles_at_client(
    tx: &mut Connection,
    tenant: Uuid,
    user: Uuid,
    app_id: Uuid,
) -> Result<Vec<String>, IdentityError> {
    if app_id == AZURE_CLI {
        return Ok(Vec::new());
    }
    match find_by_app(tx, tenant, app_id).await? {
        Some(client) => roles(tx, &client, Holder::User(user)).await,
        None => Ok(Vec::new()),
    }
}

impl Identity {
    /// Whether an audience is an application that a tenant has.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn is_application(&self, tenant: Uuid, audience: &str) -> Result<bool, IdentityError> {
        Ok(find(&mut *self.db.read().await?, tenant, audience).await?.is_some())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{db::transact, directory::Document, testing::World};

    /// A URI with another's id in it, from before there was a rule, is nobody's; its application can still be changed.
    #[tokio::test]
    async fn no_token_is_for_a_uri_with_anothers_id() {
        let world = World::new().await;
        let (control, ctx, tenant) = (&world.control, world.ctx(), world.caller.tenant);
        let mut document = Document::new();
        document.insert("identifierUris".to_owned(), json!(["api://images"]));
        let made = control.application_create(&ctx, "Images", document, &[]).await.unwrap();
        let app_id = made.app_id;
        control.service_principal_create(&ctx, app_id, true, Document::new()).await.unwrap();
        let foreign = format!("api://{}", Uuid::new_v4());
        let uris = [foreign.clone(), format!("api://{app_id}"), "api://images".to_owned()];
        transact!(control.db(), |tx| -> db::Result<()> {
            let mut row = application::find_by_app(tx, app_id).await?.expect("an application");
            application::replace_uris(tx, &row.object, &uris).await?;
            row.document["identifierUris"] = json!(uris);
            application::update(tx, &row).await
        })
        .unwrap();
        let mut tx = control.db().read().await.unwrap();
        for (uri, is_its) in [(&foreign, false), (&uris[1], true), (&uris[2], true)] {
            assert_eq!(find(&mut tx, tenant, uri).await.unwrap().is_some(), is_its, "{uri}");
        }
        drop(tx);
        let change = |uris: Value| Document::from_iter([("identifierUris".to_owned(), uris)]);
        let update = async |name, change| control.application_update(&ctx, made.id, name, change, None).await;
        update(Some("Renamed"), Document::new()).await.unwrap();
        update(None, change(json!(["api://images"]))).await.unwrap();
        update(None, change(json!([foreign]))).await.unwrap_err();
        // Whose id it is takes it.
        let squatted = async |uri: String| {
            transact!(control.db(), |tx| -> db::Result<()> {
                let mut row = application::find_by_app(tx, app_id).await?.expect("an application");
                application::replace_uris(tx, &row.object, std::slice::from_ref(&uri)).await?;
                row.document["identifierUris"] = json!([uri]);
                application::update(tx, &row).await
            })
            .unwrap();
        };
        let owner = control.application_create(&ctx, "Owner", Document::new(), &[]).await.unwrap();
        let its = format!("api://{}", owner.app_id);
        squatted(its.clone()).await;
        control.application_update(&ctx, owner.id, None, change(json!([its])), None).await.unwrap();
        let mut tx = control.db().read().await.unwrap();
        let holder = application::find_by_uri(&mut tx, tenant, &its).await.unwrap().unwrap();
        let before = application::find_by_app(&mut tx, app_id).await.unwrap().unwrap();
        assert_eq!((holder.app_id, &before.document["identifierUris"]), (owner.app_id, &json!([])));
    }
}
