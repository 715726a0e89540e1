//! A case: a fault, how it is made, how often, and what came of it. Never what the fault is about.

use crate::model::Model;

/// A fault that is made under a running server.
pub(crate) struct Case {
    /// Its name, which is a row of `docs/faults.md`.
    pub(crate) name: &'static str,
    /// How the fault is made.
    pub(crate) how: &'static str,
    /// What holds besides that nothing is lost.
    pub(crate) holds: &'static str,
    /// How often in the short form.
    pub(crate) short: usize,
    /// How often in the long form.
    pub(crate) long: usize,
    pub(crate) run: fn(times: usize) -> Result<Outcome, Missing>,
}

/// What came of a case in which nothing was lost: otherwise it has panicked.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// How often the fault was made.
    pub(crate) times: usize,
    /// Changes that were acknowledged, and compared with what the server has.
    pub(crate) acknowledged: u64,
    /// Events that a stream delivered over all the faults, and that were compared with the model.
    pub(crate) delivered: u64,
    /// What else happened, in words.
    pub(crate) notes: String,
}

/// What the machine lacks for a case.
#[derive(Debug)]
pub(crate) struct Missing(pub(crate) String);

impl Outcome {
    /// What came of `times` faults, after all of the model was compared with a server.
    pub(crate) fn of(times: usize, model: &Model) -> Self {
        let (acknowledged, delivered) = (model.acknowledged(), model.delivered());
        assert!(acknowledged > 0 && delivered > 0, "nothing was shown");
        Self { times, acknowledged, delivered, notes: String::new() }
    }

    /// Adds what came of more faults, on another folder.
    pub(crate) fn add(&mut self, more: &Self) {
        self.times += more.times;
        self.acknowledged += more.acknowledged;
        self.delivered += more.delivered;
    }

    pub(crate) fn noting(mut self, notes: impl Into<String>) -> Self {
        self.notes = notes.into();
        self
    }
}

/// Runs the asynchronous part of a case.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().expect("two threads").block_on(work)
}
