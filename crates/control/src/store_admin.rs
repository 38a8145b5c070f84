//! Looking after the region stores: what an administrator asks of a running server.

use std::sync::Arc;

use galerie_arm::ArmError;
use galerie_region::Region;
use galerie_store::{
    CollectReport, CollectorOptions, DomainStats, ManifestId, PackId, VerifyReport, inspect::ImageAnatomy,
    pack::PackTable,
};
use serde_json::{Value, json};

use crate::{
    Control,
    access::region_away,
    audit, authz,
    backup::describe_waiting,
    db::{disk_image, transact},
    healing::HurtResource,
    reconcile::{Ledger, scrub},
    request::RequestContext,
};

/// What changes stores, as rights and the audit name it.
const VERIFY: &str = "Galerie/stores/verify/action";
const COLLECT: &str = "Galerie/stores/collect/action";
/// Most damaged things that a report names; what is beyond is counted.
const MOST_NAMED: usize = 1000;

impl Control {
    /// Sizes and counts of the tenant's part of a region's store.
    ///
    /// # Errors
    /// `AuthorizationFailed`, an unknown region, the region's failure.
    pub async fn store_stats(&self, ctx: &RequestContext, region: &str) -> Result<Value, ArmError> {
        let region = self.administered(ctx, region, "Galerie/stores/read")?;
        let stats = region.stats(ctx.caller.tenant).await.map_err(|error| failed(&*region, &error))?;
        let waits = self.is_collection_waiting(region.name(), ctx.caller.tenant).await?;
        let mut document = stats_document(&*region, &stats, waits);
        document["space"] = self.space_document(&*region, ctx.caller.tenant).await?;
        document["scrub"] = scrub::document(self, region.name(), ctx.caller.tenant).await?;
        Ok(document)
    }

    /// Re-reads and checks everything that the tenant has in a region, and that every image there is complete. Images that
    /// are not are copied again from other regions; the answer names what is hurt, and whether it heals.
    ///
    /// # Errors
    /// As [`Control::store_stats`].
    pub async fn store_verify(&self, ctx: &RequestContext, region: &str) -> Result<Value, ArmError> {
        let region = self.administered(ctx, region, VERIFY)?;
        self.record_store_action(ctx, VERIFY, region.name()).await?;
        let tenant = ctx.caller.tenant;
        // What is a root now is not collected while it is walked.
        let _pinned = self.pin(region.name(), tenant, &[], "verify").await?;
        let roots = disk_image::complete_roots(&mut *self.db().read().await?, region.name(), tenant).await?;
        let report = region.verify(tenant, roots, self.stopping().child_token()).await;
        let report = report.map_err(|error| failed(&*region, &error))?;
        let damaged = report.missing_blobs.iter().map(|(manifest, _)| *manifest).collect();
        let hurt = self.heal(region.name(), tenant, &damaged).await?;
        if report.missing_blobs.is_empty() {
            self.end_waiting(region.name(), tenant).await?;
        }
        Ok(verify_document(&*region, &report, &hurt))
    }

    /// Collects the tenant's garbage in a region now.
    ///
    /// # Errors
    /// As [`Control::store_stats`].
    pub async fn store_collect(&self, ctx: &RequestContext, region: &str) -> Result<Value, ArmError> {
        let region = self.administered(ctx, region, COLLECT)?;
        self.record_store_action(ctx, COLLECT, region.name()).await?;
        let report = self.collect(ctx, &*region, self.tuning().collector()).await?;
        self.collected(ctx, &*region, &report).await
    }

    /// As [`Control::store_collect`], for a process that has the data directory to itself and serves nobody: there is no
    /// reader to spare, so what can go goes at once.
    ///
    /// # Errors
    /// As [`Control::store_stats`].
    pub async fn store_collect_alone(&self, ctx: &RequestContext, region: &str) -> Result<Value, ArmError> {
        let region = self.administered(ctx, region, COLLECT)?;
        self.record_store_action(ctx, COLLECT, region.name()).await?;
        let options = CollectorOptions { readers_grace_ms: 0, ..CollectorOptions::default() };
        let mut report = self.collect(ctx, &*region, options).await?;
        if report.condemned_packs > 0 {
            report = report.followed_by(self.collect(ctx, &*region, options).await?);
        }
        self.collected(ctx, &*region, &report).await
    }

