//! Who may change a directory, what names mean, and what ends with an object.

use galerie_arm::ArmError;
use secrecy::SecretString;
use uuid::Uuid;

use super::{
    DirectoryObject, Document,
    credential::NewSecret,
    role::{DirectoryRole, RoleMember},
    user::{NewPassword, NewUser, User, UserChange},
};
use crate::{Caller, ObjectKind, RequestContext, db::group, testing::World};

const DOMAIN: &str = "galerie.internal";

fn new_user(name: &str) -> NewUser {
    NewUser {
        name: format!("{name}@{DOMAIN}").parse().unwrap(),
        display_name: name.to_owned(),
        enabled: true,
        password: NewPassword { password: SecretString::from("correct horse"), must_change: false },
        document: Document::new(),
    }
}

fn of(caller: Caller) -> RequestContext {
    RequestContext::of_the_directory(caller, Uuid::new_v4())
}

fn as_user(user: &User) -> RequestContext {
    of(Caller::user(user.tenant, user.id, &user.name, None))
}

async fn user(world: &World, name: &str) -> User {
    world.control.user_create(&of(world.caller.clone()), new_user(name)).await.unwrap()
}

fn code(result: Result<impl std::fmt::Debug, ArmError>) -> (u16, String) {
    let error = result.expect_err("a refusal");
    (error.status, error.code.into_owned())
}

const DENIED: (u16, &str) = (403, "Authorization_RequestDenied");

fn is_denied(result: Result<impl std::fmt::Debug, ArmError>) {
    let found = code(result);
    assert_eq!((found.0, found.1.as_str()), DENIED);
}

#[tokio::test]
async fn a_directory_is_changed_by_its_administrators_and_by_owners() {
    let world = World::new().await;
    let (control, operator) = (&world.control, of(world.caller.clone()));
    let (ada, bob) = (as_user(&user(&world, "ada").await), as_user(&user(&world, "bob").await));
    is_denied(control.user_create(&ada, new_user("eve")).await);
    is_denied(control.group_create(&ada, "g", Document::new()).await);
    is_denied(control.application_create(&ada, "app", Document::new(), &[]).await);
    is_denied(control.user_delete(&ada, &bob.caller.principal.to_string()).await);
    // Everybody reads the own tenant.
    assert_eq!(control.user(&ada.caller, &format!("BOB@{DOMAIN}")).await.unwrap().id, bob.caller.principal);

    // An Application Administrator: applications, and nothing else.
    let role = |role, of: &RequestContext| RoleMember { role, principal: of.caller.principal };
    is_denied(control.add_role_member(&ada, role(DirectoryRole::GlobalAdministrator, &ada)).await);
    control.add_role_member(&operator, role(DirectoryRole::ApplicationAdministrator, &ada)).await.unwrap();
    let app = control.application_create(&ada, "app", Document::new(), &[]).await.unwrap();
    is_denied(control.user_create(&ada, new_user("eve")).await);
    is_denied(control.add_role_member(&ada, role(DirectoryRole::GlobalAdministrator, &ada)).await);

    // An owner: what they own.
    is_denied(control.add_secret(&bob, ObjectKind::Application, app.id, NewSecret::default()).await);
    control.add_owner(&ada, ObjectKind::Application, app.id, bob.caller.principal).await.unwrap();
    control.add_secret(&bob, ObjectKind::Application, app.id, NewSecret::default()).await.unwrap();
    let again = control.add_owner(&ada, ObjectKind::Application, app.id, bob.caller.principal).await;
    assert_eq!(code(again).1, "Request_BadRequest");

    // A principal that is Global Administrator is out of reach of both, and so is the operator's.
    let principal = control.service_principal_create(&ada, app.app_id, true, Document::new()).await.unwrap();
    let member = RoleMember { role: DirectoryRole::GlobalAdministrator, principal: principal.id };
    control.add_role_member(&operator, member).await.unwrap();
    is_denied(control.add_secret(&bob, ObjectKind::Application, app.id, NewSecret::default()).await);
    is_denied(control.add_secret(&ada, ObjectKind::Application, app.id, NewSecret::default()).await);
    is_denied(control.application_update(&ada, app.id, Some("mine"), Document::new(), None).await);
    // Owning it would outlast the role that makes it out of reach.
    for (kind, id) in [(ObjectKind::Application, app.id), (ObjectKind::ServicePrincipal, principal.id)] {
        is_denied(control.add_owner(&ada, kind, id, ada.caller.principal).await);
    }
    // Nor does anybody drive its owners out, but they may leave.
    is_denied(control.remove_owner(&ada, ObjectKind::Application, app.id, bob.caller.principal).await);
    control.remove_owner(&bob, ObjectKind::Application, app.id, bob.caller.principal).await.unwrap();
    control.add_owner(&operator, ObjectKind::Application, app.id, bob.caller.principal).await.unwrap();
    let operators = control.service_principal(&ada.caller, world.caller.principal).await.unwrap();
    is_denied(control.add_secret(&ada, ObjectKind::ServicePrincipal, operators.id, NewSecret::default()).await);
    is_denied(control.add_owner(&ada, ObjectKind::ServicePrincipal, operators.id, ada.caller.principal).await);
    is_denied(control.service_principal_delete(&operator, operators.id).await);
    control.remove_role_member(&operator, member).await.unwrap();
    control.add_secret(&bob, ObjectKind::Application, app.id, NewSecret::default()).await.unwrap();
}

