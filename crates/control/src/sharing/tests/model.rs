//! Who reaches what across subscriptions and tenants, against a model of what it should be: the definition, written as
//! plainly as it is read.
//!
//! Five galleries in three tenants are shared, unshared, published and reset at random, and roles in them are given and taken;
//! in between everybody asks for everything in every way that there is: by id with further tokens, through the shared gallery,
//! through the community's, looking, listing and reading. Each answer must be the model's.
//!
//! The same answers are compared with models in each of which one rule is wrong ([`Planted`]). Each of these must be caught,
//! or the questions would not prove the rule.

use std::collections::BTreeSet;

use galerie_arm::{Location, resource_graph::CommunityGalleryQuery};

use super::*;
use crate::{Invitation, Invited, disk::creation_data, source::Asker};

/// Questions in a test. `GALERIE_SHARING_CASES` asks more: a million take a quarter of an hour.
const CASES: u32 = 20_000;
/// Questions between changes.
const BETWEEN_CHANGES: u32 = 30;
const REGIONS: [&str; 3] = ["eastus", "westus", "westeurope"];
const READER: &str = "/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7";
/// Where roles are given, from a subscription down to a version; deeper ones begin with these.
const SCOPES: [&str; 5] = ["", "/resourceGroups/rg", "galleries/g", "galleries/g/images/i", VERSION];

/// Numbers that look random and are the same for the same seed (Knuth's MMIX generator).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }

    fn chance(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }
}

/// How a gallery was made to be shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    Private,
    Groups,
    Community,
}

/// A gallery with one version, and the subscription that it is in.
#[derive(Debug, Clone)]
struct Place {
    subscription: Uuid,
    tenant: Uuid,
    made: Made,
    /// Where the version's bytes are.
    regions: BTreeSet<&'static str>,
}

/// With whom: a subscription or a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Subscription(Uuid),
    Tenant(Uuid),
}

#[derive(Debug, Clone)]
enum Change {
    Add(usize, Group),
    Remove(usize, Group),
    Reset(usize),
    Publish(usize),
    /// A place's subscription, or its tenant, rejects a share of another place, or accepts it again.
    Answer {
        who: usize,
        of: usize,
        for_tenant: bool,
        accepts: bool,
    },
    /// To the guest of the place's tenant, over the place's scope of this number.
    Give(usize, usize),
    Take(usize, usize),
}

/// How a version is named.
#[derive(Debug, Clone, Copy)]
enum By {
    Id { latest: bool },
    Shared,
    Community,
}

