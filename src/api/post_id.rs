//! Post ids as text. Never looks a post up.
//!
//! ```text
//!   p1042kxwztb      p │ revision │ six letters for the epoch in which the post was published
//!   p1042            the same for a post from before epochs were recorded
//! ```
//!
//! The id of a post of a history of the log that was lost, as when an older backup was put back, names
//! no other post: the log then has another epoch at that revision.

use crate::model::{Epoch, Epochs, PostId, Revision};

/// Lower-case letters without vowels, so that no id has a word, and without `l`, which looks like 1.
const LETTERS: [u8; 20] = *b"bcdfghjkmnpqrstvwxyz";
/// Enough that two epochs nearly never have the same: 64 million.
const LETTERS_COUNT: usize = 6;

/// Why a text is not the id of a post of this log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PostIdError {
    /// The text is empty.
    #[error("must not be empty: name a post")]
    Empty,
    /// The text has not the form of a post id.
    #[error("must be a post_id exactly as this server gave it, but is none")]
    Malformed,
    /// The id is of a history of this log that was lost.
    #[error(
        "names no post of this log's history: it was cut off, or its history is lost, as after an \
         older backup was put back; read the post again for its id"
    )]
    HistoryLost,
}

/// The text of `id` in a log with these epochs.
pub(super) fn text(id: PostId, epochs: &Epochs) -> String {
    let revision = id.revision();
    let mut text = format!("p{revision}");
    text.extend(letters(epochs.at(revision)));
    text
}

/// As [`text()`]; empty for no post.
pub(super) fn optional_text(id: Option<PostId>, epochs: &Epochs) -> String {
    id.map_or_else(String::new, |id| text(id, epochs))
}

/// Parses the id of a post of a log with these epochs. Whether the post exists is not checked.
///
/// # Errors
/// `text` has not the form of a post id, or is one of a lost history.
pub(super) fn parse(text: &str, epochs: &Epochs) -> Result<PostId, PostIdError> {
    if text.is_empty() {
        return Err(PostIdError::Empty);
    }
    let (revision, of_epoch) = parts(text)?;
    if !letters(epochs.at(revision)).eq(of_epoch.chars()) {
        return Err(PostIdError::HistoryLost);
    }
    Ok(PostId::from_revision(revision))
}

/// The revision that is in the id of a post, of whatever history of the log.
pub(super) fn revision(text: &str) -> Option<Revision> {
    parts(text).ok().map(|(revision, _)| revision)
}

/// The revision of an id, and the letters of its epoch.
fn parts(text: &str) -> Result<(Revision, &str), PostIdError> {
    let rest = text.strip_prefix('p').ok_or(PostIdError::Malformed)?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (number, of_epoch) = rest.split_at(digits);
    let is_epoch = of_epoch.is_empty()
        || of_epoch.len() == LETTERS_COUNT && of_epoch.bytes().all(|c| LETTERS.contains(&c));
    let revision: u64 = number.parse().map_err(|_| PostIdError::Malformed)?;
    // The id of a post is unique: no leading zeros.
    if !is_epoch || revision == 0 || number.starts_with('0') {
        return Err(PostIdError::Malformed);
    }
    Ok((Revision::new(revision), of_epoch))
}

/// The letters of an epoch; none for [`Epoch::UNRECORDED`].
fn letters(epoch: Epoch) -> impl Iterator<Item = char> {
    let count = if epoch == Epoch::UNRECORDED { 0 } else { LETTERS_COUNT };
    let base = LETTERS.len() as u32;
    (0..count as u32).map(move |place| {
        let digit = epoch.get() / base.pow(place) % base;
        char::from(LETTERS[digit as usize])
    })
}
