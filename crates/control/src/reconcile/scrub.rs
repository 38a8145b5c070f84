//! Everything that regions keep is read again and checked, over and over, at a bounded rate.
//!
//! ```text
//! resting --(the period has passed)--> running: pack after pack --(no next one)--> images walked, healed --> resting
//! ```
//! The place is in the catalogue, written every few seconds, so a restart goes on where it was. Damage is quarantined at once
//! by the store; the images that it hurts are looked for soon after, and at the end of each pass, and copied again from
//! regions that have them (`healing`). What nobody has is named: in the log, by a metric, in `galerie store stats`.
//!
//! One region's reading is one task's. Two processes that serve a region may both read: whoever is slower finds the row
//! written, and goes on from there.

use std::{collections::BTreeSet, time::Duration};

use galerie_arm::{ArmError, ReplicationState, ResourceId};
use galerie_region::Region;
use galerie_store::PackId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::attempted;
use crate::{
    Control,
    db::{
        self, Connection, disk_image, replica,
        scrub::{self, ScrubRow},
        tenant, transact,
    },
};

/// How often the place is written.
const RECORD_EVERY: Duration = Duration::from_secs(5);
/// How soon after the last time images are walked again because something was found, in ms.
const WALK_AGAIN_MS: i64 = 60_000;
/// The longest rest: a period that is made shorter, or a tenant that is new, is noticed then.
const LONGEST_REST: Duration = Duration::from_secs(600);
/// The least rest between passes, whatever the period.
const LEAST_REST: Duration = Duration::from_secs(1);
/// The rest after a failure, and when another process was faster.
const SHORT_REST: Duration = Duration::from_secs(30);
/// Most resources that are remembered as hurt; what is beyond is counted.
const MOST_HURT: usize = 100;

/// What is known of a tenant's part of a region.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Scrub {
    running: Option<Pass>,
    last: Option<EndedPass>,
    /// What was hurt when images were last walked.
    hurt: Vec<Hurt>,
    hurt_count: u64,
}

/// A pass that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pass {
    began_ms: i64,
    /// The last pack that was checked.
    after: Option<String>,
    #[serde(flatten)]
    figures: Figures,
    walked_ms: Option<i64>,
}

/// A pass that is over.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EndedPass {
    began_ms: i64,
    ended_ms: i64,
    #[serde(flatten)]
    figures: Figures,
}

/// What a pass has read and found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    packs: u64,
    read_bytes: u64,
    /// Damaged blobs, those that were known before and wait for their pack's collection too.
    damaged_blobs: u64,
    /// Packs that do not read as a whole.
    damaged_packs: u64,
}

/// Says what a pass found; of a region with nothing in it only to who wants to know.
fn log_pass(region: &str, tenant: Uuid, figures: &Figures, scrub: &Scrub) {
    let Figures { packs, read_bytes, damaged_blobs, damaged_packs } = *figures;
    if packs == 0 && scrub.hurt_count == 0 {
        return tracing::debug!(region, %tenant, "nothing to scrub");
    }
    tracing::info!(region, %tenant, packs, read_bytes, damaged_blobs, damaged_packs, hurt = scrub.hurt_count, "scrubbed");
}

/// A resource with a damaged image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Hurt {
    id: String,
    manifest: String,
    healing: bool,
}

/// How reading one tenant's part ended.
enum Turn {
    /// To be looked at again after this.
    Rest(Duration),
    /// Somebody else wrote the row.
    Overtaken,
}

/// Scrubs a region until the process stops.
pub(super) async fn keep_true(control: Control, region: String) {
    loop {
        let rest = attempted("scrub", run(&control, &region)).await.unwrap_or(SHORT_REST);
        tokio::select! {
            () = control.stopping().cancelled() => return,
            () = tokio::time::sleep(rest.clamp(LEAST_REST, LONGEST_REST)) => {}
        }
    }
}

/// Does what is due in a region; after how long there is more to do.
pub(crate) async fn run(control: &Control, region: &str) -> Result<Duration, ArmError> {
    let Some(plane) = control.region(region).filter(|_| control.tuning().scrub_rate_bytes_s > 0) else {
        return Ok(LONGEST_REST);
    };
    let tenants = tenant::list(&mut *control.db().read().await?).await?;
    let mut rest = LONGEST_REST;
    for tenant in &tenants {
        match scrub_tenant(control, &*plane, tenant.id).await? {
            Turn::Rest(longer) => rest = rest.min(longer),
            Turn::Overtaken => rest = SHORT_REST,
        }
        if control.stopping().is_cancelled() {
            return Ok(rest);
        }
    }
    Ok(rest)
}

