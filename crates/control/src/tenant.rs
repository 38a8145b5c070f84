//! Tenants and subscriptions that are made after the first start.

use galerie_arm::ArmError;
use secrecy::SecretString;
use uuid::Uuid;

use crate::{
    Control, audit, authz,
    db::{
        Connection,
        subscription::{self, SubscriptionRow},
        subscription_alias::{self, SubscriptionAliasRow},
        tenant::{self, TenantRow},
        transact,
    },
    directory::{error, has_role, role::DirectoryRole},
    identity::OneTimeLink,
    request::{Caller, RequestContext},
    subscription::{Subscription, Tenant},
};

/// Subscriptions of one tenant, and tenants of one gallery: lists of them are not paged.
const MOST_SUBSCRIPTIONS: usize = 1000;
const MOST_TENANTS: usize = 1000;
/// Characters of a subscription's or tenant's name.
const LONGEST_NAME_CHARS: usize = 64;
/// Characters of an alias (Azure's rule).
const LONGEST_ALIAS_CHARS: usize = 63;

/// A tenant as it was made.
#[derive(Debug)]
pub struct NewTenant {
    /// It.
    pub tenant: Tenant,
    /// Its first subscription.
    pub subscription: Uuid,
    /// The client id of its operator, for scripts.
    pub client_id: Uuid,
    /// The operator's secret; it is kept nowhere.
    pub client_secret: SecretString,
    /// The link for its first user.
    pub link: OneTimeLink,
}

/// A subscription and the name that it was made under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionAlias {
    /// As it was first written.
    pub name: String,
    /// What it stands for.
    pub subscription: Uuid,
}

impl Control {
    /// Makes a tenant with a subscription, an operator and a link for its first user. Only the gallery's operator may.
    ///
    /// # Errors
    /// `AuthorizationFailed`; `InvalidParameter`; `Conflict` for a domain that is taken.
    pub async fn tenant_create(
        &self,
        ctx: &RequestContext,
        name: &str,
        domain: Option<&str>,
    ) -> Result<NewTenant, ArmError> {
        let name = checked_name("displayName", name)?;
        let domain = domain.map(checked_domain).transpose()?;
        transact!(self.db(), |tx| -> Result<NewTenant, ArmError> {
            self.require_operator(tx, &ctx.caller, "Galerie/tenants/write").await?;
            if tenant::list(tx).await?.len() >= MOST_TENANTS {
                return Err(ArmError::new(409, "Conflict", format!("There are {MOST_TENANTS} tenants already.")));
            }
            if let Some(domain) = &domain
                && tenant::find_by_domain(tx, domain).await?.is_some()
            {
                return Err(domain_taken(domain));
            }
            let made = self.add_tenant_in(tx, &name, domain.as_deref()).await?;
            let link = self.new_link(tx, made.tenant).await?;
            let row = tenant::find(tx, made.tenant).await?;
            let row = row.ok_or_else(|| error::not_found(&made.tenant.to_string()))?;
            record(tx, ctx, "Galerie/tenants/write", &format!("/tenants/{}", row.id)).await?;
            let (subscription, client_id) = (made.subscription, made.client_id);
            Ok(NewTenant {
                tenant: Tenant { id: row.id, display_name: row.display_name, default_domain: row.default_domain },
                subscription,
                client_id,
                client_secret: made.client_secret,
                link,
            })
        })
    }

    /// Gives the caller's tenant, or for the operator any, another name or domain. Users keep the names that they have.
    ///
    /// # Errors
    /// `AuthorizationFailed`; `InvalidParameter`; `Conflict`.
    pub async fn tenant_update(
        &self,
        ctx: &RequestContext,
        id: Uuid,
        name: Option<&str>,
        domain: Option<&str>,
    ) -> Result<Tenant, ArmError> {
        let name = name.map(|name| checked_name("displayName", name)).transpose()?;
        let domain = domain.map(checked_domain).transpose()?;
        transact!(self.db(), |tx| -> Result<Tenant, ArmError> {
            if id == ctx.caller.tenant {
                require_directory_administrator(tx, &ctx.caller, "Galerie/tenants/write").await?;
            } else {
                self.require_operator(tx, &ctx.caller, "Galerie/tenants/write").await?;
            }
            let mut row = tenant::find(tx, id).await?.ok_or_else(|| unknown_tenant(id))?;
            if let Some(domain) = &domain {
                let holder = tenant::find_by_domain(tx, domain).await?;
                if holder.is_some_and(|holder| holder.id != id) {
                    return Err(domain_taken(domain));
                }
                row.default_domain.clone_from(domain);
            }
            if let Some(name) = &name {
                row.display_name.clone_from(name);
            }
            tenant::update(tx, &row).await?;
            record(tx, ctx, "Galerie/tenants/write", &format!("/tenants/{id}")).await?;
            let TenantRow { id, display_name, default_domain, .. } = row;
            Ok(Tenant { id, display_name, default_domain })
        })
    }

