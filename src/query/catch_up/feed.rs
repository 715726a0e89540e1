//! The events that a stream of a home feed missed, or the entries of a snapshot; and whether
//! delivered events belong to the feed.
//!
//! All follow the same [rules](crate::query::feed::rules) as pages, and never other ones.

use crate::model::{Mark, MarkKind, Revision, UserId};
use crate::query::feed::merge;
use crate::query::feed::rules::{FeedRules, Moment};
use crate::query::feed::walk::{LoadedMark, MarkLoader, Marks};
use crate::query::{Query, Source, Unanswered};
use crate::state::caches::facts::PostFacts;
use crate::state::users::UserIx;
use crate::storage::TimelineKind;

/// The maximum number of marks that one query scans: other queries wait for their turn meanwhile.
const MARKS_MAX: usize = 10_000;
/// The cost of a search for near reposts, in skipped marks.
const NEAR_COST: usize = 16;

/// The events of a feed in a range of revisions, oldest first.
#[derive(Clone, Debug)]
pub struct FeedBacklog {
    /// The feed's user.
    pub user: UserId,
    /// As in [`HomeFeed`](crate::query::HomeFeed).
    pub all_replies: bool,
    /// The range starts after this revision.
    pub after: Revision,
    /// The range ends with this revision, which must be applied.
    pub until: Revision,
    /// The content of the backlog.
    pub kind: BacklogKind,
    /// The maximum number of events.
    pub events_max: usize,
}

/// The content of a backlog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BacklogKind {
    /// All events that an uninterrupted stream would have delivered.
    Events,
    /// The entries that a page has now, also those from before their authors were followed.
    Items,
}

/// The result of a backlog query.
#[derive(Debug)]
pub struct Backlog<T> {
    /// The events, oldest first.
    pub events: Vec<T>,
    /// `events` has all events up to here. Before the end of the range if it may have more.
    pub reached: Revision,
}

/// An event of a feed's backlog.
#[derive(Clone, Copy, Debug)]
pub struct BacklogEntry {
    /// The position in the log.
    pub revision: Revision,
    /// Whether the event is in the timeline of an author of the feed; otherwise it is a change of
    /// the feed's user, or one between them and another user.
    pub is_from_author: bool,
}

/// A post or repost for which other follows, blocks and mutes of the feed's user decide whether it
/// belongs to the feed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConditionalEvent {
    /// Its mark: a conditional post or a repost.
    pub mark: Mark,
    /// The user who posted or reposted.
    pub by: UserIx,
    /// Its facts.
    pub facts: PostFacts,
}

impl Query for FeedBacklog {
    type Answer = Backlog<BacklogEntry>;

    fn answer(&self, source: &Source<'_>) -> Result<Backlog<BacklogEntry>, Unanswered> {
        let Self { after, until, kind, .. } = *self;
        let rules = FeedRules::new(source.state, &self.user, true, self.all_replies);
        let Some(rules) = rules else {
            return Ok(Backlog { events: Vec::new(), reached: until });
        };
        let posts = rules.authors(until.next()).map(|(author, since)| match kind {
            BacklogKind::Events => ((TimelineKind::Posts, author), after.max(since)),
            BacklogKind::Items => ((TimelineKind::Posts, author), after),
        });
        let has_changes = kind == BacklogKind::Events
            && source.state.change_timelines.may_have(rules.viewer, after);
        let changes = has_changes.then_some(((TimelineKind::Changes, rules.viewer), after));

        let newer = |(kind, user), after| {
            let found = source.oldest_after(kind, user, after)?;
            Ok(found.filter(|mark| mark.revision() <= until))
        };
        let oldest = posts.chain(changes).filter_map(|(timeline, after)| {
            let oldest = newer(timeline, Mark::before(after.next()).previous()).transpose()?;
            Some(oldest.map(|mark| (mark, timeline)))
        });
        let marks = MarkLoader::new(merge::oldest_first(oldest, newer)?, source);
        self.collect(source, &rules, marks)
    }
}

