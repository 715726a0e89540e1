//! The records that decide a change are looked up before it joins the queue, and confirmed from
//! memory in the queue. So no other writer waits for the disk, and the decision is by the present
//! state.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use whimbrel::config::Limits;
use whimbrel::engine::Engine;
use whimbrel::model::{
    Change, Content, Event, PostId, PostRef, Relation, Revision, Timestamp, UserId,
};
use whimbrel::query::{LookUp, Reader};
use whimbrel::runtime::{Clock, CriticalThreads};
use whimbrel::state::{Evidence, Lookup, State};
use whimbrel::storage::{Index, IndexOptions, LocalLog, Log, StorageFiles};

use crate::harness::core::{post, request_id, user};
use crate::harness::{
    Alter, AlteredLog, CountedDisk, Disk, INDEX_OPTIONS, LOG_OPTIONS, MemoryFolder, Valve,
    eventually, within,
};

/// The index is written after so many events: a post, another, and a like.
const EVENTS_UNTIL_INDEXED: usize = 3;

/// A looked-up record is valid until a change of it. After the change memory has the new record,
/// until it moves to the index: then it must be looked up again.
#[test]
fn evidence_is_confirmed_or_looked_up_again() {
    let indexed = Indexed::new();
    let bobs = indexed.publish("bob");
    indexed.write_index();
    let liked = Lookup::Like(user("carol"), bobs.id);
    let like = Change::Like { user: user("carol"), post: bobs.clone() };
    let unlike = Change::Unlike { user: user("carol"), post: bobs.clone(), since: None };

    // An unknown user, and a user without likes, have no record.
    let before = indexed.look_up(&liked);
    assert_eq!(indexed.state.confirm(&liked, before), Some(None));
    indexed.publish("carol");
    assert_eq!(indexed.state.confirm(&liked, before), Some(None));

    let first = indexed.change(like.clone());
    assert_eq!(indexed.state.confirm(&liked, before), Some(Some(first)), "memory has the change");
    indexed.write_index();
    assert_eq!(indexed.state.confirm(&liked, before), None, "memory has dropped it");
    let after = indexed.look_up(&liked);
    assert_eq!(indexed.state.confirm(&liked, after), Some(Some(first)));

    // Changes of other users, and writes of the index, do not affect it.
    indexed.change(Change::Like { user: user("dave"), post: bobs });
    indexed.write_index();
    assert_eq!(indexed.state.confirm(&liked, after), Some(Some(first)));

    indexed.change(unlike);
    assert_eq!(indexed.state.confirm(&liked, after), Some(None));
    indexed.write_index();
    assert_eq!(indexed.state.confirm(&liked, after), None);
    let second = indexed.change(like);
    assert_eq!(indexed.state.confirm(&liked, after), Some(Some(second)));
    let evidence = indexed.look_up(&liked);
    assert_eq!(indexed.state.confirm(&liked, evidence), Some(Some(second)));
}

/// The same for reposts and seen positions, over random histories: a confirmed record is the
/// present one, and a fresh lookup is always confirmed.
#[test]
fn a_confirmed_record_is_the_present_one() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let indexed = Indexed::new();
        let posts: Vec<_> = (0..3).map(|_| indexed.publish("bob")).collect();
        let users = ["carol", "dave"].map(user);
        let mut is: Vec<Option<Revision>> = vec![None; 5 * users.len()];
        let lookups = |user: &UserId| {
            [
                Lookup::Like(user.clone(), posts[0].id),
                Lookup::Like(user.clone(), posts[1].id),
                Lookup::Repost(user.clone(), posts[0].id),
                Lookup::Repost(user.clone(), posts[2].id),
                Lookup::Seen(user.clone()),
            ]
        };
        let lookups: Vec<_> = users.iter().flat_map(lookups).collect();
        let mut found: Vec<Evidence> = lookups.iter().map(|it| indexed.look_up(it)).collect();
        for _ in 0..200 {
            let number = random.usize(..lookups.len());
            let lookup = &lookups[number];
            match random.u8(..8) {
                0 => indexed.write_index(),
                1..=3 => {
                    let change = indexed.toggled(lookup, is[number]);
                    let sees = matches!(change, Change::See { .. });
                    let at = indexed.change(change);
                    let since = if sees { at.previous() } else { at };
                    is[number] = (sees || is[number].is_none()).then_some(since);
                }
                4 | 5 => {
                    found[number] = indexed.look_up(lookup);
                    assert_eq!(indexed.state.confirm(lookup, found[number]), Some(is[number]));
                }
                _ => {
                    let confirmed = indexed.state.confirm(lookup, found[number]);
                    assert!(confirmed.is_none_or(|now| now == is[number]), "{lookup:?}");
                }
            }
        }
    }
}

