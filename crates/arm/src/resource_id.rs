//! Resource ids: `/subscriptions/{s}/resourceGroups/{g}/providers/{namespace}/{type}/{name}/{type}/{name}...`
//!
//! Keywords and names compare without regard to case, trailing and doubled slashes are tolerated, the names' spelling is kept.
//! Percent-decoding is the HTTP layer's work: a `%` here is an error. An id below another resource's id
//! (`{scope}/providers/Microsoft.Authorization/roleAssignments/{name}`) keeps that one as its [`ResourceId::scope`].

mod reference;
mod resource_type;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

pub use self::reference::{VersionReference, VersionSelector};
pub use self::resource_type::ResourceType;
use crate::error::{ArmError, quoted};
use crate::names::{
    DefinitionName, DiskName, GalleryName, ManagedImageName, ResourceGroupName, SnapshotName, SubscriptionId,
    VersionName,
};

/// Compute's namespace, in the specification's spelling.
pub const COMPUTE: &str = "Microsoft.Compute";

/// Longest id that is read, in bytes.
pub const LONGEST_ID_BYTES: usize = 2048;
/// Longest segment of one, in bytes.
const LONGEST_SEGMENT_BYTES: usize = 400;
/// Most segments of one.
const MOST_SEGMENTS: usize = 48;

/// The id of one resource. Equality is ARM's: without regard to case, versions by number.
#[derive(Debug, Clone)]
pub struct ResourceId {
    text: Box<str>,
    key: Box<str>,
    subscription: Option<SubscriptionId>,
    group: Option<ResourceGroupName>,
    scope: Option<Box<ResourceId>>,
    namespace: Option<Box<str>>,
    chain: Vec<(Box<str>, Box<str>)>,
}

impl ResourceId {
    /// Reads an id. `target` is the property or parameter that held it, for the error.
    ///
    /// # Errors
    /// `LinkedInvalidPropertyId`, or what is wrong with its subscription or group.
    pub fn parse(text: &str, target: &str) -> Result<Self, ArmError> {
        let invalid = || ArmError::linked_invalid_property_id(text, target);
        if text.len() > LONGEST_ID_BYTES || !text.starts_with('/') {
            return Err(invalid());
        }
        let segments: Vec<&str> =
            text.split('/').filter(|segment| !segment.is_empty()).take(MOST_SEGMENTS + 1).collect();
        if segments.is_empty() || segments.len() > MOST_SEGMENTS || !segments.iter().all(|segment| is_segment(segment))
        {
            return Err(invalid());
        }
        Self::from_segments(&segments)?.ok_or_else(invalid)
    }

    /// Reads segments from the left; every further `providers` pair makes what came before it the scope.
    fn from_segments(segments: &[&str]) -> Result<Option<Self>, ArmError> {
        let mut id = Self::root();
        let mut rest = segments;
        if let [keyword, subscription, more @ ..] = rest
            && keyword.eq_ignore_ascii_case("subscriptions")
        {
            id.subscription = Some(subscription.parse()?);
            id.append(&["subscriptions", subscription]);
            rest = more;
            if let [keyword, group, more @ ..] = rest
                && keyword.eq_ignore_ascii_case("resourceGroups")
            {
                id.group = Some(group.parse()?);
                id.append(&["resourceGroups", group]);
                rest = more;
            }
        }
        while let [keyword, namespace, more @ ..] = rest {
            if !keyword.eq_ignore_ascii_case("providers") {
                return Ok(None);
            }
            let pairs = pairs_before_next_provider(more);
            if pairs == 0 {
                return Ok(None);
            }
            let scope = (!id.chain.is_empty()).then(|| Box::new(id.clone()));
            id = Self { scope, chain: Vec::new(), namespace: Some((*namespace).into()), ..id };
            id.append(&["providers", namespace]);
            for pair in more[..pairs * 2].chunks_exact(2) {
                id.chain.push((pair[0].into(), pair[1].into()));
                id.append(pair);
            }
            rest = &more[pairs * 2..];
        }
        if !rest.is_empty() {
            return Ok(None);
        }
        id.fold_version();
        Ok(Some(id))
    }

    fn root() -> Self {
        Self {
            text: "".into(),
            key: "".into(),
            subscription: None,
            group: None,
            scope: None,
            namespace: None,
            chain: Vec::new(),
        }
    }

