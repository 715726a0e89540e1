//! The nodes that share the log: a row each, in a table that is not logged, so that their beats write nothing to the
//! WAL, and what they show each other is in no archive and no backup. It is empty after a fail-over, until each node has
//! written its row again. The API keys, of which the table has hashes only, are logged. Never decides which nodes are alive.

use std::io;

use tokio::runtime::Runtime;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use super::StoreOptions;
use super::connection::{self, Connection, Failure};
use super::rows::{number, revision};
use super::schema::RUNNING;
use crate::model::NodeKey;
use crate::storage::error::Error;
use crate::storage::roster::{NodeRecord, Roster, SharedKeys};

/// The rows of nodes, and the connection for them.
#[derive(Debug)]
pub struct PostgresRoster {
    runtime: Runtime,
    options: StoreOptions,
    link: Option<RosterConnection>,
}

#[derive(Debug)]
struct RosterConnection {
    connection: Connection,
    beat: Statement,
}

impl PostgresRoster {
    /// Of the log that `options` name, which was opened before.
    ///
    /// # Errors
    /// The operating system refuses what a connection needs.
    pub fn new(options: StoreOptions) -> io::Result<Self> {
        Ok(Self { runtime: super::runtime()?, options, link: None })
    }

    /// Does `work` on a connection. After an error the next one is new.
    fn with<T>(
        &mut self,
        work: impl AsyncFnOnce(&RosterConnection) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let Self { runtime, options, link } = self;
        let done = runtime.block_on(async {
            let link = match link {
                Some(link) => link,
                None => link.insert(RosterConnection::open(runtime, options).await?),
            };
            work(link).await
        });
        done.map_err(|failure| {
            *link = None;
            failure.of(options)
        })
    }
}

impl Roster for PostgresRoster {
    fn join(&mut self) -> Result<u64, Error> {
        self.with(async |link| {
            let ask = format!("SELECT nextval('{}.node_numbers')", link.connection.schema);
            let row = link.connection.timed(link.connection.client.query_one(&ask, &[])).await?;
            Ok(row.get::<_, i64>(0).cast_unsigned())
        })
    }

    fn running(&mut self) -> Result<Vec<NodeRecord>, Error> {
        self.with(async |link| {
            let ask = format!(
                "SELECT true, number, key, address, public_address, version, beats, applied FROM {}.node
                 WHERE beat_at > clock_timestamp() - {RUNNING} ORDER BY number",
                link.connection.schema
            );
            let rows = link.connection.timed(link.connection.client.query(&ask, &[])).await?;
            rows.iter().map(node).collect()
        })
    }

    fn beat(&mut self, own: &NodeRecord) -> Result<Option<Vec<NodeRecord>>, Error> {
        self.with(async |link| {
            let (id, beats) = (own.number.cast_signed(), own.beats.cast_signed());
            let (key, applied) = (own.key.as_bytes(), number(own.applied));
            let values: [&(dyn ToSql + Sync); 7] =
                [&id, &key, &own.address, &own.public_address, &own.version, &beats, &applied];
            let rows = link.connection.client.query(&link.beat, &values);
            let rows = link.connection.timed(rows).await?;
            if !rows.iter().all(|row| row.get::<_, bool>(0)) {
                return Ok(None);
            }
            // Without others there is one row, which names none.
            let is_node = |row: &&Row| row.get::<_, Option<i64>>(1).is_some();
            rows.iter().filter(is_node).map(node).collect::<Result<_, _>>().map(Some)
        })
    }

    fn leave(&mut self, number: u64) -> Result<(), Error> {
        self.with(async |link| {
            let leave = format!("DELETE FROM {}.node WHERE number = $1", link.connection.schema);
            let client = &link.connection.client;
            let id = number.cast_signed();
            let values: [&(dyn ToSql + Sync); 1] = [&id];
            let left = client.execute(&leave, &values);
            link.connection.timed(left).await.map(drop)
        })
    }

