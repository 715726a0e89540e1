//! The engine against a model of it that a reader can hold in mind, over random histories.
//!
//! The model knows nothing of how the engine works: it decides by rules of a line or two, and tells
//! what is to be read by definition ([`World`]). It is asked the same, and must answer the same, also
//! after restarts.

mod asks;
mod reads;
mod rules;

use std::marker::PhantomData;
use std::time::Duration;

use asks::Look;
use proptest::prelude::*;
use proptest::sample::select;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use rules::Model;
use tokio::runtime::Runtime;
use whimbrel::config::Limits;
use whimbrel::engine::{Changed, Draft, Error, Published};
use whimbrel::model::{Cursor, PostId, Revision};

use crate::harness::core::{Core, post, request_id, user};
use crate::oracle::relations::{EdgeKind, ReactionKind, SetRelation};
use crate::oracle::world::Options;

const USERS: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];
const TEXTS: [&str; 4] = ["hello", "good morning", "what a day", "hello @bob and @carol"];
const REQUEST_IDS: [&str; 3] = ["first", "second", "third"];
/// Few enough that histories reach it.
const FOLLOWS_MAX: usize = 3;
const BLOCKS_MAX: usize = 2;
const MUTES_MAX: usize = 2;
/// As deep, and as many, as is asked for.
const THREAD_DEPTH: usize = 10;
const THREAD_REPLIES: usize = 200;

prop_state_machine! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        ..ProptestConfig::default()
    })]

    /// What happens to the engine, happens to the model.
    #[test]
    fn the_engine_does_as_the_model_does(sequential 1..120 => EngineTest<Plain>);

    /// The same where hardly anything stays in memory that the index has.
    #[test]
    fn the_engine_with_an_index_does_as_the_model_does(sequential 1..120 => EngineTest<Indexed>);
}

