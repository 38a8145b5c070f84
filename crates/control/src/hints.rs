//! Waking the workers of other processes at once, by PostgreSQL's LISTEN and NOTIFY.
//!
//! A hint and nothing more: whoever misses one looks by itself a second later. So sending is not part of any transaction,
//! many wake-ups are one, and a listener whose connection breaks goes on when it is back.

use std::time::Duration;

use sqlx::postgres::PgListener;

use crate::{Control, Error};

/// Wake-ups within this time are one.
const GATHER: Duration = Duration::from_millis(20);
/// How long a listener waits before it tries again to listen.
const RETRY: Duration = Duration::from_secs(1);

/// Sends this process's wake-ups to the others, and theirs to its workers.
///
/// # Errors
/// The catalogue's.
pub(crate) async fn start(control: &Control) -> Result<(), Error> {
    if !control.db().is_shared() {
        return Ok(());
    }
    control.track(announce(control.clone()));
    control.track(listen(control.clone()));
    Ok(())
}

/// One channel for each catalogue, whatever else lives in the database.
fn channel(control: &Control) -> String {
    format!("galerie_{}", control.catalogue_id().simple())
}

/// Wakes the others now.
pub(crate) async fn send(control: &Control) {
    if let Err(error) = control.db().notify(&channel(control), control.owner()).await {
        tracing::debug!(error = &error as &dyn std::error::Error, "wake other processes");
    }
}

async fn announce(control: Control) {
    loop {
        tokio::select! {
            () = control.stopping().cancelled() => return,
            () = control.announcements().notified() => {}
        }
        send(&control).await;
        tokio::time::sleep(GATHER).await;
    }
}

async fn listen(control: Control) {
    while !control.stopping().is_cancelled() {
        let heard = tokio::select! {
            () = control.stopping().cancelled() => return,
            heard = hear(&control) => heard,
        };
        if let Err(error) = heard {
            tracing::warn!(%error, "hear other processes; until then their work is found a second later");
        }
        tokio::select! {
            () = control.stopping().cancelled() => return,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

/// Until the connection fails.
async fn hear(control: &Control) -> sqlx::Result<()> {
    let Some(pool) = control.db().postgres() else { return Ok(()) };
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(&channel(control)).await?;
    loop {
        // `None`: the connection broke and is there again; something may have been missed.
        let own = listener.try_recv().await?.is_some_and(|hint| hint.payload() == control.owner());
        if !own {
            control.wake_here();
        }
    }
}
