//! The changes in their order, and the relations, posts and reposts that they make.

use std::collections::BTreeMap;

use whimbrel::model::{
    Change, Content, PostId, PostRef, Relation, Revision, SeveredFollows, UserId,
};

use crate::harness::core::user;

/// A model that knows every change, and nothing of how the server works. Tests compare the server
/// with it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Oracle {
    /// The change at revision 1, 2, 3 …
    changes: Vec<Change>,
    pub(super) relations: BTreeMap<Relation, Vec<Period>>,
    pub(super) posts: BTreeMap<u64, Post>,
    /// The revisions of deleted posts and of undone reposts, each with the revision that retracted
    /// it.
    retracted: BTreeMap<u64, u64>,
    /// The reposts by their revisions: the user, and the revision of the post.
    pub(super) reposts: BTreeMap<u64, (String, u64)>,
}

/// The revisions from which and until which a relation holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Period {
    from: u64,
    until: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct Post {
    pub(super) author: String,
    pub(super) content: Content,
}

impl Oracle {
    /// The revision of the newest change.
    pub(crate) fn head(&self) -> u64 {
        self.changes.len() as u64
    }

    /// The change at `revision`.
    pub(crate) fn change(&self, revision: u64) -> &Change {
        &self.changes[usize::try_from(revision).unwrap() - 1]
    }

    /// Adds the next change, and returns its revision.
    pub(crate) fn push(&mut self, change: Change) -> u64 {
        let at = self.head() + 1;
        self.changes.push(change.clone());
        if let Some((relation, on)) = relation_changed_by(&change) {
            if let (Relation::Repost(..), false) = (&relation, on) {
                let repost = self.since(&relation, at).expect("a repost to undo");
                self.retracted.insert(repost, at);
            }
            if on { self.begin(relation, at) } else { self.end(&relation, at) }
        }
        match change {
            Change::Publish { author, content, .. } => {
                self.posts.insert(at, Post { author: author.to_string(), content });
            }
            Change::Delete { post, .. } => {
                self.retracted.insert(revision_of(&post), at);
            }
            Change::Repost { user, post } => {
                self.reposts.insert(at, (user.to_string(), revision_of(&post)));
            }
            Change::Block { blocker, blocked, severed } => {
                if severed.following {
                    self.end(&Relation::Follow(blocker.clone(), blocked.clone()), at);
                }
                if severed.follower {
                    self.end(&Relation::Follow(blocked, blocker), at);
                }
            }
            Change::Erased { .. } => panic!("an erased post is not a new change"),
            _ => {}
        }
        at
    }

    fn begin(&mut self, relation: Relation, at: u64) {
        self.relations.entry(relation).or_default().push(Period { from: at, until: None });
    }

    fn end(&mut self, relation: &Relation, at: u64) {
        let periods = self.relations.get_mut(relation).expect("a relation to end");
        periods.last_mut().expect("a relation to end").until = Some(at);
    }

    /// The change that sets or ends `relation` now.
    pub(crate) fn change_to(&self, relation: Relation, on: bool) -> Change {
        use Relation::{Block, Follow, Like, Mute, Repost};

        let since = self.since(&relation, self.head()).map(Revision::new);
        let follows =
            |one: &UserId, other: &UserId| self.holds(&Follow(one.clone(), other.clone()));
        let post = |id| self.post_ref(PostId::revision(id).get());
        match (relation, on) {
            (Follow(follower, followee), true) => Change::Follow { follower, followee },
            (Follow(follower, followee), false) => Change::Unfollow { follower, followee, since },
            (Block(blocker, blocked), true) => {
                let following = follows(&blocker, &blocked);
                let severed = SeveredFollows { following, follower: follows(&blocked, &blocker) };
                Change::Block { blocker, blocked, severed }
            }
            (Block(blocker, blocked), false) => Change::Unblock { blocker, blocked },
            (Mute(muter, muted), true) => Change::Mute { muter, muted },
            (Mute(muter, muted), false) => {
                let follows = follows(&muter, &muted);
                Change::Unmute { muter, muted, follows }
            }
            (Like(user, id), true) => Change::Like { user, post: post(id) },
            (Like(user, id), false) => Change::Unlike { user, post: post(id), since },
            (Repost(user, id), true) => Change::Repost { user, post: post(id) },
            (Repost(user, id), false) => Change::Unrepost { user, post: post(id), since },
        }
    }

