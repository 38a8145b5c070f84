//! Copying what is alive out of condemned packs, into new ones.

use std::{collections::VecDeque, sync::Arc};

use tokio_util::sync::CancellationToken;

use super::mark::Marks;
use crate::{BlobId, BlobSink, BlobSource, CondemnedPacks, Error, PackId, Result, domain::Domain, pack::PackTable};

/// How many bytes of live blobs are copied out of a pack at a time.
const COPY_BATCH_BYTES: u64 = 4 * 1024 * 1024;

/// Packs to copy out of together, so that what is alive in many fills few new ones. Those with the least alive come
/// first: they give back the most for the space they take.
pub(super) fn groups(mut packs: Vec<PackId>, marks: &Marks, group_bytes: u64) -> VecDeque<Vec<PackId>> {
    packs.sort_by_key(|pack| marks.live_bytes(pack));
    let mut groups: VecDeque<Vec<PackId>> = VecDeque::new();
    let mut sum_bytes = u64::MAX;
    for pack in packs {
        let live_bytes = marks.live_bytes(&pack);
        match groups.back_mut() {
            Some(group) if sum_bytes.saturating_add(live_bytes) <= group_bytes => {
                group.push(pack);
                sum_bytes += live_bytes;
            }
            _ => {
                groups.push_back(vec![pack]);
                sum_bytes = live_bytes;
            }
        }
    }
    groups
}

/// Whether copying failed because of what these packs hold or how much it is; others may do better.
pub(super) fn is_of_these_packs(error: &Error) -> bool {
    matches!(error, Error::Full { .. } | Error::NotFound(_)) || error.is_damage()
}

/// Copies what is alive in these packs and in no sound one; what it took, as stored. When it returns `Ok`, the copies are
/// durable.
pub(super) async fn copy_live(
    domain: &Arc<Domain>,
    packs: &[PackId],
    avoided: &CondemnedPacks,
    marks: &Marks,
    cancel: &CancellationToken,
) -> Result<u64> {
    let writer = domain.collectors_writer(avoided.clone()).await?;
    let mut copied_bytes = 0;
    for pack in packs {
        let table = domain.table(*pack, marks.size_bytes(pack)).await?;
        for ids in live_batches(&table, marks) {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            for blob in domain.fetch_verified(&ids, None).await? {
                if !writer.contains(&blob.id)? {
                    copied_bytes += blob.bytes.len() as u64;
                    writer.put_async(blob).await?;
                }
            }
        }
    }
    writer.finish().await?;
    Ok(copied_bytes)
}

fn live_batches(table: &PackTable, marks: &Marks) -> Vec<Vec<BlobId>> {
    let mut batches = vec![Vec::new()];
    let mut batch_bytes = 0;
    for (slot, entry) in (0_u32..).zip(&table.entries) {
        if !marks.is_live(&table.pack, slot) {
            continue;
        }
        if batch_bytes > COPY_BATCH_BYTES {
            batches.push(Vec::new());
            batch_bytes = 0;
        }
        batch_bytes += u64::from(entry.length_bytes);
        batches.last_mut().expect("there is always one").push(entry.id);
    }
    batches.retain(|batch: &Vec<BlobId>| !batch.is_empty());
    batches
}
