//! Microsoft Graph: who reads and changes a directory.
//!
//! Each request has a body that would be carried out, and an object of its own to be carried out on: what an asker was
//! allowed to delete is made anew for the next.

use axum::{
    body::Body,
    http::{Method, Request},
};
use galerie_control::{
    Caller, ObjectKind, RequestContext,
    directory::{
        app_role_assignment::NewAppRoleAssignment,
        credential::NewSecret,
        role::{DirectoryRole, RoleMember},
        user::{NewPassword, NewUser},
    },
};
use galerie_testkit::{Gallery, Principal};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{METHODS, Table, ask, served};
use crate::{
    graph, hosts::AcceptedHost, middleware::request_ids::RequestIds, route_class::RouteClass, routes, state::ApiState,
};

const ASKERS: [&str; 12] = [
    "anonymous",
    "token for ARM",
    "deleted administrator",
    "disabled administrator",
    "other tenant's administrator",
    "user",
    "application",
    "the object itself",
    "the object's owner",
    "Application Administrator",
    "Global Administrator",
    "operator",
];

/// What requests are about.
struct Targets {
    user: Uuid,
    user_name: String,
    /// Has `member` in it.
    group: Uuid,
    application: Uuid,
    application_key: Uuid,
    /// Of `application`.
    service_principal: Uuid,
    service_principal_key: Uuid,
    /// The client id of an application without a service principal.
    unused_app_id: Uuid,
    /// A service principal with a directory role.
    member: Uuid,
    /// Another service principal, which owns all of these.
    co_owner: Uuid,
    /// The id of the member's role assignment.
    assignment: Uuid,
    /// Another application's service principal; nobody is assigned to it.
    other_resource: Uuid,
    /// What the user, the group and the service principal are to `service_principal`.
    app_role_assignments: [Uuid; 3],
}

struct World {
    gallery: Gallery,
    state: ApiState,
    host: AcceptedHost,
    context: RequestContext,
    owner: Principal,
}

impl World {
    async fn start() -> Self {
        let gallery = Gallery::start().await;
        let (state, host) = served(&gallery);
        let (context, owner) = (gallery.operator().await, gallery.make_principal("owner").await);
        Self { gallery, state, host, context, owner }
    }

    async fn targets(&self) -> Targets {
        let (control, context) = (&self.gallery.control, &self.context);
        let new = Uuid::new_v4().simple().to_string();
        let user = self.user(&new).await;
        let group = control.group_create(context, &new, Map::new()).await.expect("a group").id;
        let application = self.application(&new).await;
        let principal = self.service_principal(application.1).await;
        let member = self.service_principal(self.application("member").await.1).await;
        let co_owner = self.service_principal(self.application("co-owner").await.1).await;
        control.group_add_member(context, group, member).await.expect("a member");
        for (kind, object) in [
            (ObjectKind::Group, group),
            (ObjectKind::Application, application.0),
            (ObjectKind::ServicePrincipal, principal),
        ] {
            for owner in [self.owner.caller.principal, co_owner] {
                control.add_owner(context, kind, object, owner).await.expect("an owner");
            }
        }
        let other_resource = self.service_principal(self.application("other").await.1).await;
        control
            .add_owner(context, ObjectKind::ServicePrincipal, other_resource, self.owner.caller.principal)
            .await
            .expect("an owner");
        let assigned = async |to: Uuid| {
            let new = NewAppRoleAssignment { principal: to, resource: principal, role: Uuid::nil() };
            control.add_app_role_assignment(context, new).await.expect("an assignment").id
        };
        let app_role_assignments = [assigned(user).await, assigned(group).await, assigned(principal).await];
        let key = async |kind: ObjectKind, object: Uuid| {
            control.add_secret(context, kind, object, NewSecret::default()).await.expect("a secret").0.id
        };
        let role = RoleMember { role: DirectoryRole::ApplicationAdministrator, principal: member };
        control.add_role_member(context, role).await.expect("a role");
        Targets {
            user_name: format!("{new}@galerie.internal"),
            user,
            group,
            application_key: key(ObjectKind::Application, application.0).await,
            application: application.0,
            service_principal_key: key(ObjectKind::ServicePrincipal, principal).await,
            service_principal: principal,
            unused_app_id: self.application("unused").await.1,
            member,
            co_owner,
            assignment: role.id(),
            other_resource,
            app_role_assignments,
        }
    }

