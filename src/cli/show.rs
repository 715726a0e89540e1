//! Messages as people and machines read them. Shared by the verbs that print them.

use std::fmt::Write;

use serde_json::{Value, json};

use super::number::counted;
use crate::api::v1::notification::Kind;
use crate::api::v1::{
    Attachment, ErrorReason, FeedItem, ListedUser, Notification, Post, PostCounts, PostView,
    ViewerState,
};

/// What can be printed.
pub(super) trait Shown {
    /// For people.
    fn text(&self) -> String;
    /// For machines.
    fn json(&self) -> Value;
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

    fn json(&self) -> Value {
        let reply_to = self.reply_to.as_ref().map(|to| {
            json!({
                "post_id": to.post_id,
                "author_id": to.author_id,
                "root_post_id": to.root_post_id,
                "root_author_id": to.root_author_id,
            })
        });
        let attachment = |Attachment { uri, media_type, alt }: &Attachment| json!({ "uri": uri, "media_type": media_type, "alt": alt });
        json!({
            "post_id": self.post_id,
            "author_id": self.author_id,
            "text": self.text,
            "revision": self.revision,
            "create_time": time(self),
            "reply_to": reply_to,
            "quote_post_id": self.quote_post_id,
            "attachments": self.attachments.iter().map(attachment).collect::<Vec<_>>(),
            "langs": self.langs,
        })
    }
}

impl Shown for PostView {
    fn text(&self) -> String {
        let mut shown = self.post.as_ref().map(Post::text).unwrap_or_default();
        standing(&mut shown, self.counts.as_ref(), self.viewer.as_ref());
        shown
    }

    fn json(&self) -> Value {
        json!({
            "post": self.post.as_ref().map(Post::json),
            "counts": self.counts.as_ref().map(counts_json),
            "viewer": self.viewer.as_ref().map(viewer_json),
        })
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

    fn json(&self) -> Value {
        json!({
            "revision": self.revision,
            "post": self.post.as_ref().map(Post::json),
            "reposted_by_user_id": self.reposted_by_user_id,
            "counts": self.counts.as_ref().map(counts_json),
            "viewer": self.viewer.as_ref().map(viewer_json),
        })
    }
}

impl Shown for ListedUser {
    fn text(&self) -> String {
        format!("{}  (revision {})", self.user_id, self.revision)
    }

    fn json(&self) -> Value {
        json!({ "user_id": self.user_id, "revision": self.revision })
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

    fn json(&self) -> Value {
        json!({
            "revision": self.revision,
            "create_time": self.create_time.as_ref().map_or_else(String::new, ToString::to_string),
            "kind": self.kind().as_str_name().trim_start_matches("KIND_"),
            "actor_id": self.actor_id,
            "subject_post_id": self.subject_post_id,
            "post": self.post.as_ref().map(Post::json),
        })
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

fn counts_json(counts: &PostCounts) -> Value {
    json!({
        "like_count": counts.like_count,
        "repost_count": counts.repost_count,
        "reply_count": counts.reply_count,
        "quote_count": counts.quote_count,
    })
}

fn viewer_json(viewer: &ViewerState) -> Value {
    json!({ "liked": viewer.liked, "reposted": viewer.reposted })
}

/// Adds an indented line.
fn line(shown: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = write!(shown, "\n    {line}");
}

/// A reason without the prefix that its enum gives it.
pub(super) fn reason(reason: i32) -> String {
    let name = ErrorReason::try_from(reason).unwrap_or_default().as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name).to_owned()
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
