//! What the model reads, by definition, a line for each thing that can be told apart.

use whimbrel::model::Content;

use super::THREAD_DEPTH;
use super::rules::Model;
use crate::oracle::world::{Entry, Options, Tie};

impl Model {
    pub(super) fn feed(&self, reader: &str, options: Options) -> Vec<String> {
        let feed = self.world.feed(reader, options);
        feed.iter().map(|entry| self.entry(reader, entry)).collect()
    }

    /// What a stream tells that goes on after so many changes ago.
    pub(super) fn told(&self, watcher: &str, changes_ago: u64, all_replies: bool) -> Vec<String> {
        let now = self.world.head();
        let told = (now.saturating_sub(changes_ago) + 1..=now).filter_map(|at| {
            let told = self.world.told(watcher, at, now, all_replies)?;
            Some(format!("{at} {told}"))
        });
        told.collect()
    }

    /// Everything that `viewer` sees of `other`, of a post, and of what concerns themselves.
    pub(super) fn look(&self, viewer: &str, other: &str, number: usize) -> Vec<String> {
        let world = &self.world;
        let mut lines = vec![self.relationship(viewer, other)];
        let blocks = world.tied(None, |tie| match tie {
            Tie::Block(one, other) if one == viewer => Some(other),
            _ => None,
        });
        let mutes = world.tied(None, |tie| match tie {
            Tie::Mute(one, other) if one == viewer => Some(other),
            _ => None,
        });
        lines.extend([listed("blocks", &blocks), listed("mutes", &mutes)]);
        if viewer != other && self.are_apart(viewer, other) {
            lines.push("blocked".to_owned());
        } else {
            lines.extend(self.person(viewer, other));
        }
        let notifications = world.notifications(viewer);
        let seen = self.seen.get(viewer).copied().unwrap_or_default();
        let unseen = notifications.iter().filter(|(at, _)| *at > seen).count();
        lines.push(format!("{unseen} unseen since {seen}"));
        lines.extend(notifications.into_iter().map(|(at, what)| format!("{at} {what}")));

        let posts = world.posts().into_iter().filter(|&place| world.sees(viewer, place));
        lines.extend(posts.map(|place| self.post_line(viewer, place)));
        match self.post(number) {
            None => lines.push("no post".to_owned()),
            Some(post) => lines.extend(self.around(viewer, post.id.revision().get())),
        }
        lines
    }

    fn relationship(&self, viewer: &str, other: &str) -> String {
        let (one, two) = (|| viewer.to_owned(), || other.to_owned());
        let so = [
            Tie::Follow(one(), two()),
            Tie::Follow(two(), one()),
            Tie::Block(one(), two()),
            Tie::Block(two(), one()),
            Tie::Mute(one(), two()),
        ];
        format!("{:?}", so.map(|tie| self.is_so(&tie)))
    }

    fn person(&self, viewer: &str, other: &str) -> Vec<String> {
        let followers = self.world.tied(Some(viewer), |tie| match tie {
            Tie::Follow(one, two) if two == other => Some(one),
            _ => None,
        });
        let following = self.world.tied(Some(viewer), |tie| match tie {
            Tie::Follow(one, two) if one == other => Some(two),
            _ => None,
        });
        let posts = |with_replies, with_reposts| {
            let posts = self.world.posts_of(viewer, other, with_replies, with_reposts);
            posts.into_iter().map(|entry| self.entry(viewer, &entry)).collect::<Vec<_>>()
        };
        let likes = self.world.likes_received(viewer, other);
        let counts = [followers.len(), following.len(), posts(true, false).len(), likes];
        let mut lines = vec![format!("{counts:?}")];
        lines.extend([listed("followers", &followers), listed("following", &following)]);
        for (with_replies, with_reposts) in [(false, false), (true, false), (true, true)] {
            lines.extend(posts(with_replies, with_reposts));
        }
        lines
    }

    /// What is around a post.
    fn around(&self, viewer: &str, place: u64) -> Vec<String> {
        let world = &self.world;
        let line = |it: u64, parent: Option<u64>| {
            let shown = match (world.retracted(it), world.sees(viewer, it)) {
                (Some(_), _) => "deleted",
                (None, true) => "shown",
                (None, false) => "hidden",
            };
            format!("{it} below {}: {shown}", parent.unwrap_or_default())
        };
        let parent = |it: &u64| parent(world.content(*it));
        let mut above: Vec<_> = std::iter::successors(Some(place), parent).collect();
        above.reverse();
        let mut lines: Vec<_> = above.iter().map(|it| line(*it, parent(it))).collect();
        let below = world.answers_below(viewer, place, THREAD_DEPTH);
        lines.extend(below.into_iter().map(|(it, parent)| line(it, Some(parent))));
        if !world.sees(viewer, place) {
            lines.push("no post".to_owned());
            return lines;
        }
        let (likes, reposts) = (self.likes(viewer, place), self.reposts(viewer, place));
        lines.extend([listed("likes", &likes), listed("reposts", &reposts)]);
        for posts in [self.replies(viewer, place), self.quotes(viewer, place)] {
            lines.extend(posts.into_iter().map(|post| self.post_line(viewer, post)));
        }
        lines
    }

    fn likes(&self, viewer: &str, place: u64) -> Vec<(String, u64)> {
        self.world.tied(Some(viewer), |tie| match tie {
            Tie::Like(who, of) if *of == place => Some(who),
            _ => None,
        })
    }

    fn reposts(&self, viewer: &str, place: u64) -> Vec<(String, u64)> {
        self.world.tied(Some(viewer), |tie| match tie {
            Tie::Repost(who, of) if *of == place => Some(who),
            _ => None,
        })
    }

    fn replies(&self, viewer: &str, place: u64) -> Vec<u64> {
        self.world.posts_seen(viewer, |content| parent(content) == Some(place))
    }

    fn quotes(&self, viewer: &str, place: u64) -> Vec<u64> {
        self.world.posts_seen(viewer, |content| {
            content.quote.as_ref().map(|quote| quote.id.revision().get()) == Some(place)
        })
    }

    /// An entry of a feed, and who is why it is there.
    fn entry(&self, viewer: &str, entry: &Entry) -> String {
        let by = if entry.is_repost { entry.by.as_str() } else { "" };
        format!("{} {by} {}", entry.at, self.post_line(viewer, entry.post))
    }

    /// A post as `viewer` sees it. Each count is the length of a list.
    fn post_line(&self, viewer: &str, place: u64) -> String {
        let counts = [
            self.likes(viewer, place).len(),
            self.reposts(viewer, place).len(),
            self.replies(viewer, place).len(),
            self.quotes(viewer, place).len(),
        ];
        let liked = self.is_so(&Tie::Like(viewer.to_owned(), place));
        let reposted = self.is_so(&Tie::Repost(viewer.to_owned(), place));
        let (author, text) = (self.world.author(place), self.world.content(place).text.as_str());
        format!("p{place} {author}: {text} {counts:?} {liked} {reposted}")
    }
}

/// Users and since when, on a line.
pub(super) fn listed(name: &str, users: &[(String, u64)]) -> String {
    let users: Vec<_> = users.iter().map(|(user, since)| format!(" {user}@{since}")).collect();
    format!("{name}:{}", users.concat())
}

fn parent(content: &Content) -> Option<u64> {
    content.reply_to.as_ref().map(|to| to.parent.id.revision().get())
}