    fn append(&mut self, segments: &[&str]) {
        let mut text = std::mem::take(&mut self.text).into_string();
        for segment in segments {
            text.push('/');
            text.push_str(segment);
        }
        self.key = text.to_lowercase().into();
        self.text = text.into();
    }

    /// Makes the key of a version independent of leading zeros.
    fn fold_version(&mut self) {
        let is_numbered = matches!(
            self.resource_type(),
            Some(ResourceType::ImageVersion | ResourceType::AccessControlProfileVersion)
        );
        if !is_numbered {
            return;
        }
        if let Ok(version) = self.name().parse::<VersionName>()
            && let Some((parent, _)) = self.key.rsplit_once('/')
        {
            self.key = format!("{parent}/{}", version.key()).into();
        }
    }

    /// A subscription.
    #[must_use]
    pub fn of_subscription(subscription: SubscriptionId) -> Self {
        let mut id = Self::root();
        id.subscription = Some(subscription);
        id.append(&["subscriptions", &subscription.to_string()]);
        id
    }

    /// A resource group.
    #[must_use]
    pub fn of_group(subscription: SubscriptionId, group: &ResourceGroupName) -> Self {
        let mut id = Self::of_subscription(subscription);
        id.group = Some(group.clone());
        id.append(&["resourceGroups", group.as_str()]);
        id
    }

    /// A gallery.
    #[must_use]
    pub fn of_gallery(subscription: SubscriptionId, group: &ResourceGroupName, gallery: &GalleryName) -> Self {
        Self::of_compute(subscription, group, "galleries", gallery.as_str())
    }

    /// An image definition.
    #[must_use]
    pub fn of_definition(
        subscription: SubscriptionId,
        group: &ResourceGroupName,
        gallery: &GalleryName,
        definition: &DefinitionName,
    ) -> Self {
        Self::of_gallery(subscription, group, gallery).child("images", definition.as_str())
    }

    /// An image version.
    #[must_use]
    pub fn of_version(
        subscription: SubscriptionId,
        group: &ResourceGroupName,
        gallery: &GalleryName,
        definition: &DefinitionName,
        version: &VersionName,
    ) -> Self {
        Self::of_definition(subscription, group, gallery, definition).child("versions", version.as_str())
    }

    /// A managed image.
    #[must_use]
    pub fn of_managed_image(subscription: SubscriptionId, group: &ResourceGroupName, image: &ManagedImageName) -> Self {
        Self::of_compute(subscription, group, "images", image.as_str())
    }

    /// A disk.
    #[must_use]
    pub fn of_disk(subscription: SubscriptionId, group: &ResourceGroupName, disk: &DiskName) -> Self {
        Self::of_compute(subscription, group, "disks", disk.as_str())
    }

    /// A snapshot.
    #[must_use]
    pub fn of_snapshot(subscription: SubscriptionId, group: &ResourceGroupName, snapshot: &SnapshotName) -> Self {
        Self::of_compute(subscription, group, "snapshots", snapshot.as_str())
    }

    fn of_compute(subscription: SubscriptionId, group: &ResourceGroupName, type_segment: &str, name: &str) -> Self {
        let mut id = Self::of_group(subscription, group);
        id.namespace = Some(COMPUTE.into());
        id.append(&["providers", COMPUTE]);
        id.child(type_segment, name)
    }

    /// The resource below this one. Both texts must be single, non-empty segments.
    #[must_use]
    fn child(mut self, type_segment: &str, name: &str) -> Self {
        self.chain.push((type_segment.into(), name.into()));
        self.append(&[type_segment, name]);
        self.fold_version();
        self
    }

    /// The spelling, without doubled or trailing slashes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The folded form: equal for ids that ARM holds equal.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The subscription; `None` at tenant level.
    #[must_use]
    pub const fn subscription(&self) -> Option<SubscriptionId> {
        self.subscription
    }

    /// The resource group, if it is in one.
    #[must_use]
    pub const fn group(&self) -> Option<&ResourceGroupName> {
        self.group.as_ref()
    }

    /// The resource that this one extends, for an extension resource below a provider's resource.
    #[must_use]
    pub fn scope(&self) -> Option<&ResourceId> {
        self.scope.as_deref()
    }

