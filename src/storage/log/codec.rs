//! Events as the Protobuf messages of a record, in two parts: the content of a post is one, all
//! else is the other. See [`super::record`] for the bytes around them.
//!
//! Fields are only ever added, and a field's number never changes its meaning.

use prost::Message;

use super::event_record::{
    AttachmentRecord, BlockRecord, ChangeRecord, DeleteRecord, EventRecord, FollowRecord,
    MuteRecord, PostRecord, PublishRecord, ReactionRecord, SeenRecord,
};
use super::facet_codec;
use super::old_mentions;
use crate::model::{
    Attachment, Change, Content, Event, Facets, Lang, LogTime, PostId, PostRef, PostText, ReplyTo,
    RequestId, Revision, SeveredFollows, Timestamp, UserId,
};

/// The two parts of an event.
#[derive(Debug)]
pub(super) struct EncodedEvent {
    /// What stays when the post is erased: an [`EventRecord`].
    pub(super) kept: Vec<u8>,
    /// The content of the post, if the event publishes one: the fields of a [`PublishRecord`] that
    /// `kept` lacks. Empty for an erased post.
    pub(super) content: Option<Vec<u8>>,
}

/// Encodes an event.
pub(super) fn encode(event: &Event) -> EncodedEvent {
    let mut record = to_event_record(event);
    let mut content = None;
    if let Some(ChangeRecord::Publish(publish)) = &mut record.change {
        content = Some(take_content(publish).encode_to_vec());
    }
    EncodedEvent { kept: record.encode_to_vec(), content }
}

/// Decodes an event from its parts. `is_erased` says that it published a post whose content is
/// erased.
///
/// # Errors
/// A description of the damage.
pub(super) fn decode(
    kept: &[u8],
    content: Option<&[u8]>,
    is_erased: bool,
) -> Result<Event, String> {
    let mut record = EventRecord::decode(kept).map_err(|error| error.to_string())?;
    match (&mut record.change, content) {
        (Some(ChangeRecord::Publish(publish)), Some(content)) => {
            publish.merge(content).map_err(|error| error.to_string())?;
        }
        (Some(ChangeRecord::Publish(_)), None) | (_, Some(_)) => {
            return Err("has a content without a post, or a post without one".to_owned());
        }
        _ => {}
    }
    let event = from_event_record(record)
        .ok_or_else(|| "has a change that this version does not know".to_owned())?;
    Ok(if is_erased { event.erased() } else { event })
}

/// Takes the fields that are erased with the content.
fn take_content(publish: &mut PublishRecord) -> PublishRecord {
    PublishRecord {
        text: std::mem::take(&mut publish.text),
        attachments: std::mem::take(&mut publish.attachments),
        langs: std::mem::take(&mut publish.langs),
        facets: publish.facets.take(),
        ..PublishRecord::default()
    }
}

pub(in crate::storage) fn to_event_record(event: &Event) -> EventRecord {
    let time_nanos = event.time.as_nanos();
    // Wraps, as its inverse in `from_event_record` does, so that every pair of times is kept.
    let clock_ahead_nanos = time_nanos.wrapping_sub(event.log_time.as_nanos()).cast_signed();
    EventRecord { time_nanos, change: Some(to_record(event)), clock_ahead_nanos }
}

/// `None` if the record has a change, a user id or a request id that this version does not know.
pub(in crate::storage) fn from_event_record(record: EventRecord) -> Option<Event> {
    let log_nanos = record.time_nanos.wrapping_sub(record.clock_ahead_nanos.cast_unsigned());
    let time = Timestamp::from_nanos(record.time_nanos);
    let change = record.change.and_then(from_record)?;
    Some(Event { time, log_time: LogTime::from_nanos(log_nanos), change })
}

