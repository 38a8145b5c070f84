//! What can go wrong for a client, and what its user does about it.

use std::error::Error as StdError;

use crate::admin_file::AdminFileError;

/// Why a request, or what was made of several, failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// No server is known, or what is known of it is incomplete.
    #[error("{0}")]
    Profile(String),
    #[error(transparent)]
    AdminFile(#[from] AdminFileError),
    /// No answer came.
    #[error("no answer from {endpoint}")]
    Unreachable { endpoint: String, source: reqwest::Error },
    /// The server refuses the credentials.
    #[error("signing in at {endpoint} failed: {message}")]
    SignIn { endpoint: String, message: String },
    /// The server cannot say whether they are good.
    #[error("signing in at {endpoint} is not possible now: {message}")]
    SignInAway { endpoint: String, message: String },
    /// The server's own words.
    #[error("{message} ({code})")]
    Refused { status: u16, code: String, message: String, correlation_id: Option<String> },
    /// A gallery that was said by its name alone is not among those that the caller may list.
    #[error("no gallery of this subscription that you may list is called '{gallery}'")]
    GalleryNotListed { gallery: String },
    /// An operation that was accepted ended badly.
    #[error("{what} ended as {state}: {message} ({code})")]
    Ended { what: String, state: String, code: String, message: String },
    /// The answer is not what the protocol says.
    #[error("{what}: the server's answer makes no sense: {problem}")]
    Nonsense { what: String, problem: String },
    /// What the user asked for cannot be, whatever the server says.
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Store(#[from] galerie_store::Error),
    #[error("interrupted")]
    Interrupted,
}

impl From<galerie_arm::ArmError> for Error {
    /// What this very process answered in a server's place.
    fn from(error: galerie_arm::ArmError) -> Self {
        let galerie_arm::ArmError { status, code, message, .. } = error;
        Self::Refused { status, code: code.into_owned(), message, correlation_id: None }
    }
}

impl Error {
    pub(crate) fn nonsense(what: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Nonsense { what: what.into(), problem: problem.into() }
    }

    /// Whether the server says that there is no such thing.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. } | Self::GalleryNotListed { .. })
    }

    /// Whether the server refuses what was sent. Mostly something is missing: what a base version should have is damaged, or a process
    /// died with an upload. What was refused for itself is refused again.
    pub(crate) fn lacks_input(&self) -> bool {
        matches!(self, Self::Refused { status: 400, code, .. } if code == "InvalidInput")
    }

    /// Whether the server says that an image is damaged.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Refused { code, .. } => code == "ImageDamaged",
            Self::Store(error) => error.is_damage(),
            _ => false,
        }
    }

    /// Whether the server says that the caller may not.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Refused { status: 403, .. })
    }

    /// What to do next, when there is something to say.
    pub(crate) fn advice(&self) -> Option<String> {
        match self {
            Self::Profile(_) | Self::AdminFile(AdminFileError::Missing(_)) => Some(
                "Start a server with `galerie serve`, or say where one is: --data-dir DIR on the server's machine, or \
                 --endpoint and GALERIE_CLIENT_SECRET and the rest (see `galerie publish --help`)."
                    .to_owned(),
            ),
            Self::Unreachable { source, .. } if is_certificate(source) => {
                Some(
                    "Trust the server's authority: --ca-file DIR/tls/ca.pem (or GALERIE_CA_FILE); behind a proxy, that of the proxy's \
                     certificate."
                        .to_owned(),
                )
            }
            Self::Unreachable { source, .. } if source.is_connect() => {
                Some("Is the server running? `galerie serve` starts one; --endpoint names another.".to_owned())
            }
            Self::SignIn { .. } => Some(
                "Check the tenant, the client id and the secret; `galerie sp secret NAME` makes a service principal a new one. Only when \
                 the operator's own is lost: `galerie admin reset --data-dir DIR`, on the server's machine while the server is \
                 stopped, makes a new administrator, and the old one is none any more."
                    .to_owned(),
            ),
            Self::SignInAway { .. } => Some(
                "The server or its database does not answer now. Try again; the server's /healthz/ready says what is the matter."
                    .to_owned(),
            ),
            Self::GalleryNotListed { .. } => Some(
                "`galerie gallery list` shows them. With a role on single images or versions alone (such as Compute Gallery Image Reader), \
                 galleries cannot be looked up by name: say the gallery's resource group with -g GROUP, or the whole ARM id."
                    .to_owned(),
            ),
            Self::Refused { status: 500.., correlation_id: Some(id), .. } => {
                Some(format!("The server's log has more under {id}."))
            }
            Self::Refused { code, .. } => advice_for(code).map(str::to_owned),
            _ => None,
        }
    }
}

fn advice_for(code: &str) -> Option<&'static str> {
    Some(match code {
        "ResourceGroupNotFound" => "`galerie publish --create` makes the group; `az group create` does, too.",
        "LocationNotAvailableForResourceType" => {
            "The server's regions are in its configuration (docs/configuration.md)."
        }
        "SubscriptionNotFound" => {
            "Check GALERIE_SUBSCRIPTION_ID and GALERIE_CLIENT_ID against the server's admin.json."
        }
        "AuthorizationFailed" | "LinkedAuthorizationFailed" => {
            "Ask for a role with that action at that scope (`az role assignment create`)."
        }
        "CannotDeleteResource" => {
            "Delete what is inside first, or all of it at once with --cascade. `galerie version list --deleted` shows versions that \
             can still come back."
        }
        "ResourceNotFound" | "ParentResourceNotFound" => {
            "Check the name: `galerie gallery list`, then `galerie definition list GALLERY` (or `galerie application list GALLERY`) and \
             `galerie version list GALLERY/DEFINITION` show what there is."
        }
        "AuthenticationFailed" => "The SAS URL has expired, was revoked or was cut short; ask for a new one.",
        "AuthorizationPermissionMismatch" => {
            "The SAS URL is for the other direction; ask for one with `az disk grant-access --access-level Write` (to upload) \
             or Read (to download)."
        }
        "BlobNotFound" => "The disk behind the SAS URL is gone, or was made anew; ask for a new one.",
        _ => return None,
    })
}

fn is_certificate(error: &reqwest::Error) -> bool {
    let mut next: Option<&dyn StdError> = Some(error);
    while let Some(error) = next {
        if matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_)))
            || error.to_string().contains("invalid peer certificate")
        {
            return true;
        }
        next = error.source();
    }
    false
}
