//! What verbs print.

use std::io::Write;

use serde::Serialize;
use serde_json::json;

use super::Error;
use super::json::Line;
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

    /// Prints one thing in its form for the reader: for machines an object with one member, such
    /// as a [`Line`].
    ///
    /// # Errors
    /// The output is closed.
    pub(super) fn print<T: Serialize>(
        self,
        human: impl FnOnce() -> String,
        line: impl FnOnce() -> T,
    ) -> Result<(), Error> {
        self.print_for_people(human)?;
        self.print_for_machines(line)
    }

    /// Prints what only people want to read; nothing for machines.
    ///
    /// # Errors
    /// The output is closed.
    pub(super) fn print_for_people(self, human: impl FnOnce() -> String) -> Result<(), Error> {
        if self.json { Ok(()) } else { print_line(&human()) }
    }

    /// Prints what only machines want to know; nothing for people.
    ///
    /// # Errors
    /// The output is closed.
    pub(super) fn print_for_machines<T: Serialize>(
        self,
        line: impl FnOnce() -> T,
    ) -> Result<(), Error> {
        if !self.json {
            return Ok(());
        }
        print_line(&serde_json::to_string(&line()).map_err(std::io::Error::from)?)
    }

    /// Says something about the verb's own work, on standard error.
    pub fn note(self, text: &str) {
        // If nobody can be told, the work goes on all the same.
        let _ = match self.json {
            true => writeln!(std::io::stderr(), "{}", json!({ "note": { "message": text } })),
            false => writeln!(std::io::stderr(), "{text}"),
        };
    }

    /// Says what went wrong, on standard error.
    pub fn error(self, error: &Error) {
        // As for a note: the exit code says it too.
        let _ = match self.json {
            true => match serde_json::to_string(&Line("error", Failure::of(error))) {
                Ok(line) => writeln!(std::io::stderr(), "{line}"),
                Err(unwritten) => writeln!(std::io::stderr(), "whimbrel: {error} ({unwritten})"),
            },
            false => writeln!(std::io::stderr(), "whimbrel: {error}"),
        };
    }
}

fn print_line(line: &str) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}

/// What machines are shown of an error.
#[derive(Debug, Serialize)]
struct Failure {
    /// The gRPC status code's name, if a call had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// The server's reason, without the prefix of `ErrorReason`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    message: String,
}

impl Failure {
    fn of(error: &Error) -> Self {
        let message = error.to_string();
        let Error::Client(client::Error::Call(call)) = error else {
            return Self { code: None, reason: None, message };
        };
        let reason = Some(call.reason.clone()).filter(|reason| !reason.is_empty());
        Self { code: Some(call.code), reason, message }
    }
}
