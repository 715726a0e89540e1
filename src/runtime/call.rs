//! The call that is being served: its id, its trace, and how long it has waited for what. Each part of the
//! server notes its waits here, and none of them reads what others noted. Never logs anything.
//!
//! ```text
//!   api ── scope ──▶ query, engine: `waited(Wait::Turn, since)` ──▶ CallContext ──▶ api: log lines, spans
//! ```

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::metrics::Label;

tokio::task_local! {
    static CALL: Arc<CallContext>;
}

/// Most waits of a traced call that are kept one by one: those of a page that is read in several parts,
/// many times over. Of further ones only the time is kept.
const KEPT_WAITS_MAX: usize = 64;

/// What a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The caller to be found out.
    Authentication,
    /// The message of the request to arrive.
    Request,
    /// The client to take earlier answers.
    Answers,
    /// The state to reach the cursor of a request.
    Cursor,
    /// The committer to take the change.
    Queue,
    /// The batch of the change to be durable.
    Flush,
    /// The change to be applied, and its result to be back on the worker.
    Apply,
    /// A turn to read the index.
    Turn,
    /// Reads of the index and the log.
    Read,
}

impl Label for Wait {
    const ALL: &'static [Self] = &[
        Self::Authentication,
        Self::Request,
        Self::Answers,
        Self::Cursor,
        Self::Queue,
        Self::Flush,
        Self::Apply,
        Self::Turn,
        Self::Read,
    ];

    fn index(self) -> usize {
        self as usize
    }

    fn name(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::Request => "request",
            Self::Answers => "answers",
            Self::Cursor => "cursor",
            Self::Queue => "queue",
            Self::Flush => "flush",
            Self::Apply => "apply",
            Self::Turn => "turn",
            Self::Read => "read",
        }
    }
}

/// A trace, as W3C Trace Context has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The id of the whole trace.
    pub trace_id: [u8; 16],
    /// The id of the caller's span; zeros if the trace begins here.
    pub parent_id: [u8; 8],
    /// What the caller's tracing systems hand on; empty if nothing.
    pub state: Box<str>,
    /// Whether the spans of this call are kept.
    pub is_sampled: bool,
}

impl Trace {
    /// The id in hexadecimal digits.
    #[must_use]
    pub fn trace_id_text(&self) -> String {
        hex(&self.trace_id)
    }
}

/// One wait of a traced call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptWait {
    /// For what.
    pub wait: Wait,
    /// When it began.
    pub began_at: Instant,
    /// When it was over.
    pub ended_at: Instant,
}

/// A call that is being served.
#[derive(Debug)]
pub struct CallContext {
    id: Box<str>,
    trace: Option<Trace>,
    caller: OnceLock<&'static str>,
    waits: Mutex<Waits>,
}

#[derive(Debug, Default)]
struct Waits {
    times: [Duration; Wait::ALL.len()],
    kept: Vec<KeptWait>,
    request_bytes: usize,
    live_at: Option<Instant>,
}

impl CallContext {
    /// A call that begins, with its id, which is plain text, and its trace, if it is of one.
    #[must_use]
    pub fn new(id: Box<str>, trace: Option<Trace>) -> Self {
        Self { id, trace, caller: OnceLock::new(), waits: Mutex::default() }
    }

    /// Its id, as its caller and the log know it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The trace it is part of.
    #[must_use]
    pub fn trace(&self) -> Option<&Trace> {
        self.trace.as_ref()
    }

    /// Runs `part`, a part of this call.
    pub fn scope<F: Future>(self: Arc<Self>, part: F) -> impl Future<Output = F::Output> {
        CALL.scope(self, part)
    }

    /// Calls `part`, which is a part of this call.
    pub fn within<T>(self: &Arc<Self>, part: impl FnOnce() -> T) -> T {
        CALL.sync_scope(Arc::clone(self), part)
    }

    /// The call of which this is a part; `None` outside of all.
    #[must_use]
    pub fn current() -> Option<Arc<Self>> {
        CALL.try_with(Arc::clone).ok()
    }

    /// The kind of its caller is known.
    pub fn called_by(&self, kind: &'static str) {
        // A call has one caller, who is found once.
        let is_first = self.caller.set(kind).is_ok();
        debug_assert!(is_first, "a second caller");
    }

    /// The kind of its caller, once that is known.
    #[must_use]
    pub fn caller(&self) -> Option<&'static str> {
        self.caller.get().copied()
    }

    /// Its request has arrived, with so many bytes of messages.
    pub fn arrived(&self, bytes: usize) {
        self.waits().request_bytes = bytes;
    }

    /// The bytes of messages that have arrived.
    #[must_use]
    pub fn request_bytes(&self) -> usize {
        self.waits().request_bytes
    }

    /// Its stream has sent all that there was when it was opened.
    pub fn is_live(&self) {
        self.waits().live_at.get_or_insert_with(Instant::now);
    }

    /// When its stream had done so first.
    #[must_use]
    pub fn live_at(&self) -> Option<Instant> {
        self.waits().live_at
    }

    /// It has waited.
    pub fn waited(&self, wait: Wait, began_at: Instant, ended_at: Instant) {
        let is_sampled = self.trace.as_ref().is_some_and(|trace| trace.is_sampled);
        let mut waits = self.waits();
        waits.times[wait.index()] += ended_at.saturating_duration_since(began_at);
        if is_sampled && waits.live_at.is_none() && waits.kept.len() < KEPT_WAITS_MAX {
            waits.kept.push(KeptWait { wait, began_at, ended_at });
        }
    }

    /// What it has waited for so far, and how long for each.
    #[must_use]
    pub fn times(&self) -> Vec<(Wait, Duration)> {
        let times = self.waits().times;
        let all = Wait::ALL.iter().copied().zip(times);
        all.filter(|(_, time)| !time.is_zero()).collect()
    }

    /// Its waits one by one, if it is traced.
    #[must_use]
    pub fn kept_waits(&self) -> Vec<KeptWait> {
        self.waits().kept.clone()
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The present call, if this is part of one, has waited since `began_at`. Returns when the wait was over.
pub fn waited(wait: Wait, began_at: Instant) -> Instant {
    let now = Instant::now();
    // Outside of calls, as at a start, nobody waits.
    let _ = CALL.try_with(|call| call.waited(wait, began_at, now));
    now
}

/// `bytes` in hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |four_bits: u8| char::from(DIGITS[usize::from(four_bits)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
