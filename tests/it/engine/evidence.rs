//! What a change is decided by is looked up before it joins the queue, and confirmed there by memory:
//! so no other writer waits for the disk, and what is decided is what is so.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use whimbrel::model::Relation;

use redb::StorageBackend;
use tokio::task::JoinSet;
use whimbrel::config::Limits;
use whimbrel::engine::Engine;
use whimbrel::model::{Change, Content, Event, PostId, PostRef, Revision, Timestamp, UserId};
use whimbrel::query::{LookUp, Reader};
use whimbrel::runtime::{Clock, CriticalThreads};
use whimbrel::state::{Evidence, Lookup, State};
use whimbrel::storage::{Index, LocalLog, Log, StorageFiles};

use crate::harness::core::{post, request_id, user};
use crate::harness::{Alter, AlteredLog, Disk, Valve, eventually, within};
use crate::storage::local_log::OPTIONS;

/// After so many events the index is written: a post, another, and a like.
const EVENTS_UNTIL_INDEXED: usize = 3;

/// What was looked up holds as long as nothing has changed it. After a change memory knows better,
/// until the index has that and memory drops it: then it has to be looked up again.
#[test]
fn evidence_is_confirmed_or_looked_up_again() {
    let world = Indexed::new();
    let bobs = world.publish("bob");
    world.write_index();
    let liked = Lookup::Like(user("carol"), bobs.id);
    let like = Change::Like { user: user("carol"), post: bobs.clone() };
    let unlike = Change::Unlike { user: user("carol"), post: bobs.clone(), since: None };

    // Of a user who never was, and of one who has done nothing, nothing is so.
    let before = world.look_up(&liked);
    assert_eq!(world.view.confirm(&liked, before), Some(None));
    world.publish("carol");
    assert_eq!(world.view.confirm(&liked, before), Some(None));

    let first = world.change(like.clone());
    assert_eq!(world.view.confirm(&liked, before), Some(Some(first)), "memory knows better");
    world.write_index();
    assert_eq!(world.view.confirm(&liked, before), None, "memory has dropped it");
    let after = world.look_up(&liked);
    assert_eq!(world.view.confirm(&liked, after), Some(Some(first)));

    // What others do, and what is written meanwhile, takes nothing from it.
    world.change(Change::Like { user: user("dave"), post: bobs });
    world.write_index();
    assert_eq!(world.view.confirm(&liked, after), Some(Some(first)));

    world.change(unlike);
    assert_eq!(world.view.confirm(&liked, after), Some(None));
    world.write_index();
    assert_eq!(world.view.confirm(&liked, after), None);
    let second = world.change(like);
    assert_eq!(world.view.confirm(&liked, after), Some(Some(second)));
    let evidence = world.look_up(&liked);
    assert_eq!(world.view.confirm(&liked, evidence), Some(Some(second)));
}

/// The same of reposts, and of what was seen, over histories at random: what is confirmed is what is
/// so, and what was looked up just before is confirmed.
#[test]
fn what_is_confirmed_is_so() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let world = Indexed::new();
        let posts: Vec<_> = (0..3).map(|_| world.publish("bob")).collect();
        let users = ["carol", "dave"].map(user);
        let mut is: Vec<Option<Revision>> = vec![None; 5 * users.len()];
        let questions = |user: &UserId| {
            [
                Lookup::Like(user.clone(), posts[0].id),
                Lookup::Like(user.clone(), posts[1].id),
                Lookup::Repost(user.clone(), posts[0].id),
                Lookup::Repost(user.clone(), posts[2].id),
                Lookup::Seen(user.clone()),
            ]
        };
        let questions: Vec<_> = users.iter().flat_map(questions).collect();
        let mut found: Vec<Evidence> = questions.iter().map(|it| world.look_up(it)).collect();
        for _ in 0..200 {
            let number = random.usize(..questions.len());
            let question = &questions[number];
            match random.u8(..8) {
                0 => world.write_index(),
                1..=3 => {
                    let change = world.toggled(question, is[number]);
                    let sees = matches!(change, Change::See { .. });
                    let at = world.change(change);
                    let since = if sees { at.previous() } else { at };
                    is[number] = (sees || is[number].is_none()).then_some(since);
                }
                4 | 5 => {
                    found[number] = world.look_up(question);
                    assert_eq!(world.view.confirm(question, found[number]), Some(is[number]));
                }
                _ => {
                    let confirmed = world.view.confirm(question, found[number]);
                    assert!(confirmed.is_none_or(|now| now == is[number]), "{question:?}");
                }
            }
        }
    }
}

