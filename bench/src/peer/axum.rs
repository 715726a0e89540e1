//! The axum service of `src/bin/axum_service.rs`: JSON over HTTP/1.1, and server-sent events for
//! watchers. A connection never carries more than one call or stream: HTTP/1.1 has no more.

use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::json;

use super::http::Connection;
use super::{Caller, Programs, Reader, System, data_folder, serve, sibling_program};
use crate::data::{self, Data};
use crate::error::Error;
use crate::load::Callers;
use crate::server::{Server, free_port};
use crate::watchers::{Sink, Watcher};

/// Most connections of callers: more would only wait in the server.
const CONNECTIONS_MAX: usize = 256;
/// Lines of one bulk call.
const BULK_LINES: usize = 10_000;
/// The prefix of an event's data.
const DATA: &[u8] = b"data: ";

/// An axum service that the bench started.
#[derive(Debug)]
pub(super) struct Axum {
    server: Server,
    address: String,
}

struct Calls(Connection);

impl Axum {
    pub(super) async fn start(programs: &Programs, data: &Data) -> Result<Self, Error> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let (program, listen) = (sibling_program("axum_service")?, address.clone());
        let server = Server::new(data_folder(programs)?, move |_| {
            let mut command = Command::new(&program);
            command.arg(&listen);
            command
        })?;
        let system = Self { server, address };
        serve(&system).await?;
        system.load(data).await?;
        Ok(system)
    }

    async fn load(&self, data: &Data) -> Result<(), Error> {
        let connection = Connection::open(&self.address).await?;
        let name = data::user_name;
        for edges in data.edges.chunks(BULK_LINES) {
            let lines: String =
                edges.iter().map(|(a, b)| format!("{}\t{}\n", name(*a), name(*b))).collect();
            connection.call(Method::POST, "/bulk/edges", lines).await?;
        }
        for first in (0..data.posts).step_by(BULK_LINES) {
            let posts = first..data.posts.min(first + BULK_LINES as u64);
            let lines: String = posts
                .map(|post| format!("{}\t{}\n", name(data.author_of(post)), data::text(post)))
                .collect();
            connection.call(Method::POST, "/bulk/posts", lines).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl System for Axum {
    fn server(&self) -> &Server {
        &self.server
    }

    async fn answers(&self) -> Result<(), Error> {
        let connection = Connection::open(&self.address).await?;
        connection.call(Method::GET, "/health", Bytes::new()).await.map(drop)
    }

    async fn callers(&self, in_flight: usize) -> Result<Callers, Error> {
        let mut callers = Callers::new();
        for _ in 0..in_flight.min(CONNECTIONS_MAX) {
            callers.push(Arc::new(Calls(Connection::open(&self.address).await?)));
        }
        Ok(callers)
    }

    async fn watch(&self, watchers: Vec<Watcher>) -> Result<Vec<Reader>, Error> {
        let [watcher] = watchers.try_into().map_err(|_| {
            Error::NotOffered("an HTTP/1.1 connection carries one stream, so none can be shared")
        })?;
        let connection = Connection::open(&self.address).await?;
        let path = format!("/watch?user={}", data::user_name(watcher.user));
        let body = connection.stream(Method::GET, &path, Bytes::new()).await?;
        Ok(vec![Box::pin(async move {
            read(body, watcher.sink).await;
            drop(connection);
        })])
    }
}

#[async_trait]
impl Caller for Calls {
    async fn publish(&self, author: u32, post: u64) -> Result<u64, Error> {
        let body = json!({
            "author": data::user_name(author),
            "text": data::text(post),
            "id": format!("{post:016x}"),
        });
        self.0.call(Method::POST, "/publish", body.to_string()).await?;
        Ok(post)
    }

    async fn feed(&self, user: u32) -> Result<usize, Error> {
        let path = format!("/feed?user={}", data::user_name(user));
        let body = self.0.call(Method::GET, &path, Bytes::new()).await?;
        // The clients of other systems parse their answers too.
        let items: Vec<Item> = serde_json::from_slice(&body)?;
        Ok(items.iter().filter(|item| !item.is_empty()).count())
    }

    async fn floor(&self) -> Result<(), Error> {
        self.0.call(Method::GET, "/health", Bytes::new()).await.map(drop)
    }
}

/// The fields of a feed's item that a client needs.
#[derive(serde::Deserialize)]
struct Item {
    id: String,
    author: String,
    text: String,
}

impl Item {
    fn is_empty(&self) -> bool {
        self.id.is_empty() || self.author.is_empty() || self.text.is_empty()
    }
}

/// Records the events of a stream.
async fn read(mut body: Incoming, sink: Sink) {
    let mut bytes = BytesMut::new();
    while let Some(Ok(frame)) = body.frame().await {
        let at = Instant::now();
        let Ok(data) = frame.into_data() else { continue };
        bytes.extend_from_slice(&data);
        let mut keys = Vec::new();
        while let Some(end) = bytes.windows(2).position(|two| two == b"\n\n") {
            let event = &bytes[..end];
            keys.extend(event.strip_prefix(DATA).and_then(data::key_of));
            bytes.advance(end + 2);
        }
        sink.add(keys, at);
    }
}
