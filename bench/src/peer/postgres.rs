//! PostgreSQL, with the classic schema, in two designs: a feed is joined when it is read, or stored
//! in a table of all timelines that each publish writes. Each watcher LISTENs to a channel of its
//! own, which the publishing transaction notifies. An unfollow never removes a stored entry.

use std::collections::HashMap;
use std::future::poll_fn;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use rustix::process::Signal;
use tokio::task::JoinSet;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Socket, Statement};

use super::{Caller, Programs, Reader, System, data_folder, serve};
use crate::data::{self, Data};
use crate::error::Error;
use crate::load::{Callers, lock};
use crate::server::{Server, free_port};
use crate::watchers::{Sink, Watcher};

/// How to install the server.
pub(super) const HOW_TO_INSTALL: &str = "apt-get install postgresql-15";
/// The user of the server process: the server refuses to run as root.
const USER: &str = "postgres";
/// Most connections of callers: the server accepts 100 by default, and watchers need some.
const CONNECTIONS_MAX: usize = 64;
/// Most watchers on connections of their own, of the 100 that the server accepts by default.
pub(super) const WATCHERS_MAX: u32 = 90;
/// Bytes of one send while data is loaded.
const COPY_BYTES: usize = 1 << 20;

const SCHEMA: &str = "
    CREATE TABLE follows (follower bigint NOT NULL, followee bigint NOT NULL);
    CREATE TABLE posts (id bigserial NOT NULL, author bigint NOT NULL, body text NOT NULL,
                        created timestamptz NOT NULL DEFAULT now());";
/// Created after the data is loaded, which is faster.
const INDEXES: &str = "
    ALTER TABLE follows ADD PRIMARY KEY (follower, followee);
    ALTER TABLE posts ADD PRIMARY KEY (id);
    CREATE INDEX ON follows (followee, follower);
    CREATE INDEX ON posts (author, id DESC);
    ANALYZE;
    CHECKPOINT;";
/// How feeds are made.
#[derive(Debug)]
pub(super) struct Design {
    /// Fills what is stored of feeds, after [`INDEXES`].
    feeds: &'static str,
    publish: &'static str,
    publish_live: &'static str,
    /// Queries for a page of a feed, of which the fastest is used.
    pages: &'static [&'static str],
}

