//! Secrets and certificates of applications and service principals.
//!
//! A secret is made here, shown once, and kept as a keyed hash. A certificate is public; what signs assertions is its private
//! key, which never comes here.

use aws_lc_rs::digest;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use galerie_arm::ArmError;
use secrecy::SecretString;
use uuid::Uuid;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::{access, error, external, managed_identity, owner, role::DirectoryRole};
use crate::{
    Control, Error, audit,
    db::{
        Connection,
        credential::{self, CredentialRow},
        directory_object::ObjectKind,
        service_principal, transact,
    },
    identity::new_secret,
    request::RequestContext,
};

pub use crate::db::credential::CredentialKind;

/// Secrets and certificates of one object.
const MOST_CREDENTIALS: usize = 100;
/// Bytes of a certificate.
const LARGEST_CERTIFICATE_BYTES: usize = 16 * 1024;
/// Characters of a credential's name.
const LONGEST_NAME_CHARS: usize = 120;
/// Characters of a secret that lists show, so that people tell secrets apart: 12 of its 256 bits.
const HINT_CHARS: usize = 3;
/// How long a secret is good when nobody says: two years, as in Graph.
const LIFETIME_MS: i64 = 2 * 365 * 24 * 3600 * 1000;

/// A secret or a certificate, without what is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The `keyId`.
    pub id: Uuid,
    /// Which of both.
    pub kind: CredentialKind,
    /// What people call it.
    pub display_name: Option<String>,
    /// A secret's first characters.
    pub hint: String,
    /// A certificate's SHA-1, in hexadecimal: what Graph calls `customKeyIdentifier`.
    pub thumbprint: Option<String>,
    /// From when it is good, ms since 1970.
    pub starts_ms: i64,
    /// Until when.
    pub expires_ms: Option<i64>,
}

impl From<CredentialRow> for Credential {
    fn from(row: CredentialRow) -> Self {
        let (hint, thumbprint) = match row.kind {
            CredentialKind::Secret => (row.hint, None),
            CredentialKind::Certificate if row.hint.is_empty() => {
                let der = row.certificate.as_ref().and_then(|text| STANDARD.decode(text).ok());
                (String::new(), der.map(|der| hexadecimal(&sha1(&der))))
            }
            CredentialKind::Certificate => (String::new(), Some(row.hint)),
        };
        Self {
            id: row.id,
            kind: row.kind,
            display_name: row.display_name,
            hint,
            thumbprint,
            starts_ms: row.starts_ms,
            expires_ms: row.expires_ms,
        }
    }
}

/// A secret that is to be made.
#[derive(Debug, Clone, Default)]
pub struct NewSecret {
    /// What people will call it.
    pub display_name: Option<String>,
    /// From when it is good; now.
    pub starts_ms: Option<i64>,
    /// Until when; two years from its start.
    pub expires_ms: Option<i64>,
}

/// A certificate that is to be there.
#[derive(Debug, Clone, Default)]
pub struct NewCertificate {
    /// The `keyId`; one that is there already keeps its row. One that is another object's is not taken: a new one is made, so that nobody
    /// finds out which there are.
    pub id: Option<Uuid>,
    /// What people will call it.
    pub display_name: Option<String>,
    /// DER or PEM; `None` when `id` names one that is there.
    pub certificate: Option<Vec<u8>>,
    /// From when it is good; at the earliest when the certificate says.
    pub starts_ms: Option<i64>,
    /// Until when; at the latest when the certificate says.
    pub expires_ms: Option<i64>,
}

/// A certificate's SHA-256, as `x5t#S256` spells it (RFC 7515, section 4.1.8).
pub(crate) fn sha256_thumbprint(der: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, der))
}

/// A certificate's SHA-1, of which `x5t` is the base64url (RFC 7515, section 4.1.7). It finds a certificate and proves
/// nothing: the signature is checked with what is found.
pub(crate) fn sha1(der: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, der).as_ref().to_vec()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

pub(super) async fn list(tx: &mut Connection, owner: Uuid) -> Result<Vec<Credential>, ArmError> {
    Ok(credential::list_shown(tx, owner).await?.into_iter().map(Credential::from).collect())
}

