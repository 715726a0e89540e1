//! Records: small rows of numbers about posts and users, beside the follow graph.
//!
//! A fact is found by its table, its subject (a post or a user) and its place, which is another
//! user or a revision. Those of one table and subject are in the order of their places, so they are
//! a list too. What they come from says [`crate::state::reducer`]; here is only what they look like.

use crate::model::{PostId, Revision};
use crate::state::users::UserIx;
use crate::storage::{Residency, StoredKey};

/// A kind of fact. The numbers are stored, so each keeps its meaning for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Table {
    /// (post, user) → since when the user likes it.
    Like = 1,
    /// (post, since) → who likes it.
    Likes = 2,
    /// (post, user) → the repost.
    Repost = 3,
    /// (post, repost) → who reposted it.
    Reposts = 4,
    /// (post, reply) → whose reply. Deleted ones too: what answers them hangs on them.
    Replies = 5,
    /// (post, quoting post) → whose.
    Quotes = 6,
    /// (post, 0) → [`PostCounts`].
    PostCounts = 7,
    /// (user, 0) → [`UserCounts`].
    UserCounts = 8,
    /// (user, since) → who follows them.
    Followers = 9,
    /// (user, revision) → [`NotificationRecord`], of all but new followers: those are in [`Table::Followers`].
    Notices = 10,
    /// (user, 0) → up to where they have seen their notices.
    Seen = 11,
    /// (post or repost, 0) → when it was deleted or taken back.
    Retracted = 12,
    /// (user, user) → since when the one blocks the other.
    Blocks = 13,
    /// (user, user) → since when the one mutes the other.
    Mutes = 14,
    /// (user, user) → since when the other is no longer hidden from the one by a block or mute that
    /// is over.
    Shown = 15,
    /// (post, user) → [`RepliesByUser`]: the user's answers to it and quotes of it alone.
    Answers = 16,
    /// (post, since) → who answered or quoted it, each once, as long as one of those is there.
    Answerers = 17,
    /// (user, user) → [`LikesByUser`]: the likes that the other gave to posts of the one that are there.
    Likings = 18,
    /// (user, since) → who likes posts of theirs, each once, as long as they like one.
    Likers = 19,
}

/// How often a post was liked, and so on. Only what is not taken back or deleted counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PostCounts {
    pub(crate) likes: u32,
    pub(crate) reposts: u32,
    pub(crate) replies: u32,
    pub(crate) quotes: u32,
}

/// How often one user answered a post and quoted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RepliesByUser {
    /// Their place in [`Table::Answerers`].
    pub(crate) since: Revision,
    pub(crate) replies: u32,
    pub(crate) quotes: u32,
}

/// How many posts of somebody one user likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LikesByUser {
    /// Their place in [`Table::Likers`].
    pub(crate) since: Revision,
    pub(crate) posts: u64,
}

/// How much a user published, and how often that was liked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct UserCounts {
    pub(crate) posts: u64,
    pub(crate) likes: u64,
}

/// Which fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) table: Table,
    pub(crate) subject: Subject,
    pub(crate) place: Position,
}

/// Whom or what a fact is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Subject(u64);

/// Where a fact stands among those about its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Position(u64);

/// What a fact says, in 16 bytes. What they mean is known by the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Value {
    upper: u64,
    lower: u64,
}

/// Why a user is notified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum NotificationKind {
    /// Somebody began to follow them.
    Follow = 0,
    /// Somebody likes a post of theirs.
    Like,
    /// Somebody reposted a post of theirs.
    Repost,
    /// Somebody answered a post of theirs.
    Reply,
    /// Somebody quoted a post of theirs.
    Quote,
    /// Somebody mentioned them in a post.
    Mention,
}

/// What a user is notified of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotificationRecord {
    pub(crate) kind: NotificationKind,
    /// Who did it.
    pub(crate) actor: UserIx,
    /// The user's post that it was done to; [`Revision::ZERO`] for a follow or a mention.
    pub(crate) post: Revision,
}

