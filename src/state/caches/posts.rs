//! Posts and reposts by revision: from a cache, and from the log if they are not cached. It never
//! returns the content of a post that is erased.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::model::{Change, Content, Event, Post, PostRef, Revision, UserId};
use crate::state::error::{MissingEvent, ReadError};
use crate::storage::Log;

/// The memory of a post without its content and its author's name, which count twice, because its
/// bytes on the wire are kept with it: the struct, four counters, the entry of the cache, the post's
/// id and time on the wire.
const POST_OVERHEAD_BYTES: u64 = 288;
/// The memory of a repost: the struct, two counters, the entry of the cache. It shares the users'
/// names.
const REPOST_BYTES: u64 = 192;
/// The memory of an erased post: the struct, a reply's references, the entry of the cache.
const ERASED_BYTES: u64 = 512;

/// The event at a revision, as timelines need it.
#[derive(Clone, Debug)]
pub enum TimelineEvent {
    /// A post.
    Post(Arc<Post>),
    /// A repost.
    Repost(Arc<Repost>),
    /// Any other change.
    Other(Change),
}

/// A repost.
#[derive(Debug, PartialEq, Eq)]
pub struct Repost {
    /// The user who reposted.
    pub by: UserId,
    /// The reposted post.
    pub post: PostRef,
    /// The author of the parent, if the reposted post is a reply.
    pub parent_author: Option<UserId>,
    /// The author of the quoted post, if the reposted post is a quote.
    pub quoted_author: Option<UserId>,
}

/// An event in the cache.
#[derive(Clone, Debug)]
enum CachedEvent {
    Post(Arc<Post>),
    Repost(Arc<Repost>),
    Erased(Arc<Change>),
}

impl From<CachedEvent> for TimelineEvent {
    fn from(cached: CachedEvent) -> Self {
        match cached {
            CachedEvent::Post(post) => Self::Post(post),
            CachedEvent::Repost(repost) => Self::Repost(repost),
            CachedEvent::Erased(change) => Self::Other(Arc::unwrap_or_clone(change)),
        }
    }
}

#[derive(Debug)]
pub(crate) struct PostCache {
    log: Arc<dyn Log>,
    cache: Cache<Revision, CachedEvent, EventWeighter>,
}

#[derive(Clone, Debug)]
struct EventWeighter;

impl Weighter<Revision, CachedEvent> for EventWeighter {
    fn weight(&self, _: &Revision, cached: &CachedEvent) -> u64 {
        match cached {
            CachedEvent::Post(post) => {
                POST_OVERHEAD_BYTES + 2 * (post.content.bytes() + post.author.as_str().len()) as u64
            }
            CachedEvent::Repost(_) => REPOST_BYTES,
            CachedEvent::Erased(_) => ERASED_BYTES,
        }
    }
}

impl PostCache {
    pub(crate) fn new(log: Arc<dyn Log>, cache_bytes: u64) -> Self {
        // The estimate sizes the cache's tables; the bytes limit it.
        let posts_estimate = usize::try_from(cache_bytes / 512).unwrap_or(usize::MAX);
        Self { log, cache: Cache::with_weighter(posts_estimate, cache_bytes, EventWeighter) }
    }

    pub(crate) fn cached(&self, revision: Revision) -> Option<TimelineEvent> {
        self.cache.get(&revision).map(TimelineEvent::from)
    }

    pub(crate) fn cached_post(&self, revision: Revision) -> Option<Arc<Post>> {
        match self.cache.get(&revision)? {
            CachedEvent::Post(post) => Some(post),
            CachedEvent::Repost(_) | CachedEvent::Erased(_) => None,
        }
    }

