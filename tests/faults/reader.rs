//! A reader in a process of its own: the program's `watch`, which can be stopped, and put into another
//! network. What it has printed is compared with what an author published.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use whimbrel::api::v1::{FollowRequest, PublishRequest};
use whimbrel::client::Client;

use crate::patience::eventually;

/// The reader follows only this user.
const AUTHOR: &str = "author";
const READER: &str = "reader";

/// A process that prints what it reads. It is killed when dropped.
pub(crate) struct Reader {
    process: Child,
    prints: PathBuf,
}

/// The user whom a reader follows, and how often it has published.
pub(crate) struct Author {
    client: Client,
    texts: Vec<String>,
}

impl Author {
    /// The author that readers of the server at `address` follow.
    pub(crate) async fn new(address: SocketAddr) -> Self {
        let client = Client::connect(&address.to_string()).await.expect("the server listens");
        let follow = FollowRequest { user_id: READER.into(), followee_id: AUTHOR.into() };
        client.follow(follow).await.expect("it is answered");
        Self { client, texts: Vec::new() }
    }

    /// Publishes one post more, with `bytes` or a little more.
    pub(crate) async fn publish(&mut self, bytes: usize) {
        let text = format!("{} {}", self.texts.len(), "x".repeat(bytes));
        let (user_id, text) = (AUTHOR.to_owned(), text.trim().to_owned());
        let post = PublishRequest { user_id, text: text.clone(), ..Default::default() };
        self.client.publish(post).await.expect("it is answered");
        self.texts.push(text);
    }

    /// How many posts were acknowledged.
    pub(crate) fn published(&self) -> u64 {
        self.texts.len() as u64
    }
}

impl Reader {
    /// Starts it by `command`, which is the program, and waits until its stream is open.
    pub(crate) async fn start(
        mut command: Command,
        address: SocketAddr,
        prints: &Path,
        heartbeat_s: &str,
    ) -> Self {
        command.args(["watch", READER, "--heartbeat", heartbeat_s, "--json", "--addr"]);
        command.arg(address.to_string()).stdin(Stdio::null()).stderr(Stdio::null());
        command.stdout(File::create(prints).expect("a file"));
        let process = command.spawn().expect("the program is built");
        let reader = Self { process, prints: prints.to_owned() };
        let is_open = || reader.lines().iter().any(|it| it.get("opened").is_some()).then_some(());
        eventually("an open stream", is_open).await;
        reader
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("it is our child");
    }

    /// Waits until it has printed all posts of `author`, each once and in their order.
    pub(crate) async fn has_all_of(&self, author: &Author) {
        let texts = eventually("all posts", || {
            let texts = self.texts();
            (texts.len() >= author.texts.len()).then_some(texts)
        });
        assert!(texts.await == author.texts, "posts are missing, or there twice");
    }

    fn texts(&self) -> Vec<String> {
        let lines = self.lines();
        let events = lines.iter().filter_map(|line| line["batch"]["events"].as_array()).flatten();
        let text =
            |event: &Value| event["posted"]["item"]["post"]["text"].as_str().map(str::to_owned);
        events.filter_map(text).collect()
    }

    /// The whole lines that it has printed.
    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.prints).expect("it is there");
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