/// A lookup that waits for the disk holds up nobody else's changes.
#[tokio::test]
async fn a_slow_lookup_holds_up_nobody() {
    let disk = Disk::default();
    let open = |gets: &Valve| {
        let log = LocalLog::with_files(disk.clone(), "memory", OPTIONS).unwrap();
        let log = AlteredLog::new(Arc::new(log), SlowToGet(gets.clone()));
        Engine::open(log, &Limits::default(), Clock::system(), &CriticalThreads::new()).unwrap()
    };
    let valve = Valve::default();
    let engine = open(&valve);
    let publish = async |engine: Engine, name: &'static str| {
        engine.publish(user(name), post("hi"), Some(request_id("once"))).await.unwrap()
    };
    let first = publish(engine.clone(), "bob").await;
    within("the engine to stop", engine.stop()).await;
    drop(engine);

    let engine = open(&valve);
    valve.shut();
    let mut retry = JoinSet::new();
    retry.spawn(publish(engine.clone(), "bob"));
    valve.holds_one().await;
    within("another's post", publish(engine.clone(), "carol")).await;
    within("a follow", engine.set(Relation::Follow(user("carol"), user("bob")), true))
        .await
        .unwrap();
    valve.open();
    let again = within("the retry", retry.join_next()).await.unwrap().unwrap();
    assert!(again.deduplicated);
    assert_eq!(again.post, first.post);
    within("the engine to stop", engine.stop()).await;
}

/// Two posts with one request id wait in the queue, each looked up before the other was made. The
/// second finds the first, although that has left what is pending by then.
#[tokio::test]
async fn a_repeat_that_was_looked_up_too_early_is_looked_up_again() {
    let queue = Queue::new(None);
    let publish = |text: &str, id: Option<&str>| {
        let (engine, text, id) = (queue.engine.clone(), post(text), id.map(request_id));
        async move { engine.publish(user("bob"), text, id).await.unwrap() }
    };
    let held = queue.add(publish("held", None)).await;
    let first = queue.add(publish("hi", Some("once"))).await;
    let between = queue.add(publish("between", None)).await;
    let second = queue.add(publish("hi", Some("once"))).await;
    queue.appends(2);
    within("the first", held).await;
    let first = within("the post", first).await;
    queue.appends(1);
    within("the post between", between).await;
    let second = within("the repeat", second).await;
    assert!(!first.deduplicated && second.deduplicated);
    assert_eq!(second.post, first.post);
    queue.stop().await;
}

/// The same of likes, where memory may have given what the first did to the index by then.
#[tokio::test]
async fn of_two_equal_likes_one_changes_something() {
    for _ in 0..3 {
        let index = Counted::default();
        let queue = Queue::new(Some(&index));
        queue.appends(1);
        let engine = &queue.engine;
        let bobs = engine.publish(user("bob"), post("hi"), None).await.unwrap().post.id();
        let like = || {
            let engine = engine.clone();
            async move { engine.set(Relation::Like(user("carol"), bobs), true).await.unwrap() }
        };
        let publish = || {
            let engine = engine.clone();
            async move { drop(engine.publish(user("bob"), post("hi"), None).await.unwrap()) }
        };
        let held = queue.add(publish()).await;
        let first = queue.add(like()).await;
        let between = queue.add(publish()).await;
        let second = queue.add(like()).await;
        let syncs = index.syncs();
        queue.appends(2);
        within("the post before", held).await;
        let first = within("the first like", first).await;
        let written = async || (index.syncs() >= syncs + 2).then_some(());
        eventually("the index to be written", written).await;
        queue.appends(1);
        within("the post between", between).await;
        let second = within("the second like", second).await;
        assert!(first.changed && !second.changed, "{first:?} {second:?}");
        assert_eq!(second.revision, first.revision);
        queue.stop().await;
    }
}

/// A view with an index, of a log in memory, without an engine.
struct Indexed {
    log: Arc<dyn Log>,
    view: Arc<State>,
}

impl Indexed {
    fn new() -> Self {
        let log: Arc<dyn Log> =
            Arc::new(LocalLog::with_files(Disk::default(), "memory", OPTIONS).unwrap());
        let kept = Duration::from_secs(60);
        let index = Index::with_files(&Disk::default(), "index", &*log, OPTIONS, kept).unwrap();
        let view = Arc::new(State::load(Arc::clone(&log), index, &Limits::default()));
        Self { log, view }
    }

    fn change(&self, change: Change) -> Revision {
        let event = Event::new(Timestamp::default(), change);
        let after = self.view.applied();
        self.log.append(after, vec![event.clone()]).unwrap();
        self.view.apply(after.next(), &event).unwrap();
        after.next()
    }

    fn publish(&self, author: &str) -> PostRef {
        let content = Content::from_text(post("hi"));
        let change = Change::Publish { author: user(author), content, request_id: None };
        PostRef { id: PostId::from_revision(self.change(change)), author: user(author) }
    }

