//! A plain HTTP client, of either version: it sends what it is given, and returns what comes. Never
//! interprets a body.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::within;

/// A connection.
pub(crate) struct Http {
    address: SocketAddr,
    sender: Sender,
    /// Ends with this.
    _driving: JoinSet<hyper::Result<()>>,
}

enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

impl Http {
    /// Connects to `address` in this version of HTTP.
    pub(crate) async fn connect(address: SocketAddr, version: Version) -> Self {
        let socket = TokioIo::new(TcpStream::connect(address).await.expect("it listens"));
        let mut driving = JoinSet::new();
        let sender = if version == Version::HTTP_2 {
            let (sender, connection) =
                http2::handshake(TokioExecutor::new(), socket).await.expect("a connection");
            driving.spawn(connection);
            Sender::Two(sender)
        } else {
            let (sender, connection) = http1::handshake(socket).await.expect("a connection");
            driving.spawn(connection);
            Sender::One(sender)
        };
        Self { address, sender, _driving: driving }
    }

    /// Sends a request. The response may be a stream.
    pub(crate) async fn begins(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<Incoming> {
        let body = Full::new(body.into());
        let request = headers
            .iter()
            .fold(Request::builder().method(method), |it, (name, value)| it.header(*name, *value));
        let sent = async {
            match &mut self.sender {
                Sender::One(sender) => {
                    let request = request.uri(path).header("host", self.address.to_string());
                    sender.ready().await?;
                    sender.send_request(request.body(body).expect("a request")).await
                }
                Sender::Two(sender) => {
                    let request = request.uri(format!("http://{}{path}", self.address));
                    sender.ready().await?;
                    sender.send_request(request.body(body).expect("a request")).await
                }
            }
        };
        within("a response", sent).await.expect("the server answers")
    }

    /// Sends a request, and returns the whole response.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<Bytes> {
        let (head, body) = self.begins(method, path, headers, body).await.into_parts();
        let collected = within("the rest of the response", body.collect()).await;
        Response::from_parts(head, collected.expect("it comes whole").to_bytes())
    }
}