    /// All tenants, for the gallery's operator.
    ///
    /// # Errors
    /// `AuthorizationFailed`.
    pub async fn tenant_list(&self, ctx: &RequestContext) -> Result<Vec<Tenant>, ArmError> {
        let mut tx = self.db().read().await?;
        self.require_operator(&mut tx, &ctx.caller, "Galerie/tenants/read").await?;
        let shown =
            |row: TenantRow| Tenant { id: row.id, display_name: row.display_name, default_domain: row.default_domain };
        Ok(tenant::list(&mut tx).await?.into_iter().map(shown).collect())
    }

    /// A new one-time link for a tenant: for the gallery's operator, or that of the tenant.
    ///
    /// # Errors
    /// `AuthorizationFailed`; `TenantNotFound`.
    pub async fn tenant_link(&self, ctx: &RequestContext, id: Uuid) -> Result<OneTimeLink, ArmError> {
        transact!(self.db(), |tx| -> Result<OneTimeLink, ArmError> {
            if id == ctx.caller.tenant {
                authz::require_administrator(&ctx.caller, "Galerie/tenants/link/action")?;
            } else {
                self.require_operator(tx, &ctx.caller, "Galerie/tenants/link/action").await?;
            }
            tenant::find(tx, id).await?.ok_or_else(|| unknown_tenant(id))?;
            let link = self.new_link(tx, id).await?;
            record(tx, ctx, "Galerie/tenants/link/action", &format!("/tenants/{id}")).await?;
            Ok(link)
        })
    }

    /// Makes a subscription of the caller's tenant, or answers the one that was made under the alias.
    ///
    /// # Errors
    /// `AuthorizationFailed`; `InvalidParameter`; `Conflict`.
    pub async fn subscription_create(
        &self,
        ctx: &RequestContext,
        name: &str,
        alias: Option<&str>,
    ) -> Result<(Subscription, bool), ArmError> {
        let name = checked_name("displayName", name)?;
        let alias = alias.map(checked_alias).transpose()?;
        transact!(self.db(), |tx| -> Result<(Subscription, bool), ArmError> {
            require_directory_administrator(tx, &ctx.caller, "Microsoft.Subscription/aliases/write").await?;
            let tenant = ctx.caller.tenant;
            if let Some(alias) = &alias
                && let Some(found) = subscription_alias::find(tx, tenant, alias).await?
                && let Some(row) = subscription::find(tx, found.subscription).await?
            {
                return Ok((shown(row), false));
            }
            if subscription::list_in_tenant(tx, tenant).await?.len() >= MOST_SUBSCRIPTIONS {
                let message = format!("The tenant has {MOST_SUBSCRIPTIONS} subscriptions already.");
                return Err(ArmError::new(409, "Conflict", message));
            }
            let created_ms = tx.now_ms().await?;
            let row = SubscriptionRow { id: Uuid::new_v4(), tenant, display_name: name.clone(), created_ms };
            subscription::insert(tx, &row).await?;
            if let Some(alias) = &alias {
                let row = SubscriptionAliasRow { tenant, name: alias.clone(), subscription: row.id, created_ms };
                subscription_alias::insert(tx, &row).await?;
            }
            let scope = format!("/subscriptions/{}", row.id);
            authz::own(tx, tenant, &scope, ctx.caller.principal).await?;
            record(tx, ctx, "Microsoft.Subscription/aliases/write", &scope).await?;
            Ok((shown(row), true))
        })
    }

    /// The subscription that was made under an alias.
    ///
    /// # Errors
    /// `AuthorizationFailed`; `AliasNotFound`.
    pub async fn subscription_alias(&self, caller: &Caller, name: &str) -> Result<SubscriptionAlias, ArmError> {
        let mut tx = self.db().read().await?;
        require_directory_administrator(&mut tx, caller, "Microsoft.Subscription/aliases/read").await?;
        let found = subscription_alias::find(&mut tx, caller.tenant, name).await?;
        let found = found.ok_or_else(|| unknown_alias(name))?;
        Ok(SubscriptionAlias { name: found.name, subscription: found.subscription })
    }

