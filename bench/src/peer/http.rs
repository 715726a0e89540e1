//! HTTP/1.1 calls on a connection of one's own, one at a time. Knows no service.

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
    /// Reads and writes until this is dropped.
    _task: JoinSet<()>,
}

impl Connection {
    pub(super) async fn open(address: &str) -> Result<Self, Error> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let mut task = JoinSet::new();
        task.spawn(async move {
            // Its end is seen by the caller.
            let _ = connection.await;
        });
        Ok(Self { sender: Mutex::new(sender), _task: task })
    }

    /// Calls, and gives the body of the answer as it comes.
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

    /// Calls, and gives the whole answer.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<Bytes, Error> {
        Ok(self.stream(method, path, body).await?.collect().await?.to_bytes())
    }
}
