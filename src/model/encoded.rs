//! The encoded form of a value, kept with the value, so that it is encoded once for all its readers.
//! Never knows a format: whoever asks first encodes.

use std::sync::{Arc, OnceLock};

/// The bytes of a value on the wire, from the first use on. They follow from the value alone, so
/// they never count in a comparison, and a copy of the value starts without them.
#[derive(Debug, Default)]
pub struct Encoded(OnceLock<Arc<[u8]>>);

impl Encoded {
    /// The bytes, made by `encode` if there are none yet. All callers have to encode alike.
    pub fn get_or_encode(&self, encode: impl FnOnce() -> Vec<u8>) -> &Arc<[u8]> {
        self.0.get_or_init(|| encode().into())
    }
}

impl Clone for Encoded {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Encoded {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Encoded {}
