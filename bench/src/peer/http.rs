//! HTTP/1.1 calls on one connection, one at a time. Never depends on a service.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::error::Error;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    sender: Mutex<SendRequest<Full<Bytes>>>,
    /// Reads and writes until it is dropped.
    _task: JoinSet<()>,
}

impl Connection {
    pub(super) async fn open(address: &str) -> Result<Self, Error> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let mut task = JoinSet::new();
        task.spawn(async move {
            // The caller notices its end.
            let _ = connection.await;
        });
        Ok(Self { sender: Mutex::new(sender), _task: task })
    }

    /// Makes a call, and gives the body of the answer as a stream.
    pub(super) async fn stream(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<Incoming, Error> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(body.into()))?;
        let mut sender = self.sender.lock().await;
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        if !response.status().is_success() {
            return Err(Error::Failed(format!("{path} answered {}", response.status())));
        }
        Ok(response.into_body())
    }

    /// Makes a call, and gives the whole body of the answer.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<Bytes, Error> {
        Ok(self.stream(method, path, body).await?.collect().await?.to_bytes())
    }
}
