//! Random damage to the files of the log or to the index: every read of an engine is right or
//! refused, and no result is ever shorter in silence.
//!
//! `DAMAGE_SEEDS=from..to` runs with other seeds, and more of them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use whimbrel::config::Limits;
use whimbrel::engine::{Draft, Engine};
use whimbrel::live::{Start, StreamMessage, WatchOptions, Watched};
use whimbrel::model::{Cursor, PostId, Relation, Revision, UserId};
use whimbrel::query::{
    AuthorFeed, GetPosts, GetProfile, GetThread, HomeFeed, ListNotifications, ListPosts, ListUsers,
    Page, PagePosition, PostList, UserList,
};
use whimbrel::runtime::{Clock, CriticalThreads};
use whimbrel::storage::{Index, LocalLog, LogOptions};

use crate::harness::core::{FEED, post, user};
use crate::harness::{Disk, INDEX_OPTIONS, MemoryFolder, within};
use crate::storage::segment_layout::{Part, parts};

const USERS: usize = 8;
const EVENTS: usize = 900;
/// The seeds of each kind of damage to each file.
const SEEDS: Range<u64> = 0..4;
/// The page size of both files.
const PAGE_BYTES: usize = 4_096;
/// The first byte of a branch page in redb's format.
const BRANCH: u8 = 2;
/// Small segments, so that there are many.
const OPTIONS: LogOptions = LogOptions { disk_free_bytes_min: 0, segment_bytes_max: 16 << 10 };

/// A kind of damage.
#[derive(Clone, Copy, Debug)]
enum Damage {
    /// One byte anywhere.
    Byte,
    /// One byte of a part that says where others are: a branch page of the index; the head of a
    /// segment or of a frame, a table or a foot in the log.
    StructureByte,
    /// Two pages exchanged.
    Exchanged,
    /// A page copied over another.
    Misplaced,
    /// A page of zeros.
    Zeroed,
    /// Several bytes in a row.
    Burst,
    /// The file truncated.
    Truncated,
}

const DAMAGES: [Damage; 7] = [
    Damage::Byte,
    Damage::StructureByte,
    Damage::Exchanged,
    Damage::Misplaced,
    Damage::Zeroed,
    Damage::Burst,
    Damage::Truncated,
];

/// The number of each outcome.
#[derive(Debug, Default)]
struct Outcomes {
    right: usize,
    refused_by_reads: usize,
    refused_by_start: usize,
}

/// The contents of all intact files, and all reads of them.
struct Whole {
    log: Files,
    index: Vec<u8>,
    reads: Vec<(String, String)>,
}

/// The files of a log.
type Files = BTreeMap<String, Vec<u8>>;

/// Each damage is to one of the files, or exchanges pages of two.
#[test]
fn a_damaged_log_is_read_right_or_refused() {
    let Whole { log, index, .. } = whole();
    // As if all files were one.
    let content = log.values().flatten().copied().collect::<Vec<_>>();
    let parts: Vec<_> = log.iter().flat_map(|(name, file)| parts(name, file)).collect();
    let is_structure = |&at: &usize| !matches!(parts[at], Part::Record | Part::Unwritten);
    let structure: Vec<_> = (0..parts.len()).filter(is_structure).collect();
    damage(&content, &structure, |damaged| {
        let mut rest = &damaged[..];
        let mut file = |(name, file): (&String, &Vec<u8>)| {
            let (content, after) = rest.split_at(rest.len().min(file.len()));
            rest = after;
            (name.clone(), content.to_vec())
        };
        (log.iter().map(&mut file).collect(), index.clone())
    });
}

/// A log without its index serves the same.
#[test]
fn a_damaged_index_is_read_right_or_refused() {
    let Whole { log, index, .. } = whole();
    let branches = pages(index).filter(|page| index[page.start] == BRANCH);
    let structure: Vec<_> = branches.flatten().collect();
    damage(index, &structure, |index| (log.clone(), index));
}

