//! Messages as text for people. Never lets a control character of a post reach the terminal.

use std::fmt::Write;

use prost::{Message, Name};

use super::number::counted;
use crate::api::v1::notification::Kind;
use crate::api::v1::{
    Attachment, ErrorReason, FeedItem, ListedUser, Notification, Post, PostCounts, PostView,
    ViewerState,
};

/// A message that has a text for people.
pub(super) trait AsText {
    /// One or several lines.
    fn text(&self) -> String;
}

/// An item of a list.
pub(super) trait ListItem: AsText + Message + Name {
    /// The kind of its line for machines.
    const KIND: &'static str;
}

impl ListItem for FeedItem {
    const KIND: &'static str = "item";
}

impl ListItem for PostView {
    const KIND: &'static str = "post";
}

impl ListItem for ListedUser {
    const KIND: &'static str = "user";
}

impl ListItem for Notification {
    const KIND: &'static str = "notification";
}

impl AsText for Post {
    /// Several lines: author, time and id; then the text, the quote and attachments, indented.
    fn text(&self) -> String {
        let mut text = format!("{}  {}  {}", self.author_id, time(self), self.post_id);
        if let Some(reply_to) = &self.reply_to {
            let parent = format!("in reply to {}'s {}", reply_to.author_id, reply_to.post_id);
            push_line(&mut text, &parent);
        }
        for line in self.text.lines() {
            push_line(&mut text, &harmless(line));
        }
        if !self.quote_post_id.is_empty() {
            push_line(&mut text, &format!("quotes {}", self.quote_post_id));
        }
        for Attachment { uri, media_type, alt } in &self.attachments {
            let parts = [uri, media_type, alt].into_iter().filter(|part| !part.is_empty());
            let parts: Vec<_> = parts.map(|part| harmless(part)).collect();
            push_line(&mut text, &format!("attached: {}", parts.join("  ")));
        }
        text
    }
}

impl AsText for PostView {
    fn text(&self) -> String {
        let mut text = self.post.as_ref().map(Post::text).unwrap_or_default();
        push_reactions(&mut text, self.counts.as_ref(), self.viewer.as_ref());
        text
    }
}

impl AsText for FeedItem {
    fn text(&self) -> String {
        let mut text = self.post.as_ref().map(Post::text).unwrap_or_default();
        if !self.reposted_by_user_id.is_empty() {
            text = format!("{} reposted\n{text}", self.reposted_by_user_id);
        }
        push_reactions(&mut text, self.counts.as_ref(), self.viewer.as_ref());
        text
    }
}

impl AsText for ListedUser {
    fn text(&self) -> String {
        format!("{}  (revision {})", self.user_id, self.revision)
    }
}

impl AsText for Notification {
    fn text(&self) -> String {
        let Self { actor_id, subject_post_id, .. } = self;
        let time = self.create_time.as_ref().map_or_else(String::new, ToString::to_string);
        let mut text = match self.kind() {
            Kind::Follow => format!("{time}  {actor_id} follows you"),
            Kind::Like => format!("{time}  {actor_id} likes {subject_post_id}"),
            Kind::Repost => format!("{time}  {actor_id} reposted {subject_post_id}"),
            Kind::Reply => format!("{time}  {actor_id} replied to {subject_post_id}"),
            Kind::Quote => format!("{time}  {actor_id} quoted {subject_post_id}"),
            Kind::Mention => format!("{time}  {actor_id} mentioned you"),
            Kind::Unspecified => format!("{time}  {actor_id} did what this version does not know"),
        };
        let post = self.post.as_ref().map(Post::text).unwrap_or_default();
        post.lines().for_each(|line| push_line(&mut text, line));
        text
    }
}

/// Adds the counts of a post that are not 0, and the reader's like and repost.
fn push_reactions(text: &mut String, counts: Option<&PostCounts>, viewer: Option<&ViewerState>) {
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
        let own = [(viewer.liked, "you like it"), (viewer.reposted, "you reposted it")];
        parts.extend(own.into_iter().filter(|(is_set, _)| *is_set).map(|(_, own)| own.to_owned()));
    }
    if !parts.is_empty() {
        push_line(text, &format!("({})", parts.join(", ")));
    }
}

/// Adds an indented line.
fn push_line(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = write!(text, "\n    {line}");
}

/// The name of a reason, without its prefix.
pub(super) fn reason(reason: i32) -> String {
    enum_name(reason, "ERROR_REASON_", |reason: ErrorReason| reason.as_str_name())
}

/// The name of an enum value, without `prefix`; or its number, if this version does not know the
/// value, as of a newer server.
pub(super) fn enum_name<E: TryFrom<i32>>(
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

/// The creation time of a post, in RFC 3339.
fn time(post: &Post) -> String {
    post.create_time.as_ref().map_or_else(String::new, ToString::to_string)
}

/// The line with each terminal control and text direction character replaced: the author of the
/// line is not trusted.
pub(super) fn harmless(line: &str) -> String {
    let is_harmful = |c: char| {
        c.is_control() && c != '\t'
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    line.chars().map(|c| if is_harmful(c) { '\u{fffd}' } else { c }).collect()
}
