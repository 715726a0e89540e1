//! The nodes that share a log: which of them run, and to which of them changes are forwarded.
//!
//! ```text
//!   Roster ──▶ beats, four times a second ──▶ Observed ──▶ ClusterView ──▶ who forwards, GetCluster, metrics
//! ```
//!
//! **The node that has been there longest decides changes**, so that nodes do not decide by the same head at once. All of
//! them find that out by the same rows, and nobody is elected. It is only advice: the log itself takes one batch after
//! a head, whoever decided it. So two nodes that each believe that they decide are slow, and nothing else; and a node that
//! cannot reach the one that decides decides itself. Never appends, and never knows a call.

mod metrics;
mod observed;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

pub use observed::{ClusterView, NodeState, Observed, SILENT_BEATS_MAX};
use tokio::sync::watch;

use crate::model::{NodeKey, Revision};
use crate::runtime::{CriticalThreads, fill_random};
use crate::storage::{self, NodeRecord, Roster, SharedKeys};

/// Beats from one look for other API keys to the next: a second.
const KEYS_BEATS: u64 = 4;
/// Between two beats. Eight of them without a sign of a node mean that it has ended.
pub const BEAT: Duration = Duration::from_millis(250);

/// What this node is to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnNode {
    /// Where they reach it; `None` if they cannot, so that it never decides for them.
    pub address: Option<String>,
    /// Where clients reach it; `None` if nobody has said that.
    pub public_address: Option<String>,
    /// The version of the program.
    pub version: String,
}

/// What a node tells the others, and what it takes from the store.
pub trait OwnSide: Send {
    /// What all its reads show.
    fn applied(&self) -> Revision;

    /// The version of the API keys that it has.
    fn known_keys(&self) -> Option<u64>;

    /// Takes over other API keys.
    ///
    /// # Errors
    /// Why it cannot. It is tried again.
    fn take_keys(&mut self, keys: &SharedKeys) -> Result<(), String>;
}

/// The nodes of a log, seen from one of them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cluster(Arc<ClusterShared>);

struct ClusterShared {
    own: OwnNode,
    key: NodeKey,
    view: watch::Sender<Arc<ClusterView>>,
    has_begun: AtomicBool,
    has_left: AtomicBool,
}

/// That a node is one of several. Dropping it leaves them: soon after they forward no changes to it.
#[derive(Debug)]
pub struct Membership {
    cluster: Cluster,
    /// Ends the thread.
    _running: SyncSender<()>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.cluster.0.has_left.store(true, Ordering::Release);
    }
}

impl fmt::Debug for ClusterShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("own", &self.own).finish_non_exhaustive()
    }
}

impl Cluster {
    /// A node that other nodes do not see yet.
    ///
    /// # Errors
    /// The operating system has no random numbers.
    pub fn new(own: OwnNode) -> std::io::Result<Self> {
        let mut key = [0; 32];
        fill_random(&mut key)?;
        Ok(Self(Arc::new(ClusterShared {
            own,
            key: NodeKey::new(key),
            view: watch::Sender::default(),
            has_begun: AtomicBool::new(false),
            has_left: AtomicBool::new(false),
        })))
    }

    /// Joins the others, on a thread of its own. From now on they may forward changes to this node.
    ///
    /// # Errors
    /// The operating system cannot start a thread.
    ///
    /// # Panics
    /// It has joined before.
    pub fn begin(
        &self,
        roster: Box<dyn Roster>,
        side: Box<dyn OwnSide>,
        critical: &CriticalThreads,
    ) -> std::io::Result<Membership> {
        assert!(!self.0.has_begun.swap(true, Ordering::AcqRel), "a node joins once");
        let (running, stopped) = sync_channel(0);
        let beats = Beats { cluster: self.clone(), roster, side, stopped };
        critical.spawn("whimbrel-nodes", move || beats.run())?;
        Ok(Membership { cluster: self.clone(), _running: running })
    }

    /// Whether it was one of several nodes, and is not any more.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.0.has_left.load(Ordering::Acquire)
    }

    /// What other nodes have to show this one.
    #[must_use]
    pub fn key(&self) -> &NodeKey {
        &self.0.key
    }

    /// The nodes as they are known now.
    #[must_use]
    pub fn view(&self) -> Arc<ClusterView> {
        Arc::clone(&self.0.view.borrow())
    }

    /// Waits until the node with this number hangs, or has ended without a word. One that ends in order answers first.
    pub async fn falls_silent(&self, number: u64) {
        let mut views = self.0.view.subscribe();
        let is_silent = |view: &Arc<ClusterView>| {
            view.nodes().iter().any(|node| node.record.number == number && !node.is_alive)
        };
        // `self` holds the sender, so the wait cannot fail.
        let _ = views.wait_for(is_silent).await;
    }
}

/// The thread that says that this node is there, and looks for the others and for their API keys.
struct Beats {
    cluster: Cluster,
    roster: Box<dyn Roster>,
    side: Box<dyn OwnSide>,
    stopped: Receiver<()>,
}

impl Beats {
    /// Runs until the node leaves.
    fn run(mut self) -> Result<(), storage::Error> {
        let mut observed = Observed::default();
        let (mut own, mut is_lost) = (None, false);
        loop {
            match self.beat(&mut own, &mut observed) {
                Ok(()) => is_lost = false,
                // What was known last stays: the others may reach the store, and this node them.
                Err(error) if !std::mem::replace(&mut is_lost, true) => {
                    tracing::warn!(%error, "the other nodes are not seen");
                }
                Err(_) => {}
            }
            // Nobody sends.
            if self.stopped.recv_timeout(BEAT) != Err(RecvTimeoutError::Timeout) {
                break;
            }
        }
        if let Some(NodeRecord { number, .. }) = own
            && let Err(error) = self.roster.leave(number)
        {
            tracing::debug!(%error, "the other nodes will find out that this one has ended");
        }
        Ok(())
    }

    fn beat(
        &mut self,
        own: &mut Option<NodeRecord>,
        observed: &mut Observed,
    ) -> Result<(), storage::Error> {
        let record = match own {
            Some(record) => record,
            None => own.insert(self.record()?),
        };
        record.beats += 1;
        record.applied = self.side.applied();
        let is_due = record.beats.is_multiple_of(KEYS_BEATS);
        match self.roster.beat(record)? {
            Some(others) => {
                let view = Arc::new(observed.seen(record, others));
                self.cluster.0.view.send_replace(view);
            }
            // A fail-over may have put the numbers back.
            None => *own = None,
        }
        if is_due { self.look_for_keys() } else { Ok(()) }
    }

    fn look_for_keys(&mut self) -> Result<(), storage::Error> {
        let Some(keys) = self.roster.keys(self.side.known_keys())? else { return Ok(()) };
        if let Err(error) = self.side.take_keys(&keys) {
            tracing::error!(error, "other API keys cannot be taken over: the old stay");
        }
        Ok(())
    }

    fn record(&mut self) -> Result<NodeRecord, storage::Error> {
        let OwnNode { address, public_address, version } = self.cluster.0.own.clone();
        let number = self.roster.join()?;
        let key = self.cluster.0.key.clone();
        let (beats, applied) = (0, Revision::ZERO);
        Ok(NodeRecord { number, address, public_address, key, version, beats, applied })
    }
}
