//! The format of records: rows of numbers about posts and users, stored in the index.
//!
//! ```text
//!   key:    table (u8) │ subject (u64): post or user │ position (u64): user, revision or 0
//!   value:  two halves of 64 bits; the table defines their meaning
//! ```
//!
//! The records of one table and subject are sorted by position, so they are a list too. Nothing
//! here sets a record: [`crate::state::reducer`] does.

pub(crate) use super::table::Table;
use crate::model::{PostId, Revision};
use crate::state::users::UserIx;
use crate::storage::StoredKey;

/// The counts of a post, without retracted items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PostCounts {
    pub(crate) likes: u32,
    pub(crate) reposts: u32,
    pub(crate) replies: u32,
    pub(crate) quotes: u32,
}

/// The replies and quotes of a post by one user, without deleted ones. Exists while there are any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RepliesByUser {
    /// The first reply or quote since there were none: the position in [`Table::Repliers`].
    pub(crate) since: Revision,
    pub(crate) replies: u32,
    pub(crate) quotes: u32,
}

/// The likes of one user for posts of one author, without deleted posts. Exists while there are
/// any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LikesByUser {
    /// The first like since there were none: the position in [`Table::Likers`].
    pub(crate) since: Revision,
    pub(crate) posts: u64,
}

/// The posts of a user and the likes of those, without deleted posts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct UserCounts {
    pub(crate) posts: u64,
    pub(crate) likes: u64,
}

/// The key of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) table: Table,
    pub(crate) subject: Subject,
    pub(crate) position: Position,
}

/// The post or the user that a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Subject(u64);

/// The position of a record in the list of its table and subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Position(u64);

/// The 16 bytes of a record. Their meaning depends on the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Value {
    upper: u64,
    lower: u64,
}

/// The reason of a notification. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum NotificationKind {
    /// The actor follows the user.
    Follow = 0,
    /// The actor likes a post of the user.
    Like,
    /// The actor reposted a post of the user.
    Repost,
    /// The actor replied to a post of the user.
    Reply,
    /// The actor quoted a post of the user.
    Quote,
    /// The actor mentioned the user in a post.
    Mention,
}

/// The stored part of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotificationRecord {
    pub(crate) kind: NotificationKind,
    /// The user who caused the event.
    pub(crate) actor: UserIx,
    /// The recipient's post that was liked, reposted, replied to or quoted; [`Revision::ZERO`] for
    /// a follow or a mention.
    pub(crate) post: Revision,
}

impl Key {
    pub(crate) fn new(
        table: Table,
        subject: impl Into<Subject>,
        position: impl Into<Position>,
    ) -> Self {
        Self { table, subject: subject.into(), position: position.into() }
    }

    /// The key of the record of `table` about `subject` and `user`, whichever of the two comes first
    /// in the table.
    pub(crate) fn of_user(table: Table, subject: Subject, user: UserIx) -> Self {
        match table.is_reaction() {
            true => Self::new(table, user, Position(subject.0)),
            false => Self::new(table, subject, user),
        }
    }

    /// The post. Only of a [reaction](Table::is_reaction).
    pub(crate) fn reacted_post(self) -> PostId {
        debug_assert!(self.table.is_reaction(), "{self:?} is no reaction");
        PostId::from_revision(self.position.revision())
    }

    pub(crate) fn stored(self) -> StoredKey {
        (self.table as u8, self.subject.0, self.position.0)
    }

    /// `None` if this version does not have the table.
    pub(crate) fn from_stored((table, subject, position): StoredKey) -> Option<Self> {
        let table = Table::from_number(table)?;
        Some(Self { table, subject: Subject(subject), position: Position(position) })
    }

    /// The key of the only record of `table` about `subject`, at position 0.
    pub(crate) fn of(table: Table, subject: impl Into<Subject>) -> Self {
        Self { table, subject: subject.into(), position: Position(0) }
    }
}

impl Subject {
    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// The user. Only in a table about users.
    pub(crate) fn user(self) -> UserIx {
        user(self.0)
    }

    /// The revision of the post or repost. Only in a table about those.
    pub(crate) fn revision(self) -> Revision {
        Revision::new(self.0)
    }
}

impl Position {
    /// Below all positions in lists.
    pub(crate) const FIRST: Self = Self(0);
    /// Above all positions in lists.
    pub(crate) const LAST: Self = Self(u64::MAX);

    pub(crate) fn from_number(number: u64) -> Self {
        Self(number)
    }

    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// The user. Only in a table whose positions are users.
    pub(crate) fn user(self) -> UserIx {
        user(self.0)
    }

    /// The revision. Only in a table whose positions are revisions.
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
    fn from(by_user: RepliesByUser) -> Self {
        let RepliesByUser { since, replies, quotes } = by_user;
        Self { upper: since.get(), lower: join(replies, quotes) }
    }
}

impl From<LikesByUser> for Value {
    fn from(by_user: LikesByUser) -> Self {
        Self { upper: by_user.since.get(), lower: by_user.posts }
    }
}

impl From<UserCounts> for Value {
    fn from(counts: UserCounts) -> Self {
        Self { upper: counts.posts, lower: counts.likes }
    }
}

impl From<NotificationRecord> for Value {
    fn from(notification: NotificationRecord) -> Self {
        let NotificationRecord { kind, actor, post } = notification;
        Self { upper: join(kind as u32, actor.number()), lower: post.get() }
    }
}

impl NotificationKind {
    /// Whether the event of the notification is a post.
    pub(crate) fn is_of_a_post(self) -> bool {
        matches!(self, Self::Reply | Self::Quote | Self::Mention)
    }
}

impl NotificationRecord {
    /// The notification in a record of [`Table::Notifications`] or [`Table::Followers`].
    ///
    /// # Panics
    /// `table` is another one.
    pub(crate) fn from_row(table: Table, value: Value) -> Self {
        match table {
            Table::Notifications => value.notification(),
            Table::Followers => {
                let (kind, actor) = (NotificationKind::Follow, value.user());
                Self { kind, actor, post: Revision::ZERO }
            }
            other => panic!("{other:?} has no notifications"),
        }
    }

    /// The recipient's post that was liked, reposted, replied to or quoted.
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

    pub(crate) fn notification(self) -> NotificationRecord {
        let (kind, actor) = halves(self.upper);
        let kind = match kind {
            0 => NotificationKind::Follow,
            1 => NotificationKind::Like,
            2 => NotificationKind::Repost,
            3 => NotificationKind::Reply,
            4 => NotificationKind::Quote,
            5 => NotificationKind::Mention,
            other => panic!("{other} is not the number of a notification kind"),
        };
        NotificationRecord { kind, actor: UserIx::new(actor), post: Revision::new(self.lower) }
    }
}

/// # Panics
/// `number` has more than 32 bits: the table has no user there.
fn user(number: u64) -> UserIx {
    match u32::try_from(number) {
        Ok(number) => UserIx::new(number),
        Err(_) => panic!("{number} is not a user number"),
    }
}

fn join(upper: u32, lower: u32) -> u64 {
    u64::from(upper) << 32 | u64::from(lower)
}

fn halves(joined: u64) -> (u32, u32) {
    ((joined >> 32) as u32, joined as u32)
}
