//! Opening the segments of a log: what is there is verified, and an end that was never acknowledged
//! is cut off. Each step can be interrupted and repeated. Never cuts off what was acknowledged.

use std::io;
use std::sync::Arc;

use super::epochs;
use super::flushing::Flushing;
use super::folder::{Folder, StorageFile};
use super::format::{
    EPOCH_BYTES, FOOT_BYTES, Foot, HEAD_BYTES, HeadContent, SegmentHead, decode_epochs,
};
use super::preparer::{LogOptions, PreparedSegment};
use super::scan::{self, NotScanned, Scan, SegmentEnd};
use super::segment::{ActiveTables, Segment, SegmentFiles, file_name};
use super::window::Window;
use crate::formats::{OtherFormat, SEGMENT};
use crate::model::{Chain, EpochStart, LogId, Revision};
use crate::storage::error::Error;
use crate::storage::log::record::chain_start;
use crate::storage::redb_file::random;

/// The suffix of a file that is not complete.
pub(super) const UNFINISHED: &str = ".new";
/// The number of the first segment.
pub(super) const FIRST_NUMBER: u64 = 1;
/// The greatest number of a segment: far more than any log has, and far from the end of the numbers
/// that a name has room for. A later segment has a greater one than any file that is there.
pub(super) const NUMBER_MAX: u64 = 1 << 50;

/// An opened log.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) id: LogId,
    /// All segments with frames, in order; also the first, or the newest, without one.
    pub(super) segments: Vec<Arc<Segment>>,
    /// The length of the last of `segments`, if it is still written to. All others without a foot
    /// are to be sealed.
    pub(super) active_bytes: Option<u64>,
    /// Files without an event, which are to be removed once the log is known to lack nothing.
    pub(super) unwritten: Vec<u64>,
    pub(super) prepared: Option<PreparedSegment>,
    pub(super) next_number: u64,
    pub(super) chain: Chain,
    pub(super) erased_until: Revision,
    pub(super) epochs: Vec<EpochStart>,
    pub(super) newest_frame: Option<NewestFrame>,
}

/// The last frame of the segment that was written to, and the head of the segment if it is the first.
///
/// It may be in the memory of the system only: a process that was killed did not flush it, or its flush
/// failed. Then a later flush does nothing either, unless the frame is written again. All frames before
/// it are durable.
#[derive(Debug)]
pub(super) struct NewestFrame {
    number: u64,
    file: Arc<dyn StorageFile>,
    offset: u64,
    bytes: Vec<u8>,
    /// The last event; `None` if it has none.
    last: Option<Revision>,
}

/// A segment on the disk. Its file is not kept open: a log may have more segments than a process may
/// have open files.
pub(super) struct Found {
    number: u64,
    bytes: u64,
    head: HeadContent,
}

/// What is known of the end of a log before it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogEnd {
    /// Up to here the checkpoint says that all is durable; the caller compares the chain there, if that is not zero.
    pub(super) durable_until: Revision,
    pub(super) flushing: Flushing,
}

/// The end of what was read so far.
#[derive(Debug)]
pub(super) struct End {
    pub(super) id: LogId,
    pub(super) last: Revision,
    pub(super) chain: Chain,
}

/// Opens the log in the folder, whose segments [`list_readable`] found; creates it if it has none.
pub(super) fn recover(
    files: &SegmentFiles,
    mut found: Vec<Found>,
    id: LogId,
    options: LogOptions,
    end: LogEnd,
) -> Result<Recovered, Error> {
    remove_unfinished(files)?;
    let first = found.first().map(|first| first.number);
    let next_number = found.last().map_or(1, |last| last.number + 1);
    let (unwritten, prepared) = take_unwritten(files, &mut found)?;
    if found.is_empty() {
        if let Some(number) = first {
            // The first segment got its name only once it had a head.
            let what = "it is no segment of a log, or its head is damaged";
            return Err(files.damaged(number, what));
        }
        found.push(create_first(files, id, options)?);
    }
    let mut recovered = Recovered {
        id: valid_head(files, &found[0])?.log,
        segments: Vec::new(),
        active_bytes: None,
        unwritten,
        prepared,
        next_number: next_number.max(2),
        chain: chain_start(LogId::new(0)),
        erased_until: Revision::ZERO,
        epochs: Vec::new(),
        newest_frame: None,
    };
    recovered.chain = chain_start(recovered.id);
    let newest = found.len() - 1;
    for (index, segment) in found.iter().enumerate() {
        let newest_end = (index == newest).then_some(end.flushing);
        open_segment(files, segment, newest_end, end.durable_until, &mut recovered)?;
    }
    Ok(recovered)
}

