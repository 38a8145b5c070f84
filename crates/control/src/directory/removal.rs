//! What ends with an object: everything that names it, in the transaction that deletes it.

use galerie_arm::ArmError;

use crate::{
    authz,
    db::{
        Connection, app_role_assignment, credential,
        directory_object::{self, DirectoryObjectRow, ObjectKind},
        directory_role, group, session,
    },
};

/// Removes what refers to an object: memberships, ownerships, roles (of applications, too), credentials, sessions, role assignments. The object's own
/// row goes next, then [`finish`].
///
/// # Errors
/// The catalogue's.
pub(super) async fn begin(tx: &mut Connection, object: &DirectoryObjectRow) -> Result<(), ArmError> {
    group::remove_from_all(tx, object.id).await?;
    directory_role::remove_owners(tx, object.id).await?;
    directory_role::remove_from_all(tx, object.id).await?;
    app_role_assignment::delete_of(tx, object.id).await?;
    credential::delete_all(tx, object.id).await?;
    if object.kind == ObjectKind::User {
        session::delete_of_user(tx, object.id).await?;
    }
    if object.kind != ObjectKind::Application {
        authz::forget_principal(tx, object.id).await?;
    }
    Ok(())
}

/// Removes what all objects have.
///
/// # Errors
/// The catalogue's.
pub(super) async fn finish(tx: &mut Connection, object: &DirectoryObjectRow) -> Result<(), ArmError> {
    Ok(directory_object::delete(tx, object.id).await?)
}
