//! The RPCs that set or end a relation. All have the same response: whether this call changed
//! anything, and the revision of the change. Never decides whether a change is allowed.

use prost::Message;
use tonic::{Response, Status};

use super::caller::{RequestFields, ResponseFields};
use super::context::{Repeat, ServiceContext};
use super::{fields, status, token, v1, v1_server};
use crate::auth::Caller;
use crate::engine::Changed;
use crate::model::{Epochs, PostId, Relation, UserId};

/// The fields of the response to a change. Every RPC has a message of its own with just these.
#[derive(Debug)]
pub(super) struct ChangeResponse {
    changed: bool,
    revision: u64,
    cursor: String,
}

/// Sets or ends the relation between two users: that of the request, and the one in its field `field`. `users` are
/// both.
pub(super) async fn between_users<R, A>(
    context: &ServiceContext,
    (caller, request): (Caller, R),
    (relation, on): (fn(UserId, UserId) -> Relation, bool),
    field: &'static str,
    users: impl FnOnce(R) -> (String, String),
) -> Result<Response<A>, Status>
where
    R: RequestFields + Message + Clone + 'static,
    A: ResponseFields + Message + Default + From<ChangeResponse> + 'static,
{
    if let Some(answer) = context.forward(&caller, &request, Repeat::Unsafe).await? {
        return Ok(Response::new(answer));
    }
    let (user, other) = users(request);
    let user = fields::user_id("user_id", &user)?;
    let other = fields::user_id(field, &other)?;
    let changed = context.engine.set(relation(user, other), on).await;
    let changed = changed.map_err(|error| status::from_engine_on(field, error, &context.epochs))?;
    Ok(Response::new(ChangeResponse::new(changed, &context.epochs).into()))
}

/// Sets or ends the relation of a user to a post. `parts` are the two.
pub(super) async fn to_post<R, A>(
    context: &ServiceContext,
    (caller, request): (Caller, R),
    (relation, on): (fn(UserId, PostId) -> Relation, bool),
    parts: impl FnOnce(R) -> (String, String),
) -> Result<Response<A>, Status>
where
    R: RequestFields + Message + Clone + 'static,
    A: ResponseFields + Message + Default + From<ChangeResponse> + 'static,
{
    if let Some(answer) = context.forward(&caller, &request, Repeat::Unsafe).await? {
        return Ok(Response::new(answer));
    }
    let (user, post) = parts(request);
    let user = fields::user_id("user_id", &user)?;
    let post = fields::post_id("post_id", &post, &context.epochs)?;
    let changed = context.engine.set(relation(user, post), on).await;
    let changed = changed.map_err(|error| status::from_engine(error, &context.epochs))?;
    Ok(Response::new(ChangeResponse::new(changed, &context.epochs).into()))
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

impl ResponseFields for v1_server::PublishResponse {
    fn cursor(&self) -> &str {
        &self.cursor
    }
}
