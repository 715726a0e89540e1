//! The callers of tokens that were verified, so that a call with a token that was seen before costs
//! a look-up. Keeps hashes, and never a token.

use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

use super::caller::Caller;

/// Most tokens: those of the callers of some minutes, at about half a KiB each.
const TOKENS_MAX: usize = 64 << 10;

/// The SHA-256 of a token. Who does not have the token cannot make one with the same.
pub(super) type TokenHash = [u8; 32];

/// The callers by their tokens.
#[derive(Debug)]
pub(super) struct SeenTokens(Cache<TokenHash, Caller>);

impl SeenTokens {
    pub(super) fn new() -> Self {
        Self(Cache::new(TOKENS_MAX))
    }

    pub(super) fn hash(token: &str) -> TokenHash {
        Sha256::digest(token.as_bytes()).into()
    }

    pub(super) fn get(&self, hash: &TokenHash) -> Option<Caller> {
        self.0.get(hash)
    }

    pub(super) fn insert(&self, hash: TokenHash, caller: Caller) {
        self.0.insert(hash, caller);
    }

    /// Forgets all: a key was changed, so that a token may be none any more.
    pub(super) fn clear(&self) {
        self.0.clear();
    }
}
