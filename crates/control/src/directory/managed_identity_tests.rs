//! A gallery's identity in the directory: made, kept, given roles, and gone with the gallery. Nobody else changes it.

use galerie_arm::{ArmError, OperationStatus};
use serde_json::{Value, json};
use uuid::Uuid;

use super::credential::NewSecret;
use crate::{AssignmentFilter, ObjectKind, Scope, db::service_principal, testing::World};

const GALLERY: &str = "galleries/g";

async fn put(world: &World, identity: Value) -> Value {
    let mut body = json!({ "location": "eastus" });
    if !identity.is_null() {
        body["identity"] = identity;
    }
    world.put(GALLERY, body).await.unwrap();
    world.get(GALLERY).await.unwrap()["identity"].clone()
}

fn principal_of(identity: &Value) -> Uuid {
    identity["principalId"].as_str().unwrap().parse().unwrap()
}

async fn is_there(world: &World, principal: Uuid) -> bool {
    service_principal::find(&mut world.control.db().read().await.unwrap(), principal).await.unwrap().is_some()
}

#[tokio::test]
async fn an_identity_lives_as_long_as_its_gallery_wants_it() {
    let world = World::new().await;
    world.start();
    world.furnish().await;
    let identity = put(&world, json!({ "type": "SystemAssigned" })).await;
    assert_eq!(
        (&identity["type"], &identity["tenantId"]),
        (&json!("SystemAssigned"), &json!(world.caller.tenant.to_string()))
    );
    let first = principal_of(&identity);
    let shown = world.control.service_principal(&world.caller, first).await.unwrap();
    assert_eq!(
        (shown.display_name.as_str(), &shown.document["servicePrincipalType"]),
        ("g", &json!("ManagedIdentity"))
    );
    assert_eq!(shown.document["alternativeNames"][1], world.id(GALLERY).as_str());
    // Who does not mention it keeps it, and so does who repeats it.
    assert_eq!(put(&world, Value::Null).await, identity);
    assert_eq!(put(&world, json!({ "type": "SystemAssigned" })).await, identity);
    let tags = json!({ "tags": { "a": "b" } });
    world.control.patch(&world.ctx(), &world.id(GALLERY), tags).await.unwrap();
    assert_eq!(world.get(GALLERY).await.unwrap()["identity"], identity);
    // It takes a role, which goes with it.
    let scope = Scope::At(Box::new(world.id("")));
    let filter = crate::DefinitionFilter { role_name: Some("Reader".to_owned()), ..Default::default() };
    let role = world.control.role_definition_list(&world.ctx(), &scope, &filter).await.unwrap()[0]["id"].clone();
    let body = json!({ "properties": { "roleDefinitionId": role, "principalId": first.to_string(),
        "principalType": "ServicePrincipal" } });
    let name = Uuid::new_v4().to_string();
    world.control.role_assignment_put(&world.ctx(), &scope, &name, &body).await.unwrap();
    let none = json!({ "identity": { "type": "None" } });
    world.control.patch(&world.ctx(), &world.id(GALLERY), none).await.unwrap();
    assert_eq!(world.get(GALLERY).await.unwrap()["identity"], Value::Null);
    assert!(!is_there(&world, first).await);
    let page =
        world.control.role_assignment_list(&world.ctx(), &scope, &AssignmentFilter::default(), None).await.unwrap();
    assert!(!json!(page.items).to_string().contains(&first.to_string()));
    // Another one is another principal; it goes with the gallery, and with the group.
    let second = principal_of(&put(&world, json!({ "type": "SystemAssigned" })).await);
    assert_ne!(first, second);
    world.delete("galleries/g/images/i").await.unwrap();
    world.delete(GALLERY).await.unwrap();
    assert!(!is_there(&world, second).await);
    let third = principal_of(&put(&world, json!({ "type": "SystemAssigned" })).await);
    let deleted = world.control.resource_group_delete(&world.ctx(), &world.id("")).await.unwrap().unwrap();
    assert_eq!(world.ended(&deleted.operation).await, (OperationStatus::Succeeded, None));
    assert!(!is_there(&world, third).await);
    world.control.shutdown().await;
}

#[tokio::test]
async fn nobody_else_changes_it() {
    let world = World::new().await;
    world.furnish().await;
    let principal = principal_of(&put(&world, json!({ "type": "SystemAssigned" })).await);
    let (control, ctx) = (&world.control, world.ctx());
    let refused = |answer: Result<(), ArmError>| assert_eq!(answer.unwrap_err().code, "Request_BadRequest");
    refused(control.service_principal_delete(&ctx, principal).await);
    let change = control.service_principal_update(&ctx, principal, Some(false), Default::default(), None).await;
    refused(change.map(drop));
    let kind = ObjectKind::ServicePrincipal;
    refused(control.add_secret(&ctx, kind, principal, NewSecret::default()).await.map(drop));
    assert!(is_there(&world, principal).await);
}