    /// All aliases of the caller's tenant.
    ///
    /// # Errors
    /// `AuthorizationFailed`.
    pub async fn subscription_aliases(&self, caller: &Caller) -> Result<Vec<SubscriptionAlias>, ArmError> {
        let mut tx = self.db().read().await?;
        require_directory_administrator(&mut tx, caller, "Microsoft.Subscription/aliases/read").await?;
        let shown = |row: SubscriptionAliasRow| SubscriptionAlias { name: row.name, subscription: row.subscription };
        Ok(subscription_alias::list(&mut tx, caller.tenant).await?.into_iter().map(shown).collect())
    }

    /// Forgets an alias; the subscription stays. Whether it was there.
    ///
    /// # Errors
    /// `AuthorizationFailed`.
    pub async fn subscription_alias_delete(&self, ctx: &RequestContext, name: &str) -> Result<bool, ArmError> {
        transact!(self.db(), |tx| -> Result<bool, ArmError> {
            require_directory_administrator(tx, &ctx.caller, "Microsoft.Subscription/aliases/delete").await?;
            let was_there = subscription_alias::delete(tx, ctx.caller.tenant, name).await?;
            if was_there {
                let resource = format!("/providers/Microsoft.Subscription/aliases/{name}");
                record(tx, ctx, "Microsoft.Subscription/aliases/delete", &resource).await?;
            }
            Ok(was_there)
        })
    }

    /// The first tenant's administrator looks after the whole gallery.
    ///
    /// # Errors
    /// `AuthorizationFailed`.
    pub(crate) async fn require_operator(
        &self,
        tx: &mut Connection,
        caller: &Caller,
        action: &'static str,
    ) -> Result<(), ArmError> {
        authz::require_administrator(caller, action)?;
        match self.first_tenant(tx).await? == Some(caller.tenant) {
            true => Ok(()),
            false => Err(authz::refuse(caller, action)),
        }
    }
}

/// Whoever administers a tenant's directory decides which subscriptions it has.
async fn require_directory_administrator(
    tx: &mut Connection,
    caller: &Caller,
    action: &'static str,
) -> Result<(), ArmError> {
    match has_role(tx, caller, DirectoryRole::GlobalAdministrator).await? {
        true => Ok(()),
        false => Err(authz::refuse(caller, action)),
    }
}

fn shown(row: SubscriptionRow) -> Subscription {
    Subscription { id: row.id, tenant: row.tenant, display_name: row.display_name }
}

fn checked_name(parameter: &str, name: &str) -> Result<String, ArmError> {
    let name = name.trim();
    let fits = (1..=LONGEST_NAME_CHARS).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    let rule = format!("A name has 1 to {LONGEST_NAME_CHARS} characters, none of which is a control character.");
    if fits { Ok(name.to_owned()) } else { Err(ArmError::invalid_parameter(parameter, rule)) }
}

fn checked_domain(domain: &str) -> Result<String, ArmError> {
    let domain = domain.trim().to_ascii_lowercase();
    let rule =
        "A domain has labels of letters of English, digits and inner dashes, at least two of them: gallery.example";
    if tenant::is_domain(&domain) { Ok(domain) } else { Err(ArmError::invalid_parameter("domain", rule)) }
}

fn checked_alias(alias: &str) -> Result<String, ArmError> {
    let fits = (1..=LONGEST_ALIAS_CHARS).contains(&alias.len())
        && alias.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let rule = format!("An alias has 1 to {LONGEST_ALIAS_CHARS} letters of English, digits, '-', '_' and '.'.");
    if fits { Ok(alias.to_owned()) } else { Err(ArmError::invalid_parameter("aliasName", rule)) }
}

fn domain_taken(domain: &str) -> ArmError {
    ArmError::new(409, "Conflict", format!("The domain '{domain}' is another tenant's."))
}

fn unknown_tenant(id: Uuid) -> ArmError {
    ArmError::new(404, "TenantNotFound", format!("The tenant '{id}' could not be found."))
}

fn unknown_alias(name: &str) -> ArmError {
    let name: String = name.chars().filter(|c| !c.is_control()).take(LONGEST_ALIAS_CHARS).collect();
    ArmError::new(404, "AliasNotFound", format!("The alias '{name}' could not be found."))
}

async fn record(
    tx: &mut Connection,
    ctx: &RequestContext,
    action: &'static str,
    resource: &str,
) -> Result<(), ArmError> {
    let now_ms = tx.now_ms().await?;
    audit::record(tx, ctx, now_ms, action, resource, None).await
}
