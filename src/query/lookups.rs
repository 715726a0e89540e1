//! What a change is decided by that may be in the index alone: looked up before the change joins the
//! queue, where reading may take its time, and confirmed in it by memory alone.
//!
//! ```text
//!   lookup: applied = r ──▶ memory, else the index ──▶ Evidence { found, as_of: r }
//!   queue:  changed after r?  no ──▶ found
//!                             yes, and memory has it ──▶ what memory has
//!                             else ──▶ unknown: it has to be looked up again
//! ```

use crate::model::{PostId, Revision, UserId};
use crate::state::State;
use crate::state::records::record::{Key, Table, Value};
use crate::storage;

/// Something that a change is decided by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    /// Since when the user likes the post.
    Liked(PostId, UserId),
    /// Since when the user reposts the post.
    Reposted(PostId, UserId),
    /// Up to where the user has seen what they were notified of.
    Seen(UserId),
}

/// What was found when a [`Question`] was looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    found: Option<Revision>,
    /// All that was applied up to here was taken into account; of what came later, perhaps some.
    as_of: Revision,
}

impl State {
    /// The answer to `question`; `None` if memory does not know.
    #[must_use]
    pub fn look_up_at_hand(&self, question: &Question) -> Option<Evidence> {
        let as_of = self.applied();
        let found = match self.fact_of(question) {
            None => None,
            Some(key) => {
                let at_hand = self.facts.get_at_hand(key);
                at_hand.or_else(|| self.has_none_at_hand(key).then_some(None))?
            }
        };
        Some(Evidence { found: found.map(Value::revision), as_of })
    }

    /// The answer to `question`. May read the index, which blocks for a moment.
    ///
    /// # Errors
    /// The index is damaged or cannot be read.
    pub fn look_up(&self, question: &Question) -> Result<Evidence, storage::Error> {
        let as_of = self.applied();
        let found = match self.fact_of(question) {
            None => None,
            Some(key) => self.facts.get(key)?.map(Value::revision),
        };
        Ok(Evidence { found, as_of })
    }

    /// The answer to `question` by now, from memory and from `evidence`, which was looked up for it;
    /// `None` if something may have changed since that memory does not have any more. Of what is being
    /// applied in this moment it says nothing.
    #[must_use]
    pub fn confirm(&self, question: &Question, evidence: Evidence) -> Option<Option<Revision>> {
        // Of a user who is new nothing can be so.
        let Some(key) = self.fact_of(question) else { return Some(None) };
        if self.facts.changed_until(key) <= evidence.as_of {
            return Some(evidence.found);
        }
        Some(self.facts.get_at_hand(key)?.map(Value::revision))
    }

    /// Whether memory, which has no fact at `key`, knows that there is none.
    fn has_none_at_hand(&self, key: Key) -> bool {
        let counts = || self.tallies.get(key.subject);
        // Of a post that the index does not have, memory has dropped nothing.
        let is_new = || self.facts.is_new(key.subject.revision());
        match key.table {
            Table::Like => is_new() || counts().is_some_and(|counts| counts.likes == 0),
            Table::Repost => is_new() || counts().is_some_and(|counts| counts.reposts == 0),
            _ => false,
        }
    }

    fn fact_of(&self, question: &Question) -> Option<Key> {
        Some(match question {
            Question::Liked(post, user) => Key::new(Table::Like, *post, self.ids.get(user)?),
            Question::Reposted(post, user) => Key::new(Table::Repost, *post, self.ids.get(user)?),
            Question::Seen(user) => Key::of(Table::Seen, self.ids.get(user)?),
        })
    }
}
