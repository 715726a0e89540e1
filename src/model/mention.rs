//! Who is mentioned in a text.

use super::UserId;
use super::bounds::MENTIONS_MAX;

/// The users whom `text` mentions, each once, in order, at most [`MENTIONS_MAX`].
///
/// A mention is a word that begins with `@`, where a word is as much as could be part of a user id.
/// The `. _ : @ ~ -` that it ends with do not count: they end a sentence more often than a name.
#[must_use]
pub fn mentions(text: &str) -> Vec<UserId> {
    // Most texts mention nobody.
    if !text.contains('@') {
        return Vec::new();
    }
    let of_id = |c: char| c.is_ascii_alphanumeric() || "._:@~-".contains(c);
    let names = text.split(|c| !of_id(c)).filter_map(|word| word.strip_prefix('@'));
    let users = names.filter_map(|name| {
        UserId::parse(name.trim_end_matches(|c: char| !c.is_ascii_alphanumeric())).ok()
    });
    let mut mentioned = Vec::new();
    for user in users {
        if mentioned.len() < MENTIONS_MAX && !mentioned.contains(&user) {
            mentioned.push(user);
        }
    }
    mentioned
}
