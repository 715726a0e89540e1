//! What verbs print.

use std::io::Write;

use serde_json::{Value, json};

use super::Error;
use crate::client;

/// Standard output, for people or for machines.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
}

impl Output {
    /// Prints JSON, or lines for people.
    #[must_use]
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether machines read it.
    #[must_use]
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Prints one thing in its form for the reader.
    ///
    /// # Errors
    /// The output is closed.
    pub fn print(
        self,
        human: impl FnOnce() -> String,
        json: impl FnOnce() -> Value,
    ) -> Result<(), Error> {
        let mut stdout = std::io::stdout().lock();
        if self.json {
            writeln!(stdout, "{}", json())?;
        } else {
            writeln!(stdout, "{}", human())?;
        }
        Ok(stdout.flush()?)
    }

    /// Says something about the verb's own work to people.
    pub fn note(self, text: &str) {
        // If nobody can be told, the work goes on all the same.
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    /// Says what went wrong.
    pub fn error(self, error: &Error) {
        if self.json {
            let (code, reason) = match error {
                Error::Client(client::Error::Call(call)) => (call.code, call.reason.as_str()),
                _ => ("", ""),
            };
            let error = json!({ "error": error.to_string(), "code": code, "reason": reason });
            self.note(&error.to_string());
        } else {
            self.note(&format!("whimbrel: {error}"));
        }
    }
}
