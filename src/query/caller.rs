//! Whose reads are whose, so that no caller takes the turns of others. Never says who a caller is.

use std::future::Future;

tokio::task_local! {
    static CALLER: CallerKey;
}

/// A caller: reads with the same key share their turns. Reads outside of any scope, such as those of
/// the server itself, are of one caller, the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CallerKey(pub u64);

impl CallerKey {
    /// Runs `call` as a call of this caller.
    pub async fn scope<F: Future>(self, call: F) -> F::Output {
        CALLER.scope(self, call).await
    }

    /// Calls `poll`, which is a part of a call of this caller.
    pub fn within<T>(self, poll: impl FnOnce() -> T) -> T {
        CALLER.sync_scope(self, poll)
    }

    /// The caller whose call this is.
    #[must_use]
    pub fn current() -> Self {
        CALLER.try_with(|caller| *caller).unwrap_or_default()
    }
}
