//! Holds recorded requests and answers against Azure's description of its API: what `tests/clients/tap.py` wrote.
//!
//!     check_exchanges FILE
//!
//! FILE has a JSON object on each line: `method`, `target`, `status`, `headers` (the names of the answer's, in small letters), and
//! `request` and `response` as text. Prints what is wrong,
//! once for each operation, and ends with 1 when anything is.

#![allow(clippy::print_stdout, reason = "what it prints is its answer")]

use std::{collections::BTreeMap, process::ExitCode};

use galerie_testkit::openapi::{Exchange, check};
use serde_json::Value;

fn main() -> ExitCode {
    let path = std::env::args().nth(1).expect("a file of exchanges");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let (mut checked, mut wrong) = (0_u64, BTreeMap::new());
    for line in text.lines() {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let member = |name: &str| entry[name].as_str().unwrap_or_default();
        let headers: Vec<&str> = entry["headers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let exchange = Exchange {
            method: member("method"),
            target: member("target"),
            request: member("request").as_bytes(),
            status: entry["status"].as_u64().and_then(|status| u16::try_from(status).ok()).expect("a status"),
            headers: &headers,
            response: member("response").as_bytes(),
        };
        checked += 1;
        for violation in check(&exchange) {
            let what = format!("{} {violation}", exchange.method);
            let example = format!("{} {}: {}", exchange.target, exchange.status, member("response"));
            wrong.entry(what).or_insert((0_u64, example)).0 += 1;
        }
    }
    for (what, (count, example)) in &wrong {
        println!("{what} ({count} times)\n    {}", example.chars().take(600).collect::<String>());
    }
    println!("{checked} exchanges, {} violations", wrong.len());
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
