//! Retention: policies that delete an image definition's old versions, and pins that keep some.
//!
//! [`decide`] says which versions go, from facts that [`facts`] reads in one transaction; [`run`] deletes what a dry run
//! would have said, each batch decided again in the transaction that deletes it. A policy is ours and in no document of
//! Azure's. `docs/design/retention.md` has the rules and the reasons.

mod decide;
mod facts;
mod run;
#[cfg(test)]
mod tests;
mod uses;

use galerie_arm::{ArmError, ResourceId, ResourceType, timestamp};
use serde_json::{Value, json};

use self::decide::Policy;
pub use self::run::Confirmed;
use crate::{
    Control, audit, authz,
    db::{
        Connection, pinned_version,
        pinned_version::PinnedVersionRow,
        resource,
        resource::ResourceRow,
        retention_policy::{self, RetentionPolicyRow},
        transact,
    },
    request::RequestContext,
    resource::{Verb, action},
};

/// As the audit names what is done.
const SET: &str = "Galerie/retentionPolicies/write";
const REMOVE: &str = "Galerie/retentionPolicies/delete";
const PIN: &str = "Galerie/pinnedVersions/write";
const UNPIN: &str = "Galerie/pinnedVersions/delete";
/// Bounds of what a policy may say.
const MOST_KEPT: u32 = 10_000;
const MOST_DAYS: u32 = 36_500;

/// What a policy is set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionSettings {
    /// How many of the highest versions stay.
    pub keep: u32,
    /// What is younger stays, too.
    pub older_than_days: u32,
    /// Whether it runs by itself.
    pub automatic: bool,
}

impl RetentionSettings {
    /// Reads a body: `keep` must be there; `olderThanDays` is 0 and `automatic` false unless they are said.
    ///
    /// # Errors
    /// `InvalidParameter` naming what is missing, unknown, of another type or out of range.
    pub fn parse(body: &Value) -> Result<Self, ArmError> {
        let invalid =
            |name: &str, why: &str| ArmError::invalid_parameter(name, format!("The parameter '{name}' {why}."));
        let Value::Object(members) = body else { return Err(invalid("body", "must be a JSON object")) };
        if let Some(unknown) =
            members.keys().find(|name| !["keep", "olderThanDays", "automatic"].contains(&name.as_str()))
        {
            return Err(invalid(unknown, "is none of a retention policy's: keep, olderThanDays, automatic"));
        }
        let number = |name: &str, least: u32, most: u32| match members.get(name) {
            None => Ok(None),
            Some(value) => {
                let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
                let number = number.filter(|number| (least..=most).contains(number));
                number.map(Some).ok_or_else(|| invalid(name, &format!("must be a whole number from {least} to {most}")))
            }
        };
        let keep = number("keep", 1, MOST_KEPT)?.ok_or_else(|| ArmError::required_parameter_missing("keep"))?;
        let older_than_days = number("olderThanDays", 0, MOST_DAYS)?.unwrap_or(0);
        let automatic = match members.get("automatic") {
            None => false,
            Some(value) => value.as_bool().ok_or_else(|| invalid("automatic", "must be true or false"))?,
        };
        Ok(Self { keep, older_than_days, automatic })
    }

    fn policy(self) -> Policy {
        Policy { keep: self.keep, older_than_days: self.older_than_days }
    }
}

impl RetentionPolicyRow {
    fn policy(&self) -> Policy {
        Policy { keep: self.keep, older_than_days: self.older_than_days }
    }
}

impl Control {
    /// An image definition's retention policy.
    ///
    /// # Errors
    /// `AuthorizationFailed` without the right to read the definition; 404 when there is no definition, or no policy.
    pub async fn retention_policy(&self, ctx: &RequestContext, definition: &ResourceId) -> Result<Value, ArmError> {
        let mut tx = self.db().read().await?;
        let row = read_definition(&mut tx, ctx, definition, Verb::Read).await?;
        let policy = retention_policy::find(&mut tx, &row.key).await?.ok_or_else(|| no_policy(&row))?;
        Ok(document(&row, &policy))
    }

    /// Sets an image definition's retention policy; its document. Whoever does must be allowed to change the definition,
    /// and to delete its versions: that is what the policy will do.
    ///
    /// # Errors
    /// `AuthorizationFailed`, `InvalidParameter`; 404 when there is no definition.
    pub async fn set_retention_policy(
        &self,
        ctx: &RequestContext,
        definition: &ResourceId,
        settings: Result<RetentionSettings, ArmError>,
    ) -> Result<Value, ArmError> {
        transact!(self.db(), |tx| -> Result<Value, ArmError> {
            authorize_deletions(tx, ctx, definition).await?;
            let row = read_definition(tx, ctx, definition, Verb::Write).await?;
            let settings = settings.clone()?;
            let now_ms = tx.now_ms().await?;
            let policy = RetentionPolicyRow {
                definition: row.key.clone(),
                keep: settings.keep,
                older_than_days: settings.older_than_days,
                automatic: settings.automatic,
                set_by: ctx.caller.principal,
                set_by_kind: ctx.caller.kind,
                set_by_name: ctx.caller.client(),
                updated_ms: now_ms,
            };
            retention_policy::put(tx, &policy).await?;
            audit::record(tx, ctx, now_ms, SET, &row.id, None).await?;
            Ok(document(&row, &policy))
        })
    }

