//! Redis, with the classic home timeline: a publish adds the post to a list of each follower, and
//! watchers use pub/sub. An unfollow never removes a post. A page is one call for the posts of the
//! list or, hydrated, also has the counts, the authors' profiles and the viewer's own likes, which
//! are read when the page is (`redis_page.rs`).

use std::collections::HashMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, AsyncConnectionConfig, Pipeline, Script, cmd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::redis_page::{self, HydratedCalls};
use super::{Caller, FEED_ITEMS, Programs, Reader, System, data_folder, serve};
use crate::data::{self, Data};
use crate::error::Error;
use crate::load::Callers;
use crate::server::{Server, free_port};
use crate::watchers::{Sink, Watcher};

/// How to install the server.
pub(super) const HOW_TO_INSTALL: &str = "apt-get install redis-server";
/// Items of a timeline in the classic design.
const TIMELINE_ITEMS: usize = 800;
/// Commands of one send while data is loaded.
const LOAD_COMMANDS: usize = 10_000;
/// Bytes of one read.
const READ_BYTES: usize = 256 << 10;

/// One call, so that a page is consistent and costs one round trip.
const FEED: &str = "
    local ids = redis.call('LRANGE', 'feed:' .. ARGV[1], 0, ARGV[2] - 1)
    if #ids == 0 then return {} end
    for at, id in ipairs(ids) do ids[at] = 'post:' .. id end
    return redis.call('MGET', unpack(ids))";
const PUBLISH: &str = "
    redis.call('SET', 'post:' .. ARGV[1], ARGV[3])
    for _, follower in ipairs(redis.call('SMEMBERS', 'followers:' .. ARGV[2])) do
        redis.call('LPUSH', 'feed:' .. follower, ARGV[1])
        redis.call('LTRIM', 'feed:' .. follower, 0, ARGV[4] - 1)
    end";

/// The notification of watchers after a stored publish. Part of the same script, so that it is one
/// call, and no watcher gets a post that is not in the lists.
const NOTIFY: &str = "
    redis.call('PUBLISH', 'author:' .. ARGV[2], ARGV[3])";

/// How it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// With its defaults. Posts for watchers are only forwarded.
    Plain,
    /// Changes are flushed, and posts for watchers are stored too.
    Synced,
    /// With its defaults and pages that are put together when they are read. Only that is measured:
    /// nothing can be published to it.
    Hydrated,
}

/// A Redis server that the bench started.
#[derive(Debug)]
pub(super) struct Redis {
    server: Server,
    address: String,
    form: Form,
}

struct Calls {
    connection: MultiplexedConnection,
    publish: Script,
    /// `None`: posts for watchers are not stored.
    publish_live: Option<Script>,
    feed: Script,
}

impl Redis {
    pub(super) async fn start(programs: &Programs, form: Form, data: &Data) -> Result<Self, Error> {
        let port = free_port()?;
        let program = programs.redis_server.clone();
        let server = Server::new(data_folder(programs)?, move |dir| {
            let mut command = Command::new(&program);
            command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"]).arg(dir);
            if form == Form::Synced {
                command.args(["--appendonly", "yes", "--appendfsync", "always"]);
            }
            command
        })?;
        let address = format!("127.0.0.1:{port}");
        let system = Self { server, address, form };
        serve(&system).await?;
        system.load(data).await?;
        Ok(system)
    }

    async fn connect(&self) -> Result<MultiplexedConnection, Error> {
        let client = redis::Client::open(format!("redis://{}", self.address))?;
        // A call that waits behind others is late, not lost.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
    }

    async fn load(&self, data: &Data) -> Result<(), Error> {
        let mut connection = self.connect().await?;
        let (mut followers, mut followees) =
            (HashMap::<_, Vec<u32>>::new(), HashMap::<_, Vec<u32>>::new());
        for &(follower, followee) in &data.edges {
            followers.entry(followee).or_default().push(follower);
            followees.entry(follower).or_default().push(followee);
        }
        let mut pipe = Pipeline::new();
        for (sets, name) in [(&followers, "followers"), (&followees, "followees")] {
            for (user, others) in sets {
                pipe.sadd(format!("{name}:{user}"), others).ignore();
                self.send_if_full(&mut connection, &mut pipe, LOAD_COMMANDS / 10).await?;
            }
        }
        for post in 0..data.posts {
            let author = data.author_of(post);
            pipe.set(format!("post:{post}"), data::message(author, post)).ignore();
            let entry = match self.form {
                Form::Hydrated => redis_page::load(&mut pipe, post, author),
                Form::Plain | Form::Synced => post.to_string(),
            };
            for follower in followers.get(&author).into_iter().flatten() {
                pipe.lpush(format!("feed:{follower}"), &entry).ignore();
            }
            self.send_if_full(&mut connection, &mut pipe, LOAD_COMMANDS).await?;
        }
        if data.posts > 0 {
            for user in followees.keys() {
                pipe.ltrim(format!("feed:{user}"), 0, TIMELINE_ITEMS as isize - 1).ignore();
                self.send_if_full(&mut connection, &mut pipe, LOAD_COMMANDS).await?;
            }
        }
        self.send_if_full(&mut connection, &mut pipe, 0).await
    }

