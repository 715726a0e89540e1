//! Who makes a call, and for whom they may act. Never verifies anything.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::ends::EndCause;
use super::error::Refusal;
use crate::model::UserId;

/// What kind of caller somebody is, from the least rights to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads as one user, and changes nothing.
    UserReader,
    /// Reads and acts as one user.
    User,
    /// As [`Role::User`], and may moderate.
    Moderator,
    /// A backend that reads for every user, and changes nothing.
    ServiceReader,
    /// A backend that reads and acts for every user.
    Service,
    /// As [`Role::Service`], and may administer the server.
    Admin,
}

/// A text that names no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not a role: give one of {}", Role::ALL.map(Role::name).join(", "))]
pub struct UnknownRole {
    given: String,
}

impl Role {
    /// All roles, from the least rights to the most.
    pub const ALL: [Self; 6] = [
        Self::UserReader,
        Self::User,
        Self::Moderator,
        Self::ServiceReader,
        Self::Service,
        Self::Admin,
    ];

    /// Its name in settings and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UserReader => "user-reader",
            Self::User => "user",
            Self::Moderator => "moderator",
            Self::ServiceReader => "service-reader",
            Self::Service => "service",
            Self::Admin => "admin",
        }
    }

    /// Whether it acts as one user, and not for every user.
    #[must_use]
    pub fn is_one_user(self) -> bool {
        matches!(self, Self::UserReader | Self::User | Self::Moderator)
    }

    /// Whether it may change anything.
    #[must_use]
    pub fn may_change(self) -> bool {
        !matches!(self, Self::UserReader | Self::ServiceReader)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(given: &str) -> Result<Self, UnknownRole> {
        let role = Self::ALL.into_iter().find(|role| role.name() == given);
        role.ok_or_else(|| UnknownRole { given: given.to_owned() })
    }
}

/// Somebody who makes calls. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller(Arc<CallerParts>);

#[derive(Debug)]
pub(super) struct CallerParts {
    role: Role,
    /// The user that a caller of a role for one user is.
    user: Option<UserId>,
    source: Source,
    expires_at: Option<Duration>,
    since: Option<Duration>,
    ended_by: OnceLock<EndCause>,
    ended: CancellationToken,
}

/// What made the caller known. As long as it lasts, the caller does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// The server does not ask who calls.
    Nobody,
    /// A token of an issuer, signed with the key that has this fingerprint.
    Token { issuer: Arc<str>, subject: Arc<str>, key: [u8; 32] },
    /// The API key with this id.
    Key(Arc<str>),
    /// A client certificate with this name.
    Certificate(Arc<str>),
    /// Another node of the log.
    Node,
}

impl Caller {
    /// The caller of a server that does not ask who calls: it may do everything.
    #[must_use]
    pub fn unknown() -> Self {
        Self::new(Role::Admin, None, Source::Nobody, None)
    }

    /// Another node of the log, which has asked its caller who they are: it may do everything.
    #[must_use]
    pub fn node() -> Self {
        Self::new(Role::Admin, None, Source::Node, None)
    }

    /// Whether it is another node of the log.
    #[must_use]
    pub fn is_node(&self) -> bool {
        self.0.source == Source::Node
    }

    /// `expires_at` is a time since 1970.
    ///
    /// # Panics
    /// A role for one user without a user, or the reverse.
    pub(super) fn new(
        role: Role,
        user: Option<UserId>,
        source: Source,
        expires_at: Option<Duration>,
    ) -> Self {
        Self::since_time(role, user, source, expires_at, None)
    }

    /// As [`Caller::new`], with the time since 1970 at which the account was made.
    pub(super) fn since_time(
        role: Role,
        user: Option<UserId>,
        source: Source,
        expires_at: Option<Duration>,
        since: Option<Duration>,
    ) -> Self {
        assert_eq!(role.is_one_user(), user.is_some(), "only who is one user has a user");
        let (ended_by, ended) = (OnceLock::new(), CancellationToken::new());
        Self(Arc::new(CallerParts { role, user, source, expires_at, since, ended_by, ended }))
    }

    /// Its role.
    #[must_use]
    pub fn role(&self) -> Role {
        self.0.role
    }

    /// The user that it acts as; `None` if it acts for every user.
    #[must_use]
    pub fn user(&self) -> Option<&UserId> {
        self.0.user.as_ref()
    }

    /// Fills in the user for whom a call is made, if the field is empty and the caller is one user.
    ///
    /// # Errors
    /// The caller may not act for that user.
    pub fn act_for(&self, user: &mut String) -> Result<(), Refusal> {
        match &self.0.user {
            None => Ok(()),
            Some(own) if user.is_empty() => {
                own.as_str().clone_into(user);
                Ok(())
            }
            Some(own) if own.as_str() == user => Ok(()),
            Some(own) => Err(Refusal::OtherUser { own: own.clone() }),
        }
    }

    /// Is cancelled when the caller is none any more, once
    /// [`Auth::watch_end`](super::Auth::watch_end) watches for it.
    #[must_use]
    pub fn ended(&self) -> &CancellationToken {
        &self.0.ended
    }

    /// Why it is none any more; `None` while it is one.
    #[must_use]
    pub fn ended_by(&self) -> Option<EndCause> {
        self.0.ended_by.get().copied()
    }

    pub(super) fn end(&self, cause: EndCause) {
        // The first cause counts.
        let _ = self.0.ended_by.set(cause);
        self.0.ended.cancel();
    }

    pub(super) fn parts(&self) -> &Arc<CallerParts> {
        &self.0
    }

    pub(super) fn from_parts(parts: Arc<CallerParts>) -> Self {
        Self(parts)
    }

    pub(super) fn source(&self) -> &Source {
        &self.0.source
    }

    /// Why the caller is no caller any more at `now`, a time since 1970, by its expiry alone.
    pub(super) fn expired(&self, now: Duration) -> Option<EndCause> {
        self.0.expires_at.is_some_and(|at| at <= now).then_some(EndCause::Expired)
    }

    /// When it ends by itself, as the time since 1970.
    #[must_use]
    pub fn expires_at(&self) -> Option<Duration> {
        self.0.expires_at
    }

    /// When its account was made, as the time since 1970; `None` if the issuer does not say.
    #[must_use]
    pub fn since(&self) -> Option<Duration> {
        self.0.since
    }
}

impl fmt::Display for Caller {
    /// A name for people, without any secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0.user, &self.0.source) {
            (Some(user), _) => write!(f, "the user {user}"),
            (None, Source::Nobody) => write!(f, "an unknown caller"),
            (None, Source::Token { subject, issuer, .. }) => {
                write!(f, "{subject:?} of {issuer}")
            }
            (None, Source::Key(id)) => write!(f, "the API key {id}"),
            (None, Source::Certificate(name)) => write!(f, "the certificate {name}"),
            (None, Source::Node) => write!(f, "another node"),
        }
    }
}
