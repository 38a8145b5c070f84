//! Metrics for Prometheus, on a listener of their own: they are nobody's business on the one that strangers reach.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, extract::State, http::header::CONTENT_TYPE, routing::get};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Error, config::MetricsListen};

/// Bounds of the histograms of durations, in seconds.
const SECONDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// How often histograms are folded together when nobody scrapes.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(15);

/// Where metrics are served; gone with `cancel`.
pub(crate) struct Metrics {
    listener: TcpListener,
    handle: PrometheusHandle,
}

impl Metrics {
    /// Starts recording and listening. `None` when metrics are off, or nobody asked and the port is taken.
    ///
    /// # Errors
    /// `Listen`, when an address that was asked for cannot be had.
    pub(crate) async fn start(listen: MetricsListen) -> Result<Option<Self>, Error> {
        let (address, asked) = match listen {
            MetricsListen::Off => return Ok(None),
            MetricsListen::Default(address) => (address, false),
            MetricsListen::Asked(address) => (address, true),
        };
        let listener = match TcpListener::bind(address).await {
            Ok(listener) => listener,
            Err(source) if asked => return Err(Error::Listen { address: address.to_string(), source }),
            Err(error) => {
                tracing::warn!(%address, %error, "no metrics: set metrics_listen to another address, or to \"off\"");
                return Ok(None);
            }
        };
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "metrics are served to everybody who reaches this address");
        }
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .map_err(|error| Error::Config(error.to_string()))?
            .build_recorder();
        let handle = recorder.handle();
        // A second recorder in one process can only be a test's.
        let _ = metrics::set_global_recorder(recorder);
        describe();
        Ok(Some(Self { listener, handle }))
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Serves until `cancel` fires.
    pub(crate) async fn serve(self, cancel: CancellationToken) {
        let upkeep = self.handle.clone();
        let routes = Router::new().route("/metrics", get(render)).with_state(self.handle);
        let serve = axum_server::Server::<SocketAddr>::from_listener(self.listener).serve(routes.into_make_service());
        let keep_up = async {
            loop {
                tokio::time::sleep(UPKEEP_INTERVAL).await;
                upkeep.run_upkeep();
            }
        };
        tokio::select! {
            () = cancel.cancelled() => {}
            ended = serve => tracing::error!(?ended, "metrics are not served any more"),
            () = keep_up => {}
        }
    }
}

fn describe() {
    metrics::describe_gauge!("galerie_build_info", "1, labelled with the program's version");
    metrics::gauge!("galerie_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    metrics::describe_gauge!(
        "process_resident_memory_bytes",
        metrics::Unit::Bytes,
        "Memory of the process that is in RAM"
    );
}

async fn render(State(handle): State<PrometheusHandle>) -> ([(axum::http::HeaderName, &'static str); 1], String) {
    if let Some(bytes) = resident_bytes().await {
        metrics::gauge!("process_resident_memory_bytes").set(bytes as f64);
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], handle.render())
}

/// `VmRSS` in `/proc/self/status` counts KiB; see proc(5).
async fn resident_bytes() -> Option<u64> {
    let text = tokio::fs::read_to_string("/proc/self/status").await.ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix("kB")?;
    kib.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
