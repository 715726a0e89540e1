//! Bad input to the social calls whose rules take more than one field. The fields one by one are in
//! `generated_input`.

mod fields;
mod refusals;

use tonic::transport::Channel;
use tonic::{Code, Response, Status};
use whimbrel::api::v1::feed_service_client::FeedServiceClient;
use whimbrel::api::v1::graph_service_client::GraphServiceClient;
use whimbrel::api::v1::notification_service_client::NotificationServiceClient;
use whimbrel::api::v1::post_service_client::PostServiceClient;
use whimbrel::api::v1::*;

use crate::harness::{TestServer, refused, within};

/// The four services of a server.
struct Services {
    feed: FeedServiceClient<Channel>,
    post: PostServiceClient<Channel>,
    graph: GraphServiceClient<Channel>,
    notification: NotificationServiceClient<Channel>,
}

/// The result of a call by the macro below.
type Answer = Result<(), Status>;

impl Services {
    fn of(server: &TestServer) -> Self {
        let channel = server.channel();
        Self {
            feed: FeedServiceClient::new(channel.clone()),
            post: PostServiceClient::new(channel.clone()),
            graph: GraphServiceClient::new(channel.clone()),
            notification: NotificationServiceClient::new(channel),
        }
    }

    async fn publish(&self, request: PublishRequest) -> Result<PublishResponse, Status> {
        let call = within("an answer", Box::pin(self.feed.clone().publish(request))).await;
        call.map(Response::into_inner)
    }

    /// Publishes a post, and returns its id.
    async fn posted(&self, author: &str, text: &str) -> String {
        let (user_id, text) = (author.to_owned(), text.to_owned());
        let request = PublishRequest { user_id, text, ..PublishRequest::default() };
        self.publish(request).await.expect("the post is published").post.unwrap().post_id
    }
}

/// Calls an RPC with the given fields, and defaults for the others.
macro_rules! call {
    ($services:ident . $service:ident . $rpc:ident ( $request:ident { $($field:ident: $value:expr),* $(,)? } )) => {{
        #[allow(clippy::needless_update, reason = "some requests have no other fields")]
        let request = $request { $($field: $value.into(),)* ..Default::default() };
        within("an answer", Box::pin($services.$service.clone().$rpc(request))).await
    }};
}

use call;

fn unit<T>(answer: Result<Response<T>, Status>) -> Answer {
    answer.map(drop)
}

#[track_caller]
fn blames(answer: Answer, field: &str) {
    let refusal = refused(answer).with(Code::InvalidArgument, "INVALID_FIELD").blaming(field);
    assert_eq!(refusal.metadata()["field"], field);
}