    /// Removes an image definition's retention policy; none is fine.
    ///
    /// # Errors
    /// `AuthorizationFailed` without the right to change the definition; 404 when there is none.
    pub async fn remove_retention_policy(&self, ctx: &RequestContext, definition: &ResourceId) -> Result<(), ArmError> {
        transact!(self.db(), |tx| -> Result<(), ArmError> {
            let row = read_definition(tx, ctx, definition, Verb::Write).await?;
            if retention_policy::delete(tx, &row.key).await? {
                let now_ms = tx.now_ms().await?;
                audit::record(tx, ctx, now_ms, REMOVE, &row.id, None).await?;
            }
            Ok(())
        })
    }

    /// Whether a version is pinned, and by whom.
    ///
    /// # Errors
    /// `AuthorizationFailed`; 404 when there is no version.
    pub async fn version_pin(&self, ctx: &RequestContext, version: &ResourceId) -> Result<Value, ArmError> {
        let mut tx = self.db().read().await?;
        let row = read_version(&mut tx, ctx, version, Verb::Read).await?;
        let pin = pinned_version::find(&mut tx, &row.key).await?;
        Ok(pin_document(&row, pin.as_ref()))
    }

    /// Pins a version, so that no retention policy deletes it, or unpins it. People can delete it all the same.
    ///
    /// # Errors
    /// `AuthorizationFailed` without the right to change the version; 404 when there is none.
    pub async fn set_version_pin(
        &self,
        ctx: &RequestContext,
        version: &ResourceId,
        pinned: bool,
    ) -> Result<Value, ArmError> {
        transact!(self.db(), |tx| -> Result<Value, ArmError> {
            let row = read_version(tx, ctx, version, Verb::Write).await?;
            let now_ms = tx.now_ms().await?;
            let (version, pinned_by) = (row.key.clone(), ctx.caller.client());
            let has_changed = match pinned {
                true => pinned_version::insert(tx, &PinnedVersionRow { version, pinned_by, pinned_ms: now_ms }).await?,
                false => pinned_version::delete(tx, &version).await?,
            };
            if has_changed {
                audit::record(tx, ctx, now_ms, if pinned { PIN } else { UNPIN }, &row.id, None).await?;
            }
            let pin = pinned_version::find(tx, &row.key).await?;
            Ok(pin_document(&row, pin.as_ref()))
        })
    }
}

/// Asks for the right to delete any of a definition's versions.
async fn authorize_deletions(
    tx: &mut Connection,
    ctx: &RequestContext,
    definition: &ResourceId,
) -> Result<(), ArmError> {
    authz::authorize(tx, &ctx.caller, action(ResourceType::ImageVersion, Verb::Delete), definition).await
}

/// A definition, for whoever may do something to it.
async fn read_definition(
    tx: &mut Connection,
    ctx: &RequestContext,
    definition: &ResourceId,
    verb: Verb,
) -> Result<ResourceRow, ArmError> {
    authz::authorize(tx, &ctx.caller, action(ResourceType::ImageDefinition, verb), definition).await?;
    find(tx, definition).await
}

async fn read_version(
    tx: &mut Connection,
    ctx: &RequestContext,
    version: &ResourceId,
    verb: Verb,
) -> Result<ResourceRow, ArmError> {
    authz::authorize(tx, &ctx.caller, action(ResourceType::ImageVersion, verb), version).await?;
    find(tx, version).await
}

async fn find(tx: &mut Connection, id: &ResourceId) -> Result<ResourceRow, ArmError> {
    match resource::find(tx, id.key()).await? {
        Some(row) => Ok(row),
        None => {
            crate::resource::place::find(tx, id).await?;
            Err(id.not_found())
        }
    }
}

fn no_policy(definition: &ResourceRow) -> ArmError {
    ArmError::new(404, "NotFound", format!("The image definition '{}' has no retention policy.", definition.name))
}

fn document(definition: &ResourceRow, policy: &RetentionPolicyRow) -> Value {
    json!({
        "definition": definition.id,
        "keep": policy.keep,
        "olderThanDays": policy.older_than_days,
        "automatic": policy.automatic,
        "setBy": policy.set_by_name,
        "setAt": timestamp::format_ms(policy.updated_ms),
    })
}

fn pin_document(version: &ResourceRow, pin: Option<&PinnedVersionRow>) -> Value {
    let mut document = json!({ "version": version.id, "pinned": pin.is_some() });
    if let Some(pin) = pin {
        document["pinnedBy"] = pin.pinned_by.as_str().into();
        document["pinnedAt"] = timestamp::format_ms(pin.pinned_ms).into();
    }
    document
}
