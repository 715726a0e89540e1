//! The RPCs that set or end a relation. All have the same response: whether this call changed
//! anything, and the revision of the change. Never decides whether a change is allowed.

use tonic::Status;

use super::context::ServiceContext;
use super::{fields, status, token, v1};
use crate::engine::Changed;
use crate::model::{Epochs, PostId, Relation, UserId};

/// The fields of the response to a change. Every RPC has a message of its own with just these.
#[derive(Debug)]
pub(super) struct ChangeResponse {
    changed: bool,
    revision: u64,
    cursor: String,
}

/// Sets or ends the relation between two users. `other` is the name and the value of its field.
pub(super) async fn between_users(
    context: &ServiceContext,
    (relation, on): (fn(UserId, UserId) -> Relation, bool),
    user_id: &str,
    other: (&'static str, &str),
) -> Result<ChangeResponse, Status> {
    let user = fields::user_id("user_id", user_id)?;
    let (field, other) = other;
    let other = fields::user_id(field, other)?;
    let changed = context.engine.set(relation(user, other), on).await;
    let changed = changed.map_err(|error| status::from_engine_on(field, error, &context.epochs))?;
    Ok(ChangeResponse::new(changed, &context.epochs))
}

/// Sets or ends the relation of a user to a post.
pub(super) async fn to_post(
    context: &ServiceContext,
    (relation, on): (fn(UserId, PostId) -> Relation, bool),
    user_id: &str,
    post_id: &str,
) -> Result<ChangeResponse, Status> {
    let user = fields::user_id("user_id", user_id)?;
    let post = fields::post_id("post_id", post_id, &context.epochs)?;
    let changed = context.engine.set(relation(user, post), on).await;
    let changed = changed.map_err(|error| status::from_engine(error, &context.epochs))?;
    Ok(ChangeResponse::new(changed, &context.epochs))
}

impl ChangeResponse {
    pub(super) fn new(changed: Changed, epochs: &Epochs) -> Self {
        let Changed { changed, revision, cursor } = changed;
        let cursor = token::encode_cursor(&cursor, epochs);
        Self { changed, revision: revision.get(), cursor }
    }
}

/// Converts a [`ChangeResponse`] into each of the messages.
macro_rules! responses {
    ($($response:ident),*) => {
        $(impl From<ChangeResponse> for v1::$response {
            fn from(response: ChangeResponse) -> Self {
                let ChangeResponse { changed, revision, cursor } = response;
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
