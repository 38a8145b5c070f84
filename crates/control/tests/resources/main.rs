//! The resources against a real catalogue and real regions in a temporary directory.

mod access;
mod disks;
mod galleries;
mod publishing;
mod races;
mod support;
mod versions;
