//! Statements that are done before anything else goes on: the one place where a simulation reaches into the catalogue.
//!
//! SQLite's driver has a thread for each connection, and what it answers comes when the machine likes. A deterministic
//! simulation, which does blocking work in place, waits for each answer where it is asked for, so that nothing else is
//! polled meanwhile. Otherwise these functions only pass on.

use futures::executor::block_on;
use galerie_store::blocking::is_in_place;
use sqlx::{Sqlite, SqlitePool, pool::PoolConnection};

/// Awaits `work`; in a simulation without letting anything else go on. It may wait for a connection's thread, never for
/// another task.
pub(super) async fn done<F: Future>(work: F) -> F::Output {
    // Unconstrained: nobody is served by this task's yielding.
    if is_in_place() { block_on(tokio::task::unconstrained(work)) } else { work.await }
}

/// Takes a connection. Opening one asks its new thread; for one that another task has, the caller waits like anybody.
pub(super) async fn acquire(pool: &SqlitePool) -> sqlx::Result<PoolConnection<Sqlite>> {
    match pool.try_acquire() {
        Some(idle) => Ok(idle),
        None if pool.size() < pool.options().get_max_connections() => done(pool.acquire()).await,
        None => pool.acquire().await,
    }
}

/// Closes a pool, and waits for what its connections do. In a simulation they do nothing, and go with the pool.
pub(super) async fn close(pool: &SqlitePool) {
    let closed = pool.close();
    if !is_in_place() {
        closed.await;
    }
}

/// Gives a connection back that is about to be dropped; in a simulation now, and not by a task of its own.
pub(super) fn give_back(connection: &mut PoolConnection<Sqlite>) {
    if is_in_place() {
        block_on(tokio::task::unconstrained(connection.return_to_pool()));
    }
}
