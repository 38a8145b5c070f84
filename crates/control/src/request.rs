//! What a request carries into the domain, and what comes back.

use std::net::IpAddr;

use galerie_arm::{ApiVersion, ResourceId, ResourceType, etag::Precondition};
use serde_json::Value;
use uuid::Uuid;

/// An authenticated principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The tenant that issued the token.
    pub tenant: Uuid,
    /// The principal's object id.
    pub principal: Uuid,
    /// The application's client id.
    pub app_id: Uuid,
    /// Whether the principal owns everything in its tenant.
    pub administrator: bool,
}

impl Caller {
    /// As people know the principal.
    pub(crate) fn name(&self) -> String {
        self.app_id.to_string()
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
    /// Ties logs, audit rows and error bodies together.
    pub correlation_id: Uuid,
    /// Where the request comes from, when that is known.
    pub client_address: Option<IpAddr>,
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

/// A page of a list, in key order.
#[derive(Debug, Clone)]
pub struct Page {
    /// The resources.
    pub items: Vec<Resource>,
    /// Where the next page starts; opaque; `None` on the last.
    pub continuation: Option<String>,
}
