//! Home feeds by definition, and the events that a live feed delivers.

use whimbrel::model::{Change, PostRef, Relation, RelationKind, UserId};

use super::history::{Oracle, Post, block};
use crate::harness::core::user;

/// The number of earlier entries among which the original hides a repost.
const REPOST_WINDOW: usize = 40;

/// One entry of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The revision of the post, or of the repost.
    pub(crate) at: u64,
    /// The revision of the post.
    pub(crate) post: u64,
    /// The user whose followers get it: the author, or the reposter.
    pub(crate) by: String,
    pub(crate) is_repost: bool,
}

/// The options of a home feed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) with_own: bool,
    pub(crate) all_replies: bool,
}

/// The state by which the rules of feeds are applied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Viewpoint {
    /// Follows, blocks and mutes are those of this revision,
    state_at: u64,
    /// and a follow counts only if it was set before this one.
    before: u64,
    /// A post or repost that was retracted after this revision still exists.
    retracted_until: u64,
}

impl Viewpoint {
    /// The viewpoint of a page that is read when the log ends at `now`.
    pub(crate) fn page(now: u64) -> Self {
        Self { state_at: now, before: u64::MAX, retracted_until: now }
    }

    /// The viewpoint of a stream that reads the change at `at` when the log ends at `now`.
    pub(crate) fn resumed(at: u64, now: u64) -> Self {
        Self { state_at: now, before: at, retracted_until: at }
    }
}

impl Oracle {
    fn follows(&self, one: &str, other: &str, viewpoint: Viewpoint) -> bool {
        let follow = Relation::Follow(user(one), user(other));
        self.since(&follow, viewpoint.state_at).is_some_and(|since| since < viewpoint.before)
    }

    /// Whether a block or a mute hides `other` from `viewer`.
    pub(crate) fn is_hidden(&self, viewer: &str, other: &str, viewpoint: Viewpoint) -> bool {
        let mute = Relation::Mute(user(viewer), user(other));
        [block(viewer, other), block(other, viewer), mute].iter().any(|relation| {
            let ended = self.ended(relation, viewpoint.state_at);
            self.since(relation, viewpoint.state_at).is_some()
                || ended.is_some_and(|ended| ended >= viewpoint.before)
        })
    }

    fn is_retracted(&self, at: u64, viewpoint: Viewpoint) -> bool {
        self.retracted(at).is_some_and(|retracted| retracted <= viewpoint.retracted_until)
    }

    /// The post or repost at `at`, as an entry.
    pub(super) fn entry(&self, at: u64) -> Option<Entry> {
        let entry = |by: &str, post, is_repost| Entry { at, post, by: by.to_owned(), is_repost };
        let repost = self.reposts.get(&at).map(|(by, post)| entry(by, *post, true));
        repost.or_else(|| self.posts.get(&at).map(|post| entry(&post.author, at, false)))
    }

    /// Whether the rules admit `entry` to the feed of `viewer`, retracted or not. The rule for
    /// reposts is not applied.
    fn admits(&self, viewer: &str, entry: &Entry, options: Options, viewpoint: Viewpoint) -> bool {
        let Post { author, content } = &self.posts[&entry.post];
        let sees = |other: &str| other == viewer || !self.is_hidden(viewer, other, viewpoint);
        let sees_author_of = |post: &PostRef| sees(post.author.as_str());
        let is_own = entry.by == viewer;
        let sees_referred = author == viewer
            || content.reply_to.as_ref().is_none_or(|reply_to| sees_author_of(&reply_to.parent))
                && content.quote.as_ref().is_none_or(sees_author_of);
        let is_from_source =
            if is_own { options.with_own } else { self.follows(viewer, &entry.by, viewpoint) };
        let is_wanted_reply = match &content.reply_to {
            Some(reply_to) if !entry.is_repost && !is_own => {
                let (parent, root) =
                    (reply_to.parent.author.as_str(), reply_to.root.author.as_str());
                let is_own_thread = parent == author && root == author;
                options.all_replies
                    || is_own_thread
                    || parent == viewer
                    || self.follows(viewer, parent, viewpoint)
            }
            _ => true,
        };
        is_from_source && is_wanted_reply && sees_referred && sees(&entry.by) && sees(author)
    }

    fn exists(&self, entry: &Entry, viewpoint: Viewpoint) -> bool {
        !self.is_retracted(entry.at, viewpoint) && !self.is_retracted(entry.post, viewpoint)
    }

    /// Whether the feed of `viewer` shows `entry`: the rules admit it, and it reposts none of the
    /// 40 admitted entries before it. Retracted entries count among the 40, but hide no repost.
    pub(crate) fn shows(
        &self,
        viewer: &str,
        entry: &Entry,
        options: Options,
        viewpoint: Viewpoint,
    ) -> bool {
        let admits = |entry: &Entry| self.admits(viewer, entry, options, viewpoint);
        let before = (1..entry.at).rev().filter_map(|at| self.entry(at));
        let mut window = before.filter(admits).take(REPOST_WINDOW);
        let is_same = |older: Entry| older.post == entry.post && self.exists(&older, viewpoint);
        admits(entry) && self.exists(entry, viewpoint) && !(entry.is_repost && window.any(is_same))
    }