    /// The revision since which `relation` holds at `at`.
    pub(crate) fn since(&self, relation: &Relation, at: u64) -> Option<u64> {
        let holds = |period: &&Period| period.from <= at && period.until.is_none_or(|end| at < end);
        self.relations.get(relation)?.iter().find(holds).map(|period| period.from)
    }

    /// Whether `relation` holds now.
    pub(crate) fn holds(&self, relation: &Relation) -> bool {
        self.since(relation, self.head()).is_some()
    }

    /// The revision at which `relation` ended last, up to `at`.
    pub(super) fn ended(&self, relation: &Relation, at: u64) -> Option<u64> {
        let ends = self.relations.get(relation)?.iter().filter_map(|period| period.until);
        ends.filter(|&until| until <= at).max()
    }

    /// Whether one of the two users blocks the other at `at`.
    pub(crate) fn blocked_either_way(&self, one: &str, other: &str, at: u64) -> bool {
        let blocks = |one, other| self.since(&block(one, other), at).is_some();
        blocks(one, other) || blocks(other, one)
    }

    /// The revision that deleted the post, or undid the repost, at `at`.
    pub(crate) fn retracted(&self, at: u64) -> Option<u64> {
        self.retracted.get(&at).copied()
    }

    /// Whether `name` is a user right before `at`: an earlier change named them.
    pub(crate) fn is_user(&self, name: &str, at: u64) -> bool {
        let earlier = &self.changes[..usize::try_from(at).unwrap() - 1];
        earlier.iter().flat_map(named_by).any(|named| named.as_str() == name)
    }

    /// Whether `content`, published at `at`, mentions `user`.
    pub(crate) fn mentions(&self, content: &Content, user: &str, at: u64) -> bool {
        content.text.as_str().contains(&format!("@{user}")) && self.is_user(user, at)
    }

    /// The author of the post at revision `post`.
    pub(crate) fn author(&self, post: u64) -> &str {
        &self.posts[&post].author
    }

    /// The content of the post at revision `post`.
    pub(crate) fn content(&self, post: u64) -> &Content {
        &self.posts[&post].content
    }

    /// The post at revision `post`, as changes refer to it.
    pub(crate) fn post_ref(&self, post: u64) -> PostRef {
        PostRef { id: post_id(post), author: user(self.author(post)) }
    }

    /// The revisions of all posts, deleted ones included.
    pub(crate) fn posts(&self) -> Vec<u64> {
        self.posts.keys().copied().collect()
    }
}

/// The relation that `change` sets or ends, and whether it sets it.
pub(crate) fn relation_changed_by(change: &Change) -> Option<(Relation, bool)> {
    use Relation::{Block, Follow, Like, Mute, Repost};

    Some(match change.clone() {
        Change::Follow { follower, followee } => (Follow(follower, followee), true),
        Change::Unfollow { follower, followee, .. } => (Follow(follower, followee), false),
        Change::Block { blocker, blocked, .. } => (Block(blocker, blocked), true),
        Change::Unblock { blocker, blocked } => (Block(blocker, blocked), false),
        Change::Mute { muter, muted } => (Mute(muter, muted), true),
        Change::Unmute { muter, muted, .. } => (Mute(muter, muted), false),
        Change::Like { user, post } => (Like(user, post.id), true),
        Change::Unlike { user, post, .. } => (Like(user, post.id), false),
        Change::Repost { user, post } => (Repost(user, post.id), true),
        Change::Unrepost { user, post, .. } => (Repost(user, post.id), false),
        Change::Publish { .. }
        | Change::Delete { .. }
        | Change::See { .. }
        | Change::Erased { .. } => return None,
    })
}

/// The id of the post at `revision`.
pub(crate) fn post_id(revision: u64) -> PostId {
    PostId::from_revision(Revision::new(revision))
}

/// The revision of `post`.
pub(crate) fn revision_of(post: &PostRef) -> u64 {
    post.id.revision().get()
}

pub(super) fn block(one: &str, other: &str) -> Relation {
    Relation::Block(user(one), user(other))
}

/// The users that `change` names, but for those that an earlier change has to have named.
fn named_by(change: &Change) -> Vec<&UserId> {
    match change {
        Change::Follow { follower: one, followee: other }
        | Change::Block { blocker: one, blocked: other, .. }
        | Change::Mute { muter: one, muted: other } => vec![one, other],
        Change::Publish { author: one, .. }
        | Change::Like { user: one, .. }
        | Change::Repost { user: one, .. }
        | Change::See { user: one, .. } => vec![one],
        // A relation that ends was set before.
        _ => Vec::new(),
    }
}
