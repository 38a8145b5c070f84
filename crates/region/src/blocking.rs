//! Work that may block, off the runtime's own threads.

use crate::{Error, Result};

/// Does `work` where it may block. When it panics that is a failure like another, which may pass: it is counted, and not
/// taken for the caller's own cancellation.
///
/// # Errors
/// What the work answers; `Store(Unavailable)` when it did not come to its end.
pub(crate) async fn blocking<T: Send + 'static>(
    action: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let ended = |e: tokio::task::JoinError| {
        let source = galerie_store::Error::Unavailable(format!("blocking work ended: {e}"));
        Error::Store { action: action.to_owned(), source }
    };
    galerie_store::blocking::run(work).await.map_err(ended)?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Regression: a panic was taken for a cancellation, and the work was put back untried and uncounted, for ever.
    #[tokio::test]
    async fn a_panic_is_a_passing_failure() {
        let failed = blocking::<()>("do it", || panic!("on request")).await.expect_err("a failure");
        assert!(failed.is_passing() && !matches!(failed, Error::Cancelled), "{failed}");
    }
}
