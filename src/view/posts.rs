//! Bodies of posts, and what was reposted: the ones lately written or read from memory, the others
//! from the log.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::reads::{Missing, ReadError};
use crate::log::Log;
use crate::model::{Change, Event, Post, PostRef, Revision, UserId};

/// What a post takes beside its text and its author's name: the struct, two counters, its place in
/// the cache.
const POST_OVERHEAD_BYTES: u64 = 192;
/// What a repost takes: the struct, two counters, its place in the cache. The names are those of the users.
const REPOST_BYTES: u64 = 160;

/// What happened at a revision.
#[derive(Clone, Debug)]
pub enum Happened {
    /// A post was published.
    Post(Arc<Post>),
    /// A post was reposted.
    Repost(Arc<Reposted>),
    /// Something else.
    Other(Change),
}

/// A repost.
#[derive(Debug, PartialEq, Eq)]
pub struct Reposted {
    /// By whom.
    pub by: UserId,
    /// Which post.
    pub post: PostRef,
}

/// What is kept at hand.
#[derive(Clone, Debug)]
enum Kept {
    Post(Arc<Post>),
    Repost(Arc<Reposted>),
}

impl From<Kept> for Happened {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::Post(post) => Self::Post(post),
            Kept::Repost(repost) => Self::Repost(repost),
        }
    }
}

#[derive(Debug)]
pub(super) struct Posts {
    log: Arc<dyn Log>,
    cache: Cache<Revision, Kept, ByBytes>,
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<Revision, Kept> for ByBytes {
    fn weight(&self, _: &Revision, kept: &Kept) -> u64 {
        match kept {
            Kept::Post(post) => {
                POST_OVERHEAD_BYTES + (post.content.bytes() + post.author.as_str().len()) as u64
            }
            Kept::Repost(_) => REPOST_BYTES,
        }
    }
}

impl Posts {
    pub(super) fn new(log: Arc<dyn Log>, cache_bytes: u64) -> Self {
        // A guess at the number of posts sizes the cache's tables; the bytes bound it.
        let posts_estimate = usize::try_from(cache_bytes / 512).unwrap_or(usize::MAX);
        Self { log, cache: Cache::with_weighter(posts_estimate, cache_bytes, ByBytes) }
    }

    pub(super) fn cached(&self, revision: Revision) -> Option<Happened> {
        self.cache.get(&revision).map(Happened::from)
    }

    pub(super) fn cached_post(&self, revision: Revision) -> Option<Arc<Post>> {
        match self.cache.get(&revision)? {
            Kept::Post(post) => Some(post),
            Kept::Repost(_) => None,
        }
    }

    /// The post at `revision`, if it is one.
    pub(super) fn get(&self, revision: Revision) -> Result<Option<Arc<Post>>, ReadError> {
        Ok(match self.get_many(&[revision])?.pop() {
            Some(Happened::Post(post)) => Some(post),
            Some(Happened::Repost(_) | Happened::Other(_)) | None => None,
        })
    }

    /// What happened at each of `revisions`, all of which the log has come to; it is read once, for
    /// all that is not cached.
    pub(super) fn get_many(&self, revisions: &[Revision]) -> Result<Vec<Happened>, ReadError> {
        let cached: Vec<_> = revisions.iter().map(|&revision| self.cached(revision)).collect();
        let places = revisions.iter().zip(&cached);
        let asked: Vec<_> =
            places.filter(|(_, cached)| cached.is_none()).map(|(&revision, _)| revision).collect();
        let mut read = match asked.is_empty() {
            true => Vec::new(),
            false => self.log.get_many(&asked)?,
        }
        .into_iter();
        let happened = |(cached, &revision): (Option<Happened>, &Revision)| match cached {
            Some(happened) => Ok(happened),
            None => {
                let event = read.next().flatten().ok_or(Missing { revision })?;
                let kept = self.take_in(revision, &event);
                Ok(kept.unwrap_or(Happened::Other(event.change)))
            }
        };
        cached.into_iter().zip(revisions).map(happened).collect()
    }

    /// Drops what is at hand of `revision`.
    pub(super) fn forget(&self, revision: Revision) {
        self.cache.remove(&revision);
    }

    /// Makes what `event` published or reposted, and keeps it at hand.
    pub(super) fn take_in(&self, revision: Revision, event: &Event) -> Option<Happened> {
        let kept = match &event.change {
            Change::Publish { author, content, .. } => {
                let (author, content) = (author.clone(), content.clone());
                Kept::Post(Arc::new(Post { revision, author, content, time: event.time }))
            }
            Change::Repost { user, post } => {
                Kept::Repost(Arc::new(Reposted { by: user.clone(), post: post.clone() }))
            }
            _ => return None,
        };
        self.cache.insert(revision, kept.clone());
        Some(kept.into())
    }
}
