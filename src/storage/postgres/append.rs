//! Appending. An append that was not acknowledged has an outcome that nobody knows, until it is fenced: then no
//! earlier statement of this node can get in any more, and what the log has is the answer.
//!
//! ```text
//!   append after r in term t ──▶ one row: it is in
//!                            ──▶ no row: others have appended, or began a term: it is not in
//!                            ──▶ anything else: a new connection, and t becomes t + 1
//!                                  ──▶ the end is still r: it is not in, and is sent again
//!                                  ──▶ the end is its own: it is in
//! ```

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

use super::Shared;
use super::connection::{self, Connection, Failure};
use super::rows::{self, Term, number};
use super::schema::PARTITION_REVISIONS;
use crate::model::Revision;
use crate::storage::error::Error;
use crate::storage::local::new_epoch;
use crate::storage::log::encoded_batch::EncodedBatch;

/// Between two tries to reach PostgreSQL: well below the time that a fail-over takes.
pub(super) const RETRY: Duration = Duration::from_millis(200);

/// The one connection that appends.
#[derive(Debug)]
pub(super) struct Appender {
    /// `None` while it is dropped.
    runtime: Option<Runtime>,
    link: Option<AppendConnection>,
    /// The newest term that is known; `None` until this connection has begun one.
    term: Option<Term>,
}

#[derive(Debug)]
struct AppendConnection {
    connection: Connection,
    append: Statement,
    /// The number of the first partition that may not be there.
    partitions: u64,
}

/// What became of an append.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AppendOutcome {
    Appended,
    /// It is not in the log, and never will be. This is the last revision.
    Refused(Revision),
}

