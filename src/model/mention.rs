//! Who is meant by an `@name` in a text. Never looks beyond the word around it: what lies inside a
//! URL is known to [`super::scan`].

use super::UserId;
use super::visible::is_mark;

/// The signs that a mention begins with: `@`, and the wide form that East Asian keyboards have.
pub(super) const SIGNS: [char; 2] = ['@', '\u{ff20}'];

/// What a name in a text is made of in addition to letters and digits. User ids may have more, but
/// could then not be kept apart from the text around them.
const MARKS_OF_NAMES: &str = "._:@~-";

/// What the part of an e-mail address before its `@` has in addition to letters, digits and dots,
/// of what RFC 5322 (3.2.3) allows there: the rest ends sentences or sets off words more often.
const MARKS_OF_ADDRESSES: &str = "#$%&+-/=_~";

/// What ids have, but no name in a text, so that a name which ends there was cut.
const MARKS_OF_IDS: [char; 3] = ['+', '=', '|'];

/// The user that is mentioned by a sign between `before` and `after`, and how many bytes of `after`
/// their name has.
///
/// `before` begins where the mention before this one ended. Of the names that it may be, the
/// longest that `is_user` knows is it: what stands at the end of a name may belong to it, or to the
/// sentence, and so may two marks in a row inside it. If none is known, nobody is mentioned.
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

/// Whether a mention of `name` may begin after `before`: an address of e-mail would not.
fn may_begin(before: &str, name: &str) -> bool {
    let of_word = |c: char| c.is_alphanumeric() || is_mark(c);
    let Some(last) = before.chars().next_back() else { return true };
    if of_word(last) {
        // Where words are not set apart by spaces, one may come right before a mention.
        return !last.is_ascii() && !is_domain(name);
    }
    if MARKS_OF_ADDRESSES.contains(last) {
        let of_address = |c: char| of_word(c) || c == '.' || MARKS_OF_ADDRESSES.contains(c);
        let start = before.trim_end_matches(of_address).len();
        return !before[start..].contains(of_word);
    }
    !SIGNS.contains(&last)
}

/// Whether `name` would do as what comes after the `@` of an address.
fn is_domain(name: &str) -> bool {
    name.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).contains('.')
}

/// Whether what comes after a name goes on with an id.
fn is_cut(rest: &str) -> bool {
    rest.strip_prefix(MARKS_OF_IDS)
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
}

/// Where a name that begins `word`, which is ASCII, may end, in rising order: at its end, after or
/// before each of the marks there, and at and around the marks inside it that come two in a row, as
/// `--` does. Underscores alone are no such break: `snake__case` is one name.
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
            // From 1, as no name is empty.
            ends.extend(start.max(1)..=end);
        }
        from = end;
    }
    if ends.last() != Some(&word.len()) {
        ends.push(word.len());
    }
    ends
}
