//! The graph service: blocks, mutes, lists of users, relationships and profiles. Never decides what
//! a block hides.

mod get_profile;
mod get_relationships;

use tonic::{Request, Response, Status};

use super::context::ServiceContext;
use super::listing::page_fields;
use super::v1_server::graph_service_server::GraphService;
use super::{caller, changes, fields, lists, v1};
use crate::model::Relation;
use crate::query::UserList;

#[derive(Debug)]
pub(super) struct GraphRpcs(pub(super) ServiceContext);

#[tonic::async_trait]
impl GraphService for GraphRpcs {
    async fn block(
        &self,
        request: Request<v1::BlockRequest>,
    ) -> Result<Response<v1::BlockResponse>, Status> {
        let request = caller::open_as(&self.0, request).await?;
        let users = |it: v1::BlockRequest| (it.user_id, it.blocked_id);
        changes::between_users(&self.0, request, (Relation::Block, true), "blocked_id", users).await
    }

    async fn unblock(
        &self,
        request: Request<v1::UnblockRequest>,
    ) -> Result<Response<v1::UnblockResponse>, Status> {
        let request = caller::open_as(&self.0, request).await?;
        let users = |it: v1::UnblockRequest| (it.user_id, it.blocked_id);
        changes::between_users(&self.0, request, (Relation::Block, false), "blocked_id", users)
            .await
    }

    async fn mute(
        &self,
        request: Request<v1::MuteRequest>,
    ) -> Result<Response<v1::MuteResponse>, Status> {
        let request = caller::open_as(&self.0, request).await?;
        let users = |it: v1::MuteRequest| (it.user_id, it.muted_id);
        changes::between_users(&self.0, request, (Relation::Mute, true), "muted_id", users).await
    }

    async fn unmute(
        &self,
        request: Request<v1::UnmuteRequest>,
    ) -> Result<Response<v1::UnmuteResponse>, Status> {
        let request = caller::open_as(&self.0, request).await?;
        let users = |it: v1::UnmuteRequest| (it.user_id, it.muted_id);
        changes::between_users(&self.0, request, (Relation::Mute, false), "muted_id", users).await
    }

    async fn list_followers(
        &self,
        request: Request<v1::ListFollowersRequest>,
    ) -> Result<Response<v1::ListFollowersResponse>, Status> {
        let request = caller::open(&self.0, request).await?;
        let of = fields::user_id("of_user_id", &request.of_user_id)?;
        let page = lists::users(&self.0, page_fields!(request), UserList::Followers(of)).await?;
        Ok(Response::new(page.into()))
    }

    async fn list_following(
        &self,
        request: Request<v1::ListFollowingRequest>,
    ) -> Result<Response<v1::ListFollowingResponse>, Status> {
        let request = caller::open(&self.0, request).await?;
        let of = fields::user_id("of_user_id", &request.of_user_id)?;
        let page = lists::users(&self.0, page_fields!(request), UserList::Following(of)).await?;
        Ok(Response::new(page.into()))
    }

    async fn list_blocks(
        &self,
        request: Request<v1::ListBlocksRequest>,
    ) -> Result<Response<v1::ListBlocksResponse>, Status> {
        let request = caller::open(&self.0, request).await?;
        let page = lists::users(&self.0, page_fields!(request), UserList::Blocks).await?;
        Ok(Response::new(page.into()))
    }

    async fn list_mutes(
        &self,
        request: Request<v1::ListMutesRequest>,
    ) -> Result<Response<v1::ListMutesResponse>, Status> {
        let request = caller::open(&self.0, request).await?;
        let page = lists::users(&self.0, page_fields!(request), UserList::Mutes).await?;
        Ok(Response::new(page.into()))
    }

    async fn get_relationships(
        &self,
        request: Request<v1::GetRelationshipsRequest>,
    ) -> Result<Response<v1::GetRelationshipsResponse>, Status> {
        Ok(Response::new(
            get_relationships::handle(&self.0, caller::open(&self.0, request).await?).await?,
        ))
    }

    async fn get_profile(
        &self,
        request: Request<v1::GetProfileRequest>,
    ) -> Result<Response<v1::GetProfileResponse>, Status> {
        Ok(Response::new(
            get_profile::handle(&self.0, caller::open(&self.0, request).await?).await?,
        ))
    }
}
