//! What goes wrong: processes die, stop, freeze; ways to stores are slow, lossy, cut; stores are full; and in one region
//! stored bytes rot.
//!
//! Every fault ends by itself after a while, but for rot. Rot is in one region only, so that what is complete in another
//! one has a good copy.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use galerie_store::backend::{Backend, FaultPlan, FaultyBackend, Key, LIST_LIMIT_MAX, Link};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use crate::{
    random::Random,
    world::{REGIONS, World},
};

/// A store that is well: some milliseconds away.
pub(crate) const WELL: FaultPlan = FaultPlan {
    put_lost_per_mille: 0,
    put_unanswered_per_mille: 0,
    read_failed_per_mille: 0,
    read_flipped_per_mille: 0,
    delete_failed_per_mille: 0,
    space_bytes: None,
    latency_max_ms: 20,
    link: Link::Up,
};

/// How often a new fault comes.
const CALM_MAX_MS: u64 = 15_000;
/// The longest that a fault lasts, for most of them.
const FAULT_MAX_MS: u64 = 45_000;
/// How long a collector, or whoever else is in the middle of something, may be away: longer than every lease, pin and chore, every
/// wait for another attempt, and what the collector takes for lost. The others go on meanwhile, which is not free.
const LONG_FREEZE: Duration = Duration::from_secs(7 * 60);

/// What may go wrong, and where.
pub(crate) struct Faults {
    world: World,
    random: Random,
    /// The region whose bytes may rot.
    weak: usize,
    rots: bool,
}

impl Faults {
    pub(crate) fn new(world: &World) -> Self {
        let mut random = world.random(1);
        let (weak, rots) = (random.index(REGIONS.len()), random.percent(50));
        Self { world: world.clone(), random, weak, rots }
    }

    /// The region whose bytes may rot in this run; `None` when none may.
    pub(crate) fn weak(&self) -> Option<usize> {
        self.rots.then_some(self.weak)
    }

    /// Lets things go wrong for a while, then says that the time `is_over`, and ends when the last fault has ended.
    pub(crate) async fn rage(mut self, time: Duration, is_over: &watch::Sender<bool>) {
        let until = Instant::now() + time;
        let mut under_way: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
        while Instant::now() < until {
            let calm = Duration::from_millis(self.random.below(CALM_MAX_MS));
            let next = tokio::time::sleep(calm);
            tokio::pin!(next);
            loop {
                tokio::select! {
                    biased;
                    () = &mut next => break,
                    Some(()) = under_way.next(), if !under_way.is_empty() => {}
                }
            }
            let fault = self.fault().await;
            under_way.extend(fault);
        }
        is_over.send_replace(true);
        while under_way.next().await.is_some() {}
        self.world.journal().note("no more faults");
    }

    async fn fault(&mut self) -> Option<BoxFuture<'static, ()>> {
        let world = self.world.clone();
        let number = self.random.index(world.places());
        let region = self.random.index(REGIONS.len());
        let time = Duration::from_millis(500 + self.random.below(FAULT_MAX_MS));
        match self.random.below(100) {
            0..20 => Some(Box::pin(die(world, number, time))),
            20..27 => Some(Box::pin(stop(world, number, time))),
            27..42 => {
                let is_long = self.random.percent(3);
                Some(Box::pin(freeze(world, number, if is_long { LONG_FREEZE } else { time })))
            }
            42..85 => {
                let plan = self.plan();
                let everywhere = self.random.percent(40);
                Some(Box::pin(trouble(world, (!everywhere).then_some(number), region, plan, time)))
            }
            _ if self.rots => {
                self.rot().await;
                None
            }
            _ => None,
        }
    }

    /// A store, or the way to it, that is not well.
    fn plan(&mut self) -> FaultPlan {
        match self.random.below(7) {
            0 => FaultPlan { put_lost_per_mille: 300, put_unanswered_per_mille: 300, ..WELL },
            1 => FaultPlan { read_failed_per_mille: 200, delete_failed_per_mille: 300, ..WELL },
            2 => FaultPlan { read_flipped_per_mille: 200, ..WELL },
            3 => FaultPlan { latency_max_ms: 9_000, ..WELL },
            4 => FaultPlan { space_bytes: Some(0), ..WELL },
            5 => FaultPlan { link: Link::Refused, ..WELL },
            _ => FaultPlan { link: Link::Silent, ..WELL },
        }
    }

    /// Hurts a stored pack of the weak region.
    async fn rot(&mut self) {
        let store = self.world.store(self.weak).clone();
        let listed = store.list("tenants/", None, LIST_LIMIT_MAX).await.expect("memory lists");
        let packs: Vec<Key> =
            listed.into_iter().map(|object| object.key).filter(|key| key.as_str().contains("/packs/")).collect();
        let Some(key) = self.random.pick(&packs).cloned() else { return };
        let Ok(bytes) = store.get(&key, u64::MAX).await else { return };
        let how = match self.random.below(4) {
            0 => {
                let end = self.random.index(bytes.len());
                store.overwrite(&key, bytes.slice(..end));
                "cut short"
            }
            1 => {
                let Some(other) = self.random.pick(&packs).cloned() else { return };
                let Ok(others) = store.get(&other, u64::MAX).await else { return };
                store.overwrite(&key, others);
                store.overwrite(&other, bytes);
                "swapped with another"
            }
            _ => {
                let mut damaged = bytes.to_vec();
                let at = self.random.index(damaged.len());
                damaged[at] ^= 1 << self.random.below(8);
                store.overwrite(&key, Bytes::from(damaged));
                "a bit flipped"
            }
        };
        self.world.journal().note(format_args!("rot in {}: {key} is {how}", REGIONS[self.weak]));
    }
}

/// A process dies, and is started again.
async fn die(world: World, number: usize, time: Duration) {
    if world.process(number).is_some() {
        world.kill(number);
        sleep(time).await;
        world.start(number, WELL).await;
    }
}

/// A process is stopped in order, and started again.
async fn stop(world: World, number: usize, time: Duration) {
    if world.stop(number).await {
        sleep(time).await;
        world.start(number, WELL).await;
    }
}

/// A process is not scheduled for a while, and does not know.
async fn freeze(world: World, number: usize, time: Duration) {
    let Some(process) = world.process(number) else { return };
    world.journal().note(format_args!("process {number} freezes for {} s", time.as_secs()));
    process.freeze();
    sleep(time).await;
    process.thaw();
    world.journal().note(format_args!("process {number} thaws"));
}

/// A region's store is not well, as one process sees it, or as all do.
async fn trouble(world: World, number: Option<usize>, region: usize, plan: FaultPlan, time: Duration) {
    let seen = match number {
        Some(number) => world.process(number).into_iter().collect(),
        None => world.running(),
    };
    let numbers: Vec<usize> = seen.iter().map(|process| process.number).collect();
    let name = REGIONS[region];
    world.journal().note(format_args!("{name} at {numbers:?} for {} s: {plan:?}", time.as_secs()));
    let links: Vec<_> = seen.into_iter().map(|process| process.links[region].clone()).collect();
    let set = |plan: FaultPlan| links.iter().for_each(|link: &std::sync::Arc<FaultyBackend>| link.set_plan(plan));
    set(plan);
    sleep(time).await;
    set(WELL);
    world.journal().note(format_args!("{name} at {numbers:?} is well"));
}
