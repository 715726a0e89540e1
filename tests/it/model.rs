//! The engine against a model of it that a reader can hold in mind, over random histories.
//!
//! The model knows nothing of how the engine works: it decides by rules of a line or two, and tells
//! what is to be read by definition ([`World`]). It is asked the same, and must answer the same, also
//! after restarts.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use tokio::runtime::Runtime;
use whimbrel::config::Limits;
use whimbrel::engine::{Changed, Draft, EdgeKind, EdgesOf, Error, Published, ReactionKind};
use whimbrel::model::{Change, Content, PostId, PostRef, ReplyTo, Revision, Severed};

use crate::harness::core::{Core, post, request_id, user};
use crate::world::{Tie, World};

const USERS: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];
const TEXTS: [&str; 4] = ["hello", "good morning", "what a day", "hello @bob and @carol"];
const REQUEST_IDS: [&str; 3] = ["first", "second", "third"];
/// Few enough that histories reach it.
const FOLLOWS_MAX: usize = 3;
const BLOCKS_MAX: usize = 2;
const MUTES_MAX: usize = 2;

prop_state_machine! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
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
    Restart,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Changed { changed: bool, revision: u64 },
    Post { revision: u64, deduplicated: bool },
    Refused(&'static str),
    Restarted,
}

/// Everything that was made, and the request ids that were used for it.
#[derive(Clone, Debug, Default)]
struct Model {
    world: World,
    requests: BTreeMap<(&'static str, &'static str), u64>,
    /// What came of the last act.
    outcome: Option<Outcome>,
}

impl Model {
    fn act(&mut self, act: &Act) -> Outcome {
        match *act {
            Act::Edge(kind, one, other) => self.edge(kind, one, other),
            Act::React(kind, who, post) => self.react(kind, who, post),
            Act::Publish { author, text, reply_to, quote, request_id } => {
                self.publish(author, text, reply_to, quote, request_id)
            }
            Act::Delete(who, post) => self.delete(who, post),
            Act::Restart => Outcome::Restarted,
        }
    }

    fn edge(&mut self, kind: EdgeKind, one: &'static str, other: &'static str) -> Outcome {
        let (follower, followee) = (user(one), user(other));
        if one == other {
            let is_follow = matches!(kind, EdgeKind::Follow | EdgeKind::Unfollow);
            return Outcome::Refused(if is_follow { "self-follow" } else { "self-target" });
        }
        let follow = Tie::Follow(one.to_owned(), other.to_owned());
        let block = Tie::Block(one.to_owned(), other.to_owned());
        let mute = Tie::Mute(one.to_owned(), other.to_owned());
        let (is_following, is_followed) =
            (self.is_so(&follow), self.is_so(&Tie::Follow(other.to_owned(), one.to_owned())));
        match kind {
            EdgeKind::Follow => {
                if !is_following && self.are_apart(one, other) {
                    return Outcome::Refused("blocked");
                }
                let change = Change::Follow { follower, followee };
                self.begin(&follow, FOLLOWS_MAX, change)
            }
            EdgeKind::Unfollow => self.end(&follow, Change::Unfollow { follower, followee }),
            EdgeKind::Block => {
                let severed = Severed { following: is_following, follower: is_followed };
                let change = Change::Block { blocker: follower, blocked: followee, severed };
                self.begin(&block, BLOCKS_MAX, change)
            }
            EdgeKind::Unblock => {
                self.end(&block, Change::Unblock { blocker: follower, blocked: followee })
            }
            EdgeKind::Mute => {
                self.begin(&mute, MUTES_MAX, Change::Mute { muter: follower, muted: followee })
            }
            EdgeKind::Unmute => {
                let follows = is_following;
                self.end(&mute, Change::Unmute { muter: follower, muted: followee, follows })
            }
        }
    }

    fn react(&mut self, kind: ReactionKind, who: &'static str, number: usize) -> Outcome {
        let Some(post) = self.post(number) else { return Outcome::Refused("no post") };
        let place = post.id.revision().get();
        let ends = matches!(kind, ReactionKind::Unlike | ReactionKind::Unrepost);
        if self.world.retracted(place).is_some() {
            return if ends { UNCHANGED } else { Outcome::Refused("no post") };
        }
        if !ends && self.are_apart(who, post.author.as_str()) {
            return Outcome::Refused("blocked");
        }
        let (like, repost) = (Tie::Like(who.to_owned(), place), Tie::Repost(who.to_owned(), place));
        let user = user(who);
        match kind {
            ReactionKind::Like => self.begin(&like, usize::MAX, Change::Like { user, post }),
            ReactionKind::Unlike => self.end(&like, Change::Unlike { user, post }),
            ReactionKind::Repost => self.begin(&repost, usize::MAX, Change::Repost { user, post }),
            ReactionKind::Unrepost => self.end(&repost, Change::Unrepost { user, post }),
        }
    }