fn to_record(event: &Event) -> ChangeRecord {
    match &event.change {
        Change::Follow { follower, followee } => {
            ChangeRecord::Follow(edge(follower, followee, None))
        }
        Change::Unfollow { follower, followee, since } => {
            ChangeRecord::Unfollow(edge(follower, followee, *since))
        }
        Change::Publish { author, content, request_id } => {
            let facets = facet_codec::to_record(&content.facets, &content.mentioned);
            let publish = publish(author, content, request_id.as_ref());
            ChangeRecord::Publish(PublishRecord { facets: Some(facets), ..publish })
        }
        Change::Erased { author, reply_to, quote, request_id } => {
            let erased = Content::erased(reply_to.clone(), quote.clone());
            ChangeRecord::Erased(publish(author, &erased, request_id.as_ref()))
        }
        Change::Delete { post: deleted, reply_to, quote, notified } => {
            ChangeRecord::Delete(DeleteRecord {
                post: Some(post(deleted)),
                reply_to: number(reply_to.map(PostId::revision)),
                quote: number(quote.map(PostId::revision)),
                notified: notified.iter().map(UserId::to_string).collect(),
            })
        }
        Change::Like { user, post } => ChangeRecord::Like(reaction(user, post, None)),
        Change::Unlike { user, post, since } => ChangeRecord::Unlike(reaction(user, post, *since)),
        Change::Repost { user, post } => ChangeRecord::Repost(reaction(user, post, None)),
        Change::Unrepost { user, post, since } => {
            ChangeRecord::Unrepost(reaction(user, post, *since))
        }
        Change::Block { blocker, blocked, severed } => {
            ChangeRecord::Block(block(blocker, blocked, *severed))
        }
        Change::Unblock { blocker, blocked } => {
            ChangeRecord::Unblock(block(blocker, blocked, SeveredFollows::default()))
        }
        Change::Mute { muter, muted } => ChangeRecord::Mute(mute(muter, muted, false)),
        Change::Unmute { muter, muted, follows } => {
            ChangeRecord::Unmute(mute(muter, muted, *follows))
        }
        Change::See { user, until } => {
            ChangeRecord::See(SeenRecord { user: user.to_string(), until: until.get() })
        }
    }
}

fn edge(follower: &UserId, followee: &UserId, since: Option<Revision>) -> FollowRecord {
    FollowRecord {
        follower: follower.to_string(),
        followee: followee.to_string(),
        since: number(since),
    }
}

/// The number of a revision; 0 for `None`, as no event has revision 0.
fn number(revision: Option<Revision>) -> u64 {
    revision.map_or(0, Revision::get)
}

fn revision(number: u64) -> Option<Revision> {
    (number > 0).then(|| Revision::new(number))
}

fn post(post: &PostRef) -> PostRecord {
    PostRecord { revision: post.id.revision().get(), author: post.author.to_string() }
}

fn publish(author: &UserId, content: &Content, request_id: Option<&RequestId>) -> PublishRecord {
    let Content { text, reply_to, quote, attachments, langs, facets: _, mentioned: _ } = content;
    let attached = |attachment: &Attachment| AttachmentRecord {
        uri: attachment.uri.to_string(),
        media_type: attachment.media_type.to_string(),
        alt: attachment.alt.to_string(),
    };
    PublishRecord {
        author: author.to_string(),
        text: text.as_str().to_owned(),
        request_id: request_id.map_or_else(String::new, |id| id.as_str().to_owned()),
        parent: reply_to.as_ref().map(|to| post(&to.parent)),
        root: reply_to.as_ref().filter(|to| to.root != to.parent).map(|to| post(&to.root)),
        quote: quote.as_ref().map(post),
        attachments: attachments.iter().map(attached).collect(),
        langs: langs.iter().map(|lang| lang.as_str().to_owned()).collect(),
        facets: None,
    }
}

fn reaction(user: &UserId, to: &PostRef, since: Option<Revision>) -> ReactionRecord {
    ReactionRecord { user: user.to_string(), post: Some(post(to)), since: number(since) }
}

fn block(blocker: &UserId, blocked: &UserId, severed: SeveredFollows) -> BlockRecord {
    BlockRecord {
        blocker: blocker.to_string(),
        blocked: blocked.to_string(),
        severed_following: severed.following,
        severed_follower: severed.follower,
    }
}

fn mute(muter: &UserId, muted: &UserId, follows: bool) -> MuteRecord {
    MuteRecord { muter: muter.to_string(), muted: muted.to_string(), follows }
}

