//! Reading a thread.

use super::{Engine, Error};
use crate::model::{PostId, UserId};
use crate::query;
use crate::query::Thread;

/// Which thread, and how much of it.
#[derive(Clone, Debug)]
pub struct ThreadQuery {
    /// Who reads it.
    pub viewer: UserId,
    /// The post that is asked for.
    pub post: PostId,
    /// Of the answers to the post itself only those after this one are listed, if it is given.
    pub after: Option<PostId>,
    /// How deep answers are followed, in answers; no deeper than the limit.
    pub depth_max: usize,
    /// How many answers at most; no more than the limit.
    pub replies_max: usize,
}

impl Engine {
    /// What a post answers, and what answers it. The post may itself be a gap.
    ///
    /// # Errors
    /// [`Error::PostNotFound`] if there never was such a post; or the log or the index cannot be
    /// read.
    pub async fn thread(&self, query: ThreadQuery) -> Result<Thread, Error> {
        let ThreadQuery { viewer, post, after, depth_max, replies_max } = query;
        let limits = self.0.hub.limits();
        let query = query::ThreadQuery {
            viewer,
            post,
            after,
            depth_max: depth_max.min(limits.thread_depth_max),
            replies_max: replies_max.min(limits.thread_replies_max),
            ancestors_max: limits.thread_ancestors_max,
            looks_max: limits.thread_scan_replies_max,
            bytes_max: limits.thread_bytes_max,
        };
        let thread = self.0.view.read(move |view| Ok::<_, Error>(view.thread(&query)?)).await?;
        thread.ok_or(Error::PostNotFound { post })
    }
}
