//! Entry point for the fuzzer in `fuzz/`: takes any bytes and panics where a promise of the record
//! codec is broken. Never part of a server: behind the feature `fuzzing`.

use super::log::codec;
use crate::model::{Event, Revision};

const REVISION: Revision = Revision::new(7);

/// Any bytes are a record or an error, and what they decode to survives encoding.
pub fn record(bytes: &[u8]) {
    decode(bytes);
    // The same bytes as the content of a record whose check is right.
    let mut check = crc32fast::Hasher::new();
    check.update(&REVISION.get().to_le_bytes());
    check.update(bytes);
    decode(&[&check.finalize().to_le_bytes(), bytes].concat());
}

fn decode(bytes: &[u8]) {
    let decoded = codec::decode(REVISION, bytes);
    let verified = codec::verify(REVISION, bytes);
    let Ok(event) = decoded else { return };
    assert_eq!(verified, Ok(()), "a record that decodes is not verified");
    let erased = event.clone().erased();
    assert_eq!(
        codec::check_of(REVISION, &event),
        codec::check_of(REVISION, &erased),
        "erasing changes the check of an event"
    );
    survives_encoding(event);
    survives_encoding(erased);
}

fn survives_encoding(event: Event) {
    let mut bytes = Vec::new();
    codec::encode(REVISION, &event, &mut bytes);
    assert_eq!(codec::verify(REVISION, &bytes), Ok(()), "an encoded record is not verified");
    assert_eq!(codec::decode(REVISION, &bytes), Ok(event), "encoding changes an event");
}
