//! The users, follows and posts that every system is loaded with. Users and posts are numbers here,
//! never a system's own ids: each system maps them.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// The length of every post's text.
pub(crate) const TEXT_BYTES: usize = 140;
/// The text of posts, after their number, cut or filled to [`TEXT_BYTES`].
const WORDS: &str = "Saw a whimbrel on the mudflats at low tide, seven notes and gone. The \
                      telescope was in the car, where it lives, and the tide came in";
/// The bytes of the key in a [`message`].
const KEY_AT: Range<usize> = 7..23;

/// The data of a system before a measurement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Data {
    /// Pairs of follower and followee, each once.
    pub(crate) edges: Vec<(u32, u32)>,
    /// The number of posts, which the authors publish in turn.
    pub(crate) posts: u64,
    /// The authors of the posts.
    pub(crate) authors: Range<u32>,
    /// Later actions, in order. Only Whimbrel is loaded with them.
    pub(crate) actions: Vec<UserAction>,
}

/// An action of a user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UserAction {
    pub(crate) user: u32,
    pub(crate) action: Action,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Post,
    Reply(Posted),
    Like(Posted),
    Repost(Posted),
}

/// A post by its position in Whimbrel's log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Posted {
    pub(crate) revision: u64,
    pub(crate) author: u32,
    /// The revision and the author of the root of its thread.
    pub(crate) root: (u64, u32),
}

impl Data {
    /// Users in a ring. Each follows the next `followees` users.
    pub(crate) fn ring(users: u32, followees: u32) -> Self {
        let edges = (0..users)
            .flat_map(|user| (1..=followees).map(move |step| (user, (user + step) % users)))
            .collect();
        Self { edges, authors: 0..users, ..Self::default() }
    }

    /// The author of a post.
    pub(crate) fn author_of(&self, post: u64) -> u32 {
        self.authors.start + (post % u64::from(self.authors.end - self.authors.start)) as u32
    }
}

/// A new post number, greater than those of every [`Data`].
pub(crate) fn next_post() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1 << 32);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The user's name, for systems with names.
pub(crate) fn user_name(user: u32) -> String {
    format!("user{user:07}")
}

/// The text of a post.
pub(crate) fn text(post: u64) -> String {
    let mut text = format!("#{post} {WORDS}");
    text.truncate(TEXT_BYTES);
    while text.len() < TEXT_BYTES {
        text.push('.');
    }
    text
}

/// A post as JSON, for systems that push bytes. The key has a fixed offset, so that a reader need
/// not parse the message.
pub(crate) fn message(author: u32, post: u64) -> String {
    let (author, text) = (user_name(author), text(post));
    format!(r#"{{"id":"{post:016x}","author":"{author}","text":"{text}"}}"#)
}

/// The number of the post in a [`message`].
pub(crate) fn key_of(message: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(message.get(KEY_AT)?).ok()?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The aim: every system pushes the same bytes, and a reader finds the key in them.
    #[test]
    fn texts_have_one_length_and_messages_their_key() {
        for post in [0, 7, 1 << 32, u64::MAX] {
            assert_eq!(text(post).len(), TEXT_BYTES);
            assert_eq!(key_of(message(3, post).as_bytes()), Some(post));
        }
        assert_eq!(key_of(b"short"), None);
    }

    /// The aim: no edge is double or a self-follow. A system that checks would hold fewer edges.
    #[test]
    fn a_ring_has_each_edge_once() {
        let mut edges = Data::ring(10, 3).edges;
        assert!(edges.iter().all(|(follower, followee)| follower != followee));
        edges.sort_unstable();
        edges.dedup();
        assert_eq!(edges.len(), 30);
    }
}
