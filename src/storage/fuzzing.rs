//! Entry point for the fuzzer in `fuzz/`: takes any bytes and panics where a promise of the record
//! codec is broken. Never part of a server: behind the feature `fuzzing`.

#![expect(clippy::expect_used, reason = "to panic is how a finding is reported")]

use super::log::record::{self, Record, RecordPosition};
use crate::model::{Chain, Event, Revision};

const POSITION: RecordPosition = RecordPosition { salt: 3, revision: Revision::new(7) };
const CHAIN: Chain = Chain::new([5; Chain::BYTES]);

/// Any bytes are a record or an error, and what they decode to survives encoding.
pub fn record(bytes: &[u8]) {
    decode(bytes);
    // The same bytes as a record whose check is right.
    let mut checked = bytes.to_vec();
    if checked.len() >= record::HEAD_BYTES {
        record::set_check(&mut checked, POSITION);
        decode(&checked);
    }
}

fn decode(bytes: &[u8]) {
    let Ok((record, _)) = Record::split_first(POSITION, bytes) else { return };
    let mut copies = [false, true].map(|is_erased| {
        let mut copy = Vec::new();
        record.copy(is_erased, &mut copy);
        record::set_check(&mut copy, POSITION);
        copy
    });
    for copy in &mut copies {
        let (copied, rest) = Record::split_first(POSITION, copy).expect("a copy is a record");
        assert!(rest.is_empty(), "a copy has the length that it says");
        assert_eq!(copied.chain(CHAIN), record.chain(CHAIN), "a copy changes the chain");
    }
    let Ok(event) = record.event(POSITION) else { return };
    survives_encoding(event.clone());
    survives_encoding(event.erased());
}

fn survives_encoding(event: Event) {
    let mut bytes = Vec::new();
    let chain = record::append(&event, [9; record::KEY_BYTES], CHAIN, &mut bytes);
    record::set_check(&mut bytes, POSITION);
    let (record, rest) = Record::split_first(POSITION, &bytes).expect("it was just encoded");
    assert!(rest.is_empty(), "a record has the length that it says");
    assert_eq!(record.chain(CHAIN), chain, "the chain depends on who computes it");
    assert_eq!(record.event(POSITION), Ok(event), "encoding changes an event");
}
