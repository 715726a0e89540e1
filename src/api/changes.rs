//! The RPCs that make something so, or end it. All say the same: whether this call did, and since
//! when it is so.

use tonic::Status;

use super::calls::Calls;
use super::{fields, status, token, v1};
use crate::engine::{Changed, EdgeKind, ReactionKind};

/// What is answered to a change. Every RPC has a message of its own with just this in it.
#[derive(Debug)]
pub(super) struct Said {
    changed: bool,
    revision: u64,
    cursor: String,
}

/// Changes what is between two users. `other` is the name of its field, and what it says.
pub(super) async fn edge(
    calls: &Calls,
    kind: EdgeKind,
    user_id: &str,
    other: (&'static str, &str),
) -> Result<Said, Status> {
    let user = fields::user_id("user_id", user_id)?;
    let (field, other) = other;
    let other = fields::user_id(field, other)?;
    let changed = calls.engine.change_edge(kind, user, other).await;
    changed.map(Said::from).map_err(|error| status::of_engine_on(field, error))
}

/// Changes what is between a user and a post.
pub(super) async fn reaction(
    calls: &Calls,
    kind: ReactionKind,
    user_id: &str,
    post_id: &str,
) -> Result<Said, Status> {
    let user = fields::user_id("user_id", user_id)?;
    let post = fields::post_id("post_id", post_id)?;
    let changed = calls.engine.react(kind, user, post).await;
    changed.map(Said::from).map_err(status::of_engine)
}

impl From<Changed> for Said {
    fn from(changed: Changed) -> Self {
        let Changed { changed, revision, cursor } = changed;
        Self { changed, revision: revision.get(), cursor: token::encode_cursor(&cursor) }
    }
}

/// Makes [`Said`] into each of the responses.
macro_rules! responses {
    ($($response:ident),*) => {
        $(impl From<Said> for v1::$response {
            fn from(said: Said) -> Self {
                let Said { changed, revision, cursor } = said;
                Self { changed, revision, cursor }
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
