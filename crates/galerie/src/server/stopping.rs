//! Ending: by signal, in an order that loses no request behind a load balancer.
//!
//! ```text
//! SIGTERM -> /healthz/ready says 503, uploads that others can carry on are let go
//!         -> drain_delay_s: the load balancer notices and sends nothing more
//!         -> uploads of chunks that lie in this process's memory may end, for shutdown_timeout_s
//!         -> connections close as their requests end, for what is left of it
//! ```

use std::{net::SocketAddr, time::Duration};

use axum_server::Handle;
use galerie_control::Control;
use tokio::time::Instant;

use crate::signals::Signals;

/// How often open uploads are looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// How long ending may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drain {
    /// Between not being ready and taking no more connections.
    pub(super) delay: Duration,
    /// For what is under way then.
    pub(super) limit: Duration,
}

/// Drains at the first signal, or when a copy of this process was started elsewhere; ends at once at the second.
pub(super) async fn stop_on_signal(mut signals: Signals, handle: Handle<SocketAddr>, control: Control, drain: Drain) {
    tokio::select! {
        () = signals.next() => {}
        () = control.replaced() => {}
    }
    tracing::info!("stopping: requests under way may end");
    tokio::select! {
        () = put_down(&handle, &control, drain) => {}
        () = signals.next() => stop_at_once(),
    }
    signals.next().await;
    stop_at_once();
}

async fn put_down(handle: &Handle<SocketAddr>, control: &Control, drain: Drain) {
    control.begin_draining().await;
    tokio::time::sleep(drain.delay).await;
    let end = Instant::now() + drain.limit;
    // Alone, nobody else could take the next request of such an upload, and its client finds the server again soon.
    while control.is_one_of_several() && control.has_chunk_uploads() && Instant::now() < end {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    handle.graceful_shutdown(Some(end.saturating_duration_since(Instant::now())));
}

fn stop_at_once() -> ! {
    tracing::warn!("stopped at once");
    std::process::exit(130);
}
