//! Free space is shown, so that somebody sees it shrink; and its going below the watermark is logged once.

use std::collections::HashSet;

use galerie_arm::ArmError;

use crate::Control;

pub(super) async fn run(control: &Control) -> Result<(), ArmError> {
    let mut low = HashSet::new();
    for region in control.regions() {
        if let Some((space, least_free_bytes)) = region.space().await {
            let name = region.name().to_owned();
            metrics::gauge!("galerie_region_free_bytes", "region" => name.clone()).set(space.free_bytes as f64);
            metrics::gauge!("galerie_region_least_free_bytes", "region" => name.clone()).set(least_free_bytes as f64);
            if space.free_bytes < least_free_bytes {
                low.insert(format!("the region '{name}'"));
            }
        }
    }
    if let Some(watermark) = control.catalogue_space().get().cloned() {
        let looked = galerie_store::blocking::run(move || watermark.look()).await.ok().flatten();
        if let Some((space, least_free_bytes)) = looked {
            metrics::gauge!("galerie_catalogue_free_bytes").set(space.free_bytes as f64);
            metrics::gauge!("galerie_catalogue_least_free_bytes").set(least_free_bytes as f64);
            if space.free_bytes < least_free_bytes {
                low.insert("the catalogue".to_owned());
            }
        }
    }
    let known = control.low_on_space();
    for volume in low.difference(&known) {
        tracing::warn!(volume, "less space is free than is kept free: nothing new is taken until there is more");
    }
    for volume in known.difference(&low) {
        tracing::info!(volume, "there is room again");
    }
    control.set_low_on_space(low);
    Ok(())
}