#[tokio::test]
async fn tenants_see_nothing_of_each_other() {
    let world = World::new().await;
    let other = world.control.add_tenant("Other").await.unwrap();
    let stranger = of(Caller::application(other.tenant, Uuid::new_v4(), other.client_id, true));
    let ada = user(&world, "ada").await;
    let (control, operator) = (&world.control, of(world.caller.clone()));
    let group = control.group_create(&operator, "g", Document::new()).await.unwrap();
    let app = control.application_create(&operator, "app", Document::new(), &[]).await.unwrap();
    let gone = (404, "Request_ResourceNotFound".to_owned());
    assert_eq!(code(control.user(&stranger.caller, &ada.id.to_string()).await), gone);
    assert_eq!(code(control.user_delete(&stranger, &ada.name).await), gone);
    assert_eq!(code(control.group_add_member(&stranger, group.id, ada.id).await), gone);
    assert_eq!(code(control.group_delete(&stranger, group.id).await), gone);
    assert_eq!(code(control.application_delete(&stranger, app.id).await), gone);
    assert_eq!(code(control.add_secret(&stranger, ObjectKind::Application, app.id, NewSecret::default()).await), gone);
    assert!(control.application_by_app_id(&stranger.caller, app.app_id).await.unwrap().is_none());
    let listed = control.directory_list(&stranger.caller, ObjectKind::User, "", None, 10).await.unwrap();
    assert!(listed.objects.is_empty());
    assert!(control.directory_objects(&stranger.caller, &[ada.id, group.id]).await.unwrap().is_empty());
    // Its own group cannot take in somebody else's user.
    let theirs = control.group_create(&stranger, "g", Document::new()).await.unwrap();
    assert_eq!(code(control.group_add_member(&stranger, theirs.id, ada.id).await), gone);
    // An application is another tenant's to use only when it says so.
    let refused = control.service_principal_create(&stranger, app.app_id, true, Document::new()).await;
    assert_eq!(code(refused).1, "Request_BadRequest");
    let offered = serde_json::json!({ "signInAudience": "AzureADMultipleOrgs" }).as_object().cloned().unwrap();
    control.application_update(&operator, app.id, None, offered, None).await.unwrap();
    control.service_principal_create(&stranger, app.app_id, true, Document::new()).await.unwrap();
    let twice = control.service_principal_create(&stranger, app.app_id, true, Document::new()).await;
    assert_eq!(code(twice), (409, "Request_MultipleObjectsWithSameKeyValue".to_owned()));
}

