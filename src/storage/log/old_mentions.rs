//! Mentions in posts of the log's first format, whose records do not name the users to notify. The
//! users are found in the texts, by the rule of that version. Never used for other records.

use crate::model::UserId;
use crate::model::bounds::MENTIONS_MAX;

/// The users that `text` mentions, each once, in order, at most [`MENTIONS_MAX`].
///
/// A mention was `@` and a word of the characters of a user id, without the marks at its end. Every
/// mentioned name became a user.
pub(super) fn mentioned(text: &str) -> Box<[UserId]> {
    // Most texts mention nobody.
    if !text.contains('@') {
        return Box::default();
    }
    let of_id = |c: char| c.is_ascii_alphanumeric() || "._:@~-".contains(c);
    let names = text.split(|c| !of_id(c)).filter_map(|word| word.strip_prefix('@'));
    let users = names.filter_map(|name| {
        let name = name.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_name = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        is_name.then(|| UserId::parse(name).ok()).flatten()
    });
    let mut mentioned = Vec::new();
    for user in users {
        if mentioned.len() < MENTIONS_MAX && !mentioned.contains(&user) {
            mentioned.push(user);
        }
    }
    mentioned.into()
}
