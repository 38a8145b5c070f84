//! The evaluator against a model of what it should do: the definition, written as plainly as it is read.
//!
//! The model knows no ordered maps, no compiled roles, no cache and no key ranges: it walks every assignment of every
//! principal for every question. A million random questions must get the same answers from both.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use galerie_arm::{ResourceId, ResourceType};
use uuid::Uuid;

use super::{
    action_pattern::ActionPattern,
    evaluator::{Grants, Role},
    permission_set::PermissionSet,
    visible::{self, Visible, VisiblePart},
};

/// Numbers that look random and are the same for the same seed (Knuth's MMIX generator).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    fn some<T: Clone>(&mut self, all: &[T], most: usize) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| self.of(all).clone()).collect()
    }
}

const ACTIONS: &[&str] = &[
    "Microsoft.Compute/galleries/read",
    "Microsoft.Compute/galleries/write",
    "Microsoft.Compute/galleries/share/action",
    "Microsoft.Compute/galleries/images/read",
    "Microsoft.Compute/galleries/images/versions/read",
    "Microsoft.Compute/galleries/images/versions/delete",
    "Microsoft.Compute/disks/read",
    "Microsoft.Compute/disks/beginGetAccess/action",
    "Microsoft.Resources/subscriptions/resourceGroups/read",
    "Microsoft.Authorization/roleAssignments/write",
];
const PATTERNS: &[&str] = &[
    "*",
    "*/read",
    "*/write",
    "*/action",
    "Microsoft.Compute/*",
    "microsoft.compute/*/READ",
    "Microsoft.Compute/galleries/*",
    "Microsoft.Compute/galleries/images/versions/*",
    "Microsoft.Compute/disks/read",
    "Microsoft.Compute/disks/beginGetAccess/action",
    "Microsoft.Resources/*",
    "Microsoft.Authorization/*/Write",
];
const SUBSCRIPTIONS: [&str; 2] = ["11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-000000000000"];

/// What there is.
static PLACES: LazyLock<Vec<ResourceId>> = LazyLock::new(places);

/// A tenant: who is in which group, who has which role where, and what there is.
struct World {
    /// By group: its members, which may be groups; also of itself, around a circle.
    members: Vec<(Uuid, Vec<Uuid>)>,
    roles: Vec<Arc<Role>>,
    /// Principal, role, scope.
    assignments: Vec<(Uuid, Arc<Role>, String)>,
    principals: Vec<Uuid>,
    places: &'static [ResourceId],
}

impl World {
    fn new(random: &mut Random) -> Self {
        let ids = |first: u128, count: u128| (first..first + count).map(Uuid::from_u128).collect::<Vec<_>>();
        let (users, groups) = (ids(1, 3), ids(100, 3));
        let principals: Vec<Uuid> = users.iter().chain(&groups).copied().collect();
        let members = groups.iter().map(|group| (*group, random.some(&principals, 3))).collect();
        let roles: Vec<Arc<Role>> = ids(1000, 5).into_iter().map(|id| role(id, random)).collect();
        let places = PLACES.as_slice();
        let wide: Vec<String> = places.iter().filter(|place| place.namespace().is_none()).map(key_of).collect();
        // As people assign: often high up.
        let scope = |random: &mut Random| match random.below(10) {
            0 => String::new(),
            1..6 => random.of(&wide).clone(),
            _ => key_of(random.of(places)),
        };
        let assignments = (0..4 + random.below(20))
            .map(|_| (*random.of(&principals), Arc::clone(random.of(&roles)), scope(random)))
            .collect();
        Self { members, roles, assignments, principals: users, places }
    }

    /// Everybody that a principal is: itself, and the groups that have one of these as a member.
    fn identities(&self, principal: Uuid) -> BTreeSet<Uuid> {
        let mut found = BTreeSet::from([principal]);
        loop {
            let before = found.len();
            for (group, members) in &self.members {
                if members.iter().any(|member| found.contains(member)) {
                    found.insert(*group);
                }
            }
            if found.len() == before {
                return found;
            }
        }
    }

    /// The definition, for somebody who is all of `identities`.
    fn permits(&self, identities: &BTreeSet<Uuid>, action: &str, key: &str) -> bool {
        self.assignments.iter().any(|(holder, role, scope)| {
            let is_over =
                || key.strip_prefix(scope.as_str()).is_some_and(|below| below.is_empty() || below.starts_with('/'));
            identities.contains(holder) && is_over() && role.permissions.iter().any(|set| allows(set, action))
        })
    }

    /// What the cache compiles.
    fn grants(&self, principal: Uuid) -> Grants {
        let holders = self.identities(principal);
        let held = self.assignments.iter().filter(|(principal, ..)| holders.contains(principal));
        Grants::new(held.map(|(_, role, scope)| (scope.clone(), Arc::clone(role))).collect())
    }
}

fn key_of(place: &ResourceId) -> String {
    place.key().to_owned()
}