    async fn user(&self, name: &str) -> Uuid {
        let new = NewUser {
            name: format!("{name}@galerie.internal").parse().expect("a name"),
            display_name: name.to_owned(),
            enabled: true,
            password: NewPassword { password: "correct horse".into(), must_change: false },
            document: Map::new(),
        };
        self.gallery.control.user_create(&self.context, new).await.expect("a user").id
    }

    /// An application's object and client id.
    async fn application(&self, name: &str) -> (Uuid, Uuid) {
        let made = self.gallery.control.application_create(&self.context, name, Map::new(), &[]).await;
        let made = made.expect("an application");
        (made.id, made.app_id)
    }

    async fn service_principal(&self, app_id: Uuid) -> Uuid {
        let made = self.gallery.control.service_principal_create(&self.context, app_id, true, Map::new()).await;
        made.expect("a service principal").id
    }

    async fn administrator(&self, name: &str, role: DirectoryRole) -> Principal {
        let made = self.gallery.make_principal(name).await;
        let member = RoleMember { role, principal: made.caller.principal };
        self.gallery.control.add_role_member(&self.context, member).await.expect("a role");
        made
    }

    /// A request of somebody whose token was checked.
    async fn ask(&self, caller: &Caller, method: &Method, path: &str, body: &Value) -> u16 {
        let ids = RequestIds { request: Uuid::nil(), correlation: Uuid::nil() };
        let request = Request::builder().method(method.clone()).uri(path).body(Body::from(body.to_string()));
        let request = request.expect("a request");
        graph::answer_caller(&self.state, request, &self.host, ids, caller.clone()).await.status().as_u16()
    }
}

enum Asker {
    Token(Option<String>),
    Caller(Caller),
    Itself,
}

async fn askers(world: &World) -> Vec<Asker> {
    let gallery = &world.gallery;
    let other = gallery.control.add_tenant("Other").await.expect("a tenant");
    let over_there = Caller::application(other.tenant, Uuid::nil(), other.client_id, true);
    let found = gallery.control.service_principal_by_name(&over_there, &other.client_id.to_string()).await;
    let over_there = Caller { principal: found.expect("the catalogue").expect("its administrator").id, ..over_there };
    let global = DirectoryRole::GlobalAdministrator;
    let mut askers = Vec::new();
    for asker in ASKERS {
        askers.push(match asker {
            "anonymous" => Asker::Token(None),
            "token for ARM" => Asker::Token(Some(world.administrator(asker, global).await.arm_token)),
            "deleted administrator" => {
                let made = world.administrator(asker, global).await;
                gallery.delete_principal(&made).await;
                Asker::Token(Some(made.graph_token))
            }
            "disabled administrator" => {
                let made = world.administrator(asker, global).await;
                gallery.disable(&made).await;
                Asker::Token(Some(made.graph_token))
            }
            // One who may do everything over there.
            "other tenant's administrator" => Asker::Caller(over_there.clone()),
            "user" => {
                let id = world.user("somebody").await;
                Asker::Caller(Caller::user(gallery.tenant, id, "somebody@galerie.internal", None))
            }
            "application" => Asker::Caller(gallery.make_principal(asker).await.caller),
            "the object itself" => Asker::Itself,
            "the object's owner" => Asker::Caller(world.owner.caller.clone()),
            "Application Administrator" => {
                Asker::Caller(world.administrator(asker, DirectoryRole::ApplicationAdministrator).await.caller)
            }
            "Global Administrator" => Asker::Caller(world.administrator(asker, global).await.caller),
            _ => Asker::Caller(world.context.caller.clone()),
        });
    }
    askers
}

fn path_of(pattern: &str, targets: &Targets) -> String {
    let [users, groups, service_principals] = targets.app_role_assignments;
    let app_role_assignment = match pattern {
        pattern if pattern.contains("{user}") => users,
        pattern if pattern.contains("{group}") => groups,
        _ => service_principals,
    };
    pattern
        .replace("{appRoleAssignment}", &app_role_assignment.to_string())
        .replace("{graphVersion}", "v1.0")
        .replace("{user}", &targets.user.to_string())
        .replace("{group}", &targets.group.to_string())
        .replace("{application}", &targets.application.to_string())
        .replace("{servicePrincipal}", &targets.service_principal.to_string())
        .replace("{member}", &targets.member.to_string())
        .replace("{owner}", &targets.co_owner.to_string())
        .replace("{assignment}", &targets.assignment.to_string())
        .replace("{role}", &DirectoryRole::GlobalAdministrator.template_id().to_string())
        .replace("{...}", "x")
}

