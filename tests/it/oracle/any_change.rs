//! Changes drawn at random, of all kinds, of few users, and how an engine is asked for them.

use whimbrel::engine::{Draft, Engine};
use whimbrel::model::{
    Change, Content, Cursor, PostId, PostRef, ReplyTo, Revision, SeveredFollows, UserId,
};

use crate::harness::core::{post, user};
use crate::oracle::relations::{EdgeKind, ReactionKind, SetRelation};
use crate::oracle::world::{Tie, World};

/// A change that would change something, mostly.
pub(crate) fn any_change(
    random: &mut fastrand::Rng,
    world: &World,
    users: usize,
) -> Option<Change> {
    let now = world.head();
    let number = random.usize(..users);
    let (one, other) = (name(number), name((number + random.usize(1..users)) % users));
    let (a, b) = (user(&one), user(&other));
    let is = |tie: Tie| world.since(&tie, now).is_some();
    let follows_since =
        world.since(&Tie::Follow(one.clone(), other.clone()), now).map(Revision::new);
    let follows = follows_since.is_some();
    let mutes = is(Tie::Mute(one.clone(), other.clone()));
    let are_apart = world.are_apart(&one, &other, now);
    let posts: Vec<u64> = world.posts();
    let target = posts.get(random.usize(..posts.len().clamp(1, 25)));
    // Mostly of the newest.
    let target =
        target.and_then(|_| posts.get(posts.len() - 1 - random.usize(..posts.len().min(25))));
    let target = target.copied().filter(|&post| world.retracted(post).is_none());
    let target = target.map(|post| PostRef {
        id: PostId::from_revision(Revision::new(post)),
        author: user(world.author(post)),
    });
    let in_reach = target.clone().filter(|post| !world.are_apart(&one, post.author.as_str(), now));
    match random.u8(..40) {
        0..=6 if !follows && !are_apart => Some(Change::Follow { follower: a, followee: b }),
        7 if follows => Some(Change::Unfollow { follower: a, followee: b, since: follows_since }),
        8..=12 => Some(publish(a, "a post", None)),
        13 => {
            let mut change = publish(a, &format!("hello @{other}"), None);
            if let Change::Publish { content, .. } = &mut change
                && world.is_user(&other, now + 1)
            {
                content.mentioned = [b].into();
            }
            Some(change)
        }
        14 => {
            let quote = Some(in_reach?);
            let content = Content { quote, ..Content::from_text(post("a quote")) };
            Some(Change::Publish { author: a, content, request_id: None })
        }
        15..=20 => {
            let parent = in_reach?;
            let above = &world.content(parent.id.revision().get()).reply_to;
            let root = above.as_ref().map_or_else(|| parent.clone(), |above| above.root.clone());
            Some(publish(a, "a reply", Some(ReplyTo { parent, root })))
        }
        21..=28 => {
            let post = in_reach?;
            let tie = Tie::Repost(one, post.id.revision().get());
            (!is(tie)).then_some(Change::Repost { user: a, post })
        }
        29 | 30 => {
            let post = target?;
            let tie = Tie::Repost(one, post.id.revision().get());
            let since = world.since(&tie, now).map(Revision::new);
            since.is_some().then_some(Change::Unrepost { user: a, post, since })
        }
        31 => {
            let post = target?;
            let content = world.content(post.id.revision().get());
            let reply_to = content.reply_to.as_ref().map(|reply_to| reply_to.parent.id);
            let (quote, notified) =
                (content.quote.as_ref().map(|quote| quote.id), content.notified(&post.author));
            Some(Change::Delete { post, reply_to, quote, notified })
        }
        32 => {
            let severed = SeveredFollows {
                following: follows,
                follower: is(Tie::Follow(other.clone(), one.clone())),
            };
            let tie = Tie::Block(one, other);
            (!is(tie)).then_some(Change::Block { blocker: a, blocked: b, severed })
        }
        33 | 34 => {
            let tie = Tie::Block(one, other);
            is(tie).then_some(Change::Unblock { blocker: a, blocked: b })
        }
        35 if !mutes => Some(Change::Mute { muter: a, muted: b }),
        36 if mutes => Some(Change::Unmute { muter: a, muted: b, follows }),
        37 | 38 => {
            let post = in_reach?;
            let tie = Tie::Like(one, post.id.revision().get());
            let since = world.since(&tie, now).map(Revision::new);
            Some(match since {
                Some(_) => Change::Unlike { user: a, post, since },
                None => Change::Like { user: a, post },
            })
        }
        39 if random.u8(..4) == 0 => Some(Change::See { user: a, until: Revision::new(now) }),
        _ => None,
    }
}

/// Makes `change` by the calls of the engine, and gives its revision.
pub(crate) async fn make(engine: &Engine, change: &Change) -> Revision {
    use EdgeKind::{Block, Follow, Mute, Unblock, Unfollow, Unmute};
    use ReactionKind::{Like, Repost, Unlike, Unrepost};

    let edge = async |kind, one: &UserId, other: &UserId| {
        engine.change_edge(kind, one.clone(), other.clone()).await.unwrap().revision
    };
    let react = async |kind, user: &UserId, post: &PostRef| {
        engine.react(kind, user.clone(), post.id).await.unwrap().revision
    };
    match change {
        Change::Follow { follower, followee } => edge(Follow, follower, followee).await,
        Change::Unfollow { follower, followee, .. } => edge(Unfollow, follower, followee).await,
        Change::Block { blocker, blocked, .. } => edge(Block, blocker, blocked).await,
        Change::Unblock { blocker, blocked } => edge(Unblock, blocker, blocked).await,
        Change::Mute { muter, muted } => edge(Mute, muter, muted).await,
        Change::Unmute { muter, muted, .. } => edge(Unmute, muter, muted).await,
        Change::Like { user, post } => react(Like, user, post).await,
        Change::Unlike { user, post, .. } => react(Unlike, user, post).await,
        Change::Repost { user, post } => react(Repost, user, post).await,
        Change::Unrepost { user, post, .. } => react(Unrepost, user, post).await,
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
        Change::Erased { .. } => unreachable!("nothing is erased here"),
    }
}

/// The user with this number.
pub(crate) fn name(number: usize) -> String {
    format!("user{number}")
}

fn publish(author: UserId, text: &str, reply_to: Option<ReplyTo>) -> Change {
    let content = Content { reply_to: reply_to.map(Box::new), ..Content::from_text(post(text)) };
    Change::Publish { author, content, request_id: None }
}
