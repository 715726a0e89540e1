//! The log of the server: the filter of its lines, and their form. Never writes them itself.

use std::fmt;
use std::io::{self, IsTerminal};
use std::str::FromStr;

use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;

use super::log_writer::{ACCESS_TARGET, LogGuard, LogWriter};
use crate::runtime::CallContext;
use crate::runtime::call::Trace;
use crate::runtime::metrics::Process;

/// The level of the parts that a filter does not name.
const LEVEL_ELSEWHERE: LevelFilter = LevelFilter::INFO;
/// Parts whose warnings a client can cause, for each of its connections: it could fill the disk with
/// them. A filter that names one has them nevertheless.
const PARTS_OF_CLIENTS: [&str; 2] = ["h2", "hyper"];
/// The level of those.
const LEVEL_OF_CLIENTS: LevelFilter = LevelFilter::ERROR;
/// The lines about single calls.
const TARGETS_OF_CALLS: [&str; 2] = [ACCESS_TARGET, "whimbrel::slow_call"];
/// The level of those.
const LEVEL_OF_CALLS: LevelFilter = LevelFilter::INFO;
/// The lines about lines that were lost.
const LOST_TARGET: &str = "whimbrel::access::lost";
const LEVELS: &str = "off, error, warn, info, debug or trace";

/// The levels of the log: of the whole program, and of its parts.
#[derive(Clone, Debug)]
pub(super) struct LogFilter(Targets);

/// Sets another filter while the program runs.
#[derive(Debug)]
pub(super) struct LogReload {
    filter: Handle<Targets, Registry>,
    /// How many lost lines were reported.
    reported: u64,
}

impl LogReload {
    pub(super) fn replace(&self, filter: LogFilter) {
        // Fails only if nothing is logged any more.
        let _ = self.filter.reload(filter.0);
    }

    /// Logs how many lines were lost, if there are more than before. To be called now and then.
    pub(super) fn report_lost_lines(&mut self) {
        let lost = Process::LOST_LOG_LINES.get();
        if lost > self.reported {
            let lines = lost - self.reported;
            // Filters leave it on as they do the access log, and it has the room of other lines.
            tracing::warn!(target: LOST_TARGET, lines, "lines of the log were lost: its reader is slow");
            // Otherwise this line was lost as well, and a later one is about all.
            if Process::LOST_LOG_LINES.get() == lost {
                self.reported = lost;
            }
        }
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
        // They are switched by settings of their own.
        let targets = targets.with_targets(TARGETS_OF_CALLS.map(|part| (part, LEVEL_OF_CALLS)));
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

/// Starts logging to standard error, until the guard is dropped.
///
/// # Errors
/// The operating system starts no thread.
pub(super) fn begin(filter: LogFilter, format: LogFormat) -> io::Result<(LogReload, LogGuard)> {
    let (filter, handle) = reload::Layer::new(filter.0);
    let registry = tracing_subscriber::registry().with(filter);
    let (writer, guard) = LogWriter::start()?;
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let is_json = match format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    if is_json {
        let lines = lines.json().flatten_event(true).with_current_span(false);
        registry.with(lines.map_event_format(|format| CallLines { format, is_json })).init();
    } else {
        let lines = lines.with_ansi(is_colourful());
        registry.with(lines.map_event_format(|format| CallLines { format, is_json })).init();
    }
    Ok((LogReload { filter: handle, reported: 0 }, guard))
}

/// The form of a line, with the call in which it is logged.
struct CallLines<F> {
    format: F,
    is_json: bool,
}

impl<S, N, F> FormatEvent<S, N> for CallLines<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(call) = CallContext::current() else {
            return self.format.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.format.format_event(context, Writer::new(&mut line), event)?;
        // Both ids are plain text, and need no quoting.
        let (line, id) = (line.trim_end(), call.id());
        let trace_id = call.trace().map(Trace::trace_id_text);
        if self.is_json {
            write!(writer, "{},\"call_id\":\"{id}\"", line.strip_suffix('}').unwrap_or(line))?;
            if let Some(trace_id) = trace_id {
                write!(writer, ",\"trace_id\":\"{trace_id}\"")?;
            }
            writeln!(writer, "}}")
        } else {
            write!(writer, "{line} call_id={id}")?;
            if let Some(trace_id) = trace_id {
                write!(writer, " trace_id={trace_id}")?;
            }
            writeln!(writer)
        }
    }
}

/// Whether the log has colours: if standard error is a terminal that supports them, and `NO_COLOR`
/// is absent or empty (<https://no-color.org>).
fn is_colourful() -> bool {
    let is = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    std::io::stderr().is_terminal() && !is_dumb && !is("NO_COLOR")
}
