//! Which requests need bytes, and whose.

use axum::{
    extract::Request,
    http::{HeaderMap, Method},
};
use galerie_arm::{ArmError, ResourceId};
use galerie_control::{Control, Place};

use crate::{
    arm::authentication,
    blob::sas::Presented,
    content::{self, Version},
    query::{Query, segments},
    route_class::RouteClass,
    state::ApiState,
};

/// What a request needs that not every process has. What cannot be read is nobody's errand: its handler says what is wrong.
pub(super) enum Errand {
    /// A disk's bytes, by SAS.
    Blob(Presented),
    /// A version's bytes in a region.
    Content { version: Version, region: Option<String> },
    /// A region's store.
    Store { region: String },
    /// What was uploaded to a disk.
    AccessEnd(ResourceId),
}

impl Errand {
    /// `None` for what any process answers.
    pub(super) fn of(class: RouteClass, request: &Request) -> Option<Self> {
        let segments = segments(request.uri().path())?;
        let query = || Query::parse(request.uri().query());
        match class {
            RouteClass::Blob => Presented::read(&segments, &query()).ok().map(Self::Blob),
            RouteClass::Content => {
                let version = Version::parse(&content::version_path(&segments)?).ok()?;
                let region = query().get("region").filter(|region| !region.is_empty()).map(str::to_owned);
                Some(Self::Content { version, region })
            }
            RouteClass::Arm => Self::of_arm(request.method(), &segments),
            _ => None,
        }
    }

    fn of_arm(method: &Method, segments: &[String]) -> Option<Self> {
        let is = |at: usize, word: &str| segments.get(at).is_some_and(|segment| segment.eq_ignore_ascii_case(word));
        if is(0, "galerie") && is(1, "store") {
            return Some(Self::Store { region: segments.get(2)?.clone() });
        }
        let (last, above) = segments.split_last()?;
        if method == Method::POST && last.eq_ignore_ascii_case("endGetAccess") {
            return ResourceId::parse(&format!("/{}", above.join("/")), "path").ok().map(Self::AccessEnd);
        }
        None
    }

    /// Whether whoever asks may hear where it is done. Nobody else's request goes anywhere: its handler refuses it here, the
    /// same and as fast whether or not the thing exists, and whether or not a process has it.
    pub(super) async fn may_go(&self, state: &ApiState, headers: &HeaderMap) -> bool {
        if matches!(self, Self::Blob(_) | Self::Store { .. }) {
            return true;
        }
        let Ok(caller) = authentication::authenticate(state, headers, None).await else { return false };
        let allowed = match self {
            Self::Content { version: Version::OfImage(version), .. } => {
                state.control.may_read_content(&caller, version).await
            }
            Self::Content { version: Version::OfPackage(version), .. } => {
                state.control.may_read_package(&caller, version).await
            }
            Self::AccessEnd(disk) => state.control.may_end_access(&caller, disk).await,
            Self::Blob(_) | Self::Store { .. } => Ok(()),
        };
        allowed.is_ok()
    }

    /// Where it is done.
    ///
    /// # Errors
    /// The catalogue's.
    pub(super) async fn place(&self, control: &Control) -> Result<Place, ArmError> {
        match self {
            Self::Blob(presented) => control.place_of_blob(&presented.sas()).await,
            Self::Content { version: Version::OfImage(version), region } => {
                control.place_of_content(version, region.as_deref()).await
            }
            Self::Content { version: Version::OfPackage(version), region } => {
                control.place_of_package(version, region.as_deref()).await
            }
            Self::Store { region } => match control.locations().find(region) {
                Some(location) => control.place_of_region(location.as_str()).await,
                None => Ok(Place::Here),
            },
            Self::AccessEnd(disk) => control.place_of_access_end(disk).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn check(method: Method, target: &str, expected: Option<&str>) {
        let request = Request::builder().method(method).uri(target).body(Body::empty()).unwrap();
        let found = Errand::of(RouteClass::of(request.uri().path()), &request).map(|errand| match errand {
            Errand::Blob(_) => "blob".to_owned(),
            Errand::Content { region, .. } => format!("content in {}", region.unwrap_or_default()),
            Errand::Store { region } => format!("store {region}"),
            Errand::AccessEnd(disk) => format!("end {}", disk.name()),
        });
        assert_eq!(found.as_deref(), expected, "{target}");
    }

    #[test]
    fn only_what_needs_bytes_is_an_errand() {
        let group = "/subscriptions/f4662c1d-e072-46af-8700-b8ca2968ccab/resourceGroups/rg/providers/Microsoft.Compute";
        let version = format!("{group}/galleries/g/images/i/versions/1.0.0");
        let sas = "si=f4662c1d-e072-46af-8700-b8ca2968ccab&sp=r&se=2026-11-24T00:00:00Z&sig=AAAA";
        check(Method::GET, &format!("/blob/f4662c1d-e072-46af-8700-b8ca2968ccab/abcd?{sas}"), Some("blob"));
        check(Method::GET, "/blob/x/abcd", None);
        check(Method::GET, &format!("/content{version}?region=westus"), Some("content in westus"));
        check(Method::POST, &format!("/content{version}/segments"), Some("content in "));
        check(Method::POST, "/galerie/store/eastus/stats", Some("store eastus"));
        check(Method::POST, &format!("{group}/disks/d/endGetAccess"), Some("end d"));
        check(Method::POST, &format!("{group}/disks/d/beginGetAccess"), None);
        check(Method::PUT, &format!("{group}/disks/d"), None);
        check(Method::GET, &version, None);
        check(Method::GET, "/healthz", None);
    }
}
