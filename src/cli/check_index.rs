//! The index against the log: `whimbrel check-index` of a running server, and a part of `whimbrel check`
//! for a folder that none uses. Never changes a file.

use std::path::Path;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::json::{JsonLine, ProtoJson};
use super::number::{counted, grouped};
use super::{Error, Output, ServerArgs};
use crate::api::v1;
use crate::config::Limits;
use crate::model::{Event, Revision};
use crate::state::IndexCheck;
use crate::storage::{self, CheckedLog, IndexView};

/// Check the index of a running server against its log.
///
/// The server compares each row of its index with what its log gives, with low priority, and goes on
/// meanwhile. If one differs, it rebuilds the index: the log lost nothing. With authentication it needs an
/// API key of the role `admin`. The index of a folder that no server uses is checked by `whimbrel check`.
#[derive(Args, Debug)]
pub(super) struct CheckIndexArgs {
    #[command(flatten)]
    server: ServerArgs,
}

impl CheckIndexArgs {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let client = self.server.connect().await?;
        let mut steps = client.check_index(v1::CheckIndexRequest {}).await?;
        let bar = spinner(*output);
        let mut last = None;
        while let Some(step) = steps.next().await? {
            let (read, until) = (grouped(step.revision), grouped(step.until_revision));
            bar.set_message(format!("events: {read} of {until}, rows: {}", grouped(step.rows)));
            last = Some(step);
        }
        bar.finish_and_clear();
        let Some(last) = last.filter(|step| step.is_done) else {
            return Err(Error::NotAllDone("the server ended the check too early".to_owned()));
        };
        output.print(
            || described(last.rows, Revision::new(last.until_revision)),
            || JsonLine("response", ProtoJson(&last)),
        )
    }
}

/// A spinner on a terminal.
pub(super) fn spinner(output: Output) -> ProgressBar {
    let target = match output.is_for_machines() {
        true => ProgressDrawTarget::hidden(),
        false => ProgressDrawTarget::stderr(),
    };
    let style = ProgressStyle::with_template(super::check::SPINNER);
    let bar = ProgressBar::with_draw_target(None, target)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    if !bar.is_hidden() {
        bar.enable_steady_tick(super::check::DRAW_INTERVAL);
    }
    bar
}

/// What a check of an index found.
pub(super) fn described(rows: u64, until: Revision) -> String {
    format!("index: {} up to revision {until}, as the log gives them", counted(rows, "row"))
}

/// What is known of the index of a folder.
pub(super) enum FolderIndex {
    /// There is none.
    Missing,
    /// A server uses it.
    InUse,
    /// The next start rebuilds it, as it has another version of the format.
    OfAnotherVersion(storage::Error),
    /// It cannot be opened, or a row is not right.
    Wrong(storage::Error),
    /// It was made from another log, or from another history.
    OfAnother,
    /// All rows are right.
    Checked { rows: u64, until: Revision },
}

/// A check of the index of a folder, next to a check of the log.
pub(super) struct FolderIndexCheck {
    found: FolderIndex,
    under_way: Option<(IndexView, IndexCheck)>,
}

impl FolderIndexCheck {
    /// Opens the index in the data folder, which is locked from now on if no server uses it.
    pub(super) fn begin(data: &Path) -> Self {
        let begun = IndexView::open(data).and_then(|view| match view {
            Some(view) => IndexCheck::new(&view, Limits::default().index_check_bytes_max)
                .map(|check| Some((view, check))),
            None => Ok(None),
        });
        let (found, under_way) = match begun {
            Ok(under_way) => (FolderIndex::Missing, under_way),
            Err(storage::Error::InUse { .. }) => (FolderIndex::InUse, None),
            Err(error @ storage::Error::OtherFormat { .. }) => {
                (FolderIndex::OfAnotherVersion(error), None)
            }
            Err(error) => (FolderIndex::Wrong(error), None),
        };
        Self { found, under_way }
    }

    /// Adds the next event.
    pub(super) fn apply(
        &mut self,
        revision: Revision,
        event: &Event,
    ) -> Result<(), storage::Error> {
        match &mut self.under_way {
            Some((view, check)) if revision <= view.complete_until() => {
                check.apply(revision, event)
            }
            _ => Ok(()),
        }
    }

    /// Compares the rows, after all events of the log `checked` of the folder `data`.
    pub(super) fn finish(
        mut self,
        data: &Path,
        checked: &CheckedLog,
        progress: &mut dyn FnMut(u64),
    ) -> Result<FolderIndex, storage::Error> {
        let Some((view, check)) = self.under_way.take() else { return Ok(self.found) };
        let until = view.complete_until();
        let chain = if until > checked.head { None } else { storage::read_chain(data, until)? };
        if !view.is_of(checked.id, chain) {
            return Ok(FolderIndex::OfAnother);
        }
        let compared = check.compare(&view, &mut |rows| {
            progress(rows);
            true
        });
        Ok(match compared {
            Ok(Some(rows)) => FolderIndex::Checked { rows, until },
            Ok(None) => unreachable!("nothing stops it"),
            Err(error) => FolderIndex::Wrong(error),
        })
    }
}