/// A secret's row, and the secret. The hash is `hash`'s.
pub(crate) fn secret_row(
    owner: Uuid,
    new: &NewSecret,
    now_ms: i64,
    hash: impl FnOnce(&str) -> String,
) -> Result<(CredentialRow, SecretString), Error> {
    let secret = new_secret()?;
    let row = CredentialRow {
        id: Uuid::new_v4(),
        owner,
        kind: CredentialKind::Secret,
        display_name: new.display_name.clone(),
        hint: secret.chars().take(HINT_CHARS).collect(),
        hash: hash(secret.as_str()),
        certificate: None,
        starts_ms: new.starts_ms.unwrap_or(now_ms),
        expires_ms: new.expires_ms,
    };
    Ok((row, SecretString::from(secret.as_str())))
}

/// Makes these certificates an object's, in place of those that it has. One that is named by an id that is there is kept as
/// it is; its key need not be sent again, as Graph has it.
///
/// # Errors
/// `Request_BadRequest` with the rule that is broken.
pub(super) async fn replace_certificates(
    tx: &mut Connection,
    owner: Uuid,
    wanted: &[NewCertificate],
) -> Result<(), ArmError> {
    if !wanted.is_empty() {
        external::require_not_from_outside(owner)?;
    }
    let there = credential::list(tx, owner).await?;
    let secrets = there.iter().filter(|row| row.kind == CredentialKind::Secret).count();
    if secrets + wanted.len() > MOST_CREDENTIALS {
        return Err(error::quota_exceeded(MOST_CREDENTIALS as u64));
    }
    let mut rows: Vec<CredentialRow> = Vec::with_capacity(wanted.len());
    for new in wanted {
        let known = there.iter().find(|row| row.kind == CredentialKind::Certificate && Some(row.id) == new.id);
        let mut row = match (known, &new.certificate) {
            (Some(known), _) => known.clone(),
            (None, Some(bytes)) => certificate_row(owner, new, bytes)?,
            (None, None) => return Err(error::missing("key", "KeyCredential")),
        };
        if rows.iter().any(|other| other.id == row.id || other.hash == row.hash) {
            return Err(error::bad_request("The keyCredentials name a certificate or a keyId twice."));
        }
        if known.is_none() && credential::exists(tx, row.id).await? {
            row.id = Uuid::new_v4();
        }
        rows.push(row);
    }
    for row in there.iter().filter(|row| row.kind == CredentialKind::Certificate) {
        credential::delete(tx, owner, row.id).await?;
    }
    for row in rows {
        credential::insert(tx, &row).await?;
    }
    Ok(())
}

fn certificate_row(owner: Uuid, new: &NewCertificate, bytes: &[u8]) -> Result<CredentialRow, ArmError> {
    let rule = "an X.509 certificate with an RSA key of 2048 to 8192 bits, or one on P-256";
    let invalid = || error::invalid_value("keyCredentials.key", rule);
    if bytes.len() > LARGEST_CERTIFICATE_BYTES {
        return Err(invalid());
    }
    let der = match bytes.starts_with(b"-----BEGIN") {
        true => x509_parser::pem::parse_x509_pem(bytes).map_err(|_| invalid())?.1.contents,
        false => bytes.to_vec(),
    };
    let (rest, parsed) = X509Certificate::from_der(&der).map_err(|_| invalid())?;
    if !rest.is_empty() || crate::identity::public_key(&parsed).is_none() {
        return Err(invalid());
    }
    let validity = parsed.validity();
    let ms = |seconds: i64| seconds.saturating_mul(1000);
    let (not_before_ms, not_after_ms) = (ms(validity.not_before.timestamp()), ms(validity.not_after.timestamp()));
    let starts_ms = new.starts_ms.unwrap_or(not_before_ms).max(not_before_ms);
    let expires_ms = new.expires_ms.unwrap_or(not_after_ms).min(not_after_ms);
    if starts_ms >= expires_ms {
        return Err(error::invalid_value(
            "keyCredentials.endDateTime",
            "after its start, within the certificate's time",
        ));
    }
    check_name(new.display_name.as_deref())?;
    Ok(CredentialRow {
        id: new.id.unwrap_or_else(Uuid::new_v4),
        owner,
        kind: CredentialKind::Certificate,
        display_name: new.display_name.clone(),
        hint: hexadecimal(&sha1(&der)),
        hash: sha256_thumbprint(&der),
        certificate: Some(STANDARD.encode(&der)),
        starts_ms,
        expires_ms: Some(expires_ms),
    })
}

