//! What is kept of who may do what is never out of date, whatever changes, in whichever process, on both databases.

use std::sync::atomic::{AtomicU64, Ordering};

use galerie_arm::ArmError;
use serde_json::json;
use tokio::task::yield_now;
use uuid::Uuid;

use super::{
    Scope,
    built_in_roles::OWNER,
    cache, forget_principal, own,
    tests::{assignment, at, custom, give, newcomer, role},
};
use crate::{
    Control, RequestContext,
    db::{
        self,
        directory_object::{DirectoryObjectRow, ObjectKind},
        group::{self, GroupRow},
        role_assignment, transact,
    },
    resource::Expand,
    testing::World,
};

/// How many changes one test makes.
const CHANGES: usize = 400;
/// Changes between two looks, sometimes: more than are written down beside a revision.
const MANY_CHANGES: usize = 100;
/// How often a right is given and taken while others use it.
const TURNS: u64 = 60;

/// Numbers that look random and are the same for the same seed (Knuth's MMIX generator).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }
}

async fn new_group(world: &World) -> Uuid {
    let (id, tenant) = (Uuid::new_v4(), world.caller.tenant);
    let object =
        DirectoryObjectRow { id, tenant, kind: ObjectKind::Group, display_name: "Group".to_owned(), created_ms: 0 };
    let row = GroupRow { object, document: json!({}) };
    transact!(world.control.db(), |tx| -> db::Result<()> { group::insert(tx, &row).await }).unwrap();
    id
}

/// Principals, groups, roles and scopes, and what changes between them.
struct Changing<'a> {
    processes: [&'a World; 2],
    owner: RequestContext,
    random: Random,
    /// Users and groups, the users first.
    principals: Vec<Uuid>,
    groups: Vec<Uuid>,
    roles: Vec<Uuid>,
    custom_role: Uuid,
    scopes: Vec<Scope>,
    /// Assignments that were made, some of which are gone.
    made: Vec<(Scope, String)>,
}

impl Changing<'_> {
    /// Tries one change, which may be refused: an assignment that is there, a membership that is not. Which, and whether it was
    /// made.
    async fn change(&mut self) -> (&'static str, bool) {
        let control = &self.random.of(&self.processes).control;
        let (principal, scope) = (self.random.of(&self.principals), self.random.of(&self.scopes));
        let (group, tenant) = (self.random.of(&self.groups), self.owner.caller.tenant);
        match self.random.below(16) {
            0..6 => {
                let (name, body) = (Uuid::new_v4().to_string(), assignment(self.random.of(&self.roles), principal));
                let answer = control.role_assignment_put(&self.owner, &scope, &name, &body).await;
                self.made.push((scope, name));
                ("assign", answer.is_ok())
            }
            6..9 if !self.made.is_empty() => {
                let (scope, name) = self.made.swap_remove(self.random.below(self.made.len()));
                let answer = control.role_assignment_delete(&self.owner, &scope, &name).await;
                ("take away", answer.is_ok_and(|deleted| deleted.is_some()))
            }
            9 | 10 => ("join", control.group_add_member(&self.owner, group, principal).await.is_ok()),
            11 => ("leave", control.group_remove_member(&self.owner, group, principal).await.is_ok()),
            12 => {
                let action = self.random.of(&["*/read", "*/write", "Microsoft.Compute/galleries/*"]);
                let root = self.scopes[0].clone();
                let body = custom("Changes", &[action], &[root.as_str()]);
                let id = self.custom_role.to_string();
                control.role_definition_put(&self.owner, &root, &id, &body).await.unwrap();
                ("change a role", true)
            }
            13 => {
                transact!(control.db(), |tx| -> Result<(), ArmError> { forget_principal(tx, principal).await })
                    .unwrap();
                ("forget", true)
            }
            14 => {
                let key = scope.key().to_owned();
                transact!(control.db(), |tx| -> db::Result<()> {
                    role_assignment::delete_at_or_below(tx, tenant, &key).await
                })
                .unwrap();
                ("delete a place", true)
            }
            // What is rolled back was looked at while it was so.
            _ => {
                let mut tx = control.db().write().await.unwrap();
                own(&mut tx, tenant, scope.as_str(), principal).await.unwrap();
                let seen = cache::grants(&mut tx, tenant, principal, &[]).await.unwrap();
                assert!(seen.permits("Microsoft.Compute/galleries/delete", scope.key()));
                drop(tx);
                ("roll back", true)
            }
        }
    }
}

