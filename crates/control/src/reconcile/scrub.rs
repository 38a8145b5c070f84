//! Everything that regions keep is read again and checked, over and over, at a bounded rate.
//!
//! ```text
//! resting --(the period has passed)--> running: pack after pack --(no next one)--> images walked, healed --> resting
//! ```
//! The place is in the catalogue, written every few seconds, so a restart goes on where it was. Damage is quarantined at once
//! by the store; the images that it hurts are looked for soon after, and at the end of each pass (`hurt`). What was quarantined
//! and reads now is taken in again.
//!
//! One process reads a region at a time: a chore, taken again with every writing of the place. That saves work; whoever is
//! slower finds the row written, and leaves the pass to the other.

use std::time::Duration;

use galerie_arm::ArmError;
use galerie_region::Region;
use galerie_store::{PackId, pack::PACK_MAX_BYTES};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    attempted,
    hurt::{self, Hurt, still_hurt, unreadable},
};
use crate::{
    Control,
    db::{
        self,
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
/// After a pass that found nothing to read the next one comes no later than this, in ms.
const WAIT_WHEN_EMPTY_MS: i64 = 600_000;
/// How long a pass is one process's without another word from it, beside what a pack may take.
const CHORE_LEASE: Duration = Duration::from_secs(60);

/// What is known of a tenant's part of a region.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Scrub {
    running: Option<Pass>,
    last: Option<EndedPass>,
    /// What was hurt when images were last walked; [`hurt`] writes it.
    pub(super) hurt: Vec<Hurt>,
    pub(super) hurt_count: u64,
}

impl Scrub {
    pub(super) fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("names and numbers become JSON")
    }
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
fn log_pass(region: &str, tenant: Uuid, figures: &Figures, hurt: u64) {
    let Figures { packs, read_bytes, damaged_blobs, damaged_packs } = *figures;
    if packs == 0 && hurt == 0 {
        return tracing::debug!(region, %tenant, "nothing to scrub");
    }
    tracing::info!(region, %tenant, packs, read_bytes, damaged_blobs, damaged_packs, hurt, "scrubbed");
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
        let due_ms = state.scrub.last.as_ref().map_or(now_ms, |last| last.next_ms(period_ms));
        if due_ms > now_ms {
            return Ok(Turn::Rest(Duration::from_millis(due_ms.abs_diff(now_ms))));
        }
        state.scrub.running = Some(Pass { began_ms: now_ms, ..Pass::default() });
    }
    if !takes_chore(control, region.name()).await? {
        return Ok(Turn::Overtaken);
    }
    while let Some(mut pass) = state.scrub.running.clone() {
        if control.stopping().is_cancelled() {
            state.record().await?;
            return Ok(Turn::Rest(SHORT_REST));
        }
        let after = pass.after.as_deref().and_then(|name| name.parse::<PackId>().ok());
        let next = region.scrub_next(tenant, after).await.map_err(|error| unreadable(region.name(), &error))?;
        let Some(scrubbed) = next else {
            // What was found is walked for once more, and so is what is gone without a trace.
            let hurt = hurt::look(control, region, tenant).await?;
            let ended = EndedPass { began_ms: pass.began_ms, ended_ms: control.now_ms(), figures: pass.figures };
            log_pass(region.name(), tenant, &ended.figures, hurt);
            let rest_ms = ended.next_ms(period_ms).saturating_sub(control.now_ms()).max(0);
            (state.scrub.running, state.scrub.last) = (None, Some(ended));
            return Ok(match state.record().await? {
                true => Turn::Rest(Duration::from_millis(rest_ms.unsigned_abs())),
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
            hurt::look(control, region, tenant).await?;
        }
        let is_recorded = is_walked_for || state.recorded.elapsed() >= RECORD_EVERY;
        if is_recorded && !(state.record().await? && takes_chore(control, region.name()).await?) {
            return Ok(Turn::Overtaken);
        }
        pace(control, scrubbed.read_bytes).await;
    }
    Ok(Turn::Rest(SHORT_REST))
}

/// Whether this process reads a region now, for all that serve it.
async fn takes_chore(control: &Control, region: &str) -> db::Result<bool> {
    let lease = CHORE_LEASE + reading_time(control, PACK_MAX_BYTES as u64) * 2;
    control.takes_chore(&format!("scrub/{region}"), lease).await
}

/// Waits for as long as reading so much may take.
async fn pace(control: &Control, read_bytes: u64) {
    tokio::select! {
        () = control.stopping().cancelled() => {}
        () = tokio::time::sleep(reading_time(control, read_bytes)) => {}
    }
}

/// How long reading so much may take.
fn reading_time(control: &Control, read_bytes: u64) -> Duration {
    Duration::from_secs_f64(read_bytes as f64 / control.tuning().scrub_rate_bytes_s.max(1) as f64)
}

impl EndedPass {
    /// When the next pass is due. One that found nothing to read does not count: what is stored next would be read late.
    fn next_ms(&self, period_ms: i64) -> i64 {
        let wait_ms = match self.figures.packs {
            0 => period_ms.min(WAIT_WHEN_EMPTY_MS),
            _ => period_ms,
        };
        self.began_ms.saturating_add(wait_ms)
    }
}

/// A row that is being worked on.
struct State<'a> {
    control: &'a Control,
    region: String,
    tenant: Uuid,
    /// As it was read, or written last.
    known: Scrub,
    scrub: Scrub,
    recorded: Instant,
}

impl<'a> State<'a> {
    async fn load(control: &'a Control, region: &str, tenant: Uuid) -> Result<Self, ArmError> {
        let row = scrub::find(&mut *control.db().read().await?, region, tenant).await?;
        let scrub = row.map_or_else(Default::default, |row| of(&row));
        let known = scrub.clone();
        Ok(Self { control, region: region.to_owned(), tenant, known, scrub, recorded: Instant::now() })
    }

    /// Writes how far the pass is; whether nobody else had. What is hurt is others' to write, and stays.
    async fn record(&mut self) -> Result<bool, ArmError> {
        let is_written = transact!(self.control.db(), |tx| -> db::Result<bool> {
            let mut row = scrub::find(tx, &self.region, self.tenant).await?.unwrap_or_default();
            let now = of(&row);
            if (&now.running, &now.last) != (&self.known.running, &self.known.last) {
                return Ok(false);
            }
            let (running, last) = (self.scrub.running.clone(), self.scrub.last.clone());
            row.document = Scrub { running, last, ..now }.to_value();
            scrub::write(tx, &self.region, self.tenant, &row).await
        })?;
        self.known = self.scrub.clone();
        self.recorded = Instant::now();
        Ok(is_written)
    }
}

/// A document that another version wrote and this one cannot read begins anew.
pub(super) fn of(row: &ScrubRow) -> Scrub {
    serde_json::from_value(row.document.clone()).unwrap_or_default()
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
    let next_ms = scrub.last.as_ref().map(|last| last.next_ms(period_ms));
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
