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

    /// Ends the callers for whom `cause` has a cause.
    pub(super) fn check(&self, cause: impl Fn(&Caller) -> Option<EndCause>) {
        self.table().retain(|_, parts| {
            let Some(caller) = parts.upgrade().map(Caller::from_parts) else { return false };
            let cause = cause(&caller);
            if let Some(cause) = cause {
                caller.end(cause);
            }
            cause.is_none()
        });
    }

    fn table(&self) -> MutexGuard<'_, HashMap<usize, std::sync::Weak<CallerParts>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
