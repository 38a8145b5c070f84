//! Who a good token stands for: an object of the directory, which the first one makes.

use galerie_arm::ArmError;
use uuid::Uuid;

use super::{Derived, TrustedIssuer, claims::Claims, token::Verified};
use crate::{
    db::{
        service_principal::{self, ServicePrincipalRow},
        transact,
        user::{self, UserRow},
    },
    directory::external::{self, Newcomer},
    identity::{Identity, TokenError, token::seconds},
    request::Caller,
};

/// The caller, in the groups that the configuration lets it into.
///
/// # Errors
/// `External` for a token without a subject; `UnknownPrincipal` for an object that is disabled; `Revoked`; `Directory` when there
/// is no room for another.
pub(super) async fn caller(
    identity: &Identity,
    issuer: &TrustedIssuer,
    verified: &Verified,
) -> Result<Caller, TokenError> {
    let claims = Claims::new(&issuer.config.claims, &verified.claims);
    let subject = claims.subject().ok_or(TokenError::External("It does not say whom it stands for."))?;
    let newcomer =
        Newcomer { tenant: issuer.tenant, issuer: &issuer.config.issuer, subject, most: issuer.config.max_principals };
    let mut caller = match claims.is_application() {
        true => application(identity, newcomer, &claims).await?,
        false => person(identity, newcomer, &claims, verified.issued_s).await?,
    };
    caller.groups = claims.groups().into_iter().filter_map(|value| issuer.groups.get(value).copied()).collect();
    caller.groups.sort_unstable();
    caller.groups.dedup();
    Ok(caller)
}

async fn person(
    identity: &Identity,
    newcomer: Newcomer<'_>,
    claims: &Claims<'_>,
    issued_s: u64,
) -> Result<Caller, TokenError> {
    let id = Derived::User(newcomer.subject).id(newcomer.tenant, newcomer.issuer);
    let found = find_user(identity, &newcomer, id).await?;
    let row = match found {
        Some(row) => row,
        None => {
            let made = transact!(&identity.db, |tx| -> Result<UserRow, ArmError> {
                external::ensure_user(tx, newcomer, id, claims.user_name(), claims.display_name()).await
            });
            match made {
                Ok(row) => row,
                // Two tokens of somebody new may come at once.
                Err(error) => find_user(identity, &newcomer, id).await?.ok_or(TokenError::Directory(error))?,
            }
        }
    };
    if !row.enabled {
        return Err(TokenError::UnknownPrincipal);
    }
    if issued_s < seconds(row.sessions_valid_ms) {
        return Err(TokenError::Revoked);
    }
    Ok(Caller::user(newcomer.tenant, row.object.id, &row.name, None))
}

async fn find_user(identity: &Identity, newcomer: &Newcomer<'_>, id: Uuid) -> Result<Option<UserRow>, TokenError> {
    let found = user::find(&mut *identity.db.read().await?, id).await?;
    let is_theirs = |row: &UserRow| {
        row.object.tenant == newcomer.tenant
            && row
                .external
                .as_ref()
                .is_some_and(|(issuer, subject)| issuer == newcomer.issuer && subject == newcomer.subject)
    };
    Ok(found.filter(is_theirs))
}

async fn application(identity: &Identity, newcomer: Newcomer<'_>, claims: &Claims<'_>) -> Result<Caller, TokenError> {
    let (tenant, issuer) = (newcomer.tenant, newcomer.issuer);
    let id = Derived::ServicePrincipal(newcomer.subject).id(tenant, issuer);
    let app_id = Derived::Application(newcomer.subject).id(tenant, issuer);
    let row = match find_service_principal(identity, id, tenant).await? {
        Some(row) => row,
        None => {
            let made = transact!(&identity.db, |tx| -> Result<ServicePrincipalRow, ArmError> {
                external::ensure_service_principal(tx, newcomer, (id, app_id), claims.client()).await
            });
            match made {
                Ok(row) => row,
                Err(error) => {
                    find_service_principal(identity, id, tenant).await?.ok_or(TokenError::Directory(error))?
                }
            }
        }
    };
    if !row.enabled {
        return Err(TokenError::UnknownPrincipal);
    }
    // Never `row.administrator`: nobody from outside looks after the gallery itself.
    Ok(Caller::application(tenant, row.object.id, row.app_id, false))
}

async fn find_service_principal(
    identity: &Identity,
    id: Uuid,
    tenant: Uuid,
) -> Result<Option<ServicePrincipalRow>, TokenError> {
    let found = service_principal::find(&mut *identity.db.read().await?, id).await?;
    Ok(found.filter(|row| row.object.tenant == tenant))
}
