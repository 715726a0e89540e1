//! A new log out of lines. Never leaves a folder that a server would open, unless all lines are right.

use std::path::Path;

use serde_json::error::Category;

use super::Error;
use super::history::History;
use super::line::{self, Line};
use crate::model::{Event, LogTime};
use crate::storage::{LogLoad, RestoredLog};

/// The longest line: the largest post with each byte escaped.
pub const LINE_BYTES_MAX: usize = 256 << 10;
/// Events that are written at once.
const BATCH_EVENTS: usize = 1_024;

/// A load under way. Dropped before its end, it leaves no log.
#[derive(Debug)]
pub struct Load {
    log: LogLoad,
    history: History,
    log_time: LogTime,
    batch: Vec<Event>,
    lines: u64,
}

impl Load {
    /// Begins a load into `dir`, which has nothing, or does not exist.
    ///
    /// # Errors
    /// The folder has something, is in use, or cannot be written.
    pub fn begin(dir: &Path) -> Result<Self, Error> {
        Ok(Self {
            log: LogLoad::begin(dir)?,
            history: History::default(),
            log_time: LogTime::from_nanos(0),
            batch: Vec::new(),
            lines: 0,
        })
    }

    /// Takes the next line, without its line break. Empty lines are skipped.
    ///
    /// # Errors
    /// The line is no event that may follow those before it, or the log cannot be written.
    pub fn add(&mut self, text: &[u8]) -> Result<(), Error> {
        self.lines += 1;
        if text.trim_ascii().is_empty() {
            return Ok(());
        }
        let event = self.event(text);
        let event = event.map_err(|what| Error::Line { line: self.lines, what })?;
        self.batch.push(event);
        if self.batch.len() == BATCH_EVENTS {
            self.log.append(std::mem::take(&mut self.batch))?;
        }
        Ok(())
    }

    fn event(&mut self, text: &[u8]) -> Result<Event, String> {
        if text.len() > LINE_BYTES_MAX {
            return Err(format!("it is longer than {LINE_BYTES_MAX} bytes"));
        }
        let line: Line = serde_json::from_slice(text).map_err(|error| match error.classify() {
            // Names are only ever added.
            Category::Data => format!("{error} (a later whimbrel may have written it)"),
            Category::Io | Category::Syntax | Category::Eof => error.to_string(),
        })?;
        let next = self.history.last().next();
        if let Some(revision) = line.revision.filter(|&revision| revision != next.get()) {
            return Err(format!("its revision is {revision}, and {next} comes next"));
        }
        let (time, log_time) = line::times(&line, self.log_time)?;
        let change = self.history.add(line.change)?;
        self.log_time = log_time;
        Ok(Event { time, log_time, change })
    }

    /// Ends the load: the folder has a log from now on.
    ///
    /// # Errors
    /// The lines end too early, or the folder cannot be written.
    pub fn finish(mut self) -> Result<RestoredLog, Error> {
        if let Some(what) = self.history.unfinished() {
            return Err(Error::Line { line: self.lines, what });
        }
        if !self.batch.is_empty() {
            self.log.append(std::mem::take(&mut self.batch))?;
        }
        Ok(self.log.finish()?)
    }
}
