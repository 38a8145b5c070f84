//! Roles of applications: who gives them to whom, what becomes of them, and the tokens that say them.

use axum::http::Method;
use galerie_testkit::{Answer, Gallery, Principal, client_form};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::{
    graph::{Graph, filter, id, values},
    sign_in::{Browser, VERIFIER, form, html, parameter, request, returned},
    tokens::claims,
};

const NO_ROLE: &str = "00000000-0000-0000-0000-000000000000";
const PUBLISH: &str = "7ea5a3a0-5a3c-4f2a-9f5e-1d1d3ef0b7a1";
const READ: &str = "7ea5a3a0-5a3c-4f2a-9f5e-1d1d3ef0b7a2";
const IMPORT: &str = "7ea5a3a0-5a3c-4f2a-9f5e-1d1d3ef0b7a3";
const PASSWORD: &str = "correct horse";
const PATH: &str = "/organizations/oauth2/v2.0/authorize";

fn role(id: &str, value: &str, members: &[&str]) -> Value {
    json!({ "id": id, "value": value, "displayName": value, "description": value, "allowedMemberTypes": members,
        "isEnabled": true })
}

/// An application with three roles: one for users, one for both, one for applications.
struct Api {
    graph: Graph,
    application: String,
    app_id: String,
    principal: String,
    /// Another application, which asks for tokens.
    client: Principal,
}

impl Api {
    async fn start() -> Self {
        let graph = Graph::start().await;
        let body = json!({
            "displayName": "Image API",
            "identifierUris": ["api://images"],
            "publicClient": { "redirectUris": ["http://localhost"] },
            "appRoles": [
                role(PUBLISH, "Images.Publish", &["User"]),
                role(READ, "Images.Read", &["User", "Application"]),
                role(IMPORT, "Images.Import", &["Application"]),
            ]
        });
        let application = graph.post("applications", body).await.expect(201);
        let app_id = application.json()["appId"].as_str().expect("an appId").to_owned();
        let principal = id(&graph.post("servicePrincipals", json!({ "appId": app_id })).await.expect(201));
        let client = graph.gallery.make_principal("client").await;
        Self { application: id(&application), app_id, principal, client, graph }
    }

    fn client_id(&self) -> String {
        self.client.caller.principal.to_string()
    }

    async fn assign(&self, principal: &str, role: &str) -> Answer {
        let body = json!({ "principalId": principal, "resourceId": self.principal, "appRoleId": role });
        self.graph.post(&format!("servicePrincipals/{}/appRoleAssignedTo", self.principal), body).await
    }

    async fn assigned_to(&self) -> Vec<Value> {
        values(&self.graph.get(&format!("servicePrincipals/{}/appRoleAssignedTo", self.principal)).await.expect(200))
    }

    /// The client's own token for a resource.
    async fn token(&self, resource: &str) -> Answer {
        let app_id = self.client.caller.app_id.expect("an application");
        let form = client_form(app_id, self.client.secret.expose_secret(), resource);
        self.gallery().form(&format!("/{}/oauth2/v2.0/token", self.gallery().tenant), &form).await
    }

    fn gallery(&self) -> &Gallery {
        &self.graph.gallery
    }

    /// Ada signs in through an application, for a resource; the page that stops her, or the tokens.
    async fn sign_in(&self, client_id: &str, resource: &str) -> Answer {
        let mut browser = Browser::new(self.gallery());
        let scope = format!("{resource}/.default openid");
        let page = browser.open(&format!("{PATH}?{}", request(&[("client_id", client_id), ("scope", &scope)]))).await;
        let typed = [("user_name", "ada@galerie.internal"), ("password", PASSWORD), ("action", "sign-in")];
        let answer = browser.post(PATH, &page, &typed).await;
        if answer.status != 303 {
            return answer;
        }
        let code = parameter(&returned(&answer), "code").expect("a code");
        let fields = form(&[
            ("grant_type", "authorization_code"),
            ("client_id", client_id),
            ("code", &code),
            ("redirect_uri", "http://localhost:8400"),
            ("code_verifier", VERIFIER),
        ]);
        self.gallery().form("/organizations/oauth2/v2.0/token", &fields).await
    }
}

/// The roles that one of an answer's tokens says.
fn roles(answer: &Answer, token: &str) -> Value {
    claims(answer.json()[token].as_str().unwrap_or_else(|| panic!("no {token}: {answer}")))["roles"].clone()
}

