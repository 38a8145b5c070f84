//! The gallery behind the listener: the catalogue and the regions' stores, opened in the order that keeps them apart from
//! other galleries' (a store names its catalogue, the catalogue its stores).

use std::{sync::Arc, time::Duration};

use galerie_arm::{ApiVersion, etag::Precondition};
use galerie_control::{
    Caller, Control, ControlOptions, RegionElsewhere, RequestContext, ServedRegion, StoreIdentities,
};
use galerie_region::{LocalRegion, LocalRegionOptions, Region, Volume, Watermark};
use galerie_store::{
    StoreOptions,
    backend::{Backend, s3},
};
use uuid::Uuid;

use super::{
    DataDirectory, Error,
    config::{Config, RegionConfig},
    restore::refuse_unfinished,
};

/// The epoch of a store that is new, or new to its catalogue.
const FIRST_EPOCH: u64 = 1;

/// Everything below HTTP.
pub(crate) struct Gallery {
    pub(crate) control: Control,
    regions: Vec<String>,
}

impl Gallery {
    /// Opens the catalogue and all regions. Nothing runs yet.
    ///
    /// # Errors
    /// `Region`, naming the one that cannot be used; `Control`; `Unrestored`.
    pub(crate) async fn open(config: &Config, directory: &DataDirectory) -> Result<Self, Error> {
        refuse_unfinished(directory)?;
        Self::open_restored(config, directory).await
    }

    /// As [`Gallery::open`], also while a restore is being finished.
    ///
    /// # Errors
    /// As [`Gallery::open`].
    pub(super) async fn open_restored(config: &Config, directory: &DataDirectory) -> Result<Self, Error> {
        let database = config.catalogue(directory)?;
        let identities = StoreIdentities::read(&database).await?;
        let (ours, others): (Vec<_>, Vec<_>) = config.regions.iter().partition(|region| config.serves(&region.name));
        let cache_bytes = (config.cache_size_mib << 20) / ours.len() as u64;
        let mut served = Vec::with_capacity(ours.len());
        for region in ours {
            let options = region_options(region, directory, &identities, cache_bytes);
            let keep = region.min_free_space.unwrap_or(config.min_free_space).0;
            let space = Watermark::new(keep, Volume(options.root.clone()));
            let opened = open_region(region, options, space).await?;
            let region_plane: Arc<dyn Region> = Arc::new(opened);
            served.push(ServedRegion { region: region_plane, display_name: region.display_name.clone() });
        }
        let elsewhere = |region: &RegionConfig| RegionElsewhere {
            name: region.name.0.to_string(),
            display_name: region.display_name.clone(),
        };
        let mut options = ControlOptions::new(database, config.master_key_file(directory), served);
        options.elsewhere = others.into_iter().map(elsewhere).collect();
        options.tuning.collect_every = Duration::from_secs(config.collect_every_s);
        options.tuning.collect_grace_ms =
            i64::try_from(config.collect_grace_s.saturating_mul(1000)).unwrap_or(i64::MAX);
        options.tuning.scrub_rate_bytes_s = config.scrub_rate_mib_s << 20;
        options.tuning.scrub_period = Duration::from_secs(config.scrub_period_h.saturating_mul(3600));
        let control = Control::open(options).await?;
        if config.database.is_none() {
            let volume = Volume(directory.database());
            control.watch_catalogue_space(Watermark::new(config.min_free_space.0, volume));
        }
        Ok(Self { control, regions: config.regions.iter().map(|region| region.name.0.to_string()).collect() })
    }

    /// The regions, in the configuration's order.
    pub(crate) fn region_names(&self) -> &[String] {
        &self.regions
    }

    /// What the owner of the data directory may do: everything.
    ///
    /// # Errors
    /// `Control`, when the gallery was never started.
    pub(crate) async fn owner(&self) -> Result<RequestContext, Error> {
        let known = self.control.bootstrapped().await?;
        let caller =
            Caller { tenant: known.tenant, principal: Uuid::nil(), app_id: known.client_id, administrator: true };
        Ok(RequestContext {
            caller,
            api_version: ApiVersion::stable(2024, 3, 3),
            preconditions: Precondition::default(),
            correlation_id: Uuid::new_v4(),
        })
    }
}

async fn open_region(
    region: &RegionConfig,
    options: LocalRegionOptions,
    space: Watermark,
) -> Result<LocalRegion, Error> {
    let failed = |source| Error::Region { name: region.name.0.to_string(), source };
    match open_bucket(region)? {
        Some(bucket) => LocalRegion::open_on(options, bucket.backend, bucket.place, StoreOptions::default(), space).await.map_err(failed),
        None => LocalRegion::open_with_space(options, space).await.map_err(failed),
    }
}

/// A bucket that a region's store lies in.
pub(super) struct Bucket {
    pub(super) backend: Arc<dyn Backend>,
    /// How messages call it.
    place: String,
}

/// The bucket of a region; `None` for a region in a directory.
///
/// # Errors
/// `Config`; `Region` when no client of it can be set up.
pub(super) fn open_bucket(region: &RegionConfig) -> Result<Option<Bucket>, Error> {
    let Some(bucket) = region.bucket().map_err(Error::Config)? else { return Ok(None) };
    let place = bucket.place.to_string();
    let backend = s3::bounded(bucket).map_err(|source| Error::Region {
        name: region.name.0.to_string(),
        source: galerie_region::Error::Store { action: format!("set up a client of {place}"), source },
    })?;
    Ok(Some(Bucket { backend, place }))
}

fn region_options(
    region: &RegionConfig,
    directory: &DataDirectory,
    identities: &StoreIdentities,
    cache_bytes: u64,
) -> LocalRegionOptions {
    let name = region.name.0.as_str();
    let known = identities.region_stores.get(name);
    LocalRegionOptions {
        name: name.to_owned(),
        root: region.path.clone().unwrap_or_else(|| directory.region(name)),
        catalogue_id: identities.catalogue_id,
        expected_store_id: known.map(|store| store.store_id),
        epoch: known.map_or(FIRST_EPOCH, |store| store.epoch),
        index_dir: directory.index(),
        cache_bytes,
    }
}
