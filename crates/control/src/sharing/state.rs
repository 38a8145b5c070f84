//! The sharing state of a gallery, and what each operation makes of it: one table, in code.

use galerie_arm::{ArmError, gallery::SharingPermission, sharing::SharingOperation};
use serde_json::{Value, json};

use crate::resource::document::{self, is_true, set, text};

pub(crate) const PROFILE: &str = "properties.sharingProfile";
pub(crate) const PERMISSIONS: &str = "properties.sharingProfile.permissions";
pub(crate) const COMMUNITY_INFO: &str = "properties.sharingProfile.communityGalleryInfo";
pub(crate) const PUBLISHED: &str = "properties.sharingProfile.communityGalleryInfo.communityGalleryEnabled";

/// How a gallery is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SharingState {
    /// By roles only; also what the absence of a profile means.
    Private,
    /// With the groups there are, be it none yet.
    Groups,
    /// Made for the community, seen by nobody yet.
    CommunityUnpublished,
    /// Seen by everybody who is signed in.
    CommunityPublished,
}

/// What an operation does to a gallery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transition {
    /// It is as it should be.
    Stay,
    /// Groups are added; [`Former::Groups`] first comes back.
    AddGroups,
    /// Groups are removed.
    RemoveGroups,
    /// It is published; [`Former::Community`] first comes back.
    Publish,
    /// Everything is taken away and remembered.
    Reset,
}

/// What a private gallery was before its Reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Former {
    /// Nothing: it was made private.
    None,
    /// Shared with groups.
    Groups,
    /// Made for the community.
    Community,
}

impl SharingState {
    /// The state of a gallery with this document.
    pub(crate) fn of(document: &Value) -> Self {
        match text(document, PERMISSIONS).and_then(SharingPermission::parse) {
            None | Some(SharingPermission::Private) => Self::Private,
            Some(SharingPermission::Groups) => Self::Groups,
            Some(SharingPermission::Community) if is_true(document, PUBLISHED) => Self::CommunityPublished,
            Some(SharingPermission::Community) => Self::CommunityUnpublished,
        }
    }

    /// What `sharingProfile.permissions` says in this state.
    pub(crate) const fn permissions(self) -> SharingPermission {
        match self {
            Self::Private => SharingPermission::Private,
            Self::Groups => SharingPermission::Groups,
            Self::CommunityUnpublished | Self::CommunityPublished => SharingPermission::Community,
        }
    }

    /// What `operation` does in this state. `gallery` is its name, for the refusal.
    ///
    /// # Errors
    /// 409 with what is possible instead.
    pub(crate) fn after(
        self,
        operation: SharingOperation,
        former: Former,
        gallery: &str,
    ) -> Result<Transition, ArmError> {
        use SharingOperation::{Add, EnableCommunity, Remove, Reset};
        match (self, operation) {
            (Self::Private, Reset) => Ok(Transition::Stay),
            (Self::Private, Add) if former == Former::Groups => Ok(Transition::AddGroups),
            (Self::Private, EnableCommunity) if former == Former::Community => Ok(Transition::Publish),
            (Self::Groups, Add) => Ok(Transition::AddGroups),
            (Self::Groups, Remove) => Ok(Transition::RemoveGroups),
            (Self::CommunityUnpublished, EnableCommunity) => Ok(Transition::Publish),
            (Self::CommunityPublished, EnableCommunity) => Ok(Transition::Stay),
            (_, Reset) => Ok(Transition::Reset),
            (Self::Private, Add | Remove | EnableCommunity)
            | (Self::Groups, EnableCommunity)
            | (Self::CommunityUnpublished | Self::CommunityPublished, Add | Remove) => {
                Err(self.refusal(operation, former, gallery))
            }
        }
    }

    /// Whether a gallery in this state may be deleted.
    ///
    /// # Errors
    /// 409: a published one must be reset first.
    pub(crate) fn check_deletable(self, gallery: &str) -> Result<(), ArmError> {
        if self == Self::CommunityPublished { Err(ArmError::gallery_is_published(gallery)) } else { Ok(()) }
    }

    fn refusal(self, operation: SharingOperation, former: Former, gallery: &str) -> ArmError {
        let remedy = match (self, former) {
            (Self::Private, Former::Groups) => "Before its Reset it was shared with groups: 'Add' shares it again.",
            (Self::Private, Former::Community) => {
                "Before its Reset it was a community gallery: 'EnableCommunity' publishes it again."
            }
            (Self::Private, Former::None) => {
                "How a gallery can be shared is chosen when it is created: create another one with the permissions \
                 'Groups' or 'Community', or use role assignments."
            }
            (Self::Groups, _) => "'Add', 'Remove' and 'Reset' are.",
            (Self::CommunityUnpublished | Self::CommunityPublished, _) => "'EnableCommunity' and 'Reset' are.",
        };
        ArmError::sharing_operation_not_allowed(operation.as_str(), gallery, self.permissions().as_str(), remedy)
    }
}

