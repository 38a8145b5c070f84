//! The arrows between the crates, held still: a new one is a design decision (ARCHITECTURE.md).

use std::{collections::BTreeSet, process::Command};

/// Every allowed dependency of one crate of the workspace on another, tests' dependencies aside.
const ARROWS: &[(&str, &str)] = &[
    ("galerie", "galerie-api"),
    ("galerie", "galerie-arm"),
    ("galerie", "galerie-control"),
    ("galerie", "galerie-disk"),
    ("galerie", "galerie-region"),
    ("galerie", "galerie-store"),
    ("galerie-api", "galerie-arm"),
    ("galerie-api", "galerie-control"),
    ("galerie-api", "galerie-store"),
    ("galerie-bench", "galerie-arm"),
    ("galerie-bench", "galerie-disk"),
    ("galerie-bench", "galerie-store"),
    ("galerie-bench", "galerie-testbucket"),
    ("galerie-control", "galerie-arm"),
    ("galerie-control", "galerie-disk"),
    ("galerie-control", "galerie-region"),
    ("galerie-control", "galerie-store"),
    ("galerie-disk", "galerie-store"),
    ("galerie-region", "galerie-disk"),
    ("galerie-region", "galerie-store"),
    ("galerie-simulation", "galerie-arm"),
    ("galerie-simulation", "galerie-control"),
    ("galerie-simulation", "galerie-region"),
    ("galerie-simulation", "galerie-store"),
    ("galerie-simulation", "galerie-testkit"),
    ("galerie-testkit", "galerie-api"),
    ("galerie-testkit", "galerie-arm"),
    ("galerie-testkit", "galerie-control"),
    ("galerie-testkit", "galerie-disk"),
    ("galerie-testkit", "galerie-region"),
    ("galerie-testkit", "galerie-store"),
    ("galerie-testkit", "galerie-testdb"),
];

#[test]
fn arrows_point_down_only() {
    let allowed: BTreeSet<(String, String)> =
        ARROWS.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
    let drawn = drawn_arrows();
    assert!(!drawn.is_empty(), "the workspace has crates that depend on each other");
    let unlisted: Vec<_> = drawn.difference(&allowed).collect();
    assert!(unlisted.is_empty(), "arrows that ARCHITECTURE.md does not have: {unlisted:?}");
}

fn drawn_arrows() -> BTreeSet<(String, String)> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let mut arrows = BTreeSet::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let from = package["name"].as_str().expect("a name");
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let to = dependency["name"].as_str().expect("a name");
            if dependency["kind"].is_null() && to.starts_with("galerie") {
                arrows.insert((from.to_owned(), to.to_owned()));
            }
        }
    }
    arrows
}