/// A lookup that waits for the disk delays no other changes.
#[tokio::test]
async fn a_slow_lookup_delays_no_other_change() {
    let folder = MemoryFolder::default();
    let open = |gets: &Valve| {
        let log = LocalLog::with_folder(folder.clone(), LOG_OPTIONS).unwrap();
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

/// Two posts with one request id wait in the queue, both looked up before either was made. The
/// second finds the first, although that is not pending any more.
#[tokio::test]
async fn a_repeat_with_an_outdated_lookup_is_looked_up_again() {
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

/// The same for likes, where the first may have moved from memory to the index by then.
#[tokio::test]
async fn of_two_equal_likes_one_has_an_effect() {
    for _ in 0..3 {
        let index = CountedDisk::default();
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

/// Of recent posts memory knows who reacted and who did not, also when the index has it; of posts
/// from before the reactions that it has kept, only the index knows.
#[test]
fn reactions_to_recent_posts_need_no_disk() {
    const USERS: [&str; 4] = ["bob", "carol", "dave", "erin"];
    // Two generations of two.
    let indexed = Indexed::with_reactions(4);
    for name in USERS {
        indexed.publish(name);
    }
    let toggle = |name, post: &PostRef, is| {
        indexed.change(indexed.toggled(&Lookup::Like(user(name), post.id), is))
    };
    let in_memory = |post: &PostRef| {
        indexed.write_index();
        USERS.map(|name| indexed.is_in_memory(&Lookup::Like(user(name), post.id)))
    };

    let first = indexed.publish("bob");
    let liked = toggle("carol", &first, None);
    indexed.change(Change::Repost { user: user("dave"), post: first.clone() });
    assert_eq!(in_memory(&first), [true; 4], "the first generation is full");
    toggle("carol", &first, Some(liked));
    assert_eq!(in_memory(&first), [true; 4], "also what has ended");

    let second = indexed.publish("bob");
    toggle("dave", &second, None);
    assert_eq!((in_memory(&first), in_memory(&second)), ([true; 4], [true; 4]));
    toggle("erin", &first, None);
    assert_eq!(in_memory(&first), [false, false, false, true], "the first generation is gone");
    assert_eq!(in_memory(&second), [true; 4]);
}

/// A state with an index and a log in memory, without an engine.
pub(super) struct Indexed {
    log: Arc<dyn Log>,
    pub(super) state: Arc<State>,
}

impl Indexed {
    /// Memory keeps no reaction that the index has.
    fn new() -> Self {
        Self::with_reactions(0)
    }

    fn with_reactions(recent_reactions_max: usize) -> Self {
        let limits = Limits { recent_reactions_max, ..Limits::default() };
        Self::on(&Disk::default(), INDEX_OPTIONS, &limits)
    }

    pub(super) fn on(
        files: &(impl StorageFiles + Clone),
        options: IndexOptions,
        limits: &Limits,
    ) -> Self {
        let log: Arc<dyn Log> =
            Arc::new(LocalLog::with_folder(MemoryFolder::default(), LOG_OPTIONS).unwrap());
        let kept = Duration::from_secs(60);
        let index = Index::with_files(files, "index", &*log, options, kept).unwrap();
        let state = Arc::new(State::load(Arc::clone(&log), index, limits).unwrap());
        Self { log, state }
    }

    pub(super) fn change(&self, change: Change) -> Revision {
        let event = Event::new(Timestamp::default(), change);
        let after = self.state.applied();
        self.log.append(after, vec![event.clone()]).unwrap();
        self.state.apply(after.next(), &event).unwrap();
        after.next()
    }

    pub(super) fn publish(&self, author: &str) -> PostRef {
        let content = Content::from_text(post("hi"));
        let change = Change::Publish { author: user(author), content, request_id: None };
        PostRef { id: PostId::from_revision(self.change(change)), author: user(author) }
    }

    /// The change that alters the result of `lookup`.
    pub(super) fn toggled(&self, lookup: &Lookup, is: Option<Revision>) -> Change {
        let post = |id: &PostId| PostRef { id: *id, author: user("bob") };
        match (lookup.clone(), is) {
            (Lookup::Like(user, id), None) => Change::Like { user, post: post(&id) },
            (Lookup::Like(user, id), since) => Change::Unlike { user, post: post(&id), since },
            (Lookup::Repost(user, id), None) => Change::Repost { user, post: post(&id) },
            (Lookup::Repost(user, id), since) => Change::Unrepost { user, post: post(&id), since },
            (Lookup::Seen(user), _) => Change::See { user, until: self.state.applied() },
        }
    }

    /// The result of the lookup. Memory, if it has the record, must agree with the index.
    fn look_up(&self, lookup: &Lookup) -> Evidence {
        let reader = Reader::new(Arc::clone(&self.state), &Limits::default());
        let query = LookUp(lookup.clone());
        let evidence = reader.ask_blocking(&query).unwrap();
        assert!(reader.ask_memory(&query).unwrap().is_none_or(|cached| cached == evidence));
        evidence
    }

    /// Whether memory alone has the result of the lookup, which must be that of the index.
    fn is_in_memory(&self, lookup: &Lookup) -> bool {
        self.look_up(lookup);
        let reader = Reader::new(Arc::clone(&self.state), &Limits::default());
        reader.ask_memory(&LookUp(lookup.clone())).unwrap().is_some()
    }

    pub(super) fn write_index(&self) {
        let index = self.state.index().unwrap();
        let entries = self.log.read(index.complete_until(), usize::MAX).unwrap();
        let Some(last) = entries.last() else { return };
        let mut writing = self.state.write_to(index).unwrap();
        for entry in &entries {
            writing.apply(entry.revision, &entry.event).unwrap();
        }
        let rows = writing.into_rows();
        let chain = self.log.chain(last.revision).unwrap().unwrap();
        index.write(&rows, last.revision, chain).unwrap();
        self.state.indexed(&rows, last.revision).unwrap();
    }
}

/// An engine that decides one command at a time, appends when a test permits it, and writes its
/// index, if it has one, after [`EVENTS_UNTIL_INDEXED`].
struct Queue {
    engine: Engine,
    turns: Sender<()>,
}

impl Queue {
    fn new(index: Option<&CountedDisk>) -> Self {
        let log = LocalLog::with_folder(MemoryFolder::default(), LOG_OPTIONS).unwrap();
        let kept = Duration::from_secs(60);
        let index = index
            .map(|index| Index::with_files(index, "index", &log, INDEX_OPTIONS, kept).unwrap());
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

    /// Permits so many appends.
    fn appends(&self, count: usize) {
        (0..count).for_each(|_| self.turns.send(()).unwrap());
    }

    /// Makes a call whose lookup succeeds at once. When this returns, the call is in the queue.
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

/// Permits one append for each turn.
#[derive(Debug)]
struct Turnstile(Mutex<Receiver<()>>);

impl Alter for Turnstile {
    fn at_append(&self) {
        self.0.lock().unwrap().recv().expect("a turn is given");
    }
}

/// Holds reads of single events while a test wants that.
#[derive(Debug)]
struct SlowToGet(Valve);

impl Alter for SlowToGet {
    fn at_get(&self) {
        self.0.pass();
    }
}
