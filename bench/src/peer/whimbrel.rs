//! Whimbrel: its program, called with its own client over gRPC. Never calls the library of the
//! server, except to fill a log (`seed.rs`).

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use prost::Message;
use whimbrel::api::v1::watch_feed_request::Start;
use whimbrel::api::v1::{
    GetRelationshipsRequest, NewsFeedRequest, NewsFeedResponse, PublishRequest, WatchFeedRequest,
};
use whimbrel::client::{Client, ConnectOptions, Retry, RevisionFeeds};

use super::protection::{Protection, Tokens};
use super::{Caller, FEED_ITEMS, Programs, Reader, System, data_folder, seed, serve};
use crate::data::{self, Data};
use crate::error::Error;
use crate::load::Callers;
use crate::server::{Server, free_port};
use crate::watchers::Watcher;

/// The longest time between heartbeats, so that they do not disturb the figures.
const HEARTBEAT: Duration = Duration::from_secs(300);
/// More streams and connections than any measurement opens. Only a limit, no tuning: it reserves
/// nothing.
const OPEN_MAX: &str = "1000000";
/// Watchers who connect from one address of this machine: an address has some 28,000 ports.
const ADDRESS_WATCHERS: u32 = 10_000;
/// Longest time to open a stream, while all others open too.
const OPEN_TIME_MAX: Duration = Duration::from_secs(30);

/// The user who makes all calls to a server that asks who calls.
pub(crate) const CALLER: u32 = 0;

/// A Whimbrel server that the bench started.
#[derive(Debug)]
pub(crate) struct Whimbrel {
    server: Server,
    address: String,
    protection: Protection,
    /// `None` if the server does not ask who calls.
    tokens: Option<Tokens>,
}

struct Calls(Client);

impl Whimbrel {
    /// Starts the server on a log with `data`.
    pub(crate) async fn start(programs: &Programs, data: &Data) -> Result<Self, Error> {
        Self::start_with(programs, data, Protection::Plain).await
    }

    /// As [`Whimbrel::start`], with `protection`. All calls are then those of [`CALLER`], and each
    /// connection of watchers is that of its first one.
    pub(crate) async fn start_with(
        programs: &Programs,
        data: &Data,
        protection: Protection,
    ) -> Result<Self, Error> {
        let folder = data_folder(programs)?;
        seed::seed(folder.path(), data)?;
        let tokens = protection.tokens(folder.path())?;
        let listen = format!("127.0.0.1:{}", free_port()?);
        let address = protection.address(&listen);
        let program = programs.whimbrel.clone();
        let server = Server::new(folder, move |dir| {
            let mut command = Command::new(&program);
            // The server has its defaults, whatever the environment of the bench sets.
            for (name, _) in std::env::vars_os() {
                if name.as_encoded_bytes().starts_with(b"WHIMBREL_") {
                    command.env_remove(name);
                }
            }
            // Its port may be in use. A flag would be refused by versions without that listener.
            command.env("WHIMBREL_ADMIN_LISTEN", "none");
            command.args(["serve", "--listen", &listen, "--log", "error"]);
            for limit in ["--streams-max", "--connections-max", "--address-connections-max"] {
                command.args([limit, OPEN_MAX]);
            }
            command.args(protection.flags());
            command.arg("--data").arg(dir);
            command
        })?;
        let system = Self { server, address, protection, tokens };
        serve(&system).await?;
        Ok(system)
    }

    /// Where it serves.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// A new client.
    pub(crate) async fn client(&self) -> Result<Client, Error> {
        Ok(Client::connect_with(&self.address, &self.options(CALLER)?).await?)
    }

    /// Enough clients for `in_flight` calls at once.
    pub(crate) async fn clients(&self, in_flight: usize) -> Result<Vec<Client>, Error> {
        Ok(Client::connect_for(&self.address, &self.options(CALLER)?, in_flight, 1).await?)
    }

    /// What `user` shows when they connect, and what they trust.
    fn options(&self, user: u32) -> Result<ConnectOptions, Error> {
        let token = self.tokens.as_ref().map(|tokens| tokens.of(user)).transpose()?;
        let ca_file = self.protection.ca_file(&self.server.dir());
        Ok(ConnectOptions { ca_file, token, ..ConnectOptions::default() })
    }
}

#[async_trait]
impl System for Whimbrel {
    fn server(&self) -> &Server {
        &self.server
    }

    async fn answers(&self) -> Result<(), Error> {
        let user_id = data::user_name(CALLER);
        let request = NewsFeedRequest { user_id, ..NewsFeedRequest::default() };
        self.client().await?.news_feed(request).await?;
        Ok(())
    }

    async fn callers(&self, in_flight: usize) -> Result<Callers, Error> {
        let clients = self.clients(in_flight).await?;
        Ok(clients.into_iter().map(|client| Arc::new(Calls(client)) as _).collect())
    }

    async fn watch(&self, watchers: Vec<Watcher>) -> Result<Vec<Reader>, Error> {
        let first = watchers.first().map_or(CALLER, |watcher| watcher.user);
        let (options, address) = (self.options(first)?, first / ADDRESS_WATCHERS);
        let from = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + address).into();
        let (requests, sinks): (Vec<_>, Vec<_>) = watchers
            .into_iter()
            .map(|Watcher { user, cursor, sink, .. }| {
                let request = WatchFeedRequest {
                    user_id: data::user_name(user),
                    start: cursor.map(Start::AfterCursor),
                    heartbeat: HEARTBEAT.try_into().ok(),
                    ..WatchFeedRequest::default()
                };
                (request, sink)
            })
            .unzip();
        let open = || RevisionFeeds::open_with(Some(from), &self.address, &options, &requests);
        let mut feeds = Retry::within(OPEN_TIME_MAX).call(open).await?;
        Ok(vec![Box::pin(async move {
            // The deliveries that an ended connection misses are counted as lost.
            loop {
                let mut at = None;
                let read = feeds.receive(|feed, revision| {
                    sinks[feed].add([revision], *at.get_or_insert_with(Instant::now));
                });
                if read.await.is_err() {
                    return;
                }
            }
        })])
    }
}

impl Calls {
    async fn page(&self, user: u32) -> Result<NewsFeedResponse, Error> {
        let request = NewsFeedRequest {
            user_id: data::user_name(user),
            page_size: FEED_ITEMS as i32,
            ..NewsFeedRequest::default()
        };
        Ok(self.0.news_feed(request).await?)
    }
}

#[async_trait]
impl Caller for Calls {
    async fn publish(&self, author: u32, post: u64) -> Result<u64, Error> {
        let request = PublishRequest {
            user_id: data::user_name(author),
            text: data::text(post),
            request_id: format!("{post:016x}"),
            ..PublishRequest::default()
        };
        Ok(self.0.publish(request).await?.post.unwrap_or_default().revision)
    }

    async fn feed(&self, user: u32) -> Result<usize, Error> {
        Ok(self.page(user).await?.items.len())
    }

    async fn feed_bytes(&self, user: u32) -> Result<usize, Error> {
        Ok(self.page(user).await?.encoded_len())
    }

    async fn floor(&self) -> Result<(), Error> {
        self.0.check_health().await?;
        Ok(())
    }

    async fn look_up(&self, user: u32, other: u32) -> Result<(), Error> {
        let (user_id, other_ids) = (data::user_name(user), vec![data::user_name(other)]);
        let request = GetRelationshipsRequest { user_id, other_ids, ..Default::default() };
        Ok(self.0.get_relationships(request).await.map(drop)?)
    }
}
