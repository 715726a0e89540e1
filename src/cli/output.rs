//! The output of verbs: results to standard output, notes and errors to standard error. Never
//! panics if nobody reads it.

use std::io::Write;

use serde::Serialize;
use serde_json::json;

use super::Error;
use super::json::JsonLine;
use crate::client;

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Text and tables, for people.
    Table,
    /// One JSON object per line.
    Json,
    /// One YAML document per object.
    Yaml,
}

/// Standard output, for people or for machines.
#[derive(Clone, Copy, Debug)]
pub struct Output(Format);

impl Output {
    /// Prints results in this format.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self(format)
    }

    /// Whether the output is for machines, and not for people.
    #[must_use]
    pub fn is_for_machines(self) -> bool {
        self.0 != Format::Table
    }

    /// Prints one result: `human` for people, or `line` for machines, an object with one member
    /// such as a [`JsonLine`].
    ///
    /// # Errors
    /// The output is closed, or cannot be written.
    pub(super) fn print<T: Serialize>(
        self,
        human: impl FnOnce() -> String,
        line: impl FnOnce() -> T,
    ) -> Result<(), Error> {
        self.print_for_people(human)?;
        self.print_for_machines(line)
    }

    /// Prints a text for people only.
    ///
    /// # Errors
    /// The output is closed, or cannot be written.
    pub(super) fn print_for_people(self, human: impl FnOnce() -> String) -> Result<(), Error> {
        if self.is_for_machines() { Ok(()) } else { print_line(&human()) }
    }

    /// Prints a line that is the same for people and for machines.
    ///
    /// # Errors
    /// The output is closed, or cannot be written.
    pub(super) fn print_text(self, line: &str) -> Result<(), Error> {
        print_line(line)
    }

    /// Prints an object for machines only.
    ///
    /// # Errors
    /// The output is closed, or cannot be written.
    pub(super) fn print_for_machines<T: Serialize>(
        self,
        line: impl FnOnce() -> T,
    ) -> Result<(), Error> {
        if !self.is_for_machines() {
            return Ok(());
        }
        print_line(&self.object(&line())?)
    }

    /// An object for machines: a line of JSON, or a document of YAML.
    fn object(self, object: &impl Serialize) -> Result<String, Error> {
        let not_written = |error: String| Error::Output(std::io::Error::other(error));
        if self.0 == Format::Yaml {
            let yaml = serde_saphyr::to_string(object);
            let yaml = yaml.map_err(|error| not_written(error.to_string()))?;
            return Ok(format!("---\n{}", yaml.trim_end()));
        }
        serde_json::to_string(object).map_err(|error| not_written(error.to_string()))
    }

    /// Prints a note about the work of a verb to standard error.
    pub fn note(self, text: &str) {
        // A note that cannot be written does not end the work.
        let _ = match self.is_for_machines() {
            true => self
                .object(&json!({ "note": { "message": text } }))
                .map(|note| writeln!(std::io::stderr(), "{note}")),
            false => Ok(writeln!(std::io::stderr(), "{text}")),
        };
    }

    /// Prints an error to standard error.
    pub fn error(self, error: &Error) {
        // If it cannot be written, the exit code still reports it.
        let _ = match self.is_for_machines() {
            true => match self.object(&JsonLine("error", JsonError::from_error(error))) {
                Ok(line) => writeln!(std::io::stderr(), "{line}"),
                Err(second) => writeln!(std::io::stderr(), "whimbrel: {error} ({second})"),
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

/// The form of an error for machines.
#[derive(Debug, Serialize)]
struct JsonError {
    /// The name of the gRPC status code, if a call failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// The server's reason, without the prefix of `ErrorReason`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    message: String,
}

impl JsonError {
    fn from_error(error: &Error) -> Self {
        let message = error.to_string();
        let Error::Client(client::Error::Call(call)) = error else {
            return Self { code: None, reason: None, message };
        };
        let reason = Some(call.reason.clone()).filter(|reason| !reason.is_empty());
        Self { code: Some(call.code), reason, message }
    }
}
