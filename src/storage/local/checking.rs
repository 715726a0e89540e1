//! Checking a log without opening it: all segments, byte by byte, and the checkpoint. It locks
//! nothing and writes nothing, so that it also works on the folder of a running server and on a
//! backup that is mounted for reading.
//!
//! What a server does meanwhile is never taken for damage:
//!
//! - It appends. A segment is complete once a later one has begun, and that is looked up before it is read. The newest one
//!   ends where it has no complete frame. A read may see a part of a frame and the whole next one, which was written later:
//!   so damage counts only if a second read finds the same.
//! - It erases. A post whose content is there counts as not erased only if a read after the note of the erasure finds it,
//!   too.
//! - It goes on. The checkpoint is read first, and segments that come later are ignored.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::FOLDER;
use super::checkpoint::{self, DurablePosition, SLOT_BYTES, Slot};
use super::copying::flushing_of;
use super::epochs;
use super::flushing::Flushing;
use super::format::{HEAD_BYTES, HeadContent, SegmentHead};
use super::recovery::{End, FIRST_NUMBER, NUMBER_MAX, check_head, number_of};
use super::scan::damage_of_head;
use super::segment::file_name;
use super::segment_check::{CheckedSegment, Deletion, chain_at};
use crate::formats::{OtherFormat, SEGMENT};
use crate::model::{Chain, EpochStart, Event, LogId, Revision, RevisionSet};
use crate::storage::error::Error;
use crate::storage::log::record::chain_start;

/// Most reads of a file that finds other damage each time: a server that appends changes what a read finds.
const READS_MAX: usize = 100;

/// A log without damage, as [`check_log`] found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedLog {
    /// The id of the log.
    pub id: LogId,
    /// The revision of the last event; [`Revision::ZERO`] for an empty log.
    pub head: Revision,
    /// The chain after the last event.
    pub chain: Chain,
    /// Posts that were deleted up to here are erased, but for those in `not_erased`.
    pub erased_until: Revision,
    /// The number of segments that were begun.
    pub segments: u64,
    /// Bytes of these segments.
    pub bytes: u64,
    /// The number of openings that appended the events.
    pub epochs: u64,
    /// Posts that should be erased, and are not: an older copy of a segment was put back.
    pub not_erased: Option<NotErased>,
    /// Bytes after the last event that are no complete batch: it is being written, or a power cut came
    /// before it was acknowledged.
    pub torn_bytes: u64,
}

/// Posts that were deleted, and whose content the log still has although it says that they are
/// erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotErased {
    /// The number of posts.
    pub posts: u64,
    /// The least of their revisions.
    pub first: Revision,
}

/// Reads the files of a log.
#[derive(Debug)]
struct LogReader {
    folder: PathBuf,
    flushing: Flushing,
}

/// What was read so far.
#[derive(Debug)]
struct FolderCheck {
    end: End,
    durable: Vec<DurablePosition>,
    erased_until: Revision,
    /// The first revision and the number of each segment.
    segments: Vec<(Revision, u64)>,
    bytes: u64,
    epochs: Vec<EpochStart>,
    torn_bytes: u64,
    posts: RevisionSet,
    /// Deletions of posts whose content is there.
    deletions: Vec<Deletion>,
}

/// Checks the log in the data folder `dir`, all of it. `progress` gets the last revision of each
/// segment that is checked. Memory: a segment, and one bit for each revision.
///
/// # Errors
/// The log is damaged, is of another format, or cannot be read, or there is none.
pub fn check_log(dir: &Path, progress: &mut dyn FnMut(Revision)) -> Result<CheckedLog, Error> {
    check_events(dir, progress, &mut |_, _| Ok::<_, Error>(()))
}