/// Damages the bytes of `file` in all ways. `structure` are the bytes that say where others are.
fn damage(file: &[u8], structure: &[usize], files: impl Fn(Vec<u8>) -> (Files, Vec<u8>)) {
    let mut outcomes = Outcomes::default();
    for seed in seeds() {
        for kind in DAMAGES {
            let mut random = fastrand::Rng::with_seed(seed * DAMAGES.len() as u64 + kind as u64);
            let (log, index) = files(damaged(file, structure, kind, &mut random));
            let outcome = runtime().block_on(outcome(log, index));
            match outcome {
                Ok(0) => outcomes.right += 1,
                Ok(_) => outcomes.refused_by_reads += 1,
                Err(None) => outcomes.refused_by_start += 1,
                Err(Some(wrong)) => panic!("{kind:?} with seed {seed}: {wrong}"),
            }
        }
    }
    let refused = outcomes.refused_by_reads + outcomes.refused_by_start;
    assert!(outcomes.right > 0 && refused > 0, "{outcomes:?}");
}

/// The number of refused reads; or the wrong read, or `None` if the start is refused.
async fn outcome(log: Files, index: Vec<u8>) -> Result<usize, Option<String>> {
    let critical = CriticalThreads::new();
    let opened = open(&MemoryFolder::holding(log), &Disk::holding(index), &critical);
    let Ok(engine) = opened else { return Err(None) };
    let mut refused = 0;
    for ((what, expected), (_, read)) in whole().reads.iter().zip(read_all(&engine).await) {
        match read {
            Ok(read) if read == *expected => {}
            Ok(read) => return Err(Some(format!("{what}: {read} instead of {expected}"))),
            Err(_) => refused += 1,
        }
    }
    within("the engine to stop", engine.stop()).await;
    Ok(refused)
}

fn damaged(whole: &[u8], structure: &[usize], kind: Damage, random: &mut fastrand::Rng) -> Vec<u8> {
    let mut file = whole.to_vec();
    let page = |number: usize| number * PAGE_BYTES..(number + 1) * PAGE_BYTES;
    let pages: Vec<_> = pages(whole).map(|page| page.start / PAGE_BYTES).collect();
    match kind {
        Damage::Byte => {
            let used: Vec<_> = page(any(&pages, random)).filter(|&at| whole[at] != 0).collect();
            file[any(&used, random)] ^= random.u8(1..);
        }
        Damage::StructureByte => file[any(structure, random)] ^= random.u8(1..),
        Damage::Exchanged => {
            let (one, other) = (any(&pages, random), any(&pages, random));
            file[page(one)].copy_from_slice(&whole[page(other)]);
            file[page(other)].copy_from_slice(&whole[page(one)]);
        }
        Damage::Misplaced => {
            let (one, other) = (any(&pages, random), any(&pages, random));
            file[page(one)].copy_from_slice(&whole[page(other)]);
        }
        Damage::Zeroed => file[page(any(&pages, random))].fill(0),
        Damage::Burst => {
            let at = page(any(&pages, random)).start + random.usize(..PAGE_BYTES - 64);
            let bytes = random.usize(2..64);
            random.fill(&mut file[at..at + bytes]);
        }
        Damage::Truncated => file.truncate(random.usize(1..whole.len())),
    }
    file
}

/// The pages of a file that are written: others are never read.
fn pages(file: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let pages = (0..file.len() / PAGE_BYTES).map(|number| number * PAGE_BYTES);
    let pages = pages.map(|start| start..start + PAGE_BYTES);
    pages.filter(|page| file[page.clone()].iter().any(|&byte| byte != 0))
}

fn any(of: &[usize], random: &mut fastrand::Rng) -> usize {
    of[random.usize(..of.len())]
}

/// All reads, each with its name and its result in words, or a refusal.
async fn read_all(engine: &Engine) -> Vec<(String, Result<String, String>)> {
    let mut reads = Vec::new();
    for name in (0..USERS).map(name) {
        reads.extend(reads_of_user(engine, name).await);
    }
    for at in (1..EVENTS as u64).step_by(61) {
        reads.extend(reads_of_post(engine, at).await);
    }
    reads
}

