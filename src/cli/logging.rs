//! What the server logs, and how it looks.

use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// What is logged of the parts that a filter does not name.
const LEVEL_ELSEWHERE: LevelFilter = LevelFilter::INFO;
const LEVELS: &str = "off, error, warn, info, debug or trace";

/// How much is logged: of everything, or of parts of the program.
#[derive(Clone, Debug)]
pub(super) struct Filter(Targets);

/// What is wrong with a filter.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FilterError {
    #[error("{word:?} is no level: give {LEVELS}; or, of a part, such as {word}=debug")]
    Level { word: String },
    #[error("{level:?} of {part} is no level: give {LEVELS}")]
    LevelOf { part: String, level: String },
    #[error("{part:?} is no part of a program: give a crate or a module, such as whimbrel::hub")]
    Part { part: String },
}

impl FromStr for Filter {
    type Err = FilterError;

    /// Takes `LEVEL` and `PART=LEVEL`, with commas between. A word that is neither would silence
    /// the log in most filters of this kind, and is refused here.
    fn from_str(given: &str) -> Result<Self, FilterError> {
        let mut targets = Targets::new().with_default(LEVEL_ELSEWHERE);
        for directive in given.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
            targets = match directive.split_once('=') {
                None => {
                    let refused = || FilterError::Level { word: directive.to_owned() };
                    targets.with_default(level(directive).ok_or_else(refused)?)
                }
                Some((part, word)) => {
                    let (part, word) = (part.trim(), word.trim());
                    if !is_path(part) {
                        return Err(FilterError::Part { part: part.to_owned() });
                    }
                    let refused =
                        || FilterError::LevelOf { part: part.to_owned(), level: word.to_owned() };
                    targets.with_target(part, level(word).ok_or_else(refused)?)
                }
            };
        }
        Ok(Self(targets))
    }
}

/// The level of that name. No word at all would parse as one.
fn level(word: &str) -> Option<LevelFilter> {
    if word.is_empty() { None } else { word.parse().ok() }
}

/// Whether it is written as a crate or a module in it.
fn is_path(part: &str) -> bool {
    part.split("::").all(|name| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

/// Logs from now on, to standard error.
pub(super) fn begin(filter: Filter) {
    let lines =
        tracing_subscriber::fmt::layer().with_ansi(is_colourful()).with_writer(std::io::stderr);
    tracing_subscriber::registry().with(filter.0).with(lines).init();
}

/// Whether standard error takes colours and its reader wants them: a terminal that is able to, and
/// no `NO_COLOR` (<https://no-color.org>: present and not empty).
fn is_colourful() -> bool {
    let is = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    std::io::stderr().is_terminal() && !is_dumb && !is("NO_COLOR")
}
