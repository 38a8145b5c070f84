//! Picks the rules of a type and gathers the state they need, in the accepting transaction.

use galerie_arm::{ArmError, Location, ProvisioningState, ReplicationState, ResourceType, SubscriptionId};
use uuid::Uuid;

use super::plan::{Plan, Write};
use crate::{
    access_control_profile, application,
    db::{self, Connection},
    disk::{
        self,
        creation_data::{self, Creation},
    },
    gallery::{self, identity::Offered},
    image_definition,
    image_version::{
        self, Surroundings,
        storage_profile::{self, Fit, Wanted},
    },
    managed_image,
    package::{self, Part},
    quota::azure,
    resource::plan::OS_LUN,
    script,
    sharing::state::SharingState,
    snapshot,
    source::{Asker, Source},
};

/// Decides about a write.
///
/// # Errors
/// What the rules of the type say, and what keeps a source from being used.
pub(crate) async fn plan(tx: &mut Connection, asker: &Asker<'_>, write: Write<'_>) -> Result<Plan, ArmError> {
    match write.resource_type {
        ResourceType::Gallery => {
            let offered = Offered { principal: Uuid::new_v4(), tenant: asker.context.caller.tenant };
            gallery::plan(write, offered)
        }
        ResourceType::ImageDefinition => {
            let parent = write.id.parent().map(|parent| parent.key().to_owned()).unwrap_or_default();
            let gallery = db::resource::find(tx, &parent).await?.map(|row| row.document).unwrap_or_default();
            image_definition::plan(write, SharingState::of(&gallery).permissions())
        }
        ResourceType::ImageVersion => {
            let around = surroundings(tx, asker, &write).await?;
            image_version::plan(write, &around)
        }
        ResourceType::Application => application::plan(write),
        ResourceType::ApplicationVersion => {
            let around = package_surroundings(tx, asker, &write, application::version::PARTS).await?;
            application::version::plan(write, &around)
        }
        ResourceType::Script => script::plan(write),
        ResourceType::ScriptVersion => {
            let around = package_surroundings(tx, asker, &write, script::PARTS).await?;
            script::plan_version(write, &around)
        }
        ResourceType::AccessControlProfile => access_control_profile::plan(write),
        ResourceType::AccessControlProfileVersion => access_control_profile::version::plan(write),
        ResourceType::ManagedImage => {
            let sources = match write.existing {
                Some(_) => Vec::new(),
                None => asker.find_all(tx, &managed_image::wanted(&write.document)?).await?,
            };
            managed_image::plan(write, &sources)
        }
        ResourceType::Disk => {
            let source = created_from(tx, asker, &write).await?;
            disk::plan(write, source.as_ref())
        }
        ResourceType::Snapshot => {
            let source = created_from(tx, asker, &write).await?;
            snapshot::plan(write, source.as_ref())
        }
        other => Err(ArmError::method_not_allowed("PUT", other.as_str())),
    }
}

/// What an image version's rules need.
async fn surroundings(tx: &mut Connection, asker: &Asker<'_>, write: &Write<'_>) -> Result<Surroundings, ArmError> {
    // A broken name is told before a missing source is.
    write.id.name_at::<galerie_arm::VersionName>(2)?;
    let parent = write.id.parent().map(|parent| parent.key().to_owned()).unwrap_or_default();
    let definition = db::resource::find(tx, &parent).await?.map(|row| row.document).unwrap_or_default();
    if write.existing.is_none() {
        let sources = asker.find_all(tx, &storage_profile::wanted(&write.document)?).await?;
        let subscription = write.id.subscription().map(SubscriptionId::as_uuid).unwrap_or_default();
        let azure_limits = azure::hold(tx, subscription, asker.context.caller.tenant).await?;
        return Ok(Surroundings { definition, sources, replicas: Vec::new(), azure_limits });
    }
    Ok(Surroundings { definition, sources: Vec::new(), replicas: replicas(tx, write).await?, azure_limits: false })
}

/// Where an existing version's replicas are, and how.
async fn replicas(tx: &mut Connection, write: &Write<'_>) -> Result<Vec<(Location, ReplicationState)>, ArmError> {
    let replicas = db::replica::list_for_version(tx, write.id.key()).await?;
    Ok(replicas.into_iter().filter_map(|row| Some((Location::normalise(&row.region)?, row.state))).collect())
}

/// What the rules of an application's or script's version need.
async fn package_surroundings(
    tx: &mut Connection,
    asker: &Asker<'_>,
    write: &Write<'_>,
    parts: &[Part],
) -> Result<package::Surroundings, ArmError> {
    let awaited = db::package_link::list(tx, write.id.key()).await?;
    let awaited: Vec<i64> = awaited.into_iter().map(|link| link.lun).collect();
    let mut sources = Vec::new();
    if package::is_open(write, !awaited.is_empty()) {
        sources = asker.find_all(tx, &package::wanted(write, parts)?).await?;
    }
    Ok(package::Surroundings { sources, replicas: replicas(tx, write).await?, awaited })
}

/// What a new disk's or snapshot's `creationData` names; also that of a disk whose image could not be copied.
async fn created_from(tx: &mut Connection, asker: &Asker<'_>, write: &Write<'_>) -> Result<Option<Source>, ArmError> {
    if let Some(existing) = write.existing {
        let never_came = existing.state == ProvisioningState::Failed
            && db::foreign_source::find(tx, write.id.key()).await?.is_some();
        if !never_came {
            return Ok(None);
        }
    }
    let parameter = write.resource_type.body_parameter();
    match creation_data::wanted(&write.document, parameter)? {
        Creation::Empty { .. } | Creation::Upload { .. } => Ok(None),
        Creation::FromImage { reference, property, lun } => {
            let target = write.target(property);
            asker.find_image(tx, &reference, property, &target, lun).await.map(Some)
        }
        Creation::Copy { id } => {
            let target = write.target(creation_data::SOURCE_ID);
            let wanted = Wanted { id, target, fit: Fit::OneDisk, lun: OS_LUN };
            asker.find(tx, &wanted).await.map(Some)
        }
    }
}
