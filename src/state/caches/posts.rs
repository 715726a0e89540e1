//! Posts and reposts by revision: from a cache, and from the log if they are not cached. With a post
//! its counts are kept, and with both the [facts](super::facts) that feeds need of them, so that a
//! page finds all of it at once. It never returns the content of a post that is erased, nor
//! outdated counts.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::sync::{Cache, EntryAction};

use super::counts::{CountGenerations, Generation, KeptCounts};
use super::facts::PostFacts;
use crate::model::{
    Change, Content, Event, Mark, MarkKind, Post, PostId, PostRef, ReplyTo, Revision, UserId,
};
use crate::state::apply_right::ApplyRight;
use crate::state::error::{MissingEvent, ReadError};
use crate::state::metrics::CacheUse;
use crate::state::records::record::{PostCounts, Subject};
use crate::state::users::Users;
use crate::storage::Log;

/// The memory of a post without its content and its author's name, which count twice, because its
/// bytes on the wire are kept with it: the struct, four counters, the entry of the cache, the post's
/// id and time on the wire.
const POST_OVERHEAD_BYTES: u64 = 352;
/// The memory of a repost: the struct, two counters, the entry of the cache. It shares the users'
/// names.
const REPOST_BYTES: u64 = 256;
/// The memory of an erased post: the struct, a reply's references, the entry of the cache.
const ERASED_BYTES: u64 = 576;

/// The event at a revision, as timelines need it. Small and cheap to clone.
#[derive(Clone, Debug)]
pub enum TimelineEvent {
    /// A post.
    Post(Arc<Post>),
    /// A repost.
    Repost(Arc<Repost>),
    /// A post that is erased, or will be.
    Erased(Arc<ErasedPost>),
    /// Any other change.
    Other(Arc<Change>),
}

/// What is left of an erased post, which feeds and threads still need.
#[derive(Debug, PartialEq, Eq)]
pub struct ErasedPost {
    /// The author.
    pub author: UserId,
    /// The parent and the root, if the post was a reply.
    pub reply_to: Option<Box<ReplyTo>>,
    /// The post that it quoted.
    pub quote: Option<PostRef>,
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

/// An event in the cache, with what is kept of it.
#[derive(Clone, Debug)]
struct CachedEvent {
    /// Never [`TimelineEvent::Other`].
    event: TimelineEvent,
    /// `None` if the event was not applied when it was read.
    facts: Option<PostFacts>,
    /// Only of a post.
    counts: Option<KeptCounts>,
}

#[derive(Debug)]
pub(crate) struct PostCache {
    log: Arc<dyn Log>,
    cache: Cache<Revision, CachedEvent, EventWeighter>,
    generations: CountGenerations,
}

#[derive(Clone, Debug)]
struct EventWeighter;

impl Weighter<Revision, CachedEvent> for EventWeighter {
    fn weight(&self, _: &Revision, cached: &CachedEvent) -> u64 {
        match &cached.event {
            TimelineEvent::Post(post) => {
                POST_OVERHEAD_BYTES + 2 * (post.content.bytes() + post.author.as_str().len()) as u64
            }
            TimelineEvent::Repost(_) => REPOST_BYTES,
            TimelineEvent::Erased(_) | TimelineEvent::Other(_) => ERASED_BYTES,
        }
    }
}

impl PostCache {
    pub(crate) fn new(log: Arc<dyn Log>, cache_bytes: u64) -> Self {
        // The estimate sizes the cache's tables; the bytes limit it.
        let posts_estimate = usize::try_from(cache_bytes / 512).unwrap_or(usize::MAX);
        let cache = Cache::with_weighter(posts_estimate, cache_bytes, EventWeighter);
        Self { log, cache, generations: CountGenerations::default() }
    }

    /// What a scrape shows of the cache.
    pub(crate) fn use_of(&self) -> CacheUse {
        let (hits, misses) = (self.cache.hits(), self.cache.misses());
        CacheUse { entries: self.cache.len(), bytes: self.cache.weight(), hits, misses }
    }

    pub(crate) fn cached(&self, revision: Revision) -> Option<TimelineEvent> {
        self.cache.get(&revision).map(|cached| cached.event)
    }

    fn cached_post(&self, revision: Revision) -> Option<Arc<Post>> {
        match self.cache.get(&revision)?.event {
            TimelineEvent::Post(post) => Some(post),
            _ => None,
        }
    }

    /// The facts of the event of `mark`, if it is cached, and of the mark's kind or an erased post.
    pub(crate) fn facts(&self, mark: Mark) -> Option<PostFacts> {
        let cached = self.cache.get(&mark.revision())?;
        let is_repost = matches!(cached.event, TimelineEvent::Repost(_));
        cached.facts.filter(|_| is_repost == (mark.kind() == MarkKind::Repost))
    }

    /// The counts of `post`, with all users included, if they are cached and valid.
    pub(crate) fn counts(&self, post: PostId) -> Option<PostCounts> {
        let kept = self.cache.get(&post.revision())?.counts?;
        self.generations.valid(post.into(), kept)
    }

    /// To be read before the counts of `post` are, for [`PostCache::keep_counts`].
    pub(crate) fn generation(&self, post: PostId) -> Generation {
        self.generations.now(post.into())
    }

    /// Keeps the counts of `post`, which were read after `generation`, if it is cached.
    pub(crate) fn keep_counts(&self, post: PostId, counts: PostCounts, generation: Generation) {
        let kept = self.generations.keep(post.into(), counts, generation);
        // Nobody reserves an entry, so there is nothing to wait for.
        self.cache.entry(&post.revision(), Some(Duration::ZERO), |_, cached| {
            cached.counts = Some(kept);
            EntryAction::Retain(())
        });
    }

