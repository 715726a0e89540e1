//! Ends callers whose streams are open: their token expires, or their key is revoked. Looks at the
//! callers once a second, and never at one without a stream.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::caller::{Caller, CallerParts};

/// Why a caller is none any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndCause {
    /// Its token, or its key, has expired.
    Expired,
    /// Its key is revoked: an API key, or the key that its token is signed with.
    Revoked,
}

/// The callers with streams. At most one entry a stream.
#[derive(Debug, Default)]
pub(super) struct Ends(Mutex<HashMap<usize, std::sync::Weak<CallerParts>>>);

impl Ends {
    /// Has `caller` ended when it is none any more.
    pub(super) fn watch(&self, caller: &Caller) {
        let parts = caller.parts();
        self.table().insert(Arc::as_ptr(parts) as usize, Arc::downgrade(parts));
    }

    /// Ends each caller that `cause` has a cause for.
    pub(super) fn check(&self, cause: impl Fn(&Caller) -> Option<EndCause>) {
        // Looked at without the lock, for which streams that open would wait.
        let callers: Vec<_> = self.table().values().filter_map(std::sync::Weak::upgrade).collect();
        for caller in callers.into_iter().map(Caller::from_parts) {
            if let Some(cause) = cause(&caller) {
                caller.end(cause);
            }
        }
        let is_caller = |parts: Arc<CallerParts>| Caller::from_parts(parts).ended_by().is_none();
        self.table().retain(|_, parts| parts.upgrade().is_some_and(is_caller));
    }

    fn table(&self) -> MutexGuard<'_, HashMap<usize, std::sync::Weak<CallerParts>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
