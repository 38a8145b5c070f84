//! A catalogue full of image versions, for the measurements beside it: one version of each definition is made as a user makes
//! it, the others are its copies, written with one statement a table. On PostgreSQL where `scripts/postgres.sh` runs it, otherwise on SQLite.

use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use galerie_arm::{ApiVersion, ResourceId, etag::Precondition};
use galerie_control::{
    Caller, Control, ControlOptions, Database, Limit, QuotaOf, RequestContext, ServedRegion, StoreIdentities,
};
use galerie_region::{Compression, LocalRegion, LocalRegionOptions};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// See there.
const COPIES: &str = include_str!("copies.sql");

/// How much of what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) galleries: u32,
    /// Of each gallery.
    pub(crate) definitions: u32,
    /// Of each definition, beside 1.0.0.
    pub(crate) versions: u32,
}

impl Shape {
    /// One definition with all versions.
    #[allow(dead_code, reason = "not every measurement wants it")]
    pub(crate) const fn deep(versions: u32) -> Self {
        Self { galleries: 1, definitions: 1, versions }
    }
}

/// Galleries `g1` to `gn` with definitions `i1` to `in`, whose versions are 1.0.0 and 1.1.1 to 1.1.n.
pub(crate) struct FullCatalogue {
    pub(crate) control: Control,
    /// A request of the first administrator, who owns everything.
    pub(crate) owner: RequestContext,
    /// Of the first gallery, the first.
    #[allow(dead_code, reason = "not every measurement wants it")]
    pub(crate) definition: ResourceId,
    /// All of them, gallery by gallery.
    #[allow(dead_code, reason = "not every measurement wants them")]
    pub(crate) definitions: Vec<ResourceId>,
    place: Place,
}

/// Where the catalogue is.
enum Place {
    File(PathBuf),
    Postgres(String),
}

/// A connection beside the gallery's own.
pub(crate) enum Beside {
    Sqlite(rusqlite::Connection),
    Postgres(PgConnection),
}

impl Beside {
    /// Runs statements that nobody prepares.
    pub(crate) async fn run(&mut self, statements: String) -> Result<()> {
        match self {
            Self::Sqlite(connection) => connection.execute_batch(&statements)?,
            Self::Postgres(connection) => {
                sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await.map(drop)?
            }
        }
        Ok(())
    }
}

impl FullCatalogue {
    /// Makes one in a directory.
    pub(crate) async fn make(directory: &Path, shape: Shape) -> Result<Self> {
        let (database, place) = match galerie_testdb::postgres_of(directory).await {
            Some(url) => (Database::postgres(&url)?, Place::Postgres(url)),
            None => {
                let file = directory.join("catalogue.db");
                (Database::Sqlite(file.clone()), Place::File(file))
            }
        };
        let identities = StoreIdentities::read(&database).await?;
        let region = LocalRegion::open(LocalRegionOptions {
            name: "eastus".to_owned(),
            root: directory.join("eastus"),
            catalogue_id: identities.catalogue_id,
            expected_store_id: None,
            epoch: 1,
            index_dir: directory.join("index"),
            cache_bytes: 1 << 20,
            compression: Compression::default(),
        })
        .await?;
        let regions = vec![ServedRegion { region: Arc::new(region), display_name: None }];
        let control = Control::open(ControlOptions::new(database, directory.join("master.key"), regions)).await?;
        control.start();
        let first = control.bootstrap().await?;
        let owner = RequestContext {
            caller: Caller::application(first.tenant, first.principal, first.client_id, true),
            api_version: ApiVersion::stable(2024, 3, 3),
            preconditions: Precondition::default(),
            auxiliary: Vec::new(),
            correlation_id: Uuid::new_v4(),
            client_address: None,
        };
        // There will be more versions than Azure lets a subscription have.
        let whole = QuotaOf::Tenant(first.tenant);
        control.set_quota(&owner, whole, Limit::Unchanged, Limit::Unchanged, Some(false)).await?;
        let definitions = furnish(&control, &owner, first.subscription, shape).await?;
        let definition = definitions.first().cloned().ok_or("a catalogue without a definition")?;
        let full = Self { control, owner, definition, definitions, place };
        full.copy(shape.versions).await?;
        Ok(full)
    }

    /// A connection beside the gallery's own.
    pub(crate) async fn connect(&self) -> Result<Beside> {
        Ok(match &self.place {
            Place::File(file) => Beside::Sqlite(rusqlite::Connection::open(file)?),
            Place::Postgres(url) => Beside::Postgres(PgConnection::connect(url).await?),
        })
    }

    async fn copy(&self, versions: u32) -> Result<()> {
        let mut connection = self.connect().await?;
        let (uid, after) = match &connection {
            Beside::Sqlite(_) => ("lower(hex(randomblob(16)))", ""),
            // As its own daemon does in time.
            Beside::Postgres(_) => ("replace(gen_random_uuid()::text, '-', '')", "ANALYZE"),
        };
        let statements = COPIES.replace("{uid}", uid).replace("{versions}", &versions.to_string());
        connection.run(format!("BEGIN;\n{statements}\nCOMMIT;\n{after}")).await
    }
}

/// Galleries, definitions, and of each of them one version made from an empty disk; the definitions.
async fn furnish(control: &Control, ctx: &RequestContext, subscription: Uuid, shape: Shape) -> Result<Vec<ResourceId>> {
    let group = format!("/subscriptions/{subscription}/resourceGroups/rg");
    let id = |below: &str| format!("{group}/providers/Microsoft.Compute/{below}").parse::<ResourceId>();
    let here = json!({ "location": "eastus" });
    control.resource_group_put(ctx, &group.parse()?, here.clone()).await?;
    let disk = json!({ "location": "eastus",
        "properties": { "creationData": { "createOption": "Empty" }, "diskSizeGB": 1 } });
    let made = control.put(ctx, &id("disks/d")?, disk).await?.operation;
    while !control.operation_status(ctx, made.subscription, made.id).await?.document.status.is_terminal() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let version = json!({ "location": "eastus", "tags": { "built-by": "pipeline", "commit": "0123456789abcdef" },
        "properties": { "storageProfile": { "osDiskImage": { "source": { "id": id("disks/d")?.as_str() } } },
        "publishingProfile": { "targetRegions": [{ "name": "East US", "regionalReplicaCount": 1 }] } } });
    let mut definitions = Vec::new();
    for gallery in 1..=shape.galleries {
        control.put(ctx, &id(&format!("galleries/g{gallery}"))?, here.clone()).await?;
        for number in 1..=shape.definitions {
            let definition = id(&format!("galleries/g{gallery}/images/i{number}"))?;
            let body = json!({ "location": "eastus", "properties": { "osType": "Linux", "osState": "Generalized",
                "identifier": { "publisher": "p", "offer": "o", "sku": format!("s{number}") } } });
            control.put(ctx, &definition, body).await?;
            control.put(ctx, &format!("{definition}/versions/1.0.0").parse()?, version.clone()).await?;
            definitions.push(definition);
        }
    }
    Ok(definitions)
}
