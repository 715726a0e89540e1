//! A log and an index with one event of every kind, and an engine on them for which one event is
//! missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use whimbrel::config::Limits;
use whimbrel::engine::{Draft, Engine};
use whimbrel::model::{Event, PostId, Relation, Revision};
use whimbrel::runtime::{Clock, CriticalThreads};
use whimbrel::storage::{self, Index, LocalLog, Log};

use super::runtime;
use crate::harness::core::{post, request_id, user};
use crate::harness::{Alter, AlteredLog, Disk, INDEX_OPTIONS, LOG_OPTIONS, MemoryFolder, within};

/// The number of posts between a post and its repost.
pub(super) const BETWEEN: usize = 45;

/// The revisions of the events that tests make missing.
pub(super) struct Revisions {
    pub(super) follow: Revision,
    pub(super) post: Revision,
    pub(super) reply: Revision,
    pub(super) repost: Revision,
    pub(super) mention: Revision,
    pub(super) like: Revision,
    pub(super) deletion: Revision,
}

/// The disks of a log and its index, after an engine has written and closed them.
pub(super) struct WrittenDisks {
    log: MemoryFolder,
    index: Disk,
    pub(super) revisions: Revisions,
}

impl WrittenDisks {
    pub(super) fn new() -> Self {
        let (log, index) = (MemoryFolder::default(), Disk::default());
        let revisions = runtime().block_on(async {
            let (engine, _) = open(&log, &index, &CriticalThreads::new(), Revision::ZERO, |_| {});
            let follow = engine
                .set(Relation::Follow(user("viewer"), user("author")), true)
                .await
                .unwrap()
                .revision;
            for followee in ["reposter", "replier"] {
                engine.set(Relation::Follow(user("viewer"), user(followee)), true).await.unwrap();
            }
            let publish = async |name: &str, draft: Draft, id| {
                let published = engine.publish(user(name), draft, id).await.unwrap();
                published.post.revision
            };
            let once = Some(request_id("once"));
            let of_author = publish("author", post("a post").into(), once).await;
            let draft = Draft {
                reply_to: Some(PostId::from_revision(of_author)),
                ..post("a reply").into()
            };
            let reply = publish("replier", draft, None).await;
            let mention = publish("replier", post("of @author").into(), None).await;
            // A repost close to the post would be hidden.
            for number in 0..BETWEEN {
                publish("author", post(&format!("post {number}")).into(), None).await;
            }
            let own = publish("reposter", post("a post of mine").into(), None).await;
            let of_author_id = PostId::from_revision(of_author);
            let repost = Relation::Repost(user("reposter"), of_author_id);
            let repost = engine.set(repost, true).await.unwrap().revision;
            let like = Relation::Like(user("viewer"), of_author_id);
            let like = engine.set(like, true).await.unwrap().revision;
            let deletion =
                engine.delete(user("reposter"), PostId::from_revision(own)).await.unwrap();
            within("the engine to stop", engine.stop()).await;
            let deletion = deletion.revision;
            Revisions { follow, post: of_author, reply, repost, mention, like, deletion }
        });
        Self { log, index, revisions }
    }

    pub(super) fn open(&self) -> (Engine, Arc<AlteredLog<MissingEvent>>) {
        self.open_for(&CriticalThreads::new(), Revision::ZERO, |_| {})
    }

    pub(super) fn open_for(
        &self,
        critical: &CriticalThreads,
        missing: Revision,
        change: impl FnOnce(&mut Limits),
    ) -> (Engine, Arc<AlteredLog<MissingEvent>>) {
        open(&self.log, &self.index, critical, missing, change)
    }
}

/// An engine that keeps no posts in memory, on a log with a missing event.
fn open(
    log: &MemoryFolder,
    index: &Disk,
    critical: &CriticalThreads,
    missing: Revision,
    change: impl FnOnce(&mut Limits),
) -> (Engine, Arc<AlteredLog<MissingEvent>>) {
    let mut limits = Limits { post_cache_bytes_max: 1, ..Limits::default() };
    change(&mut limits);
    let log = LocalLog::with_folder(log.clone(), LOG_OPTIONS).unwrap();
    let index = Index::with_files(index, "index", &log, INDEX_OPTIONS, limits.request_id_retention)
        .unwrap();
    let (misses, reads_left) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let missing = MissingEvent { at: AtomicU64::new(missing.get()), misses, reads_left };
    let log = AlteredLog::new(Arc::new(log), missing);
    let shared = Arc::clone(&log) as Arc<dyn Log>;
    let engine = Engine::open_indexed(shared, index, &limits, Clock::system(), critical).unwrap();
    (engine, log)
}

/// The event at one revision is missing.
#[derive(Debug)]
pub(super) struct MissingEvent {
    at: AtomicU64,
    /// The number of reads that missed it.
    pub(super) misses: AtomicUsize,
    /// The number of reads that still succeed before it is missing.
    pub(super) reads_left: AtomicUsize,
}

impl AlteredLog<MissingEvent> {
    pub(super) fn move_to(&self, revision: Revision) {
        self.alter.at.store(revision.get(), Ordering::SeqCst);
    }
}

impl Alter for MissingEvent {
    fn get_many(
        &self,
        log: &dyn Log,
        revisions: &[Revision],
    ) -> Result<Vec<Option<Event>>, storage::Error> {
        let missing = Revision::new(self.at.load(Ordering::SeqCst));
        let mut events = log.get_many(revisions)?;
        for (event, _) in events.iter_mut().zip(revisions).filter(|(_, at)| **at == missing) {
            let take = |left: usize| left.checked_sub(1);
            if self.reads_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_err() {
                self.misses.fetch_add(1, Ordering::SeqCst);
                *event = None;
            }
        }
        Ok(events)
    }
}
