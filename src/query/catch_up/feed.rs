//! The events that a stream of a home feed missed, or the entries that it begins with; and which of
//! the events that are delivered to it concern its feed.
//!
//! All go by the same [rules](crate::query::feed::rules) as pages.

use crate::model::{Mark, MarkKind, Revision, UserId};
use crate::query::feed::merge;
use crate::query::feed::rules::{FeedRules, Moment};
use crate::query::feed::walk::{LoadedMark, MarkLoader, Marks};
use crate::query::{Query, Source, Unanswered};
use crate::state::TimelineEvent;
use crate::state::users::UserIx;
use crate::storage::TimelineKind;

/// Marks gone through by one query: others wait for their turn to read as long as it takes.
const MARKS_MAX: usize = 10_000;
/// The cost of looking for reposts near one, in marks gone through in vain.
const NEAR_COST: usize = 16;

/// A part of what happened to a feed, oldest first.
#[derive(Clone, Debug)]
pub struct FeedBacklog {
    /// Whose feed.
    pub user: UserId,
    /// As in [`HomeFeed`](crate::query::HomeFeed).
    pub all_replies: bool,
    /// It begins after this.
    pub after: Revision,
    /// It ends with this, which must be applied.
    pub until: Revision,
    /// What is in it.
    pub kind: BacklogKind,
    /// How many entries at most.
    pub events_max: usize,
}

/// What can be in a backlog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BacklogKind {
    /// What happened, as a stream without a break would have delivered it.
    Events,
    /// The entries that a page has, whenever their authors were followed.
    Items,
}

/// A part of a backlog.
#[derive(Debug)]
pub struct Backlog<T> {
    /// Its events, oldest first.
    pub events: Vec<T>,
    /// Up to here there is nothing else. Before the end of the query if there may be more.
    pub reached: Revision,
}

/// An event of a feed's backlog.
#[derive(Clone, Debug)]
pub struct BacklogEntry {
    /// Where it is in the log.
    pub revision: Revision,
    /// Whether it comes from somebody whose posts are in the feed; else it is a change of the feed's
    /// user, or one between them and somebody else.
    pub is_from_author: bool,
    /// The event, if the rules needed it.
    pub event: Option<TimelineEvent>,
}

/// A post or repost that concerns a feed or not by what else the feed's user follows or hides.
#[derive(Clone, Debug)]
pub(crate) struct ConditionalEvent {
    /// Where it is in the log.
    pub revision: Revision,
    /// A post or a repost.
    pub event: TimelineEvent,
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
        self.take(source, &rules, marks)
    }
}

impl FeedBacklog {
    /// The entries that `marks`, oldest first, make.
    fn take<M: Marks<(TimelineKind, UserIx)>>(
        &self,
        source: &Source<'_>,
        rules: &FeedRules<'_>,
        mut marks: MarkLoader<'_, M, (TimelineKind, UserIx)>,
    ) -> Result<Backlog<BacklogEntry>, Unanswered> {
        let moment = |mark: Mark| match self.kind {
            BacklogKind::Events => Moment::at(mark.revision()),
            BacklogKind::Items => Moment::NOW,
        };
        let needs_event =
            |mark, (kind, user)| kind == TimelineKind::Posts && rules.needs_event(mark, user);
        let mut events: Vec<BacklogEntry> = Vec::new();
        let (mut looked_at, mut reached) = (0, self.after);
        while let Some(LoadedMark { mark, list: (kind, user), event }) = marks.next(needs_event)? {
            let revision = mark.revision();
            let is_full = events.len() == self.events_max || looked_at == MARKS_MAX;
            if is_full && revision > reached {
                return Ok(Backlog { events, reached });
            }
            (reached, looked_at) = (revision, looked_at + 1);
            let is_from_author = kind == TimelineKind::Posts;
            let is_delivered = match kind {
                TimelineKind::Changes => true,
                TimelineKind::Posts if mark.kind() == MarkKind::Change => {
                    self.kind == BacklogKind::Events
                }
                TimelineKind::Posts => {
                    delivers(source, rules, (mark, user), event.as_ref(), moment(mark))?
                }
            };
            match events.last_mut() {
                _ if !is_delivered => source.skip(1)?,
                // A deletion concerns the followers of several, and may be the user's own.
                Some(last) if last.revision == revision => last.is_from_author |= is_from_author,
                _ => events.push(BacklogEntry { revision, is_from_author, event }),
            }
        }
        Ok(Backlog { events, reached: self.until })
    }
}

/// Which of `events`, delivered to the followers of their authors, concern the feed of `user`.
///
/// # Errors
/// A part is not in memory; or the index or the log cannot be read.
pub(crate) fn concern(
    source: &Source<'_>,
    user: &UserId,
    all_replies: bool,
    events: &[ConditionalEvent],
) -> Result<Vec<bool>, Unanswered> {
    let Some(rules) = FeedRules::new(source.state, user, true, all_replies) else {
        return Ok(vec![false; events.len()]);
    };
    let concerns = |ConditionalEvent { revision, event }: &ConditionalEvent| {
        let (author, kind) = match event {
            TimelineEvent::Post(post) => (&post.author, MarkKind::Conditional),
            TimelineEvent::Repost(repost) => (&repost.by, MarkKind::Repost),
            TimelineEvent::Other(_) => return Ok(false),
        };
        // An author whom the viewer has unfollowed since delivers nothing more.
        let author = source.state.users.get(author);
        let author = author.filter(|&author| rules.has(author, *revision));
        let Some(author) = author else { return Ok(false) };
        let mark = Mark::new(*revision, kind);
        delivers(source, &rules, (mark, author), Some(event), Moment::at(*revision))
    };
    events.iter().map(concerns).collect()
}

/// Whether a stream of the feed is sent a mark of its author's: it is shown, was not retracted to this
/// day, and is not suppressed by what the feed had before it at `moment`.
fn delivers(
    source: &Source<'_>,
    rules: &FeedRules<'_>,
    (mark, author): (Mark, UserIx),
    event: Option<&TimelineEvent>,
    moment: Moment,
) -> Result<bool, Unanswered> {
    let to_this_day = Moment { gone_by: Revision::MAX, ..moment };
    match rules.entry(mark, author, event, to_this_day).filter(|entry| !entry.is_gone) {
        None => Ok(false),
        Some(entry) if entry.reposted_by.is_none() => Ok(true),
        Some(entry) => {
            source.skip(NEAR_COST)?;
            let mut older = rules.walk(Mark::before(mark.revision()), moment, source)?;
            Ok(!older.is_near(entry.post, 0)?)
        }
    }
}
