//! What a body may contain, per resource type and api-version, from Azure's own description data.
//!
//! A resource is kept as one document that holds everything any api-version wrote. A [`Shape`] is one api-version's view:
//! [`Shape::accept`] reads a request into the specification's spelling, [`Shape::merge_put`] and [`Shape::merge_patch`] put it
//! onto the stored document, [`Shape::project`] gives what a response shows, and [`Shape::project_text`] the same as text.
//!
//! Api-versions map, per type, to the newest known shape not later than the one asked for. Our data has gaps for disks,
//! snapshots and managed images: a version that falls into a gap reads and shows what the next known one does, but a write keeps
//! what the one before cannot express. A version newer than all data also keeps members that we do not know.
//!
//! Does not: apply defaults, decide what may change, or look at ids and names: those are the domain's rules.
//! The table's format and origin are in `docs/design/arm.md`; `tools/schema/generate.py` makes it.

mod accept;
mod image_version_source;
mod merge;
mod project;
mod project_text;
mod table;

use serde_json::Value;

pub use self::project_text::DocumentParts;
use self::table::{Family, Kind, Property, Table, TypeEntry};
use crate::api_version::ApiVersion;
use crate::error::ArmError;
use crate::resource_id::ResourceType;

/// A body that is no resource: what an action takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ActionBody {
    /// `POST disks/{d}/beginGetAccess`, and the same of snapshots: access, durationInSeconds, fileFormat.
    GrantAccess,
    /// `POST galleries/{g}/share`: operationType, groups.
    Share,
}

/// What consumers see of a shared gallery: read only, and no resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyDocument {
    /// `sharedGalleries/{u}`.
    SharedGallery,
    /// `sharedGalleries/{u}/images/{i}`.
    SharedDefinition,
    /// `sharedGalleries/{u}/images/{i}/versions/{v}`.
    SharedVersion,
    /// `communityGalleries/{p}`.
    CommunityGallery,
    /// `communityGalleries/{p}/images/{i}`.
    CommunityDefinition,
    /// `communityGalleries/{p}/images/{i}/versions/{v}`.
    CommunityVersion,
}

/// One api-version's view of one type's documents. Cheap to make and to copy.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    root: &'static Kind,
    view: View,
    /// What Compute calls the body, in error targets.
    parameter: &'static str,
    is_image_version: bool,
}

/// Which of a family's versions a request sees.
#[derive(Debug, Clone, Copy)]
struct View {
    /// Index of the version whose properties are read and shown.
    index: usize,
    /// Index of the version whose properties a write replaces; below `index` in a gap of the data.
    writes: usize,
    /// Newer than all data: members that we do not know are kept.
    newer: bool,
}

impl View {
    /// Where `version` falls among a family's versions, none of which before `first` has the type.
    fn of(family: &Family, first: usize, version: ApiVersion) -> Self {
        let not_later = family.versions.partition_point(|known| *known <= version);
        let floor = not_later.saturating_sub(1).max(first);
        let newest = family.versions.len() - 1;
        let newer = version > family.versions[newest];
        let is_exact = family.versions[floor] >= version;
        let index = if family.sparse && !is_exact { (floor + 1).min(newest) } else { floor };
        Self { index, writes: floor, newer }
    }
}

impl Shape {
    /// The shape of a type's documents in an api-version. `None` for a type that has no table (subscriptions, virtual
    /// machines).
    #[must_use]
    pub fn find(resource_type: ResourceType, version: ApiVersion) -> Option<Self> {
        let (family, entry) = Table::get().find(resource_type.as_str())?;
        let is_image_version = resource_type == ResourceType::ImageVersion;
        Some(Self::new(family, entry, version, resource_type.body_parameter(), is_image_version))
    }

    /// [`Shape::find`] for a type that surely has a table.
    ///
    /// # Panics
    /// For a type without one; a test holds which have.
    #[must_use]
    pub fn of(resource_type: ResourceType, version: ApiVersion) -> Self {
        Self::find(resource_type, version).expect("the table holds every type of gallery, disk and image")
    }

    /// The shape of an action's body.
    #[must_use]
    pub fn of_action(action: ActionBody, version: ApiVersion) -> Self {
        let (key, parameter) = match action {
            ActionBody::GrantAccess => ("body:beginGetAccess", "grantAccessData"),
            ActionBody::Share => ("body:share", "sharingUpdate"),
        };
        let (family, entry) = Table::get().find(key).expect("the table holds every action's body");
        Self::new(family, entry, version, parameter, false)
    }

