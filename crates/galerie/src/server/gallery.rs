//! The gallery behind the listener: the catalogue and the regions' stores, opened in the order that keeps them apart from
//! other galleries' (a store names its catalogue, the catalogue its stores).

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::future::join_all;
use galerie_arm::{ApiVersion, etag::Precondition};
use galerie_control::{
    AwayRegion, Caller, Control, ControlOptions, MovableClock, OpenRegion, RegionElsewhere, RequestContext,
    ServedRegion, StoreIdentities,
};
use galerie_region::{FaultyRegion, LocalRegion, LocalRegionOptions, Region, RegionTrouble, Volume, Watermark};
use galerie_store::{
    StoreOptions,
    backend::{Backend, s3},
};
use uuid::Uuid;

use super::{
    DataDirectory, Error,
    config::{Config, RegionConfig},
    fetch::HttpFetch,
    restore::refuse_unfinished,
};

/// The epoch of a store that is new, or new to its catalogue.
const FIRST_EPOCH: u64 = 1;
/// How long a start waits for a region. One that takes longer (a bucket that does not answer) is away, and tried again.
const OPEN_WITHIN: Duration = Duration::from_secs(15);

/// Everything below HTTP.
pub(crate) struct Gallery {
    pub(crate) control: Control,
    regions: Vec<String>,
}

/// What a gallery is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Serve,
    Command,
    /// To end a restore.
    Restore,
}

impl Gallery {
    /// Opens the catalogue and the regions, for a command beside a stopped server. A region whose store cannot be opened is away,
    /// unless it is required, or new, or its place has another store. Nothing runs yet.
    ///
    /// # Errors
    /// `Region`, naming the one that cannot be used; `Control`; `Unrestored`.
    pub(crate) async fn open(config: &Config, directory: &DataDirectory) -> Result<Self, Error> {
        refuse_unfinished(directory)?;
        Self::open_for(Purpose::Command, config, directory).await
    }

    /// As [`Gallery::open`], to be served: refused when its clock was moved on, and the configuration does not say that it may be.
    ///
    /// # Errors
    /// As [`Gallery::open`].
    pub(super) async fn open_to_serve(config: &Config, directory: &DataDirectory) -> Result<Self, Error> {
        refuse_unfinished(directory)?;
        Self::open_for(Purpose::Serve, config, directory).await
    }

    /// As [`Gallery::open`], while a restore is being finished: every region is required.
    ///
    /// # Errors
    /// As [`Gallery::open`].
    pub(super) async fn open_restored(config: &Config, directory: &DataDirectory) -> Result<Self, Error> {
        Self::open_for(Purpose::Restore, config, directory).await
    }

