//! The verbs that make something so, or end it: one call, one line about what came of it.

use clap::Args;
use prost::{Message, Name};

use super::json::{Line, Protobuf};
use super::{Error, Output, Target};
use crate::api::v1;
use crate::client::{self, Client};

/// Somebody, and somebody else.
#[derive(Args, Debug)]
pub(super) struct OnUser {
    /// Who acts.
    #[arg(value_name = "USER")]
    pub(super) user_id: String,
    /// On whom.
    #[arg(value_name = "OTHER")]
    pub(super) other_id: String,
    #[command(flatten)]
    pub(super) target: Target,
}

/// Somebody, and a post.
#[derive(Args, Debug)]
pub(super) struct OnPost {
    /// Who acts.
    #[arg(value_name = "USER")]
    pub(super) user_id: String,
    /// On which post.
    #[arg(value_name = "POST")]
    pub(super) post_id: String,
    #[command(flatten)]
    pub(super) target: Target,
}

/// What a change is answered with, whatever changed.
pub(super) trait Said: Message + Name {
    /// Whether this call made it so.
    fn changed(&self) -> bool;
    /// The change that made it so; 0 if there was nothing to change.
    fn revision(&self) -> u64;
}

/// How a change is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    /// This call made it so.
    pub(super) made: &'static str,
    /// It was so before.
    pub(super) found: &'static str,
}

impl Words {
    pub(super) const fn new(made: &'static str, found: &'static str) -> Self {
        Self { made, found }
    }
}

/// Makes the call until it is answered: `user`, the words, and `object` are the line that says so.
pub(super) async fn tell<A, F>(
    output: &Output,
    target: &Target,
    call: impl Fn(Client) -> F,
    (user, words, object): (&str, Words, &str),
) -> Result<(), Error>
where
    A: Said,
    F: Future<Output = Result<A, client::Error>>,
{
    let said = target.call(call).await?;
    output.print(
        || {
            let words = if said.changed() { words.made } else { words.found };
            let line = format!("{user} {words} {object}");
            // Nothing made it so where there was nothing to end.
            match said.revision() {
                0 => line,
                revision => format!("{line} (revision {revision})"),
            }
        },
        || Line("response", Protobuf(&said)),
    )
}

/// Calls [`tell`] with a request that is made anew for each try.
macro_rules! change {
    ($output:expr, $target:expr, $method:ident($request:expr), $told:expr) => {{
        let request = $request;
        let call = |client: $crate::client::Client| {
            let request = request.clone();
            async move { client.$method(request).await }
        };
        $crate::cli::change::tell($output, $target, call, $told).await
    }};
}
pub(super) use change;

/// Makes each of the responses [`Said`].
macro_rules! responses {
    ($($response:ident),*) => {
        $(impl Said for v1::$response {
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
