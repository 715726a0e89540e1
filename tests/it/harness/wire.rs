//! A client that writes what it likes: any path, any header, any bytes.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use h2::client::{Builder, ResponseFuture, SendRequest};
use http::{HeaderMap, Request, Response, StatusCode};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::{Code, Status};

use super::patience::within;

pub(crate) const FOLLOW: &str = "/whimbrel.v1.FeedService/Follow";
pub(crate) const PUBLISH: &str = "/whimbrel.v1.FeedService/Publish";
pub(crate) const WATCH_FEED: &str = "/whimbrel.v1.FeedService/WatchFeed";

/// An HTTP/2 connection.
#[derive(Debug)]
pub(crate) struct Wire {
    address: SocketAddr,
    send: SendRequest<Bytes>,
    connection: JoinSet<Result<(), h2::Error>>,
}

impl Wire {
    /// Connects to `address`.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::build(address, &mut Builder::new()).await
    }

    /// Connects to `address`, and never takes more than this many bytes of a response.
    pub(crate) async fn taking_only(address: SocketAddr, window_bytes: u32) -> Self {
        Self::build(address, Builder::new().initial_window_size(window_bytes)).await
    }

    async fn build(address: SocketAddr, builder: &mut Builder) -> Self {
        let connecting = async {
            let socket = TcpStream::connect(address).await.expect("the server listens");
            builder.handshake(socket).await.expect("the server speaks HTTP/2")
        };
        let (send, connection) = within("a connection", connecting).await;
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        Self { address, send, connection: driver }
    }

    /// Sends a request and gives the bytes that came back, or the status if it is not OK.
    pub(crate) async fn call(
        &self,
        path: &str,
        headers: &[(&'static str, &[u8])],
        body: impl Into<Bytes>,
    ) -> Result<Bytes, Status> {
        let answer = within("an answer", self.answer(path, headers, body)).await;
        answer.expect("the server answers on this connection")
    }

    /// As [`Wire::call`], but gives the error if the connection or stream breaks.
    pub(crate) async fn answer(
        &self,
        path: &str,
        headers: &[(&'static str, &[u8])],
        body: impl Into<Bytes>,
    ) -> Result<Result<Bytes, Status>, h2::Error> {
        let response = self.send(path, headers, body).await?.await?;
        let (head, mut body) = response.into_parts();
        if let Some(refused) = refusal(head.status, &head.headers) {
            return Ok(Err(refused));
        }
        let mut content = BytesMut::new();
        while let Some(part) = body.data().await {
            content.extend_from_slice(&part?);
        }
        let trailers = body.trailers().await?.unwrap_or_default();
        Ok(refusal(head.status, &trailers).map_or(Ok(content.freeze()), Err))
    }

    /// Sends a request, and leaves the response unread.
    pub(crate) async fn leave_unread(
        &self,
        path: &str,
        message: &[u8],
    ) -> Response<h2::RecvStream> {
        let sent = self.send(path, &[], frame(message)).await.expect("the request is sent");
        within("the response to begin", sent).await.expect("the response begins")
    }

    /// Waits until the server has closed the connection.
    pub(crate) async fn closed(mut self) {
        within("the server to close the connection", self.connection.join_next()).await;
    }

    async fn send(
        &self,
        path: &str,
        headers: &[(&'static str, &[u8])],
        body: impl Into<Bytes>,
    ) -> Result<ResponseFuture, h2::Error> {
        let mut request = Request::post(format!("http://{}{path}", self.address));
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/grpc");
        }
        for &(name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(()).expect("headers that HTTP allows");
        let (response, mut stream) =
            self.send.clone().ready().await?.send_request(request, false)?;
        // The server may have refused the request by its headers.
        let _ = stream.send_data(body.into(), true);
        Ok(response)
    }
}

/// `message` as gRPC frames it.
pub(crate) fn frame(message: &[u8]) -> Bytes {
    flagged_frame(0, message)
}

/// `message` framed, with this in place of the flag that says whether it is compressed.
pub(crate) fn flagged_frame(flag: u8, message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("a message below 4 GiB");
    [&[flag], length.to_be_bytes().as_slice(), message].concat().into()
}

fn refusal(http: StatusCode, headers: &HeaderMap) -> Option<Status> {
    if http != StatusCode::OK {
        return Some(Status::unknown(format!("HTTP {http}")));
    }
    Status::from_header_map(headers).filter(|status| status.code() != Code::Ok)
}
