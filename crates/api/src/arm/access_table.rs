//! Who gets which answer: every route with every method, asked by everybody.
//!
//! The table is made from the router's own, so a new route is in it, and its diff is the review of who may do what. Run with
//! `UPDATE_GOLDEN=1` to rewrite `tests/access.txt` after a deliberate change.

use std::{fmt::Write as _, sync::Mutex};

use axum::{
    body::Body,
    http::{HeaderMap, Method, Request},
};
use galerie_control::{Caller, RequestContext, Scope};
use galerie_testkit::Gallery;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{answer, answer_call, call::Call, route::Route};
use crate::{
    access_table::{METHODS, served},
    hosts::AcceptedHost,
    middleware::request_ids::RequestIds,
    query::{Query, segments},
    state::ApiState,
};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/access.txt");
/// The columns: a role over the resource group, without one, of another tenant, without a token.
const ASKERS: [&str; 9] = [
    "anonymous",
    "other tenant",
    "no role",
    "Reader",
    "Compute Gallery Image Reader",
    "Contributor",
    "Compute Gallery Artifacts Publisher",
    "Compute Gallery Sharing Admin",
    "Owner",
];
/// Names of what is not there end so.
const ABSENT: &str = "none";

/// A gallery with one of everything in the group `rg`, and somebody whose roles change.
struct World {
    gallery: Gallery,
    state: ApiState,
    host: AcceptedHost,
    owner: Caller,
    subject: Caller,
    other_token: String,
}

impl World {
    async fn start() -> Self {
        let gallery = Gallery::start().await;
        furnish(&gallery).await;
        let (state, host) = served(&gallery);
        let first = gallery.control.bootstrapped().await.expect("a first start");
        let owner = Caller::application(first.tenant, first.principal, first.client_id, true);
        let other_token = gallery.second_tenant().await.token;
        let subject = newcomer(&gallery, &owner).await;
        Self { gallery, state, host, owner, subject, other_token }
    }

