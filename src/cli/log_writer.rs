//! Writes the lines of the log to standard error, by a thread of its own. Never makes anybody wait for the
//! reader of the log: what finds the buffer full is lost and counted.
//!
//! ```text
//!   line ──▶ buffer ──▶ thread ──▶ standard error
//!            │ full
//!            ▼ lost, counted
//! ```

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

use crate::runtime::metrics::Process;

/// The lines that come with each call. Clients can cause any number of them.
pub(super) const ACCESS_TARGET: &str = "whimbrel::access";
/// Most bytes of lines that wait to be written or are: some 15,000 lines, those of a fraction of a second in
/// which the reader of the log takes nothing.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most of them that the access log may fill, so that there is room for lines that matter more.
const ACCESS_BYTES_MAX: usize = BYTES_MAX / 2;
/// What is kept of a buffer that a flood has made large.
const KEPT_BYTES_MAX: usize = 64 * 1024;
/// How long an end waits for the last lines to be written, if the reader takes nothing.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(1);

/// Takes the lines of the log. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct LogWriter(Arc<Buffer>);

/// Has all lines written when it is dropped, for a short time.
#[derive(Debug)]
#[must_use = "lines that wait are lost at an end without it"]
pub(super) struct LogGuard(Arc<Buffer>);

#[derive(Debug, Default)]
struct Buffer {
    state: Mutex<State>,
    /// There are lines, or it is to end.
    filled: Condvar,
    /// All is written, and the thread has ended.
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// Bytes of the lines that are being written.
    writing: usize,
    /// The thread waits for lines.
    is_idle: bool,
    is_ending: bool,
    has_ended: bool,
}

impl LogWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// The operating system starts no thread.
    pub(super) fn start() -> io::Result<(Self, LogGuard)> {
        let buffer = Arc::<Buffer>::default();
        let written = Arc::clone(&buffer);
        let thread = std::thread::Builder::new().name("whimbrel-log".to_owned());
        thread.spawn(move || written.write_all())?;
        Ok((Self(Arc::clone(&buffer)), LogGuard(buffer)))
    }
}

impl Buffer {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, line: &[u8], room: usize) {
        let mut state = self.state();
        if state.has_ended {
            drop(state);
            // Nobody is served any more.
            let _ = io::stderr().write_all(line);
        } else if state.waiting.len() + state.writing + line.len() > room {
            Process::LOST_LOG_LINES.increment();
        } else {
            state.waiting.extend_from_slice(line);
            // One wake-up for all lines that come while it writes.
            if state.is_idle {
                self.filled.notify_one();
            }
        }
    }

    /// Writes what comes until the end.
    fn write_all(&self) {
        let mut lines = Vec::new();
        loop {
            let mut state = self.state();
            while state.waiting.is_empty() && !state.is_ending {
                state.is_idle = true;
                state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            (state.is_idle, state.writing) = (false, state.waiting.len());
            if state.waiting.is_empty() {
                state.has_ended = true;
                self.ended.notify_all();
                return;
            }
            std::mem::swap(&mut state.waiting, &mut lines);
            drop(state);
            // There is no other place to say that this fails.
            let _ = io::stderr().write_all(&lines);
            lines.clear();
            lines.shrink_to(KEPT_BYTES_MAX);
            self.state().writing = 0;
        }
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_ending = true;
        self.0.filled.notify_one();
        let waits = |state: &mut State| !state.has_ended;
        let _ = self.0.ended.wait_timeout_while(state, FLUSH_TIME_MAX, waits);
    }
}

/// A line on its way to the buffer.
#[derive(Debug)]
pub(super) struct LineWriter<'a> {
    buffer: &'a Buffer,
    room: usize,
}

impl Write for LineWriter<'_> {
    /// A whole line, or it would be mixed with others.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        debug_assert!(line.ends_with(b"\n"), "a part of a line");
        self.buffer.add(line, self.room);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        LineWriter { buffer: &self.0, room: BYTES_MAX }
    }

    fn make_writer_for(&'a self, line: &Metadata<'_>) -> Self::Writer {
        let room = if line.target() == ACCESS_TARGET { ACCESS_BYTES_MAX } else { BYTES_MAX };
        LineWriter { buffer: &self.0, room }
    }
}
