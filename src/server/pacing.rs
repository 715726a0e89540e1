//! Shares the time of a worker among its connections. A connection that had more than its allowance
//! waits for its turn before it goes on; turns are given in a circle, and between them all that is not
//! waiting runs. So what others wait for one connection is bounded, whatever it sends and however many
//! do as it does; and a worker with nothing else to do gives turns without a pause.
//!
//! ```text
//!   woken ──▶ within its allowance ─────────────────────▶ runs, and its time is taken off
//!             └ it had more ──▶ waits ──▶ its turn ───────┘
//!
//!   turns:    one of the first connection that waits, one of the next, … until TURN_TIME is over, or
//!             somebody works without one; then all that is woken runs, and sockets are looked at
//! ```
//!
//! What is paced: the polls of a connection, in which frames are read, decoded and written; and those of each
//! call until its request is whole, in the last of which most calls are answered. Polls that read nothing take
//! nothing off the allowance: so a connection with watchers, however much is delivered to it, is not paced.
//! Never delays a call or a stream that does not wait for its client, and never refuses or closes anything.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hyper::rt::Executor;
use pin_project_lite::pin_project;

use crate::{api, runtime};

/// What a connection may use at once: some ten calls, as when a client starts.
const ALLOWANCE: Duration = Duration::from_millis(1);
/// What it used is paid for by so many times as long: it has 20 ms a second, of some hundred calls. More
/// is had in turns.
const PAID_BY: u32 = 50;
/// How long turns are given before sockets are looked at, and whoever is woken by them runs. The last one
/// may take longer: what 4 KiB of frames take, or a call. It is many times as long as a look at the sockets.
const TURN_TIME: Duration = Duration::from_micros(100);

thread_local! {
    static WAITING: Rc<Waiting> = Rc::default();
}

/// The connections of a worker that wait for their turn.
#[derive(Default)]
struct Waiting {
    /// Each of them once.
    connections: RefCell<VecDeque<Rc<PaceState>>>,
    are_turns_given: Cell<bool>,
    /// Whether somebody worked without a turn since this was last looked at: a call that goes from one
    /// task to the next.
    others_work: Cell<bool>,
}

/// The use that one connection makes of its worker. Cheap to clone.
#[derive(Clone)]
pub(super) struct Pace(Rc<PaceState>);

struct PaceState {
    /// When the time that it has used is paid for; so long ago at least as it takes to pay for the
    /// allowance. It may use more from then on.
    paid_at: Cell<Instant>,
    /// Its poll, and its calls whose request is not whole: no more than it may have streams.
    turns: RefCell<VecDeque<Rc<Turn>>>,
}

/// A turn that somebody waits for.
struct Turn {
    has_come: Cell<bool>,
    waker: RefCell<Waker>,
}

/// Whether a client has caused work. What others publish to it, it has not.
pub(super) type IsCausedByClient = bool;

/// Work that may have to wait for a turn.
pub(super) struct Paced {
    pace: Pace,
    turn: Option<Rc<Turn>>,
}

impl Pace {
    /// Of a new connection, on the calling worker. It begins without an allowance: to connect again brings
    /// nothing.
    pub(super) fn new() -> Self {
        let paid_at = Cell::new(Instant::now());
        Self(Rc::new(PaceState { paid_at, turns: RefCell::default() }))
    }

    /// Work of the connection.
    pub(super) fn paced(&self) -> Paced {
        Paced { pace: self.clone(), turn: None }
    }

    /// Takes `time`, which ends at `now`, off the allowance.
    fn charge(&self, time: Duration, now: Instant) {
        let paid_at = self.0.paid_at.get().max(allowed_since(now));
        self.0.paid_at.set(paid_at + time * PAID_BY);
    }

    fn wait(&self, cx: &Context<'_>) -> Rc<Turn> {
        let waker = RefCell::new(cx.waker().clone());
        let turn = Rc::new(Turn { has_come: Cell::new(false), waker });
        let mut turns = self.0.turns.borrow_mut();
        turns.push_back(Rc::clone(&turn));
        if turns.len() == 1 {
            WAITING.with(|waiting| waiting.add(&self.0));
        }
        turn
    }
}

