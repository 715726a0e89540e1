//! Loading a graph from the edges of an index, in pieces. Needs little memory besides the graph,
//! because a process keeps much of what it once had.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::followers::Followers;
use super::packed::PackedList;
use super::{Graph, UserIx};
use crate::state::apply_right::ApplyRight;
use crate::storage;

/// Threads that compute followers.
const THREADS: usize = 2;
/// Followers of one part, if there are few parts: 4 MiB.
const PART_FOLLOWERS: usize = 1 << 20;
/// The most parts: for each of them, all edges are read.
const PARTS_MAX: usize = 4 * THREADS;

/// The number of loaded followers of each user.
#[derive(Debug, Default)]
pub(crate) struct FollowerCounts(Vec<u32>);

impl FollowerCounts {
    /// Makes room for the users with numbers below `user_count`.
    pub(crate) fn reserve(&mut self, user_count: usize) {
        self.0.resize(user_count, 0);
    }
}

impl Graph {
    /// Loads edges, of users that `counts` has. They are sorted by follower and followee; no
    /// follower's edges are in two calls, and the graph has none of these followers yet.
    pub(crate) fn load(
        &self,
        edges: &[storage::StoredEdge],
        counts: &mut FollowerCounts,
        by: &ApplyRight,
    ) {
        for of_one in edges.chunk_by(|a, b| a.follower == b.follower) {
            let items = of_one.iter().map(|edge| (edge.followee, edge.since.get()));
            let list = PackedList::from_sorted(items);
            let follower = UserIx::new(of_one[0].follower);
            self.following.change(follower, by, |following| {
                debug_assert!(following.list.is_empty(), "a follower's edges are in two calls");
                following.list = list;
            });
            self.edges.fetch_add(of_one.len(), Ordering::Relaxed);
            of_one.iter().for_each(|edge| counts.0[edge.followee as usize] += 1);
        }
    }

    /// Computes the followers of all users from the edges that were loaded.
    pub(crate) fn load_followers(&self, counts: &FollowerCounts, by: &ApplyRight) {
        let counts = &counts.0;
        let Some(last) = counts.len().checked_sub(1) else { return };
        // Two threads must not grow it at once.
        self.followers.reserve(UserIx::at(last), by);
        let parts = parts(counts);
        let next = AtomicUsize::new(0);
        let load_parts = || {
            while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.load_followers_of(part.start, &counts[part.clone()], counts.len(), by);
            }
        };
        thread::scope(|scope| {
            for _ in 1..THREADS.min(parts.len()) {
                scope.spawn(load_parts);
            }
            load_parts();
        });
    }

    /// Computes the followers of the users from number `first` on. `counts` has the number of
    /// followers of each of these users.
    fn load_followers_of(&self, first: usize, counts: &[u32], user_count: usize, by: &ApplyRight) {
        // For each user the index in `followers` of the next follower.
        let mut ends = Vec::with_capacity(counts.len());
        let mut end = 0;
        for &count in counts {
            ends.push(end);
            end += count as usize;
        }
        let mut followers = vec![UserIx::new(0); end];
        for follower in (0..).take(user_count).map(UserIx::new) {
            self.following.get(follower, |following| {
                for (followee, _) in following.list.iter() {
                    let followee = (followee as usize).checked_sub(first);
                    if let Some(end) = followee.and_then(|followee| ends.get_mut(followee)) {
                        followers[*end] = follower;
                        *end += 1;
                    }
                }
            });
        }
        for ((followee, &end), &count) in (first..).zip(&ends).zip(counts) {
            let of_one = &followers[end - count as usize..end];
            if !of_one.is_empty() {
                let followee = UserIx::at(followee);
                self.followers.change(followee, by, |list| *list = Followers::from_sorted(of_one));
            }
        }
    }
}

/// Ranges of users, who have about as many followers in each.
fn parts(counts: &[u32]) -> Vec<Range<usize>> {
    let all: usize = counts.iter().map(|&count| count as usize).sum();
    let parts = (all / PART_FOLLOWERS).clamp(1, PARTS_MAX).next_multiple_of(THREADS);
    let (mut ranges, mut first, mut followers) = (Vec::with_capacity(parts), 0, 0);
    for (user, &count) in counts.iter().enumerate() {
        followers += count as usize;
        if followers > all / parts {
            ranges.push(first..user + 1);
            (first, followers) = (user + 1, 0);
        }
    }
    ranges.push(first..counts.len());
    ranges
}
