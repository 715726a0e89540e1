//! Posts by their ids, and pages of the replies to a post or its quotes. Never has a deleted post,
//! or one whose author the viewer does not see.

use std::sync::Arc;

use super::hydrate::{self, Viewer};
use super::results::{Page, PagePosition, PostList, PostView};
use super::{Error, Query, Source, Unanswered, page};
use crate::model::{Post, PostId, UserId};
use crate::state::TimelineEvent;
use crate::state::records::record::{Position, Subject, Table, Value};

/// Posts by their ids, in the order of the ids, without those that the viewer does not see.
#[derive(Clone, Debug)]
pub struct GetPosts {
    /// The user who reads.
    pub viewer: UserId,
    /// The requested posts.
    pub ids: Vec<PostId>,
}

/// A page of the replies to a post or its quotes, newest first.
///
/// Fails with [`Error::PostNotFound`], also if the viewer does not see the post; and if the
/// position is not of this log.
#[derive(Clone, Debug)]
pub struct ListPosts {
    /// The user who reads.
    pub viewer: UserId,
    /// The list to read.
    pub list: PostList,
    /// The maximum number of items.
    pub items_max: usize,
    /// The start of the page; `None` for the newest.
    pub position: Option<PagePosition>,
}

impl Query for GetPosts {
    type Answer = Vec<PostView>;

    fn answer(&self, source: &Source<'_>) -> Result<Vec<PostView>, Unanswered> {
        let viewer = hydrate::viewer(source.state, &self.viewer);
        let revisions = self.ids.iter().map(|id| id.revision());
        let revisions: Vec<_> =
            revisions.filter(|&revision| source.state.has_applied(revision)).collect();
        let posts =
            source.existing_events(&revisions)?.into_iter().filter_map(seen_by(source, viewer));
        hydrate::views(source, viewer, posts.collect())
    }
}

impl Query for ListPosts {
    type Answer = Page<PostView>;

    fn answer(&self, source: &Source<'_>) -> Result<Page<PostView>, Unanswered> {
        source.check_position(self.position)?;
        let (post, table) = match self.list {
            PostList::Replies(post) => (post, Table::Replies),
            PostList::Quotes(post) => (post, Table::Quotes),
        };
        check_seen(source, &self.viewer, post)?;
        let about: (Table, Subject) = (table, post.into());
        let (at, before) = page::bounds(source.state, self.position);
        loop {
            let viewer = hydrate::viewer(source.state, &self.viewer);
            let rows = page::newest_first(source, about, before, self.items_max);
            let rows = rows.map(page::by_revision);
            let listed = page::collect(source, rows, self.items_max, |revision, author: Value| {
                is_seen(source, viewer, revision.into(), author)
                    .then_some(PostId::from_revision(revision))
            })?;
            // Read again if a post was deleted meanwhile, because the page would be short.
            if let Some(posts) = source.all_posts(&listed.items)? {
                return Ok(page::page(hydrate::views(source, viewer, posts)?, listed.next, at));
            }
        }
    }
}

/// Checks that the post exists and `viewer` sees it.
///
/// # Errors
/// [`Error::PostNotFound`]; the post is not in memory; or the log cannot be read.
pub(super) fn check_seen(
    source: &Source<'_>,
    viewer: &UserId,
    post: PostId,
) -> Result<(), Unanswered> {
    let viewer = hydrate::viewer(source.state, viewer);
    let is_seen = source.state.has_applied(post.revision())
        && source.existing_events(&[post.revision()])?.into_iter().any(|event| {
            let post = seen_by(source, viewer)(event);
            post.is_some()
        });
    if is_seen { Ok(()) } else { Err(Error::PostNotFound { post }.into()) }
}

/// Returns the post of an event if `viewer` sees it.
fn seen_by(
    source: &Source<'_>,
    viewer: Viewer<'_>,
) -> impl Fn(Option<TimelineEvent>) -> Option<Arc<Post>> {
    move |event| match event {
        Some(TimelineEvent::Post(post)) if viewer.sees_post(source.state, &post) => Some(post),
        _ => None,
    }
}

/// Whether a listed post still exists and `viewer` sees its author.
fn is_seen(source: &Source<'_>, viewer: Viewer<'_>, post: Position, author: Value) -> bool {
    !source.state.is_retracted(post.revision()) && viewer.sees(author.user())
}
