//! What feeds, lists and counts are, by definition: the slow and obvious way.
//!
//! It knows the changes, in their order, and nothing of how the server works. Tests compare the
//! server with it.

use std::collections::BTreeMap;

use whimbrel::model::{Change, Content, PostRef, UserId};

/// How far back the rule looks that leaves out reposts.
const REPOST_WINDOW: usize = 40;

/// Everything that was made.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    /// The change at revision 1, 2, 3 …
    changes: Vec<Change>,
    ties: BTreeMap<Tie, Vec<Span>>,
    posts: BTreeMap<u64, Post>,
    /// Posts and reposts that were deleted or taken back, and when.
    retracted: BTreeMap<u64, u64>,
    /// Reposts, by where they are.
    reposts: BTreeMap<u64, (String, u64)>,
}

/// Something that can be so for a while.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tie {
    Follow(String, String),
    Block(String, String),
    Mute(String, String),
    Like(String, u64),
    Repost(String, u64),
}

/// It was so from a revision on, until another.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: u64,
    until: Option<u64>,
}

#[derive(Clone, Debug)]
struct Post {
    author: String,
    content: Content,
}

/// One entry of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its place: of the post or of the repost.
    pub(crate) at: u64,
    /// The post.
    pub(crate) post: u64,
    /// Whose feed-followers it concerns: the author, or who reposted it.
    pub(crate) by: String,
    pub(crate) is_repost: bool,
}

/// Which feed of a user's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) with_own: bool,
    pub(crate) all_replies: bool,
}

/// By which state it is told what is in a feed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lens {
    /// Who follows and hides whom is taken from this moment.
    state_at: u64,
    /// And counts only if it is older than this.
    before: u64,
    /// What was retracted after this is still there.
    retracted_until: u64,
}

impl Lens {
    /// A page that is read when the log ends at `now`.
    pub(crate) fn page(now: u64) -> Self {
        Self { state_at: now, before: u64::MAX, retracted_until: now }
    }

    /// A stream that reads at `now` what happened at `at`.
    pub(crate) fn resumed(at: u64, now: u64) -> Self {
        Self { state_at: now, before: at, retracted_until: at }
    }
}

impl World {
    /// The revision of the newest change.
    pub(crate) fn head(&self) -> u64 {
        self.changes.len() as u64
    }

    /// The change at `revision`.
    pub(crate) fn change(&self, revision: u64) -> &Change {
        &self.changes[usize::try_from(revision).unwrap() - 1]
    }

    /// Adds the next change, and gives its revision.
    pub(crate) fn push(&mut self, change: Change) -> u64 {
        let at = self.head() + 1;
        self.changes.push(change.clone());
        match change {
            Change::Follow { follower, followee } => self.begin(follow(follower, followee), at),
            Change::Unfollow { follower, followee, .. } => {
                self.end(&follow(follower, followee), at)
            }
            Change::Publish { author, content, .. } => {
                self.posts.insert(at, Post { author: author.to_string(), content });
            }
            Change::Erased { .. } => panic!("an erased post is not made"),
            Change::Delete { post, .. } => {
                self.retracted.insert(post.id.revision().get(), at);
            }
            Change::Like { user, post } => {
                self.begin(Tie::Like(user.to_string(), post.id.revision().get()), at);
            }
            Change::Unlike { user, post, .. } => {
                self.end(&Tie::Like(user.to_string(), post.id.revision().get()), at);
            }
            Change::Repost { user, post } => {
                let post = post.id.revision().get();
                self.reposts.insert(at, (user.to_string(), post));
                self.begin(Tie::Repost(user.to_string(), post), at);
            }
            Change::Unrepost { user, post, .. } => {
                let tie = Tie::Repost(user.to_string(), post.id.revision().get());
                let repost = self.since(&tie, at).expect("a repost to take back");
                self.retracted.insert(repost, at);
                self.end(&tie, at);
            }
            Change::Block { blocker, blocked, severed } => {
                let (one, other) = (blocker.to_string(), blocked.to_string());
                self.begin(Tie::Block(one, other), at);
                if severed.following {
                    self.end(&follow(blocker.clone(), blocked.clone()), at);
                }
                if severed.follower {
                    self.end(&follow(blocked, blocker), at);
                }
            }
            Change::Unblock { blocker, blocked } => {
                self.end(&Tie::Block(blocker.to_string(), blocked.to_string()), at);
            }
            Change::Mute { muter, muted } => {
                self.begin(Tie::Mute(muter.to_string(), muted.to_string()), at);
            }
            Change::Unmute { muter, muted, .. } => {
                self.end(&Tie::Mute(muter.to_string(), muted.to_string()), at);
            }
            Change::See { .. } => {}
        }
        at
    }

