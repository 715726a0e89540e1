//! The model's rules for changes, each in a line or two.

use std::collections::BTreeMap;

use whimbrel::model::{Change, Content, PostRef, Relation, RelationKind, ReplyTo, Revision};

use super::{
    BLOCKS_MAX, FOLLOWS_MAX, MUTES_MAX, Outcome, Transition, USERS, relation_to_post,
    relation_to_user,
};
use crate::harness::core::{post, user};
use crate::oracle::any_change::delete;
use crate::oracle::history::{Oracle, revision_of};

const UNCHANGED: Outcome = Outcome::Changed { changed: false, revision: 0 };

/// The changes so far, and the state that no relation or post has.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) oracle: Oracle,
    /// The revisions of posts, by author and request id.
    requests: BTreeMap<(&'static str, &'static str), u64>,
    /// The revision up to which each user has seen their notifications.
    pub(super) seen: BTreeMap<&'static str, u64>,
    /// The outcome of the last transition.
    pub(super) outcome: Option<Outcome>,
}

impl Model {
    pub(super) fn apply_transition(&mut self, transition: &Transition) -> Outcome {
        match *transition {
            Transition::SetToUser { kind, on, user, other } => {
                self.set_to_user((kind, on), user, other)
            }
            Transition::SetToPost { kind, on, user, post } => {
                self.set_to_post((kind, on), user, post)
            }
            Transition::Publish { author, text, reply_to, quote, request_id } => {
                self.publish(author, text, reply_to, quote, request_id)
            }
            Transition::Delete(who, post) => self.delete(who, post),
            Transition::MarkSeen(who, changes_ago) => self.mark_seen(who, changes_ago),
            Transition::Feed { reader, options, .. } => Outcome::Read(self.feed(reader, options)),
            Transition::Watch { watcher, changes_ago, all_replies } => {
                Outcome::Read(self.watch(watcher, changes_ago, all_replies))
            }
            Transition::ReadAll { viewer, other, post, .. } => {
                Outcome::Read(self.read_all(viewer, other, post))
            }
            Transition::Restart => Outcome::Restarted,
        }
    }

    fn mark_seen(&mut self, who: &'static str, changes_ago: u64) -> Outcome {
        let until = self.oracle.head().saturating_sub(changes_ago);
        if self.seen.get(who).copied().unwrap_or_default() >= until {
            return UNCHANGED;
        }
        self.seen.insert(who, until);
        let change = Change::See { user: user(who), until: Revision::new(until) };
        Outcome::Changed { changed: true, revision: self.oracle.push(change) }
    }

    fn set_to_user(
        &mut self,
        (kind, on): (RelationKind, bool),
        one: &'static str,
        other: &'static str,
    ) -> Outcome {
        if one == other {
            let is_follow = kind == RelationKind::Follow;
            return Outcome::Refused(if is_follow { "self-follow" } else { "self-target" });
        }
        let relation = relation_to_user(kind, one, other);
        let is_new_follow = kind == RelationKind::Follow && on && !self.oracle.holds(&relation);
        if is_new_follow && self.blocked_either_way(one, other) {
            return Outcome::Refused("blocked");
        }
        let max = match kind {
            RelationKind::Follow => FOLLOWS_MAX,
            RelationKind::Block => BLOCKS_MAX,
            _ => MUTES_MAX,
        };
        let others = USERS.iter().filter(|other| **other != one);
        let relations = others.map(|other| relation_to_user(kind, one, other));
        let is_full = relations.filter(|relation| self.oracle.holds(relation)).count() >= max;
        if on && is_full && !self.oracle.holds(&relation) {
            return Outcome::Refused("too many");
        }
        self.set(relation, on)
    }

    fn set_to_post(
        &mut self,
        (kind, on): (RelationKind, bool),
        who: &'static str,
        number: usize,
    ) -> Outcome {
        let Some(post) = self.post(number) else { return Outcome::Refused("no post") };
        if self.oracle.retracted(revision_of(&post)).is_some() {
            return if on { Outcome::Refused("no post") } else { UNCHANGED };
        }
        if on && self.blocked_either_way(who, post.author.as_str()) {
            return Outcome::Refused("blocked");
        }
        self.set(relation_to_post(kind, who, post.id), on)
    }

    /// Sets or ends `relation`, unless that has no effect.
    fn set(&mut self, relation: Relation, on: bool) -> Outcome {
        match (on, self.oracle.since(&relation, self.oracle.head())) {
            (true, Some(revision)) => Outcome::Changed { changed: false, revision },
            (false, None) => UNCHANGED,
            _ => {
                let change = self.oracle.change_to(relation, on);
                Outcome::Changed { changed: true, revision: self.oracle.push(change) }
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
            let above = &self.oracle.content(revision_of(parent)).reply_to;
            above.as_ref().map_or_else(|| parent.clone(), |above| above.root.clone())
        };
        let reply_to = parent.clone().map(|parent| {
            let root = root(&parent);
            Box::new(ReplyTo { parent, root })
        });
        let content = Content { reply_to, quote: quote.clone(), ..Content::from_text(post(text)) };

        if let Some(&earlier) = request_id.and_then(|id| self.requests.get(&(author, id))) {
            return if self.oracle.retracted(earlier).is_some() {
                Outcome::Refused("post deleted")
            } else if *self.oracle.content(earlier) != content {
                Outcome::Refused("request id reused")
            } else {
                Outcome::Post { revision: earlier, deduplicated: true }
            };
        }
        for referred in parent.iter().chain(&quote) {
            if self.oracle.retracted(revision_of(referred)).is_some() {
                return Outcome::Refused("no post");
            }
            if self.blocked_either_way(author, referred.author.as_str()) {
                return Outcome::Refused("blocked");
            }
        }
        let id = request_id.map(crate::harness::core::request_id);
        let change = Change::Publish { author: user(author), content, request_id: id };
        let revision = self.oracle.push(change);
        self.requests.extend(request_id.map(|id| ((author, id), revision)));
        Outcome::Post { revision, deduplicated: false }
    }

    fn delete(&mut self, who: &'static str, number: usize) -> Outcome {
        let Some(post) = self.post(number) else { return Outcome::Refused("no post") };
        if post.author.as_str() != who {
            return Outcome::Refused("not the author");
        }
        if let Some(revision) = self.oracle.retracted(revision_of(&post)) {
            return Outcome::Changed { changed: false, revision };
        }
        let revision = self.oracle.push(delete(&self.oracle, post));
        Outcome::Changed { changed: true, revision }
    }

    pub(super) fn blocked_either_way(&self, one: &str, other: &str) -> bool {
        self.oracle.blocked_either_way(one, other, self.oracle.head())
    }

    /// The post with this number.
    pub(super) fn post(&self, number: usize) -> Option<PostRef> {
        Some(self.oracle.post_ref(*self.oracle.posts().get(number)?))
    }
}
