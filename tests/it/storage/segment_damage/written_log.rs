//! Logs of several segments, with all that they return: closed cleanly, or copied while they were
//! open. Never damages one.

use std::collections::BTreeMap;
use std::time::Duration;

use whimbrel::model::{
    Chain, Change, Content, Epoch, Event, LogId, PostText, Revision, Timestamp, UserId,
};
use whimbrel::storage::{EraseOutcome, Erasure, Index, LocalLog, Log, LogOptions};

use crate::harness::{Disk, INDEX_OPTIONS, MemoryFolder, load_index};
use crate::storage::segment_layout::{events, is_sealed};

/// The content of each file.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

pub(super) const CHECKPOINT: &str = "checkpoint";
/// Segments with events.
const SEGMENTS: usize = 4;
/// Batches after the erasure.
const LAST_BATCHES: usize = 1;

/// How the log ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It was closed.
    Closed,
    /// It was copied while it was open, after a check, which wrote the checkpoint. A full segment is
    /// not sealed yet, and half of a batch is written.
    Unclean,
    /// It was copied while it was open. The checkpoint does not know the last batch.
    BeforeCheckpoint,
    /// The same, and the checkpoint is gone.
    WithoutCheckpoint,
}

/// How large the segments and the batches are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) segment_bytes: u64,
    pub(super) batch_events_max: u64,
}

/// So small that every byte can be damaged.
pub(super) const SMALL: Size = Size { segment_bytes: 1280, batch_events_max: 2 };
/// Several sectors of a disk in each segment.
pub(super) const MEDIUM: Size = Size { segment_bytes: 4096, batch_events_max: 6 };
/// Several pages of a disk in most segments.
pub(super) const LARGE: Size = Size { segment_bytes: 16_384, batch_events_max: 20 };

/// The files of a log, and all that it returns.
pub(super) struct WrittenLog {
    pub(super) files: Files,
    /// The files after each earlier batch.
    pub(super) earlier: Vec<Files>,
    pub(super) id: LogId,
    /// The events from revision 1 on.
    pub(super) events: Vec<Event>,
    /// The same with the contents that are erased.
    pub(super) originals: Vec<Event>,
    /// The chains from revision 0 on.
    pub(super) chains: Vec<Chain>,
    /// The epochs from revision 1 on.
    pub(super) epochs: Vec<Epoch>,
    pub(super) erased_until: Revision,
    /// The revision before the last batch.
    pub(super) before_last_batch: u64,
    /// A complete index of the log.
    pub(super) index: Vec<u8>,
    pub(super) options: LogOptions,
}

impl WrittenLog {
    pub(super) fn new(stop: Stop, size: Size, seed: u64) -> Self {
        let mut writer = LogWriter::new(size, seed);
        writer.append_until(2);
        // From here on the events have another epoch.
        writer.reopen();
        writer.append_until(SEGMENTS);
        writer.erase();
        (0..LAST_BATCHES).for_each(|_| writer.append());
        assert_eq!(segment_names(&writer.folder.files()).len(), SEGMENTS, "the last one has room");
        writer.end(stop)
    }

    pub(super) fn head(&self) -> u64 {
        self.events.len() as u64
    }

    /// The names of the segments that have events, in order.
    pub(super) fn segments(&self) -> Vec<String> {
        let mut names = segment_names(&self.files);
        names.truncate(SEGMENTS);
        names
    }

    /// The name of the segment that is written to.
    pub(super) fn active(&self) -> String {
        self.segments().pop().unwrap()
    }

    /// The name of the segment of zeros.
    pub(super) fn prepared(&self) -> String {
        segment_names(&self.files).pop().unwrap()
    }
}

/// Writes a log, and keeps what it writes.
struct LogWriter {
    folder: MemoryFolder,
    options: LogOptions,
    /// `None` only while it is opened again.
    log: Option<LocalLog>,
    size: Size,
    random: fastrand::Rng,
    originals: Vec<Event>,
    earlier: Vec<Files>,
}

impl LogWriter {
    fn new(size: Size, seed: u64) -> Self {
        let folder = MemoryFolder::default();
        let options = LogOptions { disk_free_bytes_min: 0, segment_bytes_max: size.segment_bytes };
        let log = Some(LocalLog::with_folder(folder.clone(), options).unwrap());
        let random = fastrand::Rng::with_seed(seed);
        Self { folder, options, log, size, random, originals: Vec::new(), earlier: Vec::new() }
    }

    fn log(&self) -> &LocalLog {
        self.log.as_ref().unwrap()
    }

    fn reopen(&mut self) {
        self.log = None;
        self.log = Some(LocalLog::with_folder(self.folder.clone(), self.options).unwrap());
    }

    /// Appends batches until there are `segments`.
    fn append_until(&mut self, segments: usize) {
        while segment_names(&self.folder.files()).len() < segments {
            self.append();
        }
    }

    fn append(&mut self) {
        self.earlier.push(self.folder.files());
        let count = self.random.u64(1..=self.size.batch_events_max);
        let head = self.log().head();
        let numbers = head.get() + 1..=head.get() + count;
        let batch: Vec<_> = numbers.map(|number| event(number, &mut self.random)).collect();
        self.log().append(head, batch.clone()).unwrap();
        self.originals.extend(batch);
    }

