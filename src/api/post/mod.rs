//! The post service: posts and threads, likes and reposts. Publish is an RPC of the feed service.
//! Never decides what a user may do.

mod delete_post;
mod get_posts;
mod get_thread;
mod list_posts;

use tonic::{Request, Response, Status};

use super::context::ServiceContext;
use super::listing::page_fields;
use super::v1_server::post_service_server::PostService;
use super::{caller, changes, fields, lists, v1, v1_server};
use crate::model::Relation;
use crate::query::{PostList, UserList};

#[derive(Debug)]
pub(super) struct PostRpcs(pub(super) ServiceContext);

#[tonic::async_trait]
impl PostService for PostRpcs {
    async fn get_posts(
        &self,
        request: Request<v1::GetPostsRequest>,
    ) -> Result<Response<v1_server::GetPostsResponse>, Status> {
        Ok(Response::new(get_posts::handle(&self.0, caller::open(&self.0, request).await?).await?))
    }

    async fn delete_post(
        &self,
        request: Request<v1::DeletePostRequest>,
    ) -> Result<Response<v1::DeletePostResponse>, Status> {
        Ok(Response::new(
            delete_post::handle(&self.0, caller::open_as(&self.0, request).await?).await?,
        ))
    }

    async fn list_posts(
        &self,
        request: Request<v1::ListPostsRequest>,
    ) -> Result<Response<v1_server::ListPostsResponse>, Status> {
        Ok(Response::new(list_posts::handle(&self.0, caller::open(&self.0, request).await?).await?))
    }

    async fn get_thread(
        &self,
        request: Request<v1::GetThreadRequest>,
    ) -> Result<Response<v1_server::GetThreadResponse>, Status> {
        Ok(Response::new(get_thread::handle(&self.0, caller::open(&self.0, request).await?).await?))
    }

    async fn like(
        &self,
        request: Request<v1::LikeRequest>,
    ) -> Result<Response<v1::LikeResponse>, Status> {
        let request = caller::open_as(&self.0, request).await?;
        changes::to_post(&self.0, request, (Relation::Like, true), |it| (it.user_id, it.post_id))
            .await
    }

    async fn unlike(
        &self,
        request: Request<v1::UnlikeRequest>,
    ) -> Result<Response<v1::UnlikeResponse>, Status> {
        let request = caller::open_as(&self.0, request).await?;
        changes::to_post(&self.0, request, (Relation::Like, false), |it| (it.user_id, it.post_id))
            .await
    }

    async fn repost(
        &self,
        request: Request<v1::RepostRequest>,
    ) -> Result<Response<v1::RepostResponse>, Status> {
        let request = caller::open_as(&self.0, request).await?;
        changes::to_post(&self.0, request, (Relation::Repost, true), |it| (it.user_id, it.post_id))
            .await
    }

    async fn unrepost(
        &self,
        request: Request<v1::UnrepostRequest>,
    ) -> Result<Response<v1::UnrepostResponse>, Status> {
        let request = caller::open_as(&self.0, request).await?;
        changes::to_post(&self.0, request, (Relation::Repost, false), |it| (it.user_id, it.post_id))
            .await
    }

    async fn list_likes(
        &self,
        request: Request<v1::ListLikesRequest>,
    ) -> Result<Response<v1::ListLikesResponse>, Status> {
        let request = caller::open(&self.0, request).await?;
        let post = fields::post_id("post_id", &request.post_id, &self.0.epochs)?;
        let page = lists::users(&self.0, page_fields!(request), UserList::Likes(post)).await?;
        Ok(Response::new(page.into()))
    }

    async fn list_reposts(
        &self,
        request: Request<v1::ListRepostsRequest>,
    ) -> Result<Response<v1::ListRepostsResponse>, Status> {
        let request = caller::open(&self.0, request).await?;
        let post = fields::post_id("post_id", &request.post_id, &self.0.epochs)?;
        let page = lists::users(&self.0, page_fields!(request), UserList::Reposts(post)).await?;
        Ok(Response::new(page.into()))
    }

    async fn list_replies(
        &self,
        request: Request<v1::ListRepliesRequest>,
    ) -> Result<Response<v1_server::ListRepliesResponse>, Status> {
        let request = caller::open(&self.0, request).await?;
        let post = fields::post_id("post_id", &request.post_id, &self.0.epochs)?;
        let page = lists::posts(&self.0, page_fields!(request), PostList::Replies(post)).await?;
        Ok(Response::new(page.into()))
    }

    async fn list_quotes(
        &self,
        request: Request<v1::ListQuotesRequest>,
    ) -> Result<Response<v1_server::ListQuotesResponse>, Status> {
        let request = caller::open(&self.0, request).await?;
        let post = fields::post_id("post_id", &request.post_id, &self.0.epochs)?;
        let page = lists::posts(&self.0, page_fields!(request), PostList::Quotes(post)).await?;
        Ok(Response::new(page.into()))
    }
}