impl FeedBacklog {
    /// The events of `marks`, which are oldest first.
    fn collect<M: Marks<(TimelineKind, UserIx)>>(
        &self,
        source: &Source<'_>,
        rules: &FeedRules<'_>,
        mut marks: MarkLoader<'_, M, (TimelineKind, UserIx)>,
    ) -> Result<Backlog<BacklogEntry>, Unanswered> {
        let moment = |mark: Mark| match self.kind {
            BacklogKind::Events => Moment::at(mark.revision()),
            BacklogKind::Items => Moment::NOW,
        };
        let needs_facts =
            |mark, (kind, user)| kind == TimelineKind::Posts && rules.needs_facts(mark, user);
        let mut events: Vec<BacklogEntry> = Vec::new();
        let (mut scanned, mut reached) = (0, self.after);
        while let Some(LoadedMark { mark, list: (kind, user), facts }) = marks.next(needs_facts)? {
            let revision = mark.revision();
            let is_full = events.len() == self.events_max || scanned == MARKS_MAX;
            if is_full && revision > reached {
                return Ok(Backlog { events, reached });
            }
            (reached, scanned) = (revision, scanned + 1);
            let is_from_author = kind == TimelineKind::Posts;
            let is_delivered = match kind {
                TimelineKind::Changes => true,
                TimelineKind::Posts if mark.kind() == MarkKind::Change => {
                    self.kind == BacklogKind::Events
                }
                TimelineKind::Posts => {
                    delivers(source, rules, (mark, user), facts.as_ref(), moment(mark))?
                }
            };
            match events.last_mut() {
                _ if !is_delivered => source.skip(1)?,
                // A deletion is in the timelines of the author and of all reposters.
                Some(last) if last.revision == revision => last.is_from_author |= is_from_author,
                _ => events.push(BacklogEntry { revision, is_from_author }),
            }
        }
        Ok(Backlog { events, reached: self.until })
    }
}

/// For each of `events`, which are delivered to the followers of their authors, whether it belongs
/// to the feed of `user`.
///
/// # Errors
/// A mark or an event is not in memory; or the index or the log cannot be read.
pub(crate) fn belong_to_feed(
    source: &Source<'_>,
    user: &UserId,
    all_replies: bool,
    events: &[ConditionalEvent],
) -> Result<Vec<bool>, Unanswered> {
    let Some(rules) = FeedRules::new(source.state, user, true, all_replies) else {
        return Ok(vec![false; events.len()]);
    };
    let belongs = |&ConditionalEvent { mark, by, facts }: &ConditionalEvent| {
        let revision = mark.revision();
        // After an unfollow, earlier events of that author are not delivered either.
        Ok(rules.has(by, revision)
            && delivers(source, &rules, (mark, by), Some(&facts), Moment::at(revision))?)
    };
    events.iter().map(belongs).collect()
}

/// Whether the event of a mark of `author` is sent to a stream of the feed: it is shown, is not
/// retracted until now, and is not suppressed by older entries as the feed was at `moment`.
fn delivers(
    source: &Source<'_>,
    rules: &FeedRules<'_>,
    (mark, author): (Mark, UserIx),
    facts: Option<&PostFacts>,
    moment: Moment,
) -> Result<bool, Unanswered> {
    let until_now = Moment { retracted_before: Revision::MAX, ..moment };
    match rules.entry(mark, author, facts, until_now).filter(|entry| !entry.is_retracted) {
        None => Ok(false),
        Some(entry) if entry.reposted_by.is_none() => Ok(true),
        Some(entry) => {
            source.skip(NEAR_COST)?;
            let mut older = rules.walk(Mark::before(mark.revision()), moment, source)?;
            Ok(!older.is_near(entry.post, 0)?)
        }
    }
}
