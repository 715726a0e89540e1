//! The engine against a small model of it, over random histories.
//!
//! The model decides changes by rules of a line or two, and reads by definition
//! ([`Oracle`](crate::oracle::history::Oracle)). The same calls must give the same results, after
//! restarts too.

mod engine_reads;
mod model_reads;
mod rules;

use std::marker::PhantomData;
use std::time::Duration;

use engine_reads::EngineReader;
use proptest::prelude::*;
use proptest::sample::select;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use rules::Model;
use tokio::runtime::Runtime;
use whimbrel::config::Limits;
use whimbrel::engine::{Changed, Draft, Error, Published};
use whimbrel::model::{Cursor, PostId, Relation, RelationKind, Revision};

use crate::harness::core::{Core, post, request_id, user};
use crate::harness::postgres::Postgres;
use crate::oracle::feeds::Options;

const USERS: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];
const TEXTS: [&str; 4] = ["hello", "good morning", "what a day", "hello @bob and @carol"];
const REQUEST_IDS: [&str; 3] = ["first", "second", "third"];
/// Few enough that random histories reach the limits.
const FOLLOWS_MAX: usize = 3;
const BLOCKS_MAX: usize = 2;
const MUTES_MAX: usize = 2;
/// The bounds that threads are read with.
const THREAD_DEPTH: usize = 10;
const THREAD_REPLIES: usize = 200;

prop_state_machine! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        ..ProptestConfig::default()
    })]

    /// With all records in memory.
    #[test]
    fn the_engine_behaves_as_the_model(sequential 1..120 => EngineTest<Plain>);

    /// With an index, and nearly no indexed records in memory.
    #[test]
    fn the_engine_with_an_index_behaves_as_the_model(sequential 1..120 => EngineTest<Indexed>);
}

prop_state_machine! {
    #![proptest_config(ProptestConfig {
        cases: 16,
        ..ProptestConfig::default()
    })]

    /// Two nodes in turn, on a log in PostgreSQL. Of two that decide after each other, the second one may not have what
    /// the first one did.
    #[test]
    fn two_nodes_behave_as_the_model(sequential 1..120 => EngineTest<Shared>);
}

/// A call, or a restart. Posts are named by their number in the order of the log, deleted ones
/// included; a greater number names no post.
#[derive(Clone, Debug)]
enum Transition {
    SetToUser {
        kind: RelationKind,
        on: bool,
        user: &'static str,
        other: &'static str,
    },
    SetToPost {
        kind: RelationKind,
        on: bool,
        user: &'static str,
        post: usize,
    },
    Publish {
        author: &'static str,
        text: &'static str,
        reply_to: Option<usize>,
        quote: Option<usize>,
        request_id: Option<&'static str>,
    },
    Delete(&'static str, usize),
    /// Marks notifications as seen, up to so many changes ago.
    MarkSeen(&'static str, u64),
    /// Reads a whole feed.
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
    /// Reads everything about a user and a post, and the viewer's own lists.
    ReadAll {
        viewer: &'static str,
        other: &'static str,
        post: usize,
        page_size: usize,
    },
    Restart,
}

/// The result of a transition.
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
    /// The items that were read, one line each.
    Read(Vec<String>),
    Restarted,
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Transition;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::default()).boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Transition> {
        use RelationKind::{Block, Follow, Like, Mute, Repost};

        let user = || select(&USERS[..]);
        // The last number names no post.
        let post = || 0..state.oracle.posts().len() + 1;
        let to_user = prop_oneof![
            4 => Just((Follow, true)),
            2 => Just((Follow, false)),
            4 => (select(&[Block, Mute][..]), any::<bool>()),
        ];
        let to_post = prop_oneof![
            4 => (select(&[Like, Repost][..]), Just(true)),
            2 => (select(&[Like, Repost][..]), Just(false)),
        ];
        let request_id = proptest::option::of(select(&REQUEST_IDS[..]));
        let referred = || proptest::option::weighted(0.4, post());
        let options = any::<(bool, bool)>()
            .prop_map(|(with_own, all_replies)| Options { with_own, all_replies });
        let draft = (user(), select(&TEXTS[..]), referred(), referred(), request_id);
        prop_oneof![
            8 => (to_user, user(), user()).prop_map(|((kind, on), user, other)| {
                Transition::SetToUser { kind, on, user, other }
            }),
            5 => (to_post, user(), post()).prop_map(|((kind, on), user, post)| {
                Transition::SetToPost { kind, on, user, post }
            }),
            8 => draft.prop_map(|(author, text, reply_to, quote, request_id)| {
                Transition::Publish { author, text, reply_to, quote, request_id }
            }),
            2 => (user(), post()).prop_map(|(who, post)| Transition::Delete(who, post)),
            1 => (user(), 0..20_u64).prop_map(|(who, ago)| Transition::MarkSeen(who, ago)),
            3 => (user(), 1..7_usize, options).prop_map(|(reader, page_size, options)| {
                Transition::Feed { reader, page_size, options }
            }),
            3 => (user(), 0..60_u64, any::<bool>()).prop_map(
                |(watcher, changes_ago, all_replies)| {
                    Transition::Watch { watcher, changes_ago, all_replies }
                },
            ),
            3 => (user(), user(), post(), 1..4_usize).prop_map(
                |(viewer, other, post, page_size)| {
                    Transition::ReadAll { viewer, other, post, page_size }
                },
            ),
            1 => Just(Transition::Restart),
        ]
        .boxed()
    }

    fn apply(mut state: Self, transition: &Transition) -> Self {
        state.outcome = Some(state.apply_transition(transition));
        state
    }
}

/// How the engine is set up.
trait Setup {
    fn core(change: impl FnOnce(&mut Limits)) -> Core;
}

