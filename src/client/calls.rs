//! The unary calls. Each makes its call once and returns the server's response; they never retry.
//!
//! All are safe to repeat, except a Publish without a `request_id`.

use super::{Client, Error};
use crate::api::{RequestFields, ResponseFields, v1};

/// Defines a method of [`Client`] for each RPC of a service.
macro_rules! calls {
    ($service:ident: $($method:ident = $rpc:ident($request:ident) -> $response:ident;)*) => {
        impl Client {
            $(
                #[doc = concat!("Calls ", stringify!($rpc), ".")]
                ///
                /// # Errors
                /// The server answered with an error, or could not be reached.
                pub async fn $method(
                    &self,
                    mut request: v1::$request,
                ) -> Result<v1::$response, Error> {
                    if let Some(at_least) = request.at_least_field() {
                        self.servers.fill_in(at_least);
                    }
                    let answer = self.$service.clone().$method(request).await;
                    let answer = answer.map_err(|status| self.error(status))?.into_inner();
                    self.servers.saw(answer.cursor());
                    Ok(answer)
                }
            )*
        }
    };
}

calls! { feed:
    follow = Follow(FollowRequest) -> FollowResponse;
    unfollow = Unfollow(UnfollowRequest) -> UnfollowResponse;
    publish = Publish(PublishRequest) -> PublishResponse;
    news_feed = NewsFeed(NewsFeedRequest) -> NewsFeedResponse;
}

calls! { post:
    get_posts = GetPosts(GetPostsRequest) -> GetPostsResponse;
    delete_post = DeletePost(DeletePostRequest) -> DeletePostResponse;
    list_posts = ListPosts(ListPostsRequest) -> ListPostsResponse;
    get_thread = GetThread(GetThreadRequest) -> GetThreadResponse;
    like = Like(LikeRequest) -> LikeResponse;
    unlike = Unlike(UnlikeRequest) -> UnlikeResponse;
    repost = Repost(RepostRequest) -> RepostResponse;
    unrepost = Unrepost(UnrepostRequest) -> UnrepostResponse;
    list_likes = ListLikes(ListLikesRequest) -> ListLikesResponse;
    list_reposts = ListReposts(ListRepostsRequest) -> ListRepostsResponse;
    list_replies = ListReplies(ListRepliesRequest) -> ListRepliesResponse;
    list_quotes = ListQuotes(ListQuotesRequest) -> ListQuotesResponse;
}

calls! { graph:
    block = Block(BlockRequest) -> BlockResponse;
    unblock = Unblock(UnblockRequest) -> UnblockResponse;
    mute = Mute(MuteRequest) -> MuteResponse;
    unmute = Unmute(UnmuteRequest) -> UnmuteResponse;
    list_followers = ListFollowers(ListFollowersRequest) -> ListFollowersResponse;
    list_following = ListFollowing(ListFollowingRequest) -> ListFollowingResponse;
    list_blocks = ListBlocks(ListBlocksRequest) -> ListBlocksResponse;
    list_mutes = ListMutes(ListMutesRequest) -> ListMutesResponse;
    get_relationships = GetRelationships(GetRelationshipsRequest) -> GetRelationshipsResponse;
    get_profile = GetProfile(GetProfileRequest) -> GetProfileResponse;
}

calls! { admin:
    list_segments = ListSegments(ListSegmentsRequest) -> ListSegmentsResponse;
}

calls! { log:
    get_chain = GetChain(GetChainRequest) -> GetChainResponse;
}

calls! { meta:
    get_server_info = GetServerInfo(GetServerInfoRequest) -> GetServerInfoResponse;
    get_cluster = GetCluster(GetClusterRequest) -> GetClusterResponse;
    get_latest_cursor = GetLatestCursor(GetLatestCursorRequest) -> GetLatestCursorResponse;
}

calls! { notification:
    list_notifications = ListNotifications(ListNotificationsRequest) -> ListNotificationsResponse;
    mark_notifications_seen = MarkNotificationsSeen(MarkNotificationsSeenRequest) -> MarkNotificationsSeenResponse;
}
