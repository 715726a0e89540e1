//! `whimbrel import`: many follows and posts from files, through the same calls as everybody's.

mod lanes;
mod lines;
mod progress;
mod row;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use clap::{ArgGroup, Args};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::lanes::Lanes;
use self::lines::Lines;
use self::progress::{Counts, Progress};
use self::row::{Kind, Reader, Row};
use super::json::Line;
use super::{Error, Output, Target, number};
use crate::client::Client;

/// Rows that go from the thread that reads to the one that calls at once: it wakes the other.
const CHUNK_ROWS: usize = 256;
/// Chunks that wait in between: enough that neither waits for the other's hiccups.
const CHUNKS_MAX: usize = 4;

/// Import follows and posts from files.
///
/// Safe to run again, also after it was interrupted: what the server has already is left as it is.
/// Every row that cannot be imported is told as FILE:LINE on standard error, and the others are
/// imported all the same.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("files").args(["follows", "posts"]).required(true).multiple(true)))]
pub(super) struct Import {
    /// Follows, one `follower<TAB>followee` a line; plain or gzip. Imported before the posts.
    #[arg(long, value_name = "FILE")]
    follows: Option<PathBuf>,
    /// Posts, one JSON object a line with `author_id`, `text` and, if there is one, `request_id`;
    /// plain or gzip.
    ///
    /// An author's posts are made in the order of the file. The server stamps them with its own
    /// time; other fields, `time` among them, are ignored. A row without a `request_id` gets one
    /// made of the file's name (without folder and .gz) and the line's number: do not rename or
    /// edit the file between two runs. The server remembers request ids for 24 hours; a run after
    /// that posts again.
    #[arg(long, value_name = "FILE")]
    posts: Option<PathBuf>,
    /// How many changes are under way at once.
    #[arg(long, default_value_t = 512, value_name = "N",
          value_parser = number::within(1..=1024_u16))]
    in_flight: u16,
    /// How long a change is tried while the server cannot be reached or is too busy, in seconds.
    #[arg(long, default_value_t = 60, value_name = "SECONDS",
          value_parser = number::within(0..=86_400_u64))]
    retry_for: u64,
    #[command(flatten)]
    target: Target,
}

/// A file that is open.
struct Source {
    kind: Kind,
    file: PathBuf,
    lines: Lines,
}

/// The thread that reads a file, and what it has read.
struct Background {
    thread: JoinHandle<io::Result<()>>,
    chunks: mpsc::Receiver<Vec<Row>>,
}

impl Import {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        // All are opened before anything is changed.
        let sources = [(Kind::Follows, &self.follows), (Kind::Posts, &self.posts)];
        let sources = sources.into_iter().filter_map(|(kind, file)| Some((kind, file.as_ref()?)));
        let sources: Vec<_> =
            sources.map(|(kind, file)| open(kind, file)).collect::<Result<_, _>>()?;
        let address = self.target.addr.to_string();
        let clients = Client::connect_for(&address, self.in_flight.into(), 1).await?;

        let started = Instant::now();
        let mut all = Counts::default();
        let mut by_kind = serde_json::Map::new();
        for source in sources {
            let kind = source.kind;
            let bytes = source.lines.bytes();
            let progress = Arc::new(Progress::new(kind, &source.file, bytes, *output));
            let imported = self.import(source, &clients, &progress).await;
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
        source: Source,
        clients: &[Client],
        progress: &Arc<Progress>,
    ) -> Result<(), Error> {
        let file = source.file.clone();
        let unreadable = |source| Error::File { file: file.clone(), source };
        let retried_for = Duration::from_secs(self.retry_for);
        let mut lanes = Lanes::new(self.in_flight.into(), clients, progress, retried_for);
        let mut reading = read_in_background(source, Arc::clone(progress)).map_err(unreadable)?;
        while let Some(chunk) = reading.chunks.recv().await {
            for row in chunk {
                lanes.push(row).await?;
            }
        }
        lanes.finish().await?;
        match reading.thread.join() {
            Ok(ended) => ended.map_err(unreadable),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn open(kind: Kind, file: &Path) -> Result<Source, Error> {
    let lines =
        Lines::open(file).map_err(|source| Error::File { file: file.to_owned(), source })?;
    Ok(Source { kind, file: file.to_owned(), lines })
}

/// Reads, unpacks and parses in a thread of its own, so that calls do not wait for the disk. The
/// thread is not waited for if the import ends early: it may hang in a pipe.
fn read_in_background(source: Source, progress: Arc<Progress>) -> io::Result<Background> {
    let (sender, chunks) = mpsc::channel(CHUNKS_MAX);
    let thread = thread::Builder::new()
        .name("import-reader".to_owned())
        .spawn(move || read(source, &progress, &sender))?;
    Ok(Background { thread, chunks })
}

fn read(source: Source, progress: &Progress, chunks: &mpsc::Sender<Vec<Row>>) -> io::Result<()> {
    let Source { kind, file, mut lines } = source;
    let reader = Reader::new(kind, &file);
    let mut chunk = Vec::with_capacity(CHUNK_ROWS);
    let ended = loop {
        match lines.next() {
            Ok(Some((number, line))) => match reader.read(number, &line) {
                Ok(row) => chunk.extend(row),
                Err(why) => progress.reject(number, &why),
            },
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
        if chunk.len() == CHUNK_ROWS {
            let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK_ROWS));
            if chunks.blocking_send(full).is_err() {
                // The import has ended early, and says why.
                return Ok(());
            }
            progress.read(lines.bytes_read());
        }
    };
    // What came before a damaged place is imported too.
    let _ = chunks.blocking_send(chunk);
    ended
}

fn summarise(
    output: Output,
    counts: Counts,
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
            Line("imported", all)
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

fn counts_text(counts: Counts) -> String {
    let Counts { made, already, rejected } = counts;
    let [made, already, rejected] = [made, already, rejected].map(number::grouped);
    format!("{made} made, {already} there already, {rejected} rejected")
}

fn counts_json(counts: Counts) -> Value {
    let Counts { made, already, rejected } = counts;
    json!({ "made": made, "already": already, "rejected": rejected })
}
