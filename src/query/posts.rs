//! Posts by their ids, and the lists of the posts that reply to or quote one.

use std::sync::Arc;

use super::hydrate::{self, Viewer};
use super::results::{Page, PagePosition, PostList, PostView};
use super::{Error, Query, Source, Unanswered, page};
use crate::model::{Post, PostId, UserId};
use crate::state::TimelineEvent;
use crate::state::records::record::{Position, Subject, Table, Value};

/// Those of some posts that the viewer sees, in the order of the ids. Deleted posts, and those of
/// users whom the viewer does not see, are left out.
#[derive(Clone, Debug)]
pub struct GetPosts {
    /// Who reads.
    pub viewer: UserId,
    /// The posts.
    pub ids: Vec<PostId>,
}

/// A page of the posts that reply to or quote one, newest first, without those that were deleted or
/// that the viewer does not see.
///
/// Fails with [`Error::PostNotFound`], also if the viewer does not see the post; and if the position
/// is not of this log.
#[derive(Clone, Debug)]
pub struct ListPosts {
    /// Who reads.
    pub viewer: UserId,
    /// The list.
    pub list: PostList,
    /// How many items at most.
    pub items_max: usize,
    /// Where the page begins; `None` for the newest.
    pub position: Option<PagePosition>,
}

impl Query for GetPosts {
    type Answer = Vec<PostView>;

    fn answer(&self, source: &Source<'_>) -> Result<Vec<PostView>, Unanswered> {
        let viewer = hydrate::viewer(source.state, &self.viewer);
        let revisions = self.ids.iter().map(|id| id.revision());
        let revisions: Vec<_> =
            revisions.filter(|&revision| source.state.has_applied(revision)).collect();
        let posts = source.events_left(&revisions)?.into_iter().filter_map(seen_by(source, viewer));
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
            let listed = page::take(source, rows, self.items_max, |revision, author: Value| {
                is_seen(source, viewer, revision.into(), author)
                    .then_some(PostId::from_revision(revision))
            })?;
            // Without one of them the page would be short.
            if let Some(posts) = source.all_posts(&listed.items)? {
                return Ok(page::page(hydrate::views(source, viewer, posts)?, listed.next, at));
            }
        }
    }
}

/// Checks that there is a post and that `viewer` sees it.
///
/// # Errors
/// [`Error::PostNotFound`]; it is not in memory; or the log cannot be read.
pub(super) fn check_seen(
    source: &Source<'_>,
    viewer: &UserId,
    post: PostId,
) -> Result<(), Unanswered> {
    let viewer = hydrate::viewer(source.state, viewer);
    let is_seen = source.state.has_applied(post.revision())
        && source.events_left(&[post.revision()])?.into_iter().any(|event| {
            let post = seen_by(source, viewer)(event);
            post.is_some()
        });
    if is_seen { Ok(()) } else { Err(Error::PostNotFound { post }.into()) }
}

/// The post, if the event is one that `viewer` sees.
fn seen_by(
    source: &Source<'_>,
    viewer: Viewer<'_>,
) -> impl Fn(Option<TimelineEvent>) -> Option<Arc<Post>> {
    move |event| match event {
        Some(TimelineEvent::Post(post)) if viewer.sees_post(source.state, &post) => Some(post),
        _ => None,
    }
}

/// Whether a listed post was not deleted and `viewer` sees its author.
fn is_seen(source: &Source<'_>, viewer: Viewer<'_>, post: Position, author: Value) -> bool {
    !source.state.is_retracted(post.revision()) && viewer.sees(author.user())
}
