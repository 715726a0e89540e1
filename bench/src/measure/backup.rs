//! Publishing at a fixed rate while a full backup is taken and while none is, in turns, on a server with a
//! history. The backup is written to the disk of the server, which is the worst place for it. Never measures a
//! peer: none has a backup of this kind.

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{IN_FLIGHT, Run};
use crate::data::{self, Data};
use crate::error::Error;
use crate::load::{Callers, lock, open_loop};
use crate::peer::{Kind, System, Whimbrel, restart_in_order};
use crate::stats::Latencies;

/// The rate of the posts: far from what a server can do, so that a queue is due to the backup.
const RATE_PER_S: f64 = 1_000.0;
/// Followees of each author.
const FOLLOWEES: u32 = 10;
/// Length of a part of a round, after which it is looked whether the backup has ended: the last one may go on
/// for so long without a backup.
const PART: Duration = Duration::from_millis(250);

/// The server and its load.
struct Stage {
    whimbrel: Arc<Whimbrel>,
    callers: Callers,
    authors: u32,
}

pub(super) async fn measure(run: &mut Run) {
    if !run.kinds.contains(&Kind::Whimbrel) {
        return;
    }
    let posts = run.sizes.backup_posts as f64;
    let stage = match Stage::open(run).await {
        Ok(stage) => stage,
        Err(error) => return run.failed("backup", Kind::Whimbrel, posts, &error),
    };
    for round in 0..=run.sizes.rounds {
        let (during, time) = match stage.during_backup(run).await {
            Ok(measured) => measured,
            Err(error) => return run.failed("backup", Kind::Whimbrel, posts, &error),
        };
        let without = stage.publish(|began| began.elapsed() >= time).await;
        // The first round warms up and does not count.
        if round > 0 {
            run.note("backup", Kind::Whimbrel, posts, Ok(during));
            let without = without.map(|answers| figures(&answers, time));
            run.note("no_backup", Kind::Whimbrel, posts, without);
        }
    }
}

impl Stage {
    async fn open(run: &Run) -> Result<Self, Error> {
        let (posts, authors) = (run.sizes.backup_posts, run.sizes.users);
        let data = Data { posts, ..Data::ring(authors, FOLLOWEES) };
        let whimbrel = Arc::new(Whimbrel::start(&run.programs, &data).await?);
        drop(data);
        // Its index is complete then.
        restart_in_order(&*whimbrel).await?;
        let callers = whimbrel.callers(IN_FLIGHT).await?;
        Ok(Self { whimbrel, callers, authors })
    }

    /// Takes a backup into a new folder, and publishes meanwhile. Returns the figures, and how long the
    /// backup took.
    async fn during_backup(
        &self,
        run: &Run,
    ) -> Result<(Vec<(&'static str, f64)>, Duration), Error> {
        let to =
            tempfile::Builder::new().prefix("whimbrel-bench-").tempdir_in(&run.programs.data_in)?;
        let mut command = Command::new(&run.programs.whimbrel);
        command.args(["backup", "--addr", self.whimbrel.address(), "--to"]).arg(to.path());
        let began = Instant::now();
        let mut backup = command.stdout(Stdio::null()).spawn()?;
        let mut ended = None;
        let answers = self
            .publish(|_| {
                ended = ended.take().or_else(|| Some((backup.try_wait().ok()??, began.elapsed())));
                ended.is_some()
            })
            .await;
        let (status, time) = match ended {
            Some(ended) => ended,
            // The load failed: nobody waits for the backup any more.
            None => (backup.kill().and_then(|()| backup.wait())?, began.elapsed()),
        };
        let answers = answers?;
        if !status.success() {
            return Err(Error::Failed(format!("the backup ended with {status}")));
        }
        Ok((figures(&answers, time), time))
    }

    /// Publishes until `is_over`, which gets when it began and is asked after each part.
    async fn publish(&self, mut is_over: impl FnMut(Instant) -> bool) -> Result<Latencies, Error> {
        let (began, authors) = (Instant::now(), self.authors);
        let answers = Arc::new(Mutex::new(Latencies::new()));
        let posts = (RATE_PER_S * PART.as_secs_f64()) as u64;
        while !is_over(began) {
            let noted = Arc::clone(&answers);
            open_loop(&self.callers, RATE_PER_S, posts, move |caller, _, due| {
                let noted = Arc::clone(&noted);
                async move {
                    caller.publish(fastrand::u32(..authors), data::next_post()).await?;
                    lock(&noted).record(due.elapsed());
                    Ok(())
                }
            })
            .await?;
        }
        let answers = std::mem::replace(&mut *lock(&answers), Latencies::new());
        Ok(answers)
    }
}

/// The figures of a round that took so long.
fn figures(latencies: &Latencies, time: Duration) -> Vec<(&'static str, f64)> {
    vec![
        ("seconds", time.as_secs_f64()),
        ("posts", latencies.len() as f64),
        ("p50_us", latencies.quantile_us(0.5)),
        ("p99_us", latencies.quantile_us(0.99)),
        ("max_us", latencies.max_us()),
    ]
}