async fn scrub_tenant(control: &Control, region: &dyn Region, tenant: Uuid) -> Result<Turn, ArmError> {
    let mut state = State::load(control, region.name(), tenant).await?;
    let now_ms = control.now_ms();
    let period_ms = i64::try_from(control.tuning().scrub_period.as_millis()).unwrap_or(i64::MAX);
    if state.scrub.running.is_none() {
        let due_ms = state.scrub.last.as_ref().map_or(now_ms, |last| last.began_ms.saturating_add(period_ms));
        if due_ms > now_ms {
            return Ok(Turn::Rest(Duration::from_millis(due_ms.abs_diff(now_ms))));
        }
        state.scrub.running = Some(Pass { began_ms: now_ms, ..Pass::default() });
    }
    while let Some(mut pass) = state.scrub.running.clone() {
        if control.stopping().is_cancelled() {
            state.record().await?;
            return Ok(Turn::Rest(SHORT_REST));
        }
        let after = pass.after.as_deref().and_then(|name| name.parse::<PackId>().ok());
        let next = region.scrub_next(tenant, after).await.map_err(|error| failed(region.name(), &error))?;
        let Some(scrubbed) = next else {
            // What was found is walked for once more, and so is what is gone without a trace.
            state.walk(control, region).await?;
            let ended = EndedPass { began_ms: pass.began_ms, ended_ms: control.now_ms(), figures: pass.figures };
            log_pass(region.name(), tenant, &ended.figures, &state.scrub);
            (state.scrub.running, state.scrub.last) = (None, Some(ended));
            return Ok(match state.record().await? {
                true => Turn::Rest(Duration::from_millis(period_ms.unsigned_abs())),
                false => Turn::Overtaken,
            });
        };
        let found = scrubbed.damaged.len() as u64 + u64::from(scrubbed.complaint.is_some());
        pass.after = Some(scrubbed.pack.to_string());
        pass.figures.packs += 1;
        pass.figures.read_bytes += scrubbed.read_bytes;
        pass.figures.damaged_blobs += scrubbed.damaged.len() as u64 + scrubbed.known_damaged;
        pass.figures.damaged_packs += u64::from(scrubbed.complaint.is_some());
        count(region.name(), scrubbed.read_bytes, found);
        let is_walked_for = found > 0 && pass.walked_ms.is_none_or(|at_ms| control.now_ms() - at_ms >= WALK_AGAIN_MS);
        if is_walked_for {
            pass.walked_ms = Some(control.now_ms());
        }
        state.scrub.running = Some(pass);
        if is_walked_for {
            state.walk(control, region).await?;
        }
        if (is_walked_for || state.recorded.elapsed() >= RECORD_EVERY) && !state.record().await? {
            return Ok(Turn::Overtaken);
        }
        pace(control, scrubbed.read_bytes).await;
    }
    Ok(Turn::Rest(SHORT_REST))
}

/// Waits for as long as reading so much may take.
async fn pace(control: &Control, read_bytes: u64) {
    let seconds = read_bytes as f64 / control.tuning().scrub_rate_bytes_s.max(1) as f64;
    tokio::select! {
        () = control.stopping().cancelled() => {}
        () = tokio::time::sleep(Duration::from_secs_f64(seconds)) => {}
    }
}

/// A row that is being worked on.
struct State<'a> {
    control: &'a Control,
    region: String,
    tenant: Uuid,
    generation: u64,
    scrub: Scrub,
    recorded: Instant,
}

impl<'a> State<'a> {
    async fn load(control: &'a Control, region: &str, tenant: Uuid) -> Result<Self, ArmError> {
        let row = scrub::find(&mut *control.db().read().await?, region, tenant).await?;
        let (generation, scrub) = row.map_or_else(Default::default, |row| (row.generation, of(&row)));
        Ok(Self { control, region: region.to_owned(), tenant, generation, scrub, recorded: Instant::now() })
    }

    /// Writes the row; whether nobody else had.
    async fn record(&mut self) -> Result<bool, ArmError> {
        let document = serde_json::to_value(&self.scrub).expect("names and numbers become JSON");
        let row = ScrubRow { generation: self.generation, document };
        let is_written = transact!(self.control.db(), |tx| -> db::Result<bool> {
            scrub::write(tx, &self.region, self.tenant, &row).await
        })?;
        self.generation += 1;
        self.recorded = Instant::now();
        Ok(is_written)
    }

