//! Galerie in one program: the server, its administration, and the client that publishes and pulls images.
//!
//! `cli` has one file for each command; `server` is what `galerie serve` runs; `client` speaks with a server. What a
//! gallery is and how bytes are kept is in the crates below.

mod admin_file;
mod causes;
mod cli;
mod client;
mod durable;
mod server;
mod signals;
mod size;
mod span;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
