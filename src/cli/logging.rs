//! The log of the server: the filter of its lines, and their form. Never writes to standard output.

use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;

/// The level of the parts that a filter does not name.
const LEVEL_ELSEWHERE: LevelFilter = LevelFilter::INFO;
/// Parts whose warnings a client can cause, for each of its connections: it could fill the disk with
/// them. A filter that names one has them nevertheless.
const PARTS_OF_CLIENTS: [&str; 2] = ["h2", "hyper"];
/// The level of those.
const LEVEL_OF_CLIENTS: LevelFilter = LevelFilter::ERROR;
const LEVELS: &str = "off, error, warn, info, debug or trace";

/// The levels of the log: of the whole program, and of its parts.
#[derive(Clone, Debug)]
pub(super) struct LogFilter(Targets);

/// Sets another filter while the program runs.
#[derive(Debug)]
pub(super) struct LogReload(Handle<Targets, Registry>);

impl LogReload {
    pub(super) fn replace(&self, filter: LogFilter) {
        // Fails only if nothing is logged any more.
        let _ = self.0.reload(filter.0);
    }
}

/// Why a filter is invalid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LogFilterError {
    #[error("{word:?} is no level: give {LEVELS}; or, of a part, such as {word}=debug")]
    Level { word: String },
    #[error("{level:?} of {part} is no level: give {LEVELS}")]
    LevelOf { part: String, level: String },
    #[error("{part:?} is no part of a program: give a crate or a module, such as whimbrel::live")]
    Part { part: String },
}

impl FromStr for LogFilter {
    type Err = LogFilterError;

    /// Parses `LEVEL` and `PART=LEVEL`, separated by commas. Any other word is refused. Most
    /// filters of this kind would accept it and log nothing.
    fn from_str(given: &str) -> Result<Self, LogFilterError> {
        let (mut default, mut parts) = (LEVEL_ELSEWHERE, Vec::new());
        for directive in given.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
            match directive.split_once('=') {
                None => {
                    let refused = || LogFilterError::Level { word: directive.to_owned() };
                    default = level(directive).ok_or_else(refused)?;
                }
                Some((part, word)) => {
                    let (part, word) = (part.trim(), word.trim());
                    if !is_path(part) {
                        return Err(LogFilterError::Part { part: part.to_owned() });
                    }
                    let refused = || LogFilterError::LevelOf {
                        part: part.to_owned(),
                        level: word.to_owned(),
                    };
                    parts.push((part.to_owned(), level(word).ok_or_else(refused)?));
                }
            }
        }
        // Who asks for details has theirs as well.
        let of_clients =
            if default > LEVEL_ELSEWHERE { default } else { default.min(LEVEL_OF_CLIENTS) };
        let targets = Targets::new()
            .with_default(default)
            .with_targets(PARTS_OF_CLIENTS.map(|part| (part, of_clients)));
        Ok(Self(targets.with_targets(parts)))
    }
}

/// The level of a name. The empty text is none, although it would parse as one.
fn level(word: &str) -> Option<LevelFilter> {
    if word.is_empty() { None } else { word.parse().ok() }
}

/// Whether `part` has the form of a crate or a module path.
fn is_path(part: &str) -> bool {
    part.split("::").all(|name| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

/// The form of the log's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum LogFormat {
    /// Text on a terminal, and JSON elsewhere.
    Auto,
    Text,
    /// An object on each line.
    Json,
}

/// Starts logging to standard error.
pub(super) fn begin(filter: LogFilter, format: LogFormat) -> LogReload {
    let (filter, handle) = reload::Layer::new(filter.0);
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let is_json = match format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    if is_json {
        registry.with(lines.json().flatten_event(true).with_current_span(false)).init();
    } else {
        registry.with(lines.with_ansi(is_colourful())).init();
    }
    LogReload(handle)
}

/// Whether the log has colours: if standard error is a terminal that supports them, and `NO_COLOR`
/// is absent or empty (<https://no-color.org>).
fn is_colourful() -> bool {
    let is = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    std::io::stderr().is_terminal() && !is_dumb && !is("NO_COLOR")
}
