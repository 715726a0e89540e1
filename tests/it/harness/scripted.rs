//! A server that says what a test wants, for clients that meet what no server of this version says.

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

/// How a call is answered.
#[derive(Debug)]
pub(crate) struct Script {
    /// The messages, as bytes: they may be of any version.
    pub(crate) messages: Vec<Vec<u8>>,
    pub(crate) end: End,
}

/// How an answer ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// With this status, as a number: 0 is OK, 14 is UNAVAILABLE.
    With(u8),
    /// Not at all.
    Never,
}

/// It listens, and answers the first call by the first script, and so on.
#[derive(Debug)]
pub(crate) struct Scripted {
    address: SocketAddr,
    asked: mpsc::UnboundedReceiver<Bytes>,
    _serving: JoinSet<()>,
}

impl Scripted {
    pub(crate) async fn start(scripts: impl IntoIterator<Item = Script>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (tell, asked) = mpsc::unbounded_channel();
        let mut scripts: VecDeque<_> = scripts.into_iter().collect();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                serve(socket, &mut scripts, &tell).await;
            }
        });
        Self { address, asked, _serving: serving }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the next call asked for.
    pub(crate) async fn asked<M: prost::Message + Default>(&mut self) -> M {
        let request = within("a call", self.asked.recv()).await.expect("it serves");
        // Without the frame around it.
        M::decode(&request[5..]).expect("a request")
    }
}

/// Answers calls on one connection until it is closed.
async fn serve(
    socket: TcpStream,
    scripts: &mut VecDeque<Script>,
    tell: &mpsc::UnboundedSender<Bytes>,
) {
    let Ok(mut connection) = h2::server::handshake(socket).await else { return };
    let mut answering = JoinSet::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        let Some(script) = scripts.pop_front() else { return };
        answering.spawn(answer(request, respond, script, tell.clone()));
    }
}

/// Answers one call.
async fn answer(
    mut request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    script: Script,
    tell: mpsc::UnboundedSender<Bytes>,
) {
    let mut asked = Vec::new();
    while let Some(Ok(part)) = request.body_mut().data().await {
        asked.extend_from_slice(&part);
    }
    // The test may have seen enough.
    let _ = tell.send(asked.into());
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