#[tokio::test]
async fn roles_are_given_and_taken_at_both_ends() {
    let api = Api::start().await;
    let (graph, ada) = (&api.graph, api.graph.user("ada", PASSWORD).await);
    let given = api.assign(&ada, PUBLISH).await.expect(201).json();
    assert_eq!(
        (&given["principalType"], &given["principalDisplayName"], &given["resourceDisplayName"]),
        (&"User".into(), &"ada".into(), &"Image API".into())
    );
    assert_eq!((&given["appRoleId"], &given["resourceId"]), (&PUBLISH.into(), &api.principal.as_str().into()));
    assert!(given["createdDateTime"].as_str().is_some_and(|time| time.ends_with('Z')), "{given}");
    let by_user = json!({ "principalId": ada, "resourceId": api.principal, "appRoleId": READ });
    let second = graph.post(&format!("users/{ada}/appRoleAssignments"), by_user).await.expect(201);
    assert_eq!(api.assigned_to().await.len(), 2);
    for below in ["users/ada@galerie.internal".to_owned(), format!("users/{ada}")] {
        assert_eq!(values(&graph.get(&format!("{below}/appRoleAssignments")).await).len(), 2, "{below}");
    }
    // A page at a time, and by what they are about.
    let path = format!("users/{ada}/appRoleAssignments");
    let first = graph.get(&format!("{path}?$top=1")).await.json();
    let next = first["@odata.nextLink"].as_str().expect("a second page").to_owned();
    let rest = graph.get(&next).await;
    assert_eq!(values(&rest).len(), 1);
    assert_ne!(values(&rest)[0]["id"], first["value"][0]["id"]);
    let found = graph.get(&filter(&path, &format!("appRoleId eq {PUBLISH} and resourceId eq {}", api.principal))).await;
    assert_eq!(
        values(&found),
        [given.clone()].map(|mut shown| {
            shown.as_object_mut().expect("an object").retain(|name, _| !name.starts_with('@'));
            shown
        })
    );
    // One of them, at its own ends only.
    let one = given["id"].as_str().expect("an id");
    let _ = graph.get(&format!("servicePrincipals/{}/appRoleAssignedTo/{one}", api.principal)).await.expect(200);
    let _ = graph.get(&format!("{path}/{one}")).await.expect(200);
    let other = format!("servicePrincipals/{}/appRoleAssignedTo/{one}", api.client_id());
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(graph.call(method, &other, None).await.code(), "Request_ResourceNotFound");
    }
    let _ = graph.call(Method::DELETE, &format!("{path}/{one}"), None).await.expect(204);
    assert_eq!(graph.call(Method::DELETE, &format!("{path}/{one}"), None).await.status, 404);
    assert_eq!(api.assigned_to().await[0]["id"], id(&second));
}

#[tokio::test]
async fn what_is_wrong_with_an_assignment_is_named() {
    let api = Api::start().await;
    let graph = &api.graph;
    let ada = graph.user("ada", PASSWORD).await;
    let group = id(&graph.post("groups", json!({ "displayName": "g" })).await.expect(201));
    for (principal, role, status, expected) in [
        (ada.clone(), IMPORT.to_owned(), 400, "Permission being assigned was not found on application"),
        (group.clone(), IMPORT.to_owned(), 400, "'Group'"),
        (api.client_id(), PUBLISH.to_owned(), 400, "'ServicePrincipal'"),
        (ada.clone(), NO_ROLE.to_owned(), 400, "was not found"),
        (ada.clone(), api.app_id.clone(), 400, "was not found"),
        (ada.clone(), "x".to_owned(), 400, "appRoleId"),
        ("x".to_owned(), PUBLISH.to_owned(), 400, "principalId"),
        (NO_ROLE.to_owned(), PUBLISH.to_owned(), 404, NO_ROLE),
        // An application is nobody; its service principal is.
        (api.application.clone(), PUBLISH.to_owned(), 404, "does not exist"),
    ] {
        let refused = api.assign(&principal, &role).await;
        let message = refused.json()["error"]["message"].to_string();
        assert!(refused.status == status && message.contains(expected), "{principal} {role}: {refused}");
    }
    let path = format!("users/{ada}/appRoleAssignments");
    let good = json!({ "principalId": ada, "resourceId": api.principal, "appRoleId": PUBLISH });
    for (name, value, expected) in [
        ("principalId", json!(group), "principalId"),
        ("resourceId", Value::Null, "resourceId"),
        ("resourceId", json!(ada), "does not exist"),
        ("appRoleId", json!(7), "appRoleId"),
        ("createdDateTime", json!("2026-01-01T00:00:00Z"), "read-only"),
        ("principalType", json!("User"), "principalType"),
    ] {
        let mut body = good.clone();
        body[name] = value;
        let refused = graph.post(&path, body.clone()).await;
        let message = refused.json()["error"]["message"].to_string();
        assert!((400..405).contains(&refused.status) && message.contains(expected), "{body}: {refused}");
    }
    assert!(api.assigned_to().await.is_empty(), "nothing was made by halves");
    let _ = graph.post(&path, good.clone()).await.expect(201);
    let twice = graph.post(&path, good).await.expect(400);
    assert_eq!(twice.json()["error"]["message"], "Permission being assigned already exists on the object.");
    // A role that is disabled is given to nobody more.
    let mut disabled = role(READ, "Images.Read", &["User", "Application"]);
    disabled["isEnabled"] = false.into();
    let roles =
        json!([role(PUBLISH, "Images.Publish", &["User"]), disabled, role(IMPORT, "Images.Import", &["Application"])]);
    let application = format!("applications/{}", api.application);
    let _ = graph.call(Method::PATCH, &application, Some(json!({ "appRoles": roles }))).await.expect(204);
    assert_eq!(api.assign(&ada, READ).await.status, 400);
}

