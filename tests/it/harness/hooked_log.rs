//! A log that calls a hook when a cursor is checked. The hook may note the thread, or panic.

use std::fmt;
use std::sync::Arc;

use whimbrel::storage::Log;

use super::altered_log::{Alter, AlteredLog};

/// Calls the hook before [`Log::oldest`], which runs on the worker on which a stream is opened.
pub(crate) struct HookedLog<F>(F);

impl<F: Fn() + Send + Sync + 'static> HookedLog<F> {
    pub(crate) fn before(log: Arc<dyn Log>, hook: F) -> Arc<dyn Log> {
        AlteredLog::new(log, Self(hook))
    }
}

impl<F> fmt::Debug for HookedLog<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookedLog")
    }
}

impl<F: Fn() + Send + Sync> Alter for HookedLog<F> {
    fn at_oldest(&self) {
        (self.0)();
    }
}
