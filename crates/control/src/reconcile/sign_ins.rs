//! What is left of sign-ins goes: codes that nobody redeemed, devices that nobody let in, sessions whose time is over, wrong
//! passwords of names that nobody has. And token keys come and go, ours and those of external issuers.

use galerie_arm::ArmError;

use crate::{
    Control,
    db::{authorization_code, device_code, session, transact},
    identity::guessing,
};

pub(super) async fn run(control: &Control) -> Result<(), ArmError> {
    transact!(control.db(), |tx| -> Result<(), ArmError> {
        let now_ms = tx.now_ms().await?;
        authorization_code::delete_expired(tx, now_ms).await?;
        device_code::delete_expired(tx, now_ms).await?;
        session::delete_expired(tx, now_ms).await?;
        guessing::forget(tx, now_ms).await?;
        Ok(())
    })
}

/// See `keys::rotation`.
pub(super) async fn tend_keys(control: &Control) -> Result<(), ArmError> {
    control.tend_keys().await
}

/// See `identity::external`.
pub(super) async fn reload_issuer_keys(control: &Control) -> Result<(), ArmError> {
    Ok(control.identity().reload_issuer_keys().await?)
}
