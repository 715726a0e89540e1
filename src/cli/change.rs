//! The verbs that set or end a relation: each makes one call and prints one line about the result.
//! Never lists anything.

use clap::Args;
use prost::{Message, Name};

use super::json::{JsonLine, ProtoJson};
use super::{Error, Output, ServerArgs};
use crate::api::v1;
use crate::client::{self, Client};

/// The arguments of a change between two users.
#[derive(Args, Debug)]
pub(super) struct OnUserArgs {
    /// The acting user.
    #[arg(value_name = "USER")]
    pub(super) user_id: String,
    /// The other user.
    #[arg(value_name = "OTHER")]
    pub(super) other_id: String,
    #[command(flatten)]
    pub(super) server: ServerArgs,
}

/// The arguments of a change between a user and a post.
#[derive(Args, Debug)]
pub(super) struct OnPostArgs {
    /// The acting user.
    #[arg(value_name = "USER")]
    pub(super) user_id: String,
    /// The post.
    #[arg(value_name = "POST")]
    pub(super) post_id: String,
    #[command(flatten)]
    pub(super) server: ServerArgs,
}

/// The response to a change.
pub(super) trait ChangeResult: Message + Name {
    /// Whether this call changed anything.
    fn changed(&self) -> bool;
    /// The revision of the change; 0 if there was nothing to end.
    fn revision(&self) -> u64;
}

/// The predicates of the line about a change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Predicates {
    /// If this call made the change.
    pub(super) changed: &'static str,
    /// If nothing changed.
    pub(super) unchanged: &'static str,
}

impl Predicates {
    pub(super) const fn new(changed: &'static str, unchanged: &'static str) -> Self {
        Self { changed, unchanged }
    }
}

/// Makes the call, with retries, and prints the line `subject` predicate `object`.
pub(super) async fn call_and_report<R, F>(
    output: &Output,
    server: &ServerArgs,
    call: impl Fn(Client) -> F,
    (subject, predicates, object): (&str, Predicates, &str),
) -> Result<(), Error>
where
    R: ChangeResult,
    F: Future<Output = Result<R, client::Error>>,
{
    let result = server.call(call).await?;
    output.print(
        || {
            let Predicates { changed, unchanged } = predicates;
            let predicate = if result.changed() { changed } else { unchanged };
            let line = format!("{subject} {predicate} {object}");
            match result.revision() {
                0 => line,
                revision => format!("{line} (revision {revision})"),
            }
        },
        || JsonLine("response", ProtoJson(&result)),
    )
}

/// Calls [`call_and_report`] with a clone of the request for each try.
macro_rules! change {
    ($output:expr, $server:expr, $method:ident($request:expr), $sentence:expr) => {{
        let request = $request;
        let call = |client: $crate::client::Client| {
            let request = request.clone();
            async move { client.$method(request).await }
        };
        $crate::cli::change::call_and_report($output, $server, call, $sentence).await
    }};
}
pub(super) use change;

/// Implements [`ChangeResult`] for each of the responses.
macro_rules! responses {
    ($($response:ident),*) => {
        $(impl ChangeResult for v1::$response {
            fn changed(&self) -> bool {
                self.changed
            }

            fn revision(&self) -> u64 {
                self.revision
            }
        })*
    };
}

responses!(
    FollowResponse,
    UnfollowResponse,
    DeletePostResponse,
    LikeResponse,
    UnlikeResponse,
    RepostResponse,
    UnrepostResponse,
    BlockResponse,
    UnblockResponse,
    MuteResponse,
    UnmuteResponse,
    MarkNotificationsSeenResponse
);
