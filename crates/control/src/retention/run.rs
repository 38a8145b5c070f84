//! Runs: what a dry run says, and then exactly that, done.
//!
//! A run is a dry run whose verdicts are carried out. Versions are deleted in batches; the transaction of each batch reads the
//! policy and the facts again, decides again by the same function and the same moment, and deletes what was to go in both
//! decisions. So nothing goes that the dry run kept, and nothing that has come to be kept since.

use std::collections::HashSet;

use galerie_arm::{ApiVersion, ArmError, ResourceId, ResourceType, timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    RetentionSettings, authorize_deletions,
    decide::{Policy, Verdict},
    document, facts, find, no_policy, uses,
};
use crate::{
    Caller, Control, audit, authz,
    db::{
        Connection, resource,
        resource::ResourceRow,
        retention_policy::{self, RetentionPolicyRow},
        transact,
    },
    request::RequestContext,
    resource::{Verb, action, delete::delete_row},
    soft_delete::Deletion,
};

/// Versions deleted in one transaction, so that other writes get their turn.
const BATCH: usize = 100;
/// As the audit names a run that deletes something.
pub(super) const RUN: &str = "Galerie/retentionPolicies/run/action";
/// The one that operations of automatic runs are kept with.
const API_VERSION: ApiVersion = ApiVersion::stable(2024, 3, 3);
/// Policies read at once.
const POLICIES: u32 = 100;

/// What somebody saw in a dry run, and agreed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmed {
    /// The dry run's moment, in ms since 1970: what has grown old since stays.
    pub at_ms: i64,
    /// The numbers of the versions that may go.
    pub versions: HashSet<String>,
}

impl Confirmed {
    /// Reads a body: `at` and `versions` as a dry run answers them.
    ///
    /// # Errors
    /// `InvalidParameter` naming what is missing, unknown or of another type.
    pub fn parse(body: &Value) -> Result<Self, ArmError> {
        let invalid = |name: &str, what: &str| {
            ArmError::invalid_parameter(name, format!("The parameter '{name}' must be {what}."))
        };
        let members = body.as_object().ok_or_else(|| invalid("body", "a JSON object"))?;
        if let Some(unknown) = members.keys().find(|name| !["at", "versions"].contains(&name.as_str())) {
            return Err(ArmError::invalid_parameter(unknown, "Only 'at' and 'versions' can be said."));
        }
        let at_ms = members.get("at").and_then(Value::as_str).and_then(timestamp::parse_ms);
        let versions = members.get("versions").and_then(Value::as_array).and_then(|versions| {
            versions.iter().map(|version| version.as_str().map(str::to_owned)).collect::<Option<HashSet<_>>>()
        });
        Ok(Self {
            at_ms: at_ms.ok_or_else(|| invalid("at", "the dry run's moment"))?,
            versions: versions.ok_or_else(|| invalid("versions", "a list of versions' numbers"))?,
        })
    }
}

/// By what a run deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The caller's right.
    Caller,
    /// The policy, which runs by itself, as long as it says so and is the same person's.
    Policy,
}

impl RetentionPolicyRow {
    /// Whether it runs by itself in this name.
    fn runs_for(&self, ctx: &RequestContext) -> bool {
        self.automatic && self.set_by == ctx.caller.principal
    }
}

/// What a run decided, and what came of it.
pub(super) struct Outcome {
    definition: ResourceRow,
    policy: Option<RetentionPolicyRow>,
    tried: Policy,
    at_ms: i64,
    /// The versions that somebody agreed to; `None`: whatever is decided.
    confirmed: Option<HashSet<String>>,
    verdicts: Vec<Verdict>,
    /// The incarnations of those that were deleted; `None` of a dry run.
    deleted: Option<HashSet<Uuid>>,
}

impl Control {
    /// Says which versions of a definition its policy would delete, and why it would not delete the others. `instead` are
    /// settings to try in place of the policy's.
    ///
    /// # Errors
    /// `AuthorizationFailed` without the right to read the definition's versions; 404 when there is no definition, or no
    /// policy and nothing to try.
    pub async fn retention_dry_run(
        &self,
        ctx: &RequestContext,
        definition: &ResourceId,
        instead: Option<RetentionSettings>,
    ) -> Result<Value, ArmError> {
        uses::record_earlier(self).await?;
        let mut tx = self.db().read().await?;
        let read = action(ResourceType::ImageVersion, Verb::Read);
        authz::authorize(&mut tx, &ctx.caller, read, definition).await?;
        Ok(shown(&plan(&mut tx, definition, instead.map(RetentionSettings::policy), None).await?))
    }

