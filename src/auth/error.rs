//! Why a call is refused before it begins. Never has a token, or a part of one that is a secret.

use crate::auth::Role;
use crate::model::{UserId, UserIdError};

/// Why a call is refused: its caller is not known, or may not make it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no token, and this call needs one.
    #[error(
        "this call needs a token: send the header `authorization: Bearer …` with a token of an \
         identity provider that this server trusts, or with an API key"
    )]
    NoToken,
    /// The header is not `Bearer` and a token.
    #[error("the header authorization must be `Bearer`, a space and a token, once")]
    Header,
    /// The token is longer than any that is accepted.
    #[error("the token is {bytes} bytes long: at most {bytes_max} are accepted")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The most that is accepted.
        bytes_max: usize,
    },
    /// The token is neither a signed JSON Web Token nor an API key.
    #[error("the token is neither a signed JSON Web Token (JWS) nor an API key of this server")]
    Malformed,
    /// The issuer of the token is not configured.
    #[error("this server does not trust the token's issuer (claim iss)")]
    Issuer,
    /// No key of the issuer has the id that the token names.
    #[error(
        "the issuer has no such key as the token names (kid and alg): get a new token; if its keys \
         have just changed, try again in a moment"
    )]
    UnknownKey,
    /// The issuer's keys were never fetched.
    #[error(
        "this server could not fetch the keys of the token's issuer yet: try again in a moment"
    )]
    NoKeys,
    /// The signature is wrong.
    #[error("the token's signature is not valid")]
    Signature,
    /// A claim is missing or not acceptable.
    #[error(
        "the token's claim {claim} is missing, of the wrong type, or not what this server takes"
    )]
    Claim {
        /// Its name.
        claim: String,
    },
    /// The token is not valid any more.
    #[error("the token has expired: get a new one")]
    Expired,
    /// The token is not valid yet.
    #[error("the token is not valid yet (claim nbf): one of the two clocks is wrong")]
    NotYetValid,
    /// The claim with the user is no user id.
    #[error("the token's claim {claim} is no user id: it {problem}")]
    User {
        /// The claim.
        claim: String,
        /// What is wrong with it.
        problem: UserIdError,
    },
    /// The token gives no role.
    #[error("the token gives its bearer no role on this server")]
    NoRole,
    /// No API key has this id, or its secret is another.
    #[error("there is no such API key: it was mistyped or deleted, or it is of another server")]
    NoSuchKey,
    /// The API key is revoked, or the key that the token is signed with.
    #[error("the API key, or the key that the token is signed with, is revoked: get a new one")]
    Revoked,
    /// The API key has expired.
    #[error("the API key has expired: ask the operator for a new one")]
    KeyExpired,
    /// The server's clock is out of range, so no expiry can be checked.
    #[error("this server's clock is wrong, so it cannot tell whether a token has expired")]
    Clock,
    /// The caller's role may not call this RPC.
    #[error("a caller with the role {role} may not call this RPC")]
    Role {
        /// The role.
        role: Role,
    },
    /// The caller is one user and names another.
    #[error("you are {own}, and act and read as yourself only: leave the user's field out")]
    OtherUser {
        /// Who the caller is.
        own: UserId,
    },
}