/// As [`check_log`], and passes each event to `each` in order. Damage may be found after some of them.
///
/// # Errors
/// As [`check_log`], and the first error of `each`.
pub fn check_events<E: From<Error>>(
    dir: &Path,
    progress: &mut dyn FnMut(Revision),
    each: &mut dyn FnMut(Revision, Event) -> Result<(), E>,
) -> Result<CheckedLog, E> {
    let reader = LogReader::new(dir)?;
    // First, since all that it says to be durable is then in the files that are found.
    let durable = reader.checkpoint()?;
    let numbers = reader.numbers()?;
    let mut so_far: Option<FolderCheck> = None;
    for (index, &number) in numbers.iter().enumerate() {
        let later = &numbers[index + 1..];
        // Before the segment is read: nothing is appended to it any more.
        let is_newest = !reader.has_begun(later)?;
        if let Some(segment) = reader.segment(number, is_newest)? {
            let so_far =
                so_far.get_or_insert_with(|| FolderCheck::new(segment.head.log, durable.clone()));
            so_far.add(&reader, &segment)?;
            for revision in (segment.head.first.get()..=segment.last().get()).map(Revision::new) {
                let event = segment.event(revision);
                each(revision, event.map_err(|what| reader.damaged(number, what))?)?;
            }
            progress(so_far.end.last);
        }
        if is_newest {
            let Some(so_far) = so_far else {
                let what = "it is no segment of a log, or its head is damaged";
                return Err(reader.damaged(number, what).into());
            };
            let torn_bytes = reader.unwritten_bytes(later)?;
            return Ok(so_far.finish(&reader, torn_bytes)?);
        }
    }
    // It is written once the first segment is there.
    if durable.is_empty() {
        return Err(Error::NoLog { dir: dir.to_owned() }.into());
    }
    let file = reader.folder.join(file_name(FIRST_NUMBER));
    Err(Error::Missing { file, made_from_it: reader.checkpoint_file() }.into())
}

/// The chain of the log in the data folder `dir` at `revision`; `None` after its end. Checks only
/// the events that it needs, and reads one segment.
///
/// # Errors
/// As [`check_log`].
pub fn read_chain(dir: &Path, revision: Revision) -> Result<Option<Chain>, Error> {
    let reader = LogReader::new(dir)?;
    for number in reader.numbers()?.into_iter().rev() {
        let Some(HeadContent::Valid(head)) = reader.head(number)? else { continue };
        if revision == Revision::ZERO {
            return Ok(Some(chain_start(head.log)));
        }
        if head.first > revision {
            continue;
        }
        let Some(content) = reader.content(number)? else { continue };
        // An erasure may have replaced the file meanwhile.
        let Some(HeadContent::Valid(head)) = content.first_chunk().map(SegmentHead::decode) else {
            continue;
        };
        return chain_at(&head, &content, revision).map_err(|what| reader.damaged(number, what));
    }
    Ok(None)
}

impl LogReader {
    fn new(dir: &Path) -> Result<Self, Error> {
        Ok(Self { folder: dir.join(FOLDER), flushing: flushing_of(dir)? })
    }

    fn damaged(&self, number: u64, what: impl Into<String>) -> Error {
        Error::Damaged { file: self.folder.join(file_name(number)), what: what.into() }
    }

    /// The numbers of all segments, rising.
    fn numbers(&self) -> Result<Vec<u64>, Error> {
        let numbers = || -> io::Result<Vec<u64>> {
            let names = fs::read_dir(&self.folder)?.map(|entry| Ok(entry?.file_name()));
            let names: Vec<_> = names.collect::<io::Result<_>>()?;
            Ok(names.iter().filter_map(|name| number_of(name.to_str()?)).collect())
        };
        let mut numbers = match numbers() {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            numbers => numbers.map_err(|error| failed(&self.folder, error))?,
        };
        numbers.sort_unstable();
        match numbers.last() {
            Some(&number) if number > NUMBER_MAX => {
                Err(self.damaged(number, "no segment of a log has so great a number"))
            }
            _ => Ok(numbers),
        }
    }

    /// All bytes of a segment; `None` if it was removed meanwhile.
    fn content(&self, number: u64) -> Result<Option<Vec<u8>>, Error> {
        let path = self.folder.join(file_name(number));
        unless_removed(fs::read(&path)).map_err(|error| failed(&path, error))
    }

    /// The head of a segment, as by [`LogReader::content`].
    fn head(&self, number: u64) -> Result<Option<HeadContent>, Error> {
        let path = self.folder.join(file_name(number));
        let read = || {
            let mut head = [0; HEAD_BYTES];
            match File::open(&path)?.read_exact_at(&mut head, 0) {
                // It is being created.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(HeadContent::Zeros),
                read => read.map(|()| SegmentHead::decode(&head)),
            }
        };
        unless_removed(read()).map_err(|error| failed(&path, error))
    }

    /// Whether one of these segments has a head.
    fn has_begun(&self, numbers: &[u64]) -> Result<bool, Error> {
        for &number in numbers {
            match self.head(number)? {
                Some(HeadContent::Valid(_) | HeadContent::OtherFormat(_)) => return Ok(true),
                Some(HeadContent::Zeros | HeadContent::Damaged) | None => {}
            }
        }
        Ok(false)
    }