    /// The present feed of `viewer`, newest first.
    pub(crate) fn feed(&self, viewer: &str, options: Options) -> Vec<Entry> {
        let viewpoint = Viewpoint::page(self.head());
        let newest_first = (1..=self.head()).rev().filter_map(|at| self.entry(at));
        newest_first.filter(|entry| self.shows(viewer, entry, options, viewpoint)).collect()
    }

    /// The event that a stream of `viewer`'s feed delivers for the change at `at`, in short, if it
    /// reads that change when the log ends at `now`.
    pub(crate) fn delivered(
        &self,
        viewer: &str,
        at: u64,
        now: u64,
        all_replies: bool,
    ) -> Option<String> {
        let options = Options { with_own: true, all_replies };
        let viewpoint = Viewpoint::resumed(at, now);
        let exists = |post: u64| self.retracted(post).is_none_or(|retracted| retracted > now);
        let has_in_feed = |author: &str| {
            author == viewer
                || (self.follows(viewer, author, viewpoint)
                    && !self.is_hidden(viewer, author, viewpoint))
        };
        match self.change(at) {
            Change::Follow { follower, followee } => {
                (follower.as_str() == viewer).then(|| format!("+{followee}"))
            }
            Change::Unfollow { follower, followee, .. } => {
                (follower.as_str() == viewer).then(|| format!("-{followee} unfollowed"))
            }
            Change::Publish { author, content, .. } => {
                let entry = self.entry(at).unwrap();
                (exists(at) && self.shows(viewer, &entry, options, viewpoint))
                    .then(|| format!("{author}: {}", content.text.as_str()))
            }
            Change::Repost { user, post } => {
                let entry = self.entry(at).unwrap();
                (exists(at) && exists(entry.post) && self.shows(viewer, &entry, options, viewpoint))
                    .then(|| format!("{user} reposted {:?}", post.id))
            }
            Change::Unrepost { user, post, .. } => {
                has_in_feed(user.as_str()).then(|| format!("{user} unreposted {:?}", post.id))
            }
            Change::Delete { post, .. } => {
                let mut reposts = self.relations.keys().filter(|relation| {
                    relation.kind() == RelationKind::Repost
                        && relation.post() == Some(post.id)
                        && self.since(relation, at).is_some()
                });
                (has_in_feed(post.author.as_str())
                    || reposts.any(|repost| has_in_feed(repost.user().as_str())))
                .then(|| format!("deleted {:?}", post.id))
            }
            Change::Block { blocker, blocked, .. } if blocker.as_str() == viewer => {
                Some(format!("-{blocked} blocked"))
            }
            Change::Block { blocker, blocked, .. } if blocked.as_str() == viewer => {
                Some(format!("-{blocker} blocked"))
            }
            Change::Mute { muter, muted } => {
                (muter.as_str() == viewer).then(|| format!("-{muted} muted"))
            }
            Change::Unmute { muter, muted, follows: true } => {
                (muter.as_str() == viewer).then(|| format!("+{muted}"))
            }
            Change::Unmute { muter: one, muted: other, .. }
            | Change::Unblock { blocker: one, blocked: other } => {
                let shows_both = matches!(self.change(at), Change::Unblock { .. });
                let shown = match (one.as_str() == viewer, other.as_str() == viewer) {
                    (true, _) => other,
                    (_, true) if shows_both => one,
                    _ => return None,
                };
                let is_hidden = self.is_hidden(viewer, shown.as_str(), Viewpoint::page(now));
                (!is_hidden).then(|| format!("shown {shown}"))
            }
            _ => None,
        }
    }

    /// The changes after `at` that can alter the event of the change at `at`: those of `viewer`'s
    /// own follows, blocks and mutes, and those that retract the post or repost.
    pub(crate) fn later_influences(&self, viewer: &str, at: u64) -> Vec<u64> {
        let is_viewer = |user: &UserId| user.as_str() == viewer;
        let matters = |later: &u64| match self.change(*later) {
            Change::Follow { follower: one, .. }
            | Change::Unfollow { follower: one, .. }
            | Change::Mute { muter: one, .. }
            | Change::Unmute { muter: one, .. } => is_viewer(one),
            Change::Block { blocker: one, blocked: other, .. }
            | Change::Unblock { blocker: one, blocked: other } => {
                is_viewer(one) || is_viewer(other)
            }
            _ => {
                let post = self.entry(at).map_or(at, |entry| entry.post);
                [at, post].iter().any(|at| self.retracted(*at) == Some(*later))
            }
        };
        (at + 1..=self.head()).filter(matters).collect()
    }
}