#[tokio::test]
async fn what_is_kept_is_what_would_be_compiled() {
    let world = World::new().await;
    world.furnish().await;
    let other = world.reopen().await;
    let (owner, subscription) = (world.ctx(), galerie_arm::SubscriptionId::new(world.subscription));
    let scopes = vec![Scope::from(subscription), at(&world.id("")), at(&world.id("galleries/g"))];
    let custom_role = Uuid::new_v4();
    let body = custom("Changes", &["*/read"], &[scopes[0].as_str()]);
    world.control.role_definition_put(&owner, &scopes[0], &custom_role.to_string(), &body).await.unwrap();
    let mut principals = Vec::new();
    for _ in 0..3 {
        principals.push(newcomer(&world).await.caller.principal);
    }
    let groups = vec![new_group(&world).await, new_group(&world).await, new_group(&world).await];
    let users = principals.clone();
    principals.extend(&groups);
    let seed = Uuid::new_v4().as_u64_pair().0;
    let roles = vec![role("Reader"), role("Contributor"), OWNER, custom_role];
    let processes = [&world, &other];
    let mut changing = Changing {
        processes,
        owner,
        random: Random(seed),
        principals,
        groups,
        roles,
        custom_role,
        scopes,
        made: Vec::new(),
    };
    let (mut done, mut with_grants) = (Vec::new(), 0);
    let tenant = world.caller.tenant;
    while done.len() < CHANGES {
        let changes = if changing.random.below(40) == 0 { MANY_CHANGES } else { 1 + changing.random.below(4) };
        for _ in 0..changes {
            done.push(changing.change().await);
        }
        for control in processes.map(|process| &process.control) {
            for user in &users {
                // Now and then, so that what is kept is of different ages.
                if changing.random.below(3) == 0 {
                    continue;
                }
                let mut tx = control.db().read().await.unwrap();
                let kept = cache::grants(&mut tx, tenant, *user, &[]).await.unwrap();
                let anew = cache::compiled_anew(&mut tx, tenant, *user).await.unwrap();
                assert_eq!(kept, anew, "seed {seed}, after {:?}", &done[done.len() - changes..]);
                with_grants += u32::from(kept.count() > 0);
            }
        }
    }
    assert!(with_grants > 50, "seed {seed}: {with_grants} looks found something");
    for kind in ["assign", "take away", "join", "leave", "change a role", "forget", "delete a place", "roll back"] {
        assert!(done.contains(&(kind, true)), "seed {seed}: {kind} never happened");
    }
}

/// A way to have a right, and to lose it.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// By an assignment of one's own.
    Assignment,
    /// By membership in a group that has it.
    Membership,
    /// By what a custom role allows.
    Role,
}

/// A right that is given and taken again and again, as it is seen by those who use it meanwhile.
struct Right<'a> {
    way: Way,
    world: &'a World,
    to: RequestContext,
    group: Uuid,
    role: Uuid,
    /// Four for each turn: it is taken; it is being given; it is given; it is being taken.
    phase: AtomicU64,
    /// In which phase each of those who use it has looked last, from its beginning to its end.
    looked: [AtomicU64; 4],
}

impl<'a> Right<'a> {
    async fn new(world: &'a World, way: Way) -> Self {
        let (to, group, role) = (newcomer(world).await, new_group(world).await, Uuid::new_v4());
        let right = Self {
            way,
            world,
            to,
            group,
            role,
            phase: AtomicU64::new(0),
            looked: [const { AtomicU64::new(u64::MAX) }; 4],
        };
        let control = &world.control;
        match way {
            Way::Assignment => {}
            Way::Membership => {
                let (name, body) = (Uuid::new_v4().to_string(), assignment(super::tests::role("Reader"), group));
                control.role_assignment_put(&world.ctx(), &at(&world.id("")), &name, &body).await.unwrap();
            }
            Way::Role => {
                right.allow(control, "Microsoft.Compute/disks/read").await;
                give(world, &right.to, role, &at(&world.id(""))).await;
            }
        }
        right
    }

    async fn allow(&self, control: &Control, action: &str) {
        let (scope, name) = (at(&self.world.id("")), format!("Role {}", self.role));
        let body = custom(&name, &[action], &[scope.as_str()]);
        control.role_definition_put(&self.world.ctx(), &scope, &self.role.to_string(), &body).await.unwrap();
    }

