//! The one-time link: how the first user of a tenant chooses a name and a password.

use std::net::IpAddr;

use galerie_arm::ArmError;
use secrecy::SecretString;
use uuid::Uuid;

use super::{Identity, IdentityError, new_secret, password};
use crate::{
    Control, Error, audit, authz,
    db::{
        directory_role, invitation,
        invitation::InvitationRow,
        tenant::{self, TenantRow},
        transact,
    },
    directory::{
        Document, error,
        role::DirectoryRole,
        user::{NewPassword, NewUser, User, UserName, insert},
    },
    request::{Caller, RequestContext},
};

/// How long a link is good, in ms.
const LINK_LIFETIME_MS: i64 = 7 * 24 * 3600 * 1000;
/// What the keyed hash of a link's code is for.
const PURPOSE: &str = "invitation";

/// A link that was made just now; it is kept nowhere.
#[derive(Debug)]
pub struct OneTimeLink {
    /// What goes into the link.
    pub code: SecretString,
    /// The tenant that it makes a user in.
    pub tenant: Uuid,
}

/// What whoever follows a link typed.
#[derive(Debug)]
pub struct InvitationUse<'a> {
    /// The code in the link.
    pub code: &'a str,
    /// The user name; without a domain, the tenant's is added.
    pub user_name: &'a str,
    /// What people call them.
    pub display_name: &'a str,
    /// The password.
    pub password: SecretString,
    /// Who asks, as far as that is known.
    pub address: Option<IpAddr>,
}

impl Identity {
    /// The domain of the tenant that a link makes a user in; `None` when the link is not known, was used, or is over.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn invitation_domain(&self, code: &str) -> Result<Option<String>, IdentityError> {
        let mut tx = self.db.read().await?;
        let now_ms = tx.now_ms().await?;
        let found = invitation::find(&mut tx, &self.keys.tag_text(PURPOSE, code)).await?;
        let Some(found) = found.filter(|found| found.expires_ms > now_ms) else { return Ok(None) };
        Ok(tenant::find(&mut tx, found.tenant).await?.map(|tenant| tenant.default_domain))
    }
}

impl Control {
    /// A link for the first tenant, unless one of its users administers it, or a link is out. For each start.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn first_link(&self) -> Result<Option<OneTimeLink>, Error> {
        let tenant = self.bootstrapped().await?.tenant;
        transact!(self.db(), |tx| -> Result<Option<OneTimeLink>, Error> {
            let now_ms = tx.now_ms().await?;
            let role = DirectoryRole::GlobalAdministrator.as_str();
            if directory_role::has_user(tx, tenant, role).await? || invitation::is_out(tx, tenant, now_ms).await? {
                return Ok(None);
            }
            self.new_link(tx, tenant).await.map(Some)
        })
    }

    /// A link for a tenant, in place of the one that may be out. Who may ask for it is the caller's business.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn reset_link(&self, tenant: Uuid) -> Result<OneTimeLink, Error> {
        transact!(self.db(), |tx| -> Result<OneTimeLink, Error> { self.new_link(tx, tenant).await })
    }

    pub(crate) async fn new_link(&self, tx: &mut crate::db::Connection, tenant: Uuid) -> Result<OneTimeLink, Error> {
        let code = new_secret()?;
        let now_ms = tx.now_ms().await?;
        let row = InvitationRow {
            hash: self.keys().tag_text(PURPOSE, &code),
            tenant,
            created_ms: now_ms,
            expires_ms: now_ms.saturating_add(LINK_LIFETIME_MS),
        };
        invitation::replace(tx, &row).await?;
        Ok(OneTimeLink { code: SecretString::from(code.as_str()), tenant })
    }

    /// Makes the user that a link is for: Global Administrator of the tenant's directory and Owner of all that is in it.
    ///
    /// # Errors
    /// `Request_ResourceNotFound` for a link that is not good (any more); `Request_BadRequest` with the rule that is broken,
    /// and the link stays good.
    pub async fn use_invitation(&self, asked: &InvitationUse<'_>, correlation_id: Uuid) -> Result<User, ArmError> {
        let hash = self.keys().tag_text(PURPOSE, asked.code);
        let gone = || error::not_found("invitation");
        let mut tx = self.db().read().await?;
        let now_ms = tx.now_ms().await?;
        let found = invitation::find(&mut tx, &hash).await?.filter(|found| found.expires_ms > now_ms);
        let known = found.ok_or_else(gone)?;
        let TenantRow { default_domain, .. } = tenant::find(&mut tx, known.tenant).await?.ok_or_else(gone)?;
        drop(tx);
        let name = asked.user_name.trim();
        let name = if name.contains('@') { name.to_owned() } else { format!("{name}@{default_domain}") };
        let name: UserName = name.parse()?;
        password::check(&asked.password, name.as_str()).map_err(error::weak_password)?;
        let hashed = self.identity().passwords().hash(known.tenant, asked.password.clone()).await?;
        let new = NewUser {
            display_name: match asked.display_name.trim() {
                "" => name.as_str().split('@').next().unwrap_or_default().to_owned(),
                given => given.to_owned(),
            },
            name,
            enabled: true,
            password: NewPassword { password: asked.password.clone(), must_change: false },
            document: Document::new(),
        };
        transact!(self.db(), |tx| -> Result<User, ArmError> {
            let now_ms = tx.now_ms().await?;
            let found = invitation::find(tx, &hash).await?.filter(|found| found.expires_ms > now_ms);
            if found.is_none() || !invitation::delete(tx, &hash).await? {
                return Err(gone());
            }
            let user = insert(tx, known.tenant, &new, &hashed).await?;
            let id = user.object.id;
            directory_role::add(tx, known.tenant, DirectoryRole::GlobalAdministrator.as_str(), id).await?;
            authz::own(tx, known.tenant, "/", id).await?;
            let caller = Caller::user(known.tenant, id, &user.name, None);
            let client_address = asked.address;
            let ctx = RequestContext { client_address, ..RequestContext::of_the_directory(caller, correlation_id) };
            let resource = format!("/users/{id}");
            audit::record(tx, &ctx, now_ms, "microsoft.directory/users/create", &resource, None).await?;
            Ok(user.into())
        })
    }
}
