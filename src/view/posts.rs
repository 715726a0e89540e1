//! Bodies of posts: the ones lately written or read from memory, the others from the log.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::log::{self, Log};
use crate::model::{Change, Event, Post, Revision};

/// What a post takes beside its text and its author's name: the struct, two counters, its place in
/// the cache.
const POST_OVERHEAD_BYTES: u64 = 192;

/// What happened at a revision.
#[derive(Clone, Debug)]
pub enum Happened {
    /// A post was published.
    Post(Arc<Post>),
    /// Something else.
    Other(Change),
}

#[derive(Debug)]
pub(super) struct Posts {
    log: Arc<dyn Log>,
    cache: Cache<Revision, Arc<Post>, ByBytes>,
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<Revision, Arc<Post>> for ByBytes {
    fn weight(&self, _: &Revision, post: &Arc<Post>) -> u64 {
        POST_OVERHEAD_BYTES + (post.content.bytes() + post.author.as_str().len()) as u64
    }
}

impl Posts {
    pub(super) fn new(log: Arc<dyn Log>, cache_bytes: u64) -> Self {
        // A guess at the number of posts sizes the cache's tables; the bytes bound it.
        let posts_estimate = usize::try_from(cache_bytes / 512).unwrap_or(usize::MAX);
        Self { log, cache: Cache::with_weighter(posts_estimate, cache_bytes, ByBytes) }
    }

    fn insert(&self, post: &Arc<Post>) {
        self.cache.insert(post.revision, Arc::clone(post));
    }

    pub(super) fn cached(&self, revision: Revision) -> Option<Arc<Post>> {
        self.cache.get(&revision)
    }

    pub(super) fn get(&self, revision: Revision) -> Result<Option<Arc<Post>>, log::Error> {
        Ok(match self.get_many(&[revision])?.pop().flatten() {
            Some(Happened::Post(post)) => Some(post),
            Some(Happened::Other(_)) | None => None,
        })
    }

    /// What happened at each of `revisions`; the log is read once, for all that is not cached.
    pub(super) fn get_many(
        &self,
        revisions: &[Revision],
    ) -> Result<Vec<Option<Happened>>, log::Error> {
        let cached = |&revision: &Revision| self.cached(revision).map(Happened::Post);
        let mut happened: Vec<_> = revisions.iter().map(cached).collect();
        let places = || happened.iter().enumerate().filter(|(_, found)| found.is_none());
        let missing: Vec<_> = places().map(|(place, _)| place).collect();
        let asked: Vec<_> = missing.iter().map(|&place| revisions[place]).collect();
        if asked.is_empty() {
            return Ok(happened);
        }
        for (place, event) in missing.into_iter().zip(self.log.get_many(&asked)?) {
            happened[place] = event.map(|event| {
                let post = self.take_in(revisions[place], &event);
                post.map_or_else(|| Happened::Other(event.change), Happened::Post)
            });
        }
        Ok(happened)
    }

    /// Drops the post at `revision` from what is at hand.
    pub(super) fn forget(&self, revision: Revision) {
        self.cache.remove(&revision);
    }

    /// Makes the post that `event` published, and keeps it at hand.
    pub(super) fn take_in(&self, revision: Revision, event: &Event) -> Option<Arc<Post>> {
        let Change::Publish { author, content, .. } = &event.change else { return None };
        let (author, content) = (author.clone(), content.clone());
        let post = Arc::new(Post { revision, author, content, time: event.time });
        self.insert(&post);
        Some(post)
    }
}