/// Whether the folder has a segment.
pub(super) fn has_segments(folder: &dyn Folder) -> io::Result<bool> {
    Ok(folder.list()?.iter().any(|name| number_of(name).is_some()))
}

/// Makes durable what is shown from now on, whichever process wrote it: all names, and this frame,
/// unless all up to `durable_until` is durable and the frame is a part of that.
pub(super) fn make_durable(
    files: &SegmentFiles,
    newest: Option<NewestFrame>,
    durable_until: Revision,
) -> Result<(), Error> {
    let newest = newest.filter(|frame| frame.last.is_none_or(|last| last > durable_until));
    if let Some(NewestFrame { number, file, offset, bytes, .. }) = newest {
        let written = file.write_at(&bytes, offset).and_then(|()| file.sync());
        written.map_err(|error| files.failed(number, error))?;
    }
    let folder = &files.folder;
    folder.sync().map_err(|error| files.folder_failed(error))
}

/// Removes what a rewrite or a creation left unfinished.
fn remove_unfinished(files: &SegmentFiles) -> Result<(), Error> {
    let folder = &files.folder;
    let failed = |error| files.folder_failed(error);
    for name in folder.list().map_err(failed)? {
        if name.strip_suffix(UNFINISHED).is_some_and(|name| number_of(name).is_some()) {
            folder.remove(&name).map_err(failed)?;
        }
    }
    Ok(())
}

/// The number in the name of a segment's file.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".seg")?.parse().ok()?;
    (file_name(number) == name).then_some(number)
}

/// All segments by their numbers, unless one is of a version that this program does not read. `writer` is
/// what wrote the log, for that error. Nothing was changed yet.
pub(super) fn list_readable(
    files: &SegmentFiles,
    writer: Option<String>,
) -> Result<Vec<Found>, Error> {
    let found = list(files)?;
    let other = found.iter().find_map(|segment| match segment.head {
        HeadContent::OtherFormat(version) => Some((segment.number, version)),
        HeadContent::Valid(_) | HeadContent::Zeros | HeadContent::Damaged => None,
    });
    match other {
        Some((number, version)) => {
            let other = OtherFormat::new(&SEGMENT, version.into()).written_by(writer);
            Err(Error::OtherFormat { file: files.path(number), other })
        }
        None => Ok(found),
    }
}

/// All segments by their numbers.
fn list(files: &SegmentFiles) -> Result<Vec<Found>, Error> {
    let folder = &files.folder;
    let names = folder.list().map_err(|error| files.folder_failed(error))?;
    let mut numbers: Vec<_> = names.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    let open = |number| {
        if number > NUMBER_MAX {
            return Err(files.damaged(number, "no segment of a log has so great a number"));
        }
        let read = || -> io::Result<Found> {
            let file = folder.open(&file_name(number))?;
            let bytes = file.bytes()?;
            let mut head = [0; HEAD_BYTES];
            let there = head.len().min(bytes as usize);
            file.read_at(&mut head[..there], 0)?;
            Ok(Found { number, bytes, head: SegmentHead::decode(&head) })
        };
        read().map_err(|error| files.failed(number, error))
    };
    numbers.into_iter().map(open).collect()
}