fn role(id: Uuid, random: &mut Random) -> Arc<Role> {
    let patterns = |texts: Vec<&str>| texts.into_iter().map(ActionPattern::new).collect();
    let sets = (0..=random.below(2)).map(|_| PermissionSet {
        actions: patterns([random.some(PATTERNS, 2), vec![*random.of(PATTERNS)]].concat()),
        not_actions: patterns(random.some(PATTERNS, 2)),
        data_actions: patterns(random.some(PATTERNS, 1)),
        not_data_actions: Vec::new(),
    });
    let permissions = sets.collect();
    Arc::new(Role { id, permissions })
}

/// An action is one of the actions, and none of those taken away. A pattern is its parts between the stars, in order, the
/// first at the beginning and the last at the end.
fn allows(set: &PermissionSet, action: &str) -> bool {
    let is_any = |patterns: &[ActionPattern]| patterns.iter().any(|pattern| stands_for(pattern.as_str(), action));
    is_any(&set.actions) && !is_any(&set.not_actions)
}

fn stands_for(pattern: &str, action: &str) -> bool {
    let (pattern, mut rest) = (pattern.to_lowercase(), action.to_lowercase());
    let parts: Vec<&str> = pattern.split('*').collect();
    let [first, middle @ .., last] = parts.as_slice() else { return pattern == rest };
    let Some(after) = rest.strip_prefix(first).map(str::to_owned) else { return false };
    rest = after;
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = rest[at + part.len()..].to_owned();
    }
    rest.ends_with(last)
}

fn places() -> Vec<ResourceId> {
    let mut texts = Vec::new();
    for subscription in SUBSCRIPTIONS.map(|id| format!("/subscriptions/{id}")) {
        texts.push(subscription.clone());
        // Names that begin like others, with characters that sort before the slash.
        for group in ["g", "g-1", "g.x"].map(|name| format!("{subscription}/resourceGroups/{name}")) {
            texts.push(group.clone());
            for below in [
                "galleries/web",
                "galleries/web1",
                "galleries/web/images/i",
                "galleries/web/images/i-2",
                "galleries/web/images/i/versions/1.0.0",
                "galleries/web/images/i/versions/1.0.10",
                "galleries/web1/images/i",
                "disks/d",
                "disks/d-1",
            ] {
                texts.push(format!("{group}/providers/Microsoft.Compute/{below}"));
            }
        }
    }
    texts.iter().map(|text| text.parse().expect("an id")).collect()
}

#[test]
fn a_million_decisions_are_those_of_the_model() {
    let mut random = Random(20_260_304);
    let mut allowed = 0_u32;
    for case in 0..2_000 {
        let world = World::new(&mut random);
        assert!(!world.roles.is_empty());
        let principal = *random.of(&world.principals);
        let (grants, identities) = (world.grants(principal), world.identities(principal));
        for _ in 0..500 {
            let action = *random.of(ACTIONS);
            let place = random.of(world.places);
            let expected = world.permits(&identities, action, place.key());
            let found = grants.permits(action, place.key());
            assert_eq!(found, expected, "case {case}: {action} over {place}, of {:?}", world.assignments);
            allowed += u32::from(found);
        }
    }
    // Neither answer is rare, or the test would prove little.
    assert!((100_000..900_000).contains(&allowed), "{allowed}");
}

#[test]
fn lists_show_what_the_model_would_let_read() {
    const LISTED: [(ResourceType, &str); 4] = [
        (ResourceType::Gallery, "Microsoft.Compute/galleries/read"),
        (ResourceType::ImageDefinition, "Microsoft.Compute/galleries/images/read"),
        (ResourceType::ImageVersion, "Microsoft.Compute/galleries/images/versions/read"),
        (ResourceType::Disk, "Microsoft.Compute/disks/read"),
    ];
    let mut random = Random(7);
    let mut in_part = 0;
    for case in 0..5_000 {
        let world = World::new(&mut random);
        let principal = *random.of(&world.principals);
        let (grants, identities) = (world.grants(principal), world.identities(principal));
        let (listed, action) = *random.of(&LISTED);
        let lists: Vec<&ResourceId> = world.places.iter().filter(|place| place.namespace().is_none()).collect();
        let within = random.of(&lists).key().to_owned();
        let of_list = |place: &&ResourceId| {
            place.resource_type() == Some(listed) && place.key().starts_with(&format!("{within}/"))
        };
        let expected: Vec<&str> = world.places.iter().filter(of_list).map(ResourceId::key).collect();
        let expected = expected.into_iter().filter(|key| world.permits(&identities, action, key));
        let expected: BTreeSet<&str> = expected.collect();
        let all = world.places.iter().filter(of_list).map(ResourceId::key);
        let shown: BTreeSet<&str> = match visible::resources(&grants, action, &within, listed, None) {
            Visible::All => all.collect(),
            Visible::Part(VisiblePart { ranges, ends_at }) => {
                assert_eq!(ends_at, None, "case {case}");
                assert!(ranges.is_sorted_by(|one, next| one.last < next.first), "case {case}: {ranges:?}");
                in_part += u32::from(!ranges.is_empty());
                let is_in =
                    |key: &&str| ranges.iter().any(|range| range.first.as_str() <= *key && *key <= range.last.as_str());
                all.filter(is_in).collect()
            }
        };
        assert_eq!(shown, expected, "case {case}: {action} in {within}, of {:?}", world.assignments);
    }
    assert!(in_part > 200, "{in_part}");
}
