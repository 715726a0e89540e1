//! The RPCs that list users or posts: each differs only in which list it is.

use tonic::Status;

use super::calls::Calls;
use super::listing::{Asked, Listing};
use super::{convert, status, v1};
use crate::engine::{PostList, UserList};

/// A page of users. Every RPC has a message of its own with just this in it.
#[derive(Debug)]
pub(super) struct Users {
    users: Vec<v1::ListedUser>,
    next_page_token: String,
    cursor: String,
}

/// As [`Users`], of posts.
#[derive(Debug)]
pub(super) struct Posts {
    posts: Vec<v1::PostView>,
    next_page_token: String,
    cursor: String,
}

pub(super) async fn users(
    calls: &Calls,
    asked: Asked<'_>,
    list: UserList,
) -> Result<Users, Status> {
    let (rpc, of) = match &list {
        UserList::Likes(post) => ("ListLikes", post.to_string()),
        UserList::Reposts(post) => ("ListReposts", post.to_string()),
        UserList::Followers(user) => ("ListFollowers", user.to_string()),
        UserList::Following(user) => ("ListFollowing", user.to_string()),
        UserList::Blocks => ("ListBlocks", String::new()),
        UserList::Mutes => ("ListMutes", String::new()),
    };
    let listing = Listing::open(calls, rpc, &[&of], asked).await?;
    let (viewer, items_max, place) = listing.query();
    let page = calls.engine.users(viewer, list, items_max, place).await;
    let page = page.map_err(status::of_engine)?;
    Ok(Users {
        users: page.items.iter().map(convert::listed_user).collect(),
        next_page_token: listing.next_page_token(page.next),
        cursor: listing.cursor(page.at),
    })
}

pub(super) async fn posts(
    calls: &Calls,
    asked: Asked<'_>,
    list: PostList,
) -> Result<Posts, Status> {
    let (rpc, of) = match list {
        PostList::Replies(post) => ("ListReplies", post.to_string()),
        PostList::Quotes(post) => ("ListQuotes", post.to_string()),
    };
    let listing = Listing::open(calls, rpc, &[&of], asked).await?;
    let (viewer, items_max, place) = listing.query();
    let page = calls.engine.answers(viewer, list, items_max, place).await;
    let page = page.map_err(status::of_engine)?;
    Ok(Posts {
        posts: page.items.iter().map(convert::post_view).collect(),
        next_page_token: listing.next_page_token(page.next),
        cursor: listing.cursor(page.at),
    })
}

/// Makes a page into each of the responses.
macro_rules! responses {
    ($page:ident { $items:ident }: $($response:ident),*) => {
        $(impl From<$page> for v1::$response {
            fn from(page: $page) -> Self {
                let $page { $items, next_page_token, cursor } = page;
                Self { $items, next_page_token, cursor }
            }
        })*
    };
}

responses!(
    Users { users }: ListLikesResponse, ListRepostsResponse, ListFollowersResponse,
    ListFollowingResponse, ListBlocksResponse, ListMutesResponse
);
responses!(Posts { posts }: ListRepliesResponse, ListQuotesResponse);