    /// The shape of a proxy's document, which is only ever shown.
    #[must_use]
    pub fn of_proxy(proxy: ProxyDocument, version: ApiVersion) -> Self {
        let (key, parameter) = match proxy {
            ProxyDocument::SharedGallery => ("proxy:sharedGallery", "sharedGallery"),
            ProxyDocument::SharedDefinition => ("proxy:sharedImage", "sharedGalleryImage"),
            ProxyDocument::SharedVersion => ("proxy:sharedVersion", "sharedGalleryImageVersion"),
            ProxyDocument::CommunityGallery => ("proxy:communityGallery", "communityGallery"),
            ProxyDocument::CommunityDefinition => ("proxy:communityImage", "communityGalleryImage"),
            ProxyDocument::CommunityVersion => ("proxy:communityVersion", "communityGalleryImageVersion"),
        };
        let (family, entry) = Table::get().find(key).expect("the table holds every proxy");
        Self::new(family, entry, version, parameter, false)
    }

    fn new(
        family: &'static Family,
        entry: &'static TypeEntry,
        version: ApiVersion,
        parameter: &'static str,
        is_image_version: bool,
    ) -> Self {
        Self { root: &entry.root, view: View::of(family, entry.first, version), parameter, is_image_version }
    }

    /// The api-versions whose shapes of a type are known, oldest first.
    #[must_use]
    pub fn known_versions(resource_type: ResourceType) -> &'static [ApiVersion] {
        match Table::get().find(resource_type.as_str()) {
            Some((family, entry)) => &family.versions[entry.first..],
            None => &[],
        }
    }

    /// Reads a request's body: property names and enum values in the specification's spelling; null, `""` for an enum and
    /// read-only properties dropped; everything else, its order included, exactly as sent. Scalars written as strings, which
    /// Compute also reads, become what they mean.
    ///
    /// A version's source in the shape of 2018 and early 2019 (`publishingProfile.source.managedImage.id`) becomes
    /// `storageProfile.source.id`, so that documents have one form; [`Shape::project`] gives it back to those versions.
    ///
    /// # Errors
    /// `BadRequest` with Compute's text for a member that the api-version does not have, an unknown enum value or a wrong
    /// JSON type; `InvalidParameter` for a text that is too long and a whole number below zero; `InvalidRequestContent` when the
    /// body is no object.
    pub fn accept(&self, body: Value) -> Result<Value, ArmError> {
        let mut document = accept::accept(self, body)?;
        if self.is_image_version {
            image_version_source::to_current(&mut document);
        }
        Ok(document)
    }

    /// Checks that everything the api-version requires is there. For the document as it would be stored: a PUT of what a
    /// GET answered may leave required parts out.
    ///
    /// # Errors
    /// `InvalidParameter`: Required parameter '...' is missing (null).
    pub fn check_required(&self, document: &Value) -> Result<(), ArmError> {
        accept::check_required(self, document)
    }

    /// The document after a PUT: `incoming` (accepted), and of `stored` what this api-version cannot express and what only the
    /// server writes. List entries are told apart by `name`, `lun`, `region` or `id`.
    #[must_use]
    pub fn merge_put(&self, stored: &Value, incoming: Value) -> Value {
        merge::put(self.root, self.view, stored, incoming)
    }

    /// The document after a PATCH: objects are merged property by property, lists and maps (tags among them) replaced whole.
    #[must_use]
    pub fn merge_patch(&self, stored: &Value, incoming: Value) -> Value {
        merge::patch(self.root, stored, incoming)
    }

    /// What a response in this api-version shows of a document. `etag` beside `id` is always shown.
    #[must_use]
    pub fn project(&self, document: Value) -> Value {
        if !self.moves_source() {
            return project::project(self.root, self.view, document);
        }
        let mut shown = project::project(self.root, self.view, document.clone());
        image_version_source::to_old(&document, &mut shown);
        shown
    }

    /// [`Shape::project`] of a document that is still text and in parts, appended to `out` as text: for pages of lists.
    ///
    /// # Errors
    /// When what is stored is not a JSON object; `out` is worth nothing then.
    pub fn project_text(&self, parts: &DocumentParts<'_>, out: &mut Vec<u8>) -> serde_json::Result<()> {
        if !self.moves_source() {
            return project_text::project(self.root, self.view, parts, out);
        }
        let shown = self.project(parts.to_document()?);
        serde_json::to_writer(out, &shown)
    }

    /// Whether a version's source is shown elsewhere than it is stored.
    fn moves_source(&self) -> bool {
        self.is_image_version && self.declares(&["properties", "publishingProfile", "source"])
    }

    /// Whether the api-version has the property at this path, list indexes left out.
    #[must_use]
    pub fn declares(&self, path: &[&str]) -> bool {
        let mut kind = self.root;
        for name in path {
            while let Kind::List(items) | Kind::Map(items) = kind {
                kind = items;
            }
            match kind.property(name) {
                Some((_, property)) if property.is_in(self.view.index) => kind = &property.kind,
                _ => return false,
            }
        }
        true
    }
}

impl Property {
    fn is_in(&self, index: usize) -> bool {
        self.present.contains(index)
    }
}

#[cfg(test)]
mod tests;
