//! Shared access signatures as URLs: `https://HOST/blob/{resource uid}/{name}?sv&sr=b&si&sp&se&sig`.
//!
//! Three path segments, so that `BlobClient.from_blob_url` finds an account, a container and a blob on any host. The name
//! is for people and file dialogs; what counts is signed: the uid, the grant (`si`), the permission and the end.

use galerie_arm::timestamp;
use galerie_control::{BlobError, GrantView, Sas, SasSignature};
use uuid::Uuid;

use crate::{hosts::AcceptedHost, query, query::Query};

/// The storage version that the URL names; of the year in which managed disks' SAS took their form.
const SIGNED_VERSION: &str = "2018-03-28";

/// The URL of a grant.
pub(crate) fn url(host: &AcceptedHost, grant: &GrantView, signature: &SasSignature) -> String {
    let ends = timestamp::format_ms(grant.expires_ms);
    let ends = format!("{}Z", ends.get(..19).unwrap_or_default());
    format!(
        "{}/blob/{}/{}?sv={SIGNED_VERSION}&sr=b&si={}&sp={}&se={}&sig={}",
        host.url(),
        grant.resource_uid,
        query::encode(&grant.name),
        grant.grant_id,
        grant.permission_letters(),
        query::encode(&ends),
        query::encode(&signature.0)
    )
}

/// What a request's path and query say, to be checked by the domain.
#[derive(Debug)]
pub(crate) struct Presented {
    resource_uid: Uuid,
    grant_id: Uuid,
    permission: String,
    expires_ms: i64,
    signature: String,
}

impl Presented {
    /// Reads them.
    ///
    /// # Errors
    /// `AuthenticationFailed` when something is absent or cannot be read; `NotFound` for a path of another form.
    pub(crate) fn read(segments: &[String], query: &Query) -> Result<Self, BlobError> {
        let [_, uid, _] = segments else { return Err(BlobError::NotFound) };
        let incomplete = || BlobError::AuthenticationFailed("The shared access signature is incomplete.");
        let field = |name| query.get(name).filter(|value| !value.is_empty()).ok_or_else(incomplete);
        Ok(Self {
            resource_uid: uid.parse().map_err(|_| BlobError::NotFound)?,
            grant_id: field("si")?.parse().map_err(|_| incomplete())?,
            permission: field("sp")?.to_owned(),
            expires_ms: timestamp::parse_ms(field("se")?).ok_or_else(incomplete)?,
            signature: field("sig")?.to_owned(),
        })
    }

    /// For the domain.
    pub(crate) fn sas(&self) -> Sas<'_> {
        Sas {
            resource_uid: self.resource_uid,
            grant_id: self.grant_id,
            permission: &self.permission,
            expires_ms: self.expires_ms,
            signature: &self.signature,
        }
    }
}