impl Drop for Appender {
    fn drop(&mut self) {
        // Whoever drops a log last may be a worker, which must not wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Appender {
    pub(super) fn new(runtime: Runtime) -> Self {
        Self { runtime: Some(runtime), link: None, term: None }
    }

    /// Appends `batch`. Returns once its outcome is known, also if that takes long.
    ///
    /// # Errors
    /// The log is closed, or only somebody's change of PostgreSQL can help.
    pub(super) fn append(
        &mut self,
        shared: &Shared,
        batch: &mut EncodedBatch,
    ) -> Result<AppendOutcome, Error> {
        self.insist(shared, |appender| appender.attempt(shared, batch))
    }

    /// The last revision, which no other node has appended after when this was called.
    ///
    /// # Errors
    /// As [`Appender::append`].
    pub(super) fn confirm(&mut self, shared: &Shared) -> Result<Revision, Error> {
        let end = self.insist(shared, |appender| {
            appender.with(shared, async |link, _| link.connection.settled_end().await)
        })?;
        shared.state.barriers.fetch_add(1, Ordering::Relaxed);
        Ok(end)
    }

    /// Does `work` until it succeeds, also if that takes long.
    fn insist<T>(
        &mut self,
        shared: &Shared,
        mut work: impl FnMut(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let mut is_reported = false;
        loop {
            if shared.is_closed.load(Ordering::Acquire) {
                return Err(Error::Closed);
            }
            match work(self) {
                Ok(done) => {
                    let term = self.term.map_or(0, |term| term.number.cast_unsigned());
                    shared.state.term.fetch_max(term, Ordering::Relaxed);
                    return Ok(done);
                }
                Err(failure) if failure.is_final() => return Err(failure.of(&shared.options)),
                Err(failure) => {
                    let server = shared.options.address.server();
                    if !std::mem::replace(&mut is_reported, true) {
                        tracing::warn!(%server, error = %failure, "PostgreSQL: changes wait");
                    }
                    // Whatever was sent on it has to be fenced.
                    (self.link, self.term) = (None, None);
                    if shared.is_stopping.load(Ordering::Acquire) {
                        return Err(Error::Closed);
                    }
                    std::thread::sleep(RETRY);
                }
            }
        }
    }

    /// Does `work` on the connection, which is made if there is none.
    fn with<T>(
        &mut self,
        shared: &Shared,
        work: impl AsyncFnOnce(&mut AppendConnection, &mut Option<Term>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let Self { runtime, link, term } = self;
        let Some(runtime) = runtime else { unreachable!("it is used before it is dropped") };
        let link = match link {
            Some(link) => link,
            None => link.insert(runtime.block_on(AppendConnection::open(runtime, shared))?),
        };
        runtime.block_on(work(link, term))
    }

    /// One try. After an error its outcome is not known.
    fn attempt(
        &mut self,
        shared: &Shared,
        batch: &mut EncodedBatch,
    ) -> Result<AppendOutcome, Failure> {
        self.with(shared, async |link, term| {
            let after = batch.first.previous();
            let mut current = match *term {
                Some(current) => current,
                None => {
                    let (begun, last) = link.fence().await?;
                    *term = Some(begun);
                    if last != after {
                        let stored = link.connection.chain_at(batch.last()).await?;
                        return Ok(match stored == Some(batch.chains[1]) {
                            true => AppendOutcome::Appended,
                            false => AppendOutcome::Refused(last),
                        });
                    }
                    begun
                }
            };
            loop {
                // It stays that of the last try, which is the only one that may have got in.
                batch.epoch = current.epoch;
                if link.insert(batch, after, current.number).await? {
                    return Ok(AppendOutcome::Appended);
                }
                let head = link.connection.head().await?;
                *term = Some(head.term);
                // Another node may have fenced appends of its own, and no more.
                if head.last != after || head.term == current {
                    return Ok(AppendOutcome::Refused(head.last));
                }
                current = head.term;
            }
        })
    }
}

impl AppendConnection {
    async fn open(runtime: &Runtime, shared: &Shared) -> Result<Self, Failure> {
        let connection = connection::connect(runtime, &shared.options, None).await?;
        // One statement: the head moves and has its events, or neither. The row's lock makes the order of commits
        // that of revisions. Who listens is woken by the same commit.
        let append = format!(
            "WITH moved AS (
                 UPDATE {schema}.head SET last = last + $3::bigint WHERE last = $1::bigint AND term = $2::bigint AND ({keeps})
                 RETURNING pg_notify('whimbrel_{schema}', '') IS NULL)
             INSERT INTO {schema}.log (revision, epoch, event, chain)
             SELECT $1 + number, $4::bigint, event, CASE WHEN number = $3 THEN $6::bytea END
             FROM moved, unnest($5::bytea[]) WITH ORDINALITY AS events (event, number)",
            schema = connection.schema,
            keeps = connection.keeps()
        );
        let append = connection.timed(connection.client.prepare(&append)).await?;
        Ok(Self { connection, append, partitions: 0 })
    }

    /// Begins a term: no append that was sent in an earlier one gets in any more. Gives it, and the last revision.
    async fn fence(&self) -> Result<(Term, Revision), Failure> {
        let begin = format!(
            "UPDATE {}.head SET term = term + 1, epoch = $1 RETURNING term, last",
            self.connection.schema
        );
        // A log that was put back begins a term before anything is appended to it, so that positions of the history that
        // was lost are known by their epochs.
        let epoch = new_epoch();
        let (client, number) = (&self.connection.client, i64::from(epoch.get()));
        // What is found behind it is believed: so it has to be kept, as an append has.
        let begin = self.connection.timed(client.prepare(&begin)).await?;
        let row = self.connection.kept(client.query_one(&begin, &[&number])).await?;
        Ok((Term { number: row.get(0), epoch }, rows::revision(row.get(1))))
    }

    /// Whether the batch was appended.
    async fn insert(
        &mut self,
        batch: &EncodedBatch,
        after: Revision,
        term: i64,
    ) -> Result<bool, Failure> {
        // The next one, too: so that it is there long before it is needed.
        while self.partitions <= batch.last().get() / PARTITION_REVISIONS + 1 {
            let first = (after.get() / PARTITION_REVISIONS).max(self.partitions);
            self.connection.make_partition(first).await?;
            self.partitions = first + 1;
        }
        let events: Vec<_> = batch.records().collect();
        let (count, epoch) = (events.len() as i64, i64::from(batch.epoch.get()));
        let chain = batch.chains[1].get();
        let (after, chain) = (number(after), &chain[..]);
        let values: [&(dyn ToSql + Sync); 6] = [&after, &term, &count, &epoch, &events, &chain];
        let client = &self.connection.client;
        let rows = self.connection.kept(client.execute(&self.append, &values)).await?;
        debug_assert!(rows == 0 || rows == events.len() as u64, "all of its events or none");
        Ok(rows > 0)
    }
}