    /// Deletes what [`Control::retention_dry_run`] says would be; of that only what is `confirmed`, where somebody saw a dry run
    /// before.
    ///
    /// # Errors
    /// `AuthorizationFailed` without the right to delete the definition's versions; 404 when there is no definition or no
    /// policy. What was deleted before an error stays deleted.
    pub async fn retention_run(
        &self,
        ctx: &RequestContext,
        definition: &ResourceId,
        confirmed: Result<Option<Confirmed>, ArmError>,
    ) -> Result<Value, ArmError> {
        uses::record_earlier(self).await?;
        let mut tx = self.db().read().await?;
        authorize_deletions(&mut tx, ctx, definition).await?;
        let mut outcome = plan(&mut tx, definition, None, confirmed?).await?;
        drop(tx);
        self.carry_out(ctx, definition, &mut outcome, By::Caller).await?;
        Ok(shown(&outcome))
    }

    /// Runs every policy that is to run by itself, each in the name of whoever set it. One that fails is logged, and the
    /// others run all the same.
    ///
    /// # Errors
    /// The catalogue's.
    pub(crate) async fn run_retention_policies(&self) -> Result<(), ArmError> {
        uses::record_earlier(self).await?;
        let mut after = String::new();
        loop {
            let page = retention_policy::automatic(&mut *self.db().read().await?, &after, POLICIES).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(&last.definition);
            for policy in &page {
                if self.stopping().is_cancelled() {
                    return Ok(());
                }
                if let Err(error) = self.run_policy(policy).await {
                    metrics::counter!("galerie_retention_errors_total").increment(1);
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, definition = policy.definition, "run a retention policy");
                }
            }
        }
    }

    async fn run_policy(&self, policy: &RetentionPolicyRow) -> Result<(), ArmError> {
        let mut tx = self.db().read().await?;
        let Some(row) = resource::find(&mut tx, &policy.definition).await? else { return Ok(()) };
        let definition = ResourceId::parse(&row.id, "id")?;
        let mut outcome = plan(&mut tx, &definition, None, None).await?;
        drop(tx);
        // It may have been changed since the page was read, and be another's now.
        let Some(policy) = outcome.policy.as_ref().filter(|policy| policy.automatic) else { return Ok(()) };
        let ctx = in_the_name_of(policy, row.tenant);
        self.carry_out(&ctx, &definition, &mut outcome, By::Policy).await
    }

    /// Deletes what was decided, batch by batch. Each asks again for what it does it by.
    pub(super) async fn carry_out(
        &self,
        ctx: &RequestContext,
        definition: &ResourceId,
        outcome: &mut Outcome,
        by: By,
    ) -> Result<(), ArmError> {
        let at_ms = outcome.at_ms;
        let is_confirmed =
            |verdict: &&Verdict| outcome.confirmed.as_ref().is_none_or(|versions| versions.contains(&verdict.name()));
        let going: Vec<&Verdict> =
            outcome.verdicts.iter().filter(|verdict| verdict.deletes()).filter(is_confirmed).collect();
        let mut deleted = HashSet::new();
        for batch in going.chunks(BATCH) {
            let planned: HashSet<Uuid> = batch.iter().map(|verdict| verdict.uid).collect();
            let is_first = deleted.is_empty();
            let gone = transact!(self.db(), |tx| -> Result<Vec<Uuid>, ArmError> {
                if by == By::Caller {
                    authorize_deletions(tx, ctx, definition).await?;
                }
                let still = |policy: &RetentionPolicyRow| by == By::Caller || policy.runs_for(ctx);
                let gone = delete_batch(tx, ctx, definition, &planned, at_ms, still).await?;
                if is_first && !gone.is_empty() {
                    let now_ms = tx.now_ms().await?;
                    audit::record(tx, ctx, now_ms, RUN, definition.as_str(), None).await?;
                }
                Ok(gone)
            })?;
            metrics::counter!("galerie_retention_deleted_total").increment(gone.len() as u64);
            deleted.extend(gone);
        }
        if !deleted.is_empty() {
            tracing::info!(definition = definition.as_str(), versions = deleted.len(), "retention deleted versions");
            self.wake();
        }
        outcome.deleted = Some(deleted);
        Ok(())
    }
}