    async fn send_if_full(
        &self,
        connection: &mut MultiplexedConnection,
        pipe: &mut Pipeline,
        commands: usize,
    ) -> Result<(), Error> {
        if !pipe.is_empty() && pipe.len() >= commands {
            let () = pipe.query_async(connection).await?;
            pipe.clear();
        }
        Ok(())
    }
}

#[async_trait]
impl System for Redis {
    fn server(&self) -> &Server {
        &self.server
    }

    async fn answers(&self) -> Result<(), Error> {
        // Fails while the server loads its data.
        let _: usize = self.connect().await?.llen("feed:0").await?;
        Ok(())
    }

    async fn callers(&self, _in_flight: usize) -> Result<Callers, Error> {
        let connection = self.connect().await?;
        if self.form == Form::Hydrated {
            return Ok(vec![Arc::new(HydratedCalls(connection))]);
        }
        let (publish, feed) = (Script::new(PUBLISH), Script::new(FEED));
        let publish_live =
            (self.form == Form::Synced).then(|| Script::new(&format!("{PUBLISH}{NOTIFY}")));
        Ok(vec![Arc::new(Calls { connection, publish, publish_live, feed })])
    }

    async fn watch(&self, watchers: Vec<Watcher>) -> Result<Vec<Reader>, Error> {
        let [watcher] = watchers.try_into().map_err(|_| {
            Error::NotOffered("a connection gets a channel's message once, so none can be shared")
        })?;
        let mut stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let channels: Vec<_> =
            watcher.authors.iter().map(|author| format!("author:{author}")).collect();
        stream.write_all(&cmd("SUBSCRIBE").arg(&channels).get_packed_command()).await?;
        // One answer for each channel, which ends with the number of channels so far.
        let mut bytes = BytesMut::new();
        let last = format!("\r\n:{}\r\n", channels.len());
        while !bytes.ends_with(last.as_bytes()) {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Err(Error::Failed("the server closed the connection".to_owned()));
            }
        }
        Ok(vec![Box::pin(read(stream, watcher.sink))])
    }

    async fn save(&self) -> Result<(), Error> {
        let mut connection = self.connect().await?;
        Ok(cmd("SAVE").query_async(&mut connection).await?)
    }
}

impl Calls {
    async fn keep(&self, script: &Script, author: u32, post: u64) -> Result<u64, Error> {
        let mut call = script.arg(post);
        call.arg(author).arg(data::message(author, post)).arg(TIMELINE_ITEMS);
        let () = call.invoke_async(&mut self.connection.clone()).await?;
        Ok(post)
    }
}

#[async_trait]
impl Caller for Calls {
    async fn publish(&self, author: u32, post: u64) -> Result<u64, Error> {
        self.keep(&self.publish, author, post).await
    }

    async fn publish_live(&self, author: u32, post: u64) -> Result<u64, Error> {
        if let Some(publish_live) = &self.publish_live {
            return self.keep(publish_live, author, post).await;
        }
        let message = data::message(author, post);
        let () = self.connection.clone().publish(format!("author:{author}"), message).await?;
        Ok(post)
    }

    async fn feed(&self, user: u32) -> Result<usize, Error> {
        let mut call = self.feed.arg(user);
        call.arg(FEED_ITEMS);
        let bodies: Vec<String> = call.invoke_async(&mut self.connection.clone()).await?;
        Ok(bodies.len())
    }

    async fn floor(&self) -> Result<(), Error> {
        Ok(cmd("PING").exec_async(&mut self.connection.clone()).await?)
    }
}

/// Records the published messages. The connection has only messages: `*3 $7 message $N channel $M
/// body`, each part on a line of its own.
async fn read(mut stream: TcpStream, sink: Sink) {
    let mut bytes = BytesMut::new();
    loop {
        bytes.reserve(READ_BYTES);
        if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
            return;
        }
        let at = Instant::now();
        let mut keys = Vec::new();
        while let Some((key, length)) = parse(&bytes) {
            keys.extend(key);
            bytes.advance(length);
        }
        sink.add(keys, at);
    }
}

/// The key of the first message in `bytes`, and the length of the message; `None` if it is
/// incomplete.
fn parse(bytes: &[u8]) -> Option<(Option<u64>, usize)> {
    let line_end = |from: usize| {
        let rest = bytes.get(from..)?;
        Some(from + rest.windows(2).position(|two| two == b"\r\n")? + 2)
    };
    let mut at = line_end(0)?;
    let mut part = 0..0;
    for _ in 0..3 {
        let end = line_end(at)?;
        let length: usize = std::str::from_utf8(bytes.get(at + 1..end - 2)?).ok()?.parse().ok()?;
        part = end..end + length;
        at = end + length + 2;
    }
    let body = bytes.get(part)?;
    (at <= bytes.len()).then(|| (data::key_of(body), at))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The aim: a complete message is parsed by its lengths, not by its content.
    #[test]
    fn messages_are_parsed_once_they_are_whole() {
        let body = data::message(1, 42);
        let message =
            format!("*3\r\n$7\r\nmessage\r\n$8\r\nauthor:1\r\n${}\r\n{body}\r\n", body.len());
        let message = message.as_bytes();
        assert_eq!(parse(message), Some((Some(42), message.len())));
        assert!((0..message.len()).all(|end| parse(&message[..end]).is_none()));
    }
}
