//! Raw images: the guest's bytes, nothing else.

mod header;
mod parser;
mod reader;

pub use reader::Reader;
