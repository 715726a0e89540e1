//! The model's reads by definition, with one line for each item.

use whimbrel::model::Relation;

use super::THREAD_DEPTH;
use super::rules::Model;
use crate::harness::core::user;
use crate::oracle::feeds::{Entry, Options};
use crate::oracle::history::{post_id, revision_of};

impl Model {
    pub(super) fn feed(&self, reader: &str, options: Options) -> Vec<String> {
        let feed = self.oracle.feed(reader, options);
        feed.iter().map(|entry| self.entry_line(reader, entry)).collect()
    }

    /// The events of a stream that resumes so many changes ago.
    pub(super) fn watch(&self, watcher: &str, changes_ago: u64, all_replies: bool) -> Vec<String> {
        let now = self.oracle.head();
        let events = (now.saturating_sub(changes_ago) + 1..=now).filter_map(|at| {
            let event = self.oracle.delivered(watcher, at, now, all_replies)?;
            Some(format!("{at} {event}"))
        });
        events.collect()
    }

    /// Everything that `viewer` can read about `other` and a post, and their own lists.
    pub(super) fn read_all(&self, viewer: &str, other: &str, number: usize) -> Vec<String> {
        let oracle = &self.oracle;
        let mut lines = vec![self.relationship_line(viewer, other)];
        lines.push(list_line("blocks", &oracle.blocks(viewer)));
        lines.push(list_line("mutes", &oracle.mutes(viewer)));
        if viewer != other && self.blocked_either_way(viewer, other) {
            lines.push("blocked".to_owned());
        } else {
            lines.extend(self.profile(viewer, other));
        }
        let notifications = oracle.notifications(viewer);
        let seen = self.seen.get(viewer).copied().unwrap_or_default();
        let unseen = notifications.iter().filter(|(at, _)| *at > seen).count();
        lines.push(format!("{unseen} unseen since {seen}"));
        lines.extend(notifications.into_iter().map(|(at, what)| format!("{at} {what}")));

        let posts = oracle.posts().into_iter().filter(|&post| oracle.sees(viewer, post));
        lines.extend(posts.map(|post| self.post_line(viewer, post)));
        match self.post(number) {
            None => lines.push("no post".to_owned()),
            Some(post) => lines.extend(self.thread_and_lists(viewer, revision_of(&post))),
        }
        lines
    }

    fn relationship_line(&self, viewer: &str, other: &str) -> String {
        let (viewer, other) = (|| user(viewer), || user(other));
        let flags = [
            Relation::Follow(viewer(), other()),
            Relation::Follow(other(), viewer()),
            Relation::Block(viewer(), other()),
            Relation::Block(other(), viewer()),
            Relation::Mute(viewer(), other()),
        ];
        format!("{:?}", flags.map(|relation| self.oracle.holds(&relation)))
    }

    fn profile(&self, viewer: &str, other: &str) -> Vec<String> {
        let followers = self.oracle.followers(viewer, other);
        let following = self.oracle.following(viewer, other);
        let posts = |with_replies, with_reposts| {
            let posts = self.oracle.posts_of(viewer, other, with_replies, with_reposts);
            posts.iter().map(|entry| self.entry_line(viewer, entry)).collect::<Vec<_>>()
        };
        let likes = self.oracle.likes_received(viewer, other);
        let counts = [followers.len(), following.len(), posts(true, false).len(), likes];
        let mut lines = vec![format!("{counts:?}")];
        lines.extend([list_line("followers", &followers), list_line("following", &following)]);
        for (with_replies, with_reposts) in [(false, false), (true, false), (true, true)] {
            lines.extend(posts(with_replies, with_reposts));
        }
        lines
    }

    /// The thread of a post, and the lists of its likes, reposts, replies and quotes.
    fn thread_and_lists(&self, viewer: &str, post: u64) -> Vec<String> {
        let oracle = &self.oracle;
        let line = |post: u64, parent: Option<u64>| {
            let shown = match (oracle.retracted(post), oracle.sees(viewer, post)) {
                (Some(_), _) => "deleted",
                (None, true) => "shown",
                (None, false) => "hidden",
            };
            format!("{post} below {}: {shown}", parent.unwrap_or_default())
        };
        let parent = |post: &u64| oracle.parent(*post);
        let mut above: Vec<_> = std::iter::successors(Some(post), parent).collect();
        above.reverse();
        let mut lines: Vec<_> = above.iter().map(|post| line(*post, parent(post))).collect();
        let below = oracle.replies_below(viewer, post, THREAD_DEPTH);
        lines.extend(below.into_iter().map(|(post, parent)| line(post, Some(parent))));
        if !oracle.sees(viewer, post) {
            lines.push("no post".to_owned());
            return lines;
        }
        lines.push(list_line("likes", &oracle.likes(viewer, post)));
        lines.push(list_line("reposts", &oracle.reposts(viewer, post)));
        for posts in [oracle.replies(viewer, post), oracle.quotes(viewer, post)] {
            lines.extend(posts.into_iter().map(|post| self.post_line(viewer, post)));
        }
        lines
    }

    /// An entry of a feed, and its reposter if it is a repost.
    fn entry_line(&self, viewer: &str, entry: &Entry) -> String {
        let by = if entry.is_repost { entry.by.as_str() } else { "" };
        format!("{} {by} {}", entry.at, self.post_line(viewer, entry.post))
    }

    /// A post as `viewer` sees it. Each count is the length of a list.
    fn post_line(&self, viewer: &str, post: u64) -> String {
        let oracle = &self.oracle;
        let counts = [
            oracle.likes(viewer, post).len(),
            oracle.reposts(viewer, post).len(),
            oracle.replies(viewer, post).len(),
            oracle.quotes(viewer, post).len(),
        ];
        let liked = oracle.holds(&Relation::Like(user(viewer), post_id(post)));
        let reposted = oracle.holds(&Relation::Repost(user(viewer), post_id(post)));
        let (author, text) = (oracle.author(post), oracle.content(post).text.as_str());
        format!("{:?} {author}: {text} {counts:?} {liked} {reposted}", post_id(post))
    }
}

/// The users of a list, each with the revision since which they are in it.
pub(super) fn list_line(name: &str, users: &[(String, u64)]) -> String {
    let users: Vec<_> = users.iter().map(|(user, since)| format!(" {user}@{since}")).collect();
    format!("{name}:{}", users.concat())
}
