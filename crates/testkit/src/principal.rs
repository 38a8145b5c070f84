//! Principals beside the administrator, and what becomes of them.

use galerie_control::{Caller, DefinitionFilter, ObjectKind, RequestContext, Scope, directory::credential::NewSecret};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, json};
use uuid::Uuid;

use crate::Gallery;

/// An application with a service principal, a secret, and the tokens that this bought.
#[derive(Debug)]
pub struct Principal {
    /// As the domain knows it.
    pub caller: Caller,
    /// The application's object id.
    pub application: Uuid,
    /// The secret.
    pub secret: SecretString,
    /// A token for Azure Resource Manager.
    pub arm_token: String,
    /// A token for Microsoft Graph.
    pub graph_token: String,
}

/// The form with which an application asks for a token for a resource.
#[must_use]
pub fn client_form(client_id: Uuid, secret: &str, resource: &str) -> String {
    format!("grant_type=client_credentials&client_id={client_id}&client_secret={secret}&scope={resource}/.default")
}

impl Gallery {
    /// The administrator's context, for preparing what a test is about.
    pub async fn operator(&self) -> RequestContext {
        let first = self.control.bootstrapped().await.expect("a first start");
        let caller = Caller::application(first.tenant, first.principal, first.client_id, true);
        RequestContext::of_the_directory(caller, Uuid::nil())
    }

    /// Makes a principal of the first tenant that may do nothing.
    pub async fn make_principal(&self, name: &str) -> Principal {
        let (control, context) = (&self.control, self.operator().await);
        let application = control.application_create(&context, name, Map::new(), &[]).await.expect("an application");
        let made = control.service_principal_create(&context, application.app_id, true, Map::new()).await;
        let made = made.expect("a service principal");
        let secret = control.add_secret(&context, ObjectKind::Application, application.id, NewSecret::default()).await;
        let (_, secret) = secret.expect("a secret");
        let token = async |resource: &str| {
            let form = client_form(application.app_id, secret.expose_secret(), resource);
            let answer = self.form(&format!("/{}/oauth2/v2.0/token", self.tenant), &form).await.expect(200);
            answer.json()["access_token"].as_str().expect("a token").to_owned()
        };
        let (arm_token, graph_token) = (token(&self.url()).await, token(&format!("{}/msgraph", self.url())).await);
        let caller = Caller::application(self.tenant, made.id, made.app_id, false);
        Principal { caller, application: application.id, secret, arm_token, graph_token }
    }

    /// Lets a principal sign in no more.
    pub async fn disable(&self, principal: &Principal) {
        let (context, id) = (self.operator().await, principal.caller.principal);
        let changed = self.control.service_principal_update(&context, id, Some(false), Map::new(), None).await;
        changed.expect("a change");
    }

    /// Deletes a principal and its application.
    pub async fn delete_principal(&self, principal: &Principal) {
        let context = self.operator().await;
        self.control.application_delete(&context, principal.application).await.expect("a deletion");
    }

    /// Gives a principal a role, by its name, over a scope (`{s}/resourceGroups/...`); answers the assignment's name.
    pub async fn give(&self, principal: &Principal, role: &str, scope: &str) -> String {
        let (context, scope) = (self.operator().await, self.scope(scope));
        let filter = DefinitionFilter { role_name: Some(role.to_owned()), ..DefinitionFilter::default() };
        let roles = self.control.role_definition_list(&context, &scope, &filter).await.expect("a list");
        let id = &roles.first().unwrap_or_else(|| panic!("no role {role}"))["id"];
        let principal = principal.caller.principal.to_string();
        let body = json!({ "properties": { "roleDefinitionId": id, "principalId": principal } });
        let name = Uuid::new_v4().to_string();
        self.control.role_assignment_put(&context, &scope, &name, &body).await.expect("an assignment");
        name
    }

    /// Takes what [`Gallery::give`] gave.
    pub async fn take(&self, assignment: &str, scope: &str) {
        let taken = self.control.role_assignment_delete(&self.operator().await, &self.scope(scope), assignment).await;
        assert!(taken.expect("a deletion").is_some(), "{assignment} was not there");
    }

    fn scope(&self, text: &str) -> Scope {
        Scope::parse(&self.path(text), "scope").expect("a scope")
    }
}
