//! Accepting and rejecting: who sees what afterwards, until when, and who may.

use galerie_arm::{ArmError, sharing::GalleryProxy};
use serde_json::json;

use super::{
    ProxyList, disk_from, make_gallery, make_group, names, publish, sees, share, shareable, subscriptions, tenants,
    unique_name, world,
};
use crate::{Invitation, Invited, RequestContext, Scope, authz, testing::World};

/// An answer of a world's subscription or tenant to the gallery `g` of `owner`.
async fn answer(world: &World, owner: &World, invited: Invited, accepts: bool) -> Result<(), ArmError> {
    answer_as(world, &world.ctx(), owner, invited, accepts).await
}

async fn answer_as(
    world: &World,
    ctx: &RequestContext,
    owner: &World,
    invited: Invited,
    accepts: bool,
) -> Result<(), ArmError> {
    let invitation = Invitation {
        invited,
        location: "eastus".to_owned(),
        owner: owner.subscription.to_string().parse().unwrap(),
        gallery: "G".parse().unwrap(),
        path: "/the/path".to_owned(),
    };
    world.control.answer_share(ctx, &invitation, accepts).await
}

fn of(world: &World) -> Invited {
    Invited::Subscription(world.subscription)
}

/// Whether the gallery is found by its name, and whether it is on the subscription's and the tenant's list.
async fn seen(world: &World, owner: &World) -> [bool; 3] {
    let found = sees(world, &GalleryProxy::Shared(unique_name(owner)), "eastus").await;
    let mut listed = [false; 2];
    for (listed, to_tenant) in listed.iter_mut().zip([false, true]) {
        let list = ProxyList::Galleries { to_tenant };
        *listed = !names(world, "eastus", &list).await.unwrap().is_empty();
    }
    [found, listed[0], listed[1]]
}

#[tokio::test]
async fn a_share_is_seen_until_it_is_rejected() {
    let owner = world().await;
    make_gallery(&owner, "g", "Groups").await;
    let (one, other) = (owner.in_new_tenant().await, owner.in_new_tenant().await);
    let (sub, tenant) = (one.subscription, one.caller.tenant);
    let no_share = answer(&one, &owner, of(&one), false).await.unwrap_err();
    assert_eq!((no_share.status, no_share.code.as_ref()), (404, "ResourceNotFound"));
    share(&owner, subscriptions("Add", &[sub])).await.unwrap();
    assert_eq!(seen(&one, &owner).await, [true, true, false], "nothing has to be accepted");
    for _ in 0..2 {
        answer(&one, &owner, of(&one), false).await.unwrap();
        assert_eq!(seen(&one, &owner).await, [false; 3]);
    }
    // The owner who repeats the share changes nothing; it can be accepted again.
    share(&owner, subscriptions("Add", &[sub])).await.unwrap();
    assert_eq!(seen(&one, &owner).await, [false; 3]);
    for _ in 0..2 {
        answer(&one, &owner, of(&one), true).await.unwrap();
        assert_eq!(seen(&one, &owner).await, [true, true, false]);
    }
    // Shared anew is another share.
    answer(&one, &owner, of(&one), false).await.unwrap();
    share(&owner, subscriptions("Remove", &[sub])).await.unwrap();
    assert_eq!(answer(&one, &owner, of(&one), true).await.unwrap_err().status, 404);
    share(&owner, subscriptions("Add", &[sub])).await.unwrap();
    assert_eq!(seen(&one, &owner).await, [true, true, false]);
    // A tenant answers for what is shared with it; a share with a subscription of it is the subscription's.
    share(&owner, tenants("Add", &[tenant])).await.unwrap();
    assert_eq!(seen(&one, &owner).await, [true; 3]);
    answer(&one, &owner, Invited::Tenant, false).await.unwrap();
    assert_eq!(seen(&one, &owner).await, [true, true, false]);
    share(&owner, subscriptions("Remove", &[sub])).await.unwrap();
    assert_eq!(seen(&one, &owner).await, [false; 3]);
    answer(&one, &owner, Invited::Tenant, true).await.unwrap();
    assert_eq!(seen(&one, &owner).await, [true, false, true]);
    // What a subscription rejects it does not see by its tenant's share either.
    answer(&one, &owner, of(&one), false).await.unwrap();
    assert_eq!(seen(&one, &owner).await, [false; 3]);
    // Nobody answers for others.
    assert_eq!(answer(&other, &owner, Invited::Tenant, true).await.unwrap_err().status, 404);
    share(&owner, json!({ "operationType": "Reset" })).await.unwrap();
    share(&owner, tenants("Add", &[tenant])).await.unwrap();
    assert_eq!(seen(&one, &owner).await, [true, false, true], "a Reset forgets answers, too");
    answer(&one, &owner, of(&one), false).await.unwrap();
    owner.delete("galleries/g").await.unwrap();
    make_gallery(&owner, "g", "Groups").await;
    share(&owner, tenants("Add", &[tenant])).await.unwrap();
    assert_eq!(seen(&one, &owner).await, [true, false, true], "and so does another gallery of that name");
}

