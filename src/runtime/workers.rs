//! Worker threads, each with a single-threaded async runtime. A task runs, wakes and ends on the
//! worker that it was spawned on: a wake-up never crosses threads, and a task never moves.
//!
//! ```text
//!   Workers ── job ──▶ queue ──▶ worker runs the job ── spawn_local ──▶ tasks on that thread
//! ```
//!
//! Worker n serves shard n of the connections and streams, from 1. Shard 0 has no worker: it stands
//! for all other threads. A panic of a task ends its worker, and so, by [`CriticalThreads`], the
//! process.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, mpsc};

use super::{CriticalThreads, WorkerPulse};

/// Most jobs in the queue of a worker. When it is full, [`Workers::spawn_on`] waits and
/// [`Workers::try_spawn_on`] refuses.
const QUEUE_JOBS_MAX: usize = 1_024;
/// Most threads of a worker for blocking calls: more would only wait for each other at the disk.
const BLOCKING_THREADS_MAX: usize = 32;
/// How long a worker that stops waits for its blocking calls.
const BLOCKING_TIME_MAX: Duration = Duration::from_secs(1);

type Job = Box<dyn FnOnce() + Send>;

thread_local! {
    static SHARD: Cell<usize> = const { Cell::new(0) };
    static PANICS: Rc<TaskPanics> = Rc::default();
}

/// The shard of the calling worker, from 1; 0 on every other thread.
#[must_use]
pub fn current_shard() -> usize {
    SHARD.get()
}

/// Spawns `future` on the calling worker. The task ends when the worker does; a panic of the task
/// ends the worker.
///
/// # Panics
/// The calling thread is no worker.
#[expect(clippy::disallowed_methods, reason = "the one place that catches panics of local tasks")]
pub fn spawn_local(future: impl Future<Output = ()> + 'static) {
    tokio::task::spawn_local(WorkerTask { future });
}

/// The worker threads. They and their tasks end when it is dropped.
pub struct Workers {
    queues: Vec<mpsc::Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts `count` workers, at least one, as threads of `critical`.
    ///
    /// # Errors
    /// The operating system cannot start a thread.
    pub fn start(count: usize, critical: &CriticalThreads) -> io::Result<Self> {
        Self::start_with_pulse(count, critical, &WorkerPulse::new())
    }

    /// As [`Workers::start`]; `pulse` shows when each of them last ran.
    ///
    /// # Errors
    /// The operating system cannot start a thread.
    pub fn start_with_pulse(
        count: usize,
        critical: &CriticalThreads,
        pulse: &WorkerPulse,
    ) -> io::Result<Self> {
        let count = count.max(1);
        pulse.begin(count);
        let mut workers = Self { queues: Vec::new(), threads: Vec::new() };
        for shard in 1..=count {
            let pulse = pulse.clone();
            let (queue, jobs) = mpsc::channel(QUEUE_JOBS_MAX);
            workers.queues.push(queue);
            let run = move || run(shard, jobs, &pulse);
            workers.threads.push(critical.spawn(format!("whimbrel-worker-{shard}"), run)?);
        }
        Ok(workers)
    }

    /// The number of workers.
    #[must_use]
    pub fn count(&self) -> usize {
        self.queues.len()
    }

    /// Calls `make` on the worker of `shard`, from 1 to [`Workers::count`], and spawns its future
    /// there. Waits while the worker's queue is full. Does nothing if there is no such worker, or
    /// it has failed.
    pub async fn spawn_on<F>(&self, shard: usize, make: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        let Some(queue) = shard.checked_sub(1).and_then(|index| self.queues.get(index)) else {
            return;
        };
        // The failure of a worker is reported by CriticalThreads.
        let _ = queue.send(Box::new(move || spawn_local(make()))).await;
    }

    /// As [`Workers::spawn_on`], but never waits. `false` if the queue is full, there is no such
    /// worker, or it has failed.
    #[must_use]
    pub fn try_spawn_on<F>(&self, shard: usize, make: impl FnOnce() -> F + Send + 'static) -> bool
    where
        F: Future<Output = ()> + 'static,
    {
        let queue = shard.checked_sub(1).and_then(|index| self.queues.get(index));
        queue.is_some_and(|queue| queue.try_send(Box::new(move || spawn_local(make()))).is_ok())
    }

    /// Ends the workers and their tasks, and waits for the threads.
    pub async fn stop(mut self) {
        self.queues.clear();
        let threads = std::mem::take(&mut self.threads);
        let join = move || threads.into_iter().for_each(|thread| drop(thread.join()));
        let _ = tokio::task::spawn_blocking(join).await;
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Workers({})", self.count())
    }
}

/// Runs a worker until its queue is closed or a task panics.
///
/// # Panics
/// A task panicked.
fn run(shard: usize, mut jobs: mpsc::Receiver<Job>, pulse: &WorkerPulse) -> io::Result<()> {
    debug_assert!(shard > 0, "shard 0 has no worker");
    SHARD.set(shard);
    let mut builder = Builder::new_current_thread();
    builder.enable_all().max_blocking_threads(BLOCKING_THREADS_MAX);
    let runtime = builder.build_local(LocalOptions::default())?;
    let panics = PANICS.with(Rc::clone);
    runtime.block_on(async {
        let mut measured = pin!(pulse.measure());
        loop {
            tokio::select! {
                job = jobs.recv() => match job {
                    Some(job) => job(),
                    None => return,
                },
                _ = panics.resume_first() => {}
                never = &mut measured => match never {},
            }
        }
    });
    runtime.shutdown_timeout(BLOCKING_TIME_MAX);
    Ok(())
}

/// The first panic of a worker's tasks.
#[derive(Default)]
struct TaskPanics {
    first: RefCell<Option<Box<dyn Any + Send>>>,
    added: Notify,
}

impl TaskPanics {
    fn add(&self, panic: Box<dyn Any + Send>) {
        self.first.borrow_mut().get_or_insert(panic);
        self.added.notify_one();
    }

    /// Waits for the first panic and resumes it in the caller.
    async fn resume_first(&self) -> Infallible {
        loop {
            if let Some(panic) = self.first.take() {
                resume_unwind(panic);
            }
            self.added.notified().await;
        }
    }
}

pin_project! {
    /// A task that reports its panic to its worker.
    struct WorkerTask<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future<Output = ()>> Future for WorkerTask<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let future = self.project().future;
        catch_unwind(AssertUnwindSafe(|| future.poll(cx))).unwrap_or_else(|panic| {
            PANICS.with(|panics| panics.add(panic));
            Poll::Ready(())
        })
    }
}
