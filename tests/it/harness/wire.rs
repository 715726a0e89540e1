//! An HTTP/2 client that sends any path, header and bytes.

use std::net::SocketAddr;

use bytes::{Buf as _, Bytes, BytesMut};
use h2::SendStream;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use http::{HeaderMap, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::{Code, Status};

use super::patience::within;

pub(crate) const FOLLOW: &str = "/whimbrel.v1.FeedService/Follow";
pub(crate) const PUBLISH: &str = "/whimbrel.v1.FeedService/Publish";
pub(crate) const NEWS_FEED: &str = "/whimbrel.v1.FeedService/NewsFeed";
pub(crate) const WATCH_FEED: &str = "/whimbrel.v1.FeedService/WatchFeed";

/// What HTTP/2 can be spoken over.
pub(crate) trait Bytestream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Bytestream for S {}

/// A request whose message is not whole. Dropping it resets its stream.
#[derive(Debug)]
pub(crate) struct Unfinished {
    response: ResponseFuture,
    _stream: SendStream<Bytes>,
}

impl Unfinished {
    /// The body of the answer, whatever it is.
    pub(crate) async fn answer(self) -> Vec<u8> {
        let answer = within("an answer", self.response).await.expect("the server answers");
        let mut body = answer.into_body();
        let mut content = Vec::new();
        while let Some(part) = within("the rest of it", body.data()).await {
            content.extend_from_slice(&part.expect("it comes whole"));
        }
        content
    }

    /// The first bytes of the answer, while the request goes on.
    pub(crate) async fn first_bytes(self) -> Bytes {
        let answer = within("an answer", self.response).await.expect("the server answers");
        let part = within("its first bytes", answer.into_body().data()).await;
        part.expect("there are some").expect("they come whole")
    }

    /// The status that the server refuses it with.
    pub(crate) async fn refusal(self) -> Status {
        let response = within("a refusal", self.response).await.expect("the server answers");
        refusal(response.status(), response.headers()).expect("it is refused")
    }
}

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

    /// Connects to `address`, and accepts only so many bytes of a response.
    pub(crate) async fn taking_only(address: SocketAddr, window_bytes: u32) -> Self {
        Self::build(address, Builder::new().initial_window_size(window_bytes)).await
    }

    /// Speaks HTTP/2 over `socket`, which is connected to `address`; `None` if the server refuses.
    pub(crate) async fn over(socket: impl Bytestream, address: SocketAddr) -> Option<Self> {
        let handshake = h2::client::handshake(socket);
        let (send, connection) = within("a connection", handshake).await.ok()?;
        Some(Self::driven(address, send, connection))
    }

    async fn build(address: SocketAddr, builder: &mut Builder) -> Self {
        let connecting = async {
            let socket = TcpStream::connect(address).await.expect("the server listens");
            builder.handshake(socket).await.expect("the server speaks HTTP/2")
        };
        let (send, connection) = within("a connection", connecting).await;
        Self::driven(address, send, connection)
    }

    fn driven(
        address: SocketAddr,
        send: SendRequest<Bytes>,
        connection: Connection<impl Bytestream>,
    ) -> Self {
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        Self { address, send, connection: driver }
    }

    /// Sends a request, and returns the bytes of the response, or the status if it is not OK.
    pub(crate) async fn call(
        &self,
        path: &str,
        headers: &[(&'static str, &[u8])],
        body: impl Into<Bytes>,
    ) -> Result<Bytes, Status> {
        let answer = within("an answer", self.answer(path, headers, body)).await;
        answer.expect("the server answers on this connection")
    }

    /// As [`Wire::call`], with each byte of the body in a frame of its own, and an empty frame at
    /// the end.
    pub(crate) async fn call_in_pieces(&self, path: &str, body: &Bytes) -> Result<(), Status> {
        self.call_in_frames(path, (0..body.len()).map(|at| body.slice(at..=at))).await
    }

    /// As [`Wire::call`], with each part of the body in a frame of its own, and an empty frame at the
    /// end.
    pub(crate) async fn call_in_frames(
        &self,
        path: &str,
        parts: impl IntoIterator<Item = Bytes>,
    ) -> Result<(), Status> {
        let request = Request::post(format!("http://{}{path}", self.address));
        let request = request.header("content-type", "application/grpc").body(()).expect("a head");
        let asking = async {
            let mut ready = self.send.clone().ready().await?;
            let (response, mut stream) = ready.send_request(request, false)?;
            for part in parts {
                stream.send_data(part, false)?;
            }
            stream.send_data(Bytes::new(), true)?;
            Ok::<_, h2::Error>(response.await?.into_parts())
        };
        let (head, mut body) = within("an answer", asking).await.expect("the server answers");
        while within("more of the answer", body.data()).await.is_some() {}
        refusal(head.status, &head.headers).map_or(Ok(()), Err)
    }

    /// As [`Wire::call`], but returns the error if the connection or stream breaks.
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

    /// Sends a request of any method, and returns the whole HTTP response.
    pub(crate) async fn http(
        &self,
        method: &str,
        path: &str,
        headers: &[(&'static str, &[u8])],
        body: impl Into<Bytes>,
    ) -> Response<String> {
        let mut request = Request::builder().method(method);
        request = request.uri(format!("http://{}{path}", self.address));
        for &(name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(()).expect("headers that HTTP allows");
        let asking = async {
            let (response, mut stream) =
                self.send.clone().ready().await?.send_request(request, false)?;
            // The server may have refused the request by its headers.
            let _ = stream.send_data(body.into(), true);
            let (head, mut body) = response.await?.into_parts();
            let mut content = Vec::new();
            while let Some(part) = body.data().await {
                content.extend_from_slice(&part?);
            }
            let text = String::from_utf8(content).expect("the answer is a text");
            Ok::<_, h2::Error>(Response::from_parts(head, text))
        };
        within("an answer", asking).await.expect("the server answers on this connection")
    }

    /// Sends a request for a stream, which must begin.
    pub(crate) async fn opens_stream(
        &self,
        path: &str,
        headers: &[(&'static str, &[u8])],
        body: impl Into<Bytes>,
    ) {
        let sent = self.send(path, headers, body).await.expect("the request is sent");
        let response = within("the response to begin", sent).await.expect("the response begins");
        assert!(refusal(response.status(), response.headers()).is_none(), "{response:?}");
        let mut body = response.into_body();
        let first = within("the first message", body.data()).await;
        first.expect("a stream begins with a message").expect("the stream continues");
    }

    /// Sends a request, and returns how the response begins: as an answer, or as a refusal.
    pub(crate) async fn begins(
        &self,
        path: &str,
        headers: &[(&'static str, &[u8])],
        body: impl Into<Bytes>,
    ) -> Result<(), Status> {
        let sent = self.send(path, headers, body).await.expect("the request is sent");
        let response = within("the response to begin", sent).await.expect("the response begins");
        refusal(response.status(), response.headers()).map_or(Ok(()), Err)
    }

    /// Sends a request, and waits for the first bytes of the response, or for the status without any.
    /// Does not read on.
    pub(crate) async fn first(
        &self,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<Result<(), Status>, h2::Error> {
        let (head, mut body) = self.send(path, &[], body).await?.await?.into_parts();
        if let Some(refused) = refusal(head.status, &head.headers) {
            return Ok(Err(refused));
        }
        if let Some(part) = body.data().await {
            return part.map(|_| Ok(()));
        }
        let trailers = body.trailers().await?.unwrap_or_default();
        Ok(refusal(head.status, &trailers).map_or(Ok(()), Err))
    }

    /// Sends a request, and does not read the body of the response.
    pub(crate) async fn leave_unread(
        &self,
        path: &str,
        message: &[u8],
    ) -> Response<h2::RecvStream> {
        let sent = self.send(path, &[], frame(message)).await.expect("the request is sent");
        within("the response to begin", sent).await.expect("the response begins")
    }

    /// Sends the headers of a request and this part of its body, and no end.
    pub(crate) async fn leave_unfinished(&self, path: &str, part: impl Into<Bytes>) -> Unfinished {
        self.leave_unfinished_of(path, "application/grpc", part).await
    }

    /// As [`Self::leave_unfinished`], of a body of this type.
    pub(crate) async fn leave_unfinished_of(
        &self,
        path: &str,
        content_type: &str,
        part: impl Into<Bytes>,
    ) -> Unfinished {
        let request = Request::post(format!("http://{}{path}", self.address));
        let request = request.header("content-type", content_type).body(()).expect("a head");
        let sending = async {
            let mut ready = self.send.clone().ready().await?;
            let (response, mut stream) = ready.send_request(request, false)?;
            stream.send_data(part.into(), false)?;
            Ok::<_, h2::Error>(Unfinished { response, _stream: stream })
        };
        within("the request to be sent", sending).await.expect("the connection is open")
    }

    /// Sends a request, and returns the messages of the response, and the status if it is not OK.
    pub(crate) async fn stream(
        &self,
        path: &str,
        message: &[u8],
    ) -> (Vec<Bytes>, Result<(), Status>) {
        let mut body = self.leave_unread(path, message).await.into_body();
        let mut content = BytesMut::new();
        while let Some(part) = within("more of the stream", body.data()).await {
            content.extend_from_slice(&part.expect("the stream continues"));
        }
        let trailers = within("the end of the stream", body.trailers()).await;
        let trailers = trailers.expect("the stream ends").unwrap_or_default();
        let mut messages = Vec::new();
        while !content.is_empty() {
            content.advance(1);
            let length = content.get_u32() as usize;
            messages.push(content.split_to(length).freeze());
        }
        (messages, refusal(StatusCode::OK, &trailers).map_or(Ok(()), Err))
    }

    /// Waits until the server has closed the connection.
    pub(crate) async fn closed(self) {
        // Whether it was closed in order does not matter.
        let _ = self.ended().await;
    }

    /// Waits until the connection has ended: `Ok` if the server sent a GOAWAY without an error.
    pub(crate) async fn ended(mut self) -> Result<(), h2::Error> {
        let ended = within("the connection to end", self.connection.join_next()).await;
        ended.expect("it has not ended yet").expect("it did not panic")
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

/// `message` framed, with this value of the compression flag.
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
