//! Reads of the index and the log: callers take turns, none has more than its share, and few wait.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use tokio::task::JoinSet;
use whimbrel::query::{CallerKey, Error, Query, QueryCaller, Source, Unanswered};

use crate::harness::core::Core;
use crate::harness::within;

const GREEDY: CallerKey = CallerKey::Connection(1);
const MODEST: CallerKey = CallerKey::User(1);

/// A read that says when it begins, and ends when the test lets it.
struct HeldRead {
    name: &'static str,
    begun: mpsc::Sender<&'static str>,
    end: Arc<Mutex<mpsc::Receiver<()>>>,
}

impl Query for HeldRead {
    type Answer = ();

    fn answer(&self, source: &Source<'_>) -> Result<(), Unanswered> {
        if source.is_memory() {
            return Err(Unanswered::NotInMemory);
        }
        self.begun.send(self.name).unwrap();
        // However it ends, the read ends.
        let _ = self.end.lock().unwrap().recv();
        Ok(())
    }
}

/// An engine with held reads.
struct Reads {
    core: Core,
    begun: (mpsc::Sender<&'static str>, mpsc::Receiver<&'static str>),
    end: mpsc::Sender<()>,
    ends: Arc<Mutex<mpsc::Receiver<()>>>,
    running: JoinSet<()>,
}

impl Reads {
    fn at_once(max: usize) -> Self {
        Self::limited(max, 1_024)
    }

    fn limited(max: usize, waiting_max: usize) -> Self {
        let core = Core::limited(|limits| {
            limits.concurrent_reads_max = max;
            limits.waiting_reads_max = waiting_max;
        });
        let (end, ends) = mpsc::channel();
        let ends = Arc::new(Mutex::new(ends));
        Self { core, begun: mpsc::channel(), end, ends, running: JoinSet::new() }
    }

    /// Begins `count` reads of `caller`, which wait for their turns in this order.
    async fn ask(&mut self, caller: CallerKey, name: &'static str, count: usize) {
        for _ in 0..count {
            self.try_ask(QueryCaller::new(caller), name).await.expect("it waits");
        }
    }

    /// Begins a read, which waits for its turn; or is refused.
    async fn try_ask(&mut self, caller: QueryCaller, name: &'static str) -> Result<(), Error> {
        let engine = self.core.engine().clone();
        let read = HeldRead { name, begun: self.begun.0.clone(), end: Arc::clone(&self.ends) };
        let mut asking = Box::pin(async move { caller.scope(engine.ask(read)).await });
        // It waits for its turn from its first poll on.
        tokio::select! {
            biased;
            asked = &mut asking => return Err(asked.expect_err("it is held")),
            () = std::future::ready(()) => {}
        }
        self.running.spawn(async move { asking.await.expect("it is answered") });
        Ok(())
    }

    /// The next reads that begin.
    async fn begin(&mut self, count: usize) -> Vec<&'static str> {
        let mut names = Vec::new();
        while names.len() < count {
            match self.begun.1.try_recv() {
                Ok(name) => names.push(name),
                Err(_) => {
                    within("a turn", tokio::time::sleep(std::time::Duration::from_millis(1))).await
                }
            }
        }
        names
    }

    /// Lets one read end.
    fn end_one(&self) {
        self.end.send(()).unwrap();
    }
}

/// A caller with many reads leaves turns to another, who has a turn at once.
#[tokio::test]
async fn a_caller_has_no_more_than_its_share() {
    let mut reads = Reads::at_once(4);
    reads.ask(GREEDY, "greedy", 10).await;
    assert_eq!(reads.begin(2).await, ["greedy", "greedy"]);
    reads.ask(MODEST, "modest", 1).await;
    assert_eq!(reads.begin(1).await, ["modest"], "a third of the greedy one began");
    for _ in 0..11 {
        reads.end_one();
    }
    within("all reads", reads.running.join_all()).await;
}

/// Callers take turns: who has waited with many reads gets one of them, and then the next caller.
#[tokio::test]
async fn callers_take_turns() {
    let mut reads = Reads::at_once(1);
    reads.ask(GREEDY, "greedy", 5).await;
    reads.ask(MODEST, "modest", 2).await;
    let mut order = Vec::new();
    for _ in 0..7 {
        order.extend(reads.begin(1).await);
        reads.end_one();
    }
    let expected = ["greedy", "greedy", "modest", "greedy", "modest", "greedy", "greedy"];
    assert_eq!(order, expected);
    within("all reads", reads.running.join_all()).await;
}

/// Streams that catch up wait in a line of their own, however long it is: a call is next but one.
#[tokio::test]
async fn streams_do_not_keep_calls_waiting() {
    let mut reads = Reads::limited(1, 1);
    reads.ask(GREEDY, "running", 1).await;
    for number in 10..20 {
        let stream = QueryCaller::new(CallerKey::User(number)).patient();
        reads.try_ask(stream, "stream").await.expect("streams are never refused");
    }
    reads.ask(MODEST, "call", 1).await;
    let mut order = Vec::new();
    for _ in 0..4 {
        order.extend(reads.begin(1).await);
        reads.end_one();
    }
    assert_eq!(order, ["running", "stream", "call", "stream"]);
    (0..8).for_each(|_| reads.end_one());
    within("all reads", reads.running.join_all()).await;
}

/// Of calls few wait: of one caller so many, and of two callers half as many each. Others are refused
/// at once, and leave no trace.
#[tokio::test]
async fn few_calls_wait() {
    let refused = |asked: Result<(), Error>, expected: usize| match asked {
        Err(Error::TooManyWait { waiting_max }) => assert_eq!(waiting_max, expected),
        other => panic!("{other:?}"),
    };
    let mut reads = Reads::limited(1, 4);
    let (greedy, modest) = (QueryCaller::new(GREEDY), QueryCaller::new(MODEST));
    reads.ask(GREEDY, "greedy", 1 + 4).await;
    refused(reads.try_ask(greedy.clone(), "greedy").await, 4);
    reads.ask(MODEST, "modest", 2).await;
    refused(reads.try_ask(modest.clone(), "modest").await, 2);
    refused(reads.try_ask(greedy.clone(), "greedy").await, 2);

    // The greedy one's first, then both in turn: then only one of it waits.
    for _ in 0..6 {
        reads.begin(1).await;
        reads.end_one();
    }
    assert_eq!(reads.begin(1).await, ["greedy"]);
    reads.ask(MODEST, "modest", 4).await;
    refused(reads.try_ask(modest, "modest").await, 4);
    (0..5).for_each(|_| reads.end_one());
    within("all reads", reads.running.join_all()).await;
}

/// A call that is cancelled while it waits, or while it reads, costs nobody a turn.
#[tokio::test]
async fn a_cancelled_call_gives_its_turn_back() {
    let mut reads = Reads::at_once(1);
    reads.ask(GREEDY, "cancelled", 5).await;
    assert_eq!(reads.begin(1).await, ["cancelled"]);
    reads.running.abort_all();
    while reads.running.join_next().await.is_some() {}
    reads.end_one();
    reads.ask(MODEST, "next", 1).await;
    assert_eq!(reads.begin(1).await, ["next"]);
    reads.end_one();
    within("the read", reads.running.join_all()).await;
}
