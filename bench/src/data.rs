//! The users, edges and posts that every system is given alike. Users and posts are numbers here;
//! each system names them as it would.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// The length of every post's text.
pub(crate) const TEXT_BYTES: usize = 140;
/// What posts say, cut or filled to [`TEXT_BYTES`] with their number.
const SAYING: &str = "Saw a whimbrel on the mudflats at low tide, seven notes and gone. The \
                      telescope was in the car, where it lives, and the tide came in";
/// Where the key stands in [`message`].
const KEY_AT: Range<usize> = 7..23;

/// What a system holds when it is measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Data {
    /// Who follows whom, no pair twice.
    pub(crate) edges: Vec<(u32, u32)>,
    /// Posts 0.. of it are by the authors in turn.
    pub(crate) posts: u64,
    /// Who published them.
    pub(crate) authors: Range<u32>,
    /// What happened after all that. Only Whimbrel is given it.
    pub(crate) acts: Vec<Act>,
}

/// Something that somebody did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Act {
    pub(crate) user: u32,
    pub(crate) deed: Deed,
}

/// What they did.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed {
    Post,
    Reply(Posted),
    Like(Posted),
    Repost(Posted),
}

/// A post by its place in Whimbrel's log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Posted {
    pub(crate) revision: u64,
    pub(crate) author: u32,
    /// The revision and the author of the post that its thread begins with.
    pub(crate) root: (u64, u32),
}

impl Data {
    /// So many users in a ring, each of whom follows the `followees` after them.
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

/// A post number that this process has not given yet, beyond all those of any [`Data`].
pub(crate) fn next_post() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1 << 32);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A user's name, where users have names.
pub(crate) fn user_name(user: u32) -> String {
    format!("user{user:07}")
}

/// What a post says.
pub(crate) fn text(post: u64) -> String {
    let mut text = format!("#{post} {SAYING}");
    text.truncate(TEXT_BYTES);
    while text.len() < TEXT_BYTES {
        text.push('.');
    }
    text
}

/// A post as it is pushed by systems that carry bytes and know nothing of posts. The key stands at
/// a fixed place, so that a reader can be lean.
pub(crate) fn message(author: u32, post: u64) -> String {
    let (author, text) = (user_name(author), text(post));
    format!(r#"{{"id":"{post:016x}","author":"{author}","text":"{text}"}}"#)
}

/// The post's number in a [`message`].
pub(crate) fn key_of(message: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(message.get(KEY_AT)?).ok()?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The aim: every system carries the same bytes, and a reader finds the key in them.
    #[test]
    fn texts_have_one_length_and_messages_their_key() {
        for post in [0, 7, 1 << 32, u64::MAX] {
            assert_eq!(text(post).len(), TEXT_BYTES);
            assert_eq!(key_of(message(3, post).as_bytes()), Some(post));
        }
        assert_eq!(key_of(b"short"), None);
    }

    /// The aim: no edge twice and none to oneself, or a system that checks would hold fewer.
    #[test]
    fn a_ring_has_each_edge_once() {
        let mut edges = Data::ring(10, 3).edges;
        assert!(edges.iter().all(|(follower, followee)| follower != followee));
        edges.sort_unstable();
        edges.dedup();
        assert_eq!(edges.len(), 30);
    }
}
