//! Roles and assignments on a catalogue: what they promise, on both databases.

use galerie_arm::{ArmError, ResourceId, ResourceType};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    AssignmentFilter, DefinitionFilter, Scope,
    built_in_roles::{BUILT_IN_ROLES, OWNER},
    forget_principal, linked,
};
use crate::{
    Caller, Control, Limit, ListScope, QuotaOf, RequestContext,
    db::{
        application::{self, ApplicationRow},
        directory_object::{self, DirectoryObjectRow, ObjectKind},
        group::{self, GroupRow},
        service_principal::{self, ServicePrincipalRow},
        transact,
    },
    directory::{Document, managed_identity},
    resource::{Expand, Verb, action},
    testing::{World, upload_body},
};

pub(super) fn role(name: &str) -> Uuid {
    BUILT_IN_ROLES.iter().find(|built_in| built_in.name == name).expect("a built-in role").role.id
}

/// A new application of the tenant without any role, as a caller.
pub(crate) async fn newcomer(world: &World) -> RequestContext {
    let (principal, app_id) = (Uuid::new_v4(), Uuid::new_v4());
    let object = |id, kind| {
        let display_name = "Newcomer".to_owned();
        DirectoryObjectRow { id, tenant: world.caller.tenant, kind, display_name, created_ms: 0 }
    };
    let registered =
        ApplicationRow { object: object(Uuid::new_v4(), ObjectKind::Application), app_id, document: json!({}) };
    let object = object(principal, ObjectKind::ServicePrincipal);
    let row = ServicePrincipalRow { object, app_id, administrator: false, enabled: true, document: json!({}) };
    transact!(world.control.db(), |tx| -> crate::db::Result<()> {
        application::insert(tx, &registered).await?;
        service_principal::insert(tx, &row).await
    })
    .unwrap();
    let caller = Caller::application(world.caller.tenant, principal, app_id, false);
    RequestContext { caller, ..world.ctx() }
}

pub(super) fn assignment(role: Uuid, principal: Uuid) -> Value {
    let role = format!("/providers/Microsoft.Authorization/roleDefinitions/{role}");
    json!({ "properties": { "roleDefinitionId": role, "principalId": principal } })
}

/// Gives a role over a scope; the assignment's name.
pub(crate) async fn give(world: &World, to: &RequestContext, role: Uuid, scope: &Scope) -> String {
    let (name, body) = (Uuid::new_v4().to_string(), assignment(role, to.caller.principal));
    let (is_new, _) = world.control.role_assignment_put(&world.ctx(), scope, &name, &body).await.unwrap();
    assert!(is_new);
    name
}

/// A newcomer with a role over a scope.
pub(crate) async fn holder(world: &World, role_name: &str, scope: &Scope) -> RequestContext {
    let ctx = newcomer(world).await;
    give(world, &ctx, role(role_name), scope).await;
    ctx
}

pub(super) fn at(id: &ResourceId) -> Scope {
    Scope::At(Box::new(id.clone()))
}

fn subscription(world: &World) -> Scope {
    Scope::from(galerie_arm::SubscriptionId::new(world.subscription))
}

async fn read(control: &Control, ctx: &RequestContext, id: &ResourceId) -> Result<Value, ArmError> {
    Ok(control.get(ctx, id, &Expand::default()).await?.document)
}

