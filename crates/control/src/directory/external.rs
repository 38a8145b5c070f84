//! What external issuers bring into a directory: users and service principals when they first come, and the groups that the
//! configuration names. Each has an object id that its issuer's name for it decides (`identity::external`).

use galerie_arm::ArmError;
use serde_json::json;
use uuid::Uuid;

use super::{LONGEST_NAME_CHARS, display_name, error, new_object};
use crate::{
    audit,
    db::{
        Connection,
        directory_object::ObjectKind,
        group::{self, GroupRow},
        service_principal::{self, ServicePrincipalRow},
        tenant,
        user::{self, UserRow},
    },
    request::{Caller, RequestContext},
};

/// Characters of a name from outside that are kept before `#EXT#`: with digits behind them they stay below Graph's 64.
const LONGEST_KEPT_CHARS: usize = 40;
/// Between a name from outside and the tenant's domain, as in Entra's names of guests.
const MARK: &str = "#EXT#";

/// Somebody from outside, by the issuer's name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Newcomer<'a> {
    pub(crate) tenant: Uuid,
    pub(crate) issuer: &'a str,
    pub(crate) subject: &'a str,
    /// Users and service principals that the issuer's tokens may have made, together.
    pub(crate) most: u64,
}

/// Refuses another principal of an issuer that has brought as many as it may.
///
/// # Errors
/// `Directory_QuotaExceeded`; the catalogue's.
async fn require_room(tx: &mut Connection, newcomer: &Newcomer<'_>) -> Result<(), ArmError> {
    let issuer = newcomer.issuer;
    let there = user::count_of_issuer(tx, issuer).await? + service_principal::count_of_issuer(tx, issuer).await?;
    if there >= newcomer.most {
        tracing::warn!(
            issuer,
            max_principals = newcomer.most,
            "an external issuer brought as many principals as it may"
        );
        return Err(error::too_many_from_outside(newcomer.most));
    }
    Ok(())
}

/// The user of a subject, made when it is not there.
///
/// # Errors
/// `Directory_QuotaExceeded`; the catalogue's.
pub(crate) async fn ensure_user(
    tx: &mut Connection,
    newcomer: Newcomer<'_>,
    id: Uuid,
    user_name: Option<&str>,
    name: Option<&str>,
) -> Result<UserRow, ArmError> {
    if let Some(found) = user::find(tx, id).await? {
        return Ok(found);
    }
    require_room(tx, &newcomer).await?;
    let shown = shown(name.or(user_name).unwrap_or(newcomer.subject), id);
    let mut object = new_object(tx, newcomer.tenant, ObjectKind::User, &shown).await?;
    object.id = id;
    let row = UserRow {
        object,
        name: free_name(tx, newcomer.tenant, user_name.unwrap_or(newcomer.subject), id).await?,
        enabled: true,
        password_hash: None,
        must_change: false,
        // The token that brings the user is older than the user.
        sessions_valid_ms: 0,
        external: Some((newcomer.issuer.to_owned(), newcomer.subject.to_owned())),
        document: json!({}),
    };
    user::insert(tx, &row).await?;
    let caller = Caller::user(newcomer.tenant, id, &row.name, None);
    record(tx, caller, "microsoft.directory/users/create", &format!("/users/{id}")).await?;
    Ok(row)
}

/// The service principal of an application, made when it is not there. `ids`: the object id and the client id.
///
/// # Errors
/// As [`ensure_user`].
pub(crate) async fn ensure_service_principal(
    tx: &mut Connection,
    newcomer: Newcomer<'_>,
    (id, app_id): (Uuid, Uuid),
    name: Option<&str>,
) -> Result<ServicePrincipalRow, ArmError> {
    if let Some(found) = service_principal::find(tx, id).await? {
        return Ok(found);
    }
    require_room(tx, &newcomer).await?;
    let shown = shown(name.unwrap_or(newcomer.subject), id);
    let mut object = new_object(tx, newcomer.tenant, ObjectKind::ServicePrincipal, &shown).await?;
    object.id = id;
    let document = json!({ "notes": format!("The subject '{}' of {}", newcomer.subject, newcomer.issuer) });
    let row = ServicePrincipalRow { object, app_id, administrator: false, enabled: true, document };
    service_principal::insert(tx, &row).await?;
    service_principal::set_issuer(tx, id, newcomer.issuer).await?;
    let caller = Caller::application(newcomer.tenant, id, app_id, false);
    record(tx, caller, "microsoft.directory/servicePrincipals/create", &format!("/servicePrincipals/{id}")).await?;
    Ok(row)
}

