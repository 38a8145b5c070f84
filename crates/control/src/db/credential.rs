//! Secrets and certificates of applications and service principals. Of a secret there is a keyed hash only.

use std::str::FromStr;

use uuid::Uuid;

use super::{
    Connection, Result,
    row::{self, Columns, Row},
    statement::query,
};

const INSERT: &str = "INSERT INTO credentials (id, owner, kind, display_name, hint, hash, certificate, starts_ms, expires_ms) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const LIST: &str = "SELECT * FROM credentials WHERE owner = $1 ORDER BY starts_ms, id LIMIT 200";
/// Without the certificates, of which people are shown the thumbprint; it is the hint, but where one is from before there was one.
const LIST_SHOWN: &str = "SELECT id, owner, kind, display_name, hint, hash, CASE WHEN hint = '' THEN certificate END AS certificate, \
     starts_ms, expires_ms FROM credentials WHERE owner = $1 ORDER BY starts_ms, id LIMIT 200";
const COUNT: &str = "SELECT COUNT(*) FROM credentials WHERE id = $1";
const DELETE: &str = "DELETE FROM credentials WHERE owner = $1 AND id = $2";
const DELETE_ALL: &str = "DELETE FROM credentials WHERE owner = $1";

#[cfg(test)]
pub(super) const STATEMENTS: &[&str] = &[INSERT, LIST, LIST_SHOWN, COUNT, DELETE, DELETE_ALL];

/// How an application proves itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialKind {
    /// Random text that was shown once.
    Secret,
    /// A certificate whose private key signs assertions.
    Certificate,
}

impl CredentialKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::Certificate => "Certificate",
        }
    }
}

impl FromStr for CredentialKind {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Secret, Self::Certificate].into_iter().find(|kind| kind.as_str() == text).ok_or(())
    }
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CredentialRow {
    /// The `keyId`.
    pub(crate) id: Uuid,
    /// An application or a service principal.
    pub(crate) owner: Uuid,
    pub(crate) kind: CredentialKind,
    pub(crate) display_name: Option<String>,
    /// A secret's first characters, for people.
    pub(crate) hint: String,
    /// A secret's keyed hash (base64), a certificate's SHA-256 (base64url).
    pub(crate) hash: String,
    /// DER, base64.
    pub(crate) certificate: Option<String>,
    pub(crate) starts_ms: i64,
    /// `None`: never.
    pub(crate) expires_ms: Option<i64>,
}

impl CredentialRow {
    /// Whether it is good at a time.
    pub(crate) fn is_live(&self, now_ms: i64) -> bool {
        self.starts_ms <= now_ms && self.expires_ms.is_none_or(|expires_ms| now_ms < expires_ms)
    }
}

impl Row for CredentialRow {
    fn read(columns: &Columns) -> Result<Self> {
        Ok(Self {
            id: columns.id("id")?,
            owner: columns.id("owner")?,
            kind: columns.parsed("kind")?,
            display_name: columns.optional_text("display_name")?,
            hint: columns.text("hint")?,
            hash: columns.text("hash")?,
            certificate: columns.optional_text("certificate")?,
            starts_ms: columns.integer("starts_ms")?,
            expires_ms: columns.optional_integer("expires_ms")?,
        })
    }
}

/// Adds a credential.
pub(crate) async fn insert(tx: &mut Connection, credential: &CredentialRow) -> Result<()> {
    let statement = query(INSERT)
        .bind(credential.id.to_string())
        .bind(credential.owner.to_string())
        .bind(credential.kind.as_str())
        .bind(&credential.display_name)
        .bind(&credential.hint)
        .bind(&credential.hash)
        .bind(&credential.certificate)
        .bind(credential.starts_ms)
        .bind(credential.expires_ms);
    row::run(tx, statement).await?;
    Ok(())
}

/// An object's credentials, expired ones too, the oldest first.
pub(crate) async fn list(tx: &mut Connection, owner: Uuid) -> Result<Vec<CredentialRow>> {
    row::all(tx, query(LIST).bind(owner.to_string())).await
}

/// The same, as people are shown them: a certificate is there only where its thumbprint is not known without it.
pub(crate) async fn list_shown(tx: &mut Connection, owner: Uuid) -> Result<Vec<CredentialRow>> {
    row::all(tx, query(LIST_SHOWN).bind(owner.to_string())).await
}

/// Whether there is a credential with this id, whosever.
pub(crate) async fn exists(tx: &mut Connection, id: Uuid) -> Result<bool> {
    let count: Option<i64> = row::one(tx, query(COUNT).bind(id.to_string())).await?;
    Ok(count.unwrap_or(0) > 0)
}

/// Removes a credential. Whether it was there.
pub(crate) async fn delete(tx: &mut Connection, owner: Uuid, id: Uuid) -> Result<bool> {
    Ok(row::run(tx, query(DELETE).bind(owner.to_string()).bind(id.to_string())).await? == 1)
}

/// Removes all credentials of an object.
pub(crate) async fn delete_all(tx: &mut Connection, owner: Uuid) -> Result<()> {
    row::run(tx, query(DELETE_ALL).bind(owner.to_string())).await?;
    Ok(())
}