async fn reads_of_user(engine: &Engine, name: UserId) -> Vec<(String, Result<String, String>)> {
    let mut reads = Vec::new();
    let start = Cursor::after(engine.cursor().log, Revision::ZERO);
    let feed = async |position| {
        let user = name.clone();
        let query = HomeFeed { user, items_max: 50, position, with_own: true, all_replies: false };
        engine.ask(query).await
    };
    reads.push((format!("the feed of {name}"), listed(feed).await));
    let authored = async |position| {
        let (viewer, author) = (name.clone(), name.clone());
        let (with_replies, with_reposts) = (true, true);
        let items_max = 50;
        let query = AuthorFeed { viewer, author, items_max, position, with_replies, with_reposts };
        engine.ask(query).await
    };
    reads.push((format!("the posts of {name}"), listed(authored).await));
    let mut unseen = 0;
    let notified = async |position| {
        let page =
            engine.ask(ListNotifications { user: name.clone(), items_max: 50, position }).await?;
        unseen = page.unseen;
        Ok::<_, whimbrel::query::Error>(page.page)
    };
    let notified = listed(notified).await;
    let notified = notified.map(|notified| format!("{unseen} of {notified}"));
    reads.push((format!("the notifications of {name}"), notified));
    let list = UserList::Followers(name.clone());
    let followers = async |position| {
        engine
            .ask(ListUsers { viewer: name.clone(), list: list.clone(), items_max: 5, position })
            .await
    };
    reads.push((format!("the followers of {name}"), listed(followers).await));
    let profile = engine.ask(GetProfile { viewer: name.clone(), user: name.clone() }).await;
    reads.push((format!("the profile of {name}"), in_words(profile)));
    let of = [(FEED, "feed"), (Watched::Notifications, "notification")];
    for (of, what) in of.into_iter().filter(|_| name.as_str() < "user3") {
        let missed = missed(engine, &name, of, start).await;
        reads.push((format!("the {what} stream of {name}"), missed));
    }
    reads
}

async fn reads_of_post(engine: &Engine, at: u64) -> Vec<(String, Result<String, String>)> {
    let mut reads = Vec::new();
    let (viewer, id) = (name(0), PostId::from_revision(Revision::new(at)));
    let likes = async |position| {
        engine
            .ask(ListUsers {
                viewer: viewer.clone(),
                list: UserList::Likes(id),
                items_max: 5,
                position,
            })
            .await
    };
    reads.push((format!("the likes of {at}"), listed(likes).await));
    let replies = async |position| {
        engine
            .ask(ListPosts {
                viewer: viewer.clone(),
                list: PostList::Replies(id),
                items_max: 5,
                position,
            })
            .await
    };
    reads.push((format!("the replies to {at}"), listed(replies).await));
    let query = GetThread {
        viewer: viewer.clone(),
        post: id,
        depth_max: 5,
        replies_max: 50,
        position: None,
    };
    reads.push((format!("the thread of {at}"), in_words(engine.ask(query).await)));
    let posts = engine.ask(GetPosts { viewer: viewer.clone(), ids: vec![id] }).await;
    reads.push((format!("the post {at}"), in_words(posts)));
    reads
}

/// The pages of a listing, in words.
async fn listed<T: std::fmt::Debug>(
    mut page: impl AsyncFnMut(Option<PagePosition>) -> Result<Page<T>, whimbrel::query::Error>,
) -> Result<String, String> {
    let (mut position, mut words) = (None, String::new());
    loop {
        let page = match page(position).await {
            // "Not found" is a result.
            Err(whimbrel::query::Error::PostNotFound { .. }) => return Ok("none".to_owned()),
            page => page.map_err(|error| error.to_string())?,
        };
        write!(words, "{:?}", page.items).unwrap();
        position = page.next;
        if position.is_none() {
            return Ok(words);
        }
    }
}

