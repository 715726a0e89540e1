//! Ends a connection from any task. Never ends one by itself.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

/// Ends a connection from any task. Cheap to clone; in the extensions of every request of the
/// connection.
#[derive(Clone, Debug, Default)]
pub struct Closer(Arc<CloserTokens>);

#[derive(Debug, Default)]
struct CloserTokens {
    /// Also cancelled by a close at once, so that one wait is enough for both.
    retirement: CancellationToken,
    close: CancellationToken,
}

impl Closer {
    /// Sends the client elsewhere: its streams end with their cursors, its running calls are
    /// answered, and then, or at a deadline, the connection is closed.
    pub fn retire(&self) {
        self.0.retirement.cancel();
    }

    /// The token that is cancelled when the connection ends, in order or at once.
    #[must_use]
    pub fn retirement(&self) -> &CancellationToken {
        &self.0.retirement
    }

    /// Closes the connection at once, also during calls.
    pub fn close(&self) {
        self.0.close.cancel();
        self.0.retirement.cancel();
    }

    /// The token that is cancelled when the connection ends at once. It is cancelled before
    /// [`Closer::retirement`].
    #[must_use]
    pub fn closing(&self) -> &CancellationToken {
        &self.0.close
    }
}