    /// The change that makes the answer to `question` another.
    fn toggled(&self, question: &Lookup, is: Option<Revision>) -> Change {
        let post = |id: &PostId| PostRef { id: *id, author: user("bob") };
        match (question.clone(), is) {
            (Lookup::Like(user, id), None) => Change::Like { user, post: post(&id) },
            (Lookup::Like(user, id), since) => Change::Unlike { user, post: post(&id), since },
            (Lookup::Repost(user, id), None) => Change::Repost { user, post: post(&id) },
            (Lookup::Repost(user, id), since) => Change::Unrepost { user, post: post(&id), since },
            (Lookup::Seen(user), _) => Change::See { user, until: self.view.applied() },
        }
    }

    /// The answer from memory, if it has it, which must be that from the index too.
    fn look_up(&self, question: &Lookup) -> Evidence {
        let reader = Reader::new(Arc::clone(&self.view), &Limits::default());
        let query = LookUp(question.clone());
        let evidence = reader.ask_blocking(&query).unwrap();
        assert!(reader.ask_memory(&query).unwrap().is_none_or(|cached| cached == evidence));
        evidence
    }

    fn write_index(&self) {
        let index = self.view.index().unwrap();
        let entries = self.log.read(index.complete_until(), usize::MAX).unwrap();
        let Some(last) = entries.last() else { return };
        let mut writing = self.view.write_to(index).unwrap();
        for entry in &entries {
            writing.apply(entry.revision, &entry.event).unwrap();
        }
        let mut rows = writing.into_rows();
        index.write(&mut rows, last).unwrap();
        self.view.indexed(&rows, last.revision);
    }
}

/// An engine that decides one command at a time, appends as often as it is let, and writes its index,
/// if it has one, after [`EVENTS_UNTIL_INDEXED`].
struct Queue {
    engine: Engine,
    turns: Sender<()>,
}

impl Queue {
    fn new(index: Option<&Counted>) -> Self {
        let log = LocalLog::with_files(Disk::default(), "memory", OPTIONS).unwrap();
        let kept = Duration::from_secs(60);
        let index =
            index.map(|index| Index::with_files(index, "index", &log, OPTIONS, kept).unwrap());
        let (turns, taken) = channel();
        let log = AlteredLog::new(Arc::new(log), Turnstile(Mutex::new(taken)));
        let limits = Limits {
            batch_commands_max: 1,
            index_events_max: EVENTS_UNTIL_INDEXED,
            index_write_delay_max: Duration::from_secs(60 * 60),
            ..Limits::default()
        };
        let (clock, critical) = (Clock::system(), CriticalThreads::new());
        let engine = match index {
            Some(index) => Engine::open_indexed(log, index, &limits, clock, &critical),
            None => Engine::open(log, &limits, clock, &critical),
        };
        Self { engine: engine.unwrap(), turns }
    }

    /// Lets so many appends through.
    fn appends(&self, count: usize) {
        (0..count).for_each(|_| self.turns.send(()).unwrap());
    }

    /// Makes a call that is looked up at once. When this returns, it is in the queue.
    async fn add<T: Send + 'static>(
        &self,
        call: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> {
        let mut call = Box::pin(call);
        let polled =
            std::future::poll_fn(|cx| std::task::Poll::Ready(call.as_mut().poll(cx))).await;
        assert!(polled.is_pending(), "it is answered before it is appended");
        call
    }

    async fn stop(self) {
        within("the engine to stop", self.engine.stop()).await;
    }
}

/// Lets one append through for each turn that is given.
#[derive(Debug)]
struct Turnstile(Mutex<Receiver<()>>);

impl Alter for Turnstile {
    fn at_append(&self) {
        self.0.lock().unwrap().recv().expect("a turn is given");
    }
}

/// Reads of single events take as long as a test wants.
#[derive(Debug)]
struct SlowToGet(Valve);

impl Alter for SlowToGet {
    fn at_get(&self) {
        self.0.pass();
    }
}

/// Storage in memory that counts how often it was flushed. Clones are the same.
#[derive(Clone, Debug, Default)]
struct Counted {
    bytes: Arc<Mutex<Vec<u8>>>,
    syncs: Arc<AtomicUsize>,
}

impl Counted {
    fn syncs(&self) -> usize {
        self.syncs.load(Ordering::SeqCst)
    }
}

impl StorageFiles for Counted {
    type File = Self;

    fn current(&self) -> Self {
        self.clone()
    }

    fn make_copy(&self) -> io::Result<Self> {
        unreachable!("nothing is rebuilt here")
    }

    fn exchange(&self) -> io::Result<()> {
        unreachable!("nothing is rebuilt here")
    }
}

impl StorageBackend for Counted {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = offset as usize;
        out.copy_from_slice(&self.bytes.lock().unwrap()[offset..offset + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.bytes.lock().unwrap().resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = offset as usize;
        self.bytes.lock().unwrap()[offset..offset + data.len()].copy_from_slice(data);
        Ok(())
    }
}
