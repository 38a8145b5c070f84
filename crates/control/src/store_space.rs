//! What a region's space is made of, for those who look after it: what is alive, what is garbage, why it is not free yet and
//! when it will be.

use galerie_region::Region;
use galerie_store::{CollectSurvey, PackSum};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Control, db,
    db::pin::{self, PinRow},
    reconcile::Ledger,
};

/// Most pins that are named; the oldest come first, and they are what matters.
const MOST_PINS: u32 = 100;

impl Control {
    /// A tenant's space in a region. What cannot be said, because an image cannot be walked, is a `problem`: the collector
    /// has the same.
    pub(crate) async fn space_document(&self, region: &dyn Region, tenant: Uuid) -> db::Result<Value> {
        let (ledger, cancel) = (Ledger::new(self, region.name()), self.stopping().child_token());
        let survey = match region.survey(tenant, &ledger, self.now_ms(), cancel).await {
            Ok(survey) => survey,
            Err(error) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                return Ok(json!({ "problem": format!("{error}{cause}") }));
            }
        };
        let pins = pin::list(&mut *self.db().read().await?, region.name(), tenant, MOST_PINS).await?;
        let mut document = document(&survey);
        document["pins"] = pins.iter().map(pin_document).collect();
        document["nextCollectionMs"] = self.next_collection_ms().into();
        Ok(document)
    }
}

fn document(survey: &CollectSurvey) -> Value {
    let sum = |sum: PackSum| json!({ "packs": sum.packs, "bytes": sum.bytes, "liveBytes": sum.live_bytes, "deadBytes": sum.dead_bytes() });
    json!({
        "liveBytes": survey.live_bytes(),
        "deadBytes": survey.dead_bytes(),
        "missingBlobs": survey.missing_blobs,
        "kept": sum(survey.kept),
        "beingWritten": sum(survey.being_written),
        "toCondemn": sum(survey.to_condemn),
        "waitingForPins": sum(survey.pinned),
        "toEmpty": sum(survey.to_empty),
        "inGrace": sum(survey.in_grace),
        "toDelete": sum(survey.to_delete),
        "graceEndsMs": survey.grace_ends_ms,
        "unreadable": { "packs": survey.unreadable.packs, "bytes": survey.unreadable.bytes },
        "unreadableEndMs": survey.unreadable_end_ms,
    })
}

/// Whose pin it is, without the process that holds it.
fn pin_document(pin: &PinRow) -> Value {
    let work = pin.owner.rsplit('/').next().unwrap_or_default();
    json!({ "sequence": pin.sequence, "work": work, "expiresMs": pin.expires_ms })
}