    fn begin(&mut self, tie: Tie, at: u64) {
        self.ties.entry(tie).or_default().push(Span { from: at, until: None });
    }

    fn end(&mut self, tie: &Tie, at: u64) {
        let spans = self.ties.get_mut(tie).expect("something to end");
        spans.last_mut().expect("something to end").until = Some(at);
    }

    /// Since when `tie` is so at `at`.
    pub(crate) fn since(&self, tie: &Tie, at: u64) -> Option<u64> {
        let is_so = |span: &&Span| span.from <= at && span.until.is_none_or(|until| at < until);
        self.ties.get(tie)?.iter().find(is_so).map(|span| span.from)
    }

    /// When `tie` ended last by `at`.
    fn ended(&self, tie: &Tie, at: u64) -> Option<u64> {
        let ends = self.ties.get(tie)?.iter().filter_map(|span| span.until);
        ends.filter(|&until| until <= at).max()
    }

    /// Whether one of the two blocks the other at `at`.
    pub(crate) fn are_apart(&self, one: &str, other: &str, at: u64) -> bool {
        self.since(&block(one, other), at).or_else(|| self.since(&block(other, one), at)).is_some()
    }

    fn follows(&self, user: &str, other: &str, lens: Lens) -> bool {
        let tie = Tie::Follow(user.to_owned(), other.to_owned());
        self.since(&tie, lens.state_at).is_some_and(|since| since < lens.before)
    }

    /// Whether `viewer` does not see `other`.
    pub(crate) fn is_hidden(&self, viewer: &str, other: &str, lens: Lens) -> bool {
        let hiding = [
            block(viewer, other),
            block(other, viewer),
            Tie::Mute(viewer.to_owned(), other.to_owned()),
        ];
        hiding.iter().any(|tie| {
            let is_so = self.since(tie, lens.state_at).is_some();
            let ended = self.ended(tie, lens.state_at);
            is_so || ended.is_some_and(|ended| ended >= lens.before)
        })
    }

    fn is_gone(&self, place: u64, lens: Lens) -> bool {
        self.retracted.get(&place).is_some_and(|&at| at <= lens.retracted_until)
    }

    /// When the post or repost at `place` was deleted or taken back.
    pub(crate) fn retracted(&self, place: u64) -> Option<u64> {
        self.retracted.get(&place).copied()
    }

    /// Whether `name` is a user right before `at`: an earlier change named them.
    pub(crate) fn is_user(&self, name: &str, at: u64) -> bool {
        let earlier = &self.changes[..usize::try_from(at).unwrap() - 1];
        earlier.iter().flat_map(names).any(|named| named.as_str() == name)
    }

    /// Whether `content`, published at `at`, mentions `user`.
    pub(crate) fn mentions(&self, content: &Content, user: &str, at: u64) -> bool {
        content.text.as_str().contains(&format!("@{user}")) && self.is_user(user, at)
    }

    /// Who published the post at `place`.
    pub(crate) fn author(&self, place: u64) -> &str {
        &self.posts[&place].author
    }

    /// What the post at `place` says.
    pub(crate) fn content(&self, place: u64) -> &Content {
        &self.posts[&place].content
    }

    /// All posts there ever were.
    pub(crate) fn posts(&self) -> Vec<u64> {
        self.posts.keys().copied().collect()
    }

    fn entry(&self, at: u64) -> Option<Entry> {
        let post = |by: &str, post, is_repost| Entry { at, post, by: by.to_owned(), is_repost };
        let repost = self.reposts.get(&at).map(|(by, of)| post(by, *of, true));
        repost.or_else(|| self.posts.get(&at).map(|it| post(&it.author, at, false)))
    }