    /// Makes the kept counts of `post` invalid. To be called after the record is changed, and before
    /// the watermark reaches that change.
    pub(crate) fn invalidate_counts(&self, post: Subject, by: &ApplyRight) {
        self.generations.invalidate(post, by);
    }

    /// The events at `revisions`, which are applied. The log is read once for all events that are
    /// not cached, and once more for the reposted posts, whose references a [`Repost`] has.
    pub(crate) fn get_many(
        &self,
        users: &Users,
        revisions: &[Revision],
    ) -> Result<Vec<TimelineEvent>, ReadError> {
        let mut events = self.get_many_plain(users, revisions)?;
        let reposts = || {
            events.iter().enumerate().filter_map(|(index, event)| match event {
                TimelineEvent::Other(change) => match &**change {
                    Change::Repost { user, post } => Some((index, user, post)),
                    _ => None,
                },
                _ => None,
            })
        };
        let originals: Vec<_> = reposts().map(|(.., post)| post.id.revision()).collect();
        if originals.is_empty() {
            return Ok(events);
        }
        let originals = self.get_many_plain(users, &originals)?;
        let mut completed = Vec::with_capacity(originals.len());
        for ((index, user, post), original) in reposts().zip(originals) {
            let repost = match original {
                TimelineEvent::Post(original) => {
                    let Content { reply_to, quote, .. } = &original.content;
                    Repost::new(user, post, reply_to.as_deref(), quote.as_ref())
                }
                TimelineEvent::Erased(original) => {
                    let ErasedPost { reply_to, quote, .. } = &*original;
                    Repost::new(user, post, reply_to.as_deref(), quote.as_ref())
                }
                _ => return Err(MissingEvent { revision: post.id.revision() }.into()),
            };
            completed.push((index, repost));
        }
        for (index, repost) in completed {
            let repost = TimelineEvent::Repost(Arc::new(repost));
            events[index] = self.insert(users, revisions[index], repost, None);
        }
        Ok(events)
    }

    /// The same, but a repost that is not cached is a [`TimelineEvent::Other`].
    fn get_many_plain(
        &self,
        users: &Users,
        revisions: &[Revision],
    ) -> Result<Vec<TimelineEvent>, ReadError> {
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
                Ok(match self.timeline_event(revision, &event) {
                    Some(event) => self.insert(users, revision, event, None),
                    None => TimelineEvent::Other(Arc::new(event.change)),
                })
            }
        };
        cached.into_iter().zip(revisions).map(event).collect()
    }

    /// Replaces the cached post at `revision`, which was deleted, by its references to its parent
    /// and quoted post, which feeds still need.
    pub(crate) fn forget(&self, users: &Users, revision: Revision) {
        let Some(post) = self.cached_post(revision) else { return };
        let Content { reply_to, quote, .. } = post.content.clone();
        let erased = ErasedPost { author: post.author.clone(), reply_to, quote };
        self.insert(users, revision, TimelineEvent::Erased(Arc::new(erased)), None);
    }

    /// Caches the post or repost of `event`, which is applied now, and returns the post. A new post
    /// has no reactions and no replies.
    pub(crate) fn insert_new(
        &self,
        users: &Users,
        revision: Revision,
        event: &Event,
        _: &ApplyRight,
    ) -> Option<Arc<Post>> {
        let event = self.timeline_event(revision, event)?;
        let TimelineEvent::Post(post) = &event else {
            self.insert(users, revision, event, None);
            return None;
        };
        let (post, id) = (Arc::clone(post), post.id());
        let counts = (PostCounts::default(), self.generation(id));
        self.insert(users, revision, event, Some(counts));
        Some(post)
    }

    /// The post or repost of `event`, or the references of an erased post. `None` for a repost of a
    /// post that is not cached: its references would take a read of the log.
    fn timeline_event(&self, revision: Revision, event: &Event) -> Option<TimelineEvent> {
        Some(match &event.change {
            Change::Publish { author, content, .. } => {
                let (author, content) = (author.clone(), content.clone());
                TimelineEvent::Post(Arc::new(Post::new(revision, author, content, event.time)))
            }
            Change::Repost { user, post } => {
                let original = self.cached_post(post.id.revision())?;
                let Content { reply_to, quote, .. } = &original.content;
                let repost = Repost::new(user, post, reply_to.as_deref(), quote.as_ref());
                TimelineEvent::Repost(Arc::new(repost))
            }
            Change::Erased { author, reply_to, quote, .. } => {
                let (reply_to, quote) = (reply_to.clone(), quote.clone());
                let erased = ErasedPost { author: author.clone(), reply_to, quote };
                TimelineEvent::Erased(Arc::new(erased))
            }
            _ => return None,
        })
    }

    fn insert(
        &self,
        users: &Users,
        revision: Revision,
        event: TimelineEvent,
        counts: Option<(PostCounts, Generation)>,
    ) -> TimelineEvent {
        debug_assert!(!matches!(event, TimelineEvent::Other(_)), "{event:?} is not to be cached");
        let facts = PostFacts::of_event(users, revision, &event);
        let post = PostId::from_revision(revision).into();
        let counts = counts.map(|(counts, at)| self.generations.keep(post, counts, at));
        self.cache.insert(revision, CachedEvent { event: event.clone(), facts, counts });
        event
    }
}

impl Repost {
    fn new(
        by: &UserId,
        post: &PostRef,
        reply_to: Option<&ReplyTo>,
        quote: Option<&PostRef>,
    ) -> Self {
        let parent_author = reply_to.map(|reply_to| reply_to.parent.author.clone());
        let quoted_author = quote.map(|quote| quote.author.clone());
        Self { by: by.clone(), post: post.clone(), parent_author, quoted_author }
    }
}
