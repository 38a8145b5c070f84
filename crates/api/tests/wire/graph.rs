//! Microsoft Graph, as far as az speaks it.

use axum::{
    body::Body,
    http::{Method, Request},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use galerie_testkit::{Answer, Gallery};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// A gallery, and a token of its operator for Graph.
pub(crate) struct Graph {
    pub(crate) gallery: Gallery,
    token: OnceCell<String>,
}

impl Graph {
    pub(crate) async fn start() -> Self {
        Self { gallery: Gallery::start().await, token: OnceCell::new() }
    }

    async fn token(&self) -> &str {
        let ask = async || {
            let form = format!(
                "grant_type=client_credentials&client_id={}&client_secret={}&scope=https://localhost:8443/msgraph/.default",
                self.gallery.client_id,
                self.gallery.client_secret()
            );
            let path = format!("/{}/oauth2/v2.0/token", self.gallery.tenant);
            let answer = self.gallery.form(&path, &form).await.expect(200);
            answer.json()["access_token"].as_str().expect("a token").to_owned()
        };
        self.token.get_or_init(ask).await
    }

    pub(crate) async fn call(&self, method: Method, below: &str, body: Option<Value>) -> Answer {
        self.call_as(self.token().await, method, below, body).await
    }

    pub(crate) async fn call_as(&self, token: &str, method: Method, below: &str, body: Option<Value>) -> Answer {
        let path = below
            .strip_prefix("https://localhost:8443")
            .map_or_else(|| format!("/msgraph/v1.0/{below}"), str::to_owned);
        let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.gallery.send(request.body(body).expect("a request")).await
    }

    pub(crate) async fn get(&self, below: &str) -> Answer {
        self.call(Method::GET, below, None).await
    }

    pub(crate) async fn post(&self, below: &str, body: Value) -> Answer {
        self.call(Method::POST, below, Some(body)).await
    }

    /// Makes a user and answers its id.
    pub(crate) async fn user(&self, name: &str, password: &str) -> String {
        let body = json!({
            "userPrincipalName": format!("{name}@galerie.internal"),
            "displayName": name,
            "mailNickname": name,
            "accountEnabled": true,
            "passwordProfile": { "password": password, "forceChangePasswordNextSignIn": false }
        });
        id(&self.post("users", body).await.expect(201))
    }
}

pub(crate) fn id(answer: &Answer) -> String {
    answer.json()["id"].as_str().unwrap_or_else(|| panic!("no id: {answer}")).to_owned()
}

pub(crate) fn filter(collection: &str, filter: &str) -> String {
    let encoded: String = filter.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("{collection}?$filter={encoded}")
}

pub(crate) fn values(answer: &Answer) -> Vec<Value> {
    answer.json()["value"].as_array().unwrap_or_else(|| panic!("no list: {answer}")).clone()
}

/// What `az ad sp create-for-rbac` sends, in its order; and the secret that comes of it buys a token.
#[tokio::test]
async fn create_for_rbac() {
    let graph = Graph::start().await;
    let name = "azure-cli-2026";
    let found = graph.get(&filter("servicePrincipals", &format!("displayName eq '{name}'"))).await.expect(200);
    assert!(values(&found).is_empty());
    let found = graph.get(&filter("applications", &format!("startswith(displayName,'{name}')"))).await.expect(200);
    assert!(values(&found).is_empty());
    let application =
        graph.post("applications", json!({ "displayName": name, "keyCredentials": [] })).await.expect(201);
    let (object, app_id) = (id(&application), application.json()["appId"].as_str().expect("an appId").to_owned());
    let credential = json!({ "passwordCredential": {
        "displayName": "rbac", "startDateTime": "2026-01-01T00:00:00Z", "endDateTime": "2099-01-01T00:00:00Z"
    } });
    let secret = graph.post(&format!("applications/{object}/addPassword"), credential).await.expect(200).json();
    let (secret_text, key) =
        (secret["secretText"].as_str().expect("shown once"), secret["keyId"].as_str().expect("a keyId"));
    let principal =
        graph.post("servicePrincipals", json!({ "appId": app_id, "accountEnabled": true })).await.expect(201);
    assert_eq!(principal.json()["servicePrincipalNames"], json!([app_id]));
    let form = format!(
        "grant_type=client_credentials&client_id={app_id}&client_secret={secret_text}&scope=https://localhost:8443/.default"
    );
    let token_path = format!("/{}/oauth2/v2.0/token", graph.gallery.tenant);
    let _ = graph.gallery.form(&token_path, &form).await.expect(200);

    // It is never shown again, and is found by each of its names.
    let names = filter("servicePrincipals", &format!("servicePrincipalNames/any(c:c eq '{app_id}')"));
    for below in [format!("applications/{object}"), filter("applications", &format!("appId eq '{app_id}'")), names] {
        let shown = graph.get(&below).await.expect(200).json().to_string();
        assert!(shown.contains(&app_id) && !shown.contains(secret_text), "{below}: {shown}");
    }
    let listed = graph.get(&format!("applications/{object}")).await.json();
    assert_eq!(listed["passwordCredentials"][0]["displayName"], "rbac");
    assert_eq!(listed["passwordCredentials"][0]["secretText"], Value::Null);
    assert_eq!(listed["passwordCredentials"][0]["endDateTime"], "2099-01-01T00:00:00.000Z");
    let by_ids =
        json!({ "ids": [id(&principal), uuid(7), id(&principal)], "types": ["user", "group", "servicePrincipal"] });
    let found = graph.post("directoryObjects/getByIds", by_ids).await.expect(200);
    assert_eq!(values(&found).len(), 1);
    assert_eq!(values(&found)[0]["@odata.type"], "#microsoft.graph.servicePrincipal");
    let twice = graph.post("servicePrincipals", json!({ "appId": app_id })).await;
    assert_eq!((twice.status, twice.code().as_str()), (409, "Request_MultipleObjectsWithSameKeyValue"));

    let _ = graph.post(&format!("applications/{object}/removePassword"), json!({ "keyId": key })).await.expect(204);
    assert_eq!(graph.gallery.form(&token_path, &form).await.status, 401);
    let _ = graph.call(Method::DELETE, &format!("applications/{object}"), None).await.expect(204);
    let gone = graph.get(&format!("servicePrincipals/{}", id(&principal))).await;
    assert_eq!((gone.status, gone.code().as_str()), (404, "Request_ResourceNotFound"));
}

#[tokio::test]
async fn users_and_groups() {
    let graph = Graph::start().await;
    let ada = graph.user("ada", "correct horse").await;
    for below in
        [format!("users/{ada}"), "users/Ada@galerie.internal".to_owned(), "users('ada@galerie.internal')".to_owned()]
    {
        assert_eq!(id(&graph.get(&below).await.expect(200)), ada, "{below}");
    }
    let found = graph.get(&filter("users", "userPrincipalName eq 'ada@galerie.internal'")).await.expect(200);
    assert_eq!(values(&found).len(), 1);
    assert!(!found.to_string().contains("password"), "{found}");
    let change = json!({ "jobTitle": "Countess", "displayName": "Ada L." });
    let _ = graph.call(Method::PATCH, &format!("users/{ada}"), Some(change)).await.expect(204);
    let shown = graph.get(&format!("users/{ada}?$select=jobTitle,displayName")).await.json();
    assert_eq!(
        (&shown["jobTitle"], &shown["displayName"], &shown["id"]),
        (&"Countess".into(), &"Ada L.".into(), &Value::Null)
    );

    let body = json!({ "displayName": "publishers", "mailNickname": "publishers", "mailEnabled": false, "securityEnabled": true });
    let group = id(&graph.post("groups", body).await.expect(201));
    let found = graph.get(&filter("groups", "displayName eq 'Publishers' and mailNickname eq 'publishers'")).await;
    assert_eq!(values(&found).len(), 1);
    let reference = json!({ "@odata.id": format!("https://localhost:8443/msgraph/v1.0/directoryObjects/{ada}") });
    let members = format!("groups/{group}/members");
    let _ = graph.post(&format!("{members}/$ref"), reference.clone()).await.expect(204);
    let twice = graph.post(&format!("{members}/$ref"), reference).await.expect(400);
    assert!(twice.json()["error"]["message"].as_str().is_some_and(|text| text.contains("already exist")), "{twice}");
    assert_eq!(values(&graph.get(&members).await)[0]["@odata.type"], "#microsoft.graph.user");
    let member_of = graph.post(&format!("users/{ada}/getMemberGroups"), json!({ "securityEnabledOnly": false })).await;
    assert_eq!(values(&member_of), [json!(group)]);
    let path = format!("directoryObjects/{ada}/checkMemberGroups");
    let check = graph.post(&path, json!({ "groupIds": [group, uuid(1)] })).await;
    assert_eq!(values(&check), [json!(group)]);
    let itself = json!({ "@odata.id": format!("https://x/directoryObjects/{group}") });
    assert_eq!(graph.post(&format!("{members}/$ref"), itself).await.status, 400);
    let _ = graph.call(Method::DELETE, &format!("{members}/{ada}/$ref"), None).await.expect(204);
    assert!(values(&graph.get(&members).await).is_empty());
}

#[tokio::test]
async fn lists_go_on_where_they_ended() {
    let graph = Graph::start().await;
    for number in 0..7 {
        let _ = graph.post("groups", json!({ "displayName": format!("group {number}") })).await.expect(201);
    }
    for below in ["groups?$top=3".to_owned(), format!("{}&$top=3", filter("groups", "startswith(displayName,'GROUP')"))]
    {
        let (mut names, mut next) = (Vec::new(), Some(below));
        while let Some(below) = next {
            let page = graph.get(&below).await.expect(200);
            assert!(values(&page).len() <= 3);
            names.extend(values(&page).iter().map(|group| group["displayName"].to_string()));
            next = page.json()["@odata.nextLink"].as_str().map(str::to_owned);
        }
        names.dedup();
        assert_eq!(names.len(), 7, "{names:?}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_named_in_graphs_words() {
    let graph = Graph::start().await;
    let place = URL_SAFE_NO_PAD.encode(json!(["a\0b", uuid(1)]).to_string());
    let refused = graph.get(&format!("users?$skiptoken={place}")).await;
    assert_eq!((refused.status, refused.code().as_str()), (400, "Request_BadRequest"), "{refused}");
    let app = id(&graph.post("applications", json!({ "displayName": "app" })).await.expect(201));
    let user = json!({
        "userPrincipalName": "eve@galerie.internal", "displayName": "Eve", "accountEnabled": true,
        "passwordProfile": { "password": "correct horse" }
    });
    let with = |name: &str, value: Value| {
        let mut body = user.clone();
        body[name] = value;
        body
    };
    for (below, body, expected) in [
        ("users", with("userPrincipalName", json!("ev\u{e4}@galerie.internal")), "userPrincipalName"),
        ("users", with("userPrincipalName", json!("eve@elsewhere.example")), "domain portion"),
        ("users", with("displayName", json!("\u{202E}eve")), "displayName"),
        ("users", with("passwordProfile", json!({ "password": "x" })), "at least 8 characters"),
        ("users", with("accountEnabled", json!("yes")), "accountEnabled"),
        ("users", with("id", json!(uuid(1))), "read-only"),
        ("users", with("isAdmin", json!(true)), "Invalid property 'isAdmin'"),
        ("users", json!([]), "JSON object"),
        ("groups", json!({ "displayName": "g", "mailEnabled": true }), "mailEnabled"),
        ("groups", json!({}), "displayName"),
        ("applications", json!({ "displayName": "a", "appId": uuid(1) }), "read-only"),
        ("applications", json!({ "displayName": "a", "passwordCredentials": [{}] }), "addPassword"),
        ("applications", json!({ "displayName": "a", "keyCredentials": [{ "key": "AAAA" }] }), "X.509"),
        (
            "applications",
            json!({ "displayName": "a", "web": { "redirectUris": ["javascript:alert(1)"] } }),
            "web.redirectUris",
        ),
        ("applications", json!({ "displayName": "a", "signInAudience": "Everybody" }), "signInAudience"),
        ("servicePrincipals", json!({ "appId": uuid(3) }), "does not reference"),
        ("servicePrincipals", json!({ "appId": "x" }), "does not reference"),
        ("directoryObjects/getByIds", json!({ "ids": ["x"] }), "ids"),
        (
            "roleManagement/directory/roleAssignments",
            json!({ "principalId": uuid(1), "roleDefinitionId": uuid(2) }),
            "roleDefinitionId",
        ),
    ] {
        let refused = graph.post(below, body.clone()).await;
        let message = refused.json()["error"]["message"].to_string();
        assert!(refused.status == 400 && message.contains(expected), "{body}: {refused}");
        assert!(refused.json()["error"]["innerError"]["request-id"].is_string(), "{refused}");
    }
    let secret = json!({ "passwordCredential": { "endDateTime": "2001-01-01T00:00:00Z" } });
    assert_eq!(graph.post(&format!("applications/{app}/addPassword"), secret).await.status, 400);
    for (below, status) in [
        (filter("users", "displayName ne 'x'"), 400),
        ("users?$top=0".to_owned(), 400),
        ("users?$skiptoken=x".to_owned(), 400),
        ("users/nobody@galerie.internal".to_owned(), 404),
        (format!("groups/{}", uuid(9)), 404),
        ("groups/x".to_owned(), 404),
        ("nowhere".to_owned(), 404),
        ("me".to_owned(), 400),
    ] {
        let refused = graph.get(&below).await;
        assert_eq!(refused.status, status, "{below}: {refused}");
        assert!(refused.json()["error"]["code"].is_string(), "{refused}");
    }
    assert_eq!(graph.call(Method::PUT, "users", None).await.status, 405);
    // Nothing was made by halves.
    assert!(values(&graph.get("users").await).is_empty() && values(&graph.get("groups").await).is_empty());
}

#[tokio::test]
async fn graph_takes_its_own_tokens_only() {
    let graph = Graph::start().await;
    let arm = graph.gallery.token().await.to_owned();
    for (token, code) in [(arm.as_str(), "InvalidAuthenticationTokenAudience"), ("x", "InvalidAuthenticationToken")] {
        let refused = graph.call_as(token, Method::GET, "users", None).await.expect(401);
        assert_eq!(refused.code(), code);
        assert!(refused.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Bearer ")));
    }
}

#[tokio::test]
async fn another_tenants_directory_is_not_there() {
    let graph = Graph::start().await;
    let ada = graph.user("ada", "correct horse").await;
    let new = graph.gallery.control.add_tenant("Other").await.expect("a tenant");
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}&scope=https://localhost:8443/msgraph/.default",
        new.client_id,
        secrecy::ExposeSecret::expose_secret(&new.client_secret)
    );
    let token = graph.gallery.form(&format!("/{}/oauth2/v2.0/token", new.tenant), &form).await.expect(200).json();
    let token = token["access_token"].as_str().expect("a token");
    for (method, below) in [
        (Method::GET, format!("users/{ada}")),
        (Method::GET, "users/ada@galerie.internal".to_owned()),
        (Method::DELETE, format!("users/{ada}")),
        (Method::GET, format!("directoryObjects/{ada}")),
        (Method::GET, format!("users/{ada}/memberOf")),
    ] {
        assert_eq!(graph.call_as(token, method, &below, None).await.status, 404, "{below}");
    }
    let listed = graph.call_as(token, Method::GET, "users", None).await;
    assert!(values(&listed).is_empty());
}

#[tokio::test]
async fn roles_of_an_application_are_checked_and_shown_on_its_service_principal() {
    let graph = Graph::start().await;
    let role = json!({
        "id": uuid(7), "value": "Images.Publish", "displayName": "Publisher", "description": "Publishes images",
        "allowedMemberTypes": ["User", "Application"], "isEnabled": true
    });
    let made = graph.post("applications", json!({ "displayName": "Pipeline", "appRoles": [role] })).await.expect(201);
    let (made, path) = (made.json(), format!("applications/{}", made.json()["id"].as_str().expect("an id")));
    assert_eq!(made["appRoles"], json!([role]));
    let principal = graph.post("servicePrincipals", json!({ "appId": made["appId"] })).await.expect(201).json();
    assert_eq!(principal["appRoles"], json!([role]));
    for roles in [json!([]), Value::Null, json!([{ "id": uuid(7), "value": "x" }])] {
        let refused = graph.call(Method::PATCH, &path, Some(json!({ "appRoles": roles }))).await;
        assert_eq!(refused.status, 400, "{roles}: {refused}");
    }
    let refused = graph.call(Method::PATCH, &path, Some(json!({ "appRoles": [] }))).await;
    assert_eq!(refused.code(), "CannotDeleteOrUpdateEnabledEntitlement");
    let mut disabled = role;
    disabled["isEnabled"] = false.into();
    for roles in [json!([disabled]), json!([])] {
        let _ = graph.call(Method::PATCH, &path, Some(json!({ "appRoles": roles }))).await.expect(204);
        assert_eq!(graph.get(&path).await.expect(200).json()["appRoles"], roles);
    }
}

fn uuid(number: u8) -> String {
    format!("00000000-0000-0000-0000-0000000000{number:02}")
}
