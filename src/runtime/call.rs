//! The call that is being served: its id, its trace, and how long it has waited for what. Each part of the
//! server notes its waits here, and none of them reads what others noted. Never logs anything.
//!
//! ```text
//!   api ── scope ──▶ query, engine: `waited(Wait::Turn, since)` ──▶ CallContext ──▶ api: log lines, spans
//! ```

use std::future::Future;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::metrics::{Label, label};

tokio::task_local! {
    static CALL: Arc<CallContext>;
}

/// Most waits of a traced call that are kept one by one: those of a page that is read in several parts,
/// many times over. Of further ones only the time is kept.
pub const KEPT_WAITS_MAX: usize = 64;

label! {
    /// What a call waits for.
    pub enum Wait {
        /// The caller to be found out.
        Authentication = "authentication",
        /// The message of the request to arrive.
        Request = "request",
        /// The client to take earlier answers.
        Answers = "answers",
        /// The state to reach the cursor of a request.
        Cursor = "cursor",
        /// The node that decides changes, to which this one was forwarded.
        Node = "node",
        /// The committer to take the change.
        Queue = "queue",
        /// The batch of the change to be durable.
        Flush = "flush",
        /// The change to be applied, and its result to be back on the worker.
        Apply = "apply",
        /// A turn to read the index.
        Turn = "turn",
        /// Reads of the index and the log.
        Read = "read",
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

/// The id of a call: plain text, which can be part of a line of a log as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallId(IdText);

#[derive(Clone, Debug, PartialEq, Eq)]
enum IdText {
    /// In hexadecimal digits.
    Fresh([u8; 32]),
    Given(Box<str>),
}

impl CallId {
    /// A random one.
    #[must_use]
    pub fn fresh() -> Self {
        let mut digits = [0; 32];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(fastrand::u128(..).to_be_bytes()) {
            pair.copy_from_slice(&hex_digits(byte));
        }
        Self(IdText::Fresh(digits))
    }

    /// The id that a caller gives; `None` if it is not plain: only of `A-Z a-z 0-9 . _ : -`.
    #[must_use]
    pub fn given(text: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        let is_one = !text.is_empty() && text.bytes().all(is_plain);
        is_one.then(|| Self(IdText::Given(text.into())))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            IdText::Given(text) => text,
            IdText::Fresh(digits) => match std::str::from_utf8(digits) {
                Ok(text) => text,
                Err(_) => unreachable!("digits are text"),
            },
        }
    }
}

/// A call that is being served. Most calls are neither slow nor traced, so a wait that is noted takes no lock,
/// unless the call is sampled.
#[derive(Debug)]
pub struct CallContext {
    id: CallId,
    trace: Option<Trace>,
    caller: OnceLock<&'static str>,
    /// How long it has waited for each, in nanoseconds.
    times: [AtomicU64; Wait::ALL.len()],
    request_bytes: AtomicUsize,
    live_at: OnceLock<Instant>,
    /// Its waits one by one; `None` if it is not sampled.
    kept: Option<Mutex<Vec<KeptWait>>>,
}

impl CallContext {
    /// A call that begins, with its id and its trace, if it is of one.
    #[must_use]
    pub fn new(id: CallId, trace: Option<Trace>) -> Self {
        let is_sampled = trace.as_ref().is_some_and(|trace| trace.is_sampled);
        Self {
            id,
            trace,
            caller: OnceLock::new(),
            times: Default::default(),
            request_bytes: AtomicUsize::default(),
            live_at: OnceLock::new(),
            kept: is_sampled.then(Mutex::default),
        }
    }

    /// Its id, as its caller and the log know it.
    #[must_use]
    pub fn id(&self) -> &str {
        self.id.as_str()
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
        self.request_bytes.store(bytes, Ordering::Relaxed);
    }

    /// The bytes of messages that have arrived.
    #[must_use]
    pub fn request_bytes(&self) -> usize {
        self.request_bytes.load(Ordering::Relaxed)
    }

    /// Its stream has sent all that there was when it was opened.
    pub fn is_live(&self) {
        self.live_at.get_or_init(Instant::now);
    }

    /// When its stream had done so first.
    #[must_use]
    pub fn live_at(&self) -> Option<Instant> {
        self.live_at.get().copied()
    }

    /// It has waited.
    pub fn waited(&self, wait: Wait, began_at: Instant, ended_at: Instant) {
        let time = ended_at.saturating_duration_since(began_at);
        // 2⁶⁴ ns are 584 years: no process lasts as long.
        let nanos = time.as_nanos() as u64;
        self.times[wait.index()].fetch_add(nanos, Ordering::Relaxed);
        if let Some(kept) = &self.kept
            && self.live_at.get().is_none()
        {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < KEPT_WAITS_MAX {
                kept.push(KeptWait { wait, began_at, ended_at });
            }
        }
    }

    /// How long it has waited so far.
    #[must_use]
    pub fn time(&self, wait: Wait) -> Duration {
        Duration::from_nanos(self.times[wait.index()].load(Ordering::Relaxed))
    }

    /// Its waits one by one, if it is sampled.
    #[must_use]
    pub fn kept_waits(&self) -> Vec<KeptWait> {
        let Some(kept) = &self.kept else { return Vec::new() };
        kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
    bytes.iter().flat_map(|&byte| hex_digits(byte).map(char::from)).collect()
}

fn hex_digits(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}
