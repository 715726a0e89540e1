//! Records with a right check that no version writes: they are refused.

use std::path::Path;

use prost::Message;
use redb::{Database, TableDefinition};
use whimbrel::model::bounds::TEXT_BYTES_MAX;
use whimbrel::model::{Change, Event, Revision};
use whimbrel::storage::{Error, LocalLog, Log};

use crate::storage::local_log::OPTIONS;

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// The fields of a record of a post with one hashtag, as far as they are needed.
#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(message, required, tag = "4")]
    publish: Publish,
}

#[derive(Clone, PartialEq, Message)]
struct Publish {
    #[prost(string, tag = "1")]
    author: String,
    #[prost(message, required, tag = "9")]
    marked: Marked,
}

#[derive(Clone, PartialEq, Message)]
struct Marked {
    #[prost(message, required, tag = "2")]
    facet: Facet,
}

#[derive(Clone, PartialEq, Message)]
struct Facet {
    #[prost(uint32, tag = "1")]
    start: u32,
    #[prost(uint32, tag = "2")]
    bytes: u32,
    #[prost(string, tag = "5")]
    tag: String,
}

/// A facet may end where the longest text ends, and not after it.
#[test]
fn a_facet_outside_of_every_text_is_refused() {
    let longest = TEXT_BYTES_MAX as u32;
    let Change::Publish { content, .. } = read_facet(longest - 6, 6).unwrap().unwrap().change
    else {
        panic!("not a post")
    };
    assert_eq!(content.facets.all()[0].end, TEXT_BYTES_MAX);
    for (start, bytes) in [(longest - 6, 7), (u32::MAX, 0), (7, u32::MAX), (u32::MAX, u32::MAX)] {
        let error = read_facet(start, bytes).expect_err("it is in no text");
        assert!(error.to_string().contains("revision 1"), "{error}");
    }
}

fn read_facet(start: u32, bytes: u32) -> Result<Option<Event>, Error> {
    let facet = Facet { start, bytes, tag: "birds".to_owned() };
    let publish = Publish { author: "alice".to_owned(), marked: Marked { facet } };
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &Record { publish });
    LocalLog::open(folder.path(), OPTIONS)?.get(Revision::new(1))
}

fn write(folder: &Path, record: &Record) {
    let revision = 1_u64;
    let record = record.encode_to_vec();
    let mut check = crc32fast::Hasher::new();
    check.update(&revision.to_le_bytes());
    check.update(&record);
    let bytes = [&check.finalize().to_le_bytes()[..], &record].concat();
    let database = Database::create(folder.join("log.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(LOG).unwrap().insert(revision, bytes.as_slice()).unwrap();
    let mut meta = transaction.open_table(META).unwrap();
    for (key, value) in [("format", 2), ("log_id", 7), ("erased_until", 0)] {
        meta.insert(key, value).unwrap();
    }
    drop(meta);
    transaction.commit().unwrap();
}