/// With a log and no index.
struct Plain;

/// With an index that is written every few events.
struct Indexed;

/// With two nodes, where there is a PostgreSQL.
struct Shared;

impl Setup for Shared {
    fn core(change: impl FnOnce(&mut Limits)) -> Core {
        let Some(postgres) = Postgres::shared() else { return Plain::core(change) };
        Core::shared(postgres.new_log(), |limits| {
            change(limits);
            // A part of the log in PostgreSQL is written again each time.
            limits.compaction_interval = Duration::from_secs(1);
        })
    }
}

impl Setup for Plain {
    fn core(change: impl FnOnce(&mut Limits)) -> Core {
        Core::limited(change)
    }
}

impl Setup for Indexed {
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
    setup: PhantomData<S>,
}

impl<S> EngineTest<S> {
    fn perform(&mut self, transition: &Transition) -> Outcome {
        // No post is at this revision.
        let none = PostId::from_revision(Revision::new(u64::MAX >> 2));
        let post_id = |number: usize| self.posts.get(number).copied().unwrap_or(none);
        // What the API waits for: all that a call names, and what a read is to show.
        let is_level = match transition {
            Transition::SetToUser { .. } => false,
            Transition::Publish { text, reply_to, quote, .. } => {
                text.contains('@') || reply_to.is_some() || quote.is_some()
            }
            _ => true,
        };
        let outcome = self.runtime.block_on(async {
            self.core.give_turn(is_level).await;
            match *transition {
                Transition::SetToUser { kind, on, user, other } => {
                    let relation = relation_to_user(kind, user, other);
                    changed(self.core.engine().set(relation, on).await)
                }
                Transition::SetToPost { kind, on, user, post } => {
                    let relation = relation_to_post(kind, user, post_id(post));
                    changed(self.core.engine().set(relation, on).await)
                }
                Transition::Publish { author, text, reply_to, quote, request_id: id } => {
                    let (reply_to, quote) = (reply_to.map(post_id), quote.map(post_id));
                    let draft = Draft { reply_to, quote, ..post(text).into() };
                    let id = id.map(request_id);
                    published(self.core.engine().publish(user(author), draft, id).await)
                }
                Transition::Delete(who, post) => {
                    changed(self.core.engine().delete(user(who), post_id(post)).await)
                }
                Transition::MarkSeen(who, changes_ago) => {
                    let now = self.core.engine().cursor();
                    let until = now.after.get().saturating_sub(changes_ago);
                    let until = Cursor::after(now.log, Revision::new(until));
                    changed(self.core.engine().mark_seen(user(who), Some(until)).await)
                }
                Transition::Feed { reader, page_size, options } => {
                    Outcome::Read(engine_reads::feed(&self.core, reader, page_size, options).await)
                }
                Transition::Watch { watcher, changes_ago, all_replies } => {
                    let core = &self.core;
                    Outcome::Read(
                        engine_reads::watch(core, watcher, changes_ago, all_replies).await,
                    )
                }
                Transition::ReadAll { viewer, other, post, page_size } => {
                    let reader = EngineReader { core: &self.core, viewer, page_size };
                    Outcome::Read(reader.read_all(other, post_id(post), &self.posts).await)
                }
                Transition::Restart => {
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

impl<S: Setup> StateMachineTest for EngineTest<S> {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(_: &Model) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let core = S::core(|limits| {
            // Deleted posts are erased all the time, which must alter no result.
            limits.compaction_interval = Duration::from_millis(1);
            limits.follows_per_user_max = FOLLOWS_MAX;
            limits.blocks_per_user_max = BLOCKS_MAX;
            limits.mutes_per_user_max = MUTES_MAX;
            limits.batch_events_max = 2;
        });
        Self { runtime, core, posts: Vec::new(), setup: PhantomData }
    }

    fn apply(mut state: Self, model: &Model, transition: Transition) -> Self {
        let (outcome, expected) = (state.perform(&transition), model.outcome.as_ref());
        if let (Outcome::Read(read), Some(Outcome::Read(expected))) = (&outcome, expected) {
            let differs = read.iter().zip(expected).position(|(read, expected)| read != expected);
            let at = differs.unwrap_or_else(|| read.len().min(expected.len()));
            assert_eq!(read.get(at), expected.get(at), "line {at} of {transition:?}");
        }
        assert_eq!(Some(&outcome), expected, "{transition:?}");
        state
    }

    /// The log is as long as the model's: a call without an effect writes nothing.
    fn check_invariants(state: &Self, model: &Model) {
        assert_eq!(state.core.newest().get(), model.oracle.head());
    }
}

fn relation_to_user(kind: RelationKind, one: &str, other: &str) -> Relation {
    let (one, other) = (user(one), user(other));
    match kind {
        RelationKind::Follow => Relation::Follow(one, other),
        RelationKind::Block => Relation::Block(one, other),
        RelationKind::Mute => Relation::Mute(one, other),
        RelationKind::Like | RelationKind::Repost => panic!("not a relation between users"),
    }
}

fn relation_to_post(kind: RelationKind, one: &str, post: PostId) -> Relation {
    match kind {
        RelationKind::Like => Relation::Like(user(one), post),
        RelationKind::Repost => Relation::Repost(user(one), post),
        other => panic!("not a relation to a post: {other:?}"),
    }
}

fn changed(result: Result<Changed, Error>) -> Outcome {
    match result {
        Ok(it) => Outcome::Changed { changed: it.changed, revision: it.revision.get() },
        Err(error) => refusal(&error),
    }
}

fn published(result: Result<Published, Error>) -> Outcome {
    match result {
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
        other => panic!("not in the model: {other}"),
    })
}