    async fn record_store_action(
        &self,
        ctx: &RequestContext,
        action: &'static str,
        region: &str,
    ) -> Result<(), ArmError> {
        let resource = format!("/galerie/store/{region}");
        transact!(self.db(), |tx| -> Result<(), ArmError> {
            audit::record(tx, ctx, self.now_ms(), action, &resource, None).await
        })
    }

    /// What a collection did, and what is left to do.
    async fn collected(
        &self,
        ctx: &RequestContext,
        region: &dyn Region,
        report: &CollectReport,
    ) -> Result<Value, ArmError> {
        let mut document = collect_document(region, report);
        document["space"] = self.space_document(region, ctx.caller.tenant).await?;
        Ok(document)
    }

    async fn collect(
        &self,
        ctx: &RequestContext,
        region: &dyn Region,
        options: CollectorOptions,
    ) -> Result<CollectReport, ArmError> {
        if self.is_collection_waiting(region.name(), ctx.caller.tenant).await? {
            return Err(ArmError::new(409, "Conflict", describe_waiting(region.name())));
        }
        let (ledger, cancel) = (Ledger::new(self, region.name()), self.stopping().child_token());
        let report = region.collect(ctx.caller.tenant, &ledger, options, self.now_ms(), cancel).await;
        report.map_err(|error| failed(region, &error))
    }

    /// What a name stands for in a region's store: a pack's table (32 hexadecimal digits) or an image's segments (64).
    ///
    /// # Errors
    /// As [`Control::store_stats`]; 404 when there is no such pack or image.
    pub async fn store_inspect(&self, ctx: &RequestContext, region: &str, name: &str) -> Result<Value, ArmError> {
        let region = self.administered(ctx, region, "Galerie/stores/read")?;
        let tenant = ctx.caller.tenant;
        if let Ok(pack) = name.parse::<PackId>() {
            let table = region.inspect_pack(tenant, pack).await.map_err(|error| failed(&*region, &error))?;
            return Ok(pack_document(&table));
        }
        let Ok(manifest) = name.parse::<ManifestId>() else {
            let message = "A pack's name has 32 hexadecimal digits, a manifest's id 64.";
            return Err(ArmError::invalid_parameter("name", message));
        };
        let anatomy = region.inspect_image(tenant, manifest).await.map_err(|error| failed(&*region, &error))?;
        Ok(image_document(manifest, &anatomy))
    }

    fn administered(
        &self,
        ctx: &RequestContext,
        region: &str,
        action: &'static str,
    ) -> Result<Arc<dyn Region>, ArmError> {
        authz::require_administrator(&ctx.caller, action)?;
        let location = self.locations().require(region, "Galerie/stores")?;
        self.region(location.as_str()).ok_or_else(|| region_away(location.as_str()))
    }
}

fn failed(region: &dyn Region, error: &galerie_region::Error) -> ArmError {
    use galerie_region::Error;
    match error {
        Error::NotFound(what) | Error::Store { source: galerie_store::Error::NotFound(what), .. } => {
            ArmError::new(404, "NotFound", format!("{what} is not in the store of the region '{}'.", region.name()))
        }
        Error::Invalid(why) | Error::Refused(why) => ArmError::new(400, "InvalidParameter", why.clone()),
        _ => {
            tracing::error!(region = region.name(), %error, source = error_source(error), "look after a store");
            ArmError::new(
                500,
                "InternalOperationError",
                format!("The store of the region '{}': {error}", region.name()),
            )
        }
    }
}

fn error_source(error: &dyn std::error::Error) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}

fn stats_document(region: &dyn Region, stats: &DomainStats, collection_waits: bool) -> Value {
    json!({
        "region": region.name(),
        "storeId": region.store_id(),
        "packs": stats.packs,
        "packBytes": stats.pack_bytes,
        "blobs": stats.blobs,
        "quarantined": stats.quarantined,
        "unreadablePacks": stats.unreadable_packs,
        "unreadablePackBytes": stats.unreadable_pack_bytes,
        "collection": if collection_waits { "waits for a verification" } else { "hourly" },
        "index": {
            "recentEntries": stats.index.recent_entries,
            "runEntries": stats.index.run_entries,
            "runs": stats.index.runs,
            "diskBytes": stats.index.disk_bytes,
            "memoryBytes": stats.index.memory_bytes,
        },
    })
}

