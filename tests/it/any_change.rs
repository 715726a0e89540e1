//! Changes drawn at random, of all kinds, of few users.

use whimbrel::model::{Change, Content, PostId, PostRef, ReplyTo, Revision, Severed, UserId};

use crate::harness::core::{post, user};
use crate::world::{Tie, World};

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
    let follows = is(Tie::Follow(one.clone(), other.clone()));
    let mutes = is(Tie::Mute(one.clone(), other.clone()));
    let are_apart = world.are_apart(&one, &other, now);
    let posts: Vec<u64> = world.posts();
    let target = posts.get(random.usize(..posts.len().clamp(1, 25)));
    // Mostly of the newest.
    let target =
        target.and_then(|_| posts.get(posts.len() - 1 - random.usize(..posts.len().min(25))));
    let target = target.copied().filter(|&post| world.retracted(post).is_none());
    let target = target.map(|post| PostRef {
        id: PostId::at(Revision::new(post)),
        author: user(world.author(post)),
    });
    let in_reach = target.clone().filter(|post| !world.are_apart(&one, post.author.as_str(), now));
    match random.u8(..40) {
        0..=6 if !follows && !are_apart => Some(Change::Follow { follower: a, followee: b }),
        7 if follows => Some(Change::Unfollow { follower: a, followee: b }),
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
        14..=20 => {
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
            is(tie).then_some(Change::Unrepost { user: a, post })
        }
        31 => {
            let post = target?;
            let content = world.content(post.id.revision().get());
            let reply_to = content.reply_to.as_ref().map(|reply_to| reply_to.parent.id);
            Some(Change::Delete { post, reply_to, quote: None })
        }
        32 => {
            let severed = Severed {
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
            Some(if is(tie) {
                Change::Unlike { user: a, post }
            } else {
                Change::Like { user: a, post }
            })
        }
        39 if random.u8(..4) == 0 => Some(Change::See { user: a, until: Revision::new(now) }),
        _ => None,
    }
}

/// The user with this number.
pub(crate) fn name(number: usize) -> String {
    format!("user{number}")
}

fn publish(author: UserId, text: &str, reply_to: Option<ReplyTo>) -> Change {
    let content = Content { reply_to: reply_to.map(Box::new), ..Content::of_text(post(text)) };
    Change::Publish { author, content, request_id: None }
}