    fn keys(&mut self, known: Option<u64>) -> Result<Option<SharedKeys>, Error> {
        self.with(async |link| {
            let Connection { client, schema, .. } = &link.connection;
            let ask = format!("SELECT version, content FROM {schema}.keys WHERE version <> $1");
            let known = known.unwrap_or_default().cast_signed();
            let values: [&(dyn ToSql + Sync); 1] = [&known];
            let row = link.connection.timed(client.query_opt(&ask, &values)).await?;
            let keys = |row: Row| SharedKeys {
                version: row.get::<_, i64>(0).cast_unsigned(),
                table: row.get(1),
            };
            Ok(row.map(keys))
        })
    }

    fn replace_keys(&mut self, known: Option<u64>, table: &[u8]) -> Result<bool, Error> {
        self.with(async |link| {
            let Connection { client, schema, .. } = &link.connection;
            link.connection.check_settings().await?;
            // A key that was revoked stays so also after a fail-over.
            let begin = "BEGIN; SET LOCAL synchronous_commit = remote_apply";
            link.connection.timed(client.batch_execute(begin)).await?;
            let replace = format!(
                "INSERT INTO {schema}.keys AS old (version, content) SELECT 1, $2::bytea
                 WHERE $1::bigint = 0 OR EXISTS (SELECT FROM {schema}.keys)
                 ON CONFLICT (only_row) DO UPDATE SET version = old.version + 1, content = EXCLUDED.content
                     WHERE old.version = $1"
            );
            let known = known.unwrap_or_default().cast_signed();
            let values: [&(dyn ToSql + Sync); 2] = [&known, &table];
            let replaced = link.connection.timed(client.execute(&replace, &values)).await?;
            link.connection.timed(client.batch_execute("COMMIT")).await?;
            Ok(replaced == 1)
        })
    }
}

impl RosterConnection {
    async fn open(runtime: &Runtime, options: &StoreOptions) -> Result<Self, Failure> {
        let connection = connection::connect(runtime, options, None).await?;
        // Nothing here has to outlive PostgreSQL, so nothing waits for a standby.
        let set = "SET synchronous_commit = off";
        connection.timed(connection.client.batch_execute(set)).await?;
        // Of nodes that ended without a word nothing is left after a minute, by the clock of PostgreSQL alone, or once another
        // one is in their place. If that clock jumps, rows of others are removed, and written again with their next beat.
        let beat = format!(
            "WITH own AS (
                 INSERT INTO {schema}.node AS old (number, key, address, public_address, version, beats, applied)
                 VALUES ($1::bigint, $2::bytea, $3::text, $4::text, $5::text, $6::bigint, $7::bigint)
                 ON CONFLICT (number) DO UPDATE
                     SET beats = EXCLUDED.beats, applied = EXCLUDED.applied, beat_at = DEFAULT
                     WHERE old.key = EXCLUDED.key
                 RETURNING number),
             ended AS (
                 DELETE FROM {schema}.node
                 WHERE beat_at < clock_timestamp() - interval '1 minute' AND number <> $1
                     OR address = $3 AND number < $1)
             SELECT own.number IS NOT NULL, node.number, key, address, public_address, version, beats, applied
             FROM (SELECT) AS once LEFT JOIN own ON true
                  LEFT JOIN {schema}.node ON node.number <> $1",
            schema = connection.schema
        );
        let beat = connection.timed(connection.client.prepare(&beat)).await?;
        Ok(Self { connection, beat })
    }
}

fn node(row: &Row) -> Result<NodeRecord, Failure> {
    let key = NodeKey::from_slice(row.get(2));
    let key = key.ok_or_else(|| Failure::Damaged("a key in its table node is none".to_owned()))?;
    Ok(NodeRecord {
        number: row.get::<_, i64>(1).cast_unsigned(),
        key,
        address: row.get(3),
        public_address: row.get(4),
        version: row.get(5),
        beats: row.get::<_, i64>(6).cast_unsigned(),
        applied: revision(row.get(7)),
    })
}