fn from_record(change: ChangeRecord) -> Option<Change> {
    Some(match change {
        ChangeRecord::Follow(edge) => {
            Change::Follow { follower: user(&edge.follower)?, followee: user(&edge.followee)? }
        }
        ChangeRecord::Unfollow(edge) => Change::Unfollow {
            follower: user(&edge.follower)?,
            followee: user(&edge.followee)?,
            since: revision(edge.since),
        },
        ChangeRecord::Publish(publish) => {
            let (author, content, request_id) = published(publish)?;
            Change::Publish { author, content, request_id }
        }
        ChangeRecord::Erased(publish) => {
            let (author, content, request_id) = published(publish)?;
            let Content { reply_to, quote, .. } = content;
            Change::Erased { author, reply_to, quote, request_id }
        }
        ChangeRecord::Delete(delete) => {
            let id = |number| revision(number).map(PostId::from_revision);
            let (reply_to, quote) = (id(delete.reply_to), id(delete.quote));
            let notified = delete.notified.iter().map(|name| user(name)).collect::<Option<_>>()?;
            Change::Delete { post: post_ref(delete.post?)?, reply_to, quote, notified }
        }
        ChangeRecord::Like(ReactionRecord { user: by, post, .. }) => {
            Change::Like { user: user(&by)?, post: post_ref(post?)? }
        }
        ChangeRecord::Unlike(ReactionRecord { user: by, post, since }) => {
            Change::Unlike { user: user(&by)?, post: post_ref(post?)?, since: revision(since) }
        }
        ChangeRecord::Repost(ReactionRecord { user: by, post, .. }) => {
            Change::Repost { user: user(&by)?, post: post_ref(post?)? }
        }
        ChangeRecord::Unrepost(ReactionRecord { user: by, post, since }) => {
            Change::Unrepost { user: user(&by)?, post: post_ref(post?)?, since: revision(since) }
        }
        ChangeRecord::Block(block) => Change::Block {
            blocker: user(&block.blocker)?,
            blocked: user(&block.blocked)?,
            severed: SeveredFollows {
                following: block.severed_following,
                follower: block.severed_follower,
            },
        },
        ChangeRecord::Unblock(block) => {
            Change::Unblock { blocker: user(&block.blocker)?, blocked: user(&block.blocked)? }
        }
        ChangeRecord::Mute(mute) => {
            Change::Mute { muter: user(&mute.muter)?, muted: user(&mute.muted)? }
        }
        ChangeRecord::Unmute(mute) => Change::Unmute {
            muter: user(&mute.muter)?,
            muted: user(&mute.muted)?,
            follows: mute.follows,
        },
        ChangeRecord::See(see) => {
            Change::See { user: user(&see.user)?, until: Revision::new(see.until) }
        }
    })
}

fn user(name: &str) -> Option<UserId> {
    UserId::parse(name).ok()
}

fn post_ref(post: PostRecord) -> Option<PostRef> {
    Some(PostRef {
        id: PostId::from_revision(Revision::new(post.revision)),
        author: user(&post.author)?,
    })
}

fn published(publish: PublishRecord) -> Option<(UserId, Content, Option<RequestId>)> {
    let reply_to = match publish.parent {
        None => None,
        Some(parent) => {
            let parent = post_ref(parent)?;
            let root = publish.root.map_or_else(|| Some(parent.clone()), post_ref)?;
            Some(Box::new(ReplyTo { parent, root }))
        }
    };
    let (facets, mentioned) = match publish.facets {
        Some(facets) => facet_codec::from_record(facets)?,
        None => (Facets::default(), old_mentions::mentioned(&publish.text)),
    };
    let attachment =
        |it: &AttachmentRecord| Attachment::from_stored(&it.uri, &it.media_type, &it.alt);
    let content = Content {
        text: PostText::from_stored(&publish.text),
        reply_to,
        quote: match publish.quote {
            None => None,
            Some(quote) => Some(post_ref(quote)?),
        },
        attachments: publish.attachments.iter().map(attachment).collect(),
        langs: publish.langs.iter().map(|lang| Lang::from_stored(lang)).collect(),
        facets,
        mentioned,
    };
    let request_id = match publish.request_id.as_str() {
        "" => None,
        id => Some(RequestId::parse(id).ok()?),
    };
    Some((user(&publish.author)?, content, request_id))
}
