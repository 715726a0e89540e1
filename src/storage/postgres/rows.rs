//! Rows of the log, as batches. Never decides whether they may be believed.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::connection::{Connection, Failure};
use crate::model::{Chain, Epoch, Revision};
use crate::storage::log::encoded_batch::EncodedBatch;

/// Rows of one read: some megabytes.
const ROWS_MAX: i64 = 4_096;
/// No batch has as many events (`batch_commands_max`): a read that has no whole one reads again, up to here.
const BATCH_ROWS_MAX: i64 = 1 << 24;

/// The head row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoreHead {
    pub(super) last: Revision,
    pub(super) erased_until: Revision,
    pub(super) term: Term,
}

/// A term, and the epoch of all that is appended in it, by whichever node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Term {
    pub(super) number: i64,
    pub(super) epoch: Epoch,
}

impl Connection {
    /// The head row, now.
    pub(super) async fn head(&self) -> Result<StoreHead, Failure> {
        let ask = format!("SELECT last, erased_until, term, epoch FROM {}.head", self.schema);
        let row = self.timed(self.client.query_one(&ask, &[])).await?;
        Ok(StoreHead {
            last: revision(row.get(0)),
            erased_until: revision(row.get(1)),
            term: Term { number: row.get(2), epoch: epoch(row.get(3))? },
        })
    }

    /// Writes what any node may write, and waits until that is acknowledged: then all that this connection could
    /// read before is acknowledged, too. A server that was killed and started again shows commits that no standby has.
    pub(super) async fn settle(&self) -> Result<(), Failure> {
        self.settled_end().await.map(drop)
    }

    /// The last revision, once a write after it was read is acknowledged: nobody had appended more before.
    pub(super) async fn settled_end(&self) -> Result<Revision, Failure> {
        let write = format!(
            "UPDATE {schema}.barrier SET passed = passed + 1 FROM {schema}.head RETURNING last",
            schema = self.schema
        );
        let write = self.timed(self.client.prepare(&write)).await?;
        let row = self.kept(self.client.query_one(&write, &[])).await?;
        Ok(revision(row.get(0)))
    }

    /// The chain after `revision`, if it is there, and the last of its batch.
    pub(super) async fn chain_at(&self, revision: Revision) -> Result<Option<Chain>, Failure> {
        let ask = format!("SELECT chain FROM {}.log WHERE revision = $1", self.schema);
        let row = self.timed(self.client.query_opt(&ask, &[&number(revision)])).await?;
        row.and_then(|row| row.get::<_, Option<Vec<u8>>>(0)).map(|bytes| chain(&bytes)).transpose()
    }

    /// Whether the log has the events up to `end`, whose chain is `chain`. They may end within a batch, as those of a backup
    /// do: then the rest of that batch says so.
    pub(super) async fn has(&self, end: Revision, chain: Chain) -> Result<bool, Failure> {
        if end == Revision::ZERO {
            return Ok(true);
        }
        if let Some(stored) = self.chain_at(end).await? {
            return Ok(stored == chain);
        }
        match self.batches_after(end, chain).await {
            Ok(batches) => Ok(!batches.is_empty()),
            Err(Failure::Damaged(_)) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// The whole batches after `after`, whose chain is `before`; none at the end.
    ///
    /// # Errors
    /// Also if what is there is damaged, or another history than the one before.
    pub(super) async fn batches_after(
        &self,
        after: Revision,
        before: Chain,
    ) -> Result<Vec<EncodedBatch>, Failure> {
        let ask = format!(
            "SELECT revision, epoch, event, chain FROM {}.log WHERE revision > $1
             ORDER BY revision LIMIT $2",
            self.schema
        );
        let ask = self.timed(self.client.prepare(&ask)).await?;
        let mut rows_max = ROWS_MAX;
        loop {
            let values: [&(dyn ToSql + Sync); 2] = [&number(after), &rows_max];
            let rows = self.kept(self.client.query(&ask, &values)).await?;
            let batches = whole_batches(&rows, after, before).map_err(Failure::Damaged)?;
            let is_cut = rows.len() as i64 == rows_max && rows_max < BATCH_ROWS_MAX;
            if !batches.is_empty() || rows.is_empty() || !is_cut {
                return Ok(batches);
            }
            rows_max *= 2;
        }
    }
}

/// The batches of `rows` whose last row is among them.
fn whole_batches(
    rows: &[Row],
    after: Revision,
    before: Chain,
) -> Result<Vec<EncodedBatch>, String> {
    let (mut batches, mut first, mut chain_before) = (Vec::new(), after.next(), before);
    for rows in rows.split_inclusive(|row| row.get::<_, Option<&[u8]>>(3).is_some()) {
        let Some(stored) = rows.last().and_then(|row| row.get::<_, Option<&[u8]>>(3)) else {
            break;
        };
        let numbers = rows.iter().map(|row| row.get::<_, i64>(0));
        if !numbers.eq((number(first)..).take(rows.len())) {
            return Err(format!("its table log has a hole after revision {}", first.previous()));
        }
        let epoch = epoch(rows[0].get(1)).map_err(|failure| failure.to_string())?;
        let records = rows.iter().map(|row| row.get::<_, &[u8]>(2));
        let batch = EncodedBatch::of_records(first, epoch, chain_before, records)?;
        if batch.chains[1].get() != *stored {
            return Err(format!(
                "what it has from revision {first} on does not follow on what this node has before it: it was damaged, \
                 put back from a backup, or lost its end in a fail-over"
            ));
        }
        (first, chain_before) = (batch.last().next(), batch.chains[1]);
        batches.push(batch);
    }
    Ok(batches)
}

fn chain(bytes: &[u8]) -> Result<Chain, Failure> {
    let bytes = bytes.try_into();
    bytes
        .map(Chain::new)
        .map_err(|_| Failure::Damaged("a chain in its table log is none".to_owned()))
}

/// An epoch as PostgreSQL has it.
pub(super) fn epoch(number: i64) -> Result<Epoch, Failure> {
    let epoch = u32::try_from(number).map(Epoch::new);
    epoch.map_err(|_| Failure::Damaged(format!("epoch {number} in its tables is none")))
}

/// A revision as PostgreSQL has it.
pub(super) fn number(revision: Revision) -> i64 {
    // No log reaches the other half of the numbers; what a caller makes up there matches nothing.
    i64::try_from(revision.get()).unwrap_or(i64::MAX)
}

pub(super) fn revision(number: i64) -> Revision {
    Revision::new(number.cast_unsigned())
}