    /// The events at `revisions`, which are applied. The log is read once for all events that are
    /// not cached, and once more for the reposted posts, whose references a [`Repost`] has.
    pub(crate) fn get_many(&self, revisions: &[Revision]) -> Result<Vec<TimelineEvent>, ReadError> {
        let mut events = self.get_many_plain(revisions)?;
        let reposts = || {
            events.iter().enumerate().filter_map(|(index, event)| match event {
                TimelineEvent::Other(Change::Repost { user, post }) => Some((index, user, post)),
                _ => None,
            })
        };
        let originals: Vec<_> = reposts().map(|(.., post)| post.id.revision()).collect();
        if originals.is_empty() {
            return Ok(events);
        }
        let originals = self.get_many_plain(&originals)?;
        let mut completed = Vec::with_capacity(originals.len());
        for ((index, user, post), original) in reposts().zip(originals) {
            let content = match original {
                TimelineEvent::Post(post) => post.content.clone(),
                TimelineEvent::Other(Change::Erased { reply_to, quote, .. }) => {
                    Content::erased(reply_to, quote)
                }
                _ => return Err(MissingEvent { revision: post.id.revision() }.into()),
            };
            completed.push((index, Repost::new(user.clone(), post.clone(), &content)));
        }
        for (index, repost) in completed {
            let repost = CachedEvent::Repost(Arc::new(repost));
            events[index] = self.insert_cached(revisions[index], repost);
        }
        Ok(events)
    }

    /// The same, but a repost that is not cached is a [`TimelineEvent::Other`].
    fn get_many_plain(&self, revisions: &[Revision]) -> Result<Vec<TimelineEvent>, ReadError> {
        let cached: Vec<_> = revisions.iter().map(|&revision| self.cached(revision)).collect();
        let entries = revisions.iter().zip(&cached);
        let missing: Vec<_> =
            entries.filter(|(_, cached)| cached.is_none()).map(|(&revision, _)| revision).collect();
        let mut read = match missing.is_empty() {
            true => Vec::new(),
            false => self.log.get_many(&missing)?,
        }
        .into_iter();
        let event = |(cached, &revision): (Option<TimelineEvent>, &Revision)| match cached {
            Some(event) => Ok(event),
            None => {
                let event = read.next().flatten().ok_or(MissingEvent { revision })?;
                let cached = self.insert(revision, &event);
                Ok(cached.unwrap_or(TimelineEvent::Other(event.change)))
            }
        };
        cached.into_iter().zip(revisions).map(event).collect()
    }

    /// Replaces the cached post at `revision`, which was deleted, by its references to its parent
    /// and quoted post, which feeds still need.
    pub(crate) fn forget(&self, revision: Revision) {
        let Some(post) = self.cached_post(revision) else { return };
        let Content { reply_to, quote, .. } = post.content.clone();
        let author = post.author.clone();
        let erased = Change::Erased { author, reply_to, quote, request_id: None };
        self.cache.insert(revision, CachedEvent::Erased(Arc::new(erased)));
    }

    /// Caches and returns the post or repost of `event`. A repost of a post that is not cached is
    /// not cached either: its references would take a read of the log.
    pub(crate) fn insert(&self, revision: Revision, event: &Event) -> Option<TimelineEvent> {
        let cached = match &event.change {
            Change::Publish { author, content, .. } => {
                let (author, content) = (author.clone(), content.clone());
                CachedEvent::Post(Arc::new(Post::new(revision, author, content, event.time)))
            }
            Change::Repost { user, post } => {
                let original = self.cached_post(post.id.revision())?;
                let repost = Repost::new(user.clone(), post.clone(), &original.content);
                CachedEvent::Repost(Arc::new(repost))
            }
            Change::Erased { .. } => CachedEvent::Erased(Arc::new(event.change.clone())),
            _ => return None,
        };
        Some(self.insert_cached(revision, cached))
    }

    fn insert_cached(&self, revision: Revision, cached: CachedEvent) -> TimelineEvent {
        self.cache.insert(revision, cached.clone());
        cached.into()
    }
}

impl Repost {
    /// The repost by `by` of `post`; `content` is the post's.
    #[must_use]
    pub fn new(by: UserId, post: PostRef, content: &Content) -> Self {
        let parent_author = content.reply_to.as_ref().map(|reply| reply.parent.author.clone());
        let quoted_author = content.quote.as_ref().map(|quote| quote.author.clone());
        Self { by, post, parent_author, quoted_author }
    }
}