    /// Looks for images that lack something, and has them healed.
    async fn walk(&mut self, control: &Control, region: &dyn Region) -> Result<(), ArmError> {
        let (name, tenant) = (region.name(), self.tenant);
        // What is a root now is not collected while it is walked.
        let _pinned = control.pin(name, tenant, &[], "scrub").await?;
        let roots = disk_image::complete_roots(&mut *control.db().read().await?, name, tenant).await?;
        let missing = region.find_missing(tenant, roots, control.stopping().child_token()).await;
        let damaged: BTreeSet<_> = missing.map_err(|error| failed(name, &error))?.into_iter().collect();
        let hurt = control.heal(name, tenant, &damaged).await?;
        for lost in hurt.iter().filter(|hurt| !hurt.is_healing) {
            tracing::error!(region = name, resource = lost.id, manifest = %lost.manifest, "an image is damaged, and no other region has it");
        }
        let mut found: Vec<Hurt> = hurt
            .into_iter()
            .map(|hurt| Hurt { id: hurt.id, manifest: hurt.manifest.to_string(), healing: hurt.is_healing })
            .collect();
        // What heals is no complete replica any more, and so was not looked at.
        for earlier in still_hurt(&mut *control.db().read().await?, name, &self.scrub.hurt).await? {
            if earlier.healing && found.iter().all(|hurt| hurt.id != earlier.id) {
                found.push(earlier);
            }
        }
        self.scrub.hurt_count = found.len() as u64;
        found.truncate(MOST_HURT);
        self.scrub.hurt = found;
        Ok(())
    }
}

/// Those of the resources whose image has not healed since.
async fn still_hurt(tx: &mut Connection, region: &str, hurt: &[Hurt]) -> Result<Vec<Hurt>, ArmError> {
    let (mut left, mut healing) = (Vec::new(), BTreeSet::new());
    for version in hurt.iter().filter(|hurt| hurt.healing) {
        let id = ResourceId::parse(&version.id, "id")?;
        let replica = replica::find(tx, id.key(), region).await?;
        if replica.is_some_and(|replica| replica.state != ReplicationState::Completed) {
            healing.insert(version.manifest.clone());
        }
    }
    // A disk heals with the version that has the same image.
    left.extend(hurt.iter().filter(|hurt| !hurt.healing || healing.contains(&hurt.manifest)).cloned());
    Ok(left)
}

/// A document that another version wrote and this one cannot read begins anew.
fn of(row: &ScrubRow) -> Scrub {
    serde_json::from_value(row.document.clone()).unwrap_or_default()
}

fn failed(region: &str, error: &galerie_region::Error) -> ArmError {
    ArmError::service_unavailable(&format!("The region '{region}' could not be read: {error}"))
}

fn count(region: &str, read_bytes: u64, found: u64) {
    let region = region.to_owned();
    metrics::counter!("galerie_scrub_read_bytes_total", "region" => region.clone()).increment(read_bytes);
    metrics::counter!("galerie_scrub_findings_total", "region" => region).increment(found);
}

/// Shows how far each region is. Of several tenants the one counts that has waited longest.
pub(super) async fn show(control: &Control) -> Result<(), ArmError> {
    let mut tx = control.db().read().await?;
    let tenants = tenant::list(&mut tx).await?;
    for region in control.region_names() {
        let (mut oldest_ms, mut hurt) = (i64::MAX, 0);
        for tenant in &tenants {
            let row = scrub::find(&mut tx, &region, tenant.id).await?;
            let scrub = row.map(|row| of(&row)).unwrap_or_default();
            oldest_ms = oldest_ms.min(scrub.last.as_ref().map_or(0, |last| last.ended_ms));
            hurt += still_hurt_count(&scrub, &still_hurt(&mut tx, &region, &scrub.hurt).await?);
        }
        let seconds = if tenants.is_empty() { 0.0 } else { oldest_ms as f64 / 1000.0 };
        metrics::gauge!("galerie_scrub_last_pass_timestamp_seconds", "region" => region.clone()).set(seconds);
        metrics::gauge!("galerie_scrub_hurt_resources", "region" => region).set(hurt as f64);
    }
    Ok(())
}

/// How many are hurt, of whom `still_hurt` is what is left of those who are named.
fn still_hurt_count(scrub: &Scrub, still_hurt: &[Hurt]) -> u64 {
    scrub.hurt_count.saturating_sub((scrub.hurt.len() - still_hurt.len()) as u64)
}

/// What `galerie store stats` says of it.
pub(crate) async fn document(control: &Control, region: &str, tenant: Uuid) -> Result<Value, ArmError> {
    let mut tx = control.db().read().await?;
    let row = scrub::find(&mut tx, region, tenant).await?;
    let scrub = row.map(|row| of(&row)).unwrap_or_default();
    let hurt = still_hurt(&mut tx, region, &scrub.hurt).await?;
    drop(tx);
    let tuning = control.tuning();
    let period_ms = i64::try_from(tuning.scrub_period.as_millis()).unwrap_or(i64::MAX);
    let state = match (&scrub.running, tuning.scrub_rate_bytes_s) {
        (_, 0) => "off",
        (Some(_), _) => "running",
        _ => "resting",
    };
    let next_ms = scrub.last.as_ref().map(|last| last.began_ms.saturating_add(period_ms));
    Ok(json!({
        "state": state,
        "rateBytesPerSecond": tuning.scrub_rate_bytes_s,
        "running": scrub.running,
        "last": scrub.last,
        "nextMs": next_ms.filter(|_| state == "resting"),
        "hurtResourceCount": still_hurt_count(&scrub, &hurt),
        "hurtResources": hurt,
    }))
}
