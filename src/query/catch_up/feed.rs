//! What happened to feeds: the events that a stream missed, and the entries that a snapshot begins
//! with; and which of the events that a stream is sent concern it.
//!
//! Both go by the same rules, [`crate::query::feed::rules`].

use crate::model::{Mark, MarkKind, Revision, UserId};
use crate::query::feed::merge;
use crate::query::feed::rules::{Lens, Looked, Moment, Pulled};
use crate::query::source::Beyond;
use crate::state::reads::ReadError;
use crate::state::timelines::posts::MarkLookup;
use crate::state::users::UserIx;
use crate::state::{State, TimelineEvent};
use crate::storage::TimelineKind;

/// Marks looked through by one read: as long as it takes, others wait to read.
const MARKS_MAX: usize = 10_000;
/// What looking for reposts near one costs, in marks looked at in vain.
const NEAR_COST: usize = 16;

/// Which part of what happened to which feed.
#[derive(Clone, Debug)]
pub struct BacklogQuery {
    /// Whose feed.
    pub user: UserId,
    /// As in [`crate::query::feed::home::PageQuery`].
    pub all_replies: bool,
    /// It begins after this.
    pub after: Revision,
    /// It ends with this, which must not be beyond [`State::applied`].
    pub until: Revision,
    /// What is in it.
    pub kind: BacklogKind,
    /// How many revisions at most.
    pub events_max: usize,
}

/// What can be in the backlog of a live feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BacklogKind {
    /// What happened, as a stream without a break would have sent it.
    Events,
    /// The feed's items, whenever their authors were followed.
    Items,
}

/// A part of a backlog.
#[derive(Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Its events, oldest first.
    pub events: Vec<Spot>,
    /// Up to here there is nothing else. Before the end of what was asked for if there may be more.
    pub reached: Revision,
}

/// Where an event of a backlog is, and why it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Where.
    pub revision: Revision,
    /// Whether it comes from somebody whose posts are in the feed; else it is a change of the feed's
    /// user, or one that is between them and somebody else.
    pub is_from_author: bool,
}

/// An event that concerns a feed or not by what else the feed's user follows or hides.
#[derive(Clone, Debug)]
pub struct Conditional {
    /// When it happened.
    pub revision: Revision,
    /// A reply or a repost.
    pub event: TimelineEvent,
}

/// Where the events of a live feed come from.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// What somebody published.
    Posts(UserIx),
    /// Whom somebody followed and unfollowed, and so on.
    Changes(UserIx),
}

impl State {
    /// A part of a backlog; `None` if that is not in memory, or too long to look through it where
    /// that would hold up others.
    #[must_use]
    pub fn backlog_at_hand(&self, query: &BacklogQuery) -> Option<Backlog> {
        self.read_backlog(query, &self.memory_only()).ok()
    }

    /// A part of a backlog. May read the index and the log, which blocks for a moment.
    ///
    /// # Errors
    /// The index or the log is damaged or cannot be read.
    pub fn backlog(&self, query: &BacklogQuery) -> Result<Backlog, ReadError> {
        self.read_backlog(query, &self.beyond())
    }

    /// Which of `events`, sent to those who follow their authors, concern the feed of `user`; `None`
    /// as [`State::backlog_at_hand`].
    #[must_use]
    pub fn concerned_at_hand(
        &self,
        user: &UserId,
        all_replies: bool,
        events: &[Conditional],
    ) -> Option<Vec<bool>> {
        self.concerned_by(user, all_replies, events, &self.memory_only()).ok()
    }

    /// Which of `events`, sent to those who follow their authors, concern the feed of `user`. May
    /// read the index and the log, which blocks for a moment.
    ///
    /// # Errors
    /// The index or the log is damaged or cannot be read.
    pub fn concerned(
        &self,
        user: &UserId,
        all_replies: bool,
        events: &[Conditional],
    ) -> Result<Vec<bool>, ReadError> {
        self.concerned_by(user, all_replies, events, &self.beyond())
    }

    fn concerned_by<B: Beyond>(
        &self,
        user: &UserId,
        all_replies: bool,
        events: &[Conditional],
        beyond: &B,
    ) -> Result<Vec<bool>, B::Error> {
        let Some(lens) = Lens::new(self, user, true, all_replies) else {
            return Ok(vec![false; events.len()]);
        };
        let concerned = |Conditional { revision, event }: &Conditional| {
            let (author, kind) = match event {
                TimelineEvent::Post(post) => (&post.author, MarkKind::Conditional),
                TimelineEvent::Repost(repost) => (&repost.by, MarkKind::Repost),
                TimelineEvent::Other(_) => return Ok(false),
            };
            let moment = Moment::at(*revision);
            // Whom the viewer has ceased to follow since does not tell of more.
            let author = self.ids.get(author).filter(|&author| lens.has(author, *revision));
            let Some(author) = author else { return Ok(false) };
            let mark = Mark::new(*revision, kind);
            lens.tells(mark, author, Some(event), moment, beyond)
        };
        events.iter().map(concerned).collect()
    }