/// What names what is deleted goes with it: principal, group, role, application.
#[tokio::test]
async fn assignments_end_with_what_they_name() {
    let api = Api::start().await;
    let graph = &api.graph;
    let ada = graph.user("ada", PASSWORD).await;
    let group = id(&graph.post("groups", json!({ "displayName": "g" })).await.expect(201));
    for (principal, role) in [(&ada, PUBLISH), (&group, PUBLISH), (&group, READ), (&api.client_id(), READ)] {
        let _ = api.assign(principal, role).await.expect(201);
    }
    let left = async |expected: usize| assert_eq!(api.assigned_to().await.len(), expected);
    let _ = graph.call(Method::DELETE, &format!("users/{ada}"), None).await.expect(204);
    left(3).await;
    let application = format!("applications/{}", api.application);
    let mut disabled = role(READ, "Images.Read", &["User", "Application"]);
    disabled["isEnabled"] = false.into();
    for (roles, expected) in [
        (
            json!([
                role(PUBLISH, "Images.Publish", &["User"]),
                disabled,
                role(IMPORT, "Images.Import", &["Application"])
            ]),
            3,
        ),
        (json!([role(PUBLISH, "Images.Publish", &["User"]), role(IMPORT, "Images.Import", &["Application"])]), 1),
    ] {
        let _ = graph.call(Method::PATCH, &application, Some(json!({ "appRoles": roles }))).await.expect(204);
        left(expected).await;
    }
    let _ = graph.call(Method::DELETE, &format!("groups/{group}"), None).await.expect(204);
    left(0).await;
    let _ = api.assign(&api.client_id(), IMPORT).await.expect(201);
    let _ = graph.call(Method::DELETE, &application, None).await.expect(204);
    let path = format!("servicePrincipals/{}/appRoleAssignments", api.client_id());
    assert!(values(&graph.get(&path).await.expect(200)).is_empty());
}