#[tokio::test]
async fn a_role_counts_at_once_in_every_process_and_until_it_is_taken() {
    let world = World::new().await;
    world.furnish().await;
    let other = world.reopen().await;
    let (ctx, gallery) = (newcomer(&world).await, world.id("galleries/g"));
    for control in [&world.control, &other.control] {
        assert_eq!(read(control, &ctx, &gallery).await.unwrap_err().code, "AuthorizationFailed");
    }
    let scope = at(&world.id(""));
    let name = give(&world, &ctx, role("Reader"), &scope).await;
    for control in [&world.control, &other.control] {
        read(control, &ctx, &gallery).await.unwrap();
        let refused = control.delete(&ctx, &gallery).await.unwrap_err();
        assert_eq!(refused.code, "AuthorizationFailed");
    }
    assert!(other.control.role_assignment_delete(&world.ctx(), &scope, &name).await.unwrap().is_some());
    for control in [&world.control, &other.control] {
        assert_eq!(read(control, &ctx, &gallery).await.unwrap_err().code, "AuthorizationFailed");
    }
    assert!(world.control.role_assignment_delete(&world.ctx(), &scope, &name).await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_not_there_is_refused_as_what_is() {
    let world = World::new().await;
    world.furnish().await;
    let ctx = newcomer(&world).await;
    let refused = async |id: &ResourceId| {
        let get = read(&world.control, &ctx, id).await.unwrap_err();
        let put = world.control.put(&ctx, id, json!({ "location": "eastus" })).await.unwrap_err();
        let delete = world.control.delete(&ctx, id).await.unwrap_err();
        [get, put, delete].map(|error| error.body().to_string().replace(id.as_str(), "X"))
    };
    assert_eq!(refused(&world.id("galleries/g")).await, refused(&world.id("galleries/none")).await);
    let elsewhere: ResourceId =
        world.id("galleries/g").as_str().replace("/resourceGroups/rg/", "/resourceGroups/none/").parse().unwrap();
    assert_eq!(refused(&world.id("galleries/g")).await, refused(&elsewhere).await);
}

#[tokio::test]
async fn lists_show_what_may_be_read() {
    let world = World::new().await;
    world.furnish().await;
    for name in ["a", "a1", "b"] {
        world.put(&format!("galleries/{name}"), json!({ "location": "eastus" })).await.unwrap();
    }
    let of_galleries =
        ListScope::Subscription { subscription: world.subscription, resource_type: Some(ResourceType::Gallery) };
    let of_all = ListScope::Subscription { subscription: world.subscription, resource_type: None };
    let in_group = ListScope::Group { group: world.id(""), resource_type: None };
    let in_no_group = ListScope::Group { group: format!("{}x", world.id("")).parse().unwrap(), resource_type: None };
    let names = async |ctx: &RequestContext, scope: &ListScope| {
        let page = world.control.list(ctx, scope, None).await?;
        assert_eq!(page.continuation, None);
        let name = |item: &crate::DocumentText| item.to_value()["name"].as_str().unwrap().to_owned();
        Ok::<_, ArmError>(page.items.iter().map(name).collect::<Vec<_>>())
    };
    let nobody = newcomer(&world).await;
    for scope in [&of_galleries, &of_all, &in_group, &in_no_group] {
        assert!(names(&nobody, scope).await.unwrap().is_empty());
    }
    assert_eq!(names(&world.ctx(), &in_no_group).await.unwrap_err().code, "ResourceGroupNotFound");
    let one = holder(&world, "Reader", &at(&world.id("galleries/a"))).await;
    assert_eq!(names(&one, &of_galleries).await.unwrap(), ["a"]);
    assert_eq!(names(&one, &of_all).await.unwrap(), ["a"]);
    assert!(names(&one, &in_no_group).await.unwrap().is_empty());
    // An image reader of the gallery sees its images and not the gallery.
    let images = holder(&world, "Compute Gallery Image Reader", &at(&world.id("galleries/g"))).await;
    assert!(names(&images, &of_galleries).await.unwrap().is_empty());
    assert_eq!(names(&images, &of_all).await.unwrap(), ["i"]);
    let all = holder(&world, "Reader", &subscription(&world)).await;
    assert_eq!(names(&all, &of_all).await.unwrap(), names(&world.ctx(), &of_all).await.unwrap());
    let groups = async |ctx: &RequestContext| {
        world.control.resource_group_list(ctx, world.subscription, None).await.unwrap().items.len()
    };
    assert_eq!((groups(&nobody).await, groups(&one).await, groups(&all).await), (0, 0, 1));
    let known = async |ctx: &RequestContext| world.control.subscriptions(&ctx.caller).await.unwrap().len();
    assert_eq!((known(&nobody).await, known(&one).await, known(&all).await), (0, 1, 1));
    assert_eq!(world.control.subscription(&nobody.caller, world.subscription).await.unwrap_err().status, 403);
    world.control.subscription(&one.caller, world.subscription).await.unwrap();
}

#[tokio::test]
async fn pages_of_what_is_seen_in_part_are_complete() {
    let world = World::new().await;
    world.furnish().await;
    let ctx = newcomer(&world).await;
    // More than Azure lets a subscription have.
    let (of, same) = (QuotaOf::Subscription(world.subscription), Limit::Unchanged);
    world.control.set_quota(&world.ctx(), of, same, same, Some(false)).await.unwrap();
    let mut expected = Vec::new();
    for number in 0..230 {
        let id = world.id(&format!("galleries/m{number}"));
        world.control.put(&world.ctx(), &id, json!({ "location": "eastus" })).await.unwrap();
        if number % 2 == 0 {
            give(&world, &ctx, role("Reader"), &at(&id)).await;
            expected.push(id.name().to_owned());
        }
    }
    expected.sort();
    for resource_type in [None, Some(ResourceType::Gallery)] {
        let scope = ListScope::Subscription { subscription: world.subscription, resource_type };
        let (mut found, mut continuation, mut pages) = (Vec::new(), None::<String>, 0);
        loop {
            let page = world.control.list(&ctx, &scope, continuation.as_deref()).await.unwrap();
            found.extend(page.items.iter().map(|item| item.to_value()["name"].as_str().unwrap().to_owned()));
            pages += 1;
            continuation = page.continuation;
            if continuation.is_none() {
                break;
            }
        }
        assert_eq!((found, pages), (expected.clone(), 2));
    }
}

#[tokio::test]
async fn assignments_are_listed_at_above_and_below() {
    let world = World::new().await;
    world.furnish().await;
    let (one, two) = (newcomer(&world).await, newcomer(&world).await);
    let (group, gallery) = (at(&world.id("")), at(&world.id("galleries/g")));
    for (ctx, scope) in [(&one, &subscription(&world)), (&one, &gallery), (&two, &group)] {
        give(&world, ctx, role("Reader"), scope).await;
    }
    let scopes = async |scope: &Scope, filter: AssignmentFilter| {
        let page = world.control.role_assignment_list(&world.ctx(), scope, &filter, None).await.unwrap();
        let scope = |item: &Value| item["properties"]["scope"].as_str().unwrap().to_owned();
        page.items.iter().map(scope).collect::<Vec<_>>()
    };
    let all = ["/", subscription(&world).as_str(), group.as_str(), gallery.as_str()].map(str::to_owned);
    assert_eq!(scopes(&group, AssignmentFilter::default()).await, all);
    assert_eq!(scopes(&Scope::Root, AssignmentFilter::default()).await, all);
    assert_eq!(scopes(&group, AssignmentFilter { at_scope: true, ..Default::default() }).await, all[..3]);
    let principal = Some(one.caller.principal);
    let of_one = [all[1].clone(), all[3].clone()];
    assert_eq!(scopes(&group, AssignmentFilter { principal, ..Default::default() }).await, of_one);
    let assigned_to = principal;
    assert_eq!(
        scopes(&group, AssignmentFilter { assigned_to, at_scope: true, ..Default::default() }).await,
        of_one[..1]
    );
    let none = at(&world.id("galleries/none"));
    let filter = AssignmentFilter::default();
    let refused = world.control.role_assignment_list(&world.ctx(), &none, &filter, None).await.unwrap_err();
    assert_eq!(refused.code, "ResourceNotFound");
    let refused = world.control.role_assignment_list(&one, &Scope::Root, &filter, None).await.unwrap_err();
    assert_eq!(refused.code, "AuthorizationFailed");
}

#[tokio::test]
async fn long_lists_of_assignments_have_pages() {
    let world = World::new().await;
    world.furnish().await;
    let mut expected = Vec::new();
    for _ in 0..320 {
        let ctx = newcomer(&world).await;
        for name in ["Reader", "Contributor"] {
            expected.push(give(&world, &ctx, role(name), &at(&world.id(""))).await);
        }
    }
    expected.sort();
    let filter = AssignmentFilter::default();
    for scope in [Scope::Root, at(&world.id(""))] {
        let first = world.control.role_assignment_list(&world.ctx(), &scope, &filter, None).await.unwrap();
        let next = first.continuation.as_deref().expect("more");
        let second = world.control.role_assignment_list(&world.ctx(), &scope, &filter, Some(next)).await.unwrap();
        assert_eq!((first.items.len(), second.continuation), (500, None));
        let name = |item: &Value| item["name"].as_str().unwrap().to_owned();
        let mut found: Vec<String> = first.items.iter().chain(&second.items).skip(1).map(name).collect();
        found.sort();
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn assignments_that_cannot_be_are_refused_by_name() {
    let world = World::new().await;
    world.furnish().await;
    let ctx = newcomer(&world).await;
    let (reader, principal, group) = (role("Reader"), ctx.caller.principal, at(&world.id("")));
    let name = give(&world, &ctx, reader, &group).await;
    let put = async |scope: &Scope, name: &str, body: Value| {
        world
            .control
            .role_assignment_put(&world.ctx(), scope, name, &body)
            .await
            .map_err(|error| error.code.into_owned())
    };
    let new = || Uuid::new_v4().to_string();
    for (scope, name, body, code) in [
        (&group, "me".to_owned(), assignment(reader, principal), "InvalidRoleAssignmentId"),
        (&group, new(), json!({}), "BadRequestFormat"),
        (&group, new(), assignment(Uuid::new_v4(), principal), "RoleDefinitionDoesNotExist"),
        (&group, new(), assignment(reader, Uuid::new_v4()), "PrincipalNotFound"),
        (&group, new(), assignment(reader, principal), "RoleAssignmentExists"),
        (&group, name.clone(), assignment(OWNER, principal), "RoleAssignmentUpdateNotPermitted"),
        (&Scope::Root, name.clone(), assignment(reader, principal), "RoleAssignmentUpdateNotPermitted"),
        (&at(&world.id("galleries/none")), new(), assignment(reader, principal), "ResourceNotFound"),
        (&at(&world.id("galleries/none/images/i")), new(), assignment(reader, principal), "ParentResourceNotFound"),
    ] {
        assert_eq!(put(scope, &name, body).await.unwrap_err(), code);
    }
    let mut other = assignment(reader, principal);
    other["properties"]["principalType"] = json!("Group");
    assert_eq!(put(&group, &new(), other).await.unwrap_err(), "UnmatchedPrincipalType");
    // The same again, with a description, changes that.
    let mut same = assignment(reader, principal);
    same["properties"]["description"] = json!("for the pipeline");
    let (is_new, shown) = put(&group, &name, same).await.unwrap();
    assert_eq!((is_new, &shown["properties"]["description"]), (false, &json!("for the pipeline")));
    let of_another_tenant = world.control.add_tenant("Other").await.unwrap();
    let foreign = Scope::from(galerie_arm::SubscriptionId::new(of_another_tenant.subscription));
    assert_eq!(put(&foreign, &new(), assignment(reader, principal)).await.unwrap_err(), "SubscriptionNotFound");
    let refused = world.control.role_assignment_put(&ctx, &group, &new(), &assignment(OWNER, principal)).await;
    assert_eq!(refused.unwrap_err().code, "AuthorizationFailed");
}

pub(crate) fn custom(name: &str, actions: &[&str], scopes: &[&str]) -> Value {
    json!({ "properties": { "roleName": name, "type": "CustomRole", "description": "",
        "permissions": [{ "actions": actions }], "assignableScopes": scopes } })
}

#[tokio::test]
async fn custom_roles_live_as_long_as_somebody_has_them() {
    let world = World::new().await;
    world.furnish().await;
    let (sub, group) = (subscription(&world), at(&world.id("")));
    let (id, control, owner) = (Uuid::new_v4().to_string(), &world.control, world.ctx());
    let put =
        async |ctx: &RequestContext, id: &str, body: Value| control.role_definition_put(ctx, &sub, id, &body).await;
    let read_galleries = ["Microsoft.Compute/galleries/read"];
    let made = put(&owner, &id, custom("Sees galleries", &read_galleries, &[group.as_str()])).await.unwrap();
    assert_eq!(made["properties"]["assignableScopes"], json!([group.as_str()]));

    let ctx = newcomer(&world).await;
    let role: Uuid = id.parse().unwrap();
    let refused = control
        .role_assignment_put(&owner, &sub, &Uuid::new_v4().to_string(), &assignment(role, ctx.caller.principal))
        .await;
    assert_eq!(refused.unwrap_err().code, "RoleDefinitionDoesNotExist", "not assignable there");
    let name = give(&world, &ctx, role, &group).await;
    read(control, &ctx, &world.id("galleries/g")).await.unwrap();
    // A change of the role counts at the next request.
    put(&owner, &id, custom("Sees images", &["Microsoft.Compute/galleries/images/read"], &[group.as_str()]))
        .await
        .unwrap();
    assert_eq!(read(control, &ctx, &world.id("galleries/g")).await.unwrap_err().code, "AuthorizationFailed");
    read(control, &ctx, &world.id("galleries/g/images/i")).await.unwrap();

    let narrower = custom("Sees images", &read_galleries, &[at(&world.id("")).as_str()]);
    put(&owner, &id, narrower).await.unwrap();
    control
        .resource_group_put(&owner, &format!("{}2", world.id("")).parse().unwrap(), json!({ "location": "eastus" }))
        .await
        .unwrap();
    let elsewhere = custom("Sees images", &read_galleries, &[&format!("{}2", group.as_str())]);
    assert_eq!(put(&owner, &id, elsewhere).await.unwrap_err().code, "RoleDefinitionHasAssignments");
    let delete = async |ctx: &RequestContext| control.role_definition_delete(ctx, &sub, &id).await;
    assert_eq!(delete(&owner).await.unwrap_err().code, "RoleDefinitionHasAssignments");
    assert_eq!(delete(&ctx).await.unwrap_err().code, "AuthorizationFailed");
    control.role_assignment_delete(&owner, &group, &name).await.unwrap();
    assert!(delete(&owner).await.unwrap().is_some() && delete(&owner).await.unwrap().is_none());
}

#[tokio::test]
async fn custom_roles_that_cannot_be_are_refused_by_name() {
    let world = World::new().await;
    world.furnish().await;
    let (sub, control) = (subscription(&world), &world.control);
    let other = control.add_tenant("Other").await.unwrap();
    let foreign = format!("/subscriptions/{}", other.subscription);
    let (here, nowhere) = (sub.as_str(), format!("{}/resourceGroups/none", sub.as_str()));
    let read = ["*/read"];
    for (body, code) in [
        (json!({}), "BadRequestFormat"),
        (custom("X", &["Microsoft.Compute/galeries/read"], &[here]), "InvalidActionOrNotAction"),
        (custom("Reader", &read, &[here]), "RoleDefinitionWithSameNameExists"),
        (custom("rEADER", &read, &[here]), "RoleDefinitionWithSameNameExists"),
        (custom("X", &read, &["/"]), "InvalidAssignableScope"),
        (custom("X", &read, &["nonsense"]), "InvalidAssignableScope"),
        (custom("X", &read, &[world.id("galleries/g").as_str()]), "InvalidAssignableScope"),
        (custom("X", &read, &[&nowhere]), "ResourceGroupNotFound"),
        (custom("X", &read, &[here, &foreign]), "SubscriptionNotFound"),
    ] {
        let id = Uuid::new_v4().to_string();
        let refused = control.role_definition_put(&world.ctx(), &sub, &id, &body).await.unwrap_err();
        assert_eq!(refused.code, code, "{body}");
    }
    let put = async |id: &str| control.role_definition_put(&world.ctx(), &sub, id, &custom("X", &read, &[here])).await;
    assert_eq!(put("x").await.unwrap_err().code, "InvalidRoleDefinitionId");
    assert_eq!(put(&OWNER.to_string()).await.unwrap_err().code, "BuiltInRoleCannotBeChanged");
    // Whoever may write roles in a group may not make one that is assignable outside of it.
    let ctx = holder(&world, "User Access Administrator", &at(&world.id(""))).await;
    let (id, group) = (Uuid::new_v4().to_string(), at(&world.id("")));
    let wide = custom("X", &read, &[group.as_str(), here]);
    let refused = control.role_definition_put(&ctx, &group, &id, &wide).await.unwrap_err();
    assert_eq!(refused.code, "AuthorizationFailed");
    control.role_definition_put(&ctx, &group, &id, &custom("X", &read, &[group.as_str()])).await.unwrap();
    let named = |name: &str| DefinitionFilter { role_name: Some(name.to_owned()), ..Default::default() };
    let list =
        async |scope: &Scope, filter| control.role_definition_list(&world.ctx(), scope, &filter).await.unwrap().len();
    assert_eq!((list(&group, named("x")).await, list(&sub, named("x")).await), (1, 0));
    assert_eq!(list(&sub, DefinitionFilter { and_below: true, ..named("x") }).await, 1);
    assert_eq!(list(&sub, DefinitionFilter::default()).await, BUILT_IN_ROLES.len());
    let of_type = |role_type: &str, name: Option<&str>| DefinitionFilter {
        role_type: Some(role_type.to_owned()),
        role_name: name.map(str::to_owned),
        ..Default::default()
    };
    for (filter, expected) in [
        (of_type("customrole", None), 1),
        (of_type("CustomRole", Some("X")), 1),
        (of_type("CustomRole", Some("Reader")), 0),
        (of_type("BuiltInRole", Some("X")), 0),
        (of_type("BuiltInRole", None), BUILT_IN_ROLES.len()),
        (of_type("Other", None), 0),
        (named("none"), 0),
    ] {
        assert_eq!(list(&group, filter.clone()).await, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn the_root_never_lacks_an_owner() {
    let world = World::new().await;
    let list = async || {
        let filter = AssignmentFilter { at_scope: true, ..Default::default() };
        world.control.role_assignment_list(&world.ctx(), &Scope::Root, &filter, None).await.unwrap().items
    };
    let first = list().await[0]["name"].as_str().unwrap().to_owned();
    let delete =
        async |control: &Control, name: &str| control.role_assignment_delete(&world.ctx(), &Scope::Root, name).await;
    let refused = delete(&world.control, &first).await.unwrap_err();
    assert_eq!((refused.status, refused.code.as_ref()), (412, "CannotDeleteLastRbacAdminAssignment"));
    let remove = async |control: &Control, principal: Uuid| {
        transact!(control.db(), |tx| -> Result<(), ArmError> { forget_principal(tx, principal).await })
    };
    assert_eq!(remove(&world.control, world.caller.principal).await.unwrap_err().status, 412);
    // Two at once, of two processes: by assignment and by principal.
    let other = world.reopen().await;
    for _ in 0..20 {
        let second = newcomer(&world).await;
        give(&world, &second, OWNER, &Scope::Root).await;
        let (one, two) = tokio::join!(delete(&other.control, &first), remove(&world.control, second.caller.principal),);
        let mut tx = world.control.db().read().await.unwrap();
        let owners = crate::db::role_assignment::count_keepers_of_root(&mut tx, world.caller.tenant, OWNER).await;
        drop(tx);
        assert_eq!(owners.unwrap(), 1, "{one:?} {two:?}");
        assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
        if one.is_ok() {
            // The newcomer is the Owner now, and gives it back.
            let (name, body) = (&first, assignment(OWNER, world.caller.principal));
            let given = world.control.role_assignment_put(&second, &Scope::Root, name, &body).await.unwrap();
            assert!(given.0);
            remove(&world.control, second.caller.principal).await.unwrap();
        }
    }
}

/// Regression: who cannot be signed in as counted as the last Owner, and so another tenant could not delete an application of its own.
#[tokio::test]
async fn what_nobody_here_signs_in_as_does_not_keep_the_root() {
    let world = World::new().await;
    let (control, tenant) = (&world.control, world.caller.tenant);
    let other = control.add_tenant("Other").await.unwrap();
    let directory = |caller| RequestContext::of_the_directory(caller, Uuid::new_v4());
    let theirs = directory(Caller::application(other.tenant, Uuid::new_v4(), other.client_id, true));
    let offered = Document::from_iter([("signInAudience".to_owned(), json!("AzureADMultipleOrgs"))]);
    let app = control.application_create(&theirs, "app", offered, &[]).await.unwrap();
    let here = directory(world.caller.clone());
    let guest = control.service_principal_create(&here, app.app_id, true, Document::new()).await.unwrap();
    let identity = Uuid::new_v4();
    transact!(control.db(), |tx| -> Result<(), ArmError> {
        managed_identity::insert(tx, tenant, identity, "g", "/subscriptions/x").await
    })
    .unwrap();
    for principal in [guest.id, identity] {
        let (name, body) = (Uuid::new_v4().to_string(), assignment(OWNER, principal));
        control.role_assignment_put(&world.ctx(), &Scope::Root, &name, &body).await.unwrap();
    }
    let forget = async |principal| {
        transact!(control.db(), |tx| -> Result<(), ArmError> { forget_principal(tx, principal).await })
    };
    assert_eq!(forget(world.caller.principal).await.unwrap_err().status, 412);
    // They go whenever they go, also when they are all that a tenant trusts.
    transact!(control.db(), |tx| -> crate::db::Result<()> {
        crate::db::role_assignment::delete_for_principal(tx, tenant, world.caller.principal).await.map(drop)
    })
    .unwrap();
    forget(identity).await.unwrap();
    control.application_delete(&theirs, app.id).await.unwrap();
    assert!(control.service_principal(&world.caller, guest.id).await.is_err());
}

#[tokio::test]
async fn what_is_deleted_takes_its_assignments_along() {
    let world = World::new().await;
    world.furnish().await;
    let ctx = holder(&world, "Reader", &at(&world.id("galleries/g/images/i"))).await;
    let neighbour = holder(&world, "Reader", &at(&world.id("galleries/g"))).await;
    let image = world.id("galleries/g/images/i");
    read(&world.control, &ctx, &image).await.unwrap();
    world.delete("galleries/g/images/i").await.unwrap();
    world.furnish().await;
    assert_eq!(read(&world.control, &ctx, &image).await.unwrap_err().code, "AuthorizationFailed");
    read(&world.control, &neighbour, &image).await.unwrap();
    // A group, with everything in it.
    let in_group = holder(&world, "Reader", &at(&world.id(""))).await;
    world.start();
    let deleted = world.control.resource_group_delete(&world.ctx(), &world.id("")).await.unwrap().unwrap();
    world.ended(&deleted.operation).await;
    world.furnish().await;
    for ctx in [&neighbour, &in_group] {
        assert_eq!(read(&world.control, ctx, &world.id("galleries/g")).await.unwrap_err().code, "AuthorizationFailed");
    }
    world.control.shutdown().await;
}

/// A principal that is deleted while a role is assigned to it is left without the role, or the assignment is refused.
#[tokio::test]
async fn a_principal_that_is_being_deleted_is_given_nothing() {
    let world = World::new().await;
    let other = world.reopen().await;
    for _ in 0..20 {
        let ctx = newcomer(&world).await;
        let (principal, tenant) = (ctx.caller.principal, world.caller.tenant);
        let body = assignment(role("Reader"), principal);
        let (owner, name) = (world.ctx(), Uuid::new_v4().to_string());
        let give = world.control.role_assignment_put(&owner, &Scope::Root, &name, &body);
        let remove = async {
            transact!(other.control.db(), |tx| -> Result<(), ArmError> {
                forget_principal(tx, principal).await?;
                service_principal::delete(tx, principal).await?;
                Ok(directory_object::delete(tx, principal).await?)
            })
        };
        let (given, removed) = tokio::join!(give, remove);
        removed.unwrap();
        assert!(given.is_ok() || given.unwrap_err().code == "PrincipalNotFound");
        let mut tx = world.control.db().read().await.unwrap();
        let held = crate::db::role_assignment::list_for_principal(&mut tx, tenant, principal).await.unwrap();
        assert_eq!(held, []);
    }
}

#[tokio::test]
async fn members_have_what_their_groups_have_also_nested_ones() {
    let world = World::new().await;
    world.furnish().await;
    let (ctx, groups) = (newcomer(&world).await, [Uuid::new_v4(), Uuid::new_v4()]);
    let tenant = world.caller.tenant;
    transact!(world.control.db(), |tx| -> crate::db::Result<()> {
        for id in groups {
            let (kind, display_name) = (ObjectKind::Group, "Group".to_owned());
            let object = DirectoryObjectRow { id, tenant, kind, display_name, created_ms: 0 };
            group::insert(tx, &GroupRow { object, document: json!({}) }).await?;
        }
        Ok(())
    })
    .unwrap();
    let [inner, outer] = groups;
    let (scope, name) = (at(&world.id("")), Uuid::new_v4().to_string());
    let body = assignment(role("Reader"), outer);
    let (_, shown) = world.control.role_assignment_put(&world.ctx(), &scope, &name, &body).await.unwrap();
    assert_eq!(shown["properties"]["principalType"], "Group");
    let gallery = world.id("galleries/g");
    assert!(read(&world.control, &ctx, &gallery).await.is_err());
    let join = async |group: Uuid, member: Uuid| {
        transact!(world.control.db(), |tx| -> crate::db::Result<()> {
            group::add_member(tx, group, member).await?;
            Ok(())
        })
        .unwrap();
    };
    join(inner, ctx.caller.principal).await;
    assert!(read(&world.control, &ctx, &gallery).await.is_err());
    join(outer, inner).await;
    read(&world.control, &ctx, &gallery).await.unwrap();
    let filter = AssignmentFilter { assigned_to: Some(ctx.caller.principal), ..Default::default() };
    let page = world.control.role_assignment_list(&world.ctx(), &scope, &filter, None).await.unwrap();
    assert_eq!(page.items[0]["name"], name);
    // A token may name groups that the directory does not know of.
    let mut other = newcomer(&world).await;
    assert!(read(&world.control, &other, &gallery).await.is_err());
    other.caller.groups = vec![inner];
    read(&world.control, &other, &gallery).await.unwrap();
}

/// A body that makes a resource of one type from one of another.
fn body_from(made: ResourceType, source_type: ResourceType, source: &str) -> Value {
    let properties = match (made, source_type) {
        (ResourceType::ImageVersion, ResourceType::VirtualMachine) => {
            json!({ "storageProfile": { "source": { "virtualMachineId": source } } })
        }
        (ResourceType::ImageVersion, ResourceType::Disk | ResourceType::Snapshot) => {
            json!({ "storageProfile": { "osDiskImage": { "source": { "id": source } } } })
        }
        (ResourceType::ImageVersion, _) => json!({ "storageProfile": { "source": { "id": source } } }),
        (ResourceType::ManagedImage, _) => {
            let from = if source_type == ResourceType::Disk { "managedDisk" } else { "snapshot" };
            json!({ "hyperVGeneration": "V2", "storageProfile": { "osDisk": { "osType": "Linux",
                "osState": "Generalized", from: { "id": source } } } })
        }
        (ResourceType::ApplicationVersion, _) => json!({ "publishingProfile": {
            "source": { "mediaLink": source }, "manageActions": { "install": "i", "remove": "r" } } }),
        (ResourceType::ScriptVersion, _) => json!({ "publishingProfile": { "source": { "scriptLink": source } } }),
        (_, ResourceType::ImageVersion) => {
            json!({ "creationData": { "createOption": "FromImage", "galleryImageReference": { "id": source } } })
        }
        _ => json!({ "creationData": { "createOption": "Copy", "sourceResourceId": source } }),
    };
    json!({ "location": "eastus", "properties": properties })
}

#[tokio::test]
async fn every_linked_right_is_needed() {
    let world = World::new().await;
    world.furnish().await;
    let sources: ResourceId = format!("{}-sources", world.id("")).parse().unwrap();
    world.control.resource_group_put(&world.ctx(), &sources, json!({ "location": "eastus" })).await.unwrap();
    let for_guests = json!({ "location": "eastus", "properties": { "supportedOSType": "Linux" } });
    world.put("galleries/g/applications/a", for_guests.clone()).await.unwrap();
    world.put("galleries/g/scripts/s", for_guests).await.unwrap();
    let (here, there) = (at(&world.id("")), at(&sources));
    for (made, source_type, verb) in linked::TABLE {
        let below = match source_type {
            ResourceType::ImageVersion => "galleries/g/images/i/versions/1.0.0".to_owned(),
            other => format!("{}/x", other.path()),
        };
        let target = match made {
            ResourceType::ImageVersion => "galleries/g/images/i/versions/2.0.0".to_owned(),
            ResourceType::ApplicationVersion => "galleries/g/applications/a/versions/1.0.0".to_owned(),
            ResourceType::ScriptVersion => "galleries/g/scripts/s/versions/1.0.0".to_owned(),
            other => format!("{}/y", other.path()),
        };
        let source = format!("{sources}/providers/Microsoft.Compute/{below}");
        let mut ctx =
            RequestContext { api_version: "2024-07-01".parse().unwrap(), ..holder(&world, "Owner", &here).await };
        if *made == ResourceType::Disk || *made == ResourceType::Snapshot {
            ctx.api_version = "2025-01-02".parse().unwrap();
        }
        let make = async || {
            let body = body_from(*made, *source_type, &source);
            world.control.put(&ctx, &world.id(&target), body).await.unwrap_err()
        };
        let what = format!("{} from {}", made.as_str(), source_type.as_str());
        assert_eq!(make().await.code, "LinkedAuthorizationFailed", "{what}");
        // What is less than the right: a description of what holds the bytes, or no more than sharing it.
        let less = if *verb == Verb::Read { "Compute Gallery Sharing Admin" } else { "Reader" };
        give(&world, &ctx, role(less), &there).await;
        let refused = make().await;
        assert_eq!(refused.code, "LinkedAuthorizationFailed", "{what}");
        let needed = format!("'{}' on the linked scope(s) '{source}'", action(*source_type, *verb));
        assert!(refused.message.contains(&needed), "{what}: {refused}");
        give(&world, &ctx, role("Contributor"), &there).await;
        // With the right it is told what is wrong: there is no such source.
        assert_ne!(make().await.code, "LinkedAuthorizationFailed", "{what}");
    }
}

/// A signature is worth what its initiator's roles are.
#[tokio::test]
async fn a_signature_ends_with_its_initiators_right() {
    let world = World::new().await;
    world.furnish().await;
    world.put("disks/d", upload_body()).await.unwrap();
    let (ctx, scope) = (newcomer(&world).await, at(&world.id("disks/d")));
    let name = give(&world, &ctx, role("Contributor"), &scope).await;
    let body = json!({ "access": "Write", "durationInSeconds": 3600 });
    let begun = world.control.begin_get_access(&ctx, &world.id("disks/d"), body).await.unwrap().operation;
    // Who began it reads its result, though it may not read the subscription's operations; nobody else gets the signature.
    let result = world.control.operation_result(&ctx, begun.subscription, begun.id).await.unwrap();
    let crate::OperationResult::Access(grant) = result else { panic!("{result:?}") };
    assert!(world.control.operation_result(&world.ctx(), begun.subscription, begun.id).await.is_err());
    let open = async || world.open_blob(&grant, crate::BlobAction::Write).await;
    let blob = open().await.unwrap();
    world.control.role_assignment_delete(&world.ctx(), &scope, &name).await.unwrap();
    assert_eq!(open().await.unwrap_err().status_and_code().0, 403);
    let page = bytes::Bytes::from_static(&[1; 512]);
    assert_eq!(blob.write_pages(0, page).await.unwrap_err().status_and_code().0, 403);
}
