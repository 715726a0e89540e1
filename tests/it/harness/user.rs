//! A user who calls a server.
//!
//! `publishes` and its like must succeed; `tries_to_publish` and its like return the result.

use tonic::Status;
use tonic::transport::Channel;
use whimbrel::api::v1::StreamSnapshot;
use whimbrel::api::v1::feed_service_client::FeedServiceClient;
use whimbrel::api::v1::watch_feed_request::Start;
use whimbrel::api::v1::{
    FollowRequest, FollowResponse, NewsFeedRequest, NewsFeedResponse, Post, PublishRequest,
    PublishResponse, UnfollowRequest, UnfollowResponse, WatchFeedRequest,
};

use super::pages::Feed;
use super::patience::within;
use super::watching::Watching;

/// A user, and their channel to a server.
#[derive(Clone, Debug)]
pub(crate) struct User {
    name: String,
    client: FeedServiceClient<Channel>,
}

impl User {
    pub(crate) fn new(name: &str, channel: Channel) -> Self {
        Self { name: name.to_owned(), client: FeedServiceClient::new(channel) }
    }

    pub(crate) async fn follows(&self, followee: &str) -> FollowResponse {
        self.tries_to_follow(followee).await.expect("the follow succeeds")
    }

    pub(crate) async fn unfollows(&self, followee: &str) -> UnfollowResponse {
        self.tries_to_unfollow(followee).await.expect("the unfollow succeeds")
    }

    /// Publishes without a request id.
    pub(crate) async fn publishes(&self, text: &str) -> Post {
        let response = self.tries_to_publish(text, "").await.expect("the post is published");
        response.post.expect("the answer has the post")
    }

    /// Publishes `count` posts: `prefix` followed by a number from 1.
    pub(crate) async fn publishes_many(&self, prefix: &str, count: usize) {
        for number in 1..=count {
            self.publishes(&format!("{prefix}{number}")).await;
        }
    }

    /// Publishes with a request id.
    pub(crate) async fn publishes_once(&self, text: &str, request_id: &str) -> PublishResponse {
        self.tries_to_publish(text, request_id).await.expect("the post is published")
    }

    /// The whole feed, read page by page.
    pub(crate) async fn feed(&self) -> Feed {
        self.feed_in_pages_of(0).await
    }

    /// The whole feed, read in pages of this size.
    pub(crate) async fn feed_in_pages_of(&self, page_size: i32) -> Feed {
        let mut feed = Feed::of(self.page(page_size, "").await);
        while let Some(token) = feed.next_page_token() {
            feed.append(self.page(page_size, &token).await);
        }
        feed
    }

    /// One page of the feed.
    pub(crate) async fn page(&self, page_size: i32, page_token: &str) -> NewsFeedResponse {
        let page_token = page_token.to_owned();
        let request = NewsFeedRequest { page_size, page_token, ..Default::default() };
        self.tries_to_read(request).await.expect("the page is read")
    }

    /// Watches from now.
    pub(crate) async fn watches(&self) -> Watching {
        self.watches_as(WatchFeedRequest::default()).await
    }

    /// Watches after a cursor.
    pub(crate) async fn watches_after(&self, cursor: &str) -> Watching {
        let start = Some(Start::AfterCursor(cursor.to_owned()));
        self.watches_as(WatchFeedRequest { start, ..Default::default() }).await
    }

    /// Watches, starting with a snapshot of the newest items.
    pub(crate) async fn watches_with_snapshot(&self, limit: i32) -> Watching {
        let start = Some(Start::Snapshot(StreamSnapshot { limit }));
        self.watches_as(WatchFeedRequest { start, ..Default::default() }).await
    }

    /// Watches by `request`. Its user is filled in.
    pub(crate) async fn watches_as(&self, request: WatchFeedRequest) -> Watching {
        self.tries_to_watch(request).await.expect("the stream is opened")
    }

    pub(crate) async fn tries_to_follow(&self, followee: &str) -> Result<FollowResponse, Status> {
        let request =
            FollowRequest { user_id: self.name.clone(), followee_id: followee.to_owned() };
        answered("Follow", self.client.clone().follow(request)).await
    }

    pub(crate) async fn tries_to_unfollow(
        &self,
        followee: &str,
    ) -> Result<UnfollowResponse, Status> {
        let request =
            UnfollowRequest { user_id: self.name.clone(), followee_id: followee.to_owned() };
        answered("Unfollow", self.client.clone().unfollow(request)).await
    }

    pub(crate) async fn tries_to_publish(
        &self,
        text: &str,
        request_id: &str,
    ) -> Result<PublishResponse, Status> {
        let request = PublishRequest {
            user_id: self.name.clone(),
            text: text.to_owned(),
            request_id: request_id.to_owned(),
            ..PublishRequest::default()
        };
        answered("Publish", self.client.clone().publish(request)).await
    }

    /// Reads by `request`. Its user is filled in.
    pub(crate) async fn tries_to_read(
        &self,
        request: NewsFeedRequest,
    ) -> Result<NewsFeedResponse, Status> {
        let request = NewsFeedRequest { user_id: self.name.clone(), ..request };
        answered("NewsFeed", self.client.clone().news_feed(request)).await
    }

    /// Watches by `request`. Its user is filled in.
    pub(crate) async fn tries_to_watch(
        &self,
        request: WatchFeedRequest,
    ) -> Result<Watching, Status> {
        let request = WatchFeedRequest { user_id: self.name.clone(), ..request };
        Ok(Watching::new(answered("WatchFeed", self.client.clone().watch_feed(request)).await?))
    }
}

async fn answered<T>(
    rpc: &str,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Status> {
    // Boxed, as the future of a call is large.
    within(&format!("an answer to {rpc}"), Box::pin(call)).await.map(tonic::Response::into_inner)
}
