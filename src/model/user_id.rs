//! User ids. Whether the user exists is never checked here.

use std::fmt;
use std::sync::Arc;

use super::bounds::USER_ID_BYTES_MAX;

/// The characters of user ids in addition to letters and digits, separated by spaces.
const MARKS: &str = "! # $ % & ( ) * + , - . / : ; = ? @ [ ] ^ _ { | } ~";

/// The id of a user: 1 to 128 bytes of printable ASCII without space, quotes (`"`, `'`, `` ` ``),
/// `\`, `<` and `>`; not beginning with `@`, and with at least one letter or digit. Case matters.
///
/// The ids of identity providers fit: DIDs, UUIDs, numbers, handles, e-mail addresses, Auth0's
/// `auth0|123`, base64 (SAML's name ids, the `sub` of OpenID Connect), ARNs, SPIFFE ids and other
/// URIs. None of them has the excluded characters, which need escaping wherever ids are quoted. A
/// leading `@` marks a mention in a text. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(Arc<str>);

/// Why a text is not a user id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserIdError {
    /// The text is empty.
    #[error("must not be empty: name a user")]
    Empty,
    /// Longer than [`USER_ID_BYTES_MAX`].
    #[error("must be at most {USER_ID_BYTES_MAX} bytes long, not {bytes}")]
    TooLong {
        /// Bytes of the text.
        bytes: usize,
    },
    /// A character that user ids do not have.
    #[error(
        "must be ASCII letters, digits and {MARKS}, without an @ at its beginning, but has \
         something else at byte {at}"
    )]
    BadCharacter {
        /// Its offset in bytes.
        at: usize,
    },
    /// No letter and no digit.
    #[error("must have a letter or digit")]
    NoLetter,
}

impl UserIdError {
    /// The parameters of the message, by name.
    #[must_use]
    pub fn parts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Empty | Self::NoLetter => Vec::new(),
            Self::TooLong { bytes } => {
                vec![("bytes", bytes.to_string()), ("bytes_max", USER_ID_BYTES_MAX.to_string())]
            }
            Self::BadCharacter { at } => vec![("at_byte", at.to_string())],
        }
    }
}

impl UserId {
    /// Checks a user id.
    ///
    /// # Errors
    /// The first rule that `text` breaks.
    ///
    /// # Examples
    /// ```
    /// use whimbrel::model::{UserId, UserIdError};
    ///
    /// // Case matters. The ids of all identity providers are valid.
    /// assert_ne!(UserId::parse("Alice"), UserId::parse("alice"));
    /// assert!(UserId::parse("did:plc:ewvi7nxzyoun6zhxrhs64oiz").is_ok());
    ///
    /// // An @ before a name in a text is not part of the name.
    /// assert_eq!(UserId::parse("@alice"), Err(UserIdError::BadCharacter { at: 0 }));
    /// assert_eq!(UserId::parse("..."), Err(UserIdError::NoLetter));
    /// ```
    pub fn parse(text: &str) -> Result<Self, UserIdError> {
        if text.is_empty() {
            return Err(UserIdError::Empty);
        }
        if text.len() > USER_ID_BYTES_MAX {
            return Err(UserIdError::TooLong { bytes: text.len() });
        }
        let allowed = |at: usize, byte: u8| {
            byte.is_ascii_alphanumeric()
                || MARKS.as_bytes().contains(&byte) && byte != b' ' && (at > 0 || byte != b'@')
        };
        if let Some((at, _)) = text.bytes().enumerate().find(|&(at, byte)| !allowed(at, byte)) {
            return Err(UserIdError::BadCharacter { at });
        }
        if !text.bytes().any(|byte| byte.is_ascii_alphanumeric()) {
            return Err(UserIdError::NoLetter);
        }
        Ok(Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for UserId {
    fn borrow(&self) -> &str {
        &self.0
    }
}
