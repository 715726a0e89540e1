//! Records with right checks that no version writes: they are refused, in a segment and in the file
//! of an earlier version.

use std::path::Path;

use prost::Message;
use redb::{Database, TableDefinition};
use whimbrel::model::bounds::TEXT_BYTES_MAX;
use whimbrel::model::{Change, Event, Revision};
use whimbrel::storage::{Error, LocalLog, Log};

use super::segment_layout::{post_record, put_first_frame, record};
use crate::harness::{LOG_OPTIONS, MemoryFolder};

const FIRST: &str = "0000000000000001.seg";
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

/// The kept part of the record of a post.
#[derive(Clone, PartialEq, Message)]
struct Kept {
    #[prost(message, required, tag = "4")]
    publish: Author,
}

#[derive(Clone, PartialEq, Message)]
struct Author {
    #[prost(string, tag = "1")]
    author: String,
}

/// The content of a post.
#[derive(Clone, PartialEq, Message)]
struct Content {
    #[prost(message, required, tag = "9")]
    marked: Marked,
}

/// A facet may end where the longest text ends, and not after it.
#[test]
fn a_facet_outside_of_every_text_is_refused() {
    let longest = TEXT_BYTES_MAX as u32;
    for read in [read_from_segment, read_from_earlier_version] {
        let event = read(facet(longest - 6, 6)).unwrap().unwrap();
        let Change::Publish { content, .. } = event.change else { panic!("not a post") };
        assert_eq!(content.facets.all()[0].end, TEXT_BYTES_MAX);
        for (start, bytes) in [(longest - 6, 7), (u32::MAX, 0), (7, u32::MAX), (u32::MAX, u32::MAX)]
        {
            let error = read(facet(start, bytes)).expect_err("it is in no text");
            assert!(matches!(error, Error::Damaged { .. }), "{error}");
            assert!(error.to_string().contains("revision 1"), "{error}");
        }
    }
}

/// The two parts of a record and its form contradict each other, or a part is no message.
#[test]
fn a_record_of_contradicting_parts_is_refused() {
    let publish = post(facet(0, 6));
    let (kept, content) = parts_of(&publish);
    let whole = [&[7; 16][..], &content].concat();
    let commitment = [7; 32];
    // A follow of nobody, and no change at all.
    let (follow, nothing) = ([0x12, 0][..].to_vec(), Vec::new());
    assert!(read_record(1, &kept, &whole).unwrap().is_some());
    assert!(read_record(2, &kept, &commitment).unwrap().is_some());
    for (form, kept, rest) in [
        (0, &kept, &[][..]),
        (0, &kept, &whole),
        (1, &kept, &whole[..15]),
        (1, &kept, &[&whole[..], &[0xff]].concat()),
        (1, &follow, &whole),
        (1, &nothing, &whole),
        (2, &kept, &commitment[1..]),
        (2, &kept, &whole),
        (2, &follow, &commitment),
        (3, &kept, &whole),
        (0xff, &kept, &whole),
        (0, &follow, &[]),
        (0, &nothing, &[]),
        (0, &vec![0xff; 40], &[]),
    ] {
        let error = read_record(form, kept, rest).expect_err("no version writes it");
        assert!(matches!(error, Error::Damaged { .. }), "form {form}, {kept:?}: {error}");
        assert!(error.to_string().contains(FIRST), "{error}");
        assert!(error.to_string().contains("revision 1"), "{error}");
    }
}

fn facet(start: u32, bytes: u32) -> Facet {
    Facet { start, bytes, tag: "birds".to_owned() }
}

fn post(facet: Facet) -> Record {
    Record { publish: Publish { author: "alice".to_owned(), marked: Marked { facet } } }
}

/// The kept part of a post's record, and its content.
fn parts_of(record: &Record) -> (Vec<u8>, Vec<u8>) {
    let author = record.publish.author.clone();
    let kept = Kept { publish: Author { author } }.encode_to_vec();
    let content = Content { marked: record.publish.marked.clone() }.encode_to_vec();
    (kept, content)
}

fn read_from_segment(facet: Facet) -> Result<Option<Event>, Error> {
    let (kept, content) = parts_of(&post(facet));
    read(|segment| post_record(segment, 1, &kept, &content))
}

/// The event of a log whose only record has this form.
fn read_record(form: u8, kept: &[u8], rest: &[u8]) -> Result<Option<Event>, Error> {
    read(|segment| record(segment, 1, form, kept, rest))
}

/// The event of a log with one record, which is made for its segment.
fn read(record: impl FnOnce(&[u8]) -> Vec<u8>) -> Result<Option<Event>, Error> {
    let folder = MemoryFolder::default();
    drop(LocalLog::with_folder(folder.clone(), LOG_OPTIONS).unwrap());
    let mut files = folder.files();
    let segment = files.get_mut(FIRST).unwrap();
    let record = record(segment);
    put_first_frame(segment, 1, &record);
    LocalLog::with_folder(MemoryFolder::holding(files), LOG_OPTIONS)?.get(Revision::new(1))
}

fn read_from_earlier_version(facet: Facet) -> Result<Option<Event>, Error> {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &post(facet));
    LocalLog::open(folder.path(), LOG_OPTIONS)?.get(Revision::new(1))
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
