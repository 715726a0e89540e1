//! `whimbrel config`: checks, prints and describes the settings of a server. Never starts one.

mod print;
mod schema;

use clap::Subcommand;
use serde_json::json;

use super::json::JsonLine;
use super::settings::Given;
use super::{Error, Output, open_files, single_threaded_runtime};

/// Check, print and describe the settings of `serve`.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigVerb {
    /// Check the settings without starting a server; takes the flags of `serve`.
    Check(Box<Given>),
    /// Print what is in force and where each value comes from; takes the flags of `serve`.
    Print(Box<Given>),
    /// Print a JSON Schema of the file, for editors.
    Schema,
    /// Print a file with all settings, each with its default.
    Example,
}

impl ConfigVerb {
    pub(super) fn run(self, output: &Output) -> Result<(), Error> {
        match self {
            Self::Check(given) => check(&given, *output),
            Self::Print(given) => print::settings(&given, *output),
            Self::Schema => output.print(
                || format!("{:#}", schema::schema()),
                || JsonLine("schema", schema::schema()),
            ),
            Self::Example => {
                let text = print::example();
                output.print(|| text.trim_end().to_owned(), || JsonLine("example", json!(text)))
            }
        }
    }
}

/// Checks all that a start checks before it opens anything.
fn check(given: &Given, output: Output) -> Result<(), Error> {
    let settings = given.settings()?;
    let possible = open_files::raise().max(1);
    let config = single_threaded_runtime()?.block_on(settings.config(possible))?;
    config.check().map_err(crate::server::Error::from)?;
    let file = given.file();
    output.print(
        || match &file {
            Some(file) => format!("{} is valid", file.display()),
            None => "the settings are valid; there is no file (--config)".to_owned(),
        },
        || JsonLine("checked", json!({ "file": file })),
    )
}