/// `who` and `of` are places: from where it is asked, and what is asked about.
#[derive(Debug, Clone)]
enum Question {
    /// To make a disk from a version. `further`: the tenants, by one of their places, of the request's further tokens.
    Make { who: usize, of: usize, region: &'static str, by: By, further: Vec<usize> },
    /// To read a version by its id.
    Read { who: usize, of: usize, further: Vec<usize> },
    /// To look at a gallery through its proxy.
    Look { who: usize, of: usize, region: &'static str, community: bool },
    /// The shared galleries.
    List { who: usize, region: &'static str, to_tenant: bool },
    /// The community's.
    Published,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    /// It is had; for what is made, whether it is another tenant's.
    Had {
        foreign: bool,
    },
    Denied,
    Missing,
    /// The places that are listed.
    Listed(BTreeSet<usize>),
}

/// A rule that a model gets wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Planted {
    Nothing,
    ASubscriptionsShareReachesItsTenant,
    ATenantsShareReachesNobody,
    RemovalIsForgotten,
    ResetKeepsTheGroups,
    ResetKeepsItPublished,
    TheUnpublishedIsSeen,
    RegionsDoNotMatter,
    FurtherTokensReadNothing,
    FurtherTokensSpeakForEveryTenant,
    FurtherTokensAct,
    SharesAllowReadingById,
    LatestNeedsOneVersionOnly,
    RolesDoNotReachDown,
    TakenRolesStay,
    TenantsDoNotMatter,
    RejectionsHideNothing,
    ATenantsRejectionHidesItsSubscriptionsShares,
    ASubscriptionsRejectionLeavesItsTenantsShare,
    WhatIsSharedAnewStaysRejected,
    ARepeatedShareIsSharedAnew,
}

const PLANTED: [Planted; 21] = [
    Planted::Nothing,
    Planted::ASubscriptionsShareReachesItsTenant,
    Planted::ATenantsShareReachesNobody,
    Planted::RemovalIsForgotten,
    Planted::ResetKeepsTheGroups,
    Planted::ResetKeepsItPublished,
    Planted::TheUnpublishedIsSeen,
    Planted::RegionsDoNotMatter,
    Planted::FurtherTokensReadNothing,
    Planted::FurtherTokensSpeakForEveryTenant,
    Planted::FurtherTokensAct,
    Planted::SharesAllowReadingById,
    Planted::LatestNeedsOneVersionOnly,
    Planted::RolesDoNotReachDown,
    Planted::TakenRolesStay,
    Planted::TenantsDoNotMatter,
    Planted::RejectionsHideNothing,
    Planted::ATenantsRejectionHidesItsSubscriptionsShares,
    Planted::ASubscriptionsRejectionLeavesItsTenantsShare,
    Planted::WhatIsSharedAnewStaysRejected,
    Planted::ARepeatedShareIsSharedAnew,
];

/// The definition.
struct Model {
    planted: Planted,
    places: Vec<Place>,
    groups: Vec<BTreeSet<Group>>,
    /// Who does not want to see a gallery.
    rejections: Vec<BTreeSet<Group>>,
    published: BTreeSet<usize>,
    /// Galleries that were reset, and not shared since.
    reset: BTreeSet<usize>,
    /// Places and the scopes of theirs over which their tenant's guest is a reader.
    roles: BTreeSet<(usize, usize)>,
}

impl Model {
    fn new(planted: Planted, places: &[Place]) -> Self {
        let groups = vec![BTreeSet::new(); places.len()];
        let rejections = groups.clone();
        let (published, reset, roles) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Self { planted, places: places.to_vec(), groups, rejections, published, reset, roles }
    }

    /// Whether a change is carried out; it is, if so.
    fn change(&mut self, change: &Change) -> bool {
        match *change {
            Change::Add(of, group) => {
                let place = &self.places[of];
                let is_good = place.made == Made::Groups && group != Group::Subscription(place.subscription);
                if is_good {
                    let is_new = self.groups[of].insert(group) || self.planted == Planted::ARepeatedShareIsSharedAnew;
                    if is_new && self.planted != Planted::WhatIsSharedAnewStaysRejected {
                        self.rejections[of].remove(&group);
                    }
                    self.reset.remove(&of);
                }
                is_good
            }
            Change::Remove(of, group) => {
                let is_good = !self.reset.contains(&of) && self.groups[of].contains(&group);
                if is_good && self.planted != Planted::RemovalIsForgotten {
                    self.groups[of].remove(&group);
                }
                is_good
            }
            Change::Reset(of) => {
                if self.planted != Planted::ResetKeepsTheGroups {
                    self.groups[of].clear();
                }
                if self.planted != Planted::WhatIsSharedAnewStaysRejected {
                    self.rejections[of].clear();
                }
                if self.planted != Planted::ResetKeepsItPublished {
                    self.published.remove(&of);
                }
                self.reset.insert(of);
                true
            }
            Change::Publish(of) => {
                let is_good = self.places[of].made == Made::Community;
                if is_good {
                    self.published.insert(of);
                }
                is_good
            }
            Change::Answer { who, of, for_tenant, accepts } => {
                let place = &self.places[who];
                let (own, tenant) = (Group::Subscription(place.subscription), Group::Tenant(place.tenant));
                let is_offered = |group| self.groups[of].contains(&group);
                let is_good = is_offered(tenant) || (!for_tenant && is_offered(own));
                if is_good && self.planted != Planted::RejectionsHideNothing {
                    let answers = if for_tenant { tenant } else { own };
                    match accepts {
                        true => self.rejections[of].remove(&answers),
                        false => self.rejections[of].insert(answers),
                    };
                }
                is_good
            }
            Change::Give(of, scope) => {
                self.roles.insert((of, scope));
                true
            }
            Change::Take(of, scope) => {
                if self.planted != Planted::TakenRolesStay {
                    self.roles.remove(&(of, scope));
                }
                true
            }
        }
    }

    fn answer(&self, question: &Question) -> Answer {
        match question {
            Question::Make { who, of, region, by, further } => self.make(*who, *of, region, *by, further),
            Question::Read { who, of, further } => self.read(*who, *of, further),
            Question::Look { who, of, region, community } => {
                let is_seen = if *community { self.is_published(*of) } else { self.is_shared(*who, *of) };
                if is_seen && self.is_in(*of, region) { Answer::Had { foreign: false } } else { Answer::Missing }
            }
            Question::List { who, region, to_tenant } => {
                let place = &self.places[*who];
                let group =
                    if *to_tenant { Group::Tenant(place.tenant) } else { Group::Subscription(place.subscription) };
                let all = 0..self.places.len();
                let is_listed = |of: &usize| {
                    self.groups[*of].contains(&group) && !self.is_rejected(*who, *of, group) && self.is_in(*of, region)
                };
                Answer::Listed(all.filter(is_listed).collect())
            }
            Question::Published => Answer::Listed((0..self.places.len()).filter(|of| self.is_published(*of)).collect()),
        }
    }

    fn make(&self, who: usize, of: usize, region: &str, by: By, further: &[usize]) -> Answer {
        let is_foreign = self.places[who].tenant != self.places[of].tenant;
        match by {
            By::Id { latest } => {
                // A version is below its definition, and `latest` may be any of them.
                let scope = if latest && self.planted != Planted::LatestNeedsOneVersionOnly { 3 } else { 4 };
                let further: &[usize] = if self.planted == Planted::FurtherTokensReadNothing { &[] } else { further };
                let speaks = |token: &usize| self.places[*token].tenant == self.places[of].tenant;
                let is_known = !is_foreign
                    || further.iter().any(speaks)
                    || (self.planted == Planted::FurtherTokensSpeakForEveryTenant && !further.is_empty());
                let by_share = self.planted == Planted::SharesAllowReadingById && self.is_shared(who, of);
                if !((is_known && self.is_reader(of, scope)) || by_share) {
                    return Answer::Denied;
                }
            }
            By::Shared if !self.is_shared(who, of) => return Answer::Missing,
            By::Community if !self.is_published(of) => return Answer::Missing,
            By::Shared | By::Community => {}
        }
        if self.is_in(of, region) { Answer::Had { foreign: is_foreign } } else { Answer::Missing }
    }

    fn read(&self, who: usize, of: usize, further: &[usize]) -> Answer {
        let same = |one: usize| self.places[one].tenant == self.places[of].tenant;
        let acts = self.planted == Planted::FurtherTokensAct && further.iter().any(|token| same(*token));
        if !same(who) && !acts && self.planted != Planted::TenantsDoNotMatter {
            return Answer::Missing;
        }
        if self.is_reader(of, 4) { Answer::Had { foreign: false } } else { Answer::Denied }
    }

    fn is_shared(&self, who: usize, of: usize) -> bool {
        let (place, groups) = (&self.places[who], &self.groups[of]);
        let (own, tenant) = (Group::Subscription(place.subscription), Group::Tenant(place.tenant));
        let by_tenant = groups.contains(&tenant) && !self.is_rejected(who, of, tenant);
        let by_sibling = self.planted == Planted::ASubscriptionsShareReachesItsTenant
            && self
                .places
                .iter()
                .any(|other| other.tenant == place.tenant && groups.contains(&Group::Subscription(other.subscription)));
        (groups.contains(&own) && !self.is_rejected(who, of, own))
            || (by_tenant && self.planted != Planted::ATenantsShareReachesNobody)
            || by_sibling
    }

    /// Whether a place does not see a share with a group: the group rejected it, or the place's subscription the gallery.
    fn is_rejected(&self, who: usize, of: usize, group: Group) -> bool {
        let place = &self.places[who];
        let rejected = |by| self.rejections[of].contains(&by);
        let by_tenant_for_all = self.planted == Planted::ATenantsRejectionHidesItsSubscriptionsShares;
        rejected(group)
            || (by_tenant_for_all && rejected(Group::Tenant(place.tenant)))
            || (rejected(Group::Subscription(place.subscription))
                && self.planted != Planted::ASubscriptionsRejectionLeavesItsTenantsShare)
    }

    fn is_published(&self, of: usize) -> bool {
        let is_made = self.planted == Planted::TheUnpublishedIsSeen && self.places[of].made == Made::Community;
        self.published.contains(&of) || is_made
    }

    fn is_in(&self, of: usize, region: &str) -> bool {
        self.planted == Planted::RegionsDoNotMatter || self.places[of].regions.contains(region)
    }

    /// Whether the guest of the place's tenant is a reader over a scope of it: there, or above.
    fn is_reader(&self, of: usize, scope: usize) -> bool {
        let lowest = if self.planted == Planted::RolesDoNotReachDown { scope } else { 0 };
        (lowest..=scope).any(|scope| self.roles.contains(&(of, scope)))
    }
}

/// The galleries themselves.
struct Galleries {
    worlds: Vec<World>,
    places: Vec<Place>,
    /// By place: who is asked about in its tenant.
    guests: Vec<Caller>,
    public_names: Vec<String>,
}

impl Galleries {
    async fn start() -> Self {
        let first = World::new().await;
        first.start();
        let (second, third) = (first.in_new_subscription().await, first.in_new_tenant().await);
        let (fourth, fifth) = (third.in_new_subscription().await, first.in_new_tenant().await);
        let worlds = vec![first, second, third, fourth, fifth];
        let made = [Made::Groups, Made::Community, Made::Groups, Made::Community, Made::Private];
        let regions: [&[&'static str]; 5] =
            [&["eastus", "westus"], &["eastus", "westeurope"], &["eastus"], &["eastus", "westus"], &["eastus"]];
        let (mut places, mut guests, mut public_names) = (Vec::new(), Vec::<Caller>::new(), Vec::new());
        for ((world, made), regions) in worlds.iter().zip(made).zip(regions) {
            make_group(world).await;
            make_gallery(world, "g", &format!("{made:?}")).await;
            make_definition(world, "g").await;
            let import = world.upload(b"guest bytes", true).await;
            assert_eq!(world.ended(&import).await, (OperationStatus::Succeeded, None));
            publish(world, "1.0.0", regions).await;
            let tenant = world.caller.tenant;
            let known = guests.iter().find(|guest| guest.tenant == tenant).cloned();
            guests.push(match known {
                Some(guest) => guest,
                None => newcomer(world).await,
            });
            places.push(Place {
                subscription: world.subscription,
                tenant,
                made,
                regions: regions.iter().copied().collect(),
            });
            // The others have none.
            let none = || format!("prefix-{}", Uuid::new_v4());
            public_names.push(if made == Made::Community { public_name(world).await } else { none() });
        }
        Self { worlds, places, guests, public_names }
    }

    /// Whether a change is carried out.
    async fn change(&self, change: &Change) -> bool {
        let shared = async |of: usize, body: Value| share(&self.worlds[of], body).await.is_ok();
        let groups = |operation: &str, group: Group| match group {
            Group::Subscription(id) => subscriptions(operation, &[id]),
            Group::Tenant(id) => tenants(operation, &[id]),
        };
        match *change {
            Change::Add(of, group) => shared(of, groups("Add", group)).await,
            Change::Remove(of, group) => shared(of, groups("Remove", group)).await,
            Change::Reset(of) => shared(of, only("Reset")).await,
            Change::Publish(of) => shared(of, only("EnableCommunity")).await,
            Change::Answer { who, of, for_tenant, accepts } => {
                let (world, owner) = (&self.worlds[who], self.worlds[of].subscription);
                let subscription = Invited::Subscription(world.subscription);
                let invitation = Invitation {
                    invited: if for_tenant { Invited::Tenant } else { subscription },
                    location: "eastus".to_owned(),
                    owner: owner.to_string().parse().unwrap(),
                    gallery: "g".parse().unwrap(),
                    path: String::new(),
                };
                world.control.answer_share(&world.ctx(), &invitation, accepts).await.is_ok()
            }
            Change::Give(of, scope) => {
                let (world, principal) = (&self.worlds[of], self.guests[of].principal);
                let body = json!({ "properties": { "roleDefinitionId": READER, "principalId": principal } });
                let (scope, name) = (self.scope(of, scope), assignment(of, scope));
                world.control.role_assignment_put(&world.ctx(), &scope, &name, &body).await.is_ok()
            }
            Change::Take(of, scope) => {
                let (world, name) = (&self.worlds[of], assignment(of, scope));
                let taken = world.control.role_assignment_delete(&world.ctx(), &self.scope(of, scope), &name).await;
                taken.unwrap().is_some()
            }
        }
    }

    fn scope(&self, of: usize, scope: usize) -> Scope {
        let world = &self.worlds[of];
        match SCOPES[scope] {
            "" => Scope::parse(&format!("/subscriptions/{}", world.subscription), "scope").unwrap(),
            "/resourceGroups/rg" => Scope::At(Box::new(world.id(""))),
            below => Scope::At(Box::new(world.id(below))),
        }
    }

    /// The guest of `who`'s tenant asks, with the tokens of other guests.
    fn context(&self, who: usize, further: &[usize]) -> RequestContext {
        let auxiliary = further.iter().map(|of| self.guests[*of].clone()).collect();
        RequestContext { caller: self.guests[who].clone(), auxiliary, ..self.worlds[who].ctx() }
    }

    fn unique_name(&self, of: usize) -> String {
        unique_name(&self.worlds[of])
    }

    async fn answer(&self, question: &Question) -> Answer {
        match question {
            Question::Make { who, of, region, by, further } => self.make(*who, *of, region, *by, further).await,
            Question::Read { who, of, further } => {
                let control = &self.worlds[*who].control;
                let id = self.worlds[*of].id(VERSION);
                told(control.get(&self.context(*who, further), &id, &Expand::default()).await.map(|_| false))
            }
            Question::Look { who, of, region, community } => {
                let proxy = if *community {
                    GalleryProxy::Community(self.public_names[*of].clone())
                } else {
                    GalleryProxy::Shared(self.unique_name(*of))
                };
                told(look(&self.worlds[*who], region, ProxyItem::Gallery(proxy)).await.map(|_| false))
            }
            Question::List { who, region, to_tenant } => {
                let list = ProxyList::Galleries { to_tenant: *to_tenant };
                let found = names(&self.worlds[*who], region, &list).await.unwrap();
                let place = |name: &String| (0..self.places.len()).find(|of| self.unique_name(*of) == *name).unwrap();
                Answer::Listed(found.iter().map(place).collect())
            }
            Question::Published => {
                let query = CommunityGalleryQuery { location: None, top: 100, skip_token: None };
                let page = self.worlds[0].control.community_galleries(&query).await.unwrap();
                assert_eq!(page.total, page.rows.len() as u64);
                let place = |row: &Value| self.public_names.iter().position(|name| row["name"] == **name).unwrap();
                Answer::Listed(page.rows.iter().map(place).collect())
            }
        }
    }

    async fn make(&self, who: usize, of: usize, region: &str, by: By, further: &[usize]) -> Answer {
        let (world, context) = (&self.worlds[who], self.context(who, further));
        let below = "Images/i/Versions/1.0.0";
        let (reference, property) = match by {
            By::Id { latest: false } => (self.worlds[of].id(VERSION).as_str().to_owned(), creation_data::IMAGE_ID),
            By::Id { latest: true } => {
                (self.worlds[of].id("galleries/g/images/i").as_str().to_owned(), creation_data::IMAGE_ID)
            }
            By::Shared => {
                (format!("/SharedGalleries/{}/{below}", self.unique_name(of)), creation_data::SHARED_IMAGE_ID)
            }
            By::Community => {
                (format!("/CommunityGalleries/{}/{below}", self.public_names[of]), creation_data::COMMUNITY_IMAGE_ID)
            }
        };
        let (target, location) = (world.id("disks/new"), Location::normalise(region).unwrap());
        let asker = Asker { context: &context, target: &target, making: ResourceType::Disk, location: &location };
        let mut tx = world.control.db().read().await.unwrap();
        told(asker.find_image(&mut tx, &reference, property, "x", None).await.map(|found| found.foreign.is_some()))
    }
}

fn told(result: Result<bool, ArmError>) -> Answer {
    match result {
        Ok(foreign) => Answer::Had { foreign },
        Err(error) if error.status == 403 => Answer::Denied,
        Err(error) if error.status == 404 => Answer::Missing,
        Err(error) => panic!("{error}"),
    }
}

/// The name of the only assignment over a scope.
fn assignment(of: usize, scope: usize) -> String {
    Uuid::from_u128(1 + of as u128 * 100 + scope as u128).to_string()
}

fn random_change(random: &mut Random, model: &Model) -> Change {
    let of = random.below(model.places.len());
    let group = |random: &mut Random| {
        let with = &model.places[random.below(model.places.len())];
        match random.below(12) {
            0 => Group::Subscription(Uuid::from_u128(7)),
            1..7 => Group::Subscription(with.subscription),
            _ => Group::Tenant(with.tenant),
        }
    };
    match random.below(14) {
        10.. => {
            let (who, for_tenant, accepts) = (random.below(model.places.len()), random.chance(2), random.chance(3));
            Change::Answer { who, of, for_tenant, accepts }
        }
        0..3 => Change::Add(of, group(random)),
        // One that is there, mostly: what is not there cannot be removed.
        3 => match model.groups[of].len() {
            0 => Change::Remove(of, group(random)),
            _ if random.chance(4) => Change::Remove(of, group(random)),
            count => {
                let present = model.groups[of].iter().nth(random.below(count)).copied();
                Change::Remove(of, present.expect("as many as were counted"))
            }
        },
        4 if random.chance(2) => Change::Reset(of),
        4 | 5 => Change::Publish(of),
        _ => {
            let scope = random.below(SCOPES.len());
            if model.roles.contains(&(of, scope)) { Change::Take(of, scope) } else { Change::Give(of, scope) }
        }
    }
}

fn random_question(random: &mut Random, count: usize) -> Question {
    let (who, of, region) = (random.below(count), random.below(count), REGIONS[random.below(REGIONS.len())]);
    let further: Vec<usize> = (0..random.below(3)).map(|_| random.below(count)).collect();
    match random.below(10) {
        0..3 => {
            let by = By::Id { latest: random.chance(2) };
            Question::Make { who, of, region, by, further }
        }
        3 | 4 => Question::Make { who, of, region, by: By::Shared, further },
        5 => Question::Make { who, of, region, by: By::Community, further },
        6 => Question::Read { who, of, further },
        7 => Question::Look { who, of, region, community: random.chance(2) },
        8 => Question::List { who, region, to_tenant: random.chance(2) },
        _ if random.chance(4) => Question::Published,
        _ => Question::Read { who, of, further },
    }
}

#[tokio::test]
async fn random_shares_reach_whom_the_model_says_and_every_wrong_rule_is_caught() {
    let asked = std::env::var("GALERIE_SHARING_CASES").ok().and_then(|text| text.parse().ok());
    let cases: u32 = asked.unwrap_or(CASES);
    let galleries = Galleries::start().await;
    let mut models: Vec<(Model, u32)> =
        PLANTED.iter().map(|planted| (Model::new(*planted, &galleries.places), 0)).collect();
    let mut random = Random(20_261_126);
    let (mut had, mut history) = (0_u32, Vec::new());
    for case in 0..cases {
        if case % BETWEEN_CHANGES == 0 {
            let change = random_change(&mut random, &models[0].0);
            let is_done = galleries.change(&change).await;
            for (model, differences) in &mut models {
                let expected = model.change(&change);
                assert!(expected == is_done || model.planted != Planted::Nothing, "{change:?} after {history:?}");
                *differences += u32::from(expected != is_done);
            }
            history.push(change);
        }
        let question = random_question(&mut random, galleries.places.len());
        let found = galleries.answer(&question).await;
        had += u32::from(matches!(found, Answer::Had { .. }));
        for (model, differences) in &mut models {
            let expected = model.answer(&question);
            if model.planted == Planted::Nothing {
                assert_eq!(found, expected, "case {case}: {question:?} after {history:?} in {:?}", model.places);
            }
            *differences += u32::from(found != expected);
        }
    }
    // Neither answer is rare, or the test would prove little.
    assert!((cases / 10..cases * 9 / 10).contains(&had), "{had} of {cases}");
    for (model, differences) in models {
        assert_eq!(differences == 0, model.planted == Planted::Nothing, "{:?}: {differences}", model.planted);
    }
}