impl Former {
    /// What a remembered profile was.
    pub(crate) fn of(profile: Option<&Value>) -> Self {
        let permissions = profile.and_then(|profile| text(profile, "permissions")).and_then(SharingPermission::parse);
        match permissions {
            None | Some(SharingPermission::Private) => Self::None,
            Some(SharingPermission::Groups) => Self::Groups,
            Some(SharingPermission::Community) => Self::Community,
        }
    }
}

/// Makes a document private; the profile that it had, unpublished, for when it is shared again.
pub(crate) fn reset(document: &mut Value) -> Value {
    if is_true(document, PUBLISHED) {
        set(document, PUBLISHED, false);
    }
    let former = document::at(document, PROFILE).cloned().unwrap_or_default();
    set(document, PROFILE, json!({ "permissions": SharingPermission::Private.as_str() }));
    former
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [SharingState; 4] = [
        SharingState::Private,
        SharingState::Groups,
        SharingState::CommunityUnpublished,
        SharingState::CommunityPublished,
    ];

    fn document(state: SharingState) -> Value {
        let info = json!({ "publicNamePrefix": "prefix", "publicNames": ["prefix-1"],
            "communityGalleryEnabled": state == SharingState::CommunityPublished });
        match state {
            SharingState::Private => json!({ "properties": {} }),
            SharingState::Groups => json!({ "properties": { "sharingProfile": { "permissions": "Groups" } } }),
            _ => json!({ "properties": { "sharingProfile": {
                "permissions": "Community", "communityGalleryInfo": info } } }),
        }
    }

    #[test]
    fn the_state_follows_from_the_document() {
        for state in STATES {
            assert_eq!(SharingState::of(&document(state)), state);
        }
        let spelled = json!({ "properties": { "sharingProfile": { "permissions": "private" } } });
        assert_eq!(SharingState::of(&spelled), SharingState::Private);
    }

    /// The table of docs/design/sharing.md, cell by cell; `None` is a refusal.
    #[test]
    fn every_cell() {
        use SharingOperation::{Add, EnableCommunity, Remove, Reset};
        use SharingState::{CommunityPublished, CommunityUnpublished, Groups, Private};
        let operations = [Add, Remove, Reset, EnableCommunity];
        let table = [
            (Private, Former::None, [None, None, Some(Transition::Stay), None]),
            (Private, Former::Groups, [Some(Transition::AddGroups), None, Some(Transition::Stay), None]),
            (Private, Former::Community, [None, None, Some(Transition::Stay), Some(Transition::Publish)]),
            (
                Groups,
                Former::None,
                [Some(Transition::AddGroups), Some(Transition::RemoveGroups), Some(Transition::Reset), None],
            ),
            (CommunityUnpublished, Former::None, [None, None, Some(Transition::Reset), Some(Transition::Publish)]),
            (CommunityPublished, Former::None, [None, None, Some(Transition::Reset), Some(Transition::Stay)]),
        ];
        for (state, former, cells) in table {
            for (operation, expected) in operations.into_iter().zip(cells) {
                let answer = state.after(operation, former, "g");
                let refused = answer.as_ref().err().is_none_or(|error| error.status == 409);
                assert!(refused, "{state:?} {operation}");
                assert_eq!(answer.ok(), expected, "{state:?} ({former:?}) {operation}");
            }
        }
    }

    #[test]
    fn only_what_is_published_stays() {
        for state in STATES {
            assert_eq!(state.check_deletable("g").is_err(), state == SharingState::CommunityPublished, "{state:?}");
        }
    }

    #[test]
    fn a_reset_makes_private_and_keeps_what_was() {
        for state in STATES {
            let mut shared = document(state);
            let former = reset(&mut shared);
            assert_eq!(SharingState::of(&shared), SharingState::Private);
            assert_eq!(shared["properties"]["sharingProfile"], json!({ "permissions": "Private" }), "{state:?}");
            let mut again = shared.clone();
            set(&mut again, PROFILE, former.clone());
            let expected =
                if state == SharingState::CommunityPublished { SharingState::CommunityUnpublished } else { state };
            assert_eq!(SharingState::of(&again), expected, "{former}");
        }
    }
}
