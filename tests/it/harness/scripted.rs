//! A server whose responses a test writes, for clients of later versions' servers.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::patience::within;
use super::wire::frame;

/// The response to one call.
#[derive(Debug)]
pub(crate) struct Script {
    /// The messages as bytes, which may be of any version.
    pub(crate) messages: Vec<Vec<u8>>,
    pub(crate) end: End,
}

/// The end of a response.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// With this status, as a number: 0 is OK, 14 is UNAVAILABLE.
    With(u8),
    /// Not at all.
    Never,
}

/// Answers the first call by the first script, and so on.
#[derive(Debug)]
pub(crate) struct Scripted {
    address: SocketAddr,
    requests: mpsc::UnboundedReceiver<Bytes>,
    _serving: JoinSet<()>,
}

impl Scripted {
    pub(crate) async fn start(scripts: impl IntoIterator<Item = Script>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (report, requests) = mpsc::unbounded_channel();
        let mut scripts: VecDeque<_> = scripts.into_iter().collect();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                serve(socket, &mut scripts, &report).await;
            }
        });
        Self { address, requests, _serving: serving }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The request of the next call.
    pub(crate) async fn request<M: prost::Message + Default>(&mut self) -> M {
        let request = within("a call", self.requests.recv()).await.expect("it serves");
        // Without the frame around it.
        M::decode(&request[5..]).expect("a request")
    }
}

/// Answers calls on one connection until it is closed.
async fn serve(
    socket: TcpStream,
    scripts: &mut VecDeque<Script>,
    report: &mpsc::UnboundedSender<Bytes>,
) {
    let Ok(mut connection) = h2::server::handshake(socket).await else { return };
    let mut answering = JoinSet::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        let Some(script) = scripts.pop_front() else { return };
        answering.spawn(answer(request, respond, script, report.clone()));
    }
}

/// Answers one call.
async fn answer(
    mut request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    script: Script,
    report: mpsc::UnboundedSender<Bytes>,
) {
    let mut asked = Vec::new();
    while let Some(Ok(part)) = request.body_mut().data().await {
        asked.extend_from_slice(&part);
    }
    // The test may not receive any more.
    let _ = report.send(asked.into());
    let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let Ok(mut body) = respond.send_response(head, false) else { return };
    for message in &script.messages {
        if body.send_data(frame(message), false).is_err() {
            return;
        }
    }
    if let End::With(status) = script.end {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", u16::from(status).into());
        // The client may have hung up.
        let _ = body.send_trailers(trailers);
        return;
    }
    std::future::pending().await
}