    /// Sends a request with the body `{}`.
    async fn ask(&self, asker: Asker<'_>, method: &Method, path: &str) -> (u16, String) {
        let path = self.gallery.path(path);
        let ids = RequestIds { request: Uuid::nil(), correlation: Uuid::nil() };
        let uri = format!("{path}?api-version=2024-03-03");
        let mut request = Request::builder().method(method.clone()).uri(&uri);
        if let Asker::Token(token) = asker {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Body::from("{}")).expect("a request");
        let response = match asker {
            Asker::Caller(caller) => {
                let query = Query::parse(request.uri().query());
                let segments = segments(&path).expect("a path");
                answer_call(Call {
                    state: self.state.clone(),
                    method: method.clone(),
                    raw_path: path,
                    segments,
                    query,
                    headers: HeaderMap::new(),
                    host: self.host.clone(),
                    ids,
                    caller: caller.clone(),
                    auxiliary: Vec::new(),
                    client_address: None,
                    body: Mutex::new(request.into_body()),
                })
                .await
            }
            Asker::Nobody | Asker::Token(_) => answer(&self.state, request, self.host.clone(), ids).await,
        };
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a whole body");
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    /// Gives the subject a role over the group, or takes the one it has.
    async fn give(&self, role: Option<&str>, held: &mut Option<String>) {
        let (control, scope) = (&self.gallery.control, self.group());
        if let Some(name) = held.take() {
            control.role_assignment_delete(&self.context(), &scope, &name).await.expect("a deletion");
        }
        let Some(role) = role else { return };
        let filter = galerie_control::DefinitionFilter { role_name: Some(role.to_owned()), ..Default::default() };
        let roles = control.role_definition_list(&self.context(), &scope, &filter).await.expect("a list");
        let body = json!({ "properties": { "roleDefinitionId": roles[0]["id"],
            "principalId": self.subject.principal.to_string() } });
        let name = Uuid::new_v4().to_string();
        control.role_assignment_put(&self.context(), &scope, &name, &body).await.expect("an assignment");
        *held = Some(name);
    }

    fn group(&self) -> Scope {
        Scope::parse(&self.gallery.path("{s}/resourceGroups/rg"), "scope").expect("a scope")
    }

    fn context(&self) -> RequestContext {
        RequestContext::of_the_directory(self.owner.clone(), Uuid::nil())
    }
}

#[derive(Clone, Copy)]
enum Asker<'a> {
    Nobody,
    Token(&'a str),
    Caller(&'a Caller),
}

async fn newcomer(gallery: &Gallery, owner: &Caller) -> Caller {
    let context = RequestContext::of_the_directory(owner.clone(), Uuid::nil());
    let control = &gallery.control;
    let application = control.application_create(&context, "Subject", Map::new(), &[]).await.expect("an application");
    let principal = control.service_principal_create(&context, application.app_id, true, Map::new()).await;
    let principal = principal.expect("a service principal");
    Caller::application(owner.tenant, principal.id, principal.app_id, false)
}

/// One of everything.
async fn furnish(gallery: &Gallery) {
    gallery.make_group("rg", "eastus").await;
    let from = |id: &str| json!({ "source": { "id": gallery.path(&format!("{COMPUTE}/{id}")) } });
    let here = |properties: Value| json!({ "location": "eastus", "properties": properties });
    let managed = json!({ "osType": "Linux", "osState": "Generalized",
        "managedDisk": { "id": gallery.path(&format!("{COMPUTE}/disks/d")) } });
    let copy = json!({ "createOption": "Copy", "sourceResourceId": gallery.path(&format!("{COMPUTE}/disks/d")) });
    for (path, body) in [
        ("galleries/g", json!({ "location": "eastus" })),
        (
            "galleries/g/images/i",
            here(json!({ "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2",
                "identifier": { "publisher": "p", "offer": "o", "sku": "s" } })),
        ),
        ("disks/d", here(json!({ "creationData": { "createOption": "Empty" }, "diskSizeGB": 1 }))),
        ("snapshots/s", here(json!({ "creationData": copy }))),
        ("images/m", here(json!({ "hyperVGeneration": "V2", "storageProfile": { "osDisk": managed } }))),
        ("galleries/g/images/i/versions/1.0.0", here(json!({ "storageProfile": { "osDiskImage": from("disks/d") } }))),
        ("galleries/g/applications/a", here(json!({ "supportedOSType": "Linux" }))),
        (
            "galleries/g/applications/a/versions/1.0.0",
            here(json!({ "publishingProfile": {
            "source": { "mediaLink": gallery.path(&format!("{COMPUTE}/disks/d")) },
            "manageActions": { "install": "i", "remove": "r" } } })),
        ),
        ("galleries/g/scripts/s", here(json!({ "supportedOSType": "Linux" }))),
        (
            "galleries/g/scripts/s/versions/1.0.0",
            here(json!({ "publishingProfile": {
            "source": { "scriptLink": gallery.path(&format!("{COMPUTE}/disks/d")) } } })),
        ),
    ] {
        let made = gallery.put(&format!("{COMPUTE}/{path}?api-version=2024-03-03"), body).await;
        gallery.succeeded(&made).await;
    }
}

const COMPUTE: &str = "{s}/resourceGroups/rg/providers/Microsoft.Compute";

/// A path that a route's pattern stands for. Of what is there, or of what is not: then the last name is absent, and those
/// of disks and the like wherever they stand, so that nobody changes anything.
fn path_of(route: Route, exists: bool) -> String {
    let pattern = route.pattern();
    let mut path = pattern.replace("{subscription}", "X").replace("/subscriptions/X", "{s}");
    let is_last = |name: &str| pattern.ends_with(name);
    for (variable, name) in [
        ("{group}", "rg"),
        ("{gallery}", "g"),
        ("{image}", "i"),
        ("{application}", "a"),
        ("{script}", "s"),
        ("{managedImage}", "m"),
        ("{disk}", "d"),
        ("{snapshot}", "s"),
        ("{machine}", "vm"),
    ] {
        let always = matches!(variable, "{disk}" | "{snapshot}" | "{managedImage}" | "{machine}");
        let is_absent = !exists && (always || is_last(variable));
        path = path.replace(variable, &if is_absent { format!("{name}{ABSENT}") } else { name.to_owned() });
    }
    path.replace("{scope}", "{s}/resourceGroups/rg")
        .replace("{version}", if exists { "1.0.0" } else { "9.9.9" })
        .replace("{operation}", "11111111-2222-3333-4444-555555555555")
        .replace("{assignment}", "11111111-2222-3333-4444-555555555555")
        .replace("{role}", "11111111-2222-3333-4444-555555555555")
        .replace("{collection}", "galleries")
        .replace("{region}", "eastus")
        .replace("{location}", "eastus")
        .replace("{uniqueName}", "X-NONE")
        .replace("{publicName}", "none")
        .replace("{owner}", "11111111-2222-3333-4444-555555555555")
        .replace("{sharedGallery}", "none")
        .replace("{answer}", "accept")
        .replace("{alias}", "none")
        .replace("{feature}", "f")
        .replace("{action}", "list")
        .replace("{namespace}/{...}", "Microsoft.Network/widgets/w")
        .replace("{namespace}", "Microsoft.Compute")
        .replace("{...}", "widgets/w")
}

#[tokio::test]
async fn every_route_and_method_answers_everybody_as_the_table_says() {
    let world = World::start().await;
    let mut rows: Vec<(String, Vec<u16>)> = Vec::new();
    for route in Route::ALL {
        for method in METHODS {
            rows.push((format!("{method} {}", route.pattern()), Vec::new()));
        }
    }
    let mut held = None;
    for asker in ASKERS {
        let as_whom = match asker {
            "anonymous" => Asker::Nobody,
            "other tenant" => Asker::Token(&world.other_token),
            _ => Asker::Caller(&world.subject),
        };
        let role = Some(asker).filter(|_| matches!(as_whom, Asker::Caller(_)) && asker != "no role");
        world.give(role, &mut held).await;
        let mut at = 0;
        for route in Route::ALL {
            for method in METHODS {
                let (status, _) = world.ask(as_whom, &method, &path_of(*route, false)).await;
                rows[at].1.push(status);
                at += 1;
            }
        }
    }
    let mut table = format!("# {}\n", ASKERS.join(" | "));
    for (row, statuses) in rows {
        let statuses: Vec<String> = statuses.iter().map(u16::to_string).collect();
        let _ = writeln!(table, "{} {row}", statuses.join(" "));
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, &table).expect("the golden file is writable");
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    assert_eq!(table, golden, "who may do what has changed; if on purpose, run again with UPDATE_GOLDEN=1");
}

/// A token of somebody who is gone, or may not sign in, opens what none does; and so does one for Graph.
#[tokio::test]
async fn a_token_that_is_worth_nothing_is_as_good_as_none_everywhere() {
    let world = World::start().await;
    let (deleted, disabled, for_graph) = (
        world.gallery.make_principal("deleted").await,
        world.gallery.make_principal("disabled").await,
        world.gallery.make_principal("for Graph").await,
    );
    for owner in [&deleted, &disabled, &for_graph] {
        world.gallery.give(owner, "Owner", "{s}/resourceGroups/rg").await;
    }
    world.gallery.delete_principal(&deleted).await;
    world.gallery.disable(&disabled).await;
    for route in Route::ALL {
        for method in METHODS {
            for exists in [true, false] {
                let path = path_of(*route, exists);
                for token in [&deleted.arm_token, &disabled.arm_token, &for_graph.graph_token] {
                    let (status, _) = world.ask(Asker::Token(token), &method, &path).await;
                    assert_eq!(status, 401, "{method} {path}");
                }
            }
        }
    }
}

/// Whoever may not know whether something is there hears the same either way.
#[tokio::test]
async fn refusals_do_not_tell_what_is_there() {
    let world = World::start().await;
    let mut held = None;
    for role in [None, Some("Compute Gallery Sharing Admin"), Some("Compute Gallery Image Reader")] {
        world.give(role, &mut held).await;
        for route in Route::ALL {
            for method in METHODS {
                let [there, not_there] = [true, false].map(|exists| path_of(*route, exists));
                let (status, body) = world.ask(Asker::Caller(&world.subject), &method, &not_there).await;
                if status != 403 {
                    continue;
                }
                let asked = world.ask(Asker::Caller(&world.subject), &method, &there).await;
                let same = (asked.0, asked.1.replace("1.0.0", "9.9.9"));
                assert_eq!(same, (status, body.replace(ABSENT, "")), "{method} {there} of {role:?}");
            }
        }
    }
}