fn verify_document(region: &dyn Region, report: &VerifyReport, hurt: &[HurtResource]) -> Value {
    let packs = report.damaged_packs.iter().map(|(pack, why)| json!({ "pack": pack.to_string(), "reason": why }));
    let blobs = report.damaged_blobs.iter().map(|damaged| {
        json!({
            "pack": damaged.pack.to_string(),
            "blob": damaged.id.to_string(),
            "kind": format!("{:?}", damaged.kind),
            "reason": damaged.reason,
        })
    });
    let missing = report
        .missing_blobs
        .iter()
        .map(|(manifest, blob)| json!({ "manifest": manifest.to_string(), "blob": blob.to_string() }));
    let hurt_resources = hurt
        .iter()
        .map(|hurt| json!({ "id": hurt.id, "manifest": hurt.manifest.to_string(), "healing": hurt.is_healing }));
    json!({
        "region": region.name(),
        "sound": report.is_sound(),
        "packs": report.packs,
        "blobs": report.blobs,
        "readBytes": report.read_bytes,
        "damagedPackCount": report.damaged_packs.len(),
        "damagedBlobCount": report.damaged_blobs.len(),
        "knownDamagedBlobCount": report.known_damaged,
        "missingBlobCount": report.missing_blobs.len(),
        "damagedPacks": packs.take(MOST_NAMED).collect::<Vec<_>>(),
        "damagedBlobs": blobs.take(MOST_NAMED).collect::<Vec<_>>(),
        "missingBlobs": missing.take(MOST_NAMED).collect::<Vec<_>>(),
        "hurtResourceCount": hurt.len(),
        "hurtResources": hurt_resources.take(MOST_NAMED).collect::<Vec<_>>(),
    })
}

fn collect_document(region: &dyn Region, report: &CollectReport) -> Value {
    json!({
        "region": region.name(),
        "packs": report.packs,
        "liveBlobs": report.live_blobs,
        "deadBlobs": report.dead_blobs,
        "liveBytes": report.live_bytes,
        "deadBytes": report.dead_bytes,
        "missingBlobs": report.missing_blobs,
        "lostLists": report.lost_lists,
        "unreadablePacks": report.unreadable_packs,
        "condemnedPacks": report.condemned_packs,
        "waitingPacks": report.waiting_packs,
        "copiedBytes": report.copied_bytes,
        "uncopiedPacks": report.uncopied_packs,
        "deletedPacks": report.deleted_packs,
        "givenBackBytes": report.given_back_bytes,
        "markMemoryBytes": report.mark_memory_bytes,
        "markElapsedMs": report.mark_elapsed_ms,
    })
}

fn pack_document(table: &PackTable) -> Value {
    let entries = table.entries.iter().map(|entry| {
        json!({
            "id": entry.id.to_string(),
            "kind": format!("{:?}", entry.kind),
            "codec": format!("{:?}", entry.codec),
            "offsetBytes": entry.offset_bytes,
            "storedBytes": entry.stored_bytes,
            "lengthBytes": entry.length_bytes,
        })
    });
    json!({ "pack": table.pack.to_string(), "entries": entries.collect::<Vec<_>>() })
}

fn image_document(manifest: ManifestId, anatomy: &ImageAnatomy) -> Value {
    let segments = anatomy.segments.iter().map(|segment| {
        json!({
            "index": segment.index,
            "id": segment.id.to_string(),
            "entries": segment.entries,
            "dataBytes": segment.data_bytes,
        })
    });
    json!({
        "manifest": manifest.to_string(),
        "virtualSizeBytes": anatomy.virtual_size_bytes,
        "dataBytes": anatomy.data_bytes,
        "storedBytes": anatomy.stored_bytes,
        "chunks": anatomy.chunks,
        "segments": segments.collect::<Vec<_>>(),
    })
}