    /// Whether `entry` belongs into the feed of `viewer`, or would if it were not gone, and if nothing
    /// else did already.
    fn counts(&self, viewer: &str, entry: &Entry, options: Options, lens: Lens) -> bool {
        let Post { author, content } = &self.posts[&entry.post];
        let sees = |other: &str| other == viewer || !self.is_hidden(viewer, other, lens);
        let sees_author_of = |post: &PostRef| sees(post.author.as_str());
        let is_own = entry.by == viewer;
        let sees_referred = author == viewer
            || content.reply_to.as_ref().is_none_or(|reply_to| sees_author_of(&reply_to.parent))
                && content.quote.as_ref().is_none_or(sees_author_of);
        let is_from_here =
            if is_own { options.with_own } else { self.follows(viewer, &entry.by, lens) };
        let is_due = match &content.reply_to {
            Some(reply_to) if !entry.is_repost && !is_own => {
                let (parent, root) =
                    (reply_to.parent.author.as_str(), reply_to.root.author.as_str());
                let is_own_thread = parent == author && root == author;
                options.all_replies
                    || is_own_thread
                    || parent == viewer
                    || self.follows(viewer, parent, lens)
            }
            _ => true,
        };
        is_from_here && is_due && sees_referred && sees(&entry.by) && sees(author)
    }

    fn is_there(&self, entry: &Entry, lens: Lens) -> bool {
        !self.is_gone(entry.at, lens) && !self.is_gone(entry.post, lens)
    }

    /// Whether the feed of `viewer` has `entry`: it belongs there, and is no repost of what is among
    /// the newest 40 entries before it. Of those, the ones that are gone count, but hide nothing.
    pub(crate) fn shows(&self, viewer: &str, entry: &Entry, options: Options, lens: Lens) -> bool {
        let before = (1..entry.at).rev().filter_map(|at| self.entry(at));
        let mut window =
            before.filter(|older| self.counts(viewer, older, options, lens)).take(REPOST_WINDOW);
        let is_same = |older: Entry| older.post == entry.post && self.is_there(&older, lens);
        self.counts(viewer, entry, options, lens)
            && self.is_there(entry, lens)
            && !(entry.is_repost && window.any(is_same))
    }

    /// The feed of `viewer` as it is now, newest first.
    pub(crate) fn feed(&self, viewer: &str, options: Options) -> Vec<Entry> {
        let lens = Lens::page(self.head());
        let newest_first = (1..=self.head()).rev().filter_map(|at| self.entry(at));
        newest_first.filter(|entry| self.shows(viewer, entry, options, lens)).collect()
    }