/// Takes the files off `found` that have no event: nothing was written to them, or only a part of
/// a first batch. Returns the newest if it can be written to.
fn take_unwritten(
    files: &SegmentFiles,
    found: &mut Vec<Found>,
) -> Result<(Vec<u64>, Option<PreparedSegment>), Error> {
    let mut prepared = None;
    let mut unwritten = Vec::new();
    let all = std::mem::take(found);
    for segment in all.into_iter().rev() {
        if !matches!(segment.head, HeadContent::Zeros | HeadContent::Damaged) {
            found.push(segment);
            continue;
        }
        let Found { number, bytes, .. } = segment;
        let failed = |error| files.failed(number, error);
        let file = open(files, number)?;
        let mut content = Window::new(&*file).map_err(failed)?;
        let is_zeros = scan::is_zeros(&mut content, 0).map_err(failed)?;
        if !is_zeros && let Some(what) = scan::damage_of_head(&mut content).map_err(failed)? {
            return Err(files.damaged(number, what));
        }
        let is_newest = prepared.is_none() && found.is_empty();
        if is_newest && bytes > 0 && is_zeros {
            prepared = Some(PreparedSegment { number, bytes, file });
        } else {
            unwritten.push(number);
        }
    }
    found.reverse();
    Ok((unwritten, prepared))
}

/// Creates the first segment of a log, with its head: it keeps the log's id.
pub(super) fn create_first(
    files: &SegmentFiles,
    id: LogId,
    options: LogOptions,
) -> Result<Found, Error> {
    let number = FIRST_NUMBER;
    let bytes = options.segment_bytes_first();
    let head = SegmentHead {
        log: id,
        number,
        first: Revision::new(1),
        salt: random(),
        erased_until: Revision::ZERO,
        chain: chain_start(id),
    };
    let (name, folder) = (file_name(number), &files.folder);
    let create = || -> io::Result<()> {
        let unfinished = format!("{name}{UNFINISHED}");
        let file = folder.create(&unfinished)?;
        let mut content = vec![0; bytes as usize];
        content[..HEAD_BYTES].copy_from_slice(&head.encode());
        file.write_at(&content, 0)?;
        file.sync()?;
        folder.rename(&unfinished, &name)?;
        folder.sync()
    };
    create().map_err(|error| files.failed(number, error))?;
    Ok(Found { number, bytes, head: HeadContent::Valid(head) })
}

fn valid_head(files: &SegmentFiles, found: &Found) -> Result<SegmentHead, Error> {
    match found.head {
        HeadContent::Valid(head) if head.number == found.number => Ok(head),
        HeadContent::Valid(head) => {
            let what = format!("it is segment {} under another name", head.number);
            Err(files.damaged(found.number, what))
        }
        HeadContent::OtherFormat(_) => unreachable!("a log with such a segment is refused before"),
        HeadContent::Zeros | HeadContent::Damaged => {
            Err(files.damaged(found.number, "its head is damaged"))
        }
    }
}

/// Opens the next segment, and adds it to `log`. The newest is flushed as `newest` says.
fn open_segment(
    files: &SegmentFiles,
    found: &Found,
    newest: Option<Flushing>,
    durable_until: Revision,
    log: &mut Recovered,
) -> Result<(), Error> {
    let head = valid_head(files, found)?;
    let last = log.segments.last().map_or(Revision::ZERO, |last| last.last());
    check_head(&head, &End { id: log.id, last, chain: log.chain })
        .map_err(|what| files.damaged(head.number, what))?;
    let file = open(files, found.number)?;
    if let Some(foot) = read_foot(files, found, &*file, &head)? {
        return add_sealed(files, found, &*file, &head, foot, log);
    }
    let failed = |error| files.failed(found.number, error);
    let mut content = Window::new(&*file).map_err(failed)?;
    let is_newest = newest.is_some();
    let flushing = newest.unwrap_or(Flushing::EachFrame);
    let Scan { tables, tail } =
        scan::scan(&head, &mut content, durable_until, flushing).map_err(|error| match error {
            NotScanned::Damaged(what) => files.damaged(found.number, what),
            NotScanned::Read(error) => failed(error),
        })?;
    let is_active = is_newest && tail == SegmentEnd::Zeros;
    if tail == SegmentEnd::Torn && is_newest {
        let next = head.first.get() + tables.records.len() as u64;
        tracing::warn!(
            file = %files.path(found.number).display(),
            revision = next,
            byte = tables.frames_end,
            "the end of the log is torn, as by a power cut: what was not flushed is cut off"
        );
    }
    // A frame without an event may note an erasure. The first segment keeps the log's id, so it
    // stays even without a frame.
    if tables.frames.is_empty() && (!is_newest || !log.segments.is_empty()) && !is_active {
        log.unwritten.push(found.number);
        return Ok(());
    }
    log.active_bytes = is_active.then_some(found.bytes);
    if is_newest {
        log.newest_frame = Some(newest_frame(&file, &head, &tables).map_err(failed)?);
    }
    add_epochs(log, &tables.epochs);
    log.chain = tables.chain;
    log.erased_until = log.erased_until.max(tables.erased_until);
    let place = (head.number, head.first, head.salt);
    log.segments.push(Arc::new(Segment::active(place, file, tables)));
    Ok(())
}

