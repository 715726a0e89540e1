//! The server that is flooded: the built program, with posts to read.

use std::fs;
use std::io::{BufRead, BufReader, Read as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tempfile::TempDir;
use tonic::Request;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use whimbrel::api::v1::feed_service_client::FeedServiceClient;
use whimbrel::api::v1::{FollowRequest, PublishRequest};

use crate::provider::Provider;

/// The user whose feed is full of large posts.
pub(crate) const READER: &str = "reader";
/// The author of those.
pub(crate) const AUTHOR: &str = "author";
/// A page of them is some 300 KB.
const LARGE_POSTS: usize = 100;
/// As large as a text may be: 300 characters of 10 bytes.
const LARGE_CHARACTER: &str = "\u{1f426}\u{200d}\u{2b1b}";
/// Another program to flood than the one that is built with the tests.
const PROGRAM_VARIABLE: &str = "WHIMBREL_FLOODED";

/// Files that a server may open besides those that it has, where they run out.
const FILES_LEFT: u64 = 20;

/// How the server that is flooded is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Serves {
    /// Everybody, in clear text.
    Anybody,
    /// Who has a token of a provider.
    Tokens,
    /// Everybody, with TLS.
    Tls,
    /// Everybody, with few files that it may open once its callers are connected.
    FewFiles,
}

/// What attackers know of the server.
#[derive(Clone)]
pub(crate) struct Attacked {
    pub(crate) address: SocketAddr,
    /// Of a server for [`Serves::Tokens`].
    pub(crate) provider: Option<Arc<Provider>>,
}

impl Attacked {
    /// The provider whose tokens the server takes.
    pub(crate) fn provider(&self) -> &Provider {
        self.provider.as_deref().expect("the flood is of a server that asks for tokens")
    }
}

/// A running server. It is killed when dropped.
pub(crate) struct Target {
    serves: Serves,
    child: Child,
    address: SocketAddr,
    provider: Option<Arc<Provider>>,
    /// It goes on printing.
    _stdout: BufReader<ChildStdout>,
    folder: TempDir,
}

