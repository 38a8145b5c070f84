//! Groups and their members.

use std::collections::BTreeSet;

use galerie_arm::ArmError;
use uuid::Uuid;

use super::{
    DirectoryObject, Document, access, check_document, display_name, error, merge, new_object, properties, removal,
    role::DirectoryRole,
};
use crate::{
    Control, audit,
    db::{
        Connection,
        directory_object::{self, ObjectKind},
        directory_role,
        group::{self, GroupRow},
        transact,
    },
    request::{Caller, RequestContext},
};

/// A group.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The object id.
    pub id: Uuid,
    /// What people call it.
    pub display_name: String,
    /// When it was made, ms since 1970.
    pub created_ms: i64,
    /// Description, mail nickname.
    pub document: Document,
}

impl From<GroupRow> for Group {
    fn from(row: GroupRow) -> Self {
        let GroupRow { object, document } = row;
        let document = properties(&document);
        Self { id: object.id, display_name: object.display_name, created_ms: object.created_ms, document }
    }
}

/// A group of any tenant.
pub(super) async fn read(tx: &mut Connection, id: Uuid) -> Result<Option<Group>, ArmError> {
    Ok(group::find(tx, id).await?.map(Group::from))
}

async fn find(tx: &mut Connection, caller: &Caller, id: Uuid) -> Result<GroupRow, ArmError> {
    let found = group::find(tx, id).await?.filter(|found| found.object.tenant == caller.tenant);
    found.ok_or_else(|| error::not_found(&id.to_string()))
}

impl Control {
    /// Makes a group, which its maker owns.
    ///
    /// # Errors
    /// `Authorization_RequestDenied`; `Request_BadRequest` with the rule that is broken.
    pub async fn group_create(
        &self,
        ctx: &RequestContext,
        display_name: &str,
        document: Document,
    ) -> Result<Group, ArmError> {
        transact!(self.db(), |tx| -> Result<Group, ArmError> {
            access::require(tx, &ctx.caller, DirectoryRole::GlobalAdministrator).await?;
            check_document(&document)?;
            let object = new_object(tx, ctx.caller.tenant, ObjectKind::Group, display_name).await?;
            let row = GroupRow { object, document: document.clone().into() };
            group::insert(tx, &row).await?;
            if directory_object::find(tx, ctx.caller.principal).await?.is_some() {
                directory_role::add_owner(tx, row.object.id, ctx.caller.principal).await?;
            }
            record(tx, ctx, "microsoft.directory/groups/create", row.object.id).await?;
            Ok(row.into())
        })
    }

    /// A group.
    ///
    /// # Errors
    /// `Request_ResourceNotFound`.
    pub async fn group(&self, caller: &Caller, id: Uuid) -> Result<Group, ArmError> {
        Ok(find(&mut *self.db().read().await?, caller, id).await?.into())
    }

    /// Changes a group's name and properties.
    ///
    /// # Errors
    /// `Authorization_RequestDenied`; `Request_ResourceNotFound`; `Request_BadRequest`.
    pub async fn group_update(
        &self,
        ctx: &RequestContext,
        id: Uuid,
        name: Option<&str>,
        change: Document,
    ) -> Result<Group, ArmError> {
        transact!(self.db(), |tx| -> Result<Group, ArmError> {
            access::require_or_owner(tx, &ctx.caller, DirectoryRole::GlobalAdministrator, id).await?;
            let mut row = find(tx, &ctx.caller, id).await?;
            if let Some(name) = name {
                row.object.display_name = display_name(name)?;
            }
            let mut document = properties(&row.document);
            merge(&mut document, change.clone());
            check_document(&document)?;
            row.document = document.into();
            group::update(tx, &row).await?;
            record(tx, ctx, "microsoft.directory/groups/update", id).await?;
            Ok(row.into())
        })
    }

    /// Deletes a group; its members stay what they are.
    ///
    /// # Errors
    /// `Authorization_RequestDenied`; `Request_ResourceNotFound`.
    pub async fn group_delete(&self, ctx: &RequestContext, id: Uuid) -> Result<(), ArmError> {
        transact!(self.db(), |tx| -> Result<(), ArmError> {
            access::require_or_owner(tx, &ctx.caller, DirectoryRole::GlobalAdministrator, id).await?;
            let row = find(tx, &ctx.caller, id).await?;
            removal::begin(tx, &row.object).await?;
            group::delete(tx, id).await?;
            removal::finish(tx, &row.object).await?;
            record(tx, ctx, "microsoft.directory/groups/delete", id).await
        })
    }

