//! Users.

use std::{fmt, str::FromStr};

use galerie_arm::ArmError;
use secrecy::SecretString;
use uuid::Uuid;

use super::{
    Document, access, check_document, display_name, error, merge, new_object, properties, removal, role::DirectoryRole,
};
use crate::{
    Control, audit,
    db::{
        Connection,
        directory_object::ObjectKind,
        session, tenant, transact,
        user::{self, UserRow},
        wrong_passwords,
    },
    identity::{password, token},
    request::{Caller, RequestContext},
};

/// Characters before the `@`, as in Entra.
const LONGEST_LOCAL_PART: usize = 64;

/// A user.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// The object id.
    pub id: Uuid,
    /// The tenant.
    pub tenant: Uuid,
    /// What people call them.
    pub display_name: String,
    /// The user principal name.
    pub name: String,
    /// Whether they may sign in.
    pub enabled: bool,
    /// Whether they sign in elsewhere.
    pub is_external: bool,
    /// When they were made, ms since 1970.
    pub created_ms: i64,
    /// The rest.
    pub document: Document,
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        Self {
            id: row.object.id,
            tenant: row.object.tenant,
            display_name: row.object.display_name,
            name: row.name,
            enabled: row.enabled,
            is_external: row.external.is_some(),
            created_ms: row.object.created_ms,
            document: properties(&row.document),
        }
    }
}

/// A user principal name: `ada@example.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserName(String);

impl UserName {
    /// The whole name, as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows the `@`.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl FromStr for UserName {
    type Err = ArmError;

    fn from_str(text: &str) -> Result<Self, ArmError> {
        let rule = "letters of English, digits and '.-_!#^~ before the @, at most 64 of them, neither first nor last a '.', and the \
                    tenant's domain behind it";
        let invalid = || error::invalid_value("userPrincipalName", rule);
        let (local, domain) = text.split_once('@').ok_or_else(invalid)?;
        let fits = (1..=LONGEST_LOCAL_PART).contains(&local.len())
            && local.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"'.-_!#^~".contains(&byte))
            && !local.starts_with('.')
            && !local.ends_with('.');
        let is_domain = tenant::is_domain(&domain.to_ascii_lowercase());
        if fits && is_domain { Ok(Self(text.to_owned())) } else { Err(invalid()) }
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A password that an administrator gives.
#[derive(Debug, Clone)]
pub struct NewPassword {
    /// It.
    pub password: SecretString,
    /// Whether the user is to choose another at the next sign-in.
    pub must_change: bool,
}

/// A user that is to be made.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The user principal name.
    pub name: UserName,
    /// What people call them.
    pub display_name: String,
    /// Whether they may sign in.
    pub enabled: bool,
    /// How they do.
    pub password: NewPassword,
    /// The rest.
    pub document: Document,
}

/// What is to change of a user; `None` and an empty document leave things as they are.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    /// The user principal name.
    pub name: Option<UserName>,
    /// What people call them.
    pub display_name: Option<String>,
    /// Whether they may sign in.
    pub enabled: Option<bool>,
    /// Another password.
    pub password: Option<NewPassword>,
    /// Whether the password that is there is to be changed at the next sign-in.
    pub must_change: Option<bool>,
    /// The rest; see `merge`.
    pub document: Document,
}

/// A user of any tenant.
pub(super) async fn read(tx: &mut Connection, id: Uuid) -> Result<Option<User>, ArmError> {
    Ok(user::find(tx, id).await?.map(User::from))
}

/// A user of a tenant by object id or name.
async fn find(tx: &mut Connection, tenant: Uuid, id_or_name: &str) -> Result<UserRow, ArmError> {
    let found = match id_or_name.parse() {
        Ok(id) => user::find(tx, id).await?,
        Err(_) => user::find_by_name(tx, id_or_name).await?,
    };
    let found = found.filter(|found| found.object.tenant == tenant);
    found.ok_or_else(|| error::not_found(id_or_name))
}

/// Checks that a name's domain is the tenant's, and that nobody has the name.
async fn check_name(tx: &mut Connection, tenant: Uuid, name: &UserName) -> Result<(), ArmError> {
    let tenant = tenant::find(tx, tenant).await?;
    if tenant.is_none_or(|tenant| !tenant.default_domain.eq_ignore_ascii_case(name.domain())) {
        return Err(error::bad_request(
            "The domain portion of the userPrincipalName property is invalid. You must use one of the verified domain names in \
             your organization.",
        ));
    }
    match user::find_by_name(tx, name.as_str()).await? {
        Some(_) => Err(error::taken("userPrincipalName")),
        None => Ok(()),
    }
}

/// A user as it is put into the catalogue; also by the one-time link's page.
pub(crate) async fn insert(
    tx: &mut Connection,
    tenant: Uuid,
    new: &NewUser,
    password_hash: &str,
) -> Result<UserRow, ArmError> {
    check_document(&new.document)?;
    check_name(tx, tenant, &new.name).await?;
    let object = new_object(tx, tenant, ObjectKind::User, &new.display_name).await?;
    let row = UserRow {
        sessions_valid_ms: object.created_ms,
        object,
        name: new.name.as_str().to_owned(),
        enabled: new.enabled,
        password_hash: Some(password_hash.to_owned()),
        must_change: new.password.must_change,
        external: None,
        document: new.document.clone().into(),
    };
    user::insert(tx, &row).await?;
    Ok(row)
}