/// Feeds that are joined when they are read. Of the two queries, a plain join, and one with the
/// newest posts of each followee, the second one is faster for users with few followees.
pub(super) const JOINED: Design = Design {
    feeds: "",
    publish: "INSERT INTO posts (author, body) VALUES ($1, $2)",
    publish_live: "
    WITH post AS (INSERT INTO posts (author, body) VALUES ($1, $2))
    SELECT pg_notify('feed_' || follower, $3) FROM follows WHERE followee = $1",
    pages: &[
        "SELECT post.id, post.author, post.body, post.created::text
         FROM posts post JOIN follows ON follows.followee = post.author
         WHERE follows.follower = $1 ORDER BY post.id DESC LIMIT 50",
        "SELECT post.id, post.author, post.body, post.created::text
         FROM follows CROSS JOIN LATERAL (
             SELECT * FROM posts WHERE author = follows.followee ORDER BY id DESC LIMIT 50) post
         WHERE follows.follower = $1 ORDER BY post.id DESC LIMIT 50",
    ],
};
/// Feeds that a publish writes, in the same transaction. 800 entries of each are loaded, as many as
/// Redis keeps. Removing older ones would be the work of a job, which is not measured.
pub(super) const STORED: Design = Design {
    feeds: "
    CREATE TABLE timeline (user_id bigint NOT NULL, post_id bigint NOT NULL);
    INSERT INTO timeline
        SELECT reader.id, newest.id
        FROM (SELECT DISTINCT follower AS id FROM follows) reader CROSS JOIN LATERAL (
            SELECT posts.id FROM follows JOIN posts ON posts.author = follows.followee
            WHERE follows.follower = reader.id ORDER BY posts.id DESC LIMIT 800) newest;
    ALTER TABLE timeline ADD PRIMARY KEY (user_id, post_id);
    ANALYZE;
    CHECKPOINT;",
    publish: "
    WITH post AS (INSERT INTO posts (author, body) VALUES ($1, $2) RETURNING id)
    INSERT INTO timeline SELECT follower, post.id FROM follows, post WHERE followee = $1",
    publish_live: "
    WITH post AS (INSERT INTO posts (author, body) VALUES ($1, $2) RETURNING id),
    stored AS (INSERT INTO timeline
               SELECT follower, post.id FROM follows, post WHERE followee = $1)
    SELECT pg_notify('feed_' || follower, $3) FROM follows WHERE followee = $1",
    pages: &["SELECT post.id, post.author, post.body, post.created::text
         FROM timeline JOIN posts post ON post.id = timeline.post_id
         WHERE timeline.user_id = $1 ORDER BY timeline.post_id DESC LIMIT 50"],
};
/// The follows with their indexes.
const FOLLOWS_BYTES: &str = "SELECT pg_total_relation_size('follows')";
/// Runs of each query before one is chosen.
const TRIES: usize = 5;

/// A PostgreSQL server that the bench started.
#[derive(Debug)]
pub(super) struct Postgres {
    server: Server,
    port: u16,
    design: &'static Design,
}

struct Calls {
    client: Client,
    publish: Statement,
    publish_live: Statement,
    pages: Vec<Statement>,
    /// The index of the fastest of the pages' queries, by user.
    fastest: Mutex<HashMap<u32, usize>>,
    floor: Statement,
    /// Reads and writes until it is dropped.
    _connection: JoinSet<()>,
}

impl Postgres {
    pub(super) async fn start(
        programs: &Programs,
        design: &'static Design,
        data: &Data,
    ) -> Result<Self, Error> {
        let port = free_port()?;
        let folder = data_folder(programs)?;
        let owner = owner()?;
        own(folder.path(), owner)?;
        let mut initdb = Command::new(programs.postgres.join("initdb"));
        initdb.args(["--auth=trust", "--username", USER, "--pgdata"]).arg(folder.path());
        let made = as_owner(&mut initdb, owner).stdout(Stdio::null()).output()?;
        if !made.status.success() {
            let why = String::from_utf8_lossy(&made.stderr).into_owned();
            return Err(Error::Failed(format!("initdb: {why}")));
        }
        let program = programs.postgres.join("postgres");
        let server = Server::new(folder, move |dir| {
            let mut command = Command::new(&program);
            command.arg("-D").arg(dir).args(["-h", "127.0.0.1", "-p", &port.to_string(), "-k", ""]);
            as_owner(&mut command, owner);
            command
        })?;
        let system = Self { server, port, design };
        serve(&system).await?;
        system.load(data).await?;
        Ok(system)
    }

    async fn connect(
        &self,
    ) -> Result<(Client, tokio_postgres::Connection<Socket, NoTlsStream>), Error> {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user(USER).dbname(USER);
        let is_full =
            |error: &tokio_postgres::Error| error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS);
        config.connect(NoTls).await.map_err(|error| {
            if is_full(&error) {
                Error::NotOffered("it accepts 100 connections by default")
            } else {
                error.into()
            }
        })
    }

    async fn client(&self) -> Result<(Client, JoinSet<()>), Error> {
        let (client, connection) = self.connect().await?;
        let mut task = JoinSet::new();
        task.spawn(async move {
            // The caller notices its end.
            let _ = connection.await;
        });
        Ok((client, task))
    }

    async fn load(&self, data: &Data) -> Result<(), Error> {
        let (client, _connection) = self.client().await?;
        client.batch_execute(SCHEMA).await?;
        let edges =
            data.edges.iter().map(|(follower, followee)| format!("{follower}\t{followee}\n"));
        copy(&client, "COPY follows FROM STDIN", edges).await?;
        let posts =
            (0..data.posts).map(|post| format!("{}\t{}\n", data.author_of(post), data::text(post)));
        copy(&client, "COPY posts (author, body) FROM STDIN", posts).await?;
        client.batch_execute(INDEXES).await?;
        Ok(client.batch_execute(self.design.feeds).await?)
    }
}

#[async_trait]
impl System for Postgres {
    fn server(&self) -> &Server {
        &self.server
    }

    async fn answers(&self) -> Result<(), Error> {
        let (client, _connection) = self.client().await?;
        Ok(client.batch_execute("SELECT 1").await?)
    }

    async fn callers(&self, in_flight: usize) -> Result<Callers, Error> {
        let mut callers = Callers::new();
        for _ in 0..in_flight.min(CONNECTIONS_MAX) {
            let (client, connection) = self.client().await?;
            let mut pages = Vec::new();
            for page in self.design.pages {
                pages.push(client.prepare(page).await?);
            }
            callers.push(Arc::new(Calls {
                publish: client.prepare(self.design.publish).await?,
                publish_live: client.prepare(self.design.publish_live).await?,
                pages,
                fastest: Mutex::default(),
                floor: client.prepare("SELECT 1").await?,
                client,
                _connection: connection,
            }));
        }
        Ok(callers)
    }

