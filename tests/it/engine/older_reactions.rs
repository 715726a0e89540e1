//! What a reader did with posts from before the reactions that memory keeps is read from the index
//! once for all of their newest ones, and again when it may have changed. It is always right.

use std::ops::Range;
use std::sync::Arc;

use whimbrel::config::Limits;
use whimbrel::model::{PostRef, Revision};
use whimbrel::query::{GetPosts, Reader};
use whimbrel::state::Lookup;
use whimbrel::storage::IndexOptions;

use super::evidence::Indexed;
use crate::harness::core::user;
use crate::harness::{CountedDisk, INDEX_OPTIONS};

const POSTS: usize = 600;
/// A removed reaction is kept for so many reactions at least.
const RECENT_MAX: usize = 4;

/// Bob's posts, which dave likes all, and carol two of three.
struct Liked {
    /// The file of the index, of which nothing is cached.
    disk: CountedDisk,
    indexed: Indexed,
    reader: Reader,
    posts: Vec<PostRef>,
    by_carol: Vec<Option<Revision>>,
}

impl Liked {
    fn new() -> Self {
        Self::with_limits(&Limits { recent_reactions_max: RECENT_MAX, ..Limits::default() })
    }

    fn with_limits(limits: &Limits) -> Self {
        let disk = CountedDisk::default();
        let uncached = IndexOptions { cache_bytes: 0, ..INDEX_OPTIONS };
        let indexed = Indexed::on(&disk, uncached, limits);
        let reader = Reader::new(Arc::clone(&indexed.state), &Limits::default());
        let posts = (0..POSTS).map(|_| indexed.publish("bob")).collect();
        let mut liked = Self { disk, indexed, reader, posts, by_carol: vec![None; POSTS] };
        for number in 0..POSTS {
            liked.toggle("dave", number, None);
            if number % 3 > 0 {
                liked.toggle_carols(number);
            }
        }
        liked.indexed.write_index();
        liked
    }

    fn toggle(&self, name: &str, number: usize, is: Option<Revision>) -> Revision {
        let lookup = Lookup::Like(user(name), self.posts[number].id);
        self.indexed.change(self.indexed.toggled(&lookup, is))
    }

    fn toggle_carols(&mut self, number: usize) {
        let is = self.by_carol[number];
        let at = self.toggle("carol", number, is);
        self.by_carol[number] = is.is_none().then_some(at);
    }

    /// Moves all reactions so far out of memory.
    fn forget_reactions(&self) {
        for number in 0..2 * RECENT_MAX {
            self.toggle("erin", number, None);
        }
        self.indexed.write_index();
    }

    /// Reads the posts as carol. Returns whether memory alone has the answer.
    fn reads(&self, range: Range<usize>) -> bool {
        let ids = self.posts[range.clone()].iter().map(|post| post.id).collect();
        let query = GetPosts { viewer: user("carol"), ids };
        let right: Vec<_> = self.by_carol[range.clone()].iter().map(Option::is_some).collect();
        let cached = self.reader.ask_memory(&query).unwrap();
        for views in cached.iter().chain([&self.reader.ask_blocking(&query).unwrap()]) {
            assert_eq!(views.iter().map(|view| view.liked).collect::<Vec<_>>(), right, "{range:?}");
        }
        cached.is_some()
    }
}

/// The newest 256 likes are two of three of the newest 384 posts.
#[test]
fn the_newest_reactions_of_a_reader_are_read_at_once() {
    let liked = Liked::new();
    liked.reads(0..POSTS);
    liked.forget_reactions();
    assert!(!liked.reads(580..600), "the index has to be read");
    for (page, is_known) in [(580..600, true), (400..420, true), (220..240, true), (0..20, false)] {
        for _ in 0..2 {
            assert_eq!(liked.reads(page.clone()), is_known, "{page:?}");
        }
    }
}

/// What is read at once is used at once, too: if memory has no room to keep it, a page costs as much as
/// the first page of a reader.
#[test]
fn reactions_without_room_in_memory_are_read_at_once() {
    let reads_of_a_page = |older_reactions_bytes_max| {
        let defaults = Limits::default();
        let recent_reactions_max = RECENT_MAX;
        let liked = Liked::with_limits(&Limits {
            recent_reactions_max,
            older_reactions_bytes_max,
            ..defaults
        });
        // The posts and their counts are in memory from here on.
        liked.reads(0..POSTS);
        liked.forget_reactions();
        [580..600, 580..600, 400..420].map(|page| {
            let before = liked.disk.reads();
            liked.reads(page);
            liked.disk.reads() - before
        })
    };
    let [first, again, other] = reads_of_a_page(Limits::default().older_reactions_bytes_max);
    assert!(first > 0 && (again, other) == (0, 0), "with room: {first}, {again}, {other}");
    for too_little in [0, 100, 2_000] {
        assert_eq!(reads_of_a_page(too_little), [first; 3], "room for {too_little} bytes");
    }
}

/// A removal is in memory until the index has it. What was read before it must not be used after.
#[test]
fn a_removed_reaction_is_read_again() {
    let mut liked = Liked::new();
    liked.forget_reactions();
    liked.reads(580..600);
    liked.toggle_carols(590);
    liked.reads(580..600);
    // Read again while the index does not have the removal yet, which is also out of date later.
    liked.reads(300..600);
    liked.indexed.write_index();
    for _ in 0..3 {
        liked.reads(580..600);
    }
    assert!(liked.reads(580..600), "it is in memory again");
}

/// A reaction to an older post is in memory until newer ones take its place. What was read before
/// it must not be used after.
#[test]
fn a_later_reaction_to_an_older_post_is_read_again() {
    let mut liked = Liked::new();
    liked.forget_reactions();
    liked.reads(580..600);
    liked.toggle_carols(591);
    liked.toggle_carols(582);
    assert!(liked.reads(580..590), "both are recent");
    liked.forget_reactions();
    for _ in 0..3 {
        liked.reads(580..600);
    }
    assert!(liked.reads(580..600), "it is in memory again");
}
