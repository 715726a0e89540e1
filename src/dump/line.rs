//! The JSON of a line. Names of fields are never changed, only added. Never checks what an event refers to.

use serde::{Deserialize, Serialize};

use crate::model::{
    Attachment, Change, Content, Event, Facet, Feature, Link, LogTime, PostId, ReplyTo, RequestId,
    Revision, Tag, Timestamp, UserId,
};

/// A line. What follows from the lines before it is left out: the revision of a follow that an unfollow
/// ends, the author of a post that is liked, the follows that a block ends.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Line {
    /// From 1 without a gap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revision: Option<u64>,
    /// When it was accepted by the clock, in RFC 3339.
    pub(super) time: String,
    /// The log's own time, which never goes back; that of `time`, or of the line before if that is later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) log_time: Option<String>,
    pub(super) change: ChangeLine,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub(super) enum ChangeLine {
    Publish(Box<PostLine>),
    /// A post whose content is erased. A later line deletes it.
    Erased {
        author: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        reply_to: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        quote: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
    },
    Delete {
        post: u64,
        /// Whom the post may have notified. Needed only if its content is erased.
        #[serde(skip_serializing_if = "Option::is_none")]
        notified: Option<Vec<String>>,
    },
    Follow {
        follower: String,
        followee: String,
    },
    Unfollow {
        follower: String,
        followee: String,
    },
    Like {
        user: String,
        post: u64,
    },
    Unlike {
        user: String,
        post: u64,
    },
    Repost {
        user: String,
        post: u64,
    },
    Unrepost {
        user: String,
        post: u64,
    },
    Block {
        blocker: String,
        blocked: String,
    },
    Unblock {
        blocker: String,
        blocked: String,
    },
    Mute {
        muter: String,
        muted: String,
    },
    Unmute {
        muter: String,
        muted: String,
    },
    See {
        user: String,
        until: u64,
    },
}

/// A new post. Other posts are named by their revision.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PostLine {
    pub(super) author: String,
    #[serde(default)]
    pub(super) text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reply_to: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) quote: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) attachments: Vec<AttachmentLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) langs: Vec<String>,
    /// Without it the server's rules find mentions, links and hashtags in the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) facets: Option<Vec<FacetLine>>,
    /// Whether the author gave the facets.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) facets_from_author: bool,
    /// Whom the mentions notify; without it, those who are users by then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mentioned: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_id: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct AttachmentLine {
    pub(super) uri: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) media_type: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) alt: String,
}

/// The meaning of some bytes of the text: one of the three.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FacetLine {
    pub(super) start: usize,
    pub(super) end: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mention: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) link: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tag: Option<String>,
}

/// The line of an event, without its line break.
#[must_use]
pub fn to_line(revision: Revision, event: &Event) -> String {
    let line = Line {
        revision: Some(revision.get()),
        time: rfc_3339(event.time.as_nanos()),
        log_time: Some(rfc_3339(event.log_time.as_nanos())),
        change: change_line(&event.change),
    };
    serde_json::to_string(&line).unwrap_or_else(|_| unreachable!("it has texts and numbers only"))
}

fn change_line(change: &Change) -> ChangeLine {
    let post = |id: PostId| id.revision().get();
    match change {
        Change::Publish { author, content, request_id } => {
            ChangeLine::Publish(Box::new(post_line(author, content, request_id.as_ref())))
        }
        Change::Erased { author, reply_to, quote, request_id } => ChangeLine::Erased {
            author: author.to_string(),
            reply_to: reply_to.as_deref().map(parent),
            quote: quote.as_ref().map(|quote| post(quote.id)),
            request_id: request_id.as_ref().map(|id| id.as_str().to_owned()),
        },
        Change::Delete { post: deleted, notified, .. } => ChangeLine::Delete {
            post: post(deleted.id),
            notified: Some(notified.iter().map(UserId::to_string).collect()),
        },
        Change::Follow { follower, followee } => {
            ChangeLine::Follow { follower: follower.to_string(), followee: followee.to_string() }
        }
        Change::Unfollow { follower, followee, .. } => {
            ChangeLine::Unfollow { follower: follower.to_string(), followee: followee.to_string() }
        }
        Change::Like { user, post: to } => {
            ChangeLine::Like { user: user.to_string(), post: post(to.id) }
        }
        Change::Unlike { user, post: to, .. } => {
            ChangeLine::Unlike { user: user.to_string(), post: post(to.id) }
        }
        Change::Repost { user, post: to } => {
            ChangeLine::Repost { user: user.to_string(), post: post(to.id) }
        }
        Change::Unrepost { user, post: to, .. } => {
            ChangeLine::Unrepost { user: user.to_string(), post: post(to.id) }
        }
        Change::Block { blocker, blocked, .. } => {
            ChangeLine::Block { blocker: blocker.to_string(), blocked: blocked.to_string() }
        }
        Change::Unblock { blocker, blocked } => {
            ChangeLine::Unblock { blocker: blocker.to_string(), blocked: blocked.to_string() }
        }
        Change::Mute { muter, muted } => {
            ChangeLine::Mute { muter: muter.to_string(), muted: muted.to_string() }
        }
        Change::Unmute { muter, muted, .. } => {
            ChangeLine::Unmute { muter: muter.to_string(), muted: muted.to_string() }
        }
        Change::See { user, until } => {
            ChangeLine::See { user: user.to_string(), until: until.get() }
        }
    }
}