/// Regression: a tenant that made another one's application its Global Administrator kept that one's owners from changing it, and the
/// other way round.
#[tokio::test]
async fn what_another_tenant_trusts_an_application_with_is_its_own_affair() {
    let world = World::new().await;
    let (control, operator) = (&world.control, of(world.caller.clone()));
    let other = control.add_tenant("Other").await.unwrap();
    let stranger = of(Caller::application(other.tenant, Uuid::new_v4(), other.client_id, true));
    let offered = || Document::from_iter([("signInAudience".to_owned(), "AzureADMultipleOrgs".into())]);
    let trust = async |ctx: &RequestContext, principal| {
        let member = RoleMember { role: DirectoryRole::GlobalAdministrator, principal };
        control.add_role_member(ctx, member).await.unwrap();
    };
    let ada = as_user(&user(&world, "ada").await);
    let role = RoleMember { role: DirectoryRole::ApplicationAdministrator, principal: ada.caller.principal };
    control.add_role_member(&operator, role).await.unwrap();
    // There it is Global Administrator, which keeps nobody here from anything.
    let app = control.application_create(&ada, "app", offered(), &[]).await.unwrap();
    let there = control.service_principal_create(&stranger, app.app_id, true, Document::new()).await.unwrap();
    trust(&stranger, there.id).await;
    control.add_secret(&ada, ObjectKind::Application, app.id, NewSecret::default()).await.unwrap();
    control.application_update(&ada, app.id, Some("still mine"), Document::new(), None).await.unwrap();
    control.application_delete(&ada, app.id).await.unwrap();
    assert!(control.service_principal(&stranger.caller, there.id).await.is_err());
    // Here it is, which keeps nobody there from shutting it out.
    let app = control.application_create(&operator, "app", offered(), &[]).await.unwrap();
    let here = control.service_principal_create(&operator, app.app_id, true, Document::new()).await.unwrap();
    trust(&operator, here.id).await;
    is_denied(control.application_update(&ada, app.id, Some("mine"), Document::new(), None).await);
    let there = control.service_principal_create(&stranger, app.app_id, true, Document::new()).await.unwrap();
    let eve = control.application_create(&stranger, "eve", Document::new(), &[]).await.unwrap();
    let eve = control.service_principal_create(&stranger, eve.app_id, true, Document::new()).await.unwrap();
    let owner = of(Caller::application(other.tenant, eve.id, eve.app_id, false));
    control.add_owner(&stranger, ObjectKind::ServicePrincipal, there.id, eve.id).await.unwrap();
    control.service_principal_update(&owner, there.id, Some(false), Document::new(), None).await.unwrap();
    control.service_principal_delete(&owner, there.id).await.unwrap();
}

/// More objects than are read at once.
#[tokio::test]
async fn long_lists_are_whole_and_in_order() {
    let world = World::new().await;
    let (control, operator) = (&world.control, of(world.caller.clone()));
    let mut ids = Vec::new();
    for number in 0..70 {
        ids.push(control.group_create(&operator, &format!("g{number:02}"), Document::new()).await.unwrap().id);
    }
    let groups = |objects: Vec<DirectoryObject>| {
        let id = |object| match object {
            DirectoryObject::Group(group) => Some(group.id),
            _ => None,
        };
        objects.into_iter().filter_map(id).collect::<Vec<_>>()
    };
    let listed = control.directory_list(&operator.caller, ObjectKind::Group, "g", None, 100).await.unwrap();
    assert_eq!(groups(listed.objects), ids);
    let asked = [&ids[..], &[Uuid::new_v4()], &ids[..]].concat();
    assert_eq!(groups(control.directory_objects(&operator.caller, &asked).await.unwrap()), ids);
    let owned = control.owned_objects(&operator.caller, operator.caller.principal, None, 100).await.unwrap();
    ids.sort();
    assert_eq!(groups(owned), ids);
}

