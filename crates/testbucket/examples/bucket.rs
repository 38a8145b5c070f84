//! The bucket as a process of its own, for tests of the built program: prints its endpoint and the folder of its objects, and
//! fails as each line of its input says: `SEED THROTTLED FAILED DROPPED UNANSWERED SLOW`, of a thousand. It ends with its
//! input.

use std::io::{BufRead, Write};

use galerie_testbucket::{Faults, S3Server};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let server = S3Server::start().await;
    let mut out = std::io::stdout();
    writeln!(out, "{} {}", server.endpoint(), server.folder().display())?;
    out.flush()?;
    let (lines, mut said) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        std::io::stdin().lock().lines().map_while(Result::ok).try_for_each(|line| lines.send(line))
    });
    while let Some(line) = said.recv().await {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [seed, throttled_per_mille, failed_per_mille, dropped_per_mille, unanswered_per_mille, slow_per_mille] =
            numbers[..]
        else {
            return Err(std::io::Error::other(format!("'{line}' is not six numbers")));
        };
        server.fail(Faults {
            seed,
            throttled_per_mille,
            failed_per_mille,
            dropped_per_mille,
            unanswered_per_mille,
            slow_per_mille,
            ..Faults::default()
        });
        writeln!(out, "ok")?;
        out.flush()?;
    }
    Ok(())
}
