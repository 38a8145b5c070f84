//! What a share is answered with: whoever a gallery is shared with sees it until they reject it, and again when they accept it,
//! or when it is shared with them anew. Azure's invitations, of 2025-12-03.
//!
//! A subscription answers for itself: what it rejects it sees by no share, its tenant's either. A tenant answers for what
//! is shared with the tenant; a subscription that has a share of its own sees that all the same.

use galerie_arm::{ArmError, GalleryName, ResourceId, SubscriptionId, sharing::SharingGroupKind};
use uuid::Uuid;

use super::reach::Viewer;
use crate::{
    Scope, audit, authz,
    control::Control,
    db::{
        self, Connection,
        resource::ResourceRow,
        sharing::{self, SharingGroupRow},
        transact,
    },
    gallery,
    request::RequestContext,
};

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invited {
    /// A subscription.
    Subscription(Uuid),
    /// The caller's tenant.
    Tenant,
}

/// A share, as its answer's path names it.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// Who answers.
    pub invited: Invited,
    /// The location in the path; a share is of no location.
    pub location: String,
    /// The gallery's subscription.
    pub owner: SubscriptionId,
    /// The gallery's name.
    pub gallery: GalleryName,
    /// The path, for the audit.
    pub path: String,
}

impl Invited {
    fn action(self, accepts: bool) -> &'static str {
        match (self, accepts) {
            (Self::Subscription(_), true) => {
                "Microsoft.Compute/locations/sharedGallerySubscriptions/sharedGalleries/accept/action"
            }
            (Self::Subscription(_), false) => {
                "Microsoft.Compute/locations/sharedGallerySubscriptions/sharedGalleries/reject/action"
            }
            (Self::Tenant, true) => {
                "Microsoft.Compute/locations/tenantLevelSharedGallerySubscriptions/sharedGalleries/accept/action"
            }
            (Self::Tenant, false) => {
                "Microsoft.Compute/locations/tenantLevelSharedGallerySubscriptions/sharedGalleries/reject/action"
            }
        }
    }

    fn scope(self) -> Scope {
        match self {
            Self::Subscription(id) => Scope::At(Box::new(ResourceId::of_subscription(SubscriptionId::new(id)))),
            Self::Tenant => Scope::Root,
        }
    }

    fn group(self, tenant: Uuid) -> SharingGroupRow {
        match self {
            Self::Subscription(id) => SharingGroupRow { kind: SharingGroupKind::Subscriptions, id },
            Self::Tenant => SharingGroupRow { kind: SharingGroupKind::AadTenants, id: tenant },
        }
    }
}

impl Control {
    /// Accepts a share, or rejects it. Saying so again changes nothing.
    ///
    /// # Errors
    /// `AuthorizationFailed` in the subscription, or over the whole tenant; 404 for a gallery that is not shared with who
    /// answers, in the words of one that is not there.
    pub async fn answer_share(
        &self,
        context: &RequestContext,
        invitation: &Invitation,
        accepts: bool,
    ) -> Result<(), ArmError> {
        let invited = invitation.invited;
        let action = invited.action(accepts);
        transact!(self.db(), |tx| -> Result<(), ArmError> {
            authz::authorize_at(tx, &context.caller, action, &invited.scope()).await?;
            self.locations().require(&invitation.location, "Microsoft.Compute/locations/sharedGalleries")?;
            let missing = || {
                let named = format!("{}/{}", invitation.owner, invitation.gallery.as_str());
                ArmError::proxy_not_found(&named, &invitation.location)
            };
            let gallery = shared(tx, invitation, context.caller.tenant).await?.ok_or_else(missing)?;
            let (now_ms, group) = (tx.now_ms().await?, invited.group(context.caller.tenant));
            let has_changed = match accepts {
                true => sharing::accept(tx, &gallery.key, group).await?,
                false => sharing::reject(tx, &gallery.key, group, now_ms).await?,
            };
            if has_changed {
                audit::record(tx, context, now_ms, action, &invitation.path, None).await?;
            }
            Ok(())
        })?;
        // What is being copied from a gallery that is rejected stops.
        self.wake();
        Ok(())
    }
}

/// The gallery, if it is shared with who answers, be it rejected.
async fn shared(tx: &mut Connection, invitation: &Invitation, tenant: Uuid) -> db::Result<Option<ResourceRow>> {
    let key = gallery::unique_key(&invitation.owner.to_string(), &invitation.gallery);
    let Some(row) = db::resource::find_by_unique_key(tx, &key).await? else { return Ok(None) };
    // A subscription may also answer to a share with its tenant.
    let subscription = match invitation.invited {
        Invited::Subscription(id) => id,
        Invited::Tenant => Uuid::nil(),
    };
    let viewer = Viewer { subscription, tenant };
    Ok(viewer.is_invited(tx, &row.key).await?.then_some(row))
}
