//! Follows a version's replication until every region is done or has failed.

use std::time::Duration;

use serde_json::Value;

use crate::{
    cli::{
        document::{at, items, text},
        failure::{Failure, Result},
        progress::Replication,
    },
    client::Client,
};

/// How often the version is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Shows the regions until the version has succeeded.
///
/// # Errors
/// When it failed, with each region's reason.
pub(in crate::cli) async fn follow(client: &Client, version_path: &str) -> Result<()> {
    let mut shown = Replication::new();
    loop {
        let version = client.get(version_path, &[("$expand", "ReplicationStatus")]).await?;
        for replica in items(&version, "properties.replicationStatus.summary") {
            let percent = at(replica, "progress").as_u64().unwrap_or_default();
            shown.show(&text(replica, "region"), &text(replica, "state"), percent, &text(replica, "details"));
        }
        match text(&version, "properties.provisioningState").as_str() {
            "Succeeded" => {
                shown.end();
                return Ok(());
            }
            "Failed" | "Canceled" => {
                shown.end();
                return Err(Failure::new(reasons(&version)).advise(
                    "The other regions have the version; the server keeps trying. Publishing it again tries at once.",
                ));
            }
            _ => tokio::time::sleep(LOOK_INTERVAL).await,
        }
    }
}

fn reasons(version: &Value) -> String {
    let replicas = items(version, "properties.replicationStatus.summary").iter();
    let failed: Vec<String> = replicas
        .filter(|replica| text(replica, "state") == "Failed")
        .map(|replica| format!("{}: {}", text(replica, "region"), text(replica, "details")))
        .collect();
    match failed.is_empty() {
        true => "the version failed".to_owned(),
        false => format!("replication failed in {}", failed.join("; ")),
    }
}
