//! A batch as logs keep it: the records of its events, and the chain that ties it to what is before it. Its bytes
//! are the same in every copy of a log. Never written by this file.

use std::io;

use super::record::{self, CHECK_BYTES, KEY_BYTES, Record};
use crate::model::{Chain, Epoch, Event, Revision};
use crate::runtime::fill_random;

/// Events that are appended together, with their records.
#[derive(Debug)]
pub(in crate::storage) struct EncodedBatch {
    /// The revision of the first event.
    pub(in crate::storage) first: Revision,
    /// The epoch of all of them.
    pub(in crate::storage) epoch: Epoch,
    /// The chain before the first event, and after the last.
    pub(in crate::storage) chains: [Chain; 2],
    /// The events. Never empty.
    pub(in crate::storage) events: Vec<Event>,
    /// The records, one after the other. Their checks depend on where they are written, and are zeros here.
    pub(in crate::storage) bytes: Vec<u8>,
    /// Where each record begins in `bytes`.
    pub(in crate::storage) starts: Vec<usize>,
}

impl EncodedBatch {
    /// The records of `events`, the first of which follows on `chain`.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub(in crate::storage) fn new(
        first: Revision,
        epoch: Epoch,
        chain: Chain,
        events: Vec<Event>,
    ) -> io::Result<Self> {
        let mut keys = vec![0; events.len() * KEY_BYTES];
        fill_random(&mut keys)?;
        let (keys, _) = keys.as_chunks::<KEY_BYTES>();
        let (mut bytes, mut starts, mut last) = (Vec::new(), Vec::new(), chain);
        for (event, key) in events.iter().zip(keys) {
            starts.push(bytes.len());
            last = record::append(event, *key, last, &mut bytes);
        }
        Ok(Self { first, epoch, chains: [chain, last], events, bytes, starts })
    }

    /// The batch with these records, each without its check.
    ///
    /// # Errors
    /// A description of the damage.
    pub(in crate::storage) fn of_records<'a>(
        first: Revision,
        epoch: Epoch,
        chain: Chain,
        records: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Self, String> {
        let (events, bytes, starts) = (Vec::new(), Vec::new(), Vec::new());
        let mut batch = Self { first, epoch, chains: [chain; 2], events, bytes, starts };
        for bytes in records {
            let of_revision =
                |what: String| format!("the record of revision {} {what}", batch.last().next());
            let record = Record::unchecked(bytes).map_err(of_revision)?;
            let event = record.decode().map_err(of_revision)?;
            batch.chains[1] = record.chain(batch.chains[1]);
            batch.starts.push(batch.bytes.len());
            batch.bytes.extend([0; CHECK_BYTES]);
            batch.bytes.extend_from_slice(bytes);
            batch.events.push(event);
        }
        Ok(batch)
    }

    /// The revision of the last event.
    pub(in crate::storage) fn last(&self) -> Revision {
        Revision::new(self.first.get() + self.events.len() as u64 - 1)
    }

    /// The records without their checks, in order.
    pub(in crate::storage) fn records(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.starts.iter().skip(1).copied().chain([self.bytes.len()]);
        self.starts.iter().zip(ends).map(|(&start, end)| &self.bytes[start + CHECK_BYTES..end])
    }
}
