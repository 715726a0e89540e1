//! The tables of a log in PostgreSQL, and their versions. Never removes one.
//!
//! ```text
//!   head    one row: version, log id, last revision, erased until, term and its epoch
//!   log     a row an event: revision, epoch, record; the last one of a batch has the chain after it.
//!           Partitions of 1,048,576 revisions, so that erasing posts rewrites a bounded part
//!   erasing a row a partition in which posts were replaced, and which is still to be written again
//!   barrier one row: a number that a node raises to have a commit acknowledged
//!   node    a row a node that runs; not logged. Since version 2
//!   keys    one row: the API keys that all nodes have. Since version 3
//! ```

use super::connection::{Connection, Failure};
use crate::formats::{OtherFormat, STORE};
use crate::model::LogId;
use crate::storage::redb_file::random;

/// The version of tables into which a log is copied.
pub(super) const FILLING: i32 = 0;
/// A node that runs has beaten within it.
pub(super) const RUNNING: &str = "interval '3 seconds'";
/// Revisions of a partition. It is rewritten as a whole: 200 MB if all its posts are short.
pub(super) const PARTITION_REVISIONS: u64 = 1 << 20;

impl Connection {
    /// Makes the tables if they are not there. Gives the id of the log.
    pub(super) async fn prepare_schema(&self) -> Result<LogId, Failure> {
        self.prepare_schema_for(None).await
    }

    /// As [`Connection::prepare_schema`], of a log that is to be copied into it: tables that are not there are made for
    /// the id `filled_with`, and those that are filled are not refused.
    pub(super) async fn prepare_schema_for(
        &self,
        filled_with: Option<LogId>,
    ) -> Result<LogId, Failure> {
        let (schema, version) = (&self.schema, STORE.version);
        let later = of_later_versions(schema);
        let id = filled_with.map_or_else(random, LogId::get).cast_signed();
        let version = if filled_with.is_some() { FILLING } else { version.cast_signed() };
        // Two nodes may start at once: the second one waits, and finds the tables.
        let make = format!(
            "BEGIN;
             SELECT pg_advisory_xact_lock(hashtext('whimbrel {schema}'));
             CREATE SCHEMA IF NOT EXISTS {schema};
             CREATE TABLE IF NOT EXISTS {schema}.head (
                 only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
                 version integer NOT NULL, log_id bigint NOT NULL, last bigint NOT NULL,
                 erased_until bigint NOT NULL, term bigint NOT NULL,
                 epoch bigint NOT NULL);
             CREATE TABLE IF NOT EXISTS {schema}.log (
                 revision bigint PRIMARY KEY, epoch bigint NOT NULL, event bytea NOT NULL,
                 chain bytea) PARTITION BY RANGE (revision);
             CREATE TABLE IF NOT EXISTS {schema}.barrier (
                 only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
                 passed bigint NOT NULL);
             CREATE TABLE IF NOT EXISTS {schema}.erasing (partition bigint PRIMARY KEY);
             {later}
             INSERT INTO {schema}.barrier (passed) VALUES (0) ON CONFLICT DO NOTHING;
             INSERT INTO {schema}.head (version, log_id, last, erased_until, term, epoch)
                 VALUES ({version}, {id}, 0, 0, 0, 0) ON CONFLICT DO NOTHING;
             COMMIT"
        );
        let ask = format!("SELECT version, log_id FROM {schema}.head");
        // Without the right to make tables a node may use those that are there.
        if self.timed(self.client.query_one(&ask, &[])).await.is_err() {
            self.timed(self.client.batch_execute(&make)).await?;
        }
        let row = self.timed(self.client.query_one(&ask, &[])).await?;
        let (found, id) = (row.get::<_, i32>(0), LogId::new(row.get::<_, i64>(1).cast_unsigned()));
        if found == FILLING {
            let what = format!(
                "a copy of a log into its schema {schema} is under way, or was interrupted: run `whimbrel log copy` again, or \
                 remove it (DROP SCHEMA {schema} CASCADE)"
            );
            return if filled_with.is_some() { Ok(id) } else { Err(Failure::Unfit(what)) };
        }
        let found = found.cast_unsigned();
        if !STORE.reads(found.into()) {
            let other = OtherFormat::new(&STORE, found.into());
            return Err(Failure::Unfit(format!("its schema {schema} {other}")));
        }
        if found < STORE.version {
            self.migrate().await?;
        }
        Ok(id)
    }

    /// How many nodes have beaten of late, by the clock of PostgreSQL.
    pub(super) async fn running_nodes(&self) -> Result<i64, Failure> {
        let ask = format!(
            "SELECT count(*) FROM {}.node WHERE beat_at > clock_timestamp() - {RUNNING}",
            self.schema
        );
        let row = self.timed(self.client.query_one(&ask, &[])).await?;
        Ok(row.get(0))
    }

    /// Makes the tables those of this version. Nodes of the earlier one go on with them.
    async fn migrate(&self) -> Result<(), Failure> {
        let (schema, version) = (&self.schema, STORE.version);
        let migrate = format!(
            "BEGIN;
             SELECT pg_advisory_xact_lock(hashtext('whimbrel {schema}'));
             {}
             UPDATE {schema}.head SET version = {version};
             COMMIT",
            of_later_versions(schema)
        );
        self.timed(self.client.batch_execute(&migrate)).await
    }

    /// Makes the partition with these revisions, if it is not there.
    pub(super) async fn make_partition(&self, number: u64) -> Result<(), Failure> {
        let schema = &self.schema;
        let (from, until) = (number * PARTITION_REVISIONS, (number + 1) * PARTITION_REVISIONS);
        // PostgreSQL itself does not keep two nodes from making the same table at once.
        let make = format!(
            "BEGIN;
             SELECT pg_advisory_xact_lock(hashtext('whimbrel {schema}'));
             CREATE TABLE IF NOT EXISTS {schema}.log_{number} PARTITION OF {schema}.log
                 FOR VALUES FROM ({from}) TO ({until});
             COMMIT"
        );
        self.timed(self.client.batch_execute(&make)).await
    }
}

/// What versions after the first added.
fn of_later_versions(schema: &str) -> String {
    format!(
        "CREATE UNLOGGED TABLE IF NOT EXISTS {schema}.node (
             number bigint PRIMARY KEY, key bytea NOT NULL, address text, public_address text,
             version text NOT NULL,
             beats bigint NOT NULL, applied bigint NOT NULL,
             beat_at timestamptz NOT NULL DEFAULT clock_timestamp());
         CREATE SEQUENCE IF NOT EXISTS {schema}.node_numbers;
         CREATE TABLE IF NOT EXISTS {schema}.keys (
             only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
             version bigint NOT NULL, content bytea NOT NULL);"
    )
}
