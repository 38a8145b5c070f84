//! What a request carries into the domain, and what comes back.

use std::net::IpAddr;

use galerie_arm::{ApiVersion, ResourceId, ResourceType, etag::Precondition};
use serde_json::Value;
use uuid::Uuid;

use crate::db::directory_object::ObjectKind;

/// An authenticated principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The tenant that issued the token.
    pub tenant: Uuid,
    /// The principal's object id.
    pub principal: Uuid,
    /// `User` or `ServicePrincipal`.
    pub kind: ObjectKind,
    /// The client id of the application: of the principal itself, or of the one that a user signed in through.
    pub app_id: Option<Uuid>,
    /// A user's principal name.
    pub upn: Option<String>,
    /// Groups that an external issuer says the principal is in, beside those that the directory knows.
    pub groups: Vec<Uuid>,
    /// Whether the principal looks after the gallery itself: stores, quotas, backups, processes. Rights over resources are its
    /// roles'.
    pub administrator: bool,
}

impl Caller {
    /// A service principal.
    #[must_use]
    pub fn application(tenant: Uuid, principal: Uuid, app_id: Uuid, administrator: bool) -> Self {
        let kind = ObjectKind::ServicePrincipal;
        Self { tenant, principal, kind, app_id: Some(app_id), upn: None, groups: Vec::new(), administrator }
    }

    /// A user who signed in through an application.
    #[must_use]
    pub fn user(tenant: Uuid, principal: Uuid, name: &str, app_id: Option<Uuid>) -> Self {
        let (kind, upn) = (ObjectKind::User, Some(name.to_owned()));
        Self { tenant, principal, kind, app_id, upn, groups: Vec::new(), administrator: false }
    }

    /// How people, and ARM's errors, call the caller: a user's name, an application's client id.
    #[must_use]
    pub fn client(&self) -> String {
        let app_id = || self.app_id.unwrap_or(self.principal).to_string();
        self.upn.clone().unwrap_or_else(app_id)
    }
}

/// Everything about a request but its target and body.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// Who asks.
    pub caller: Caller,
    /// In which shape.
    pub api_version: ApiVersion,
    /// `If-Match` and `If-None-Match`.
    pub preconditions: Precondition,
    /// Who asks, as other tenants know it: for what the request names there, and for nothing else.
    pub auxiliary: Vec<Caller>,
    /// Ties logs, audit rows and error bodies together.
    pub correlation_id: Uuid,
    /// Where the request comes from, when that is known.
    pub client_address: Option<IpAddr>,
}

impl RequestContext {
    /// Of a request to the directory, which knows neither api-versions nor preconditions.
    #[must_use]
    pub fn of_the_directory(caller: Caller, correlation_id: Uuid) -> Self {
        let api_version = ApiVersion::stable(2022, 4, 1);
        let (preconditions, auxiliary) = (Precondition::default(), Vec::new());
        Self { caller, api_version, preconditions, auxiliary, correlation_id, client_address: None }
    }
}

/// A resource as a client sees it in its api-version.
#[derive(Debug, Clone)]
pub struct Resource {
    /// The whole body: id, name, type, location, tags, properties.
    pub document: Value,
    /// Changes with intent, not with progress. Unquoted.
    pub etag: String,
}

/// Names an operation for the status URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationRef {
    /// The operation.
    pub id: Uuid,
    /// The subscription in its URL.
    pub subscription: Uuid,
    /// The location in its URL.
    pub location: String,
}

/// A write that is durable.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// Whether the resource is new.
    pub created: bool,
    /// The resource after the write; `None` after a delete or an action.
    pub resource: Option<Resource>,
    /// The operation that carries the write out; already ended when nothing was left to do.
    pub operation: OperationRef,
}

/// What to list.
#[derive(Debug, Clone)]
pub enum ListScope {
    /// Children of one type of a resource.
    Children {
        /// The parent.
        parent: ResourceId,
        /// The children's type.
        resource_type: ResourceType,
    },
    /// Resources in a group; of one type, or of all tracked types.
    Group {
        /// The group.
        group: ResourceId,
        /// The type, or all.
        resource_type: Option<ResourceType>,
    },
    /// Resources in a subscription; of one type, or of all tracked types.
    Subscription {
        /// The subscription.
        subscription: Uuid,
        /// The type, or all.
        resource_type: Option<ResourceType>,
    },
}

/// A document as a client sees it, as JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentText(String);

impl DocumentText {
    /// Takes text that was written as JSON.
    pub(crate) fn written(text: Vec<u8>) -> Self {
        Self(String::from_utf8(text).expect("JSON is written as UTF-8"))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The document, for who looks into it.
    #[must_use]
    pub fn to_value(&self) -> Value {
        serde_json::from_str(&self.0).expect("it was written as JSON")
    }
}

impl From<&Value> for DocumentText {
    fn from(document: &Value) -> Self {
        Self(document.to_string())
    }
}

impl ListScope {
    /// The type of what is listed; `None`: of all types, and then each is shown without its properties.
    pub(crate) fn listed_type(&self) -> Option<ResourceType> {
        match self {
            Self::Children { resource_type, .. } => Some(*resource_type),
            Self::Group { resource_type, .. } | Self::Subscription { resource_type, .. } => *resource_type,
        }
    }
}

/// A page of a list, in key order.
#[derive(Debug, Clone)]
pub struct Page {
    /// The resources' documents.
    pub items: Vec<DocumentText>,
    /// Where the next page starts; opaque; `None` on the last.
    pub continuation: Option<String>,
}
