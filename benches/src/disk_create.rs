//! Creating a disk from a version: the answer to PUT, for a version of 1 GiB and one of 1 TiB, by turns.
//!
//! Measured at the client, over HTTPS on one connection, so the server's own time is less.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use reqwest::Method;
use serde_json::json;

use crate::{
    Bench, Result,
    images::noise,
    report::{Report, Verdict},
    server_process::{Server, Times},
};

const DISKS: usize = 100;
const CREATE_MAX_MS: f64 = 10.0;
/// Data in either image, spread over it.
const DATA_PIECES: u64 = 64;

pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir_in(&bench.scratch)?;
    let server = Server::start(&folder.path().join("data")).await?;
    let mut versions = Vec::new();
    for (size_bytes, version) in [(1 << 30, "1.0.0"), (1 << 40, "2.0.0")] {
        let image = folder.path().join("image.raw");
        write_image(&image, size_bytes)?;
        versions.push(server.publish(&image, version).await?);
    }
    let mut times = [Vec::new(), Vec::new()];
    let mut pings = Vec::new();
    for number in 0..DISKS {
        for (of, times) in times.iter_mut().enumerate() {
            let disk = format!("d{of}-{number}");
            let group = format!("{}/resourceGroups/bench/providers/Microsoft.Compute", server.subscription());
            let source = json!({ "createOption": "FromImage", "galleryImageReference": { "id": versions[of] } });
            let body = json!({ "location": "eastus", "properties": { "creationData": source } });
            times.push(server.send(Method::PUT, &format!("{group}/disks/{disk}"), Some(&body)).await?.0);
        }
        pings.push(server.ping().await?);
    }
    let ping_ms = Times::new(pings).at_ms(0.5);
    for (times, what) in times.into_iter().zip(["1 GiB", "1 TiB"]) {
        let times = Times::new(times);
        let median_ms = times.at_ms(0.5);
        report
            .row(format!("create a disk from a version of {what}"), format!("{median_ms:.1} ms"))
            .budget("< 10 ms")
            .beside(format!("a request that does nothing: {ping_ms:.1} ms"))
            .note(format!("p90 {:.1} ms, p99 {:.1} ms, of {DISKS} disks", times.at_ms(0.9), times.at_ms(0.99)))
            .verdict(Verdict::at_most(median_ms, CREATE_MAX_MS))
            .add();
    }
    server.stop().await
}

fn write_image(path: &Path, size_bytes: u64) -> Result<()> {
    const PIECE_BYTES: usize = 256 << 10;
    let file = File::create(path)?;
    file.set_len(size_bytes)?;
    for number in 0..DATA_PIECES {
        file.write_all_at(&noise(number, PIECE_BYTES), number * (size_bytes / DATA_PIECES))?;
    }
    Ok(())
}