    /// The provider's namespace; `None` for a subscription or a group.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The pairs of type and name below the provider, outermost first.
    pub fn chain(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.chain.iter().map(|(type_segment, name)| (&**type_segment, &**name))
    }

    /// The resource's own name: its last segment.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text.rsplit_once('/').map_or("", |(_, name)| name)
    }

    /// The full type as spelled: `Microsoft.Compute/galleries/images`. For a group `Microsoft.Resources/resourceGroups`, for a
    /// subscription `Microsoft.Resources/subscriptions`.
    #[must_use]
    pub fn full_type(&self) -> String {
        match (&self.namespace, &self.group) {
            (Some(namespace), _) => {
                let mut full_type = namespace.to_string();
                for (type_segment, _) in &self.chain {
                    full_type.push('/');
                    full_type.push_str(type_segment);
                }
                full_type
            }
            (None, Some(_)) => ResourceType::ResourceGroup.as_str().to_owned(),
            (None, None) => ResourceType::Subscription.as_str().to_owned(),
        }
    }

    /// The type, if it is one of ours.
    #[must_use]
    pub fn resource_type(&self) -> Option<ResourceType> {
        ResourceType::parse(&self.full_type())
    }

    /// Type and names joined as errors have them: `Microsoft.Compute/galleries/G/images/I`.
    #[must_use]
    pub fn type_and_names(&self) -> String {
        let mut joined = self.namespace.as_deref().unwrap_or("Microsoft.Resources").to_owned();
        for (type_segment, name) in &self.chain {
            joined.push('/');
            joined.push_str(type_segment);
            joined.push('/');
            joined.push_str(name);
        }
        joined
    }

    /// The resource above: the definition of a version, the gallery of a definition, the group of a gallery, the subscription
    /// of a group. `None` for a subscription and at tenant level.
    #[must_use]
    pub fn parent(&self) -> Option<ResourceId> {
        let mut segments: Vec<&str> = self.text.split('/').skip(1).collect();
        let dropped = match (self.chain.len(), &self.namespace) {
            (0, _) => 2,
            (1, _) => 4,
            _ => 2,
        };
        segments.truncate(segments.len().checked_sub(dropped)?);
        if segments.is_empty() {
            return None;
        }
        Self::from_segments(&segments).ok().flatten()
    }

    /// The 404 that this resource's absence is answered with.
    #[must_use]
    pub fn not_found(&self) -> ArmError {
        match (self.subscription, &self.group, &self.namespace) {
            (Some(_), Some(group), Some(_)) => ArmError::resource_not_found(&self.type_and_names(), group.as_str()),
            (Some(_), Some(group), None) => ArmError::resource_group_not_found(group.as_str()),
            (Some(subscription), None, None) => ArmError::subscription_not_found(&subscription.to_string()),
            _ => ArmError::path_not_found(&self.text),
        }
    }

    /// The name of the `depth`-th resource in the chain, read as a typed name.
    ///
    /// # Errors
    /// What the name's rules say; an id too short is an `InvalidParameter`.
    pub fn name_at<N: FromStr<Err = ArmError>>(&self, depth: usize) -> Result<N, ArmError> {
        match self.chain.get(depth) {
            Some((_, name)) => name.parse(),
            None => {
                let message = format!("The resource id '{}' names no resource at this depth.", quoted(&self.text));
                Err(ArmError::invalid_parameter("id", message))
            }
        }
    }
}

/// How many (type, name) pairs stand before the next `providers` keyword at a pair's start, or the end.
fn pairs_before_next_provider(segments: &[&str]) -> usize {
    segments.chunks_exact(2).take_while(|pair| !pair[0].eq_ignore_ascii_case("providers")).count()
}

/// A segment's characters, as ARM restricts names: nothing that means something in a URL, no control characters.
fn is_segment(segment: &str) -> bool {
    let forbidden = |c: char| c.is_control() || matches!(c, '<' | '>' | '%' | '&' | '\\' | '?' | '#' | '"');
    segment.len() <= LONGEST_SEGMENT_BYTES && segment != "." && segment != ".." && !segment.contains(forbidden)
}

impl FromStr for ResourceId {
    type Err = ArmError;

    fn from_str(text: &str) -> Result<Self, ArmError> {
        Self::parse(text, "id")
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for ResourceId {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for ResourceId {}

impl Hash for ResourceId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

#[cfg(test)]
mod tests;