    async fn watch(&self, watchers: Vec<Watcher>) -> Result<Vec<Reader>, Error> {
        let (client, connection) = self.connect().await?;
        let listens: String =
            watchers.iter().map(|watcher| format!("LISTEN feed_{};", watcher.user)).collect();
        let sinks = watchers
            .into_iter()
            .map(|watcher| (format!("feed_{}", watcher.user), watcher.sink))
            .collect();
        let mut reading = Box::pin(read(connection, sinks));
        tokio::select! {
            listening = client.batch_execute(&listens) => listening?,
            () = &mut reading => {
                return Err(Error::Failed("the server closed the connection".to_owned()));
            }
        }
        Ok(vec![Box::pin(async move {
            reading.await;
            drop(client);
        })])
    }

    async fn follows_bytes(&self) -> Result<Option<f64>, Error> {
        let (client, _connection) = self.client().await?;
        let bytes: i64 = client.query_one(FOLLOWS_BYTES, &[]).await?.get(0);
        Ok(Some(bytes as f64))
    }

    fn tables(&self) -> PathBuf {
        self.server.dir().join("base")
    }

    fn stop_signal(&self) -> Signal {
        // Its "fast" shutdown, which does not wait for clients.
        Signal::INT
    }
}

impl Calls {
    /// Chooses the fastest query, as an operator would.
    async fn choose(&self, user: u32) -> Result<usize, Error> {
        let mut fastest = (Duration::MAX, 0);
        for _ in 0..TRIES {
            for (number, page) in self.pages.iter().enumerate() {
                let begun = Instant::now();
                self.client.query(page, &[&i64::from(user)]).await?;
                fastest = fastest.min((begun.elapsed(), number));
            }
        }
        lock(&self.fastest).insert(user, fastest.1);
        Ok(fastest.1)
    }
}

#[async_trait]
impl Caller for Calls {
    async fn publish(&self, author: u32, post: u64) -> Result<u64, Error> {
        let (author, text) = (i64::from(author), data::text(post));
        self.client.execute(&self.publish, &[&author, &text]).await?;
        Ok(post)
    }

    async fn publish_live(&self, author: u32, post: u64) -> Result<u64, Error> {
        let (message, text) = (data::message(author, post), data::text(post));
        let author = i64::from(author);
        self.client.query(&self.publish_live, &[&author, &text, &message]).await?;
        Ok(post)
    }

    async fn feed(&self, user: u32) -> Result<usize, Error> {
        let known = lock(&self.fastest).get(&user).copied();
        let fastest = match known {
            Some(fastest) => fastest,
            None => self.choose(user).await?,
        };
        Ok(self.client.query(&self.pages[fastest], &[&i64::from(user)]).await?.len())
    }

    async fn floor(&self) -> Result<(), Error> {
        self.client.query(&self.floor, &[]).await?;
        Ok(())
    }
}

/// Records the notifications.
async fn read(
    mut connection: tokio_postgres::Connection<Socket, NoTlsStream>,
    sinks: HashMap<String, Sink>,
) {
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        if let AsyncMessage::Notification(notification) = message {
            let key = data::key_of(notification.payload().as_bytes());
            sinks.get(notification.channel()).inspect(|sink| sink.add(key, Instant::now()));
        }
    }
}

async fn copy(
    client: &Client,
    statement: &str,
    lines: impl Iterator<Item = String>,
) -> Result<(), Error> {
    let mut sink = Box::pin(client.copy_in::<_, Bytes>(statement).await?);
    let mut chunk = String::new();
    let mut lines = lines.peekable();
    while let Some(line) = lines.next() {
        chunk += &line;
        if chunk.len() >= COPY_BYTES || lines.peek().is_none() {
            futures_util::SinkExt::send(&mut sink, Bytes::from(std::mem::take(&mut chunk))).await?;
        }
    }
    sink.as_mut().finish().await?;
    Ok(())
}

/// The user id and group id of the server process; `None` if the bench does not run as root: then
/// the server has the user of the bench.
fn owner() -> Result<Option<(u32, u32)>, Error> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd")?;
    let fields = users.lines().find_map(|line| line.strip_prefix(&format!("{USER}:")));
    let mut ids = fields.into_iter().flat_map(|fields| fields.split(':').skip(1).take(2));
    match (ids.next(), ids.next()) {
        (Some(user), Some(group)) => Ok(Some((user.parse()?, group.parse()?))),
        _ => Err(Error::NotInstalled(format!("no user {USER}: {HOW_TO_INSTALL}"))),
    }
}

/// Makes the server's user the owner of `dir`, and gives access to nobody else.
fn own(dir: &Path, owner: Option<(u32, u32)>) -> Result<(), Error> {
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))?;
    if let Some((user, group)) = owner {
        chown(dir, Some(user), Some(group))?;
    }
    Ok(())
}

fn as_owner(command: &mut Command, owner: Option<(u32, u32)>) -> &mut Command {
    if let Some((user, group)) = owner {
        // That user may have no access to the current folder.
        command.uid(user).gid(group).current_dir("/");
    }
    command
}