/// When a connection has last used its worker whose allowance is whole at `now`.
fn allowed_since(now: Instant) -> Instant {
    // A machine that has just started has a clock without so much past.
    now.checked_sub(ALLOWANCE * PAID_BY).unwrap_or(now)
}

impl Paced {
    /// Does `work` if the connection has used no more than its allowance, or when its turn comes. Its
    /// time counts if it says that the client has caused it.
    pub(super) fn run<T>(
        &mut self,
        cx: &mut Context<'_>,
        work: impl FnOnce(&mut Context<'_>) -> (Poll<T>, IsCausedByClient),
    ) -> Poll<T> {
        match &self.turn {
            Some(turn) if turn.has_come.get() => {
                self.turn = None;
                work(cx).0
            }
            Some(turn) => {
                turn.waker.borrow_mut().clone_from(cx.waker());
                Poll::Pending
            }
            None => {
                let begun = Instant::now();
                if begun < self.pace.0.paid_at.get() {
                    self.turn = Some(self.pace.wait(cx));
                    return Poll::Pending;
                }
                WAITING.with(|waiting| waiting.others_work.set(true));
                let (out, is_caused_by_client) = work(cx);
                if is_caused_by_client {
                    let ended = Instant::now();
                    self.pace.charge(ended.saturating_duration_since(begun), ended);
                }
                out
            }
        }
    }

    /// Waits for a turn before the next work, whatever was used.
    pub(super) fn wait(&mut self, cx: &Context<'_>) {
        debug_assert!(self.turn.is_none(), "who waits does not work");
        self.turn = Some(self.pace.wait(cx));
    }
}

impl Waiting {
    fn add(self: &Rc<Self>, connection: &Rc<PaceState>) {
        self.connections.borrow_mut().push_back(Rc::clone(connection));
        if !self.are_turns_given.replace(true) {
            runtime::spawn_local(Rc::clone(self).give_turns());
        }
    }

    /// Gives turns until nobody waits.
    async fn give_turns(self: Rc<Self>) {
        let mut begun = Instant::now();
        while self.give_turn() {
            // Who has the turn runs, and who was woken before.
            behind_others().await;
            if self.others_work.take() || begun.elapsed() >= TURN_TIME {
                // All that is woken runs, and then sockets are looked at.
                tokio::task::yield_now().await;
                begun = Instant::now();
            }
        }
        self.are_turns_given.set(false);
    }

    /// Gives the next turn. `false` if nobody waits.
    fn give_turn(&self) -> bool {
        loop {
            let Some(connection) = self.connections.borrow_mut().pop_front() else { return false };
            let mut turns = connection.turns.borrow_mut();
            let turn = turns.pop_front();
            if !turns.is_empty() {
                self.connections.borrow_mut().push_back(Rc::clone(&connection));
            }
            // Nobody else has a turn whose owner is gone.
            if let Some(turn) = turn.filter(|turn| Rc::strong_count(turn) > 1) {
                turn.has_come.set(true);
                turn.waker.borrow().wake_by_ref();
                return true;
            }
        }
    }
}

/// Waits until those who are woken have run.
async fn behind_others() {
    let mut is_behind = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut is_behind, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Pace {
    /// Spawns a stream of the connection on the worker of the connection.
    fn execute(&self, stream: F) {
        runtime::spawn_local(PacedStream { arrival: Some(self.paced()), stream });
    }
}

pin_project! {
    /// A stream that is paced until its request is whole. Each frame of it wakes the stream, and the end of the
    /// connection wakes all that wait for one: a thousand at once.
    struct PacedStream<F> {
        // `None` once the request is whole.
        arrival: Option<Paced>,
        #[pin]
        stream: F,
    }
}

impl<F: Future<Output = ()>> Future for PacedStream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let Some(arrival) = this.arrival else { return this.stream.poll(cx) };
        let mut is_whole = false;
        let polled = arrival.run(cx, |cx| {
            let (polled, is_arriving) = api::poll_noting_arrival(|| this.stream.poll(cx));
            is_whole = !is_arriving;
            (polled, true)
        });
        if is_whole {
            *this.arrival = None;
        }
        polled
    }
}