#[tokio::test]
async fn nothing_is_made_from_what_was_rejected() {
    let owner = shareable("Groups").await;
    publish(&owner, "1.0.0", &["eastus"]).await;
    let consumer = owner.in_new_subscription().await;
    make_group(&consumer).await;
    share(&owner, subscriptions("Add", &[consumer.subscription])).await.unwrap();
    let reference = format!("/SharedGalleries/{}/Images/i/Versions/1.0.0", unique_name(&owner));
    let body = disk_from("sharedGalleryImageId", &reference);
    answer(&consumer, &owner, of(&consumer), false).await.unwrap();
    let error = consumer.put("disks/c", body.clone()).await.unwrap_err();
    assert_eq!((error.status, error.code.as_ref()), (404, "GalleryImageNotFound"));
    answer(&consumer, &owner, of(&consumer), true).await.unwrap();
    consumer.put("disks/c", body).await.unwrap();
    owner.control.shutdown().await;
}

#[tokio::test]
async fn answers_take_a_right_of_their_own_and_are_in_the_audit() {
    let owner = world().await;
    make_gallery(&owner, "g", "Groups").await;
    let consumer = owner.in_new_tenant().await;
    share(&owner, subscriptions("Add", &[consumer.subscription])).await.unwrap();
    share(&owner, tenants("Add", &[consumer.caller.tenant])).await.unwrap();
    let scope = Scope::parse(&format!("/subscriptions/{}", consumer.subscription), "scope").unwrap();
    for (role, may_in_subscription) in [("Reader", false), ("Contributor", true)] {
        let ctx = authz::tests::holder(&consumer, role, &scope).await;
        for accepts in [true, false] {
            let answered = answer_as(&consumer, &ctx, &owner, of(&consumer), accepts).await;
            assert_eq!(answered.map_err(|error| error.status).err(), (!may_in_subscription).then_some(403), "{role}");
            let answered = answer_as(&consumer, &ctx, &owner, Invited::Tenant, accepts).await;
            assert_eq!(answered.unwrap_err().status, 403, "{role}: a tenant's answer takes a role over the tenant");
        }
    }
    // Somebody else's subscription is not there.
    let foreign = answer(&owner, &owner, of(&consumer), true).await.unwrap_err();
    assert_eq!((foreign.status, foreign.code.as_ref()), (404, "SubscriptionNotFound"));
    answer(&consumer, &owner, Invited::Tenant, false).await.unwrap();
    let audit = owner.control.audit_list(&owner.ctx(), &crate::AuditFilter::default()).await.unwrap();
    let rows = audit["value"].as_array().unwrap().iter();
    let rows: Vec<&str> = rows
        .filter_map(|row| row["action"].as_str())
        .filter(|action| action.contains("SharedGallerySub") || action.contains("sharedGallerySub"))
        .collect();
    assert_eq!(rows.len(), 2, "a repeated answer is none: {rows:?}");
}
