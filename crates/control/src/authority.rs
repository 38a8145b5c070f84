//! The certificate authority that the processes of one catalogue share: what is in it is the server's business; here it is
//! kept, wrapped like a key.
//!
//! The newest one signs. Earlier ones stay readable, so that processes trust each other while a new one spreads.

use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    Control, Error,
    db::{
        self, Connection, transact,
        wrapped_key::{self, WrappedKeyRow},
    },
    keys::AUTHORITY,
};

/// An authority's document, as it was given to [`Control::keep_authority`].
pub struct SharedAuthority {
    /// Of this document.
    pub id: Uuid,
    /// Holds a private key.
    pub document: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for SharedAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedAuthority").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Control {
    /// The catalogue's authorities, the newest first.
    ///
    /// # Errors
    /// The catalogue's; a wrong master key.
    pub async fn authorities(&self) -> Result<Vec<SharedAuthority>, Error> {
        let rows = rows(&mut *self.db().read().await?).await?;
        rows.iter().map(|row| self.unwrap_authority(row)).collect()
    }

    /// Makes a document the newest authority, if `replaces` (`None`: none at all) still is; answers the newest.
    ///
    /// # Errors
    /// As [`Control::authorities`].
    pub async fn keep_authority(&self, document: &[u8], replaces: Option<Uuid>) -> Result<SharedAuthority, Error> {
        transact!(self.db(), |tx| -> Result<SharedAuthority, Error> {
            let newest = rows(tx).await?.into_iter().next();
            if let Some(newest) = &newest
                && replaces != Some(newest.id)
            {
                return self.unwrap_authority(newest);
            }
            // The newest by its time, too, whatever the clock says.
            let after_ms = newest.map_or(i64::MIN, |newest| newest.created_ms + 1);
            let created_ms = tx.now_ms().await?.max(after_ms);
            let row = self.keys().wrap(AUTHORITY, document, created_ms)?;
            wrapped_key::insert(tx, &row).await?;
            Ok(SharedAuthority { id: row.id, document: Zeroizing::new(document.to_vec()) })
        })
    }

    fn unwrap_authority(&self, row: &WrappedKeyRow) -> Result<SharedAuthority, Error> {
        Ok(SharedAuthority { id: row.id, document: self.keys().unwrap(row)? })
    }
}

/// The newest first.
async fn rows(tx: &mut Connection) -> db::Result<Vec<WrappedKeyRow>> {
    let mut rows = wrapped_key::list_live(tx).await?;
    rows.retain(|row| row.purpose == AUTHORITY);
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use crate::testing::World;

    #[tokio::test]
    async fn of_two_processes_one_makes_the_authority() {
        let world = World::new().await;
        let other = world.reopen().await;
        assert!(world.control.authorities().await.unwrap().is_empty());
        let (one, two) =
            tokio::join!(world.control.keep_authority(b"one", None), other.control.keep_authority(b"two", None));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!((one.id, &*one.document), (two.id, &*two.document));
        let next = world.control.keep_authority(b"next", Some(one.id)).await.unwrap();
        assert_eq!(&**next.document, b"next");
        assert_eq!(other.control.keep_authority(b"late", Some(one.id)).await.unwrap().id, next.id);
        let all = other.control.authorities().await.unwrap();
        assert_eq!(all.iter().map(|found| found.id).collect::<Vec<_>>(), [next.id, one.id]);
        // Another start has its keys all the same.
        world.reopen().await;
    }
}
