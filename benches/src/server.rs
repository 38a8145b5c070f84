//! Starting the server on an empty directory, and its memory when nobody asks for anything.

use std::time::Duration;

use crate::{
    Bench, Result,
    machine::resident_memory_bytes,
    report::{Report, Verdict},
    server_process::{Server, Times},
    text::mib,
};

const STARTS: usize = 5;
const START_MAX_S: f64 = 1.0;
const IDLE_MAX_MIB: f64 = 80.0;
/// What was used for starting has been given back by then, if it ever is.
const IDLE_AFTER: Duration = Duration::from_secs(3);

pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir_in(&bench.scratch)?;
    let mut times = Vec::new();
    for number in 1..STARTS {
        let server = Server::start(&folder.path().join(format!("start-{number}"))).await?;
        times.push(server.started_in);
        server.stop().await?;
    }
    let again = Server::start(&folder.path().join("start-1")).await?;
    let again_s = again.started_in.as_secs_f64();
    again.stop().await?;
    let server = Server::start(&folder.path().join("idle")).await?;
    times.push(server.started_in);
    let median_s = Times::new(times).at_ms(0.5) / 1000.0;
    report
        .row("start to first answer, empty directory", format!("{median_s:.2} s"))
        .budget("< 1 s")
        .beside(format!("a second start on the same directory: {again_s:.2} s"))
        .verdict(Verdict::at_most(median_s, START_MAX_S))
        .add();

    tokio::time::sleep(IDLE_AFTER).await;
    let idle = mib(resident_memory_bytes(&server.process()));
    report
        .row("idle memory of galerie serve", format!("{idle:.0} MiB"))
        .budget("< 80 MiB")
        .verdict(Verdict::at_most(idle, IDLE_MAX_MIB))
        .add();
    server.stop().await
}
