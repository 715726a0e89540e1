//! Posts and their names.

use std::fmt;

use super::{PostText, Revision, Timestamp, UserId};

/// A post's name: its revision, in a form of its own.
///
/// Because it tells where the post is in the log, no index from names to posts is needed. To
/// clients it is opaque.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PostId(Revision);

/// A post as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// Where it is in the log.
    pub revision: Revision,
    /// Who published it.
    pub author: UserId,
    /// What it says.
    pub text: PostText,
    /// When the server accepted it.
    pub time: Timestamp,
}

impl Post {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> PostId {
        PostId(self.revision)
    }
}

impl fmt::Display for PostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}
