//! Relations: a user to another user, or a user to a post. A relation never has the time at which
//! it was set.

use std::fmt;

use super::{PostId, UserId};

/// A relation, which holds from the change that sets it until the change that ends it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Relation {
    /// The first user follows the second.
    Follow(UserId, UserId),
    /// The first user blocks the second. Setting it ends the follows between the two.
    Block(UserId, UserId),
    /// The first user mutes the second.
    Mute(UserId, UserId),
    /// The user likes the post.
    Like(UserId, PostId),
    /// The user reposts the post.
    Repost(UserId, PostId),
}

/// The kind of a [`Relation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RelationKind {
    /// [`Relation::Follow`].
    Follow,
    /// [`Relation::Block`].
    Block,
    /// [`Relation::Mute`].
    Mute,
    /// [`Relation::Like`].
    Like,
    /// [`Relation::Repost`].
    Repost,
}

impl Relation {
    /// The kind of the relation.
    #[must_use]
    pub const fn kind(&self) -> RelationKind {
        match self {
            Self::Follow(..) => RelationKind::Follow,
            Self::Block(..) => RelationKind::Block,
            Self::Mute(..) => RelationKind::Mute,
            Self::Like(..) => RelationKind::Like,
            Self::Repost(..) => RelationKind::Repost,
        }
    }

    /// The user who sets and ends the relation.
    #[must_use]
    pub const fn user(&self) -> &UserId {
        let (Self::Follow(user, _)
        | Self::Block(user, _)
        | Self::Mute(user, _)
        | Self::Like(user, _)
        | Self::Repost(user, _)) = self;
        user
    }

    /// The other user; `None` for a relation to a post.
    #[must_use]
    pub const fn other(&self) -> Option<&UserId> {
        match self {
            Self::Follow(_, other) | Self::Block(_, other) | Self::Mute(_, other) => Some(other),
            Self::Like(..) | Self::Repost(..) => None,
        }
    }

    /// The post; `None` for a relation to a user.
    #[must_use]
    pub const fn post(&self) -> Option<PostId> {
        match self {
            Self::Like(_, post) | Self::Repost(_, post) => Some(*post),
            Self::Follow(..) | Self::Block(..) | Self::Mute(..) => None,
        }
    }
}

impl fmt::Display for RelationKind {
    /// The verb, in the third person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Follow => "follows",
            Self::Block => "blocks",
            Self::Mute => "mutes",
            Self::Like => "likes",
            Self::Repost => "reposts",
        })
    }
}
