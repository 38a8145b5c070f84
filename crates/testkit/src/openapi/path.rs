//! The target of a request: its path's segments and its api-version.

/// What a client asked.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The path's segments, decoded, in small letters.
    pub(super) segments: Vec<String>,
    /// Query parameters, names in small letters.
    pub(super) query: Vec<(String, String)>,
}

/// Which of Azure's descriptions a path belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Family {
    /// Galleries, what is in them, and what consumers see of them.
    Gallery,
    /// Managed images.
    Image,
    /// Disks and snapshots.
    Disk,
    /// Resource groups, resources of all types, providers.
    Group,
    /// Subscriptions and tenants.
    Subscription,
    /// Role assignments, role definitions, permissions.
    Authorization,
    /// The Activity Log.
    Monitor,
}

impl Target {
    pub(super) fn parse(target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let segments = path.split('/').filter(|segment| !segment.is_empty()).map(|text| decoded(text).to_lowercase());
        let parameters = query.split('&').filter(|text| !text.is_empty()).map(|text| {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            (decoded(name).to_lowercase(), decoded(&value.replace('+', " ")))
        });
        Self { segments: segments.collect(), query: parameters.collect() }
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether Azure Resource Manager answers here.
    pub(super) fn is_arm(&self) -> bool {
        let root = self.segments.first().map(String::as_str).unwrap_or_default();
        matches!(root, "subscriptions" | "providers" | "tenants")
    }

    /// Whether this is where a client polls a long-running operation.
    pub(super) fn is_operation_status(&self) -> bool {
        let at = self.segments.len().wrapping_sub(2);
        let collection = self.segments.get(at).map(String::as_str).unwrap_or_default();
        matches!(collection, "capsoperations" | "diskoperations" | "operations" | "operationresults")
    }

    pub(super) fn family(&self) -> Option<Family> {
        let segments: Vec<&str> = self.segments.iter().map(String::as_str).collect();
        if segments.windows(2).any(|pair| pair == ["providers", "microsoft.authorization"]) {
            return Some(Family::Authorization);
        }
        match segments[..] {
            ["tenants"] | ["subscriptions"] | ["subscriptions", _] | ["subscriptions", _, "locations"] => {
                Some(Family::Subscription)
            }
            ["subscriptions", _, "providers", "microsoft.insights", "eventtypes", ..] => Some(Family::Monitor),
            ["subscriptions", _, "providers", _] | ["subscriptions", _, "providers", _, "register"] => {
                Some(Family::Group)
            }
            ["subscriptions", _, "resourcegroups", _, "providers", "microsoft.compute", ref below @ ..]
            | ["subscriptions", _, "providers", "microsoft.compute", ref below @ ..] => match below.first() {
                Some(&("galleries" | "locations")) => Some(Family::Gallery),
                Some(&"images") => Some(Family::Image),
                Some(&("disks" | "snapshots")) => Some(Family::Disk),
                _ => None,
            },
            // Invitations of whole tenants have no subscription in their path.
            ["providers", "microsoft.compute", "locations", ..] => Some(Family::Gallery),
            ["subscriptions", _, "resourcegroups" | "resources" | "providers"]
            | ["subscriptions", _, "resourcegroups", _]
            | ["subscriptions", _, "resourcegroups", _, "resources"] => Some(Family::Group),
            _ => None,
        }
    }
}

/// Whether a template (`/subscriptions/{subscriptionId}/...`) is of this path. `{scope}` at its beginning is any number of segments.
pub(super) fn fits(template: &str, segments: &[String]) -> bool {
    let template: Vec<&str> = template.split('/').filter(|segment| !segment.is_empty()).collect();
    let (template, segments) = match template.split_first() {
        Some((&"{scope}", below)) if below.len() <= segments.len() => {
            (below, &segments[segments.len() - below.len()..])
        }
        _ => (template.as_slice(), segments),
    };
    template.len() == segments.len()
        && template
            .iter()
            .zip(segments)
            .all(|(wanted, found)| wanted.starts_with('{') || wanted.eq_ignore_ascii_case(found))
}

/// Percent-decoding; what is no escape stays.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