    fn publish(
        &mut self,
        author: &'static str,
        text: &'static str,
        reply_to: Option<usize>,
        quote: Option<usize>,
        request_id: Option<&'static str>,
    ) -> Outcome {
        let referred = [reply_to, quote].map(|number| number.map(|number| self.post(number)));
        let [parent, quote] = match referred {
            [Some(None), _] | [_, Some(None)] => return Outcome::Refused("no post"),
            found => found.map(Option::flatten),
        };
        let root = |parent: &PostRef| {
            let above = &self.world.content(parent.id.revision().get()).reply_to;
            above.as_ref().map_or_else(|| parent.clone(), |above| above.root.clone())
        };
        let reply_to = parent.clone().map(|parent| {
            let root = root(&parent);
            Box::new(ReplyTo { parent, root })
        });
        let content = Content { reply_to, quote: quote.clone(), ..Content::of_text(post(text)) };

        if let Some(&earlier) = request_id.and_then(|id| self.requests.get(&(author, id))) {
            return if *self.world.content(earlier) != content {
                Outcome::Refused("request id reused")
            } else if self.world.retracted(earlier).is_some() {
                Outcome::Refused("post deleted")
            } else {
                Outcome::Post { revision: earlier, deduplicated: true }
            };
        }
        for referred in parent.iter().chain(&quote) {
            if self.world.retracted(referred.id.revision().get()).is_some() {
                return Outcome::Refused("no post");
            }
            if self.are_apart(author, referred.author.as_str()) {
                return Outcome::Refused("blocked");
            }
        }
        let id = request_id.map(crate::harness::core::request_id);
        let change = Change::Publish { author: user(author), content, request_id: id };
        let revision = self.world.push(change);
        self.requests.extend(request_id.map(|id| ((author, id), revision)));
        Outcome::Post { revision, deduplicated: false }
    }

    fn delete(&mut self, who: &'static str, number: usize) -> Outcome {
        let Some(post) = self.post(number) else { return Outcome::Refused("no post") };
        if post.author.as_str() != who {
            return Outcome::Refused("not the author");
        }
        let place = post.id.revision().get();
        if let Some(revision) = self.world.retracted(place) {
            return Outcome::Changed { changed: false, revision };
        }
        let content = self.world.content(place).clone();
        let reply_to = content.reply_to.map(|reply_to| reply_to.parent.id);
        let quote = content.quote.map(|quote| quote.id);
        let revision = self.world.push(Change::Delete { post, reply_to, quote });
        Outcome::Changed { changed: true, revision }
    }

    fn is_so(&self, tie: &Tie) -> bool {
        self.world.since(tie, self.world.head()).is_some()
    }

    fn are_apart(&self, one: &str, other: &str) -> bool {
        self.world.are_apart(one, other, self.world.head())
    }

    /// Makes `tie` so, unless it is, or there would be more than `max` of them.
    fn begin(&mut self, tie: &Tie, max: usize, change: Change) -> Outcome {
        if let Some(revision) = self.world.since(tie, self.world.head()) {
            return Outcome::Changed { changed: false, revision };
        }
        let of_kind = |(one, other): (&str, &str)| match tie {
            Tie::Follow(..) => Tie::Follow(one.to_owned(), other.to_owned()),
            Tie::Block(..) => Tie::Block(one.to_owned(), other.to_owned()),
            _ => Tie::Mute(one.to_owned(), other.to_owned()),
        };
        let (Tie::Follow(one, _)
        | Tie::Block(one, _)
        | Tie::Mute(one, _)
        | Tie::Like(one, _)
        | Tie::Repost(one, _)) = tie;
        let is_so = |other: &&&str| max < usize::MAX && self.is_so(&of_kind((one, other)));
        if USERS.iter().filter(is_so).count() >= max {
            return Outcome::Refused("too many");
        }
        Outcome::Changed { changed: true, revision: self.world.push(change) }
    }

    /// Ends `tie`, if it is so.
    fn end(&mut self, tie: &Tie, change: Change) -> Outcome {
        if self.is_so(tie) {
            Outcome::Changed { changed: true, revision: self.world.push(change) }
        } else {
            UNCHANGED
        }
    }

    fn post(&self, number: usize) -> Option<PostRef> {
        let place = *self.world.posts().get(number)?;
        let author = user(self.world.author(place));
        Some(PostRef { id: PostId::at(Revision::new(place)), author })
    }
}

const UNCHANGED: Outcome = Outcome::Changed { changed: false, revision: 0 };

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
        let draft = (user(), select(&TEXTS[..]), referred(), referred(), request_id);
        prop_oneof![
            8 => (edge, user(), user()).prop_map(|(kind, a, b)| Act::Edge(kind, a, b)),
            5 => (reaction, user(), post()).prop_map(|(kind, a, b)| Act::React(kind, a, b)),
            8 => draft.prop_map(|(author, text, reply_to, quote, request_id)| {
                Act::Publish { author, text, reply_to, quote, request_id }
            }),
            2 => (user(), post()).prop_map(|(who, post)| Act::Delete(who, post)),
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
    /// The posts, by their numbers.
    posts: Vec<PostId>,
    setting: PhantomData<S>,
}

impl<S> EngineTest<S> {
    fn act(&mut self, act: &Act) -> Outcome {
        // A name of a post that is none: what is at that revision is no post, or nothing.
        let none = PostId::at(Revision::new(u64::MAX >> 2));
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
                Act::Restart => {
                    self.core.restart().await;
                    Outcome::Restarted
                }
            }
        });
        if let Outcome::Post { revision, deduplicated: false } = outcome {
            self.posts.push(PostId::at(Revision::new(revision)));
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
            limits.follows_per_user_max = FOLLOWS_MAX;
            limits.blocks_per_user_max = BLOCKS_MAX;
            limits.mutes_per_user_max = MUTES_MAX;
            limits.batch_events_max = 2;
        });
        Self { runtime, core, posts: Vec::new(), setting: PhantomData }
    }

    fn apply(mut state: Self, model: &Model, act: Act) -> Self {
        assert_eq!(Some(state.act(&act)), model.outcome, "{act:?}");
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
        Error::TooMany { of: EdgesOf::Follows | EdgesOf::Blocks | EdgesOf::Mutes, .. } => {
            "too many"
        }
        Error::Blocked { .. } => "blocked",
        Error::PostNotFound { .. } => "no post",
        Error::PostDeleted { .. } => "post deleted",
        Error::NotTheAuthor { .. } => "not the author",
        Error::RequestIdReused { .. } => "request id reused",
        other => panic!("the model knows nothing of this: {other}"),
    })
}
