//! Relations as tests draw them at random: of which kind, and whether they are set or ended.

use whimbrel::engine::{Changed, Engine, Error};
use whimbrel::model::{PostId, Relation, UserId};

/// What becomes of the relation between two users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EdgeKind {
    Follow,
    Unfollow,
    Block,
    Unblock,
    Mute,
    Unmute,
}

/// What becomes of the relation of a user to a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReactionKind {
    Like,
    Unlike,
    Repost,
    Unrepost,
}

/// Asks an engine for one.
pub(crate) trait SetRelation {
    async fn change_edge(
        &self,
        kind: EdgeKind,
        user: UserId,
        other: UserId,
    ) -> Result<Changed, Error>;

    async fn react(&self, kind: ReactionKind, user: UserId, post: PostId)
    -> Result<Changed, Error>;
}

impl SetRelation for Engine {
    async fn change_edge(
        &self,
        kind: EdgeKind,
        user: UserId,
        other: UserId,
    ) -> Result<Changed, Error> {
        let (relation, on): (fn(_, _) -> _, _) = match kind {
            EdgeKind::Follow => (Relation::Follow, true),
            EdgeKind::Unfollow => (Relation::Follow, false),
            EdgeKind::Block => (Relation::Block, true),
            EdgeKind::Unblock => (Relation::Block, false),
            EdgeKind::Mute => (Relation::Mute, true),
            EdgeKind::Unmute => (Relation::Mute, false),
        };
        self.set(relation(user, other), on).await
    }

    async fn react(
        &self,
        kind: ReactionKind,
        user: UserId,
        post: PostId,
    ) -> Result<Changed, Error> {
        let (relation, on): (fn(_, _) -> _, _) = match kind {
            ReactionKind::Like => (Relation::Like, true),
            ReactionKind::Unlike => (Relation::Like, false),
            ReactionKind::Repost => (Relation::Repost, true),
            ReactionKind::Unrepost => (Relation::Repost, false),
        };
        self.set(relation(user, post), on).await
    }
}
