//! Who gets which answer outside ARM: every path of `routes` with every method, asked by everybody to whom it may matter.
//!
//! One file per protocol, each with its golden file in `tests/access/`; ARM's is `arm::access_table`. Rows are made from the
//! table of routes, so a new path is in them, and its diff is the review of who may do what. Run with `UPDATE_GOLDEN=1` to
//! rewrite the files after a deliberate change.

mod blob;
mod content;
mod graph;
mod oauth;
mod open;

use std::fmt::Write as _;

use axum::{
    body::Body,
    http::{Method, Request},
};
use galerie_testkit::{Answer, Gallery};

use crate::{hosts::AcceptedHost, options::ApiOptions, route_class::RouteClass, routes, state::ApiState};

pub(crate) const METHODS: [Method; 5] = [Method::GET, Method::PUT, Method::PATCH, Method::POST, Method::DELETE];
/// Answers that say that nothing is here, or not so.
const NOTHING_HERE: [u16; 2] = [404, 405];

/// The file that has a class's rows. A new class has no arm, and no table.
const fn golden_of(class: RouteClass) -> &'static str {
    match class {
        RouteClass::Home | RouteClass::Health | RouteClass::Metadata => "access/open.txt",
        RouteClass::Arm => "access.txt",
        RouteClass::OAuth => "access/oauth.txt",
        RouteClass::Graph => "access/graph.txt",
        RouteClass::Blob => "access/blob.txt",
        RouteClass::Content => "access/content.txt",
    }
}

/// The answers to everybody: a row for each method of each path, a column for each asker.
struct Table {
    askers: Vec<&'static str>,
    rows: Vec<(String, Vec<u16>)>,
}

impl Table {
    fn new(askers: &[&'static str]) -> Self {
        Self { askers: askers.to_vec(), rows: Vec::new() }
    }

    fn push(&mut self, method: &Method, pattern: &str, statuses: Vec<u16>) {
        assert_eq!(statuses.len(), self.askers.len(), "{method} {pattern}");
        self.rows.push((format!("{method} {pattern}"), statuses));
    }

    /// Compares with the golden file of a class.
    fn check(self, class: RouteClass) {
        for (pattern, rows) in self.by_pattern() {
            let is_answered = rows.iter().flat_map(|(_, statuses)| statuses).any(|status| !is_nothing(*status));
            assert!(is_answered, "{pattern} is in the table of routes, and nobody gets anything there");
        }
        let mut table = format!("# {}\n", self.askers.join(" | "));
        for (row, statuses) in &self.rows {
            let statuses: Vec<String> = statuses.iter().map(u16::to_string).collect();
            let _ = writeln!(table, "{} {row}", statuses.join(" "));
        }
        let path = format!("{}/tests/{}", env!("CARGO_MANIFEST_DIR"), golden_of(class));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &table).expect("the golden file is writable");
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(table, golden, "who may do what has changed; if on purpose, run again with UPDATE_GOLDEN=1");
    }

    fn by_pattern(&self) -> std::collections::BTreeMap<&str, Vec<&(String, Vec<u16>)>> {
        let mut found = std::collections::BTreeMap::<&str, Vec<_>>::new();
        for row in &self.rows {
            let pattern = row.0.split_once(' ').map_or("", |(_, pattern)| pattern);
            found.entry(pattern.trim_end_matches(ABSENT)).or_default().push(row);
        }
        found
    }
}

/// What a row about something that is not there ends with.
const ABSENT: &str = " (absent)";

fn is_nothing(status: u16) -> bool {
    status == 401 || NOTHING_HERE.contains(&status)
}

/// Where roles are given.
const GROUP: &str = "{s}/resourceGroups/rg";

/// What handlers are called with: the gallery on a loopback name.
pub(crate) fn served(gallery: &Gallery) -> (ApiState, AcceptedHost) {
    let options = ApiOptions {
        hosts: Vec::new(),
        listen: "127.0.0.1:8443".parse().expect("an address"),
        trusted_proxies: Vec::new(),
        version: "test".to_owned(),
        device_code: false,
        throttling: crate::Throttling::Off,
        faults: crate::Faults::default(),
        forward: None,
    };
    let state = ApiState::new(gallery.control.clone(), options);
    let host = state.hosts.accept("localhost:8443").expect("a loopback name");
    (state, host)
}

/// Sends a request, with a token if there is one.
async fn ask(gallery: &Gallery, method: &Method, uri: &str, token: Option<&str>, body: Vec<u8>) -> Answer {
    let mut request = Request::builder().method(method.clone()).uri(uri);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    gallery.send(request.body(Body::from(body)).expect("a request")).await
}

/// A path that is in no table is answered by nobody: `routes` refuses it. And one that is has its rows.
#[test]
fn every_route_has_its_rows() {
    for (class, patterns) in routes::ALL {
        let path = format!("{}/tests/{}", env!("CARGO_MANIFEST_DIR"), golden_of(*class));
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        for pattern in *patterns {
            for method in METHODS {
                let row = format!(" {method} {pattern}");
                assert!(golden.lines().any(|line| line.ends_with(&row)), "{row} has no row in {path}");
            }
        }
    }
}
