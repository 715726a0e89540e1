//! The caller of a query: whose turns to read it takes, and who pays for its work. Never says
//! who a caller is.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

tokio::task_local! {
    static CALLER: QueryCaller;
}

/// Whose turns a query takes: queries with the same key share them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CallerKey {
    /// Those of the server itself.
    #[default]
    Server,
    /// Those of a connection, whose caller may act for many users.
    Connection(u64),
    /// Those of a user, on all of their connections.
    User(u64),
}

/// Counts the work of queries.
pub trait WorkMeter: fmt::Debug + Send + Sync {
    /// Adds a query that was this much work, in entries that were skipped: some take a microsecond. It
    /// may have been refused or cancelled.
    fn add(&self, work: usize);
}

/// A caller, as queries know it. Cheap to clone. Queries outside of any scope are of the default, the
/// server itself, which is patient, and whose work is not counted.
#[derive(Clone, Debug)]
pub struct QueryCaller {
    key: CallerKey,
    is_patient: bool,
    meter: Option<Arc<dyn WorkMeter>>,
}

impl Default for QueryCaller {
    fn default() -> Self {
        Self::new(CallerKey::Server).patient()
    }
}

impl QueryCaller {
    /// The caller with these turns, whose work is not counted.
    #[must_use]
    pub fn new(key: CallerKey) -> Self {
        Self { key, is_patient: false, meter: None }
    }

    /// The caller with these turns, whose work `meter` counts.
    #[must_use]
    pub fn metered(key: CallerKey, meter: Arc<dyn WorkMeter>) -> Self {
        Self { key, is_patient: false, meter: Some(meter) }
    }

    /// The same caller, but patient: for a stream, which waits for its turn as long as it must.
    #[must_use]
    pub fn patient(self) -> Self {
        Self { is_patient: true, ..self }
    }

    /// Whether its queries wait for their turn as long as they must, behind those of calls.
    #[must_use]
    pub fn is_patient(&self) -> bool {
        self.is_patient
    }

    /// Whose turns it takes.
    #[must_use]
    pub fn key(&self) -> CallerKey {
        self.key
    }

    /// Runs `call` as a call of this caller.
    pub async fn scope<F: Future>(self, call: F) -> F::Output {
        CALLER.scope(self, call).await
    }

    /// Calls `poll`, which is a part of a call of this caller.
    pub fn within<T>(&self, poll: impl FnOnce() -> T) -> T {
        CALLER.sync_scope(self.clone(), poll)
    }

    /// The caller whose call this is.
    #[must_use]
    pub fn current() -> Self {
        CALLER.try_with(Self::clone).unwrap_or_default()
    }

    /// Counts a query that was this much work.
    pub(super) fn count(&self, work: usize) {
        if let Some(meter) = &self.meter {
            meter.add(work);
        }
    }
}
