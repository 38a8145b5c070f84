//! Role definitions, role assignments and permissions on the wire.

use galerie_testkit::Gallery;
use serde_json::{Value, json};
use uuid::Uuid;

const AUTHORIZATION: &str = "providers/Microsoft.Authorization";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";

async fn principal(gallery: &Gallery) -> Uuid {
    gallery.control.bootstrapped().await.expect("a first start").principal
}

fn assignment(role: &str, principal: Uuid) -> Value {
    let role = format!("/{AUTHORIZATION}/roleDefinitions/{role}");
    json!({ "properties": { "roleDefinitionId": role, "principalId": principal.to_string(),
        "principalType": "ServicePrincipal" } })
}

#[tokio::test]
async fn an_assignment_is_made_read_listed_and_deleted_at_every_scope() {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    let path = "{s}/resourceGroups/rg/providers/Microsoft.Compute/galleries/g";
    gallery
        .succeeded(&gallery.put(&format!("{path}?api-version=2024-03-03"), json!({ "location": "eastus" })).await)
        .await;
    let principal = principal(&gallery).await;
    for scope in ["", "{s}", "{s}/resourceGroups/RG", path] {
        let (list, name) = (format!("{scope}/{AUTHORIZATION}/roleAssignments"), Uuid::new_v4());
        let one = format!("{list}/{name}?api-version=2022-04-01");
        let made = gallery.put(&one, assignment(READER, principal)).await.expect(201).json();
        assert_eq!(made["id"], format!("{}/{name}", gallery.path(&list)));
        assert_eq!(made["type"], "Microsoft.Authorization/roleAssignments");
        let scope_shown = if scope.is_empty() { "/".to_owned() } else { gallery.path(scope) };
        assert_eq!(made["properties"]["scope"], scope_shown);
        assert_eq!(made["properties"]["principalType"], "ServicePrincipal");
        assert!(made["properties"]["roleDefinitionId"].as_str().unwrap_or_default().ends_with(READER));
        // Again is the same; another name is a conflict.
        let made = gallery.put(&one, assignment(READER, principal)).await.expect(200).json();
        let other = format!("{list}/{}?api-version=2022-04-01", Uuid::new_v4());
        let refused = gallery.put(&other, assignment(READER, principal)).await.expect(409);
        assert_eq!(refused.code(), "RoleAssignmentExists");
        assert_eq!(gallery.get(&one).await.expect(200).json(), made);
        // az asks so; the scope is matched by it, not by us.
        let filter = format!("{list}?api-version=2022-04-01&$filter=principalId%20eq%20'{principal}'");
        let listed = gallery.get(&filter).await.expect(200).json();
        assert!(listed["value"].as_array().is_some_and(|found| found.contains(&made)), "{listed}");
        let old = gallery.get(&format!("{list}/{name}?api-version=2015-07-01")).await.expect(200).json();
        assert_eq!(old["properties"].get("principalType"), None);
        assert_eq!(gallery.delete(&one).await.expect(200).json(), made);
        let _ = gallery.delete(&one).await.expect(204);
        assert_eq!(gallery.get(&one).await.expect(404).code(), "RoleAssignmentNotFound");
    }
}

#[tokio::test]
async fn roles_are_listed_made_and_deleted() {
    let gallery = Gallery::start().await;
    let list = format!("{{s}}/{AUTHORIZATION}/roleDefinitions");
    let all = gallery.get(&format!("{list}?api-version=2022-05-01-preview")).await.expect(200).json();
    let names: Vec<&str> = all["value"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|role| role["properties"]["roleName"].as_str())
        .collect();
    assert!(names.contains(&"Owner") && names.contains(&"Compute Gallery Image Reader"), "{names:?}");
    let reader = gallery.get(&format!("{list}?api-version=2022-05-01-preview&$filter=roleName%20eq%20'reader'")).await;
    let reader = reader.expect(200).json();
    assert_eq!(reader["value"].as_array().map(Vec::len), Some(1));
    assert_eq!(reader["value"][0]["id"], gallery.path(&format!("{list}/{READER}")));
    assert_eq!(reader["value"][0]["properties"]["type"], "BuiltInRole");
    let at_root = gallery.get(&format!("/{AUTHORIZATION}/roleDefinitions/{READER}?api-version=2022-04-01")).await;
    assert_eq!(at_root.expect(200).json()["id"], format!("/{AUTHORIZATION}/roleDefinitions/{READER}"));

    let one = format!("{list}/{}?api-version=2022-05-01-preview", Uuid::new_v4());
    let body = json!({ "properties": { "roleName": "Starts nothing", "description": "d", "type": "CustomRole",
        "permissions": [{ "actions": ["Microsoft.Compute/*/read"], "notActions": [] }],
        "assignableScopes": [gallery.path("{s}")], "createdBy": "somebody else" } });
    let made = gallery.put(&one, body.clone()).await.expect(201).json();
    assert_eq!(made["properties"]["permissions"][0]["actions"], json!(["Microsoft.Compute/*/read"]));
    assert_ne!(made["properties"]["createdBy"], "somebody else");
    let _ = gallery.put(&one, body).await.expect(201);
    assert_eq!(gallery.get(&one).await.expect(200).json()["properties"]["roleName"], "Starts nothing");
    let _ = gallery.delete(&one).await.expect(200);
    let _ = gallery.delete(&one).await.expect(204);
    assert_eq!(gallery.get(&one).await.expect(404).code(), "RoleDefinitionDoesNotExist");
}

#[tokio::test]
async fn a_caller_may_ask_what_it_may_do() {
    let gallery = Gallery::start().await;
    for scope in ["", "{s}", "{s}/resourceGroups/none"] {
        let path = format!("{scope}/{AUTHORIZATION}/permissions?api-version=2022-04-01");
        let found = gallery.get(&path).await.expect(200).json();
        assert_eq!(
            found["value"],
            json!([{ "actions": ["*"], "notActions": [], "dataActions": [], "notDataActions": [] }])
        );
    }
}

#[tokio::test]
async fn filters_that_are_not_understood_are_refused() {
    let gallery = Gallery::start().await;
    for path in ["roleAssignments", "roleDefinitions"] {
        let path = format!("{{s}}/{AUTHORIZATION}/{path}?api-version=2022-04-01&$filter=nonsense");
        assert_eq!(gallery.get(&path).await.expect(400).code(), "UnsupportedQuery");
    }
    let odd = format!("/subscriptions/nonsense/{AUTHORIZATION}/roleAssignments?api-version=2022-04-01");
    assert_eq!(gallery.get(&odd).await.expect(400).code(), "InvalidSubscriptionId");
}
