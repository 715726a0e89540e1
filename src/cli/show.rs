//! Messages as people and machines read them. Shared by the verbs that print feeds.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::api::v1::{ErrorReason, FeedItem, Post};

/// A post over several lines: who and when, then the text, indented.
pub(super) fn post(post: &Post) -> String {
    let mut shown = format!("{}  {}  {}", post.author_id, time(post), post.post_id);
    for line in post.text.lines() {
        // Writing to a String cannot fail.
        let _ = write!(shown, "\n    {}", harmless(line));
    }
    shown
}

pub(super) fn post_json(post: &Post) -> Value {
    json!({
        "post_id": post.post_id,
        "author_id": post.author_id,
        "text": post.text,
        "revision": post.revision,
        "create_time": time(post),
    })
}

pub(super) fn item_json(item: &FeedItem) -> Value {
    json!({ "revision": item.revision, "post": item.post.as_ref().map(post_json) })
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