impl Table {
    const ALL: [Self; 19] = [
        Self::Like,
        Self::Likes,
        Self::Repost,
        Self::Reposts,
        Self::Replies,
        Self::Quotes,
        Self::PostCounts,
        Self::UserCounts,
        Self::Followers,
        Self::Notices,
        Self::Seen,
        Self::Retracted,
        Self::Blocks,
        Self::Mutes,
        Self::Shown,
        Self::Answers,
        Self::Answerers,
        Self::Likings,
        Self::Likers,
    ];

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| *table as u8 == number)
    }

    /// Whether its places are revisions, so that new facts come last, and are read as a list.
    pub(crate) fn is_list(self) -> bool {
        matches!(
            self,
            Self::Likes
                | Self::Reposts
                | Self::Replies
                | Self::Quotes
                | Self::Answerers
                | Self::Likers
                | Self::Followers
                | Self::Notices
        )
    }

    /// Whether changes are decided by its facts, see [`crate::query::lookups`].
    pub(crate) fn is_decided_by(self) -> bool {
        matches!(self, Self::Like | Self::Repost | Self::Seen)
    }

    /// Where its facts are: in memory are those that every page of a feed is looked through for.
    pub(crate) fn keep(self) -> Residency {
        match self {
            Self::Retracted | Self::Blocks | Self::Mutes | Self::Shown => Residency::InMemory,
            _ => Residency::OnDisk,
        }
    }
}

impl Key {
    /// The fact about `subject` at `place`.
    pub(crate) fn new(
        table: Table,
        subject: impl Into<Subject>,
        place: impl Into<Position>,
    ) -> Self {
        Self { table, subject: subject.into(), place: place.into() }
    }

    /// As the index stores it.
    pub(crate) fn stored(self) -> StoredKey {
        (self.table as u8, self.subject.0, self.place.0)
    }

    /// What the index has stored; `None` if that is of another version.
    pub(crate) fn from_stored((table, subject, place): StoredKey) -> Option<Self> {
        let table = Table::from_number(table)?;
        Some(Self { table, subject: Subject(subject), place: Position(place) })
    }

    /// The only fact of its kind about `subject`.
    pub(crate) fn of(table: Table, subject: impl Into<Subject>) -> Self {
        Self { table, subject: subject.into(), place: Position(0) }
    }
}

impl Subject {
    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// The user, in a table about users.
    pub(crate) fn user(self) -> UserIx {
        user(self.0)
    }

    /// Where the post or repost is, in a table about those.
    pub(crate) fn revision(self) -> Revision {
        Revision::new(self.0)
    }
}

impl Position {
    /// Before every place that a list has.
    pub(crate) const FIRST: Self = Self(0);
    /// After every place.
    pub(crate) const LAST: Self = Self(u64::MAX);

    pub(crate) fn from_number(number: u64) -> Self {
        Self(number)
    }

    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// The user, in a table whose places are some.
    pub(crate) fn user(self) -> UserIx {
        user(self.0)
    }

    /// The revision, in a table whose places are some.
    pub(crate) fn revision(self) -> Revision {
        Revision::new(self.0)
    }
}

impl From<UserIx> for Subject {
    fn from(user: UserIx) -> Self {
        Self(user.number().into())
    }
}

impl From<PostId> for Subject {
    fn from(post: PostId) -> Self {
        Self(post.revision().get())
    }
}

impl From<UserIx> for Position {
    fn from(user: UserIx) -> Self {
        Self(user.number().into())
    }
}

impl From<Revision> for Position {
    fn from(revision: Revision) -> Self {
        Self(revision.get())
    }
}

impl From<UserIx> for Value {
    fn from(user: UserIx) -> Self {
        Self { upper: 0, lower: user.number().into() }
    }
}

impl From<Revision> for Value {
    fn from(revision: Revision) -> Self {
        Self { upper: 0, lower: revision.get() }
    }
}

impl From<PostCounts> for Value {
    fn from(counts: PostCounts) -> Self {
        let PostCounts { likes, reposts, replies, quotes } = counts;
        Self { upper: join(likes, reposts), lower: join(replies, quotes) }
    }
}

