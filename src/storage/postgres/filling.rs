//! A log of one machine becomes one in PostgreSQL, and the reverse: every record as it is, so that ids, cursors and chains stay
//! what they are. Never changes the log that is copied.
//!
//! Until all of it is there and was read back, the tables have the version `FILLING`, which no node opens.

use std::path::Path;

use tokio::runtime::Runtime;
use tokio_postgres::types::ToSql;

use super::connection::{self, Connection, Failure};
use super::rows::{self, number};
use super::schema::{FILLING, PARTITION_REVISIONS};
use super::{PostgresLog, StoreOptions, runtime};
use crate::formats::STORE;
use crate::model::{Chain, LogId, Revision};
use crate::storage::error::Error;
use crate::storage::local::{LocalLog, LogOptions, has_log, new_epoch};
use crate::storage::log::Log;
use crate::storage::log::encoded_batch::EncodedBatch;
use crate::storage::log::record::chain_start;

/// Events of a statement: some megabytes of posts.
const EVENTS_MAX: usize = 4_096;

/// A log that was copied, whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopiedLog {
    /// Its id, which the copy has, too.
    pub id: LogId,
    /// Its newest revision.
    pub head: Revision,
    /// The chain up to there, of both.
    pub chain: Chain,
}

/// Copies the log in the data folder `dir`, which no server uses, into PostgreSQL, and reads it back. Goes on where an
/// interrupted copy of the same log has ended. `progress` gets how many events of how many are done, each of them twice: written
/// and read.
///
/// # Errors
/// The log is damaged or in use, PostgreSQL cannot be reached or is not fit, or has another log there.
pub fn copy_into_store(
    dir: &Path,
    options: LogOptions,
    store: &StoreOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<CopiedLog, Error> {
    if !has_log(dir) {
        return Err(Error::NoLog { dir: dir.to_owned() });
    }
    let log = LocalLog::open(dir, options)?;
    let (head, chain) = log.end();
    let failed =
        |source: std::io::Error| Error::Storage { file: dir.to_owned(), source: source.into() };
    let runtime = runtime().map_err(failed)?;
    let failure = |failure: Failure| failure.of(store);
    let filling = runtime.block_on(Filling::begin(&runtime, store, log.id())).map_err(failure)?;
    let mut done = runtime.block_on(filling.end(&log)).map_err(failure)??;
    let all = 2 * head.get();
    while done < head {
        let batch = log.batch_after(done, EVENTS_MAX)?;
        runtime.block_on(filling.insert(&batch)).map_err(failure)?;
        done = batch.last();
        progress(done.get(), all);
    }
    let (mut read, mut last) = (Revision::ZERO, chain_start(log.id()));
    while read < head {
        let batches =
            runtime.block_on(filling.connection.batches_after(read, last)).map_err(failure)?;
        let Some(batch) = batches.last() else { break };
        (read, last) = (batch.last(), batch.chains[1]);
        progress(head.get() + read.get(), all);
    }
    if (read, last) != (head, chain) {
        let what = format!("it has other events than {} up to revision {read}", dir.display());
        return Err(Failure::Damaged(what).of(store));
    }
    runtime.block_on(filling.finish(&log, head)).map_err(failure)?;
    Ok(CopiedLog { id: log.id(), head, chain })
}

/// Copies the log in PostgreSQL, which no node uses, into the data folder `dir`, which is empty or a node's. Then it is a log
/// of that folder alone.
///
/// # Errors
/// Nodes run, PostgreSQL cannot be reached or is not fit, or the folder has something else.
pub fn copy_out_of_store(
    dir: &Path,
    options: LogOptions,
    store: &StoreOptions,
) -> Result<CopiedLog, Error> {
    let failed =
        |source: std::io::Error| Error::Storage { file: dir.to_owned(), source: source.into() };
    let runtime = runtime().map_err(failed)?;
    let nodes: Result<i64, Failure> = runtime.block_on(async {
        let connection = connection::connect(&runtime, store, None).await?;
        connection.prepare_schema().await?;
        connection.running_nodes().await
    });
    let nodes = nodes.map_err(|failure| failure.of(store))?;
    if nodes > 0 {
        let what = format!(
            "{nodes} nodes use its log: stop them first, since what they append later would be missing from the copy"
        );
        return Err(Failure::Unfit(what).of(store));
    }
    let log = PostgresLog::open(dir, options, store.clone())?;
    let (head, chain) = log.shared.copy.end();
    let copied = CopiedLog { id: log.id(), head, chain };
    // Its copy is durable then.
    log.check()?;
    drop(log);
    LocalLog::make_own(dir)?;
    Ok(copied)
}

/// Tables that are filled.
struct Filling {
    connection: Connection,
}

impl Filling {
    /// Makes the tables, or goes on with those that were left.
    async fn begin(runtime: &Runtime, store: &StoreOptions, id: LogId) -> Result<Self, Failure> {
        let connection = connection::connect(runtime, store, None).await?;
        connection.prepare_schema_for(Some(id)).await?;
        // Ends with this session.
        let lock =
            format!("SELECT pg_try_advisory_lock(hashtext('whimbrel copy {}'))", connection.schema);
        let row = connection.timed(connection.client.query_one(&lock, &[])).await?;
        if !row.get::<_, bool>(0) {
            return Err(Failure::Unfit("another copy into it is under way".to_owned()));
        }
        let ask = format!(
            "SELECT version, log_id, last, (SELECT max(revision) FROM {schema}.log) FROM {schema}.head",
            schema = connection.schema
        );
        let row = connection.timed(connection.client.query_one(&ask, &[])).await?;
        let (version, found) =
            (row.get::<_, i32>(0), LogId::new(row.get::<_, i64>(1).cast_unsigned()));
        let has_events = row.get::<_, i64>(2) > 0 || row.get::<_, Option<i64>>(3).is_some();
        let schema = connection.schema.clone();
        if has_events && (version != FILLING || found != id) {
            let what = format!(
                "its schema {schema} has the log {found} already: give another one, ?schema=NAME, or remove that \
                 (DROP SCHEMA {schema} CASCADE)"
            );
            return Err(Failure::Unfit(what));
        }
        if connection.running_nodes().await? > 0 {
            return Err(Failure::Unfit(format!("nodes use its schema {schema}: stop them first")));
        }
        let claim = format!("UPDATE {schema}.head SET version = {FILLING}, log_id = $1");
        let id = id.get().cast_signed();
        connection.timed(connection.client.execute(&claim, &[&id])).await?;
        connection.settle().await?;
        Ok(Self { connection })
    }

    /// Up to where the events of `log` are there.
    async fn end(&self, log: &LocalLog) -> Result<Result<Revision, Error>, Failure> {
        let ask = format!("SELECT max(revision) FROM {}.log", self.connection.schema);
        let row = self.connection.timed(self.connection.client.query_one(&ask, &[])).await?;
        let end = row.get::<_, Option<i64>>(0).map_or(Revision::ZERO, rows::revision);
        if end == Revision::ZERO {
            return Ok(Ok(end));
        }
        let stored = self.connection.chain_at(end).await?;
        Ok(match log.chain(end) {
            Err(error) => Err(error),
            Ok(own) if own.is_some() && own == stored => Ok(end),
            Ok(_) => {
                let schema = &self.connection.schema;
                return Err(Failure::Unfit(format!(
                    "an interrupted copy in its schema {schema} is of other events: remove it (DROP SCHEMA {schema} CASCADE)"
                )));
            }
        })
    }

    async fn insert(&self, batch: &EncodedBatch) -> Result<(), Failure> {
        let (first, last) = (batch.first.get(), batch.last().get());
        for partition in first / PARTITION_REVISIONS..=last / PARTITION_REVISIONS {
            if partition * PARTITION_REVISIONS >= first || first == 1 {
                self.connection.make_partition(partition).await?;
            }
        }
        let insert = format!(
            "INSERT INTO {}.log (revision, epoch, event, chain)
             SELECT $1::bigint + number, $2::bigint, event, CASE WHEN number = $3::bigint THEN $5::bytea END
             FROM unnest($4::bytea[]) WITH ORDINALITY AS events (event, number)",
            self.connection.schema
        );
        let events: Vec<_> = batch.records().collect();
        let (after, count) = (number(batch.first.previous()), events.len() as i64);
        let (epoch, chain) = (i64::from(batch.epoch.get()), &batch.chains[1].get()[..]);
        let values: [&(dyn ToSql + Sync); 5] = [&after, &epoch, &count, &events, &chain];
        let inserted = self.connection.client.execute(&insert, &values);
        self.connection.timed(inserted).await.map(drop)
    }

    /// From now on nodes may open the log.
    async fn finish(&self, log: &LocalLog, head: Revision) -> Result<(), Failure> {
        let finish = format!(
            "UPDATE {}.head SET version = {}, last = $1, erased_until = $2, term = term + 1, epoch = $3",
            self.connection.schema, STORE.version
        );
        let epoch = i64::from(new_epoch().get());
        let (head, erased_until) = (number(head), number(log.erased_until()));
        let values: [&(dyn ToSql + Sync); 3] = [&head, &erased_until, &epoch];
        self.connection.timed(self.connection.client.execute(&finish, &values)).await.map(drop)
    }
}
