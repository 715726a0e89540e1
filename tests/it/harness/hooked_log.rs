//! A log that a test looks into: it is told on which thread a cursor is checked, and can spoil it.

use std::fmt;
use std::sync::Arc;

use whimbrel::storage::Log;

use super::altered_log::{Alter, AlteredLog};

/// A log that calls a hook where the server looks how far back it goes, which is done on the
/// worker that a stream is opened on.
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