    /// What a stream of `viewer`'s feed tells of the change at `at`, if it looks at that when the log
    /// ends at `now`: nothing, or what happened in few words.
    pub(crate) fn told(
        &self,
        viewer: &str,
        at: u64,
        now: u64,
        all_replies: bool,
    ) -> Option<String> {
        let options = Options { with_own: true, all_replies };
        let lens = Lens::resumed(at, now);
        let is_there = |place: u64| self.retracted(place).is_none_or(|gone| gone > now);
        let is_follower = |of: &str| {
            of == viewer || (self.follows(viewer, of, lens) && !self.is_hidden(viewer, of, lens))
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
                (is_there(at) && self.shows(viewer, &entry, options, lens))
                    .then(|| format!("{author}: {}", content.text.as_str()))
            }
            Change::Repost { user, post } => {
                let entry = self.entry(at).unwrap();
                let is_due = is_there(at) && is_there(entry.post);
                (is_due && self.shows(viewer, &entry, options, lens))
                    .then(|| format!("{user} reposted {}", post.id))
            }
            Change::Unrepost { user, post, .. } => {
                is_follower(user.as_str()).then(|| format!("{user} unreposted {}", post.id))
            }
            Change::Delete { post, .. } => {
                let place = post.id.revision().get();
                let reposters = self.ties.keys().filter_map(|tie| match tie {
                    Tie::Repost(user, of) if *of == place => Some(user),
                    _ => None,
                });
                let reposts = |user: &&String| {
                    self.since(&Tie::Repost(user.to_string(), place), at).is_some()
                };
                (is_follower(post.author.as_str())
                    || reposters.filter(reposts).any(|user| is_follower(user)))
                .then(|| format!("deleted {}", post.id))
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
                let is_of_both = matches!(self.change(at), Change::Unblock { .. });
                let shown = match (one.as_str() == viewer, other.as_str() == viewer) {
                    (true, _) => other,
                    (_, true) if is_of_both => one,
                    _ => return None,
                };
                let is_hidden = self.is_hidden(viewer, shown.as_str(), Lens::page(now));
                (!is_hidden).then(|| format!("shown {shown}"))
            }
            _ => None,
        }
    }

    /// The changes after `at` by which it may be told otherwise what happened there: those of whom
    /// `viewer` follows and hides, and of what is there still.
    pub(crate) fn matters_after(&self, viewer: &str, at: u64) -> Vec<u64> {
        let of_viewer = |user: &UserId| user.as_str() == viewer;
        let matters = |later: &u64| match self.change(*later) {
            Change::Follow { follower: one, .. }
            | Change::Unfollow { follower: one, .. }
            | Change::Mute { muter: one, .. }
            | Change::Unmute { muter: one, .. } => of_viewer(one),
            Change::Block { blocker: one, blocked: other, .. }
            | Change::Unblock { blocker: one, blocked: other } => {
                of_viewer(one) || of_viewer(other)
            }
            _ => {
                let of = self.entry(at).map_or(at, |entry| entry.post);
                [at, of].iter().any(|place| self.retracted(*place) == Some(*later))
            }
        };
        (at + 1..=self.head()).filter(matters).collect()
    }

    /// Those whom `tie` names, of the ties that are so now, with since when, newest first; without
    /// those whom `viewer` does not see, if there is one.
    pub(crate) fn tied(
        &self,
        viewer: Option<&str>,
        tie: impl Fn(&Tie) -> Option<&String>,
    ) -> Vec<(String, u64)> {
        let now = self.head();
        let tied = self.ties.keys().filter_map(|key| Some((tie(key)?, self.since(key, now)?)));
        let is_seen = |user: &str| viewer.is_none_or(|viewer| !self.are_apart(viewer, user, now));
        let mut tied: Vec<_> = tied
            .filter(|(user, _)| is_seen(user))
            .map(|(user, since)| (user.clone(), since))
            .collect();
        tied.sort_by_key(|&(_, since)| std::cmp::Reverse(since));
        tied
    }

    /// The posts that are there, and that `viewer` sees, and that are as `is_wanted` says, newest
    /// first.
    pub(crate) fn posts_seen(
        &self,
        viewer: &str,
        is_wanted: impl Fn(&Content) -> bool,
    ) -> Vec<u64> {
        let seen = self
            .posts
            .iter()
            .rev()
            .filter(|(place, post)| self.sees(viewer, **place) && is_wanted(&post.content));
        seen.map(|(&place, _)| place).collect()
    }

    /// Whether the post at `place` is there, and `viewer` sees it.
    pub(crate) fn sees(&self, viewer: &str, place: u64) -> bool {
        self.retracted(place).is_none() && !self.are_apart(viewer, self.author(place), self.head())
    }

    /// What `author` published, newest first, as `viewer` sees it: posts, and if wanted replies and
    /// reposts.
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

    /// How many likes the posts of `author` have that are there, of those whom `viewer` sees.
    pub(crate) fn likes_received(&self, viewer: &str, author: &str) -> usize {
        let now = self.head();
        let is_of_author =
            |place: u64| self.author(place) == author && self.retracted(place).is_none();
        let likes = self.ties.keys().filter(|tie| match tie {
            Tie::Like(user, place) => {
                is_of_author(*place)
                    && self.since(tie, now).is_some()
                    && !self.are_apart(viewer, user, now)
            }
            _ => false,
        });
        likes.count()
    }

    /// What answers `root`, to this depth, level by level, each with what it answers: those that
    /// `viewer` sees, and those that something seen hangs on.
    pub(crate) fn answers_below(&self, viewer: &str, root: u64, depth: usize) -> Vec<(u64, u64)> {
        let mut below = Vec::new();
        let mut level = vec![root];
        for _ in 0..depth {
            let mut next = Vec::new();
            for (&place, post) in &self.posts {
                let parent = post.content.reply_to.as_ref().map(|to| place_of(&to.parent));
                if let Some(parent) = parent.filter(|parent| level.contains(parent))
                    && self.is_alive(viewer, place)
                {
                    below.push((place, parent));
                    next.push(place);
                }
            }
            level = next;
        }
        below
    }

    fn is_alive(&self, viewer: &str, place: u64) -> bool {
        self.sees(viewer, place)
            || self.posts.iter().any(|(&answer, post)| {
                let parent = post.content.reply_to.as_ref().map(|to| place_of(&to.parent));
                parent == Some(place) && self.is_alive(viewer, answer)
            })
    }

    /// What `user` is notified of, newest first, in few words.
    pub(crate) fn notifications(&self, user: &str) -> Vec<(u64, String)> {
        let now = self.head();
        let lens = Lens::page(now);
        let notice = |at: u64| {
            let (actor, what, subject) = self.notice(user, at)?;
            let is_there = subject.is_none_or(|place| self.retracted(place).is_none())
                && self.retracted(at).is_none();
            let is_told = is_there && actor != user && !self.is_hidden(user, &actor, lens);
            is_told.then(|| (at, format!("{what} {actor} {}", subject.unwrap_or_default())))
        };
        (1..=now).rev().filter_map(notice).collect()
    }

    /// Who did what to `user` at `at`, if it was not taken back, and to which post.
    fn notice(&self, user: &str, at: u64) -> Option<(String, &'static str, Option<u64>)> {
        let now = self.head();
        let is_so_since = |tie: Tie| self.since(&tie, now) == Some(at);
        match self.change(at) {
            Change::Follow { follower, followee } if followee.as_str() == user => {
                let stands = is_so_since(follow(follower, followee));
                stands.then(|| (follower.to_string(), "follow", None))
            }
            Change::Like { user: by, post } if post.author.as_str() == user => {
                let stands = is_so_since(Tie::Like(by.to_string(), place_of(post)));
                stands.then(|| (by.to_string(), "like", Some(place_of(post))))
            }
            Change::Repost { user: by, post } if post.author.as_str() == user => {
                let stands = is_so_since(Tie::Repost(by.to_string(), place_of(post)));
                stands.then(|| (by.to_string(), "repost", Some(place_of(post))))
            }
            Change::Publish { author, content, .. } => {
                let by = author.to_string();
                let parent = content.reply_to.as_ref().map(|to| &to.parent);
                if let Some(parent) = parent.filter(|parent| parent.author.as_str() == user) {
                    return Some((by, "reply", Some(place_of(parent))));
                }
                if let Some(quote) = content.quote.as_ref().filter(|it| it.author.as_str() == user)
                {
                    return Some((by, "quote", Some(place_of(quote))));
                }
                let is_mentioned = self.mentions(content, user, at);
                let is_told = is_mentioned && !self.are_apart(user, author.as_str(), at);
                is_told.then_some((by, "mention", None))
            }
            _ => None,
        }
    }
}

/// The users that `change` names, of those who may not have been named before it.
fn names(change: &Change) -> Vec<&UserId> {
    match change {
        Change::Follow { follower: one, followee: other }
        | Change::Block { blocker: one, blocked: other, .. }
        | Change::Mute { muter: one, muted: other } => vec![one, other],
        Change::Publish { author: one, .. }
        | Change::Like { user: one, .. }
        | Change::Repost { user: one, .. }
        | Change::See { user: one, .. } => vec![one],
        // What is taken back was made before.
        _ => Vec::new(),
    }
}

fn place_of(post: &PostRef) -> u64 {
    post.id.revision().get()
}

fn follow(one: impl ToString, other: impl ToString) -> Tie {
    Tie::Follow(one.to_string(), other.to_string())
}

fn block(one: &str, other: &str) -> Tie {
    Tie::Block(one.to_owned(), other.to_owned())
}
