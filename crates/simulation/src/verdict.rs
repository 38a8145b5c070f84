//! Whether what must be true still is.

use std::{
    panic,
    sync::{Arc, OnceLock},
};

use tokio_util::sync::CancellationToken;

/// The first invariant that was broken, if one was. Clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verdict {
    broken: Arc<OnceLock<String>>,
    is_broken: CancellationToken,
}

impl Verdict {
    /// Takes every panic, wherever it is caught, for a broken invariant.
    pub(crate) fn watch_panics(&self) {
        let verdict = self.clone();
        panic::set_hook(Box::new(move |panicked| verdict.break_with("no panic", panicked)));
    }

    /// Says that an invariant does not hold. The first one counts.
    pub(crate) fn break_with(&self, invariant: &str, how: impl std::fmt::Display) {
        let _ = self.broken.set(format!("{invariant}: {how}"));
        self.is_broken.cancel();
    }

    /// Resolves when something is broken.
    pub(crate) async fn broken(&self) {
        self.is_broken.cancelled().await;
    }

    /// What is broken.
    pub(crate) fn get(&self) -> Option<&str> {
        self.broken.get().map(String::as_str)
    }
}