fn in_words<T: std::fmt::Debug>(read: Result<T, whimbrel::query::Error>) -> Result<String, String> {
    match read {
        Ok(read) => Ok(format!("{read:?}")),
        Err(whimbrel::query::Error::PostNotFound { .. }) => Ok("none".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The backlog of a stream, in words.
async fn missed(
    engine: &Engine,
    name: &UserId,
    of: Watched,
    after: Cursor,
) -> Result<String, String> {
    let options = WatchOptions { of, heartbeat: Duration::from_secs(20), reset_items: None };
    let mut stream = engine.watch(name, Start::After(after), options).unwrap();
    let mut words = String::new();
    loop {
        match within("the next message", stream.next()).await.map_err(|error| error.to_string())? {
            Some(StreamMessage::Batch { events, .. }) => {
                for event in events.iter() {
                    write!(words, "{:?}", event.kind).unwrap();
                }
            }
            Some(StreamMessage::CaughtUp { .. }) => return Ok(words),
            _ => {}
        }
    }
}

/// Files with several hundred changes of all kinds by few users, closed in order.
fn whole() -> &'static Whole {
    static WHOLE: OnceLock<Whole> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let (log, index) = (MemoryFolder::default(), Disk::default());
        let critical = CriticalThreads::new();
        runtime().block_on(async {
            let engine = open(&log, &Disk::default(), &critical).unwrap();
            make_changes(&engine).await;
            within("the engine to stop", engine.stop()).await;
        });
        // Written in several transactions, so that most of the file is in use.
        runtime().block_on(async {
            let engine = open(&log, &index, &critical).unwrap();
            within("the engine to stop", engine.stop()).await;
        });
        let (log, index) = (log.files(), index.bytes());
        let reads = runtime().block_on(async {
            let files = (MemoryFolder::holding(log.clone()), Disk::holding(index.clone()));
            let engine = open(&files.0, &files.1, &critical).unwrap();
            let reads = read_all(&engine).await.into_iter();
            let reads = reads.map(|(what, read)| (what, read.unwrap())).collect();
            within("the engine to stop", engine.stop()).await;
            reads
        });
        Whole { log, index, reads }
    })
}

async fn make_changes(engine: &Engine) {
    let mut random = fastrand::Rng::with_seed(7);
    let mut posts = Vec::new();
    for _ in 0..EVENTS {
        let (one, other) = (name(random.usize(..USERS)), name(random.usize(..USERS)));
        let referred = (!posts.is_empty()).then(|| posts[random.usize(..posts.len())]);
        // Some changes are refused.
        match (random.u8(..20), referred) {
            (0..3, _) => drop(engine.set(Relation::Follow(one, other), true).await),
            (3, _) => drop(engine.set(Relation::Mute(one, other), true).await),
            (4, _) => drop(engine.set(Relation::Mute(one, other), false).await),
            (5, Some(of)) => drop(engine.delete(one, of).await),
            (6..9, Some(of)) => drop(engine.set(Relation::Like(one, of), true).await),
            (9, Some(of)) => drop(engine.set(Relation::Like(one, of), false).await),
            (10, Some(of)) => drop(engine.set(Relation::Repost(one, of), true).await),
            (11, Some(of)) => drop(engine.set(Relation::Repost(one, of), false).await),
            (kind, referred) => {
                let text = format!("post {} of @{other}", posts.len());
                let reply_to = referred.filter(|_| kind < 15);
                let draft = Draft { reply_to, ..post(&text).into() };
                if let Ok(published) = engine.publish(one, draft, None).await {
                    posts.push(published.post.id());
                }
            }
        }
    }
}

/// An engine with nearly nothing in memory.
fn open(log: &MemoryFolder, index: &Disk, critical: &CriticalThreads) -> Result<Engine, String> {
    let limits = Limits {
        recent_revisions_per_author_max: 1,
        index_events_max: EVENTS / 4,
        post_cache_bytes_max: 1,
        ..Limits::default()
    };
    let log = LocalLog::with_folder(log.clone(), OPTIONS).map_err(|e| e.to_string())?;
    let opened =
        Index::with_files(index, "index", &log, INDEX_OPTIONS, limits.request_id_retention);
    let opened = opened.map_err(|error| error.to_string())?;
    let (log, clock) = (Arc::new(log), Clock::system());
    Engine::open_indexed(log, opened, &limits, clock, critical).map_err(|error| error.to_string())
}

fn name(number: usize) -> UserId {
    user(&format!("user{number}"))
}

/// The default seeds, or those of the environment.
fn seeds() -> Range<u64> {
    let Ok(asked) = std::env::var("DAMAGE_SEEDS") else { return SEEDS };
    let (from, to) = asked.split_once("..").expect("two numbers with .. between them");
    from.parse().unwrap()..to.parse().unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