    /// Erases some posts of the first two segments.
    fn erase(&mut self) {
        self.earlier.push(self.folder.files());
        let files = self.folder.files();
        let segments = segment_names(&files);
        let erased = segments[..2].iter().map(|name| events(&files[name]) as u64).sum();
        let posts = (1..=erased).filter(|number| number % 3 != 0).map(Revision::new).collect();
        let erasure = Erasure { posts, until: self.log().head() };
        let outcome = self.log().erase(&erasure, &|| true).unwrap();
        assert!(matches!(outcome, EraseOutcome::Done), "{outcome:?}");
    }

    fn end(mut self, stop: Stop) -> WrittenLog {
        self.log().check().unwrap();
        let before_last_batch = self.log().head().get();
        let checked = self.folder.files();
        self.append();
        let appended = self.folder.files();
        assert_eq!(segment_names(&appended), segment_names(&checked), "it is in the same segment");
        let head = if stop == Stop::Unclean { before_last_batch } else { self.log().head().get() };
        let index = self.index(head);
        let entries = self.log().read(Revision::ZERO, head as usize).unwrap();
        let events: Vec<_> = entries.into_iter().map(|entry| entry.event).collect();
        self.originals.truncate(events.len());
        assert_ne!(events, self.originals, "some posts are erased");
        let chain = |revision| self.log().chain(Revision::new(revision)).unwrap().unwrap();
        let (id, chains) = (self.log().id(), (0..=head).map(chain).collect());
        let epoch = |revision| self.log().epochs().at(Revision::new(revision));
        let (epochs, erased_until) = ((1..=head).map(epoch).collect(), self.log().erased_until());
        self.log = None;
        let mut files = match stop {
            Stop::Closed => self.folder.files(),
            Stop::Unclean => unclean(&checked, &appended, &self.earlier),
            Stop::BeforeCheckpoint | Stop::WithoutCheckpoint => appended,
        };
        if stop == Stop::WithoutCheckpoint {
            files.remove(CHECKPOINT);
        }
        let prepared = format!("{:016}.seg", SEGMENTS + 1);
        files.insert(prepared, vec![0; self.size.segment_bytes as usize]);
        let Self { originals, earlier, options, .. } = self;
        WrittenLog {
            files,
            earlier,
            id,
            events,
            originals,
            chains,
            epochs,
            erased_until,
            before_last_batch,
            index,
            options,
        }
    }

    /// The file of an index that has the events up to `head`.
    fn index(&self, head: u64) -> Vec<u8> {
        let disk = Disk::default();
        let index = open_index(&disk, self.log()).unwrap();
        let head = Revision::new(head);
        let chain = self.log().chain(head).unwrap().unwrap();
        index.write(&index.new_rows(), head, chain).unwrap();
        drop(index);
        disk.bytes()
    }
}

/// Opens the index of `log`.
pub(super) fn open_index(disk: &Disk, log: &LocalLog) -> Result<Index, whimbrel::storage::Error> {
    let opened =
        Index::with_files(disk, "index", log, INDEX_OPTIONS, Duration::from_secs(60 * 60))?;
    Ok(load_index(opened, log).0)
}

/// The files of a log that stopped within the append after `checked`.
fn unclean(checked: &Files, appended: &Files, earlier: &[Files]) -> Files {
    let mut files = checked.clone();
    let names = segment_names(checked);
    let [.., full, active] = &names[..] else { unreachable!("it has several segments") };
    // As it was before it was sealed, with all its events.
    let is_full = |file: &&Vec<u8>| events(file) == events(&checked[full]) && !is_sealed(file);
    let unsealed = earlier.iter().rev().filter_map(|files| files.get(full)).find(is_full);
    files.insert(full.clone(), unsealed.unwrap().clone());
    // Half of the batch.
    let (old, new) = (&checked[active], &appended[active]);
    let changed: Vec<_> = (0..old.len()).filter(|&at| old[at] != new[at]).collect();
    let active = files.get_mut(active).unwrap();
    changed[..changed.len() / 2].iter().for_each(|&at| active[at] = new[at]);
    files
}

/// The names of all segments, in order.
pub(super) fn segment_names(files: &Files) -> Vec<String> {
    files.keys().filter(|name| name.ends_with(".seg")).cloned().collect()
}

/// Event `number`: a post, or a follow.
pub(super) fn event(number: u64, random: &mut fastrand::Rng) -> Event {
    let user = |name: &str| UserId::parse(name).unwrap();
    let change = if number.is_multiple_of(5) {
        Change::Follow { follower: user("alice"), followee: user(&format!("user{number}")) }
    } else {
        let text = format!("post {number} {}", "x".repeat(random.usize(..20)));
        let content = Content::from_text(PostText::parse(&text).unwrap());
        Change::Publish { author: user("bob"), content, request_id: None }
    };
    Event::new(Timestamp::from_nanos(number), change)
}
