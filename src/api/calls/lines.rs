//! The lines of the log about single calls: the access log, and slow calls. Never writes them itself, so
//! no call waits for the reader of the log.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tonic::Code;

use super::OpenCall;
use crate::runtime::Wait;
use crate::runtime::metrics::Label;

/// Most lines about slow calls within [`SLOW_LINES_TIME`]: when a disk hangs, every call is slow, and a few of
/// them say why.
const SLOW_LINES_MAX: u32 = 10;
const SLOW_LINES_TIME: Duration = Duration::from_secs(10);

/// Writes the line of the access log about `call`, which has ended.
pub(super) fn access(call: &OpenCall, code: Code, reason: &'static str) {
    let context = &call.context;
    context.within(|| {
        tracing::info!(
            target: "whimbrel::access",
            rpc = call.counted.rpc(),
            code = ?code,
            reason = Some(reason).filter(|reason| !reason.is_empty()),
            seconds = call.begun_at.elapsed().as_secs_f64(),
            caller = context.caller(),
            peer = call.peer.map(tracing::field::display),
            request_bytes = context.request_bytes() as u64,
            response_bytes = call.sent_bytes,
            "call"
        );
    });
}

/// Logs slow calls, and counts those that are left out.
#[derive(Debug, Default)]
pub(super) struct SlowCalls(Mutex<Budget>);

#[derive(Debug, Default)]
struct Budget {
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl SlowCalls {
    /// `call` took `time` until it was answered.
    pub(super) fn add(&self, call: &OpenCall, time: Duration) {
        call.counted.slow();
        let Some(left_out) = self.take_line() else { return };
        let waited = |wait: Wait| Some(call.context.time(wait)).filter(|time| !time.is_zero());
        let seconds = |wait: Wait| waited(wait).map(|time| time.as_secs_f64());
        call.context.within(|| {
            tracing::warn!(
                target: "whimbrel::slow_call",
                rpc = call.counted.rpc(),
                seconds = time.as_secs_f64(),
                authentication = seconds(Wait::Authentication),
                request = seconds(Wait::Request),
                answers = seconds(Wait::Answers),
                cursor = seconds(Wait::Cursor),
                node = seconds(Wait::Node),
                queue = seconds(Wait::Queue),
                flush = seconds(Wait::Flush),
                apply = seconds(Wait::Apply),
                turn = seconds(Wait::Turn),
                read = seconds(Wait::Read),
                left_out = Some(left_out).filter(|&left_out| left_out > 0),
                "a call took long"
            );
        });
    }

    /// How many calls were left out before a line that may be written now; `None` if none may.
    fn take_line(&self) -> Option<u64> {
        let mut budget = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if budget.since.is_none_or(|since| since.elapsed() >= SLOW_LINES_TIME) {
            (budget.since, budget.lines) = (Some(Instant::now()), 0);
        }
        if budget.lines == SLOW_LINES_MAX {
            budget.left_out += 1;
            return None;
        }
        budget.lines += 1;
        Some(std::mem::take(&mut budget.left_out))
    }
}

const _: () = assert!(Wait::ALL.len() == 10, "each wait is a field of the line about a slow call");