/// The file of a segment that [`list`] found.
fn open(files: &SegmentFiles, number: u64) -> Result<Arc<dyn StorageFile>, Error> {
    let opened = files.folder.open(&file_name(number));
    opened.map_err(|error| files.failed(number, error))
}

fn newest_frame(
    file: &Arc<dyn StorageFile>,
    head: &SegmentHead,
    tables: &ActiveTables,
) -> io::Result<NewestFrame> {
    let start = match tables.frames[..] {
        [] | [_] => 0,
        [.., last] => u64::from(last),
    };
    let end = file.bytes()?.min(tables.frames_end);
    let mut bytes = vec![0; (end - start) as usize];
    file.read_at(&mut bytes, start)?;
    let last = Revision::new(head.first.get() - 1 + tables.records.len() as u64);
    Ok(NewestFrame {
        number: head.number,
        file: Arc::clone(file),
        offset: start,
        bytes,
        last: (tables.records.last() > tables.frames.last()).then_some(last),
    })
}

/// The segment continues the one before it.
///
/// # Errors
/// A description of the damage.
pub(super) fn check_head(head: &SegmentHead, end: &End) -> Result<(), String> {
    if head.log != end.id {
        return Err(format!("it belongs to another log ({}, this is {})", head.log, end.id));
    }
    let next = end.last.next();
    if head.first > next {
        return Err(format!(
            "it begins with revision {}, and revision {next} is missing",
            head.first
        ));
    }
    if head.first < next {
        return Err(format!("it begins with revision {}, which is there already", head.first));
    }
    if head.chain != end.chain {
        return Err(format!("it does not continue the events up to revision {}", end.last));
    }
    Ok(())
}

/// The foot of a sealed segment; `None` if it has none.
fn read_foot(
    files: &SegmentFiles,
    found: &Found,
    file: &dyn StorageFile,
    head: &SegmentHead,
) -> Result<Option<Foot>, Error> {
    let Some(at) = found.bytes.checked_sub(FOOT_BYTES as u64) else { return Ok(None) };
    let mut bytes = [0; FOOT_BYTES];
    let read = file.read_at(&mut bytes, at);
    read.map_err(|error| files.failed(found.number, error))?;
    let is_whole = |foot: &Foot| foot.salt == head.salt && foot.file_bytes() == found.bytes;
    Ok(Foot::decode(&bytes).filter(is_whole))
}

fn add_sealed(
    files: &SegmentFiles,
    found: &Found,
    file: &dyn StorageFile,
    head: &SegmentHead,
    foot: Foot,
    log: &mut Recovered,
) -> Result<(), Error> {
    let mut bytes = vec![0; foot.epochs as usize * EPOCH_BYTES];
    let read = file.read_at(&mut bytes, foot.epochs_at());
    read.map_err(|error| files.failed(found.number, error))?;
    if crc32fast::hash(&bytes) != foot.epochs_check {
        return Err(files.damaged(found.number, "its table of epochs fails its check"));
    }
    add_epochs(log, &decode_epochs(&bytes));
    log.chain = foot.chain;
    log.erased_until = log.erased_until.max(foot.erased_until);
    log.segments.push(Arc::new(Segment::with_foot((head.number, head.first), foot)));
    Ok(())
}

fn add_epochs(log: &mut Recovered, added: &[EpochStart]) {
    added.iter().for_each(|start| epochs::extend(&mut log.epochs, start.first, start.epoch));
}
