//! The feed service: follow, publish, read the feed, watch it live. Never decides what a feed
//! shows.

mod news_feed;
mod publish;
mod watch_feed;

use tonic::{Request, Response, Status};

use super::context::ServiceContext;
use super::v1_server::feed_service_server::FeedService;
use super::{caller, changes, v1, v1_server};
use crate::model::Relation;

#[derive(Debug)]
pub(super) struct FeedRpcs(pub(super) ServiceContext);

#[tonic::async_trait]
impl FeedService for FeedRpcs {
    async fn follow(
        &self,
        request: Request<v1::FollowRequest>,
    ) -> Result<Response<v1::FollowResponse>, Status> {
        let request = caller::open_as(&self.0, request).await?;
        self.0.quotas.follow(&request.0)?;
        let users = |it: v1::FollowRequest| (it.user_id, it.followee_id);
        changes::between_users(&self.0, request, (Relation::Follow, true), "followee_id", users)
            .await
    }

    async fn unfollow(
        &self,
        request: Request<v1::UnfollowRequest>,
    ) -> Result<Response<v1::UnfollowResponse>, Status> {
        let request = caller::open_as(&self.0, request).await?;
        let users = |it: v1::UnfollowRequest| (it.user_id, it.followee_id);
        changes::between_users(&self.0, request, (Relation::Follow, false), "followee_id", users)
            .await
    }

    async fn publish(
        &self,
        request: Request<v1::PublishRequest>,
    ) -> Result<Response<v1_server::PublishResponse>, Status> {
        let (caller, request) = caller::open_as(&self.0, request).await?;
        Ok(Response::new(publish::handle(&self.0, &caller, request).await?))
    }

    async fn news_feed(
        &self,
        request: Request<v1::NewsFeedRequest>,
    ) -> Result<Response<v1_server::NewsFeedResponse>, Status> {
        Ok(Response::new(news_feed::handle(&self.0, caller::open(&self.0, request).await?).await?))
    }

    type WatchFeedStream = watch_feed::FeedMessages;

    async fn watch_feed(
        &self,
        request: Request<v1::WatchFeedRequest>,
    ) -> Result<Response<Self::WatchFeedStream>, Status> {
        let (request, ends) = caller::open_stream(&self.0, request).await?;
        Ok(Response::new(watch_feed::handle(&self.0, request, ends)?))
    }
}
