//! What a decision about a definition's versions rests on, read in one transaction.

use std::collections::{HashMap, HashSet};

use galerie_arm::ArmError;

use super::decide::{self, Policy, ReplicaFacts, Verdict, VersionFacts};
use crate::{
    db::{Connection, image_version, pinned_version, replica, resource, resource::ResourceRow, version_use},
    image_version::check_delete,
    resource::document::text,
};

/// Versions of a definition that are looked at; ten times Azure's limit for a whole subscription.
const MOST_VERSIONS: u32 = 100_000;
const END_OF_LIFE: &str = "properties.publishingProfile.endOfLifeDate";

/// Decides about each of a definition's versions, as they are in this transaction.
///
/// # Errors
/// `OperationNotAllowed` for a definition with more versions than are looked at; the catalogue's.
pub(super) async fn verdicts(
    tx: &mut Connection,
    definition: &ResourceRow,
    policy: Policy,
    now_ms: i64,
) -> Result<Vec<Verdict>, ArmError> {
    let mut versions = gather(tx, definition).await?;
    let first = decide::decide(policy, &versions, now_ms);
    // Documents are long, so they are read only of what would go.
    let going: HashSet<&str> = first.iter().filter(|verdict| verdict.deletes()).map(|verdict| &*verdict.key).collect();
    if going.is_empty() {
        return Ok(first);
    }
    for version in versions.iter_mut().filter(|version| going.contains(version.key.as_str())) {
        if let Some(row) = resource::find(tx, &version.key).await?
            && check_delete(&row.name, &row.document, now_ms).is_err()
        {
            version.protected_until = text(&row.document, END_OF_LIFE).map(str::to_owned);
        }
    }
    Ok(decide::decide(policy, &versions, now_ms))
}

async fn gather(tx: &mut Connection, definition: &ResourceRow) -> Result<Vec<VersionFacts>, ArmError> {
    let rows = image_version::list(tx, &definition.key, MOST_VERSIONS + 1).await?;
    if rows.len() > MOST_VERSIONS as usize {
        let message = format!("Retention looks at {MOST_VERSIONS} versions of an image definition; this one has more.");
        return Err(ArmError::operation_not_allowed(&message));
    }
    let mut replicas: HashMap<String, Vec<ReplicaFacts>> = HashMap::new();
    for row in replica::list_below(tx, &definition.key).await? {
        let facts = ReplicaFacts { region: row.region, state: row.state, is_excluded: row.exclude_from_latest };
        replicas.entry(row.version).or_default().push(facts);
    }
    let pinned: HashSet<String> =
        pinned_version::below(tx, &definition.key).await?.into_iter().map(|pin| pin.version).collect();
    let used = version_use::count_below(tx, &definition.key, definition.tenant).await?;
    let used: HashMap<_, _> =
        used.into_iter().map(|used| ((used.version, used.version_uid), (used.disks, used.making))).collect();
    let facts = rows.into_iter().map(|row| {
        let key = row.version.key;
        let (disks, making) = used.get(&(key.clone(), row.uid)).copied().unwrap_or_default();
        VersionFacts {
            uid: row.uid,
            numbers: row.version.numbers,
            state: row.state,
            published_ms: row.version.published_ms,
            is_excluded: row.version.exclude_from_latest,
            replicas: replicas.remove(&key).unwrap_or_default(),
            is_pinned: pinned.contains(&key),
            disks,
            making,
            protected_until: None,
            key,
        }
    });
    Ok(facts.collect())
}
