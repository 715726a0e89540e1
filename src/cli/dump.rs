//! `whimbrel dump` and `whimbrel load`: the log as lines of JSON, and a new log out of such lines. Never
//! changes a log.

use std::io::{self, BufRead, Read};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::json::JsonLine;
use super::number::counted;
use super::{Error, Output, ServerArgs};
use crate::dump::{self, LINE_BYTES_MAX, Load};
use crate::model::{Event, Revision};
use crate::storage;

/// Print the log as lines of JSON, one event a line.
///
/// Of a data folder, all of which is checked, or of a running server. With authentication the server wants
/// an API key of the role `admin`. docs/import.md says what a line has. `whimbrel load` makes a log out of
/// it.
#[derive(Args, Debug)]
pub(super) struct DumpArgs {
    /// The data folder. Without it, the log of the server is dumped.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Make a new log in an empty data folder out of lines of JSON from standard input.
///
/// The lines are those of `whimbrel dump`, or written by others by the rules of docs/import.md. Order and
/// times are kept. The first line that is no change a server could have made ends the load, and leaves no log.
#[derive(Args, Debug)]
pub(super) struct LoadArgs {
    /// The data folder: empty, or not there.
    #[arg(long, env = "WHIMBREL_DATA", default_value = "./whimbrel-data", value_name = "DIR")]
    data: PathBuf,
}

impl DumpArgs {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let mut each =
            |revision: Revision, event: Event| output.print_text(&dump::to_line(revision, &event));
        if let Some(data) = &self.data {
            return storage::check_events(data, &mut |_| {}, &mut each).map(drop);
        }
        let client = self.server.connect().await?;
        dump::events_of(&client, &mut each).await
    }
}

impl LoadArgs {
    pub(super) fn run(self, output: &Output) -> Result<(), Error> {
        let mut load = Load::begin(&self.data)?;
        let mut lines = io::stdin().lock();
        let mut line = Vec::new();
        loop {
            line.clear();
            // One more than a line may have, and its break: so a longer one is noticed.
            let bytes_max = LINE_BYTES_MAX as u64 + 2;
            let read = lines.by_ref().take(bytes_max).read_until(b'\n', &mut line);
            let failed = |source| Error::File { file: "standard input".into(), source };
            if read.map_err(failed)? == 0 {
                break;
            }
            load.add(line.strip_suffix(b"\n").unwrap_or(&line))?;
        }
        let loaded = load.finish()?;
        output.print(
            || {
                let (events, data) = (counted(loaded.head.get(), "event"), self.data.display());
                format!("loaded {events} into {data}: log {}, chain {}", loaded.id, loaded.chain)
            },
            || {
                let line = json!({
                    "logId": loaded.id.to_string(),
                    "revision": loaded.head.get(),
                    "chain": loaded.chain.to_string(),
                    "bytes": loaded.bytes,
                });
                JsonLine("loaded", line)
            },
        )
    }
}
