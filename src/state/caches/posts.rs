//! Bodies of posts, and what was reposted: the ones lately written or read from memory, the others
//! from the log.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::model::{Change, Content, Event, Post, PostRef, Revision, UserId};
use crate::state::error::{MissingEvent, ReadError};
use crate::storage::Log;

/// What a post takes beside its text and its author's name: the struct, two counters, its place in
/// the cache.
const POST_OVERHEAD_BYTES: u64 = 192;
/// What a repost takes: the struct, two counters, its place in the cache. The names are those of the users.
const REPOST_BYTES: u64 = 192;
/// What is left of an erased post takes: the struct, a reply's references, its place in the cache.
const ERASED_BYTES: u64 = 512;

/// What happened at a revision.
#[derive(Clone, Debug)]
pub enum TimelineEvent {
    /// A post was published.
    Post(Arc<Post>),
    /// A post was reposted.
    Repost(Arc<Repost>),
    /// Something else.
    Other(Change),
}

/// A repost.
#[derive(Debug, PartialEq, Eq)]
pub struct Repost {
    /// By whom.
    pub by: UserId,
    /// Which post.
    pub post: PostRef,
    /// The author of the post that it answers.
    pub answers: Option<UserId>,
    /// The author of the post that it quotes.
    pub quotes: Option<UserId>,
}

/// What is kept at hand.
#[derive(Clone, Debug)]
enum CachedEvent {
    Post(Arc<Post>),
    Repost(Arc<Repost>),
    Erased(Arc<Change>),
}

impl From<CachedEvent> for TimelineEvent {
    fn from(kept: CachedEvent) -> Self {
        match kept {
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
    fn weight(&self, _: &Revision, kept: &CachedEvent) -> u64 {
        match kept {
            CachedEvent::Post(post) => {
                POST_OVERHEAD_BYTES + (post.content.bytes() + post.author.as_str().len()) as u64
            }
            CachedEvent::Repost(_) => REPOST_BYTES,
            CachedEvent::Erased(_) => ERASED_BYTES,
        }
    }
}

impl PostCache {
    pub(crate) fn new(log: Arc<dyn Log>, cache_bytes: u64) -> Self {
        // A guess at the number of posts sizes the cache's tables; the bytes bound it.
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

    /// What happened at each of `revisions`, all of which the log has come to. The log is read once,
    /// for all that is not cached, and once more for what was reposted there, whose references a
    /// [`Repost`] has.
    pub(crate) fn get_many(&self, revisions: &[Revision]) -> Result<Vec<TimelineEvent>, ReadError> {
        let mut happened = self.get_many_plain(revisions)?;
        let reposts = || {
            happened.iter().enumerate().filter_map(|(place, found)| match found {
                TimelineEvent::Other(Change::Repost { user, post }) => Some((place, user, post)),
                _ => None,
            })
        };
        let originals: Vec<_> = reposts().map(|(.., post)| post.id.revision()).collect();
        if originals.is_empty() {
            return Ok(happened);
        }
        let originals = self.get_many_plain(&originals)?;
        let mut kept = Vec::with_capacity(originals.len());
        for ((place, user, post), original) in reposts().zip(originals) {
            let content = match original {
                TimelineEvent::Post(post) => post.content.clone(),
                TimelineEvent::Other(Change::Erased { reply_to, quote, .. }) => {
                    Content::erased(reply_to, quote)
                }
                _ => return Err(MissingEvent { revision: post.id.revision() }.into()),
            };
            kept.push((place, Repost::new(user.clone(), post.clone(), &content)));
        }
        for (place, repost) in kept {
            happened[place] = self.keep(revisions[place], CachedEvent::Repost(Arc::new(repost)));
        }
        Ok(happened)
    }

    /// The same, with a repost as the change that it is where it is not cached.
    fn get_many_plain(&self, revisions: &[Revision]) -> Result<Vec<TimelineEvent>, ReadError> {
        let cached: Vec<_> = revisions.iter().map(|&revision| self.cached(revision)).collect();
        let places = revisions.iter().zip(&cached);
        let asked: Vec<_> =
            places.filter(|(_, cached)| cached.is_none()).map(|(&revision, _)| revision).collect();
        let mut read = match asked.is_empty() {
            true => Vec::new(),
            false => self.log.get_many(&asked)?,
        }
        .into_iter();
        let happened = |(cached, &revision): (Option<TimelineEvent>, &Revision)| match cached {
            Some(happened) => Ok(happened),
            None => {
                let event = read.next().flatten().ok_or(MissingEvent { revision })?;
                let kept = self.insert(revision, &event);
                Ok(kept.unwrap_or(TimelineEvent::Other(event.change)))
            }
        };
        cached.into_iter().zip(revisions).map(happened).collect()
    }

    /// Drops what is cached of the post at `revision`, which was deleted, but for what it answered and
    /// quoted: feeds count it still.
    pub(crate) fn forget(&self, revision: Revision) {
        let Some(post) = self.cached_post(revision) else { return };
        let Content { reply_to, quote, .. } = post.content.clone();
        let author = post.author.clone();
        let left = Change::Erased { author, reply_to, quote, request_id: None };
        self.cache.insert(revision, CachedEvent::Erased(Arc::new(left)));
    }

    /// Makes what `event` published or reposted, and caches it. A repost of a post that is not
    /// cached is not either: it takes a read of the log to say what it answers.
    pub(crate) fn insert(&self, revision: Revision, event: &Event) -> Option<TimelineEvent> {
        let kept = match &event.change {
            Change::Publish { author, content, .. } => {
                let (author, content) = (author.clone(), content.clone());
                CachedEvent::Post(Arc::new(Post { revision, author, content, time: event.time }))
            }
            Change::Repost { user, post } => {
                let original = self.cached_post(post.id.revision())?;
                let repost = Repost::new(user.clone(), post.clone(), &original.content);
                CachedEvent::Repost(Arc::new(repost))
            }
            Change::Erased { .. } => CachedEvent::Erased(Arc::new(event.change.clone())),
            _ => return None,
        };
        Some(self.keep(revision, kept))
    }

    fn keep(&self, revision: Revision, kept: CachedEvent) -> TimelineEvent {
        self.cache.insert(revision, kept.clone());
        kept.into()
    }
}

impl Repost {
    /// The repost by `by` of `post`, which has this content.
    #[must_use]
    pub fn new(by: UserId, post: PostRef, content: &Content) -> Self {
        let answers = content.reply_to.as_ref().map(|reply_to| reply_to.parent.author.clone());
        let quotes = content.quote.as_ref().map(|quote| quote.author.clone());
        Self { by, post, answers, quotes }
    }
}
