//! Reconcilers: what must stay true, whatever happened meanwhile.
//!
//! Each is woken by time, by its jumps (some by signals, too), given no input, and compares what is with what should be. One code
//! path for the happy day and for repair: running one twice, or in two processes, does no harm. A run that fails or panics
//! is counted, and the next one comes all the same.

mod audit;
mod collect;
mod grants;
mod hurt;
mod operations;
mod pins;
pub(crate) mod quotas;
mod replicas;
mod retention;
pub(crate) mod scrub;
mod sign_ins;
mod soft_deletions;
mod space;
mod staging;
mod waits;

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use galerie_arm::ArmError;

pub(crate) use self::collect::Ledger;
use crate::{Control, away};

/// What a run answers.
type Run<'a> = BoxFuture<'a, Result<(), ArmError>>;

/// One of them.
struct Reconciler {
    name: &'static str,
    every: Duration,
    /// Whether the first run waits for the first period.
    patient: bool,
    run: fn(&Control) -> Run<'_>,
}

/// Starts all of them.
pub(crate) fn start(control: &Control) {
    let tuning = control.tuning();
    control.count_down_to_collection();
    let seconds = Duration::from_secs;
    let all = [
        Reconciler {
            name: "replicas",
            every: seconds(15),
            patient: false,
            run: |control| Box::pin(replicas::run(control)),
        },
        Reconciler {
            name: "away-regions",
            every: seconds(15),
            patient: false,
            run: |control| Box::pin(away::run(control)),
        },
        Reconciler { name: "waits", every: seconds(15), patient: false, run: |control| Box::pin(waits::run(control)) },
        Reconciler { name: "grants", every: seconds(5), patient: false, run: |control| Box::pin(grants::run(control)) },
        Reconciler {
            name: "sign-ins",
            every: seconds(300),
            patient: true,
            run: |control| Box::pin(sign_ins::run(control)),
        },
        Reconciler {
            name: "token-keys",
            every: seconds(30),
            patient: false,
            run: |control| Box::pin(sign_ins::tend_keys(control)),
        },
        Reconciler {
            name: "issuer-keys",
            every: seconds(600),
            patient: false,
            run: |control| Box::pin(sign_ins::reload_issuer_keys(control)),
        },
        Reconciler { name: "pins", every: seconds(30), patient: false, run: |control| Box::pin(pins::run(control)) },
        Reconciler { name: "space", every: seconds(15), patient: false, run: |control| Box::pin(space::run(control)) },
        Reconciler {
            name: "scrub-figures",
            every: seconds(30),
            patient: false,
            run: |control| Box::pin(scrub::show(control)),
        },
        Reconciler {
            name: "quotas",
            every: seconds(30),
            patient: false,
            run: |control| Box::pin(quotas::show(control)),
        },
        Reconciler {
            name: "quota-drift",
            every: seconds(3600),
            patient: true,
            run: |control| Box::pin(quotas::mend(control)),
        },
        Reconciler {
            name: "uploads",
            every: seconds(3),
            patient: false,
            run: |control| Box::pin(control.adopt_uploads()),
        },
        Reconciler {
            name: "denials",
            every: seconds(1),
            patient: true,
            run: |control| Box::pin(control.write_denials()),
        },
        Reconciler { name: "seals", every: seconds(10), patient: true, run: |control| Box::pin(audit::run(control)) },
        Reconciler {
            name: "operations",
            every: seconds(600),
            patient: true,
            run: |control| Box::pin(operations::run(control)),
        },
        Reconciler {
            name: "soft-deletions",
            every: seconds(60),
            patient: false,
            run: |control| Box::pin(soft_deletions::run(control)),
        },
        Reconciler {
            name: "retention",
            every: retention::EVERY,
            patient: true,
            run: |control| Box::pin(retention::run(control)),
        },
        Reconciler {
            name: "collect",
            every: tuning.collect_every,
            patient: true,
            run: |control| Box::pin(collect::run(control)),
        },
    ];
    for reconciler in all {
        control.track(keep_true(control.clone(), reconciler));
    }
    control.track(staging::keep_true(control.clone()));
    for region in control.region_names() {
        start_region(control, &region);
    }
}

/// Starts those that look after one region, which is available.
pub(crate) fn start_region(control: &Control, region: &str) {
    control.track(hurt::keep_true(control.clone(), region.to_owned()));
    control.track(scrub::keep_true(control.clone(), region.to_owned()));
}

async fn keep_true(control: Control, reconciler: Reconciler) {
    let mut wait = reconciler.patient;
    let mut time = control.time();
    loop {
        if wait {
            tokio::select! {
                () = control.stopping().cancelled() => return,
                () = tokio::time::sleep(reconciler.every) => {}
                _ = time.changed() => {}
            }
        }
        wait = true;
        attempted(reconciler.name, (reconciler.run)(&control)).await;
    }
}

/// One piece of work that is done again and again, whatever comes of it: a failure is counted and logged, and so is a
/// panic, which must not end all the pieces that would have followed. `None`: it failed.
pub(crate) async fn attempted<T, E: std::error::Error + 'static>(
    name: &'static str,
    piece: impl Future<Output = Result<T, E>>,
) -> Option<T> {
    match AssertUnwindSafe(piece).catch_unwind().await {
        Ok(Ok(done)) => return Some(done),
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, reconciler = name, "reconcile");
        }
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            tracing::error!(panic = text.unwrap_or("without a text"), reconciler = name, "reconcile");
        }
    }
    metrics::counter!("galerie_reconcile_errors_total", "reconciler" => name).increment(1);
    None
}

/// One run of the collector over everything.
#[cfg(test)]
pub(crate) async fn collect_once(control: &Control) {
    collect::run(control).await.expect("a run");
}

/// One look at the replicas that failed.
#[cfg(test)]
pub(crate) async fn retry_replicas(control: &Control) {
    replicas::run(control).await.expect("a run");
}

#[cfg(test)]
mod bit_rot;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod under_fire;