    /// A segment, checked; `None` if nothing was written to it, or only a part of a first batch.
    fn segment(&self, number: u64, is_newest: bool) -> Result<Option<CheckedSegment>, Error> {
        twice(|| {
            let Some(content) = self.content(number)? else { return Ok(None) };
            let Some(head) = self.head_in(number, &content)? else { return Ok(None) };
            let checked = CheckedSegment::new(head, content, is_newest.then_some(self.flushing));
            checked.map(Some).map_err(|what| self.damaged(number, what))
        })
    }

    /// The head in the bytes of a segment; `None` if there is no frame either.
    fn head_in(&self, number: u64, content: &[u8]) -> Result<Option<SegmentHead>, Error> {
        let head = content.first_chunk().map_or(HeadContent::Zeros, SegmentHead::decode);
        match head {
            HeadContent::Valid(head) if head.number == number => Ok(Some(head)),
            HeadContent::Valid(head) => {
                let what = format!("it is segment {} under another name", head.number);
                Err(self.damaged(number, what))
            }
            HeadContent::OtherFormat(found) => {
                let other = OtherFormat::new(&SEGMENT, found.into()).written_by(self.writer());
                Err(Error::OtherFormat { file: self.folder.join(file_name(number)), other })
            }
            HeadContent::Zeros | HeadContent::Damaged => {
                let Ok(damage) = damage_of_head(&mut &*content);
                damage.map_or(Ok(None), |what| Err(self.damaged(number, what)))
            }
        }
    }

    /// Bytes of a first batch that is not complete, in the segments after the newest. One that has
    /// begun meanwhile is ignored.
    fn unwritten_bytes(&self, numbers: &[u64]) -> Result<u64, Error> {
        let mut torn_bytes = 0;
        for &number in numbers {
            torn_bytes += twice(|| {
                let Some(content) = self.content(number)? else { return Ok(0) };
                if self.head_in(number, &content)?.is_some() {
                    return Ok(0);
                }
                let torn = content.iter().rposition(|&byte| byte != 0);
                Ok(torn.map_or(0, |last| last as u64 + 1))
            })?;
        }
        Ok(torn_bytes)
    }

    /// The path of the checkpoint.
    fn checkpoint_file(&self) -> PathBuf {
        self.folder.join(checkpoint::NAME)
    }

    /// The version of the program that wrote the log, if the checkpoint says it.
    fn writer(&self) -> Option<String> {
        // It is a help in an error, which may lack it.
        let slots = fs::read(self.checkpoint_file()).unwrap_or_default();
        slots.chunks(SLOT_BYTES).rev().find_map(checkpoint::writer)
    }

    /// The positions in the checkpoint. It has none in a log that was never closed, and in one that
    /// was put back without it.
    fn checkpoint(&self) -> Result<Vec<DurablePosition>, Error> {
        let file = self.checkpoint_file();
        twice(|| {
            let slots = unless_removed(fs::read(&file)).map_err(|error| failed(&file, error))?;
            let slots = slots.unwrap_or_default();
            let mut found = Vec::new();
            for slot in slots.chunks(SLOT_BYTES) {
                match checkpoint::decode(slot) {
                    Slot::Position(position) => found.push(position),
                    Slot::OtherFormat => return Err(checkpoint::other_format(file.clone(), slot)),
                    Slot::Nothing => {}
                }
            }
            // A power cut tears one of them at most.
            if found.is_empty() && slots.iter().any(|&byte| byte != 0) {
                let what = "none of its positions is whole".to_owned();
                return Err(Error::Damaged { file: file.clone(), what });
            }
            Ok(found)
        })
    }
}

impl FolderCheck {
    fn new(id: LogId, durable: Vec<DurablePosition>) -> Self {
        Self {
            end: End { id, last: Revision::ZERO, chain: chain_start(id) },
            durable,
            erased_until: Revision::ZERO,
            segments: Vec::new(),
            bytes: 0,
            epochs: Vec::new(),
            torn_bytes: 0,
            posts: RevisionSet::default(),
            deletions: Vec::new(),
        }
    }

