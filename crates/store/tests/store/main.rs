//! What the store promises, from outside: one program of tests, for each links the whole of it.

mod backend_conformance;
mod backup;
mod collector;
mod compression;
mod damage;
mod format;
mod images;
mod index;
mod listings;
mod opening;
mod s3;
mod support;
mod unreadable;
