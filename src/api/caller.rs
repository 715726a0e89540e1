//! The caller of a request: for whom it is made, and until when it may be answered. Never decides
//! who a caller is.
//!
//! Every RPC opens its request here, so that none acts for a user that its caller may not act for.

use std::pin::Pin;
use std::task::{Context, Poll};

use tonic::{Request, Status};

use super::Closer;
use super::context::ServiceContext;
use super::status;
use crate::auth::{Auth, Caller, EndCause};
use crate::runtime::TokenWait;

/// A request, and the fields in it that all requests share. Generated for every request.
pub trait RequestFields {
    /// The path of its RPC.
    const PATH: &'static str;

    /// For whom it is made; `None` if the RPC is not made for a user.
    fn user_field(&mut self) -> Option<&mut String>;

    /// The cursor of the position that a read is to show; `None` if it is no such read.
    fn at_least_field(&mut self) -> Option<&mut String>;

    /// Calls `each` with what names a position of the log: cursors, page tokens, ids of posts.
    fn positions(&self, each: &mut dyn FnMut(&str));
}

/// An answer, and the field in it that many share. Generated for every answer.
pub trait ResponseFields {
    /// The position that it shows, or that its change has; empty if it says none.
    fn cursor(&self) -> &str;
}

include!(concat!(env!("OUT_DIR"), "/shared_fields.rs"));

/// The request of a call. If its caller is one user and it names none, it is that user's.
///
/// # Errors
/// Its caller may not act for the user that it names; or this server has not what it names, in time.
pub(super) async fn open<R: RequestFields>(
    context: &ServiceContext,
    request: Request<R>,
) -> Result<R, Status> {
    open_as(context, request).await.map(|(_, request)| request)
}

/// As [`open()`], with the caller.
///
/// # Panics
/// The call was not authenticated.
pub(super) async fn open_as<R: RequestFields>(
    context: &ServiceContext,
    request: Request<R>,
) -> Result<(Caller, R), Status> {
    let (_, mut extensions, mut request) = request.into_parts();
    let Some(caller) = extensions.remove::<Caller>() else {
        unreachable!("every call of these services is authenticated")
    };
    if let Some(user) = request.user_field() {
        caller.act_for(user).map_err(status::from_refusal)?;
    }
    context.has_positions_of(&request).await?;
    Ok((caller, request))
}

/// What ends the stream of a call, apart from the stream itself.
#[derive(Debug)]
pub(super) struct StreamEnds {
    /// Ends the connection; `None` in tests without one.
    pub(super) closer: Option<Closer>,
    /// Ends the caller; `None` if the server does not ask who calls.
    pub(super) caller: Option<CallerEnd>,
}

/// As [`open()`], for a call that is answered with a stream.
pub(super) async fn open_stream<R: RequestFields>(
    context: &ServiceContext,
    request: Request<R>,
) -> Result<(R, StreamEnds), Status> {
    let closer = request.extensions().get::<Closer>().cloned();
    let (caller, request) = open_as(context, request).await?;
    let caller = context.auth.as_ref().map(|auth| CallerEnd::new(auth, caller));
    Ok((request, StreamEnds { closer, caller }))
}

/// The end of a stream's caller.
#[derive(Debug)]
pub(super) struct CallerEnd {
    caller: Caller,
    wait: Pin<Box<TokenWait>>,
}

impl CallerEnd {
    fn new(auth: &Auth, caller: Caller) -> Self {
        let wait = TokenWait::new(caller.ended().clone());
        auth.watch_end(&caller);
        Self { caller, wait }
    }

    /// Why the caller has ended; `None` while it has not.
    pub(super) fn cause(&self) -> Option<EndCause> {
        self.caller.ended_by()
    }

    /// Wakes the task when the caller ends.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.wait.as_mut().poll_cancelled(cx)
    }
}