impl Control {
    /// Makes a user.
    ///
    /// # Errors
    /// `Authorization_RequestDenied`; `Request_BadRequest` with the rule that is broken.
    pub async fn user_create(&self, ctx: &RequestContext, new: NewUser) -> Result<User, ArmError> {
        access::require(&mut *self.db().read().await?, &ctx.caller, DirectoryRole::GlobalAdministrator).await?;
        password::check(&new.password.password, new.name.as_str()).map_err(error::weak_password)?;
        let hash = self.identity().passwords().hash(ctx.caller.tenant, new.password.password.clone()).await?;
        transact!(self.db(), |tx| -> Result<User, ArmError> {
            access::require(tx, &ctx.caller, DirectoryRole::GlobalAdministrator).await?;
            let row = insert(tx, ctx.caller.tenant, &new, &hash).await?;
            record(tx, ctx, "microsoft.directory/users/create", row.object.id).await?;
            Ok(row.into())
        })
    }

    /// A user by object id or name.
    ///
    /// # Errors
    /// `Request_ResourceNotFound`.
    pub async fn user(&self, caller: &Caller, id_or_name: &str) -> Result<User, ArmError> {
        Ok(find(&mut *self.db().read().await?, caller.tenant, id_or_name).await?.into())
    }

    /// Changes a user. Another password, and a user that may not sign in any more, end the user's sessions.
    ///
    /// # Errors
    /// `Authorization_RequestDenied`; `Request_ResourceNotFound`; `Request_BadRequest` with the rule that is broken.
    pub async fn user_update(
        &self,
        ctx: &RequestContext,
        id_or_name: &str,
        change: UserChange,
    ) -> Result<User, ArmError> {
        let mut tx = self.db().read().await?;
        access::require(&mut tx, &ctx.caller, DirectoryRole::GlobalAdministrator).await?;
        let known = find(&mut tx, ctx.caller.tenant, id_or_name).await?;
        drop(tx);
        let hash = match &change.password {
            Some(new) => {
                password::check(&new.password, &known.name).map_err(error::weak_password)?;
                Some(self.identity().passwords().hash(ctx.caller.tenant, new.password.clone()).await?)
            }
            None => None,
        };
        transact!(self.db(), |tx| -> Result<User, ArmError> {
            access::require(tx, &ctx.caller, DirectoryRole::GlobalAdministrator).await?;
            let mut row = find(tx, ctx.caller.tenant, id_or_name).await?;
            apply(tx, &mut row, &change).await?;
            if let Some((hash, new)) = hash.as_ref().zip(change.password.as_ref()) {
                if row.external.is_some() {
                    return Err(error::bad_request(
                        "The user signs in at an external issuer and has no password here.",
                    ));
                }
                (row.password_hash, row.must_change) = (Some(hash.clone()), new.must_change);
            }
            if hash.is_some() || change.enabled == Some(false) {
                row.sessions_valid_ms = token::valid_after(row.sessions_valid_ms, tx.now_ms().await?);
                session::delete_of_user(tx, row.object.id).await?;
            }
            user::update(tx, &row).await?;
            if hash.is_some() {
                wrong_passwords::clear(tx, row.object.id).await?;
            }
            record(tx, ctx, "microsoft.directory/users/update", row.object.id).await?;
            Ok(row.into())
        })
    }

    /// Deletes a user, and everything that the directory knows of them.
    ///
    /// # Errors
    /// `Authorization_RequestDenied`; `Request_ResourceNotFound`.
    pub async fn user_delete(&self, ctx: &RequestContext, id_or_name: &str) -> Result<(), ArmError> {
        transact!(self.db(), |tx| -> Result<(), ArmError> {
            access::require(tx, &ctx.caller, DirectoryRole::GlobalAdministrator).await?;
            let row = find(tx, ctx.caller.tenant, id_or_name).await?;
            removal::begin(tx, &row.object).await?;
            user::delete(tx, row.object.id).await?;
            removal::finish(tx, &row.object).await?;
            record(tx, ctx, "microsoft.directory/users/delete", row.object.id).await
        })
    }

    /// Ends a user's sessions: the own, or with a directory role anybody's.
    ///
    /// # Errors
    /// `Authorization_RequestDenied`; `Request_ResourceNotFound`.
    pub async fn user_revoke_sessions(&self, ctx: &RequestContext, id_or_name: &str) -> Result<(), ArmError> {
        transact!(self.db(), |tx| -> Result<(), ArmError> {
            let is_own = id_or_name == ctx.caller.principal.to_string();
            if !is_own {
                access::require(tx, &ctx.caller, DirectoryRole::GlobalAdministrator).await?;
            }
            let mut row = find(tx, ctx.caller.tenant, id_or_name).await?;
            row.sessions_valid_ms = token::valid_after(row.sessions_valid_ms, tx.now_ms().await?);
            user::update(tx, &row).await?;
            session::delete_of_user(tx, row.object.id).await?;
            record(tx, ctx, "microsoft.directory/users/invalidateAllRefreshTokens", row.object.id).await
        })
    }
}

async fn apply(tx: &mut Connection, row: &mut UserRow, change: &UserChange) -> Result<(), ArmError> {
    if let Some(name) = &change.name
        && user::name_key(name.as_str()) != user::name_key(&row.name)
    {
        check_name(tx, row.object.tenant, name).await?;
        row.name = name.as_str().to_owned();
    }
    if let Some(name) = &change.display_name {
        row.object.display_name = display_name(name)?;
    }
    row.enabled = change.enabled.unwrap_or(row.enabled);
    row.must_change = change.must_change.unwrap_or(row.must_change);
    let mut document = properties(&row.document);
    merge(&mut document, change.document.clone());
    check_document(&document)?;
    row.document = document.into();
    Ok(())
}

async fn record(tx: &mut Connection, ctx: &RequestContext, action: &'static str, user: Uuid) -> Result<(), ArmError> {
    let now_ms = tx.now_ms().await?;
    audit::record(tx, ctx, now_ms, action, &format!("/users/{user}"), None).await
}
