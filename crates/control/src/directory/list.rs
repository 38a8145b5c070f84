//! Lists of a directory's objects, in the order of their names.

use std::collections::HashSet;

use galerie_arm::ArmError;
use uuid::Uuid;

use super::{DirectoryObject, read};
use crate::{
    Control,
    db::{
        directory_object::{self, DirectoryObjectRow, ObjectKind, sort_key},
        directory_role,
    },
    request::Caller,
};

/// Objects that are read before others have their turn at the catalogue: a list of a thousand takes thousands of statements.
const AT_ONCE: usize = 32;

/// Where a list goes on: behind an object, by its name's sort key and its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continuation {
    /// The sort key of the last object's name.
    pub name: String,
    /// Its id.
    pub id: Uuid,
}

impl Continuation {
    /// Behind an object.
    #[must_use]
    pub fn behind(display_name: &str, id: Uuid) -> Self {
        Self { name: sort_key(display_name), id }
    }
}

/// A page of a list.
#[derive(Debug, Clone)]
pub struct DirectoryPage {
    /// The objects.
    pub objects: Vec<DirectoryObject>,
    /// Where the next page begins; `None` on the last.
    pub continuation: Option<Continuation>,
}

impl Control {
    /// The objects of one kind in the caller's tenant whose names begin with `prefix`, in any case.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn directory_list(
        &self,
        caller: &Caller,
        kind: ObjectKind,
        prefix: &str,
        after: Option<Continuation>,
        limit: u32,
    ) -> Result<DirectoryPage, ArmError> {
        let mut tx = self.db().read().await?;
        let after = after.map(|after| (after.name, after.id));
        let prefix = sort_key(prefix);
        let mut rows =
            directory_object::list(&mut tx, (caller.tenant, kind), &prefix, after.as_ref(), limit.saturating_add(1))
                .await?;
        let has_more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let last = rows.last().filter(|_| has_more);
        let continuation = last.map(|last| Continuation::behind(&last.display_name, last.id));
        drop(tx);
        Ok(DirectoryPage { objects: self.read_objects(&rows).await?, continuation })
    }

    /// The objects of rows, without those that are gone meanwhile.
    async fn read_objects(&self, rows: &[DirectoryObjectRow]) -> Result<Vec<DirectoryObject>, ArmError> {
        let mut objects = Vec::with_capacity(rows.len());
        for some in rows.chunks(AT_ONCE) {
            let mut tx = self.db().read().await?;
            for row in some {
                objects.extend(read(&mut tx, row).await?);
            }
        }
        Ok(objects)
    }

    /// Those of the objects with these ids, each once, that are in the caller's tenant.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn directory_objects(&self, caller: &Caller, ids: &[Uuid]) -> Result<Vec<DirectoryObject>, ArmError> {
        let mut seen = HashSet::new();
        let ids: Vec<Uuid> = ids.iter().copied().filter(|id| seen.insert(*id)).collect();
        let mut rows = Vec::new();
        for some in ids.chunks(AT_ONCE) {
            let mut tx = self.db().read().await?;
            for id in some {
                rows.extend(directory_object::find(&mut tx, *id).await?.filter(|row| row.tenant == caller.tenant));
            }
        }
        self.read_objects(&rows).await
    }

    /// What an object owns, after one, in the order of their ids.
    ///
    /// # Errors
    /// The catalogue's.
    pub async fn owned_objects(
        &self,
        caller: &Caller,
        owner: Uuid,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<DirectoryObject>, ArmError> {
        let mut rows = directory_role::list_owned(&mut *self.db().read().await?, owner, after, limit).await?;
        rows.retain(|row| row.tenant == caller.tenant);
        self.read_objects(&rows).await
    }
}
