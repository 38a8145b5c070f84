//! ARM's bodies: what is answered, what is described, what is hostile.

mod error_bodies;
mod hostile_bodies;
mod spec_examples;
