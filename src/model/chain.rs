//! The chain of a log: one value for all events up to a revision. Never says who wrote them.

use std::fmt;

/// A SHA-256 value over all events up to a revision. Two logs with the same value at a revision have
/// the same events up to there; erasing posts does not change it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Chain([u8; Self::BYTES]);

impl Chain {
    /// The length in bytes.
    pub const BYTES: usize = 32;

    /// The chain with these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes of the chain.
    #[must_use]
    pub const fn get(self) -> [u8; Self::BYTES] {
        self.0
    }

    /// The first bytes of the chain as a number, for places that have no room for all of it.
    #[must_use]
    pub fn prefix(self) -> u64 {
        let (first, _) = self.0.split_first_chunk().unwrap_or_else(|| unreachable!("it is longer"));
        u64::from_be_bytes(*first)
    }
}

/// In lower-case hexadecimal digits.
impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chain({self})")
    }
}