    async fn open_for(purpose: Purpose, config: &Config, directory: &DataDirectory) -> Result<Self, Error> {
        let database = config.catalogue(directory)?;
        let identities = StoreIdentities::read(&database).await?;
        let (ours, others): (Vec<_>, Vec<_>) = config.regions.iter().partition(|region| config.serves(&region.name));
        let cache_bytes = (config.cache_size_mib << 20) / ours.len() as u64;
        let opening = ours.into_iter().map(|region| {
            let options = region_options(region, directory, &identities, cache_bytes);
            let keep = region.min_free_space.unwrap_or(config.min_free_space).0;
            let space = Watermark::new(keep, Volume(options.root.clone()));
            let opener = Opener { region: region.clone(), options, space, trouble: config.trouble(&region.name) };
            async move { (opener.open_soon(purpose == Purpose::Restore).await, opener) }
        });
        let (mut served, mut away) = (Vec::new(), Vec::new());
        for (opened, opener) in join_all(opening).await {
            let display_name = opener.region.display_name.clone();
            match opened? {
                Some(region) => served.push(ServedRegion { region, display_name }),
                None => {
                    let name = opener.region.name.0.to_string();
                    away.push(AwayRegion { name, display_name, opener: Arc::new(opener) });
                }
            }
        }
        let elsewhere = |region: &RegionConfig| RegionElsewhere {
            name: region.name.0.to_string(),
            display_name: region.display_name.clone(),
        };
        let mut options = ControlOptions::new(database, config.master_key_file(directory.root()), served);
        options.data_dir = directory.root().to_owned();
        options.fetch = Arc::new(HttpFetch::new(&config.fetch)?);
        options.away = away;
        options.elsewhere = others.into_iter().map(elsewhere).collect();
        options.tuning.collect_every = Duration::from_secs(config.collect_every_s);
        options.tuning.collect_grace_ms =
            i64::try_from(config.collect_grace_s.saturating_mul(1000)).unwrap_or(i64::MAX);
        options.tuning.scrub_rate_bytes_s = config.scrub_rate_mib_s << 20;
        options.tuning.audit_kept = config.audit_kept();
        options.tuning.scrub_period = Duration::from_secs(config.scrub_period_h.saturating_mul(3600));
        if let Some(retry) = config.failed_copies_retried_after() {
            options.tuning.retry_failed_replicas_after_ms = i64::try_from(retry.as_millis()).unwrap_or(i64::MAX);
        }
        // Commands beside a stopped server go by the catalogue's time, whatever it is; to serve one whose time was moved on, one
        // says so. A PostgreSQL database has its own.
        if config.database.is_none() && (config.has_movable_clock() || purpose != Purpose::Serve) {
            options.clock = Arc::new(MovableClock::default());
        }
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
        let caller = Caller::application(known.tenant, known.principal, known.client_id, true);
        Ok(RequestContext {
            caller,
            api_version: ApiVersion::stable(2024, 3, 3),
            preconditions: Precondition::default(),
            auxiliary: Vec::new(),
            correlation_id: Uuid::new_v4(),
            client_address: None,
        })
    }
}

/// Opens a region, at the start and as often as it is away.
struct Opener {
    region: RegionConfig,
    options: LocalRegionOptions,
    space: Watermark,
    /// What is wrong with it on purpose.
    trouble: Option<RegionTrouble>,
}

impl Opener {
    /// Opens the region; `None` when the server may do without it for now.
    async fn open_soon(&self, is_required: bool) -> Result<Option<Arc<dyn Region>>, Error> {
        let name = self.region.name.0.to_string();
        let opened = tokio::time::timeout(OPEN_WITHIN, self.open()).await;
        let source = match opened {
            Ok(Ok(region)) => return Ok(Some(region)),
            Ok(Err(source)) => source,
            Err(_) => galerie_region::Error::Busy(format!("it did not answer within {} s", OPEN_WITHIN.as_secs())),
        };
        // A new region's store could not be told from another one later.
        let is_new = self.options.expected_store_id.is_none();
        if is_required || self.region.required || is_new || is_foreign(&source) {
            return Err(Error::Region { name, source });
        }
        tracing::error!(
            region = name,
            error = &source as &dyn std::error::Error,
            "the region is away; the others serve"
        );
        Ok(None)
    }
}

#[async_trait]
impl OpenRegion for Opener {
    async fn open(&self) -> Result<Arc<dyn Region>, galerie_region::Error> {
        let (options, space) = (self.options.clone(), self.space.clone());
        let opened = match open_bucket(&self.region).map_err(|error| match error {
            Error::Region { source, .. } => source,
            error => galerie_region::Error::Invalid(error.to_string()),
        })? {
            Some(bucket) => {
                LocalRegion::open_on(options, bucket.backend, bucket.place, StoreOptions::default(), space).await?
            }
            None => LocalRegion::open_with_space(options, space).await?,
        };
        let opened: Arc<dyn Region> = Arc::new(opened);
        Ok(match self.trouble {
            Some(trouble) => Arc::new(FaultyRegion::new(opened, trouble)),
            None => opened,
        })
    }
}

/// Whether the place has a store, of another gallery or region or of a later format: the configuration is wrong.
fn is_foreign(error: &galerie_region::Error) -> bool {
    use galerie_region::Error as Region;
    matches!(error, Region::Invalid(_) | Region::Store { source: galerie_store::Error::Foreign(_), .. })
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
        compression: region.compression,
    }
}
