//! The server that is flooded: the built program, with posts to read.

use std::fs;
use std::io::{BufRead, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use whimbrel::api::v1::feed_service_client::FeedServiceClient;
use whimbrel::api::v1::{FollowRequest, PublishRequest};

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

/// A running server. It is killed when dropped.
pub(crate) struct Target {
    child: Child,
    address: SocketAddr,
    /// It goes on printing.
    _stdout: BufReader<ChildStdout>,
    _folder: TempDir,
}

impl Target {
    /// Starts a server and fills its feed, with these variables of the environment.
    pub(crate) async fn start(variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the data");
        let program = std::env::var_os(PROGRAM_VARIABLE)
            .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_whimbrel")), PathBuf::from);
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"WHIMBREL_") {
                command.env_remove(name);
            }
        }
        command.envs(variables.iter().copied());
        command.env("WHIMBREL_DISK_FREE_MIN", "0");
        command.args(["serve", "--log", "warn", "--listen", "127.0.0.1:0", "--data"]);
        command.arg(folder.path()).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program is built");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        stdout.read_line(&mut line).expect("it says where it listens");
        let address =
            line.split_whitespace().find_map(|word| word.trim_end_matches(',').parse().ok());
        let address = address.unwrap_or_else(|| panic!("no address in {line:?}"));
        let target = Self { child, address, _stdout: stdout, _folder: folder };
        target.fill().await;
        target
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A connection of its own.
    pub(crate) async fn connect(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address));
        endpoint.expect("an address").connect().await.expect("the server listens")
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
        let follow = FollowRequest { user_id: READER.to_owned(), followee_id: AUTHOR.to_owned() };
        feeds.follow(follow).await.expect("a follow");
        for _ in 0..LARGE_POSTS {
            let post = PublishRequest {
                author_id: AUTHOR.to_owned(),
                text: LARGE_CHARACTER.repeat(300),
                ..PublishRequest::default()
            };
            feeds.publish(post).await.expect("a post");
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
