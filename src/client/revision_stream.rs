//! A live feed of which only the revisions are decoded, for benchmarks that watch a thousand feeds
//! and should measure the server and not themselves.
//!
//! Never decodes the content of events, or cursors.

use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::Error;
use crate::api::v1;

/// The path of the RPC.
const PATH: &str = "/whimbrel.v1.FeedService/WatchFeed";

/// The revisions of one live feed, in the order of arrival.
#[derive(Debug)]
pub struct RevisionStream(Streaming<partial::RevisionResponse>);

/// The decoded parts of `WatchFeedResponse`. Decoding skips the rest. The tags are those of
/// `feed_service.proto`.
mod partial {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct RevisionResponse {
        #[prost(message, optional, tag = "2")]
        pub(super) batch: Option<RevisionBatch>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct RevisionBatch {
        #[prost(message, repeated, tag = "3")]
        pub(super) events: Vec<RevisionEvent>,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct RevisionEvent {
        #[prost(uint64, tag = "1")]
        pub(super) revision: u64,
    }
}

impl RevisionStream {
    /// Opens the stream and waits for its first message: all later events are delivered.
    pub(super) async fn open(
        channel: Channel,
        request: v1::WatchFeedRequest,
    ) -> Result<Self, Error> {
        let mut grpc = Grpc::new(channel);
        grpc.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
        let codec = ProstCodec::<v1::WatchFeedRequest, partial::RevisionResponse>::default();
        let path = PathAndQuery::from_static(PATH);
        let mut stream =
            grpc.server_streaming(Request::new(request), path, codec).await?.into_inner();
        stream.message().await?;
        Ok(Self(stream))
    }

    /// The revisions of the next message, which are empty unless it is a batch; `None` if the
    /// stream ended.
    ///
    /// # Errors
    /// Why the stream ended.
    pub async fn next(&mut self) -> Result<Option<impl ExactSizeIterator<Item = u64>>, Error> {
        let message = self.0.message().await?;
        Ok(message.map(|message| {
            let events = message.batch.unwrap_or_default().events;
            events.into_iter().map(|event| event.revision)
        }))
    }
}
