//! The secret by which nodes of one log know each other. Never shown by `Debug`, and never kept on a disk.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What a node's key begins with as a bearer token, so that it is taken for nothing else.
const PREFIX: &str = "whimbrel-node-";
const BYTES: usize = 32;

/// The secret that other nodes show a node. It is made at each start.
#[derive(Clone)]
pub struct NodeKey([u8; BYTES]);

impl NodeKey {
    /// Of random `bytes`.
    #[must_use]
    pub fn new(bytes: [u8; BYTES]) -> Self {
        Self(bytes)
    }

    /// As its store has it; `None` if these are no key.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// For its store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As a bearer token.
    #[must_use]
    pub fn token(&self) -> String {
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(self.0))
    }

    /// Whether a bearer token is a node's key, of whichever node.
    #[must_use]
    pub fn is_token(token: &str) -> bool {
        token.starts_with(PREFIX)
    }

    /// Whether `token` is this key. How long that takes does not tell where they differ.
    #[must_use]
    pub fn is(&self, token: &str) -> bool {
        let given = token.strip_prefix(PREFIX).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let verify = aws_lc_rs::constant_time::verify_slices_are_equal;
        given.is_some_and(|given| verify(&given, &self.0).is_ok())
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeKey(…)")
    }
}
