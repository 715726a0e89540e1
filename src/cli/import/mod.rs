//! `whimbrel import`: many follows and posts from files, through the public API. Never writes to
//! the data of a server itself.

mod line_reader;
mod progress;
mod row;
mod workers;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use clap::{ArgGroup, Args};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::line_reader::LineReader;
use self::progress::{Progress, RowCounts};
use self::row::{FileKind, ImportRow, RowParser};
use self::workers::ImportWorkers;
use super::json::JsonLine;
use super::{Error, Output, ServerArgs, number};
use crate::client::Client;

/// Rows in a chunk, which the reading thread sends to the calling thread with one wake-up.
const CHUNK_ROWS: usize = 256;
/// Chunks in the channel between the two: enough that a short delay of one does not stop the other.
const CHUNKS_MAX: usize = 4;

/// Import follows and posts from files.
///
/// Safe to run again, also after an interruption: rows that the server has already are not changed.
/// Every row that cannot be imported is reported as FILE:LINE on standard error, and the others are
/// imported.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("files").args(["follows", "posts"]).required(true).multiple(true)))]
pub(super) struct ImportArgs {
    /// Follows, one `follower<TAB>followee` per line; plain or gzip. Imported before the posts.
    #[arg(long, value_name = "FILE")]
    follows: Option<PathBuf>,
    /// Posts, one JSON object per line with `author_id`, `text` and optionally `request_id`; plain
    /// or gzip.
    ///
    /// An author's posts are published in the order of the file. The server sets their times;
    /// other fields, such as `time`, are ignored. A row without a `request_id` gets one from the
    /// file's name (without folder and .gz) and the line's number: do not rename or edit the file
    /// between two runs. The server remembers request ids for 24 hours; a run after that publishes
    /// the posts again.
    #[arg(long, value_name = "FILE")]
    posts: Option<PathBuf>,
    /// Number of concurrent calls.
    #[arg(long, default_value_t = 512, value_name = "N",
          value_parser = number::within(1..=1024_u16))]
    in_flight: u16,
    /// How long a call is retried while the server cannot be reached or is too busy, in seconds.
    #[arg(long, default_value_t = 60, value_name = "SECONDS",
          value_parser = number::within(0..=86_400_u64))]
    retry_for: u64,
    #[command(flatten)]
    server: ServerArgs,
}

struct InputFile {
    kind: FileKind,
    file: PathBuf,
    lines: LineReader,
}

/// The thread that reads and parses a file.
struct ParserThread {
    thread: JoinHandle<io::Result<()>>,
    chunks: mpsc::Receiver<Vec<ImportRow>>,
}

impl ImportArgs {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        // All files are opened before the first change.
        let files = [(FileKind::Follows, &self.follows), (FileKind::Posts, &self.posts)];
        let files = files.into_iter().filter_map(|(kind, file)| Some((kind, file.as_ref()?)));
        let inputs: Vec<_> =
            files.map(|(kind, file)| open(kind, file)).collect::<Result<_, _>>()?;
        let (address, options) = self.server.target()?;
        let clients =
            Client::connect_for(&address.to_string(), &options, self.in_flight.into(), 1).await?;

        let started = Instant::now();
        let mut all = RowCounts::default();
        let mut by_kind = serde_json::Map::new();
        for input in inputs {
            let kind = input.kind;
            let bytes = input.lines.bytes();
            let progress = Arc::new(Progress::new(kind, &input.file, bytes, *output));
            let imported = self.import(input, &clients, &progress).await;
            progress.end();
            let counts = progress.counts();
            all = all.and(counts);
            by_kind.insert(kind.name().to_owned(), counts_json(counts));
            if let Err(error) = imported {
                output.note(&format!("stopped: {}; run it again to go on", counts_text(all)));
                return Err(error);
            }
        }
        summarise(*output, all, by_kind, started.elapsed())
    }

    /// Imports one file.
    async fn import(
        &self,
        input: InputFile,
        clients: &[Client],
        progress: &Arc<Progress>,
    ) -> Result<(), Error> {
        let file = input.file.clone();
        let unreadable = |source| Error::File { file: file.clone(), source };
        let retried_for = Duration::from_secs(self.retry_for);
        let mut workers = ImportWorkers::new(self.in_flight.into(), clients, progress, retried_for);
        let mut parser = start_parser(input, Arc::clone(progress)).map_err(unreadable)?;
        while let Some(chunk) = parser.chunks.recv().await {
            for row in chunk {
                workers.push(row).await?;
            }
        }
        workers.finish().await?;
        match parser.thread.join() {
            Ok(result) => result.map_err(unreadable),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn open(kind: FileKind, file: &Path) -> Result<InputFile, Error> {
    let lines =
        LineReader::open(file).map_err(|source| Error::File { file: file.to_owned(), source })?;
    Ok(InputFile { kind, file: file.to_owned(), lines })
}

/// Reads, decompresses and parses in a separate thread, so that calls do not wait for the disk. If
/// the import ends early, the thread is not joined: it may wait for a pipe.
fn start_parser(input: InputFile, progress: Arc<Progress>) -> io::Result<ParserThread> {
    let (sender, chunks) = mpsc::channel(CHUNKS_MAX);
    let thread = thread::Builder::new()
        .name("import-reader".to_owned())
        .spawn(move || read(input, &progress, &sender))?;
    Ok(ParserThread { thread, chunks })
}

fn read(
    input: InputFile,
    progress: &Progress,
    chunks: &mpsc::Sender<Vec<ImportRow>>,
) -> io::Result<()> {
    let InputFile { kind, file, mut lines } = input;
    let parser = RowParser::new(kind, &file);
    let mut chunk = Vec::with_capacity(CHUNK_ROWS);
    let result = loop {
        match lines.next() {
            Ok(Some((number, line))) => match parser.parse(number, &line) {
                Ok(row) => chunk.extend(row),
                Err(why) => progress.reject(number, &why),
            },
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
        if chunk.len() == CHUNK_ROWS {
            let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK_ROWS));
            if chunks.blocking_send(full).is_err() {
                // The import has ended early, and reports its error.
                return Ok(());
            }
            progress.read(lines.bytes_read());
        }
    };
    // The rows before a damaged part of the file are imported too.
    let _ = chunks.blocking_send(chunk);
    result
}

fn summarise(
    output: Output,
    counts: RowCounts,
    by_kind: serde_json::Map<String, Value>,
    took: Duration,
) -> Result<(), Error> {
    let per_s = number::per_second(counts.done(), took);
    output.print(
        || {
            let (seconds, rate) = (took.as_secs_f64(), number::rounded(per_s));
            format!("{}; {seconds:.1} s, {rate} changes a second", counts_text(counts))
        },
        || {
            let mut all = counts_json(counts);
            all["seconds"] = took.as_secs_f64().into();
            all["perS"] = per_s.round().into();
            all["byFile"] = by_kind.into();
            JsonLine("imported", all)
        },
    )?;
    match counts.rejected {
        0 => Ok(()),
        1 => Err(Error::NotAllDone("1 row was rejected".to_owned())),
        rejected => {
            Err(Error::NotAllDone(format!("{} rows were rejected", number::grouped(rejected))))
        }
    }
}

fn counts_text(counts: RowCounts) -> String {
    let RowCounts { made, already, rejected } = counts;
    let [made, already, rejected] = [made, already, rejected].map(number::grouped);
    format!("{made} made, {already} there already, {rejected} rejected")
}

fn counts_json(counts: RowCounts) -> Value {
    let RowCounts { made, already, rejected } = counts;
    json!({ "made": made, "already": already, "rejected": rejected })
}
