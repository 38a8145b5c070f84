//! One run: a seed, from an empty gallery to an empty gallery.

use std::{path::Path, time::Duration};

use tokio::{sync::watch, task::JoinSet};

use crate::{
    faults::{Faults, WELL},
    invariants::Judge,
    journal::Journal,
    model::{Mistake, Model},
    verdict::Verdict,
    witness::Witness,
    workload::{Publisher, furnish},
    world::World,
};

/// How long things go wrong, in virtual minutes.
const LEAST_MINUTES: u64 = 2;
const MORE_MINUTES: u64 = 2;
/// How many processes, publishers and witnesses there are at most.
const PROCESSES: u64 = 3;
const PUBLISHERS: u64 = 3;
const WITNESSES: u64 = 2;

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The invariant that does not hold, and how.
    pub(crate) broken: Option<String>,
    /// How much virtual time it took.
    pub(crate) time: Duration,
    pub(crate) journal: Journal,
}

/// Runs a seed in `folder`, which has a catalogue and nothing else. Once in a program: it makes blocking work be done in
/// place, and takes the program's log.
pub(crate) fn run(seed: u64, mistake: Option<Mistake>, folder: &Path) -> Outcome {
    std::env::set_current_dir(folder).expect("a folder");
    galerie_store::blocking::do_in_place();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let (journal, verdict) = (Journal::install(), Verdict::default());
        verdict.watch_panics();
        let whole = play(seed, Model::new(mistake), journal.clone(), verdict.clone());
        tokio::select! {
            biased;
            () = verdict.broken() => {}
            () = whole => {}
        }
        journal.note(verdict.get().unwrap_or("every invariant holds"));
        Outcome { broken: verdict.get().map(str::to_owned), time: journal.elapsed(), journal }
    })
}

async fn play(seed: u64, model: Model, journal: Journal, verdict: Verdict) {
    let mut random = crate::random::Random::new(seed, 0);
    let processes = 1 + random.index(PROCESSES as usize);
    let world = World::new(journal, verdict, seed, processes).await;
    for number in 0..processes {
        world.start(number, WELL).await;
    }
    if let Err(refusal) = furnish(&world).await {
        return world.verdict().break_with("a client is understood", refusal);
    }
    let faults = Faults::new(&world);
    let judge = Judge::new(&world, &model, faults.weak());
    let minutes = LEAST_MINUTES + random.below(MORE_MINUTES);
    let (end, is_over) = watch::channel(false);
    let mut clients = JoinSet::new();
    for number in 0..1 + random.below(PUBLISHERS) {
        clients.spawn(Publisher::new(&world, &model, number as u32).work(is_over.clone()));
    }
    for number in 0..WITNESSES {
        clients.spawn(Witness::new(&world, &model, number).work(is_over.clone()));
    }
    faults.rage(Duration::from_secs(minutes * 60), &end).await;
    clients.join_all().await;
    world.journal().note("the clients have gone");
    judge.settle().await;
    judge.check_everything().await;
    judge.take_everything_away().await;
}
