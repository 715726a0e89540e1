//! The engine against a model of it that a reader can hold in mind, over random histories.
//!
//! The model knows nothing of how the engine works: it keeps every post in a list, every follow in
//! a set, and sorts. It is asked the same, and must answer the same, also after restarts.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use tokio::runtime::Runtime;
use whimbrel::config::Limits;
use whimbrel::engine::{Changed, Error, FeedQuery, PagePlace, Published};
use whimbrel::hub::{Start, Step};
use whimbrel::model::{Cursor, Revision};

use crate::harness::core::{Core, post, request_id, step, user};
use crate::harness::events::in_short;

const USERS: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];
const TEXTS: [&str; 3] = ["hello", "good morning", "what a day"];
const REQUEST_IDS: [&str; 3] = ["first", "second", "third"];
/// Few enough that histories reach it.
const FOLLOWS_MAX: usize = 3;

prop_state_machine! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// What happens to the engine, happens to the model.
    #[test]
    fn the_engine_does_as_the_model_does(sequential 1..80 => EngineTest<Plain>);

    /// The same where hardly anything stays in memory that the index has.
    #[test]
    fn the_engine_with_an_index_does_as_the_model_does(sequential 1..80 => EngineTest<Indexed>);
}

/// What can be done.
#[derive(Clone, Debug)]
enum Act {
    Follow(&'static str, &'static str),
    Unfollow(&'static str, &'static str),
    Publish {
        author: &'static str,
        text: &'static str,
        request_id: Option<&'static str>,
    },
    ReadAll {
        reader: &'static str,
        page_size: usize,
        with_own: bool,
    },
    /// Watches from so many changes ago until the stream is live.
    Watch {
        watcher: &'static str,
        changes_ago: u64,
    },
    Restart,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Edge { changed: bool, revision: u64 },
    Post { revision: u64, deduplicated: bool },
    Refused(&'static str),
    Feed(Vec<(u64, &'static str)>),
    Told(Vec<(u64, String)>),
    Restarted,
}

/// Who follows whom since when, and all posts.
#[derive(Clone, Debug, Default)]
struct Model {
    revision: u64,
    follows: BTreeMap<(&'static str, &'static str), u64>,
    posts: BTreeMap<u64, (&'static str, &'static str)>,
    requests: BTreeMap<(&'static str, &'static str), u64>,
    /// Who changed whom they follow, and how that is told.
    changes: BTreeMap<u64, (&'static str, String)>,
    /// What came of the last act.
    outcome: Option<Outcome>,
}

impl Model {
    fn act(&mut self, act: &Act) -> Outcome {
        match *act {
            Act::Follow(follower, followee) => self.follow(follower, followee),
            Act::Unfollow(follower, followee) => self.unfollow(follower, followee),
            Act::Publish { author, text, request_id } => self.publish(author, text, request_id),
            Act::ReadAll { reader, with_own, .. } => Outcome::Feed(self.feed(reader, with_own)),
            Act::Watch { watcher, changes_ago } => {
                let after = self.revision.saturating_sub(changes_ago);
                Outcome::Told(self.told(watcher, after))
            }
            Act::Restart => Outcome::Restarted,
        }
    }

    fn next(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }

    fn follow(&mut self, follower: &'static str, followee: &'static str) -> Outcome {
        if follower == followee {
            return Outcome::Refused("self-follow");
        }
        if let Some(&revision) = self.follows.get(&(follower, followee)) {
            return Outcome::Edge { changed: false, revision };
        }
        if self.followees(follower).len() == FOLLOWS_MAX {
            return Outcome::Refused("too many follows");
        }
        let revision = self.next();
        self.follows.insert((follower, followee), revision);
        self.changes.insert(revision, (follower, format!("+{followee}")));
        Outcome::Edge { changed: true, revision }
    }

    fn unfollow(&mut self, follower: &'static str, followee: &'static str) -> Outcome {
        if follower == followee {
            return Outcome::Refused("self-follow");
        }
        if self.follows.remove(&(follower, followee)).is_none() {
            return Outcome::Edge { changed: false, revision: 0 };
        }
        let revision = self.next();
        self.changes.insert(revision, (follower, format!("-{followee}")));
        Outcome::Edge { changed: true, revision }
    }

    fn publish(
        &mut self,
        author: &'static str,
        text: &'static str,
        request_id: Option<&'static str>,
    ) -> Outcome {
        let earlier = request_id.and_then(|id| self.requests.get(&(author, id)).copied());
        if let Some(revision) = earlier {
            return match self.posts[&revision].1 == text {
                true => Outcome::Post { revision, deduplicated: true },
                false => Outcome::Refused("request id reused"),
            };
        }
        let revision = self.next();
        self.posts.insert(revision, (author, text));
        self.requests.extend(request_id.map(|id| ((author, id), revision)));
        Outcome::Post { revision, deduplicated: false }
    }

    fn followees(&self, follower: &str) -> BTreeSet<&'static str> {
        let of_follower = self.follows.keys().filter(|(who, _)| *who == follower);
        of_follower.map(|(_, followee)| *followee).collect()
    }

    fn feed(&self, reader: &str, with_own: bool) -> Vec<(u64, &'static str)> {
        let followees = self.followees(reader);
        let shown = |author: &str| followees.contains(author) || (with_own && author == reader);
        let newest_first = self.posts.iter().rev();
        newest_first
            .filter(|(_, (author, _))| shown(author))
            .map(|(&revision, &(_, text))| (revision, text))
            .collect()
    }

    /// What a stream that goes on after `after` tells: the watcher's own changes, and the posts of
    /// the watcher and of those who are followed still, from when they were.
    fn told(&self, watcher: &'static str, after: u64) -> Vec<(u64, String)> {
        let posts = self.posts.iter().filter(|&(&revision, &(author, _))| {
            let since = self.follows.get(&(watcher, author));
            author == watcher || since.is_some_and(|&since| since < revision)
        });
        let posts =
            posts.map(|(&revision, (author, text))| (revision, format!("{author}: {text}")));
        let changes = self.changes.iter().filter(|(_, (who, _))| *who == watcher);
        let changes = changes.map(|(&revision, (_, change))| (revision, change.clone()));
        let all: BTreeMap<_, _> = posts.chain(changes).collect();
        all.into_iter().filter(|&(revision, _)| revision > after).collect()
    }
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Act;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::default()).boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Act> {
        let user = || select(&USERS[..]);
        let request_id = proptest::option::of(select(&REQUEST_IDS[..]));
        prop_oneof![
            4 => (user(), user()).prop_map(|(a, b)| Act::Follow(a, b)),
            2 => (user(), user()).prop_map(|(a, b)| Act::Unfollow(a, b)),
            6 => (user(), select(&TEXTS[..]), request_id).prop_map(|(author, text, request_id)| {
                Act::Publish { author, text, request_id }
            }),
            3 => (user(), 1..7_usize, any::<bool>()).prop_map(|(reader, page_size, with_own)| {
                Act::ReadAll { reader, page_size, with_own }
            }),
            3 => (user(), 0..40_u64).prop_map(|(watcher, changes_ago)| {
                Act::Watch { watcher, changes_ago }
            }),
            1 => Just(Act::Restart),
        ]
        .boxed()
    }

    fn apply(mut state: Self, act: &Act) -> Self {
        state.outcome = Some(state.act(act));
        state
    }
}

/// What the engine stands on.
trait Setting {
    fn core(change: impl FnOnce(&mut Limits)) -> Core;
}

/// The log alone.
struct Plain;

/// The log, and an index that is written every few events and at once.
struct Indexed;

impl Setting for Plain {
    fn core(change: impl FnOnce(&mut Limits)) -> Core {
        Core::limited(change)
    }
}

impl Setting for Indexed {
    fn core(change: impl FnOnce(&mut Limits)) -> Core {
        Core::indexed(|limits| {
            limits.recent_revisions_per_author_max = 2;
            limits.index_events_max = 5;
            limits.index_interval = Duration::from_millis(1);
            limits.reads_max = 1;
            limits.post_cache_bytes = 1 << 10;
            change(limits);
        })
    }
}

/// The engine, and the runtime that its calls are made on.
struct EngineTest<S> {
    runtime: Runtime,
    core: Core,
    setting: PhantomData<S>,
}

impl<S> EngineTest<S> {
    fn act(&mut self, act: &Act) -> Outcome {
        let Self { runtime, core, .. } = self;
        runtime.block_on(async {
            match *act {
                Act::Follow(follower, followee) => {
                    edge(core.engine().follow(user(follower), user(followee)).await)
                }
                Act::Unfollow(follower, followee) => {
                    edge(core.engine().unfollow(user(follower), user(followee)).await)
                }
                Act::Publish { author, text, request_id: id } => {
                    let id = id.map(request_id);
                    published(core.engine().publish(user(author), post(text), id).await)
                }
                Act::ReadAll { reader, page_size, with_own } => {
                    Outcome::Feed(read_all(core, reader, page_size, with_own).await)
                }
                Act::Watch { watcher, changes_ago } => {
                    Outcome::Told(watch(core, watcher, changes_ago).await)
                }
                Act::Restart => {
                    core.restart().await;
                    Outcome::Restarted
                }
            }
        })
    }
}

impl<S: Setting> StateMachineTest for EngineTest<S> {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(_: &Model) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let core = S::core(|limits| {
            limits.follows_per_user_max = FOLLOWS_MAX;
            limits.batch_events_max = 2;
        });
        Self { runtime, core, setting: PhantomData }
    }

    fn apply(mut state: Self, model: &Model, act: Act) -> Self {
        assert_eq!(Some(state.act(&act)), model.outcome, "{act:?}");
        state
    }

    /// The log is as long as the model says: nothing was written that changed nothing.
    fn check_invariants(state: &Self, model: &Model) {
        assert_eq!(state.core.engine().cursor().after.get(), model.revision);
    }
}

fn edge(answer: Result<Changed, Error>) -> Outcome {
    match answer {
        Ok(edge) => Outcome::Edge { changed: edge.changed, revision: edge.revision.get() },
        Err(error) => refusal(&error),
    }
}

fn published(answer: Result<Published, Error>) -> Outcome {
    match answer {
        Ok(published) => Outcome::Post {
            revision: published.post.revision.get(),
            deduplicated: published.deduplicated,
        },
        Err(error) => refusal(&error),
    }
}

fn refusal(error: &Error) -> Outcome {
    Outcome::Refused(match error {
        Error::SelfFollow { .. } => "self-follow",
        Error::TooMany { .. } => "too many follows",
        Error::RequestIdReused { .. } => "request id reused",
        other => panic!("the model knows nothing of this: {other}"),
    })
}

async fn watch(core: &Core, watcher: &str, changes_ago: u64) -> Vec<(u64, String)> {
    let now = core.engine().cursor();
    let after = Revision::new(now.after.get().saturating_sub(changes_ago));
    let mut stream = core.watch(watcher, Start::After(Cursor::after(now.log, after)));
    let mut told = Vec::new();
    loop {
        match step(&mut stream).await {
            Step::CaughtUp { .. } => return told,
            Step::Batch { events, .. } => told.extend(events.iter().map(|event| in_short(event))),
            _ => {}
        }
    }
}

async fn read_all(
    core: &Core,
    reader: &str,
    page_size: usize,
    with_own: bool,
) -> Vec<(u64, &'static str)> {
    let mut items = Vec::new();
    let mut place: Option<PagePlace> = None;
    loop {
        let query = FeedQuery {
            user: user(reader),
            items_max: page_size,
            place,
            with_own,
            all_replies: false,
        };
        let page = core.engine().news_feed(query).await.expect("the page is read");
        items.extend(page.items.iter().map(|item| {
            let post = &item.view.post;
            let text = TEXTS.iter().find(|text| **text == post.content.text.as_str());
            (post.revision.get(), *text.expect("a text that was published"))
        }));
        place = page.next;
        if place.is_none() {
            return items;
        }
        assert_eq!(page.items.len(), page_size, "a page before the last is full");
    }
}
