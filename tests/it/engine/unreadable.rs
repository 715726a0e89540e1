//! A log that takes changes while it cannot be read. No answer says that nothing was changed if
//! something was.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use whimbrel::config::Limits;
use whimbrel::engine::{Engine, Error};
use whimbrel::model::{Event, Revision};
use whimbrel::runtime::{Clock, CriticalThreads};
use whimbrel::storage::{self, LocalLog, Log};

use crate::harness::core::{post, request_id, user};
use crate::harness::{Alter, AlteredLog, LOG_OPTIONS, MemoryFolder, within};

/// Fails reads of single events while it is set.
#[derive(Debug, Default)]
struct Unreadable(AtomicBool);

impl Alter for Unreadable {
    fn get_many(
        &self,
        log: &dyn Log,
        revisions: &[Revision],
    ) -> Result<Vec<Option<Event>>, storage::Error> {
        match self.0.load(Ordering::SeqCst) {
            true => Err(storage::Error::Closed),
            false => log.get_many(revisions),
        }
    }
}

/// A post that is durable, but cannot be read back, may have been published. A call with the same
/// request id then returns it.
#[tokio::test]
async fn a_post_that_cannot_be_read_back_has_an_unknown_outcome() {
    let log = Arc::new(LocalLog::with_folder(MemoryFolder::default(), LOG_OPTIONS).unwrap());
    let log = AlteredLog::new(log, Unreadable::default());
    // Without a cache every post is read from the log.
    let limits = Limits { post_cache_bytes_max: 0, ..Limits::default() };
    let (clock, critical) = (Clock::system(), CriticalThreads::new());
    let engine = Engine::open(Arc::clone(&log) as _, &limits, clock, &critical).unwrap();
    let publish = async || {
        let request = Some(request_id("once"));
        within("a post", engine.publish(user("bob"), post("hello"), request)).await
    };

    log.alter.0.store(true, Ordering::SeqCst);
    let refused = publish().await;
    assert!(matches!(refused, Err(Error::OutcomeUnknown)), "{refused:?}");
    assert_eq!(log.head(), Revision::new(1), "it was published");

    log.alter.0.store(false, Ordering::SeqCst);
    let published = publish().await.unwrap();
    assert!(published.deduplicated);
    assert_eq!(published.post.revision, Revision::new(1));
    assert_eq!(log.head(), Revision::new(1), "and only once");
    within("the engine to stop", engine.stop()).await;
}
