//! One region's store cannot be opened: the others serve, and it comes back by itself.

use std::sync::atomic::{AtomicBool, Ordering};

use galerie_arm::OperationStatus;

use super::*;
use crate::testing::World;

/// A store that lies on a volume which is not there until somebody mounts it.
#[derive(Default)]
struct Volume {
    is_mounted: AtomicBool,
    region: std::sync::Mutex<Option<Arc<dyn Region>>>,
}

#[async_trait]
impl OpenRegion for Volume {
    async fn open(&self) -> Result<Arc<dyn Region>, galerie_region::Error> {
        let region = self.region.lock().unwrap().clone().filter(|_| self.is_mounted.load(Ordering::SeqCst));
        region.ok_or_else(|| galerie_region::Error::Busy("the volume is not mounted".to_owned()))
    }
}

/// Regression: a region whose volume was not mounted kept the whole server from starting.
#[tokio::test]
async fn a_region_that_is_away_stops_nobody_else_and_comes_back() {
    let world = World::new().await;
    world.start();
    world.furnish().await;
    let import = world.upload(b"guest bytes", true).await;
    world.ended(&import).await;
    let copy = world.publish(&["eastus", "westus"]).await.unwrap();
    world.ended(&copy).await;
    world.control.shutdown().await;

    let volume = Arc::new(Volume::default());
    *volume.region.lock().unwrap() = Some(world.open_region("westus").await);
    let world = world.reopen_without("westus", volume.clone()).await;
    world.start();
    assert_eq!(world.control.away_regions(), ["westus"]);
    assert_eq!(world.control.readiness().await, Ok(()), "the others serve");
    assert_eq!(world.control.store_stats(&world.ctx(), "westus").await.unwrap_err().status, 503);
    world.control.store_stats(&world.ctx(), "eastus").await.unwrap();
    // What needs the region waits, and loses no attempts.
    let waiting = world.publish_as("2.0.0", &["eastus", "westus"]).await.unwrap();
    let done = world.publish_as("3.0.0", &["eastus", "westeurope"]).await.unwrap();
    assert_eq!(world.ended(&done).await.0, OperationStatus::Succeeded);
    run(&world.control).await.unwrap();
    assert_eq!(world.control.away_regions(), ["westus"]);
    let view = world.control.operation_status(&world.ctx(), waiting.subscription, waiting.id).await.unwrap();
    assert_eq!(view.document.status, OperationStatus::InProgress);

    volume.is_mounted.store(true, Ordering::SeqCst);
    run(&world.control).await.unwrap();
    assert!(world.control.away_regions().is_empty());
    assert_eq!(world.ended(&waiting).await.0, OperationStatus::Succeeded);
    world.control.store_stats(&world.ctx(), "westus").await.unwrap();
    world.control.shutdown().await;
}

/// The store of a new region could not be told from another one later.
#[tokio::test]
async fn a_region_that_was_never_there_must_be() {
    let world = World::new().await;
    let database = crate::testing::database(world.directory.path()).await;
    let mut options = crate::ControlOptions::new(database, world.directory.path().join("master.key"), Vec::new());
    options.away =
        vec![AwayRegion { name: "northeurope".to_owned(), display_name: None, opener: Arc::new(Volume::default()) }];
    let refused = Control::open(options).await.unwrap_err().to_string();
    assert!(refused.contains("northeurope") && refused.contains("new"), "{refused}");
}