/// What can be done. Posts are named by their number in the order of the log, those that were
/// deleted included; a number beyond them names a post that is none.
#[derive(Clone, Debug)]
enum Act {
    Edge(EdgeKind, &'static str, &'static str),
    React(ReactionKind, &'static str, usize),
    Publish {
        author: &'static str,
        text: &'static str,
        reply_to: Option<usize>,
        quote: Option<usize>,
        request_id: Option<&'static str>,
    },
    Delete(&'static str, usize),
    /// Up to so many changes ago.
    MarkSeen(&'static str, u64),
    /// Reads all of a feed.
    Feed {
        reader: &'static str,
        page_size: usize,
        options: Options,
    },
    /// Watches a feed from so many changes ago until the stream is live.
    Watch {
        watcher: &'static str,
        changes_ago: u64,
        all_replies: bool,
    },
    /// Looks at a user, at a post, and at everything around them.
    Look {
        viewer: &'static str,
        other: &'static str,
        post: usize,
        page_size: usize,
    },
    Restart,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Changed {
        changed: bool,
        revision: u64,
    },
    Post {
        revision: u64,
        deduplicated: bool,
    },
    Refused(&'static str),
    /// What was read, a line each.
    Read(Vec<String>),
    Restarted,
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Act;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::default()).boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Act> {
        use EdgeKind::{Block, Follow, Mute, Unblock, Unfollow, Unmute};
        use ReactionKind::{Like, Repost, Unlike, Unrepost};

        let user = || select(&USERS[..]);
        // One more than there are: that one is none.
        let post = || 0..state.world.posts().len() + 1;
        let edge = select(vec![
            Follow, Follow, Follow, Follow, Unfollow, Unfollow, Block, Unblock, Mute, Unmute,
        ]);
        let reaction = select(vec![Like, Like, Unlike, Repost, Repost, Unrepost]);
        let request_id = proptest::option::of(select(&REQUEST_IDS[..]));
        let referred = || proptest::option::weighted(0.4, post());
        let options = any::<(bool, bool)>()
            .prop_map(|(with_own, all_replies)| Options { with_own, all_replies });
        let draft = (user(), select(&TEXTS[..]), referred(), referred(), request_id);
        prop_oneof![
            8 => (edge, user(), user()).prop_map(|(kind, a, b)| Act::Edge(kind, a, b)),
            5 => (reaction, user(), post()).prop_map(|(kind, a, b)| Act::React(kind, a, b)),
            8 => draft.prop_map(|(author, text, reply_to, quote, request_id)| {
                Act::Publish { author, text, reply_to, quote, request_id }
            }),
            2 => (user(), post()).prop_map(|(who, post)| Act::Delete(who, post)),
            1 => (user(), 0..20_u64).prop_map(|(who, ago)| Act::MarkSeen(who, ago)),
            3 => (user(), 1..7_usize, options).prop_map(|(reader, page_size, options)| {
                Act::Feed { reader, page_size, options }
            }),
            3 => (user(), 0..60_u64, any::<bool>()).prop_map(
                |(watcher, changes_ago, all_replies)| {
                    Act::Watch { watcher, changes_ago, all_replies }
                },
            ),
            3 => (user(), user(), post(), 1..4_usize).prop_map(
                |(viewer, other, post, page_size)| Act::Look { viewer, other, post, page_size },
            ),
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
            limits.index_write_delay_max = Duration::from_millis(1);
            limits.concurrent_reads_max = 1;
            limits.post_cache_bytes_max = 1 << 10;
            change(limits);
        })
    }
}

/// The engine, and the runtime that its calls are made on.
struct EngineTest<S> {
    runtime: Runtime,
    core: Core,
    /// The posts, by their numbers.
    posts: Vec<PostId>,
    setting: PhantomData<S>,
}

impl<S> EngineTest<S> {
    fn act(&mut self, act: &Act) -> Outcome {
        // A name of a post that is none: what is at that revision is no post, or nothing.
        let none = PostId::from_revision(Revision::new(u64::MAX >> 2));
        let post_id = |number: usize| self.posts.get(number).copied().unwrap_or(none);
        let outcome = self.runtime.block_on(async {
            match *act {
                Act::Edge(kind, one, other) => {
                    changed(self.core.engine().change_edge(kind, user(one), user(other)).await)
                }
                Act::React(kind, who, post) => {
                    changed(self.core.engine().react(kind, user(who), post_id(post)).await)
                }
                Act::Publish { author, text, reply_to, quote, request_id: id } => {
                    let (reply_to, quote) = (reply_to.map(post_id), quote.map(post_id));
                    let draft = Draft { reply_to, quote, ..post(text).into() };
                    let id = id.map(request_id);
                    published(self.core.engine().publish(user(author), draft, id).await)
                }
                Act::Delete(who, post) => {
                    changed(self.core.engine().delete(user(who), post_id(post)).await)
                }
                Act::MarkSeen(who, changes_ago) => {
                    let now = self.core.engine().cursor();
                    let until = now.after.get().saturating_sub(changes_ago);
                    let until = Cursor::after(now.log, Revision::new(until));
                    changed(self.core.engine().mark_seen(user(who), Some(until)).await)
                }
                Act::Feed { reader, page_size, options } => {
                    Outcome::Read(asks::feed(&self.core, reader, page_size, options).await)
                }
                Act::Watch { watcher, changes_ago, all_replies } => {
                    let told = asks::watch(&self.core, watcher, changes_ago, all_replies).await;
                    Outcome::Read(told)
                }
                Act::Look { viewer, other, post, page_size } => {
                    let look = Look { core: &self.core, viewer, page_size };
                    Outcome::Read(look.at(other, post_id(post), &self.posts).await)
                }
                Act::Restart => {
                    self.core.restart().await;
                    Outcome::Restarted
                }
            }
        });
        if let Outcome::Post { revision, deduplicated: false } = outcome {
            self.posts.push(PostId::from_revision(Revision::new(revision)));
        }
        outcome
    }
}

impl<S: Setting> StateMachineTest for EngineTest<S> {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(_: &Model) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let core = S::core(|limits| {
            // What is deleted is erased all the time, which nobody notices.
            limits.compaction_interval = Duration::from_millis(1);
            limits.follows_per_user_max = FOLLOWS_MAX;
            limits.blocks_per_user_max = BLOCKS_MAX;
            limits.mutes_per_user_max = MUTES_MAX;
            limits.batch_events_max = 2;
        });
        Self { runtime, core, posts: Vec::new(), setting: PhantomData }
    }

    fn apply(mut state: Self, model: &Model, act: Act) -> Self {
        let (outcome, expected) = (state.act(&act), model.outcome.as_ref());
        if let (Outcome::Read(read), Some(Outcome::Read(expected))) = (&outcome, expected) {
            let differs = read.iter().zip(expected).position(|(read, expected)| read != expected);
            let at = differs.unwrap_or_else(|| read.len().min(expected.len()));
            assert_eq!(read.get(at), expected.get(at), "line {at} of what {act:?} reads");
        }
        assert_eq!(Some(&outcome), expected, "{act:?}");
        state
    }

    /// The log is as long as the model says: nothing was written that changed nothing.
    fn check_invariants(state: &Self, model: &Model) {
        assert_eq!(state.core.engine().cursor().after.get(), model.world.head());
    }
}

fn changed(answer: Result<Changed, Error>) -> Outcome {
    match answer {
        Ok(it) => Outcome::Changed { changed: it.changed, revision: it.revision.get() },
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
        Error::SelfTarget { .. } => "self-target",
        Error::TooMany { .. } => "too many",
        Error::Blocked { .. } => "blocked",
        Error::PostNotFound { .. } => "no post",
        Error::PostDeleted { .. } => "post deleted",
        Error::NotTheAuthor { .. } => "not the author",
        Error::RequestIdReused { .. } => "request id reused",
        other => panic!("the model knows nothing of this: {other}"),
    })
}
