//! Bodies of posts: the ones lately written or read from memory, the others from the log.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::log::{self, Log};
use crate::model::{Change, Post, Revision};

/// What a post takes beside its text and its author's name: the struct, two counters, its place in
/// the cache.
const POST_OVERHEAD_BYTES: u64 = 192;

#[derive(Debug)]
pub(super) struct Posts {
    log: Arc<dyn Log>,
    cache: Cache<Revision, Arc<Post>, ByBytes>,
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<Revision, Arc<Post>> for ByBytes {
    fn weight(&self, _: &Revision, post: &Arc<Post>) -> u64 {
        let text_and_name = post.text.as_str().len() + post.author.as_str().len();
        POST_OVERHEAD_BYTES + text_and_name as u64
    }
}

impl Posts {
    pub(super) fn new(log: Arc<dyn Log>, cache_bytes: u64) -> Self {
        // A guess at the number of posts sizes the cache's tables; the bytes bound it.
        let posts_estimate = usize::try_from(cache_bytes / 512).unwrap_or(usize::MAX);
        Self { log, cache: Cache::with_weighter(posts_estimate, cache_bytes, ByBytes) }
    }

    pub(super) fn insert(&self, post: &Arc<Post>) {
        self.cache.insert(post.revision, Arc::clone(post));
    }

    pub(super) fn cached(&self, revision: Revision) -> Option<Arc<Post>> {
        self.cache.get(&revision)
    }

    pub(super) fn get(&self, revision: Revision) -> Result<Option<Arc<Post>>, log::Error> {
        if let Some(post) = self.cached(revision) {
            return Ok(Some(post));
        }
        let Some(event) = self.log.get(revision)? else {
            return Ok(None);
        };
        let Change::Publish { author, text, .. } = event.change else {
            return Ok(None);
        };
        let post = Arc::new(Post { revision, author, text, time: event.time });
        self.insert(&post);
        Ok(Some(post))
    }
}