    fn read_backlog<B: Beyond>(
        &self,
        query: &BacklogQuery,
        beyond: &B,
    ) -> Result<Backlog, B::Error> {
        let BacklogQuery { after, until, kind, events_max, .. } = *query;
        let Some(lens) = Lens::new(self, &query.user, true, query.all_replies) else {
            return Ok(Backlog { events: Vec::new(), reached: until });
        };
        let posts = lens.authors(until.next()).map(|(author, since)| match kind {
            BacklogKind::Events => (Source::Posts(author), after.max(since)),
            BacklogKind::Items => (Source::Posts(author), after),
        });
        let changes = (kind == BacklogKind::Events && self.changes_of.may_have(lens.viewer, after))
            .then_some((Source::Changes(lens.viewer), after));

        let newer = |source, after| {
            let found = self.oldest_after(source, after, beyond)?;
            Ok(found.filter(|mark| mark.revision() <= until))
        };
        let oldest = posts.chain(changes).filter_map(|(source, after)| {
            let oldest = newer(source, Mark::before(after.next()).previous()).transpose()?;
            Some(oldest.map(|mark| (mark, source)))
        });
        let mut marks = Looked::new(merge::oldest_first(oldest, newer)?, beyond);
        let moment = |mark: Mark| match kind {
            BacklogKind::Events => Moment::at(mark.revision()),
            BacklogKind::Items => Moment::NOW,
        };
        let needs_event = |mark: Mark, source| match source {
            Source::Posts(author) => lens.needs_event(mark, author),
            Source::Changes(_) => false,
        };

        let mut events: Vec<Spot> = Vec::new();
        let mut looked_at = 0;
        let mut reached = after;
        while let Some(Pulled { mark, list: source, event }) = marks.next(needs_event)? {
            let revision = mark.revision();
            let is_full = events.len() == events_max || looked_at == MARKS_MAX;
            if is_full && revision > reached {
                return Ok(Backlog { events, reached });
            }
            reached = revision;
            looked_at += 1;
            let is_from_author = matches!(source, Source::Posts(_));
            let is_told = match source {
                Source::Changes(_) => true,
                Source::Posts(_) if mark.kind() == MarkKind::Change => kind == BacklogKind::Events,
                Source::Posts(author) => {
                    lens.tells(mark, author, event.as_ref(), moment(mark), beyond)?
                }
            };
            match events.last_mut() {
                _ if !is_told => beyond.pass_over(1)?,
                // A deletion concerns the followers of several, and may be the user's own.
                Some(last) if last.revision == revision => last.is_from_author |= is_from_author,
                _ => events.push(Spot { revision, is_from_author }),
            }
        }
        Ok(Backlog { events, reached: until })
    }

    fn oldest_after<B: Beyond>(
        &self,
        source: Source,
        after: Mark,
        beyond: &B,
    ) -> Result<Option<Mark>, B::Error> {
        match source {
            Source::Posts(author) => match self.posts_of.oldest_after(author, after) {
                MarkLookup::Here(found) => Ok(found),
                MarkLookup::InIndex(until) => {
                    beyond.oldest_after(TimelineKind::Posts, author, after, until)
                }
            },
            Source::Changes(user) => match self.changes_of.oldest_after(user, after) {
                (_, MarkLookup::Here(found)) => Ok(found),
                (here, MarkLookup::InIndex(until)) => {
                    let indexed = beyond.oldest_after(TimelineKind::Changes, user, after, until)?;
                    Ok(indexed.or(here))
                }
            },
        }
    }
}

impl Lens<'_> {
    /// Whether a stream of the feed is told of `mark` of `author`'s: it is shown, was not retracted
    /// to this day, and is not suppressed by what the feed had before it at `moment`.
    fn tells<B: Beyond>(
        &self,
        mark: Mark,
        author: UserIx,
        event: Option<&TimelineEvent>,
        moment: Moment,
        beyond: &B,
    ) -> Result<bool, B::Error> {
        let to_this_day = Moment { gone_by: Revision::MAX, ..moment };
        match self.entry(mark, author, event, to_this_day).filter(|entry| !entry.is_gone) {
            None => Ok(false),
            Some(entry) if entry.reposted_by.is_none() => Ok(true),
            Some(entry) => {
                beyond.pass_over(NEAR_COST)?;
                let mut older = self.walk(Mark::before(mark.revision()), moment, beyond)?;
                Ok(!older.is_near(entry.post, 0)?)
            }
        }
    }
}
