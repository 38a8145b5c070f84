//! The regions that a catalogue's resources can be in: which are served here, and whether their stores are the ones that the
//! catalogue knows.

use std::{collections::BTreeMap, sync::Arc};

use galerie_arm::{Location, Locations};
use galerie_region::Region;
use uuid::Uuid;

use crate::{
    AwayRegion, Error,
    away::RegionSlot,
    control::catalogue_id,
    db::{
        Connection, Database, Db,
        region_store::{self, RegionStoreRow},
        transact,
    },
};

/// A region that this process serves.
#[derive(Clone)]
pub struct ServedRegion {
    /// Its data plane, opened.
    pub region: Arc<dyn Region>,
    /// As people write it; Azure's display name, or the name, when it is `None`.
    pub display_name: Option<String>,
}

/// A region that other processes of the same catalogue serve: resources can be in it, their bytes are not here.
#[derive(Debug, Clone)]
pub struct RegionElsewhere {
    /// The normalised name.
    pub name: String,
    /// As for [`ServedRegion`].
    pub display_name: Option<String>,
}

/// What the region stores of a catalogue must say of themselves; read before they are opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreIdentities {
    /// The catalogue that every store names.
    pub catalogue_id: Uuid,
    /// The stores that the catalogue knows, by region.
    pub region_stores: BTreeMap<String, StoreIdentity>,
}

/// What one region's store must say of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreIdentity {
    /// Its id.
    pub store_id: Uuid,
    /// Its epoch.
    pub epoch: u64,
}

/// The epoch of a store that the catalogue adopts.
const FIRST_EPOCH: u64 = 1;

impl StoreIdentities {
    /// Reads them; makes and migrates the catalogue when necessary.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn read(database: &Database) -> Result<Self, Error> {
        let db = Db::open(database).await?;
        let (catalogue_id, stores) = transact!(&db, |tx| -> Result<(Uuid, Vec<RegionStoreRow>), Error> {
            Ok((catalogue_id(tx).await?, region_store::list(tx).await?))
        })?;
        db.close().await;
        let identity = |row: RegionStoreRow| (row.region, StoreIdentity { store_id: row.store_id, epoch: row.epoch });
        Ok(Self { catalogue_id, region_stores: stores.into_iter().map(identity).collect() })
    }
}

/// Data planes by their regions' names.
pub(crate) type Regions = BTreeMap<String, RegionSlot>;

/// The regions by their names, and what they are called.
pub(crate) fn by_name(
    served: Vec<ServedRegion>,
    away: Vec<AwayRegion>,
    elsewhere: Vec<RegionElsewhere>,
) -> Result<(Regions, Locations), Error> {
    let (mut regions, mut named) = (Regions::new(), Vec::new());
    let twice = |name: &str| Error::Regions(format!("the region '{name}' is there twice"));
    let served = served.into_iter().map(|ServedRegion { region, display_name }| {
        (region.name().to_owned(), display_name, RegionSlot::available(region))
    });
    let away = away.into_iter().map(|away| (away.name, away.display_name, RegionSlot::away(away.opener)));
    for (name, display_name, slot) in served.chain(away) {
        named.push((location(&name)?, display_name));
        if regions.insert(name.clone(), slot).is_some() {
            return Err(twice(&name));
        }
    }
    for RegionElsewhere { name, display_name } in elsewhere {
        if regions.contains_key(&name) {
            return Err(twice(&name));
        }
        named.push((location(&name)?, display_name));
    }
    Ok((regions, Locations::new(named)))
}

fn location(name: &str) -> Result<Location, Error> {
    let location = Location::normalise(name).filter(|location| location.as_str() == name);
    location.ok_or_else(|| Error::Regions(format!("'{name}' is not a region's normalised name")))
}

/// Records a region's store the first time; afterwards it must be the same.
pub(crate) async fn adopt(tx: &mut Connection, region: &dyn Region, now_ms: i64) -> Result<(), Error> {
    let (name, found) = (region.name(), region.store_id());
    match region_store::find(tx, name).await? {
        Some(known) if known.store_id != found => {
            Err(Error::ForeignStore { region: name.to_owned(), found, expected: known.store_id })
        }
        Some(_) => Ok(()),
        None => {
            let row =
                RegionStoreRow { region: name.to_owned(), store_id: found, epoch: FIRST_EPOCH, created_ms: now_ms };
            Ok(region_store::insert(tx, &row).await?)
        }
    }
}
