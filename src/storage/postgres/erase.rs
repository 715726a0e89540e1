//! Erasing posts in PostgreSQL: their rows are replaced, and the partitions that had them are written again, so that no
//! page keeps them. What PostgreSQL itself has copied elsewhere is not reached: archives of its WAL, backups, and
//! standbys until they have replayed it.

use super::Shared;
use super::connection::{self, Connection, Failure};
use super::rows::number;
use super::schema::PARTITION_REVISIONS;
use crate::storage::log::Erasure;
use crate::storage::log::record::Record;

/// Posts of one statement.
const POSTS_MAX: usize = 256;
/// Where the form of a record is in its row, and the form with a content.
const IS_WHOLE: &str = "get_byte(event, 8) = 1";

/// Erases the posts in PostgreSQL, unless that is done. Returns `false` if it was stopped by `go_on`.
pub(super) fn erase(
    shared: &Shared,
    erasure: &Erasure,
    go_on: &dyn Fn() -> bool,
) -> Result<bool, Failure> {
    let runtime = super::runtime().map_err(|error| Failure::Unfit(error.to_string()))?;
    runtime.block_on(async {
        let connection = connection::connect(&runtime, &shared.options, None).await?;
        connection.settle().await?;
        if connection.head().await?.erased_until >= erasure.until {
            return Ok(true);
        }
        for posts in erasure.posts.chunks(POSTS_MAX) {
            if !go_on() {
                return Ok(false);
            }
            let posts: Vec<_> = posts.iter().map(|&post| number(post)).collect();
            connection.erase_posts(&posts).await?;
        }
        for partition in connection.partitions_to_rewrite().await? {
            if !go_on() {
                return Ok(false);
            }
            // Its rows are copied without what they were: it takes as long as the partition has bytes, and readers and
            // appends of this partition wait.
            let rewrite = format!("VACUUM FULL {}.log_{partition}", connection.schema);
            connection.client.batch_execute(&rewrite).await?;
            connection.is_rewritten(partition).await?;
        }
        connection.set_erased_until(number(erasure.until)).await?;
        Ok(true)
    })
}

impl Connection {
    async fn erase_posts(&self, posts: &[i64]) -> Result<(), Failure> {
        let schema = &self.schema;
        let ask = format!(
            "SELECT revision, event FROM {schema}.log WHERE revision = ANY($1) AND {IS_WHOLE}"
        );
        let rows = self.timed(self.client.query(&ask, &[&posts])).await?;
        let (mut revisions, mut records) = (Vec::new(), Vec::new());
        for row in &rows {
            let revision: i64 = row.get(0);
            let record = Record::unchecked(row.get(1)).map_err(|what| {
                Failure::Damaged(format!("the record of revision {revision} {what}"))
            })?;
            revisions.push(revision);
            records.push(record.without_content());
        }
        let replace = format!(
            "WITH marked AS (
                 INSERT INTO {schema}.erasing
                 SELECT DISTINCT revision / {PARTITION_REVISIONS} FROM unnest($1::bigint[]) AS replaced (revision)
                 ON CONFLICT DO NOTHING)
             UPDATE {schema}.log SET event = erased.event
             FROM unnest($1::bigint[], $2::bytea[]) AS erased (revision, event)
             WHERE log.revision = erased.revision"
        );
        self.timed(self.client.execute(&replace, &[&revisions, &records])).await.map(drop)
    }

    /// Those in which posts were replaced, by this erasure or by one that was stopped.
    async fn partitions_to_rewrite(&self) -> Result<Vec<i64>, Failure> {
        let ask = format!("SELECT partition FROM {}.erasing ORDER BY partition", self.schema);
        let rows = self.timed(self.client.query(&ask, &[])).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    async fn is_rewritten(&self, partition: i64) -> Result<(), Failure> {
        let remove = format!("DELETE FROM {}.erasing WHERE partition = $1", self.schema);
        self.timed(self.client.execute(&remove, &[&partition])).await.map(drop)
    }

    async fn set_erased_until(&self, until: i64) -> Result<(), Failure> {
        let set =
            format!("UPDATE {}.head SET erased_until = greatest(erased_until, $1)", self.schema);
        self.timed(self.client.execute(&set, &[&until])).await.map(drop)
    }
}