impl Target {
    /// Starts a server and fills its feed.
    pub(crate) async fn start(serves: Serves) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the data");
        let program = std::env::var_os(PROGRAM_VARIABLE)
            .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_whimbrel")), PathBuf::from);
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"WHIMBREL_") {
                command.env_remove(name);
            }
        }
        command.env("WHIMBREL_DISK_FREE_MIN", "0");
        command.env("WHIMBREL_ADMIN_LISTEN", "none");
        command.args(["serve", "--log", "warn", "--listen", "127.0.0.1:0", "--data"]);
        command.arg(folder.path());
        let mut provider = None;
        match serves {
            Serves::Anybody | Serves::FewFiles => {}
            Serves::Tls => drop(command.arg("--tls-self-signed")),
            Serves::Tokens => {
                let file = folder.path().join("auth.toml");
                let started = Provider::start().await;
                started.write_settings(&file);
                command.arg("--auth-file").arg(file);
                provider = Some(Arc::new(started));
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program is built");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        stdout.read_line(&mut line).expect("it says where it listens");
        let words = line.split_whitespace().map(|word| word.trim_end_matches(','));
        let address =
            words.filter_map(|word| word.trim_start_matches("https://").parse().ok()).next();
        let address = address.unwrap_or_else(|| panic!("no address in {line:?}"));
        let target = Self { serves, child, address, provider, _stdout: stdout, folder };
        target.fill().await;
        target
    }

    /// What attackers know of it.
    pub(crate) fn attacked(&self) -> Attacked {
        Attacked { address: self.address, provider: self.provider.clone() }
    }

    /// The provider whose tokens it takes.
    pub(crate) fn provider(&self) -> Option<&Provider> {
        self.provider.as_deref()
    }

    /// Takes from it what it lacks while it is flooded.
    pub(crate) fn prepare(&self) {
        if self.serves == Serves::FewFiles {
            let open =
                fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs").count();
            let most = Some(open as u64 + FILES_LEFT);
            let process = Pid::from_child(&self.child);
            let limit = Rlimit { current: most, maximum: most };
            prlimit(Some(process), Resource::Nofile, limit).expect("a limit may be lowered");
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A connection of its own.
    pub(crate) async fn connect(&self) -> Channel {
        self.connect_from(Ipv4Addr::LOCALHOST.into()).await
    }

    /// The same, from this address of the machine.
    pub(crate) async fn connect_from(&self, address: IpAddr) -> Channel {
        let scheme = if self.serves == Serves::Tls { "https" } else { "http" };
        let endpoint = Endpoint::from_shared(format!("{scheme}://{}", self.address));
        let mut endpoint = endpoint.expect("an address").local_address(Some(address));
        if self.serves == Serves::Tls {
            let authority = fs::read(self.folder.path().join("tls/ca.pem")).expect("it made one");
            let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority));
            endpoint = endpoint.tls_config(tls).expect("a certificate");
        }
        endpoint.connect().await.expect("the server listens")
    }

    /// The time that processors have worked for it.
    pub(crate) fn processor_time(&self) -> Duration {
        let of_process = processor_time(Path::new(&format!("/proc/{}/stat", self.child.id())));
        of_process.expect("it runs").1
    }

    /// The same for those of its threads whose names begin with `name`, and which never end.
    pub(crate) fn processor_time_of(&self, name: &str) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        let threads = tasks.flatten().filter_map(|task| processor_time(&task.path().join("stat")));
        threads.filter_map(|(thread, time)| thread.starts_with(name).then_some(time)).sum()
    }

    /// Its resident memory, in MiB.
    pub(crate) fn memory_mib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.expect("the kernel knows") >> 10
    }

    /// The largest resident memory that it has had, in MiB, while `done` was not complete.
    pub(crate) async fn memory_mib_during<T>(&self, done: impl Future<Output = T>) -> (T, u64) {
        let mut done = std::pin::pin!(done);
        let mut most = self.memory_mib();
        loop {
            tokio::select! {
                out = &mut done => return (out, most.max(self.memory_mib())),
                () = tokio::time::sleep(Duration::from_millis(20)) => {
                    most = most.max(self.memory_mib());
                }
            }
        }
    }

    /// Ends it. Gives the lines that it logged.
    pub(crate) fn logged(mut self) -> String {
        let _ = self.child.kill();
        let mut log = String::new();
        let mut stderr = self.child.stderr.take().expect("it is piped");
        stderr.read_to_string(&mut log).expect("it logs UTF-8");
        log
    }

    async fn fill(&self) {
        let mut feeds = FeedServiceClient::new(self.connect().await);
        let token = self.provider().map(Provider::token_of_backend);
        let follow = FollowRequest { user_id: READER.to_owned(), followee_id: AUTHOR.to_owned() };
        feeds.follow(with_token(follow, token.as_deref())).await.expect("a follow");
        for _ in 0..LARGE_POSTS {
            let post = PublishRequest {
                user_id: AUTHOR.to_owned(),
                text: LARGE_CHARACTER.repeat(300),
                ..PublishRequest::default()
            };
            feeds.publish(with_token(post, token.as_deref())).await.expect("a post");
        }
    }
}

/// A request with a bearer token, if there is one.
pub(crate) fn with_token<T>(message: T, token: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().expect("a token is ASCII");
        request.metadata_mut().insert("authorization", value);
    }
    request
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The name and the processor time of a process or a thread, from its file `stat` in `/proc`.
fn processor_time(stat: &Path) -> Option<(String, Duration)> {
    let stat = fs::read_to_string(stat).ok()?;
    let (head, rest) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let mut times = rest.split_whitespace().skip(11).map_while(|ticks| ticks.parse::<u64>().ok());
    let ticks = times.next()? + times.next()?;
    let time = Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second());
    Some((name.to_owned(), time))
}
