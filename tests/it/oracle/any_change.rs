//! Changes of all kinds, drawn at random among few users, and the engine's calls that make them.

use whimbrel::engine::{Draft, Engine};
use whimbrel::model::{Change, Content, Cursor, PostRef, Relation, ReplyTo, Revision, UserId};

use super::history::{Oracle, relation_changed_by, revision_of};
use crate::harness::core::{post, user};

/// A change that would have an effect; `None` if the drawn kind would have none now.
pub(crate) fn any_change(
    random: &mut fastrand::Rng,
    oracle: &Oracle,
    users: usize,
) -> Option<Change> {
    let now = oracle.head();
    let number = random.usize(..users);
    let (one, other) = (name(number), name((number + random.usize(1..users)) % users));
    let (a, b) = (user(&one), user(&other));
    let follow = Relation::Follow(a.clone(), b.clone());
    let mute = Relation::Mute(a.clone(), b.clone());
    let (follows, mutes) = (oracle.holds(&follow), oracle.holds(&mute));
    let blocked = |other: &str| oracle.blocked_either_way(&one, other, now);
    let posts: Vec<u64> = oracle.posts();
    let target = posts.get(random.usize(..posts.len().clamp(1, 25)));
    // One of the newest.
    let target =
        target.and_then(|_| posts.get(posts.len() - 1 - random.usize(..posts.len().min(25))));
    let target = target.copied().filter(|&post| oracle.retracted(post).is_none());
    let target = target.map(|post| oracle.post_ref(post));
    let unblocked = target.clone().filter(|post| !blocked(post.author.as_str()));
    match random.u8(..40) {
        0..=6 if !follows && !blocked(&other) => Some(oracle.change_to(follow, true)),
        7 if follows => Some(oracle.change_to(follow, false)),
        8..=12 => Some(publish(a, "a post", None)),
        13 => {
            let mut change = publish(a, &format!("hello @{other}"), None);
            if let Change::Publish { content, .. } = &mut change
                && oracle.is_user(&other, now + 1)
            {
                content.mentioned = [b].into();
            }
            Some(change)
        }
        14 => {
            let quote = Some(unblocked?);
            let content = Content { quote, ..Content::from_text(post("a quote")) };
            Some(Change::Publish { author: a, content, request_id: None })
        }
        15..=20 => {
            let parent = unblocked?;
            let above = &oracle.content(revision_of(&parent)).reply_to;
            let root = above.as_ref().map_or_else(|| parent.clone(), |above| above.root.clone());
            Some(publish(a, "a reply", Some(ReplyTo { parent, root })))
        }
        21..=28 => {
            let repost = Relation::Repost(a, unblocked?.id);
            (!oracle.holds(&repost)).then(|| oracle.change_to(repost, true))
        }
        29 | 30 => {
            let repost = Relation::Repost(a, target?.id);
            oracle.holds(&repost).then(|| oracle.change_to(repost, false))
        }
        31 => Some(delete(oracle, target?)),
        32 => {
            let block = Relation::Block(a, b);
            (!oracle.holds(&block)).then(|| oracle.change_to(block, true))
        }
        33 | 34 => {
            let block = Relation::Block(a, b);
            oracle.holds(&block).then(|| oracle.change_to(block, false))
        }
        35 if !mutes => Some(oracle.change_to(mute, true)),
        36 if mutes => Some(oracle.change_to(mute, false)),
        37 | 38 => {
            let like = Relation::Like(a, unblocked?.id);
            let on = !oracle.holds(&like);
            Some(oracle.change_to(like, on))
        }
        39 if random.u8(..4) == 0 => Some(Change::See { user: a, until: Revision::new(now) }),
        _ => None,
    }
}

/// Makes `change` by a call of the engine, and returns its revision.
pub(crate) async fn make(engine: &Engine, change: &Change) -> Revision {
    if let Some((relation, on)) = relation_changed_by(change) {
        return engine.set(relation, on).await.unwrap().revision;
    }
    match change {
        Change::Publish { author, content, .. } => {
            let reply_to = content.reply_to.as_ref().map(|reply_to| reply_to.parent.id);
            let quote = content.quote.as_ref().map(|quote| quote.id);
            let draft = Draft { reply_to, quote, ..Draft::from(content.text.clone()) };
            engine.publish(author.clone(), draft, None).await.unwrap().post.revision
        }
        Change::Delete { post, .. } => {
            engine.delete(post.author.clone(), post.id).await.unwrap().revision
        }
        Change::See { user, until } => {
            let until = Cursor { after: *until, ..engine.cursor() };
            engine.mark_seen(user.clone(), Some(until)).await.unwrap().revision
        }
        other => unreachable!("not drawn here: {other:?}"),
    }
}

/// The deletion of `post`.
pub(crate) fn delete(oracle: &Oracle, post: PostRef) -> Change {
    let content = oracle.content(revision_of(&post));
    let reply_to = content.reply_to.as_ref().map(|reply_to| reply_to.parent.id);
    let quote = content.quote.as_ref().map(|quote| quote.id);
    let notified = content.notified(&post.author);
    Change::Delete { post, reply_to, quote, notified }
}

/// The name of the user with this number.
pub(crate) fn name(number: usize) -> String {
    format!("user{number}")
}

fn publish(author: UserId, text: &str, reply_to: Option<ReplyTo>) -> Change {
    let content = Content { reply_to: reply_to.map(Box::new), ..Content::from_text(post(text)) };
    Change::Publish { author, content, request_id: None }
}