/// A body that is carried out for whoever may.
fn body_of(pattern: &str, method: &Method, targets: &Targets) -> Value {
    let (new, is_post) = (Uuid::new_v4().simple().to_string(), method == Method::POST);
    let last = pattern.rsplit('/').next().unwrap_or_default();
    match last {
        "users" if is_post => json!({ "userPrincipalName": format!("{new}@galerie.internal"), "displayName": new,
            "mailNickname": new, "accountEnabled": true, "passwordProfile": { "password": "correct horse" } }),
        "{user}" => json!({ "jobTitle": "Countess" }),
        "groups" | "applications" if is_post => json!({ "displayName": new }),
        "{group}" => json!({ "description": "x" }),
        "{application}" | "{servicePrincipal}" => json!({ "notes": "x" }),
        "servicePrincipals" if is_post => json!({ "appId": targets.unused_app_id }),
        "$ref" => {
            json!({ "@odata.id": format!("https://localhost:8443/msgraph/v1.0/directoryObjects/{}", targets.user) })
        }
        "removePassword" if pattern.contains("{application}") => json!({ "keyId": targets.application_key }),
        "removePassword" => json!({ "keyId": targets.service_principal_key }),
        "getByIds" | "microsoft.graph.getByIds" => json!({ "ids": [targets.user] }),
        "checkMemberGroups" => json!({ "groupIds": [targets.group] }),
        "appRoleAssignments" | "appRoleAssignedTo" if is_post => {
            let (principal, resource) = match pattern {
                pattern if pattern.contains("{user}") => (targets.user, targets.other_resource),
                pattern if pattern.contains("{group}") => (targets.group, targets.other_resource),
                _ if last == "appRoleAssignments" => (targets.service_principal, targets.other_resource),
                _ => (targets.co_owner, targets.service_principal),
            };
            json!({ "principalId": principal, "resourceId": resource, "appRoleId": Uuid::nil() })
        }
        "roleAssignments" if is_post => json!({ "principalId": targets.user,
            "roleDefinitionId": DirectoryRole::GlobalAdministrator.template_id() }),
        _ => json!({}),
    }
}

/// Whether what was carried out leaves things as they were.
fn only_reads(pattern: &str, method: &Method) -> bool {
    let is_question = ["MemberGroups", "MemberObjects", "getByIds"].iter().any(|end| pattern.ends_with(end));
    *method == Method::GET || is_question
}

#[tokio::test]
async fn every_route_and_method_answers_everybody_as_the_table_says() {
    let world = World::start().await;
    let askers = askers(&world).await;
    let mut targets = world.targets().await;
    let mut table = Table::new(&ASKERS);
    for pattern in routes::of(RouteClass::Graph) {
        for method in METHODS {
            let mut statuses = Vec::new();
            for asker in &askers {
                let (path, body) = (path_of(pattern, &targets), body_of(pattern, &method, &targets));
                let itself = if pattern.contains("{servicePrincipal}") {
                    Caller::application(world.gallery.tenant, targets.service_principal, Uuid::nil(), false)
                } else {
                    Caller::user(world.gallery.tenant, targets.user, &targets.user_name, None)
                };
                let status = match asker {
                    Asker::Token(token) => {
                        let body = body.to_string().into_bytes();
                        ask(&world.gallery, &method, &path, token.as_deref(), body).await.status
                    }
                    Asker::Caller(caller) => world.ask(caller, &method, &path, &body).await,
                    Asker::Itself => world.ask(&itself, &method, &path, &body).await,
                };
                assert!(status < 500, "{method} {path}: {status}");
                if status < 300 && !only_reads(pattern, &method) {
                    targets = world.targets().await;
                }
                statuses.push(status);
            }
            table.push(&method, pattern, statuses);
        }
    }
    table.check(RouteClass::Graph);
}
