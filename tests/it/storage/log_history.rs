//! What was done to a log, and what each later opening must find of it: a prefix of the events with
//! all that were acknowledged, in whole batches, each post whole or erased. Never reads a file.

use std::collections::BTreeMap;

use whimbrel::model::{
    Chain, Change, Content, Event, LogId, PostId, PostRef, PostText, Revision, Timestamp, UserId,
};
use whimbrel::storage::{EraseOutcome, Erasure, Error, LocalLog, Log, LogEntry, LogOptions};

use super::fragile_folder::FragileFolder;

/// Small segments: a short log has many of them, and some batches are larger than one.
pub(super) const OPTIONS: LogOptions =
    LogOptions { disk_free_bytes_min: 0, segment_bytes_max: 8 << 10 };

/// Events of one batch. Most batches are small; the last size is beyond a whole segment.
const BATCH_EVENTS: [u64; 16] = [1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 7, 12, 50];

/// Every so many events one deletes a post; the others publish one.
pub(super) const DELETES_EVERY: u64 = 5;

/// The events of a log, and the posts whose erasure was begun.
#[derive(Clone, Debug)]
pub(super) struct History {
    id: LogId,
    /// Tells the events of this history from those that others have at the same revisions.
    seed: u64,
    events: Vec<Event>,
    /// The last revision of each batch, with the chain after it where that is known.
    batches: BTreeMap<u64, Option<Chain>>,
    /// The chain after other events.
    chains: BTreeMap<u64, Chain>,
    /// The erasure of posts up to here was begun.
    erasing_until: u64,
}

/// What was acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Acknowledged {
    pub(super) events: u64,
    pub(super) erased_until: u64,
}

impl Acknowledged {
    /// What `folder` has notes of, within its first `ops` operations.
    pub(super) fn by(folder: &FragileFolder, ops: usize) -> Self {
        Self { events: folder.acknowledged_by(ops), erased_until: folder.erased_by(ops) }
    }

    /// All that `log` shows: whoever read it relies on it.
    pub(super) fn all_of(log: &dyn Log) -> Self {
        Self { events: log.head().get(), erased_until: log.erased_until().get() }
    }

    /// Both.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            events: self.events.max(other.events),
            erased_until: self.erased_until.max(other.erased_until),
        }
    }

    /// Notes it in `folder`.
    pub(super) fn note(self, folder: &FragileFolder) {
        folder.acknowledged(self.events);
        folder.erased(self.erased_until);
    }
}

impl History {
    /// That of an empty log.
    pub(super) fn of_new(log: &dyn Log, seed: u64) -> Self {
        assert_eq!(log.head(), Revision::ZERO);
        let start = log.chain(Revision::ZERO).unwrap();
        Self {
            id: log.id(),
            seed,
            events: Vec::new(),
            batches: BTreeMap::from([(0, start)]),
            chains: BTreeMap::new(),
            erasing_until: 0,
        }
    }

    pub(super) fn id(&self) -> LogId {
        self.id
    }

    pub(super) fn len(&self) -> u64 {
        self.events.len() as u64
    }

    /// Makes the next batch.
    pub(super) fn next_batch(&mut self, events: u64) -> Vec<Event> {
        let after = self.len();
        let seed = self.seed;
        self.events.extend((after + 1..=after + events).map(|number| event(number, seed)));
        self.batches.insert(self.len(), None);
        self.events[after as usize..].to_vec()
    }

    /// Appends a batch. After a failure the history has it all the same, as the log may.
    pub(super) fn append(&mut self, log: &dyn Log, events: u64) -> Result<(), Error> {
        let after = self.len();
        let batch = self.next_batch(events);
        log.append(Revision::new(after), batch)?;
        // Reads of a log on a failing disk may fail.
        if let Ok(chain) = log.chain(Revision::new(self.len())) {
            self.batches.insert(self.len(), chain);
        }
        if let Ok(Some(chain)) = log.chain(Revision::new(after + events.div_ceil(2))) {
            self.chains.insert(after + events.div_ceil(2), chain);
        }
        Ok(())
    }

    /// Takes back the last batch, which was refused.
    pub(super) fn take_back(&mut self) {
        let (refused, _) = self.batches.pop_last().unwrap();
        assert_eq!(refused, self.len());
        let (&head, _) = self.batches.last_key_value().unwrap();
        self.events.truncate(head as usize);
    }

    /// Erases all deleted posts after `after` up to `until`.
    pub(super) fn erase(
        &mut self,
        log: &dyn Log,
        after: u64,
        until: u64,
    ) -> Result<EraseOutcome, Error> {
        self.may_erase(until);
        log.erase(&erasure(after, until), &|| true)
    }

    /// Notes that posts up to `until` may be erased.
    pub(super) fn may_erase(&mut self, until: u64) {
        self.erasing_until = self.erasing_until.max(until);
    }