#[tokio::test]
async fn groups_are_never_members_of_themselves() {
    let world = World::new().await;
    let (control, operator) = (&world.control, of(world.caller.clone()));
    let mut groups = Vec::new();
    for name in ["a", "b", "c"] {
        groups.push(control.group_create(&operator, name, Document::new()).await.unwrap().id);
    }
    let [a, b, c] = groups[..] else { unreachable!("three") };
    control.group_add_member(&operator, a, b).await.unwrap();
    control.group_add_member(&operator, b, c).await.unwrap();
    for (group, member) in [(a, a), (b, a), (c, a), (c, b)] {
        let error = control.group_add_member(&operator, group, member).await.unwrap_err();
        assert!(error.message.contains("members of themselves"), "{error}");
    }
    let ada = user(&world, "ada").await;
    control.group_add_member(&operator, c, ada.id).await.unwrap();
    let mut expected = vec![a, b, c];
    expected.sort();
    assert_eq!(control.member_groups(&operator.caller, ada.id).await.unwrap(), expected);
    control.group_delete(&operator, b).await.unwrap();
    assert_eq!(control.member_groups(&operator.caller, ada.id).await.unwrap(), [c]);
}

/// Two that would close a circle at once, in two processes: one of them is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_race_makes_no_circle_of_groups() {
    let world = World::new().await;
    let (other, operator) = (world.reopen().await, of(world.caller.clone()));
    let control = &world.control;
    for round in 0..20 {
        let a = control.group_create(&operator, &format!("a{round}"), Document::new()).await.unwrap().id;
        let b = control.group_create(&operator, &format!("b{round}"), Document::new()).await.unwrap().id;
        let (one, two) =
            tokio::join!(control.group_add_member(&operator, a, b), other.control.group_add_member(&operator, b, a));
        assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
        let mut tx = control.db().read().await.unwrap();
        for (group, its_own) in [(a, a), (b, b)] {
            assert!(!group::memberships(&mut tx, group).await.unwrap().contains(&its_own));
        }
    }
}

#[tokio::test]
async fn nothing_names_what_was_deleted() {
    let world = World::new().await;
    let (control, operator) = (&world.control, of(world.caller.clone()));
    let ada = user(&world, "ada").await;
    let group = control.group_create(&operator, "g", Document::new()).await.unwrap();
    control.group_add_member(&operator, group.id, ada.id).await.unwrap();
    let app = control.application_create(&operator, "app", Document::new(), &[]).await.unwrap();
    control.add_owner(&operator, ObjectKind::Application, app.id, ada.id).await.unwrap();
    let member = RoleMember { role: DirectoryRole::GlobalAdministrator, principal: ada.id };
    control.add_role_member(&operator, member).await.unwrap();
    control.user_delete(&operator, &ada.name).await.unwrap();
    assert!(control.group_members(&operator.caller, group.id, None, 10).await.unwrap().is_empty());
    let owners = control.owners(&operator.caller, ObjectKind::Application, app.id).await.unwrap();
    assert!(owners.iter().all(|owner| !matches!(owner, super::DirectoryObject::User(_))));
    assert!(control.role_members(&operator.caller, None).await.unwrap().is_empty());
    is_denied(control.user_create(&as_user(&ada), new_user("eve")).await);
    // The name is free again, and the new user is another.
    let again = user(&world, "ada").await;
    assert_ne!(again.id, ada.id);
    assert!(group::memberships(&mut world.control.db().read().await.unwrap(), again.id).await.unwrap().is_empty());

    let principal = control.service_principal_create(&operator, app.app_id, true, Document::new()).await.unwrap();
    control.add_secret(&operator, ObjectKind::ServicePrincipal, principal.id, NewSecret::default()).await.unwrap();
    control.application_delete(&operator, app.id).await.unwrap();
    assert!(control.service_principal(&operator.caller, principal.id).await.is_err());
}