    /// Makes a user, a service principal or a group a member.
    ///
    /// # Errors
    /// `Authorization_RequestDenied`; `Request_ResourceNotFound`; `Request_BadRequest` for what can be no member, is one
    /// already, or would make a group a member of itself.
    pub async fn group_add_member(&self, ctx: &RequestContext, id: Uuid, member: Uuid) -> Result<(), ArmError> {
        transact!(self.db(), |tx| -> Result<(), ArmError> {
            access::require_or_owner(tx, &ctx.caller, DirectoryRole::GlobalAdministrator, id).await?;
            find(tx, &ctx.caller, id).await?;
            let found = directory_object::find(tx, member).await?.filter(|found| found.tenant == ctx.caller.tenant);
            let found = found.ok_or_else(|| error::not_found(&member.to_string()))?;
            if found.kind == ObjectKind::Application {
                return Err(error::bad_request(
                    "An application cannot be a member of a group; its service principal can.",
                ));
            }
            if member == id || group::memberships(tx, id).await?.contains(&member) {
                return Err(error::bad_request(format!(
                    "The group {member} cannot be a member of the group {id}: groups would be members of themselves."
                )));
            }
            if !group::add_member(tx, id, member).await? {
                return Err(error::already_referenced("members"));
            }
            record(tx, ctx, "microsoft.directory/groups/members/add", id).await
        })
    }

    /// Ends a membership.
    ///
    /// # Errors
    /// `Authorization_RequestDenied`; `Request_ResourceNotFound`.
    pub async fn group_remove_member(&self, ctx: &RequestContext, id: Uuid, member: Uuid) -> Result<(), ArmError> {
        transact!(self.db(), |tx| -> Result<(), ArmError> {
            access::require_or_owner(tx, &ctx.caller, DirectoryRole::GlobalAdministrator, id).await?;
            find(tx, &ctx.caller, id).await?;
            if !group::remove_member(tx, id, member).await? {
                return Err(error::not_found(&member.to_string()));
            }
            record(tx, ctx, "microsoft.directory/groups/members/remove", id).await
        })
    }

    /// A group's direct members after one, in the order of their ids.
    ///
    /// # Errors
    /// `Request_ResourceNotFound`.
    pub async fn group_members(
        &self,
        caller: &Caller,
        id: Uuid,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<DirectoryObject>, ArmError> {
        let mut tx = self.db().read().await?;
        find(&mut tx, caller, id).await?;
        let mut members = Vec::new();
        for row in group::list_members(&mut tx, id, after, limit).await? {
            members.extend(super::read(&mut tx, &row).await?);
        }
        Ok(members)
    }

    /// The groups that an object is in, directly or through others.
    ///
    /// # Errors
    /// `Request_ResourceNotFound`.
    pub async fn member_groups(&self, caller: &Caller, object: Uuid) -> Result<Vec<Uuid>, ArmError> {
        let mut tx = self.db().read().await?;
        let found = directory_object::find(&mut tx, object).await?.filter(|found| found.tenant == caller.tenant);
        found.ok_or_else(|| error::not_found(&object.to_string()))?;
        Ok(group::memberships(&mut tx, object).await?)
    }

    /// Those of `groups` that an object is in, directly or through others.
    ///
    /// # Errors
    /// As [`Control::member_groups`].
    pub async fn check_member_groups(
        &self,
        caller: &Caller,
        object: Uuid,
        groups: &BTreeSet<Uuid>,
    ) -> Result<Vec<Uuid>, ArmError> {
        let mut found = self.member_groups(caller, object).await?;
        found.retain(|group| groups.contains(group));
        Ok(found)
    }

    /// The groups that an object is directly in.
    ///
    /// # Errors
    /// `Request_ResourceNotFound`.
    pub async fn member_of(&self, caller: &Caller, object: Uuid) -> Result<Vec<DirectoryObject>, ArmError> {
        let mut tx = self.db().read().await?;
        let found = directory_object::find(&mut tx, object).await?.filter(|found| found.tenant == caller.tenant);
        found.ok_or_else(|| error::not_found(&object.to_string()))?;
        let mut groups = Vec::new();
        for id in group::direct_memberships(&mut tx, object, MOST_LISTED).await? {
            groups.extend(read(&mut tx, id).await?.map(DirectoryObject::Group));
        }
        Ok(groups)
    }
}

/// Most direct memberships of one object that are listed.
const MOST_LISTED: u32 = 1000;

async fn record(tx: &mut Connection, ctx: &RequestContext, action: &'static str, group: Uuid) -> Result<(), ArmError> {
    let now_ms = tx.now_ms().await?;
    audit::record(tx, ctx, now_ms, action, &format!("/groups/{group}"), None).await
}
