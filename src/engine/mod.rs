//! The engine: takes commands, decides them in one order, makes them durable, applies them, and
//! answers.
//!
//! ```text
//!   calls ──▶ queue ──▶ Committer ──────────▶ Log ──────────▶ Applier ──▶ State, LiveFeeds
//!                       decides by the view   one flush       in order       │
//!                       and what is pending   per batch                      ▼
//!   calls ◀───────────────────────────────────────────────────────────── Completions
//! ```
//!
//! The committer and the applier are threads of their own: while one batch is flushed, the one
//! before it is applied. A call is answered when its change is durable and every read sees it. A
//! third thread, the indexer, writes what was applied into the index, far behind; a fourth, the
//! eraser, has what deleted posts said erased from the log; a fifth, the guard, looks whether the log
//! is still there.
//!
//! Nothing here knows of gRPC.

mod applier;
mod calls;
mod command;
mod committer;
mod compactor;
mod completions;
mod decide;
mod error;
mod feed;
mod indexer;
mod log_check;
mod mailbox;
mod notifications;
mod pending;
mod people;
mod posts;
mod read;
mod recurring;
mod thread;
mod users;

use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use applier::Applier;
use command::{Command, Rejection, Responder};
use committer::Committer;
use compactor::Compactor;
use completions::Completions;
use indexer::Indexer;
use mailbox::Mailboxes;
use tokio::sync::mpsc;

pub use command::{Changed, Draft, EdgeKind, Published, ReactionKind};
pub use error::{Error, OpenError};
pub use feed::{AuthorQuery, FeedQuery};
pub use mailbox::Mailbox;
pub use pending::EdgesOf;
pub use thread::ThreadQuery;

use crate::config::Limits;
use crate::live::{LiveFeeds, LiveStream, Start, WatchOptions};
use crate::model::{Cursor, UserId};
pub use crate::query::{
    Counts, FeedItem, Gap, ListedUser, Notification, Notifications, Page, PagePosition, PostList,
    PostView, Profile, Relationship, Thread, ThreadPost, UserList,
};
use crate::runtime::{Clock, CriticalThreads};
pub use crate::state::NotificationKind;
use crate::state::State;
use crate::storage::{Log, OpenedIndex};

/// The engine's handle. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine(Arc<EngineShared>);

#[derive(Debug)]
struct EngineShared {
    commands: mpsc::Sender<Command>,
    view: Arc<State>,
    hub: LiveFeeds,
    porters: Mutex<Vec<Mailbox>>,
    threads: Mutex<Threads>,
}

/// What [`Engine::stop`] waits for.
#[derive(Debug, Default)]
struct Threads {
    working: Vec<JoinHandle<()>>,
    /// Dropped once the others have ended; then the indexer has all before it that there will be.
    indexing: Option<(SyncSender<()>, JoinHandle<()>)>,
    /// Dropped at once: what they are doing can be done after the next start.
    others: Vec<(SyncSender<()>, JoinHandle<()>)>,
}

impl Engine {
    /// Replays `log` and takes commands from then on. Blocks while it replays. Without an index,
    /// all revisions stay in memory, and the next start replays them all again.
    ///
    /// From now on the engine is the log's only writer. A failure of its threads, as of the disk,
    /// is told to `critical`; what was not answered by then is answered with
    /// [`Error::OutcomeUnknown`].
    ///
    /// # Errors
    /// A limit is not as it must be, the log cannot be read, or the machine gives no threads.
    pub fn open(
        log: Arc<dyn Log>,
        limits: &Limits,
        clock: Clock,
        critical: &CriticalThreads,
    ) -> Result<Self, OpenError> {
        limits.check()?;
        let view = State::new(Arc::clone(&log), limits);
        Self::on_view(log, Arc::new(view), limits, clock, critical)
    }

