//! The RPCs that list users, and those that list posts. They differ only in the list. Never sorts
//! or filters.

use tonic::Status;

use super::context::ServiceContext;
use super::listing::{Listing, PageFields};
use super::{convert, post_id, status, v1, v1_server};
use crate::query::{ListPosts, ListUsers, PostList, UserList};

/// The fields of a page of users. Every RPC has a message of its own with just these.
#[derive(Debug)]
pub(super) struct UserPage {
    users: Vec<v1::ListedUser>,
    next_page_token: String,
    cursor: String,
}

/// As [`UserPage`], of posts.
#[derive(Debug)]
pub(super) struct PostPage {
    posts: Vec<v1_server::PostView>,
    next_page_token: String,
    cursor: String,
}

pub(super) async fn users(
    context: &ServiceContext,
    fields: PageFields<'_>,
    list: UserList,
) -> Result<UserPage, Status> {
    let (rpc, of) = match &list {
        UserList::Likes(post) => ("ListLikes", post_id::text(*post, &context.epochs)),
        UserList::Reposts(post) => ("ListReposts", post_id::text(*post, &context.epochs)),
        UserList::Followers(user) => ("ListFollowers", user.to_string()),
        UserList::Following(user) => ("ListFollowing", user.to_string()),
        UserList::Blocks => ("ListBlocks", String::new()),
        UserList::Mutes => ("ListMutes", String::new()),
    };
    let listing = Listing::open(context, rpc, &[&of], fields).await?;
    let (viewer, items_max, position) = listing.query();
    let query = ListUsers { viewer, list, items_max, position };
    let page = context
        .engine
        .ask(query)
        .await
        .map_err(|error| status::from_query(error, &context.epochs))?;
    Ok(UserPage {
        users: page.items.iter().map(convert::listed_user).collect(),
        next_page_token: listing.next_page_token(page.next),
        cursor: listing.cursor(page.at),
    })
}

pub(super) async fn posts(
    context: &ServiceContext,
    fields: PageFields<'_>,
    list: PostList,
) -> Result<PostPage, Status> {
    let (rpc, of) = match &list {
        PostList::Replies(post) => ("ListReplies", post_id::text(*post, &context.epochs)),
        PostList::Quotes(post) => ("ListQuotes", post_id::text(*post, &context.epochs)),
    };
    let listing = Listing::open(context, rpc, &[&of], fields).await?;
    let (viewer, items_max, position) = listing.query();
    let query = ListPosts { viewer, list, items_max, position };
    let page = context
        .engine
        .ask(query)
        .await
        .map_err(|error| status::from_query(error, &context.epochs))?;
    Ok(PostPage {
        posts: page.items.iter().map(|post| convert::post_view(post, &context.epochs)).collect(),
        next_page_token: listing.next_page_token(page.next),
        cursor: listing.cursor(page.at),
    })
}

/// Converts a page into each of the messages.
macro_rules! responses {
    ($page:ident { $items:ident }: $($response:path),*) => {
        $(impl From<$page> for $response {
            fn from(page: $page) -> Self {
                let $page { $items, next_page_token, cursor } = page;
                Self { $items, next_page_token, cursor }
            }
        })*
    };
}

responses!(
    UserPage { users }: v1::ListLikesResponse, v1::ListRepostsResponse, v1::ListFollowersResponse,
    v1::ListFollowingResponse, v1::ListBlocksResponse, v1::ListMutesResponse
);
responses!(
    PostPage { posts }: v1_server::ListRepliesResponse, v1_server::ListQuotesResponse
);
