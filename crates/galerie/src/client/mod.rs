//! The client's side: signing in to a server and speaking ARM, SAS and the content protocol with it.
//!
//! [`Client`] sends requests; [`arm`] follows long-running operations and lists; [`content`] reads an image version's
//! blobs; [`chunk_upload`] sends one's. Nothing here prints: that is `cli`'s.

mod application_reference;
mod arm;
mod blob_endpoint;
mod chunk_upload;
mod content;
mod error;
mod page_blob;
mod profile;
mod reference;
mod token;
mod transport;

pub(crate) use self::{
    application_reference::{ApplicationReference, ApplicationVersionReference},
    chunk_upload::ChunkUpload,
    content::Content,
    error::Error,
    page_blob::{PAGE_BYTES, PAGES_MAX_BYTES, PageBlob},
    profile::{Overrides, Profile, is_loopback},
    reference::{DefinitionReference, GalleryReference, VersionReference},
    transport::Client,
};

/// The client's result.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;
