//! Lists, counts, threads and notifications by definition.

use std::cmp::Reverse;

use whimbrel::model::{Change, Content, PostRef, Relation, UserId};

use super::feeds::{Entry, Viewpoint};
use super::history::{Oracle, post_id, revision_of};
use crate::harness::core::user;

/// Users, each with the revision since which they are in the list.
type Users = Vec<(String, u64)>;

impl Oracle {
    pub(crate) fn followers(&self, viewer: &str, of: &str) -> Users {
        self.users(Some(viewer), |relation| match relation {
            Relation::Follow(follower, followee) if followee.as_str() == of => Some(follower),
            _ => None,
        })
    }

    pub(crate) fn following(&self, viewer: &str, of: &str) -> Users {
        self.users(Some(viewer), |relation| match relation {
            Relation::Follow(follower, followee) if follower.as_str() == of => Some(followee),
            _ => None,
        })
    }

    /// The users whom `viewer` blocks.
    pub(crate) fn blocks(&self, viewer: &str) -> Users {
        self.users(None, |relation| match relation {
            Relation::Block(blocker, blocked) if blocker.as_str() == viewer => Some(blocked),
            _ => None,
        })
    }

    /// The users whom `viewer` mutes.
    pub(crate) fn mutes(&self, viewer: &str) -> Users {
        self.users(None, |relation| match relation {
            Relation::Mute(muter, muted) if muter.as_str() == viewer => Some(muted),
            _ => None,
        })
    }

    pub(crate) fn likes(&self, viewer: &str, post: u64) -> Users {
        self.users(Some(viewer), |relation| match relation {
            Relation::Like(user, id) if *id == post_id(post) => Some(user),
            _ => None,
        })
    }

    pub(crate) fn reposts(&self, viewer: &str, post: u64) -> Users {
        self.users(Some(viewer), |relation| match relation {
            Relation::Repost(user, id) if *id == post_id(post) => Some(user),
            _ => None,
        })
    }

    /// The users that `pick` takes from the relations that hold now, newest first; without those
    /// that a block hides from `viewer`.
    fn users(&self, viewer: Option<&str>, pick: impl Fn(&Relation) -> Option<&UserId>) -> Users {
        let now = self.head();
        let users = self.relations.keys().filter_map(|it| Some((pick(it)?, self.since(it, now)?)));
        let is_seen = |user: &UserId| {
            viewer.is_none_or(|viewer| !self.blocked_either_way(viewer, user.as_str(), now))
        };
        let mut users: Users = users
            .filter(|(user, _)| is_seen(user))
            .map(|(user, since)| (user.to_string(), since))
            .collect();
        users.sort_by_key(|&(_, since)| Reverse(since));
        users
    }

    /// The posts that `viewer` sees and whose content `is_wanted`, newest first.
    pub(crate) fn posts_seen(
        &self,
        viewer: &str,
        is_wanted: impl Fn(&Content) -> bool,
    ) -> Vec<u64> {
        let newest_first = self.posts.iter().rev();
        let seen = newest_first
            .filter(|(at, post)| self.sees(viewer, **at) && is_wanted(&post.content))
            .map(|(&at, _)| at);
        seen.collect()
    }

    /// The replies to `post` that `viewer` sees, newest first.
    pub(crate) fn replies(&self, viewer: &str, post: u64) -> Vec<u64> {
        self.posts_seen(viewer, |content| parent_of(content) == Some(post))
    }

    /// The quotes of `post` that `viewer` sees, newest first.
    pub(crate) fn quotes(&self, viewer: &str, post: u64) -> Vec<u64> {
        self.posts_seen(viewer, |content| content.quote.as_ref().map(revision_of) == Some(post))
    }

    /// Whether the post exists, and no block hides its author from `viewer`.
    pub(crate) fn sees(&self, viewer: &str, post: u64) -> bool {
        self.retracted(post).is_none()
            && !self.blocked_either_way(viewer, self.author(post), self.head())
    }

    /// The posts of `author` as `viewer` sees them, newest first; with replies and reposts if
    /// wanted.
    pub(crate) fn posts_of(
        &self,
        viewer: &str,
        author: &str,
        with_replies: bool,
        with_reposts: bool,
    ) -> Vec<Entry> {
        let newest_first = (1..=self.head()).rev().filter_map(|at| self.entry(at));
        let is_wanted = |entry: &Entry| match entry.is_repost {
            true => with_reposts && self.retracted(entry.at).is_none(),
            false => with_replies || self.content(entry.post).reply_to.is_none(),
        };
        newest_first
            .filter(|entry| entry.by == author && is_wanted(entry) && self.sees(viewer, entry.post))
            .collect()
    }

