//! A seed is a run, event for event; and what is broken is noticed.

use std::process::{Command, Output};

fn simulate(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_galerie-simulation")).args(args).output().expect("the simulation starts")
}

/// The line with the hash of all events.
fn replay(seed: u64) -> String {
    let output = simulate(&["--seed", &seed.to_string()]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find(|line| line.starts_with("seed ")).unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[test]
fn a_seed_is_replayed_event_for_event() {
    let mut hashes = Vec::new();
    for seed in 2..=6 {
        let first = replay(seed);
        assert_eq!(first, replay(seed));
        hashes.push(first.rsplit(' ').next().map(str::to_owned));
    }
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), 5, "every seed is another run");
}

/// Each invariant's check can fail: a model that is wrong in one thing is contradicted soon. What was deleted is missed by
/// whoever looks first: in a list (I6), or by its name (I1).
#[test]
fn a_wrong_model_is_contradicted() {
    for (mistake, invariant) in
        [("latest", "I2"), ("bytes", "I3"), ("rights", "I4"), ("quota", "I5"), ("deletion", "I")]
    {
        let output = simulate(&["--seeds", "2..20", "--mistake", mistake]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "nobody noticed: {mistake}");
        assert!(text.contains(&format!(" BREAKS {invariant}")), "{mistake}: {text}");
    }
}
