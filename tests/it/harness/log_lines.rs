//! The lines that one thread logs. Other threads of the tests log nothing.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Mutex, Once, PoisonError};

use tracing::subscriber::set_default;

/// Collected lines, without times. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct LogLines {
    text: Arc<Mutex<Vec<u8>>>,
    begun: Arc<Once>,
}

struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Default for LogLines {
    fn default() -> Self {
        Self { text: Arc::default(), begun: Arc::new(Once::new()) }
    }
}

impl LogLines {
    /// Collects what the calling thread logs from its first call on, until the thread ends.
    pub(crate) fn collect(&self) {
        self.begun.call_once(|| {
            let text = Arc::clone(&self.text);
            let lines = tracing_subscriber::fmt().with_writer(move || Lines(Arc::clone(&text)));
            let lines = lines.without_time().with_target(false).with_ansi(false).finish();
            // Ends with the thread.
            mem::forget(set_default(lines));
        });
    }

    /// The lines so far.
    pub(crate) fn so_far(&self) -> Vec<String> {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).lines().map(|line| line.trim().to_owned()).collect()
    }
}
