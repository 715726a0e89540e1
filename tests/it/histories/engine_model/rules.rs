//! What becomes of what is asked for: the rules, each in a line or two.

use std::collections::BTreeMap;

use whimbrel::model::{Change, Content, PostId, PostRef, ReplyTo, Revision, SeveredFollows};

use super::{Act, BLOCKS_MAX, FOLLOWS_MAX, MUTES_MAX, Outcome, USERS};
use crate::harness::core::{post, user};
use crate::oracle::relations::{EdgeKind, ReactionKind};
use crate::oracle::world::{Tie, World};

const UNCHANGED: Outcome = Outcome::Changed { changed: false, revision: 0 };

/// Everything that was made, and the request ids that were used for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) world: World,
    requests: BTreeMap<(&'static str, &'static str), u64>,
    /// Up to where everybody has seen what they were notified of.
    pub(super) seen: BTreeMap<&'static str, u64>,
    /// What came of the last act.
    pub(super) outcome: Option<Outcome>,
}

impl Model {
    pub(super) fn act(&mut self, act: &Act) -> Outcome {
        match *act {
            Act::Edge(kind, one, other) => self.edge(kind, one, other),
            Act::React(kind, who, post) => self.react(kind, who, post),
            Act::Publish { author, text, reply_to, quote, request_id } => {
                self.publish(author, text, reply_to, quote, request_id)
            }
            Act::Delete(who, post) => self.delete(who, post),
            Act::MarkSeen(who, changes_ago) => self.mark_seen(who, changes_ago),
            Act::Feed { reader, options, .. } => Outcome::Read(self.feed(reader, options)),
            Act::Watch { watcher, changes_ago, all_replies } => {
                Outcome::Read(self.told(watcher, changes_ago, all_replies))
            }
            Act::Look { viewer, other, post, .. } => Outcome::Read(self.look(viewer, other, post)),
            Act::Restart => Outcome::Restarted,
        }
    }

    fn mark_seen(&mut self, who: &'static str, changes_ago: u64) -> Outcome {
        let until = self.world.head().saturating_sub(changes_ago);
        if self.seen.get(who).copied().unwrap_or_default() >= until {
            return UNCHANGED;
        }
        self.seen.insert(who, until);
        let change = Change::See { user: user(who), until: Revision::new(until) };
        Outcome::Changed { changed: true, revision: self.world.push(change) }
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
            EdgeKind::Unfollow => {
                self.end(&follow, Change::Unfollow { follower, followee, since: None })
            }
            EdgeKind::Block => {
                let severed = SeveredFollows { following: is_following, follower: is_followed };
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
            ReactionKind::Unlike => self.end(&like, Change::Unlike { user, post, since: None }),
            ReactionKind::Repost => self.begin(&repost, usize::MAX, Change::Repost { user, post }),
            ReactionKind::Unrepost => {
                self.end(&repost, Change::Unrepost { user, post, since: None })
            }
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
        let content = Content { reply_to, quote: quote.clone(), ..Content::from_text(post(text)) };

        if let Some(&earlier) = request_id.and_then(|id| self.requests.get(&(author, id))) {
            return if self.world.retracted(earlier).is_some() {
                Outcome::Refused("post deleted")
            } else if *self.world.content(earlier) != content {
                Outcome::Refused("request id reused")
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
        let revision =
            self.world.push(Change::Delete { post, reply_to, quote, notified: Vec::new() });
        Outcome::Changed { changed: true, revision }
    }

    pub(super) fn is_so(&self, tie: &Tie) -> bool {
        self.world.since(tie, self.world.head()).is_some()
    }

    pub(super) fn are_apart(&self, one: &str, other: &str) -> bool {
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

    pub(super) fn post(&self, number: usize) -> Option<PostRef> {
        let place = *self.world.posts().get(number)?;
        let author = user(self.world.author(place));
        Some(PostRef { id: PostId::from_revision(Revision::new(place)), author })
    }
}