#[tokio::test]
async fn an_applications_token_says_its_own_roles_at_the_resource() {
    let api = Api::start().await;
    let graph = &api.graph;
    let by_uri = api.token("api://images").await.expect(200);
    let token = claims(by_uri.json()["access_token"].as_str().expect("a token"));
    assert_eq!((&token["aud"], &token["roles"]), (&"api://images".into(), &Value::Null));
    for role in [READ, IMPORT] {
        let _ = api.assign(&api.client_id(), role).await.expect(201);
    }
    // By a group an application gets nothing, as in Entra.
    let group = id(&graph.post("groups", json!({ "displayName": "g" })).await.expect(201));
    let member = json!({ "@odata.id": format!("https://x/directoryObjects/{}", api.client_id()) });
    let _ = graph.post(&format!("groups/{group}/members/$ref"), member).await.expect(204);
    let _ = api.assign(&group, PUBLISH).await.expect(201);
    for resource in ["api://images", &api.app_id] {
        let answer = api.token(resource).await.expect(200);
        let said = claims(answer.json()["access_token"].as_str().expect("a token"));
        assert_eq!((&said["aud"], &said["roles"]), (&resource.into(), &json!(["Images.Read", "Images.Import"])));
        // It opens nothing here.
        let token = answer.json()["access_token"].as_str().expect("a token").to_owned();
        let refused = graph.call_as(&token, Method::GET, "users", None).await;
        assert_eq!((refused.status, refused.code().as_str()), (401, "InvalidAuthenticationTokenAudience"));
    }
    assert_eq!(roles(&api.token("https://localhost:8443").await.expect(200), "access_token"), Value::Null);
    // What is no application of the tenant, not (any more) in it, or spelled otherwise.
    let other = api.gallery().control.add_tenant("Other").await.expect("a tenant");
    for resource in
        ["api://nothing", "api://images/", "API://IMAGES", "api://x\0", NO_ROLE, &format!("{{{}}}", api.app_id)]
    {
        let refused = api.token(resource).await.expect(400);
        assert_eq!(refused.json()["error"], "invalid_resource", "{resource}: {refused}");
    }
    let elsewhere = client_form(other.client_id, other.client_secret.expose_secret(), &api.app_id);
    let refused = api.gallery().form(&format!("/{}/oauth2/v2.0/token", other.tenant), &elsewhere).await.expect(400);
    assert_eq!(refused.json()["error"], "invalid_resource");
    let path = format!("servicePrincipals/{}", api.principal);
    // What is not understood is refused, rather than kept and not done.
    for strange in [json!("true"), json!(1), json!([true])] {
        let required = json!({ "appRoleAssignmentRequired": strange });
        let _ = graph.call(Method::PATCH, &path, Some(required)).await.expect(400);
    }
    let required = json!({ "appRoleAssignmentRequired": true });
    let _ = graph.call(Method::PATCH, &path, Some(required)).await.expect(204);
    let _ = api.token("api://images").await.expect(200);
    for assignment in api.assigned_to().await {
        let below = format!("{path}/appRoleAssignedTo/{}", assignment["id"].as_str().expect("an id"));
        let _ = graph.call(Method::DELETE, &below, None).await.expect(204);
    }
    let refused = api.token("api://images").await.expect(400).json();
    assert_eq!((&refused["error"], &refused["error_codes"]), (&"invalid_grant".into(), &json!([50_105])));
    let _ = graph.call(Method::PATCH, &path, Some(json!({ "accountEnabled": false }))).await.expect(204);
    assert_eq!(api.token("api://images").await.expect(400).json()["error"], "invalid_resource");
}

#[tokio::test]
async fn a_users_tokens_say_the_roles_at_the_resource_and_at_the_client() {
    let api = Api::start().await;
    let graph = &api.graph;
    let ada = graph.user("ada", PASSWORD).await;
    let group = id(&graph.post("groups", json!({ "displayName": "g" })).await.expect(201));
    let outer = id(&graph.post("groups", json!({ "displayName": "outer" })).await.expect(201));
    for (group, member) in [(&group, &ada), (&outer, &group)] {
        let member = json!({ "@odata.id": format!("https://x/directoryObjects/{member}") });
        let _ = graph.post(&format!("groups/{group}/members/$ref"), member).await.expect(204);
    }
    let none = api.sign_in(&api.app_id, &api.app_id).await.expect(200);
    assert_eq!((roles(&none, "access_token"), roles(&none, "id_token")), (Value::Null, Value::Null));
    let _ = api.assign(&group, PUBLISH).await.expect(201);
    // A group of groups does not pass a role on, as in Entra.
    let _ = api.assign(&outer, READ).await.expect(201);
    let both = api.sign_in(&api.app_id, "api://images").await.expect(200);
    let expected = json!(["Images.Publish"]);
    assert_eq!((roles(&both, "access_token"), roles(&both, "id_token")), (expected.clone(), expected));
    let _ = api.assign(&ada, READ).await.expect(201);
    let fields = form(&[
        ("grant_type", "refresh_token"),
        ("client_id", &api.app_id),
        ("refresh_token", both.json()["refresh_token"].as_str().expect("a token")),
        ("scope", "api://images/.default"),
    ]);
    let refreshed = api.gallery().form("/organizations/oauth2/v2.0/token", &fields).await.expect(200);
    assert_eq!(roles(&refreshed, "access_token"), json!(["Images.Publish", "Images.Read"]));
    // To az's client she is nothing, and to the gallery neither.
    let az = api.sign_in("04b07795-8ddb-461a-bbee-02f9e1bf7b46", "api://images").await.expect(200);
    assert_eq!(roles(&az, "id_token"), Value::Null);
    assert_eq!(roles(&az, "access_token"), json!(["Images.Publish", "Images.Read"]));
    let here = api.sign_in(&api.app_id, "https://localhost:8443").await.expect(200);
    assert_eq!(roles(&here, "access_token"), Value::Null);
    assert_eq!(roles(&here, "id_token"), json!(["Images.Publish", "Images.Read"]));
    // A refresh token that is shown for what is not there is not used up.
    let refresh = async |scope: &str| {
        let fields = form(&[
            ("grant_type", "refresh_token"),
            ("client_id", &api.app_id),
            ("refresh_token", here.json()["refresh_token"].as_str().expect("a token")),
            ("scope", scope),
        ]);
        api.gallery().form("/organizations/oauth2/v2.0/token", &fields).await
    };
    assert_eq!(refresh("api://nothing/.default").await.expect(400).json()["error"], "invalid_resource");
    let _ = refresh("api://images/.default").await.expect(200);
}