fn check_name(name: Option<&str>) -> Result<(), ArmError> {
    match name {
        Some(name) if name.chars().count() > LONGEST_NAME_CHARS || name.chars().any(char::is_control) => {
            let rule = format!("at most {LONGEST_NAME_CHARS} characters, none of which is a control character");
            Err(error::invalid_value("displayName", &rule))
        }
        _ => Ok(()),
    }
}

impl Control {
    /// Makes a secret of an application or a service principal. This is the only time that it is seen.
    ///
    /// # Errors
    /// `Authorization_RequestDenied`; `Request_ResourceNotFound`; `Request_BadRequest` with the rule that is broken.
    pub async fn add_secret(
        &self,
        ctx: &RequestContext,
        kind: ObjectKind,
        id: Uuid,
        new: NewSecret,
    ) -> Result<(Credential, SecretString), ArmError> {
        check_name(new.display_name.as_deref())?;
        transact!(self.db(), |tx| -> Result<(Credential, SecretString), ArmError> {
            require(tx, ctx, kind, id).await?;
            external::require_not_from_outside(id)?;
            let now_ms = tx.now_ms().await?;
            let starts_ms = new.starts_ms.unwrap_or(now_ms);
            let expires_ms = new.expires_ms.unwrap_or(starts_ms.saturating_add(LIFETIME_MS));
            if expires_ms <= starts_ms {
                return Err(error::invalid_value("passwordCredential.endDateTime", "after its start"));
            }
            if credential::list(tx, id).await?.len() >= MOST_CREDENTIALS {
                return Err(error::quota_exceeded(MOST_CREDENTIALS as u64));
            }
            let new = NewSecret { expires_ms: Some(expires_ms), ..new.clone() };
            let (row, secret) = secret_row(id, &new, now_ms, |secret| self.keys().secret_hash(secret))?;
            credential::insert(tx, &row).await?;
            record(tx, ctx, "microsoft.directory/credentials/create", kind, id).await?;
            Ok((row.into(), secret))
        })
    }

    /// Removes a secret; tokens that it bought stay good for their hour.
    ///
    /// # Errors
    /// `Authorization_RequestDenied`; `Request_ResourceNotFound`; `Request_BadRequest` for a `keyId` that is not there.
    pub async fn remove_secret(
        &self,
        ctx: &RequestContext,
        kind: ObjectKind,
        id: Uuid,
        key: Uuid,
    ) -> Result<(), ArmError> {
        transact!(self.db(), |tx| -> Result<(), ArmError> {
            require(tx, ctx, kind, id).await?;
            if !credential::delete(tx, id, key).await? {
                return Err(error::bad_request(format!("No password credential found with keyId '{key}'.")));
            }
            record(tx, ctx, "microsoft.directory/credentials/delete", kind, id).await
        })
    }
}

/// The right to an object's credentials.
async fn require(tx: &mut Connection, ctx: &RequestContext, kind: ObjectKind, id: Uuid) -> Result<(), ArmError> {
    access::require_or_owner(tx, &ctx.caller, DirectoryRole::ApplicationAdministrator, id).await?;
    owner::find(tx, &ctx.caller, kind, id).await?;
    let app_id = match kind {
        ObjectKind::Application => super::application::find(tx, &ctx.caller, id).await?.app_id,
        ObjectKind::ServicePrincipal => {
            let found = service_principal::find(tx, id).await?.ok_or_else(|| error::not_found(&id.to_string()))?;
            managed_identity::require_not_managed(&found)?;
            found.app_id
        }
        ObjectKind::User | ObjectKind::Group => return Err(error::not_found(&id.to_string())),
    };
    access::require_no_greater_power(tx, &ctx.caller, app_id).await
}

async fn record(
    tx: &mut Connection,
    ctx: &RequestContext,
    action: &'static str,
    kind: ObjectKind,
    id: Uuid,
) -> Result<(), ArmError> {
    let collection = if kind == ObjectKind::Application { "applications" } else { "servicePrincipals" };
    let now_ms = tx.now_ms().await?;
    audit::record(tx, ctx, now_ms, action, &format!("/{collection}/{id}"), None).await
}
