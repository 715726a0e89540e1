//! Worker threads, each with a single-threaded runtime of its own: what is spawned on a worker runs,
//! wakes and ends there, so no wake-up crosses threads.
//!
//! ```text
//!   Workers ── job ──▶ queue ──▶ worker: runs the job, which spawns ──▶ tasks of that thread
//! ```
//!
//! A task that panics takes its worker down, and so, by [`CriticalThreads`], the process. Nothing here moves a
//! task to another worker.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, mpsc};

use super::CriticalThreads;

/// Jobs that wait for a worker. Beyond it who hands them out waits too, or is told.
const QUEUE_JOBS_MAX: usize = 1_024;
/// Threads of a worker that wait for the disk: more would only wait for each other.
const BLOCKING_THREADS_MAX: usize = 32;
/// How long a worker that stops waits for them.
const BLOCKING_TIME_MAX: Duration = Duration::from_secs(1);

type Job = Box<dyn FnOnce() + Send>;

thread_local! {
    static SHARD: Cell<usize> = const { Cell::new(0) };
    static ALARM: Rc<Alarm> = Rc::default();
}

/// The worker that the calling thread is, from 1; 0 on every other thread.
#[must_use]
pub fn current_shard() -> usize {
    SHARD.get()
}

/// Spawns `future` on the worker that the calling thread is. It ends with the worker; if it
/// panics, the worker ends with it.
///
/// # Panics
/// The calling thread is no worker.
#[expect(clippy::disallowed_methods, reason = "the one place that looks after local tasks")]
pub fn spawn_local(future: impl Future<Output = ()> + 'static) {
    tokio::task::spawn_local(Guarded { future });
}

/// Worker threads. They end when this is dropped, with all that was spawned on them.
pub struct Workers {
    queues: Vec<mpsc::Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts so many workers, at least one. A worker that fails or panics is a failure of `critical`.
    ///
    /// # Errors
    /// The machine gave no thread.
    pub fn start(count: usize, critical: &CriticalThreads) -> io::Result<Self> {
        let mut workers = Self { queues: Vec::new(), threads: Vec::new() };
        for shard in 1..=count.max(1) {
            let (queue, jobs) = mpsc::channel(QUEUE_JOBS_MAX);
            workers.queues.push(queue);
            let run = move || run(shard, jobs);
            workers.threads.push(critical.spawn(format!("whimbrel-worker-{shard}"), run)?);
        }
        Ok(workers)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.queues.len()
    }

    /// Spawns the future that `make` makes on worker `shard`, from 1 to [`Workers::count`]; waits
    /// while its queue is full. Does nothing if there is no such worker, or it has failed.
    pub async fn spawn_on<F>(&self, shard: usize, make: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        let Some(queue) = shard.checked_sub(1).and_then(|index| self.queues.get(index)) else {
            return;
        };
        // One that has failed has told so.
        let _ = queue.send(Box::new(move || spawn_local(make()))).await;
    }

    /// As [`Workers::spawn_on`], but never waits. Whether it is done: not if the queue is full, there
    /// is no such worker, or it has failed.
    #[must_use]
    pub fn try_spawn_on<F>(&self, shard: usize, make: impl FnOnce() -> F + Send + 'static) -> bool
    where
        F: Future<Output = ()> + 'static,
    {
        let queue = shard.checked_sub(1).and_then(|index| self.queues.get(index));
        queue.is_some_and(|queue| queue.try_send(Box::new(move || spawn_local(make()))).is_ok())
    }

    /// Ends them, with all that was spawned on them, and waits for that.
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

/// A worker's life: until its queue is closed, or a task panics.
fn run(shard: usize, mut jobs: mpsc::Receiver<Job>) -> io::Result<()> {
    SHARD.set(shard);
    let mut builder = Builder::new_current_thread();
    builder.enable_all().max_blocking_threads(BLOCKING_THREADS_MAX);
    let runtime = builder.build_local(LocalOptions::default())?;
    let alarm = ALARM.with(Rc::clone);
    runtime.block_on(async {
        loop {
            tokio::select! {
                job = jobs.recv() => match job {
                    Some(job) => job(),
                    None => return,
                },
                _ = alarm.rung() => {}
            }
        }
    });
    runtime.shutdown_timeout(BLOCKING_TIME_MAX);
    Ok(())
}

/// Brings a task's panic to its worker.
#[derive(Default)]
struct Alarm {
    panic: RefCell<Option<Box<dyn Any + Send>>>,
    rings: Notify,
}

impl Alarm {
    fn ring(&self, panic: Box<dyn Any + Send>) {
        self.panic.borrow_mut().get_or_insert(panic);
        self.rings.notify_one();
    }

    /// Panics as the first task did that panicked.
    async fn rung(&self) -> Infallible {
        loop {
            if let Some(panic) = self.panic.take() {
                resume_unwind(panic);
            }
            self.rings.notified().await;
        }
    }
}

pin_project! {
    /// A task whose panic is the worker's.
    struct Guarded<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future<Output = ()>> Future for Guarded<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let future = self.project().future;
        catch_unwind(AssertUnwindSafe(|| future.poll(cx))).unwrap_or_else(|panic| {
            ALARM.with(|alarm| alarm.ring(panic));
            Poll::Ready(())
        })
    }
}