    /// Adds the next segment.
    fn add(&mut self, reader: &LogReader, segment: &CheckedSegment) -> Result<(), Error> {
        let CheckedSegment { head, tables, .. } = segment;
        check_head(head, &self.end).map_err(|what| reader.damaged(head.number, what))?;
        self.check_durable(reader, segment)?;
        self.segments.push((head.first, head.number));
        self.bytes += segment.content.len() as u64;
        self.torn_bytes += segment.torn_bytes;
        self.erased_until = self.erased_until.max(tables.erased_until);
        for start in &tables.epochs {
            epochs::extend(&mut self.epochs, start.first, start.epoch);
        }
        segment.posts.iter().for_each(|&post| self.posts.insert(post));
        let deletions = segment.deletions.iter().filter(|deletion| self.posts.has(deletion.post));
        self.deletions.extend(deletions);
        (self.end.last, self.end.chain) = (segment.last(), tables.chain);
        Ok(())
    }

    /// The segment has the events that the checkpoint says to be durable.
    fn check_durable(&self, reader: &LogReader, segment: &CheckedSegment) -> Result<(), Error> {
        let damaged = |what: String| Err(Error::Damaged { file: reader.checkpoint_file(), what });
        for durable in &self.durable {
            let (revision, id) = (durable.revision, self.end.id);
            if durable.log != id {
                return damaged(format!(
                    "it belongs to another log ({}, this is {id})",
                    durable.log
                ));
            }
            let chain = match revision {
                Revision::ZERO => Some(chain_start(id)),
                _ if revision < segment.head.first => continue,
                _ => chain_at(&segment.head, &segment.content, revision)
                    .map_err(|what| reader.damaged(segment.head.number, what))?,
            };
            if chain.is_some_and(|chain| chain != durable.chain) {
                return damaged(format!("it is of other events up to revision {revision}"));
            }
        }
        Ok(())
    }

    fn finish(self, reader: &LogReader, torn_bytes: u64) -> Result<CheckedLog, Error> {
        let End { id, last: head, chain } = self.end;
        let durable_until = self.durable.iter().map(|durable| durable.revision).max();
        if let Some(durable_until) = durable_until.filter(|&revision| revision > head) {
            return Err(Error::EndsEarly { head, durable_until, file: reader.checkpoint_file() });
        }
        Ok(CheckedLog {
            id,
            head,
            chain,
            erased_until: self.erased_until,
            segments: self.segments.len() as u64,
            bytes: self.bytes,
            epochs: self.epochs.len() as u64,
            not_erased: self.not_erased(reader)?,
            torn_bytes: self.torn_bytes + torn_bytes,
        })
    }

    /// The posts that the log says to be erased, and whose content is there.
    fn not_erased(&self, reader: &LogReader) -> Result<Option<NotErased>, Error> {
        let until = self.erased_until;
        let deleted = self.deletions.iter().filter(|deletion| deletion.revision <= until);
        let mut suspects: Vec<_> = deleted.map(|deletion| deletion.post).collect();
        suspects.sort_unstable();
        suspects.dedup();
        let mut found: Option<NotErased> = None;
        let mut suspects = &suspects[..];
        while let [first, ..] = suspects {
            let after = self.segments.partition_point(|(start, _)| start <= first);
            let end = self.segments.get(after).map_or(Revision::MAX, |&(start, _)| start);
            let number = self.segments[after - 1].1;
            let (here, later) = suspects.split_at(suspects.partition_point(|&post| post < end));
            suspects = later;
            // An erasure that was noted meanwhile has replaced the segment before.
            let segment = reader.segment(number, true)?;
            let Some(segment) = segment else {
                return Err(Error::Replaced { file: reader.folder.join(file_name(number)) });
            };
            for post in here.iter().filter(|post| segment.posts.binary_search(post).is_ok()) {
                found.get_or_insert(NotErased { posts: 0, first: *post }).posts += 1;
            }
        }
        Ok(found)
    }
}

/// Reads until two reads in a row find the same damage, or one none, at most [`READS_MAX`] times.
fn twice<T>(read: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
    let mut before = None;
    for _ in 1..READS_MAX {
        match read() {
            Err(error @ Error::Damaged { .. }) => {
                let now = Some(error.to_string());
                if before == now {
                    return Err(error);
                }
                before = now;
            }
            read => return read,
        }
    }
    read()
}

/// `None` if there is no such file.
fn unless_removed<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

fn failed(file: &Path, error: io::Error) -> Error {
    Error::Storage { file: file.to_owned(), source: error.into() }
}
