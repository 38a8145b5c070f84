//! What nobody can be, have or be called: roles, assignments, groups and names that are wrong, on each of the three sides. Every
//! refusal names what is wrong, and nothing is left of it.

use axum::http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    graph::{Graph, id, values},
    sign_in::{Browser, html, request},
};

const AUTHORIZATION: &str = "providers/Microsoft.Authorization";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const PASSWORD: &str = "correct horse";
const SIGN_IN: &str = "/organizations/oauth2/v2.0/authorize";

#[tokio::test]
async fn arm_refuses_roles_and_assignments_that_cannot_be() {
    let graph = Graph::start().await;
    let gallery = &graph.gallery;
    let ada = graph.user("ada", PASSWORD).await;
    let role = |name: &str, actions: Value, scope: &str| {
        json!({ "properties": { "roleName": name, "type": "CustomRole", "description": "",
            "permissions": [{ "actions": actions }], "assignableScopes": [scope] } })
    };
    let (sub, nowhere) = (gallery.path("{s}"), format!("/subscriptions/{}", Uuid::from_u128(7)));
    for (body, status, code) in [
        (role("X", json!(["Microsoft.Compute/galeries/read"]), &sub), 400, "InvalidActionOrNotAction"),
        (role("X", json!(["Microsoft.Compute/galleries/\u{202E}read"]), &sub), 400, "InvalidActionOrNotAction"),
        (role("X", json!([""]), &sub), 400, "BadRequestFormat"),
        (role("X", json!([7]), &sub), 400, "BadRequestFormat"),
        (role("X", json!(["*/read"]), &nowhere), 404, "SubscriptionNotFound"),
        (role("X", json!(["*/read"]), &format!("{sub}/resourceGroups/none")), 404, "ResourceGroupNotFound"),
    ] {
        let path = format!("{{s}}/{AUTHORIZATION}/roleDefinitions/{}?api-version=2022-04-01", Uuid::new_v4());
        let refused = gallery.put(&path, body.clone()).await;
        assert_eq!((refused.status, refused.code().as_str()), (status, code), "{body}: {refused}");
    }
    let assignment = |role: &str, principal: &str| {
        json!({ "properties": { "roleDefinitionId": format!("/{AUTHORIZATION}/roleDefinitions/{role}"),
            "principalId": principal } })
    };
    let with = |name: &str, value: Value| {
        let mut body = assignment(READER, &ada);
        body["properties"][name] = value;
        body
    };
    let nobody = Uuid::from_u128(7).to_string();
    for (scope, body, status, code) in [
        ("{s}", assignment(READER, &nobody), 400, "PrincipalNotFound"),
        ("{s}", assignment(READER, "\u{430}da"), 400, "BadRequestFormat"),
        ("{s}", assignment(&nobody, &ada), 404, "RoleDefinitionDoesNotExist"),
        ("{s}/resourceGroups/none", assignment(READER, &ada), 404, "ResourceGroupNotFound"),
        (nowhere.as_str(), assignment(READER, &ada), 404, "SubscriptionNotFound"),
        ("{s}", with("principalType", json!("Group")), 400, "UnmatchedPrincipalType"),
        ("{s}", with("condition", json!("@Resource[x] StringEquals 'y'")), 400, "RoleAssignmentConditionNotSupported"),
    ] {
        let path = format!("{scope}/{AUTHORIZATION}/roleAssignments/{}?api-version=2022-04-01", Uuid::new_v4());
        let refused = gallery.put(&path, body.clone()).await;
        assert_eq!((refused.status, refused.code().as_str()), (status, code), "{scope} {body}: {refused}");
    }
    let list = |kind: &str| format!("{{s}}/{AUTHORIZATION}/{kind}?api-version=2022-04-01");
    let roles = gallery.get(&format!("{}&$filter=type%20eq%20'CustomRole'", list("roleDefinitions"))).await;
    let of_ada = gallery.get(&format!("{}&$filter=principalId%20eq%20'{ada}'", list("roleAssignments"))).await;
    assert!(values(&roles).is_empty() && values(&of_ada).is_empty(), "something was made: {roles} {of_ada}");
}

