//! What a region promises, on a directory and on a bucket.

mod bucket_region;
mod local_region;
mod support;
