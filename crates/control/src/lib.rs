//! The domain: what a gallery is, who may do what, and the durable operations that make it so.
//!
//! [`Control`] is the handle that the HTTP layer holds. Each resource has one file with its rules; what all resources
//! share (lookup, lists, the accepting transaction) is in `resource`. The catalogue's tables are private to this
//! crate (`db`), so no handler can touch one. See `docs/design/control-plane.md`.

pub mod clock;
pub mod control;
pub mod directory;
pub mod error;
pub mod identity;
pub mod request;
pub mod subscription;
pub mod tenant;

mod access;
mod access_control_profile;
mod application;
mod audit;
mod authority;
mod authz;
mod away;
mod backup;
mod blob;
mod chunk_upload;
mod content;
mod db;
mod disk;
mod gallery;
#[cfg(test)]
mod golden;
mod healing;
mod hints;
mod image_definition;
mod image_version;
mod keys;
mod latest;
mod managed_image;
mod operations;
mod package;
mod pins;
mod processes;
mod quota;
mod reconcile;
mod regions;
mod replica_changes;
mod replication_status;
mod resource;
mod resource_group;
mod retention;
mod script;
mod sharing;
mod snapshot;
mod soft_delete;
mod source;
mod space;
pub mod spawn;
mod store_admin;
mod store_space;
mod target_regions;
#[cfg(test)]
mod testing;
mod tuning;
mod uploads;

pub use access::{GrantView, Permission, SasSignature};
pub use audit::{ActivityFilter, AuditFilter, Denial, KnownHead};
pub use authority::SharedAuthority;
pub use authz::{AssignmentFilter, AssignmentPage, DefinitionFilter, Scope};
pub use away::{AwayRegion, OpenRegion};
pub use backup::{BackupRequest, CatalogueRestore, restore_catalogue};
pub use blob::{Blob, BlobAction, BlobError, PAGE_BYTES, Sas};
pub use clock::{Clock, MovableClock, SystemClock};
pub use content::{Content, MOST_BLOBS};
pub use control::{Control, ControlOptions};
pub use db::{Database, directory_object::ObjectKind, error::Error as CatalogueError};
pub use error::Error;
pub use identity::{
    ANY_TENANT, Bootstrap, ClaimNames, ClientApplication, ClientProof, CodeRequest, DeviceBegun, DeviceDecision,
    DeviceShown, ExternalIssuer, Identity, IdentityError, InvitationUse, IssuedToken, IssuerDocuments,
    NewAdministrator, OneTimeLink, Redemption, RequiredClaim, SignIn, SignInError, SignedInUser, SigningAlgorithm,
    TOKEN_LIFETIME_S, TokenError, TokenShape, TokenVersion, UserTokens, WeakPassword, is_challenge,
};
pub use keys::{KeyError, UnsealedMasterKey, seal_master_key};
pub use operations::{OperationResult, OperationView};
pub use package::{
    fetch::{Fetch, FetchError, Fetched, NoFetch},
    link::without_query as link_without_query,
};
pub use processes::{Peer, Place, ProcessOptions};
pub use quota::{Limit, QuotaOf};
pub use regions::{RegionElsewhere, ServedRegion, StoreIdentities, StoreIdentity};
pub use request::{Accepted, Caller, DocumentText, ListScope, OperationRef, Page, RequestContext, Resource};
pub use resource::Expand;
pub use retention::{Confirmed, RetentionSettings};
pub use sharing::{CommunityPage, Invitation, Invited, ProxyItem, ProxyList, ProxyPage, ProxyPlace};
pub use spawn::{Spawn, TokioSpawn};
pub use tuning::WorkerTuning;