#[tokio::test]
async fn an_application_that_wants_an_assignment_lets_nobody_else_in() {
    let api = Api::start().await;
    let graph = &api.graph;
    let ada = graph.user("ada", PASSWORD).await;
    let required = json!({ "appRoleAssignmentRequired": true });
    let path = format!("servicePrincipals/{}", api.principal);
    let _ = graph.call(Method::PATCH, &path, Some(required)).await.expect(204);
    // At the page, by its own sign-in; at the token endpoint, as a resource of another's.
    let page = api.sign_in(&api.app_id, "https://localhost:8443").await;
    assert!(page.status == 400 && html(&page).contains("AADSTS50105"), "{}", html(&page));
    let refused = api.sign_in("04b07795-8ddb-461a-bbee-02f9e1bf7b46", "api://images").await.expect(400).json();
    assert_eq!(refused["error_codes"], json!([50_105]));
    let _ = api.assign(&ada, PUBLISH).await.expect(201);
    let _ = api.sign_in(&api.app_id, "https://localhost:8443").await.expect(200);
    let _ = api.sign_in("04b07795-8ddb-461a-bbee-02f9e1bf7b46", "api://images").await.expect(200);
}

/// Whoever owns the application, as it was registered or in the tenant, gives its roles; each change is in the audit.
#[tokio::test]
async fn owners_give_their_applications_roles() {
    let api = Api::start().await;
    let graph = &api.graph;
    let ada = graph.user("ada", PASSWORD).await;
    let owner = api.gallery().make_principal("owner").await;
    let body = json!({ "principalId": ada, "resourceId": api.principal, "appRoleId": PUBLISH });
    let path = format!("users/{ada}/appRoleAssignments");
    let refused = graph.call_as(&owner.graph_token, Method::POST, &path, Some(body.clone())).await;
    assert_eq!((refused.status, refused.code().as_str()), (403, "Authorization_RequestDenied"));
    let reference = json!({ "@odata.id": format!("https://x/directoryObjects/{}", owner.caller.principal) });
    let _ = graph.post(&format!("applications/{}/owners/$ref", api.application), reference).await.expect(204);
    let given = graph.call_as(&owner.graph_token, Method::POST, &path, Some(body)).await.expect(201);
    let one = format!("{path}/{}", id(&given));
    let nobody = api.client.graph_token.as_str();
    assert_eq!(graph.call_as(nobody, Method::DELETE, &one, None).await.status, 403);
    let absent = format!("{path}/{NO_ROLE}");
    assert_eq!(graph.call_as(nobody, Method::DELETE, &absent, None).await.status, 403);
    let _ = graph.call_as(&owner.graph_token, Method::DELETE, &one, None).await.expect(204);
    let log = api.gallery().post("/galerie/audit/list", None).await.expect(200);
    let actions: Vec<String> =
        values(&log).iter().filter_map(|row| row["action"].as_str().map(str::to_owned)).collect();
    for action in ["create", "delete"] {
        let action = format!("microsoft.directory/appRoleAssignments/{action}");
        assert_eq!(actions.iter().filter(|known| **known == action).count(), 1, "{action}: {actions:?}");
    }
}

/// Regression: whoever owned any application took `api://` with another's client id for its URI, and had tokens that say what it
/// likes for that audience.
#[tokio::test]
async fn nobody_takes_anothers_id_for_its_uri() {
    let api = Api::start().await;
    let path = format!("applications/{}", api.application);
    let stranger = uuid::Uuid::new_v4();
    for uri in [format!("api://{stranger}"), format!("urn:uuid:{stranger}"), format!("api://{}/x", stranger.simple())] {
        let refused = api.graph.call(Method::PATCH, &path, Some(json!({ "identifierUris": [uri] }))).await.expect(400);
        assert!(refused.json()["error"]["message"].as_str().unwrap().contains("appId"), "{refused}");
    }
    let (own, tenant) = (format!("api://{}", api.app_id), format!("api://{}/images", api.gallery().tenant));
    let _ = api.graph.call(Method::PATCH, &path, Some(json!({ "identifierUris": [own, tenant] }))).await.expect(204);
}