/// What a definition's policy says now, or what `instead` would.
pub(super) async fn plan(
    tx: &mut Connection,
    definition: &ResourceId,
    instead: Option<Policy>,
    confirmed: Option<Confirmed>,
) -> Result<Outcome, ArmError> {
    let definition = find(tx, definition).await?;
    let policy = retention_policy::find(tx, &definition.key).await?;
    let tried = match (instead, &policy) {
        (Some(instead), _) => instead,
        (None, Some(policy)) => policy.policy(),
        (None, None) => return Err(no_policy(&definition)),
    };
    let now_ms = tx.now_ms().await?;
    let at_ms = confirmed.as_ref().map_or(now_ms, |confirmed| confirmed.at_ms.min(now_ms));
    let verdicts = facts::verdicts(tx, &definition, tried, at_ms).await?;
    let confirmed = confirmed.map(|confirmed| confirmed.versions);
    Ok(Outcome { definition, policy, tried, at_ms, confirmed, verdicts, deleted: None })
}

/// Deletes those of `planned` that the policy still deletes, as of then; their incarnations. `still`: whether it may.
async fn delete_batch(
    tx: &mut Connection,
    ctx: &RequestContext,
    definition: &ResourceId,
    planned: &HashSet<Uuid>,
    at_ms: i64,
    still: impl Fn(&RetentionPolicyRow) -> bool,
) -> Result<Vec<Uuid>, ArmError> {
    let mut gone = Vec::new();
    // A policy that was removed, or a definition that is gone, deletes nothing any more.
    let Some(row) = resource::find(tx, definition.key()).await? else { return Ok(gone) };
    let Some(policy) = retention_policy::find(tx, &row.key).await?.filter(still) else { return Ok(gone) };
    let now_ms = tx.now_ms().await?;
    let verdicts = facts::verdicts(tx, &row, policy.policy(), at_ms).await?;
    for verdict in verdicts.iter().filter(|verdict| verdict.deletes() && planned.contains(&verdict.uid)) {
        let Some(version) = resource::find(tx, &verdict.key).await? else { continue };
        let id = ResourceId::parse(&version.id, "id")?;
        let (target, deletion) = ((&id, ResourceType::ImageVersion), Deletion::AsThePolicySays);
        delete_row(tx, ctx, target, &version, deletion, now_ms).await?;
        gone.push(verdict.uid);
    }
    Ok(gone)
}

/// The request that an automatic run is: nobody's but the policy's, in the name of who set it.
fn in_the_name_of(policy: &RetentionPolicyRow, tenant: Uuid) -> RequestContext {
    let caller = Caller {
        tenant,
        principal: policy.set_by,
        kind: policy.set_by_kind,
        app_id: None,
        upn: Some(policy.set_by_name.clone()),
        groups: Vec::new(),
        administrator: false,
    };
    RequestContext { api_version: API_VERSION, ..RequestContext::of_the_directory(caller, Uuid::new_v4()) }
}

pub(super) fn shown(outcome: &Outcome) -> Value {
    let version = |verdict: &Verdict| {
        let mut version = json!({
            "version": verdict.name(),
            "publishedDate": timestamp::format_ms(verdict.published_ms),
            "decision": if verdict.deletes() { "Delete" } else { "Keep" },
            "reason": verdict.reason.word(),
            "why": verdict.reason.to_string(),
        });
        if let Some(deleted) = &outcome.deleted {
            version["deleted"] = deleted.contains(&verdict.uid).into();
        }
        version
    };
    json!({
        "definition": outcome.definition.id,
        "dryRun": outcome.deleted.is_none(),
        "at": timestamp::format_ms(outcome.at_ms),
        "keep": outcome.tried.keep,
        "olderThanDays": outcome.tried.older_than_days,
        "policy": outcome.policy.as_ref().map(|policy| document(&outcome.definition, policy)),
        "versions": outcome.verdicts.iter().map(version).collect::<Vec<_>>(),
    })
}