    /// The number of likes of `author`'s existing posts, by users whom no block hides from
    /// `viewer`.
    pub(crate) fn likes_received(&self, viewer: &str, author: &str) -> usize {
        let posts = self.posts().into_iter();
        let posts =
            posts.filter(|&post| self.author(post) == author && self.retracted(post).is_none());
        posts.map(|post| self.likes(viewer, post).len()).sum()
    }

    /// The revision of the post that `post` replies to.
    pub(crate) fn parent(&self, post: u64) -> Option<u64> {
        parent_of(self.content(post))
    }

    /// All replies to `post` that there ever were, oldest first.
    pub(crate) fn all_replies(&self, post: u64) -> Vec<u64> {
        let posts = self.posts().into_iter();
        posts.filter(|&reply| self.parent(reply) == Some(post)).collect()
    }

    /// The replies below `root` down to `depth`, level by level, each with its parent: those that a
    /// thread lists for `viewer`.
    pub(crate) fn replies_below(&self, viewer: &str, root: u64, depth: usize) -> Vec<(u64, u64)> {
        let mut below = Vec::new();
        let mut level = vec![root];
        for _ in 0..depth {
            let mut next = Vec::new();
            for &post in self.posts.keys() {
                if let Some(parent) = self.parent(post).filter(|parent| level.contains(parent))
                    && self.is_listed(viewer, post)
                {
                    below.push((post, parent));
                    next.push(post);
                }
            }
            level = next;
        }
        below
    }

    /// Whether a thread lists the reply: `viewer` sees it, or one below it with only gaps between.
    pub(crate) fn is_listed(&self, viewer: &str, reply: u64) -> bool {
        self.sees(viewer, reply)
            || self.all_replies(reply).into_iter().any(|below| self.is_listed(viewer, below))
    }

    /// The notifications of `viewer` in short, newest first.
    pub(crate) fn notifications(&self, viewer: &str) -> Vec<(u64, String)> {
        let viewpoint = Viewpoint::page(self.head());
        let notification = |at: u64| {
            let (actor, kind, subject) = self.notification(viewer, at, viewpoint)?;
            Some((at, format!("{} {actor} {}", kind.to_lowercase(), subject.unwrap_or_default())))
        };
        (1..=self.head()).rev().filter_map(notification).collect()
    }

    /// The notification of `viewer` that the change at `at` makes and that still exists: the actor,
    /// the kind, and the revision of the post that it is about.
    pub(crate) fn notification(
        &self,
        viewer: &str,
        at: u64,
        viewpoint: Viewpoint,
    ) -> Option<(String, &'static str, Option<u64>)> {
        let is_viewers = |post: &PostRef| post.author.as_str() == viewer;
        let still_holds =
            |relation: Relation| (self.since(&relation, self.head()) == Some(at)).then_some(());
        let (actor, kind, subject) = match self.change(at).clone() {
            Change::Follow { follower, followee } if followee.as_str() == viewer => {
                still_holds(Relation::Follow(follower.clone(), followee))?;
                (follower, "Follow", None)
            }
            Change::Like { user, post } if is_viewers(&post) => {
                still_holds(Relation::Like(user.clone(), post.id))?;
                (user, "Like", Some(revision_of(&post)))
            }
            Change::Repost { user, post } if is_viewers(&post) => {
                still_holds(Relation::Repost(user.clone(), post.id))?;
                (user, "Repost", Some(revision_of(&post)))
            }
            Change::Publish { author, content, .. } => {
                let parent = content.reply_to.as_ref().map(|reply_to| &reply_to.parent);
                if let Some(parent) = parent.filter(|parent| is_viewers(parent)) {
                    (author, "Reply", Some(revision_of(parent)))
                } else if let Some(quote) = content.quote.as_ref().filter(|quote| is_viewers(quote))
                {
                    (author, "Quote", Some(revision_of(quote)))
                } else if self.mentions(&content, viewer, at)
                    && !self.blocked_either_way(viewer, author.as_str(), at)
                {
                    (author, "Mention", None)
                } else {
                    return None;
                }
            }
            _ => return None,
        };
        let exists = subject.is_none_or(|post| self.retracted(post).is_none())
            && self.retracted(at).is_none();
        let is_shown =
            exists && actor != user(viewer) && !self.is_hidden(viewer, actor.as_str(), viewpoint);
        is_shown.then(|| (actor.to_string(), kind, subject))
    }
}

fn parent_of(content: &Content) -> Option<u64> {
    content.reply_to.as_ref().map(|reply_to| revision_of(&reply_to.parent))
}