impl From<RepliesByUser> for Value {
    fn from(answered: RepliesByUser) -> Self {
        let RepliesByUser { since, replies, quotes } = answered;
        Self { upper: since.get(), lower: join(replies, quotes) }
    }
}

impl From<LikesByUser> for Value {
    fn from(liked: LikesByUser) -> Self {
        Self { upper: liked.since.get(), lower: liked.posts }
    }
}

impl From<UserCounts> for Value {
    fn from(counts: UserCounts) -> Self {
        Self { upper: counts.posts, lower: counts.likes }
    }
}

impl From<NotificationRecord> for Value {
    fn from(notice: NotificationRecord) -> Self {
        let NotificationRecord { kind, actor, post } = notice;
        Self { upper: join(kind as u32, actor.number()), lower: post.get() }
    }
}

impl NotificationKind {
    /// Whether its event published a post.
    pub(crate) fn is_of_a_post(self) -> bool {
        matches!(self, Self::Reply | Self::Quote | Self::Mention)
    }
}

impl NotificationRecord {
    /// The record in a row of [`Table::Notices`] or [`Table::Followers`].
    ///
    /// # Panics
    /// It is a row of another table.
    pub(crate) fn from_row(table: Table, value: Value) -> Self {
        match table {
            Table::Notices => value.notice(),
            Table::Followers => {
                let (kind, actor) = (NotificationKind::Follow, value.user());
                Self { kind, actor, post: Revision::ZERO }
            }
            other => panic!("{other:?} has no notifications"),
        }
    }

    /// The user's post that it was done to, if it was.
    pub(crate) fn subject(&self) -> Option<PostId> {
        Some(PostId::from_revision(self.post)).filter(|_| self.post > Revision::ZERO)
    }
}

impl Value {
    pub(crate) fn from_number(number: u128) -> Self {
        Self { upper: (number >> 64) as u64, lower: number as u64 }
    }

    pub(crate) fn number(self) -> u128 {
        u128::from(self.upper) << 64 | u128::from(self.lower)
    }

    pub(crate) fn user(self) -> UserIx {
        user(self.lower)
    }

    pub(crate) fn revision(self) -> Revision {
        Revision::new(self.lower)
    }

    pub(crate) fn post_counts(self) -> PostCounts {
        let ((likes, reposts), (replies, quotes)) = (halves(self.upper), halves(self.lower));
        PostCounts { likes, reposts, replies, quotes }
    }

    pub(crate) fn replies_by_user(self) -> RepliesByUser {
        let (replies, quotes) = halves(self.lower);
        RepliesByUser { since: Revision::new(self.upper), replies, quotes }
    }

    pub(crate) fn likes_by_user(self) -> LikesByUser {
        LikesByUser { since: Revision::new(self.upper), posts: self.lower }
    }

    pub(crate) fn user_counts(self) -> UserCounts {
        UserCounts { posts: self.upper, likes: self.lower }
    }

    pub(crate) fn notice(self) -> NotificationRecord {
        let (kind, actor) = halves(self.upper);
        let kind = match kind {
            0 => NotificationKind::Follow,
            1 => NotificationKind::Like,
            2 => NotificationKind::Repost,
            3 => NotificationKind::Reply,
            4 => NotificationKind::Quote,
            5 => NotificationKind::Mention,
            other => panic!("there is no kind of notice with the number {other}"),
        };
        NotificationRecord { kind, actor: UserIx::new(actor), post: Revision::new(self.lower) }
    }
}

/// The user with this number, which is that of a user if it is where one was put.
fn user(number: u64) -> UserIx {
    match u32::try_from(number) {
        Ok(number) => UserIx::new(number),
        Err(_) => panic!("{number} stands where the number of a user should"),
    }
}

fn join(upper: u32, lower: u32) -> u64 {
    u64::from(upper) << 32 | u64::from(lower)
}

fn halves(joined: u64) -> (u32, u32) {
    ((joined >> 32) as u32, joined as u32)
}