    /// Checks that `log` has a prefix of these events with all that was acknowledged. Returns the
    /// history of what it has.
    pub(super) fn found(
        &self,
        log: &dyn Log,
        acknowledged: Acknowledged,
        random: &mut fastrand::Rng,
    ) -> Self {
        let head = self.check_head(log, acknowledged);
        let entries = log.read(Revision::ZERO, usize::MAX).unwrap();
        self.check_events(&entries, log.erased_until().get());
        assert_eq!(log.get(Revision::new(head + 1)).unwrap(), None);
        for _ in 0..2.min(head) {
            let number = random.u64(1..=head);
            let event = log.get(Revision::new(number)).unwrap();
            assert_eq!(event.as_ref(), Some(&entries[number as usize - 1].event));
        }
        self.check_chains(log, head, random);

        let mut batches: BTreeMap<_, _> =
            self.batches.range(..=head).map(|(last, chain)| (*last, *chain)).collect();
        batches.insert(head, log.chain(Revision::new(head)).unwrap());
        Self {
            id: self.id,
            seed: random.u64(..),
            events: self.events[..head as usize].to_vec(),
            batches,
            chains: self.chains.range(..=head).map(|(at, chain)| (*at, *chain)).collect(),
            erasing_until: self.erasing_until,
        }
    }

    fn check_head(&self, log: &dyn Log, acknowledged: Acknowledged) -> u64 {
        assert_eq!(log.id(), self.id);
        let (head, erased_until) = (log.head().get(), log.erased_until().get());
        assert!(
            head >= acknowledged.events,
            "{} events were acknowledged, {head} are there",
            acknowledged.events
        );
        assert!(self.batches.contains_key(&head), "a part of a batch is there: up to {head}");
        assert!(
            erased_until >= acknowledged.erased_until,
            "posts up to {} are erased, and the log says {erased_until}",
            acknowledged.erased_until
        );
        assert!(erased_until <= self.erasing_until);
        head
    }

    fn check_events(&self, entries: &[LogEntry], erased_until: u64) {
        for (number, (entry, made)) in (1..).zip(entries.iter().zip(&self.events)) {
            assert_eq!(entry.revision.get(), number);
            if entry.event == *made {
                let is_erased = is_deleted(number) && number <= erased_until;
                assert!(!is_erased, "post {number} is there, and should be erased");
            } else {
                assert_eq!(entry.event, made.clone().erased());
                assert!(is_deleted(number) && number <= self.erasing_until, "{number} is erased");
            }
        }
    }

    fn check_chains(&self, log: &dyn Log, head: u64, random: &mut fastrand::Rng) {
        let of_batches =
            self.batches.iter().filter_map(|(last, chain)| chain.map(|chain| (*last, chain)));
        let known: Vec<_> =
            of_batches.chain(self.chains.clone()).filter(|(at, _)| *at <= head).collect();
        let mut checked: Vec<_> = (0..2).map(|_| known[random.usize(..known.len())]).collect();
        checked.extend(known.iter().find(|(at, _)| *at == head));
        for (revision, chain) in checked {
            let found = log.chain(Revision::new(revision)).unwrap();
            assert_eq!(found, Some(chain), "the chain at {revision}");
        }
    }
}

/// Opens the log in `folder`.
pub(super) fn open(folder: &FragileFolder) -> LocalLog {
    try_open(folder).unwrap()
}

/// Opens the log in `folder`, which may fail.
pub(super) fn try_open(folder: &FragileFolder) -> Result<LocalLog, Error> {
    LocalLog::with_folder(folder.clone(), OPTIONS)
}

/// A size of the next batch.
pub(super) fn batch_events(random: &mut fastrand::Rng) -> u64 {
    BATCH_EVENTS[random.usize(..BATCH_EVENTS.len())]
}

/// The erasure of all posts that are deleted, after `after` up to `until`. Some of the revisions
/// published no post.
pub(super) fn erasure(after: u64, until: u64) -> Erasure {
    let posts = (after + 1..=until).filter(|number| !number.is_multiple_of(2));
    Erasure { posts: posts.map(Revision::new).collect(), until: Revision::new(until) }
}

/// Whether an erasure erases the event at `number`: a post.
pub(super) fn is_deleted(number: u64) -> bool {
    !number.is_multiple_of(2) && !number.is_multiple_of(DELETES_EVERY)
}

/// The start of the text of a post, which is in no other.
pub(super) fn text_of(number: u64) -> String {
    format!("post-{number}:")
}

/// Posts and deletions of all lengths, from some bytes to several KiB.
pub(super) fn event(number: u64, seed: u64) -> Event {
    let author = |number| UserId::parse(&format!("user{}", number % 8)).unwrap();
    let change = if number.is_multiple_of(DELETES_EVERY) {
        let (id, author) = (PostId::from_revision(Revision::new(number - 2)), author(number - 2));
        let post = PostRef { id, author };
        Change::Delete { post, reply_to: None, quote: None, notified: Vec::new() }
    } else {
        // One grapheme of this family has 25 bytes.
        let graphemes = if number.is_multiple_of(48) { 110 } else { (number * 37 + seed % 8) % 9 };
        let text = format!("{} {}", text_of(number), "👩‍👩‍👧‍👦".repeat(graphemes as usize));
        let content = Content::from_text(PostText::parse(&text).unwrap());
        Change::Publish { author: author(number), content, request_id: None }
    };
    Event::new(Timestamp::from_nanos(number.wrapping_add(seed)), change)
}