#[tokio::test]
async fn names_keep_their_rules() {
    let world = World::new().await;
    let (control, operator) = (&world.control, of(world.caller.clone()));
    for name in ["ada", "Ada.Lovelace-2", "o'neil", "a_b!c#d^e~f"] {
        user(&world, name).await;
    }
    let taken = control.user_create(&operator, new_user("ADA")).await.unwrap_err();
    assert!(taken.message.contains("userPrincipalName already exists"), "{taken}");
    for bad in ["ädä", "a b", ".a", "a.", "", "a\u{202E}b", "a@b", &"a".repeat(65)] {
        assert!(format!("{bad}@{DOMAIN}").parse::<super::user::UserName>().is_err(), "{bad}");
    }
    let mut elsewhere = new_user("eve");
    elsewhere.name = "eve@elsewhere.example".parse().unwrap();
    let error = control.user_create(&operator, elsewhere).await.unwrap_err();
    assert!(error.message.contains("domain portion"), "{error}");
    for bad in ["", " ", "\u{200B}", "a\nb", "a\u{202E}b", &"a".repeat(257)] {
        let error = control.group_create(&operator, bad, Document::new()).await.unwrap_err();
        assert!(error.message.contains("displayName"), "{bad:?}: {error}");
    }
    control.group_create(&operator, "Grüße \u{1F5BC}", Document::new()).await.unwrap();
    let mut weak = new_user("eve");
    weak.password.password = SecretString::from("short");
    let error = control.user_create(&operator, weak).await.unwrap_err();
    assert!(error.message.contains("at least 8 characters"), "{error}");
}

#[tokio::test]
async fn lists_are_paged_by_name() {
    let world = World::new().await;
    let (control, operator) = (&world.control, of(world.caller.clone()));
    for name in ["delta", "Alpha", "charlie", "bravo", "alpha"] {
        control.group_create(&operator, name, Document::new()).await.unwrap();
    }
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = control.directory_list(&operator.caller, ObjectKind::Group, "", after, 2).await.unwrap();
        assert!(page.objects.len() <= 2);
        names.extend(page.objects.into_iter().map(|object| match object {
            super::DirectoryObject::Group(found) => found.display_name.to_lowercase(),
            other => panic!("{other:?}"),
        }));
        match page.continuation {
            Some(continuation) => after = Some(continuation),
            None => break,
        }
    }
    assert_eq!(names, ["alpha", "alpha", "bravo", "charlie", "delta"]);
    let page = control.directory_list(&operator.caller, ObjectKind::Group, "AL", None, 10).await.unwrap();
    assert_eq!(page.objects.len(), 2);
}

#[tokio::test]
async fn secrets_and_disabling_end_sessions_and_are_audited() {
    let world = World::new().await;
    let (control, operator) = (&world.control, of(world.caller.clone()));
    let ada = user(&world, "ada").await;
    let change = UserChange { enabled: Some(false), ..UserChange::default() };
    assert!(!control.user_update(&operator, &ada.name, change).await.unwrap().enabled);
    let document = serde_json::json!({ "givenName": "Ada", "surname": null }).as_object().cloned().unwrap();
    let change = UserChange { document, enabled: Some(true), ..UserChange::default() };
    let changed = control.user_update(&operator, &ada.name, change).await.unwrap();
    assert_eq!(changed.document.get("givenName"), Some(&"Ada".into()));
    assert_eq!(changed.document.get("surname"), None);
    let large = serde_json::json!({ "jobTitle": "x".repeat(40_000) }).as_object().cloned().unwrap();
    let change = UserChange { document: large, ..UserChange::default() };
    assert_eq!(code(control.user_update(&operator, &ada.name, change).await).1, "Request_BadRequest");
}