#[tokio::test]
async fn graph_refuses_circles_and_members_that_are_nobody() {
    let graph = Graph::start().await;
    let mut groups = Vec::new();
    for name in ["a", "b", "c"] {
        groups.push(id(&graph.post("groups", json!({ "displayName": name })).await.expect(201)));
    }
    let member = |id: &str| json!({ "@odata.id": format!("https://x/directoryObjects/{id}") });
    let members = |group: &str| format!("groups/{group}/members/$ref");
    for pair in groups.windows(2) {
        let _ = graph.post(&members(&pair[0]), member(&pair[1])).await.expect(204);
    }
    for of in &groups {
        let refused = graph.post(&members(&groups[2]), member(of)).await.expect(400);
        assert!(refused.to_string().contains("members of themselves"), "{refused}");
    }
    let nobody = Uuid::from_u128(7).to_string();
    for (path, body) in [
        (members(&groups[0]), member(&nobody)),
        (members(&nobody), member(&groups[0])),
        (format!("groups/{}/owners/$ref", groups[0]), member(&nobody)),
        (
            "roleManagement/directory/roleAssignments".to_owned(),
            json!({ "principalId": nobody, "roleDefinitionId": "62e90394-69f5-4237-9190-012177145e10" }),
        ),
    ] {
        let refused = graph.post(&path, body).await;
        assert_eq!((refused.status, refused.code().as_str()), (404, "Request_ResourceNotFound"), "{path}: {refused}");
    }
    assert!(values(&graph.get(&format!("groups/{}/members", groups[2])).await).is_empty());
}

/// Names that are not what they look like are nobody's: not at Graph, and not at the sign-in page.
#[tokio::test]
async fn odd_unicode_is_no_user_name() {
    const ODD: [&str; 9] = [
        "\u{430}da",                // a Cyrillic a
        "\u{ff41}\u{ff44}\u{ff41}", // full width
        "a\u{308}da",               // a combining mark
        "ada\u{200B}",              // no width
        "\u{202E}ada",              // right to left
        "\u{1F5BC}",
        "\u{FEFF}ada",
        "ad\u{131}", // a dotless i
        "ada\u{0}",
    ];
    let graph = Graph::start().await;
    let ada = graph.user("ada", PASSWORD).await;
    let mut browser = Browser::new(&graph.gallery);
    for local in ODD {
        let name = format!("{local}@galerie.internal");
        let body = json!({ "userPrincipalName": name, "displayName": "x", "accountEnabled": true,
            "passwordProfile": { "password": PASSWORD } });
        let refused = graph.post("users", body).await;
        let message = refused.to_string();
        assert!(refused.status == 400 && message.contains("userPrincipalName"), "{local:?}: {refused}");
        let rename = json!({ "userPrincipalName": name });
        assert_eq!(graph.call(Method::PATCH, &format!("users/{ada}"), Some(rename)).await.status, 400, "{local:?}");
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        assert_eq!(graph.get(&format!("users/{encoded}")).await.status, 404, "{local:?}");
        let page = browser.open(&format!("{SIGN_IN}?{}", request(&[]))).await;
        let typed = [("user_name", name.as_str()), ("password", PASSWORD), ("action", "sign-in")];
        let refused = browser.post(SIGN_IN, &page, &typed).await;
        assert!(matches!(refused.status, 400 | 429) && !html(&refused).contains("code="), "{local:?}: {refused}");
    }
    // Written otherwise is still the same name.
    let page = browser.open(&format!("{SIGN_IN}?{}", request(&[]))).await;
    let typed = [("user_name", " ADA@Galerie.Internal "), ("password", PASSWORD), ("action", "sign-in")];
    assert_eq!(browser.post(SIGN_IN, &page, &typed).await.status, 303);
    let users = values(&graph.get("users").await);
    assert_eq!(users.len(), 1, "{users:?}");
    // Nor is a NUL, which PostgreSQL does not take, an error of ours.
    let found = graph.get("users?$filter=displayName%20eq%20'x%00'").await.expect(200);
    assert!(values(&found).is_empty(), "{found}");
    // What people are called is another matter: any script, but nothing that turns or hides what is read.
    for (name, status) in [("Grüße \u{1F5BC} 画像", 204), ("\u{202E}ada", 400), ("\u{200B}", 400), ("a\nb", 400)] {
        let change = json!({ "displayName": name });
        assert_eq!(graph.call(Method::PATCH, &format!("users/{ada}"), Some(change)).await.status, status, "{name:?}");
    }
}