/// Makes a group that an issuer's tokens may name, when it is not there. One that is there keeps its name.
///
/// # Errors
/// `Request_BadRequest` for a name that is none; `Directory_QuotaExceeded`; the catalogue's.
pub(crate) async fn ensure_group(tx: &mut Connection, tenant: Uuid, id: Uuid, name: &str) -> Result<(), ArmError> {
    if group::find(tx, id).await?.is_some() {
        return Ok(());
    }
    let mut object = new_object(tx, tenant, ObjectKind::Group, name).await?;
    object.id = id;
    let document = json!({ "description": "Its members are those whose issuer's token says so." });
    Ok(group::insert(tx, &GroupRow { object, document }).await?)
}

/// Refuses what would give a principal from outside another way to sign in than its issuer's.
///
/// # Errors
/// `Request_BadRequest`.
pub(super) fn require_not_from_outside(id: Uuid) -> Result<(), ArmError> {
    // Ids that are made here are random, of version 4; what comes from outside has derived ones, of version 8.
    if id.get_version_num() != 8 {
        return Ok(());
    }
    Err(error::bad_request("The principal signs in at an external issuer and has no credentials here."))
}

/// A name as it can be shown; what cannot is shown by its id.
fn shown(name: &str, id: Uuid) -> String {
    let text: String = name.chars().take(LONGEST_NAME_CHARS).collect();
    display_name(&text).unwrap_or_else(|_| id.to_string())
}

/// A user principal name that nobody has. Whoever has the plain one keeps it, so a name says nothing about who it is.
async fn free_name(tx: &mut Connection, tenant: Uuid, wanted: &str, id: Uuid) -> Result<String, ArmError> {
    let domain = tenant::find(tx, tenant).await?.map(|found| found.default_domain).unwrap_or_default();
    let local = local_part(wanted);
    let digits = id.simple().to_string();
    let short = &digits[..8];
    for local in [local.clone(), format!("{local}_{short}")] {
        let name = format!("{local}{MARK}@{domain}");
        if user::find_by_name(tx, &name).await?.is_none() {
            return Ok(name);
        }
    }
    Ok(format!("{digits}{MARK}@{domain}"))
}

/// What may stand before the `@` of a name from outside: `ada@example.com` is `ada_example.com`.
fn local_part(wanted: &str) -> String {
    let fitting = |c: char| if c.is_ascii_alphanumeric() || "'.-!^~".contains(c) { c } else { '_' };
    let kept: String = wanted.trim().chars().map(fitting).take(LONGEST_KEPT_CHARS).collect();
    let kept = kept.trim_matches('.');
    if kept.is_empty() { "external".to_owned() } else { kept.to_owned() }
}

async fn record(tx: &mut Connection, caller: Caller, action: &'static str, object: &str) -> Result<(), ArmError> {
    let now_ms = tx.now_ms().await?;
    let ctx = RequestContext::of_the_directory(caller, Uuid::new_v4());
    audit::record(tx, &ctx, now_ms, action, object, None).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::user::UserName;

    #[test]
    fn names_from_outside_become_user_principal_names() {
        for (wanted, expected) in [
            ("ada@example.com", "ada_example.com"),
            ("...", "external"),
            ("", "external"),
            ("Zoë #EXT#@galerie.internal", "Zo___EXT__galerie.internal"),
            ("x/../y\u{202E}", "x_.._y_"),
        ] {
            assert_eq!(local_part(wanted), expected);
        }
        let longest = format!("{}_01234567{MARK}@galerie.internal", local_part(&"a".repeat(300)));
        assert!(longest.parse::<UserName>().is_ok(), "{longest}");
    }

    #[test]
    fn what_cannot_be_shown_is_shown_by_its_id() {
        let id = Uuid::from_u128(7);
        assert_eq!(shown(" Ada ", id), "Ada");
        assert_eq!(shown("\u{202E}evil", id), id.to_string());
        assert_eq!(shown(&"x".repeat(300), id).len(), 256);
    }
}
