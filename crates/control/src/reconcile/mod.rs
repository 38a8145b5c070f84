//! Reconcilers: what must stay true, whatever happened meanwhile.
//!
//! Each is woken by time (some by signals, too), given no input, and compares what is with what should be. One code
//! path for the happy day and for repair: running one twice, or in two processes, does no harm.

mod collect;
mod grants;
mod operations;
mod pins;
mod replicas;
mod staging;

use std::time::Duration;

use futures::future::BoxFuture;
use galerie_arm::ArmError;

pub(crate) use self::collect::Ledger;
use crate::Control;

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
    let seconds = Duration::from_secs;
    let all = [
        Reconciler {
            name: "replicas",
            every: seconds(15),
            patient: false,
            run: |control| Box::pin(replicas::run(control)),
        },
        Reconciler { name: "grants", every: seconds(5), patient: false, run: |control| Box::pin(grants::run(control)) },
        Reconciler { name: "pins", every: seconds(30), patient: false, run: |control| Box::pin(pins::run(control)) },
        Reconciler {
            name: "operations",
            every: seconds(600),
            patient: true,
            run: |control| Box::pin(operations::run(control)),
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
}

async fn keep_true(control: Control, reconciler: Reconciler) {
    let mut wait = reconciler.patient;
    loop {
        if wait {
            tokio::select! {
                () = control.stopping().cancelled() => return,
                () = tokio::time::sleep(reconciler.every) => {}
            }
        }
        wait = true;
        if let Err(error) = (reconciler.run)(&control).await {
            metrics::counter!("galerie_reconcile_errors_total", "reconciler" => reconciler.name).increment(1);
            tracing::warn!(%error, reconciler = reconciler.name, "reconcile");
        }
    }
}

#[cfg(test)]
mod tests;
