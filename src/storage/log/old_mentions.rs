//! Who is notified of the mentions in a post of the log's first format. Its records did not say
//! that, so it is read from their texts, by the rule of then. Never used for other records.

use crate::model::UserId;
use crate::model::bounds::MENTIONS_MAX;

/// The users that `text` mentions, each once, in order, at most [`MENTIONS_MAX`].
///
/// A mention was a word that begins with `@`, where a word is as much as could be part of a user id,
/// without the marks that it ends with. Whoever was mentioned was a user from then on.
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