    async fn give_and_take(&self, control: &Control) {
        let (owner, scope) = (self.world.ctx(), at(&self.world.id("")));
        let (name, user) = (Uuid::new_v4().to_string(), self.to.caller.principal);
        self.phase.fetch_add(1, Ordering::SeqCst);
        match self.way {
            Way::Assignment => {
                let body = assignment(super::tests::role("Reader"), user);
                control.role_assignment_put(&owner, &scope, &name, &body).await.unwrap();
            }
            Way::Membership => control.group_add_member(&owner, self.group, user).await.unwrap(),
            Way::Role => self.allow(control, "Microsoft.Compute/galleries/read").await,
        }
        self.phase.fetch_add(1, Ordering::SeqCst);
        self.all_have_looked().await;
        self.phase.fetch_add(1, Ordering::SeqCst);
        match self.way {
            Way::Assignment => {
                control.role_assignment_delete(&owner, &scope, &name).await.unwrap().expect("it was given");
            }
            Way::Membership => control.group_remove_member(&owner, self.group, user).await.unwrap(),
            Way::Role => self.allow(control, "Microsoft.Compute/disks/read").await,
        }
        self.phase.fetch_add(1, Ordering::SeqCst);
        self.all_have_looked().await;
    }

    async fn all_have_looked(&self) {
        let phase = self.phase.load(Ordering::SeqCst);
        while self.looked.iter().any(|looked| looked.load(Ordering::SeqCst) != phase) {
            yield_now().await;
        }
    }

    /// Uses the right, as one of those who do, until it was given and taken for the last time. How often it was refused after it
    /// was taken, and allowed after it was given.
    async fn used(&self, control: &Control, by: usize) -> [u64; 2] {
        let (gallery, mut seen) = (self.world.id("galleries/g"), [0, 0]);
        loop {
            let before = self.phase.load(Ordering::SeqCst);
            let answer = control.get(&self.to, &gallery, &Expand::default()).await;
            let is_allowed = match &answer {
                Ok(_) => true,
                Err(error) => {
                    assert_eq!(error.code, "AuthorizationFailed", "{error}");
                    false
                }
            };
            let is_same_phase = self.phase.load(Ordering::SeqCst) == before;
            match before % 4 {
                0 if is_same_phase => {
                    assert!(!is_allowed, "{:?}: honoured after it was taken, turn {}", self.way, before / 4);
                    seen[0] += 1;
                }
                2 if is_same_phase => {
                    assert!(is_allowed, "{:?}: refused after it was given, turn {}", self.way, before / 4);
                    seen[1] += 1;
                }
                _ => {}
            }
            if is_same_phase {
                self.looked[by].store(before, Ordering::SeqCst);
            }
            if before == TURNS * 4 {
                return seen;
            }
            yield_now().await;
        }
    }
}

/// Whoever takes a right away has the answer; no request that begins later has the right, in any process. Others' rights change
/// all the time.
#[tokio::test]
async fn a_right_ends_with_the_answer_to_who_takes_it() {
    let world = World::new().await;
    world.furnish().await;
    let other = world.reopen().await;
    for way in [Way::Assignment, Way::Membership, Way::Role] {
        let right = Right::new(&world, way).await;
        let changing = async {
            for turn in 0..TURNS {
                let control = if turn % 2 == 0 { &world.control } else { &other.control };
                right.give_and_take(control).await;
            }
        };
        let others = async {
            while right.phase.load(Ordering::SeqCst) < TURNS * 4 {
                let ctx = newcomer(&other).await;
                give(&other, &ctx, role("Reader"), &at(&world.id("galleries/g"))).await;
                let phase = right.phase.load(Ordering::SeqCst);
                while phase < TURNS * 4 && right.phase.load(Ordering::SeqCst) == phase {
                    yield_now().await;
                }
            }
        };
        let (here, there) = (&world.control, &other.control);
        let processes = [here, there, here, there].into_iter().enumerate();
        let uses = futures::future::join_all(processes.map(|(by, control)| right.used(control, by)));
        let ((), (), seen) = tokio::join!(changing, others, uses);
        for [refused, allowed] in seen {
            assert!(refused >= TURNS && allowed >= TURNS, "{way:?}: refused {refused}, allowed {allowed}");
        }
    }
}
