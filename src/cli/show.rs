//! Messages as people read them. Shared by the verbs that print them.

use std::fmt::Write;

use prost::{Message, Name};

use super::number::counted;
use crate::api::v1::notification::Kind;
use crate::api::v1::{
    Attachment, ErrorReason, FeedItem, ListedUser, Notification, Post, PostCounts, PostView,
    ViewerState,
};

/// What can be printed for people.
pub(super) trait Shown {
    /// One or several lines.
    fn text(&self) -> String;
}

/// What a list has: each is printed by itself.
pub(super) trait Entry: Shown + Message + Name {
    /// What machines are shown it as.
    const KIND: &'static str;
}

impl Entry for FeedItem {
    const KIND: &'static str = "item";
}

impl Entry for PostView {
    const KIND: &'static str = "post";
}

impl Entry for ListedUser {
    const KIND: &'static str = "user";
}

impl Entry for Notification {
    const KIND: &'static str = "notification";
}

impl Shown for Post {
    /// Several lines: who and when, then the text and what is with it, indented.
    fn text(&self) -> String {
        let mut shown = format!("{}  {}  {}", self.author_id, time(self), self.post_id);
        if let Some(reply_to) = &self.reply_to {
            line(&mut shown, &format!("in reply to {}'s {}", reply_to.author_id, reply_to.post_id));
        }
        for said in self.text.lines() {
            line(&mut shown, &harmless(said));
        }
        if !self.quote_post_id.is_empty() {
            line(&mut shown, &format!("quotes {}", self.quote_post_id));
        }
        for Attachment { uri, media_type, alt } in &self.attachments {
            let parts = [uri, media_type, alt].into_iter().filter(|part| !part.is_empty());
            let parts: Vec<_> = parts.map(|part| harmless(part)).collect();
            line(&mut shown, &format!("attached: {}", parts.join("  ")));
        }
        shown
    }
}

impl Shown for PostView {
    fn text(&self) -> String {
        let mut shown = self.post.as_ref().map(Post::text).unwrap_or_default();
        standing(&mut shown, self.counts.as_ref(), self.viewer.as_ref());
        shown
    }
}

impl Shown for FeedItem {
    fn text(&self) -> String {
        let mut shown = self.post.as_ref().map(Post::text).unwrap_or_default();
        if !self.reposted_by_user_id.is_empty() {
            shown = format!("{} reposted\n{shown}", self.reposted_by_user_id);
        }
        standing(&mut shown, self.counts.as_ref(), self.viewer.as_ref());
        shown
    }
}

impl Shown for ListedUser {
    fn text(&self) -> String {
        format!("{}  (revision {})", self.user_id, self.revision)
    }
}

impl Shown for Notification {
    fn text(&self) -> String {
        let Self { actor_id, subject_post_id, .. } = self;
        let time = self.create_time.as_ref().map_or_else(String::new, ToString::to_string);
        let mut shown = match self.kind() {
            Kind::Follow => format!("{time}  {actor_id} follows you"),
            Kind::Like => format!("{time}  {actor_id} likes {subject_post_id}"),
            Kind::Repost => format!("{time}  {actor_id} reposted {subject_post_id}"),
            Kind::Reply => format!("{time}  {actor_id} answered {subject_post_id}"),
            Kind::Quote => format!("{time}  {actor_id} quoted {subject_post_id}"),
            Kind::Mention => format!("{time}  {actor_id} mentioned you"),
            Kind::Unspecified => format!("{time}  {actor_id} did what this version does not know"),
        };
        let post = self.post.as_ref().map(Post::text).unwrap_or_default();
        post.lines().for_each(|said| line(&mut shown, said));
        shown
    }
}

/// Adds what others and the reader have done to a post, unless that is nothing.
fn standing(shown: &mut String, counts: Option<&PostCounts>, viewer: Option<&ViewerState>) {
    let mut parts = Vec::new();
    if let Some(counts) = counts {
        let counts = [
            (counts.like_count, "like"),
            (counts.repost_count, "repost"),
            (counts.reply_count, "reply"),
            (counts.quote_count, "quote"),
        ];
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        parts.extend(counts.map(|(count, of)| counted(count, of)));
    }
    if let Some(viewer) = viewer {
        let done = [(viewer.liked, "you like it"), (viewer.reposted, "you reposted it")];
        parts.extend(done.into_iter().filter(|(done, _)| *done).map(|(_, said)| said.to_owned()));
    }
    if !parts.is_empty() {
        line(shown, &format!("({})", parts.join(", ")));
    }
}

/// Adds an indented line.
fn line(shown: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = write!(shown, "\n    {line}");
}

/// A reason without the prefix that its enum gives it.
pub(super) fn reason(reason: i32) -> String {
    named(reason, "ERROR_REASON_", |reason: ErrorReason| reason.as_str_name())
}

/// A value of an enum without `prefix`, which its names have; or its number, if this version does
/// not know it: servers that are newer may send what it has not.
pub(super) fn named<E: TryFrom<i32>>(
    value: i32,
    prefix: &str,
    name: impl Fn(E) -> &'static str,
) -> String {
    let Ok(known) = E::try_from(value) else {
        return format!("number {value}, which this version does not know");
    };
    let name = name(known);
    name.strip_prefix(prefix).unwrap_or(name).to_owned()
}

/// RFC 3339, as `prost_types` writes it.
fn time(post: &Post) -> String {
    post.create_time.as_ref().map_or_else(String::new, ToString::to_string)
}

/// The text without characters that would steer a terminal: whoever wrote it is not trusted.
pub(super) fn harmless(line: &str) -> String {
    let steers = |c: char| {
        c.is_control() && c != '\t'
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    line.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}