fn parent(reply_to: &ReplyTo) -> u64 {
    reply_to.parent.id.revision().get()
}

fn post_line(author: &UserId, content: &Content, request_id: Option<&RequestId>) -> PostLine {
    let Content { text, reply_to, quote, attachments, langs, facets, mentioned } = content;
    PostLine {
        author: author.to_string(),
        text: text.as_str().to_owned(),
        reply_to: reply_to.as_deref().map(parent),
        quote: quote.as_ref().map(|quote| quote.id.revision().get()),
        attachments: attachments.iter().map(attachment_line).collect(),
        langs: langs.iter().map(|lang| lang.as_str().to_owned()).collect(),
        facets: Some(facets.all().iter().map(facet_line).collect()),
        facets_from_author: facets.are_from_author(),
        mentioned: Some(mentioned.iter().map(UserId::to_string).collect()),
        request_id: request_id.map(|id| id.as_str().to_owned()),
    }
}

fn attachment_line(attachment: &Attachment) -> AttachmentLine {
    let Attachment { uri, media_type, alt } = attachment;
    AttachmentLine {
        uri: uri.to_string(),
        media_type: media_type.to_string(),
        alt: alt.to_string(),
    }
}

fn facet_line(facet: &Facet) -> FacetLine {
    let (mut mention, mut link, mut tag) = (None, None, None);
    match &facet.feature {
        Feature::Mention(user) => mention = Some(user.to_string()),
        Feature::Link(target) => link = Some(target.as_str().to_owned()),
        Feature::Tag(name) => tag = Some(name.as_str().to_owned()),
    }
    FacetLine { start: facet.start, end: facet.end, mention, link, tag }
}

fn rfc_3339(nanos: u64) -> String {
    let (seconds, nanos) = Timestamp::from_nanos(nanos).as_secs_and_nanos();
    // Lossless: it has less than 32 bits, and the seconds less than 63.
    prost_types::Timestamp { seconds: seconds.cast_signed(), nanos: nanos.cast_signed() }
        .to_string()
}

/// The times of a line; `before` is the log's time of the one before it.
pub(super) fn times(line: &Line, before: LogTime) -> Result<(Timestamp, LogTime), String> {
    let time = nanos(&line.time)?;
    let log_time = match &line.log_time {
        Some(log_time) => nanos(log_time)?,
        None => time.max(before.as_nanos()),
    };
    if log_time < before.as_nanos() {
        return Err("its logTime is before that of the line before".to_owned());
    }
    Ok((Timestamp::from_nanos(time), LogTime::from_nanos(log_time)))
}

fn nanos(time: &str) -> Result<u64, String> {
    let rule = || format!("{time:?} is no time such as 2026-11-27T08:30:00Z, from 1970 on");
    let time: prost_types::Timestamp = time.parse().map_err(|_| rule())?;
    let nanos = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    u64::try_from(nanos).map_err(|_| rule())
}

/// The facets of a line.
pub(super) fn facets(lines: &[FacetLine]) -> Result<Box<[Facet]>, String> {
    let facet = |line: &FacetLine| {
        let feature = match (&line.mention, &line.link, &line.tag) {
            (Some(user), None, None) => Feature::Mention(user_id(user)?),
            (None, Some(link), None) => Feature::Link(parsed(Link::parse(link))?),
            (None, None, Some(tag)) => Feature::Tag(parsed(Tag::parse(tag))?),
            _ => return Err("a facet has one of mention, link and tag".to_owned()),
        };
        Ok(Facet { start: line.start, end: line.end, feature })
    };
    lines.iter().map(facet).collect()
}

pub(super) fn user_id(name: &str) -> Result<UserId, String> {
    UserId::parse(name).map_err(|error| format!("{name:?} is no user id: it {error}"))
}

/// What a field of a post says.
pub(super) fn parsed<T, E: std::fmt::Display>(parsed: Result<T, E>) -> Result<T, String> {
    parsed.map_err(|error| format!("a field of the post {error}"))
}
