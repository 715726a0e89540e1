//! A live feed of which only the revisions are read, for those who watch a thousand feeds at once
//! to measure the server and not themselves.
//!
//! Never looks at what happened, nor at cursors.

use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::Error;
use crate::api::v1;

/// The RPC, by its name on the wire.
const PATH: &str = "/whimbrel.v1.FeedService/WatchFeed";

/// The revisions of one live feed, in the order in which they came.
#[derive(Debug)]
pub struct Revisions(Streaming<lean::Message>);

/// As much of `WatchFeedResponse` as is read; decoding skips the rest. The tags are those of
/// `feed_service.proto`.
mod lean {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Message {
        #[prost(message, optional, tag = "2")]
        pub(super) batch: Option<Batch>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Batch {
        #[prost(message, repeated, tag = "3")]
        pub(super) events: Vec<Event>,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct Event {
        #[prost(uint64, tag = "1")]
        pub(super) revision: u64,
    }
}

impl Revisions {
    /// Opens the stream and waits for its first message: what happens after is delivered.
    pub(super) async fn open(
        channel: Channel,
        request: v1::WatchFeedRequest,
    ) -> Result<Self, Error> {
        let mut grpc = Grpc::new(channel);
        grpc.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
        let codec = ProstCodec::<v1::WatchFeedRequest, lean::Message>::default();
        let path = PathAndQuery::from_static(PATH);
        let mut stream =
            grpc.server_streaming(Request::new(request), path, codec).await?.into_inner();
        stream.message().await?;
        Ok(Self(stream))
    }

    /// The revisions of the next message, none if it is no batch; `None` if the stream ended.
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