    /// As [`Engine::open`], with an index that was made from `log`: only what it lacks is
    /// replayed. From now on the engine is its only writer.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open_indexed(
        log: Arc<dyn Log>,
        index: OpenedIndex,
        limits: &Limits,
        clock: Clock,
        critical: &CriticalThreads,
    ) -> Result<Self, OpenError> {
        limits.check()?;
        let view = State::load(Arc::clone(&log), index, limits);
        Self::on_view(log, Arc::new(view), limits, clock, critical)
    }

    fn on_view(
        log: Arc<dyn Log>,
        view: Arc<State>,
        limits: &Limits,
        clock: Clock,
        critical: &CriticalThreads,
    ) -> Result<Self, OpenError> {
        let hub = LiveFeeds::new(Arc::clone(&view), limits);
        let (carriers, porters) = Mailboxes::new(&hub, limits);
        let replies = Arc::new(Completions::new(Arc::clone(&view), carriers));
        let mut threads = Threads::default();
        // Before the replay, so that what of it is in the index stays so if the start is cut off.
        if let Some(index) = view.index() {
            let (log, view, index) = (Arc::clone(&log), Arc::clone(&view), Arc::clone(index));
            let (running, stopped) = sync_channel(0);
            let indexer = Indexer::new(log, view, index, stopped, limits);
            let indexing = critical.spawn("whimbrel-index", move || indexer.run())?;
            threads.indexing = Some((running, indexing));
        }
        let mut applier = Applier::new(&log, Arc::clone(&view), Arc::clone(&replies), limits);
        applier.catch_up()?;

        let (commands, queue) = mpsc::channel(limits.queue_commands_max);
        let (running, stopped) = sync_channel(0);
        let eraser =
            Compactor::new(Arc::clone(&log), Arc::clone(&view), clock.clone(), stopped, limits);
        threads.others.push((running, critical.spawn("whimbrel-erase", move || eraser.run())?));
        let (running, stopped) = sync_channel(0);
        let guarded = Arc::clone(&log);
        let guard = critical.spawn("whimbrel-guard", move || log_check::run(&guarded, &stopped))?;
        threads.others.push((running, guard));
        let committer = Committer::new(log, Arc::clone(&view), replies, queue, clock, limits)?;
        threads.working.push(critical.spawn("whimbrel-commit", move || committer.run())?);
        threads.working.push(critical.spawn("whimbrel-apply", move || applier.run())?);
        let (porters, threads) = (Mutex::new(porters), Mutex::new(threads));
        Ok(Self(Arc::new(EngineShared { commands, view, hub, porters, threads })))
    }

    /// What has to run on each worker, in the order of their lanes from 1, before anything is
    /// called there. Gives them once.
    #[must_use]
    pub fn porters(&self) -> Vec<Mailbox> {
        std::mem::take(&mut *self.0.porters.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Opens a live feed.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn watch(
        &self,
        user: &UserId,
        start: Start,
        options: WatchOptions,
    ) -> Result<LiveStream, Error> {
        Ok(self.0.hub.watch(user, start, options)?)
    }

    /// The position that every read shows by now.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.0.hub.cursor_after(self.0.view.applied())
    }

    /// Whether every read can be answered: not while an index is lost that has what memory lacks.
    #[must_use]
    pub fn has_all(&self) -> bool {
        self.0.view.index().is_none_or(|index| index.loss().is_none())
    }

    /// Answers what was taken, closes the log, brings the index up to it, and waits for the
    /// threads. Later changes are refused with [`Error::Stopping`].
    pub async fn stop(&self) {
        // What waits for a lost index would hold up the stop for as long as that takes.
        if let Some(index) = self.0.view.index() {
            index.set_has_repairer(false);
        }
        // If it cannot be sent, the committer has ended already.
        let _ = self.0.commands.send(Command::Stop).await;
        let Threads { working, indexing, others } =
            std::mem::take(&mut *self.0.threads.lock().unwrap_or_else(PoisonError::into_inner));
        // All of them are let go before any is waited for.
        let (running, others): (Vec<_>, Vec<_>) = others.into_iter().unzip();
        drop(running);
        let join = move || {
            working.into_iter().chain(others).for_each(|thread| drop(thread.join()));
            if let Some((running, thread)) = indexing {
                drop(running);
                drop(thread.join());
            }
        };
        let _ = tokio::task::spawn_blocking(join).await;
    }

    async fn call<T>(&self, command: impl FnOnce(Responder<T>) -> Command) -> Result<T, Rejection> {
        let (caller, answer) = Responder::new();
        self.0.commands.try_send(command(caller)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Error::Overloaded,
            mpsc::error::TrySendError::Closed(_) => Error::Stopping,
        })?;
        answer.await.unwrap_or(Err(Rejection::Refused(Error::OutcomeUnknown)))
    }
}
