//! A whole gallery in a test: regions in a temporary directory, the catalogue, workers, and every HTTP route, called in
//! process or on a loopback port.
//!
//! ```no_run
//! # async fn example() {
//! let gallery = galerie_testkit::Gallery::start().await;
//! let answer = gallery.put("{s}/resourceGroups/rg?api-version=2024-11-01", serde_json::json!({"location": "eastus"})).await;
//! assert_eq!(answer.status, 201);
//! # }
//! ```
//! Every answer of Azure Resource Manager is held against Azure's own description, see [`openapi`]; a test fails where it differs.
//!
//! Promises: nothing outlives the value but what the test keeps; time is the machine's or a [`VirtualClock`]. Panics
//! instead of answering errors: a test wants to stop there.

mod answer;
mod clock;
mod flows;
mod gallery;
mod issuer;
pub mod openapi;
mod principal;
pub mod vhd;

pub use galerie_region::RegionTrouble;

pub use self::{
    answer::Answer,
    clock::VirtualClock,
    gallery::{Gallery, GalleryOptions, SecondTenant},
    issuer::{IssuerKey, TestIssuer},
    principal::{Principal, client_form},
};
