//! Mentions: the user that an `@name` in a text names. Never reads more than the word around it; it
//! does not know URLs, which [`super::scan`] excludes.

use super::UserId;
use super::visible::is_mark;

/// The signs of a mention: `@`, and its wide form on East Asian keyboards.
pub(super) const SIGNS: [char; 2] = ['@', '\u{ff20}'];

/// The characters of a name in a text, in addition to letters and digits. User ids may have more
/// characters, but in a text those end the name.
const MARKS_OF_NAMES: &str = "._:@~-";

/// The characters before the `@` of an e-mail address, in addition to letters, digits and dots. RFC
/// 5322 (section 3.2.3) allows more, but in texts those mostly end sentences or enclose words.
const MARKS_OF_ADDRESSES: &str = "#$%&+-/=_~";

/// Characters of user ids, but not of names in a text. A name before one of them is only a part of
/// an id.
const MARKS_OF_IDS: [char; 3] = ['+', '=', '|'];

/// The user that a sign between `before` and `after` mentions, and the bytes of the name in
/// `after`.
///
/// `before` begins at the end of the previous mention. Marks at the end of a name may belong to the
/// name or to the sentence, and so may two marks in a row inside it. So there are several
/// candidates; the longest one that `is_user` accepts is the user. If it accepts none, there is no
/// mention.
pub(super) fn mentioned(
    before: &str,
    after: &str,
    is_user: impl Fn(&UserId) -> bool,
) -> Option<(UserId, usize)> {
    let of_name = |c: char| c.is_ascii_alphanumeric() || MARKS_OF_NAMES.contains(c);
    let name = &after[..after.find(|c| !of_name(c)).unwrap_or(after.len())];
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        || !may_begin(before, name)
        || is_cut(&after[name.len()..])
    {
        return None;
    }
    ends(name).into_iter().rev().find_map(|end| {
        let user = UserId::parse(&name[..end]).ok()?;
        is_user(&user).then_some((user, end))
    })
}

/// Whether a mention of `name` may begin after `before`. The `@` of an e-mail address may not.
fn may_begin(before: &str, name: &str) -> bool {
    let of_word = |c: char| c.is_alphanumeric() || is_mark(c);
    let Some(last) = before.chars().next_back() else { return true };
    if of_word(last) {
        // Scripts without spaces may have a word right before a mention.
        return !last.is_ascii() && !is_domain(name);
    }
    if MARKS_OF_ADDRESSES.contains(last) {
        let of_address = |c: char| of_word(c) || c == '.' || MARKS_OF_ADDRESSES.contains(c);
        let start = before.trim_end_matches(of_address).len();
        return !before[start..].contains(of_word);
    }
    !SIGNS.contains(&last)
}

/// Whether `name` could be the domain of an e-mail address.
fn is_domain(name: &str) -> bool {
    name.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).contains('.')
}

/// Whether `rest`, the text after a name, continues a user id.
fn is_cut(rest: &str) -> bool {
    rest.strip_prefix(MARKS_OF_IDS)
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
}

/// The offsets in `word`, which is ASCII, at which a name at its beginning may end, in rising
/// order: the end, after or before each trailing mark, and at and around two marks in a row inside
/// it, such as `--`. Underscores alone do not end a name: `snake__case` is one name.
fn ends(word: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut from = 0;
    while let Some(start) = word[from..].find(|c: char| !c.is_ascii_alphanumeric()) {
        let start = from + start;
        let run = word[start..].find(|c: char| c.is_ascii_alphanumeric());
        let end = run.map_or(word.len(), |run| start + run);
        let is_trailing = end == word.len();
        let is_break = end - start >= 2 && word[start..end].contains(|c| c != '_');
        if is_trailing || is_break {
            // From 1: no name is empty.
            ends.extend(start.max(1)..=end);
        }
        from = end;
    }
    if ends.last() != Some(&word.len()) {
        ends.push(word.len());
    }
    ends
}
