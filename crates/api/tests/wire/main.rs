//! Golden wire tests: each line of the compatibility contract is a test, against a whole gallery in process.

mod accepted;
mod applications;
mod audit;
mod blobs;
mod content;
mod contract;
mod documents;
mod errors;
mod external_issuer;
mod graph;
mod groups;
mod hosts;
mod lists;
mod mass_assignment;
mod metadata;
mod preflights;
mod publishing;
mod revocation;
mod roles;
mod sharing;
mod sign_in;
mod soft_delete;
mod tenants;
mod tokens;
