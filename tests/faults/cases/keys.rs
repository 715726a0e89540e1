//! Kills while API keys are in play: all callers have one, and others are made and revoked meanwhile.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use whimbrel::api::v1::NewsFeedRequest;
use whimbrel::client::{Client, ConnectOptions, Error, TokenSource};

use crate::case::{Case, Missing, Outcome, block_on};
use crate::model::Model;
use crate::server::{PROGRAM, Server, Setup, check_data};

pub(crate) const KILLS: Case = Case {
    name: "kill with keys in play",
    how: "SIGKILL of a server with authentication under load, and of a `key create` or `key revoke` that runs \
          at that moment",
    holds: "the start after them succeeds; each key that was shown is accepted, and each that was revoked is \
            refused",
    short: 4,
    long: 40,
    run: |times| Ok::<_, Missing>(block_on(kill(times))),
};

const CHANGES_MAX: u64 = 300;
/// A verb takes some tens of milliseconds: a kill within this time meets any part of it.
const VERB_MS_MAX: u64 = 60;

/// The keys of which it is known whether they are good.
#[derive(Default)]
struct Keys {
    /// Their ids and secrets.
    good: Vec<(String, String)>,
    revoked: Vec<String>,
    /// Verbs that were killed before they had said what they did.
    killed: usize,
}

async fn kill(times: usize) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    // As fast as they can: the writers are not what quotas are for.
    let setup = Setup::new(folder.path()).argument("--auth");
    let setup = ["READS", "CHANGES", "STREAM_OPENS"].iter().fold(setup, |setup, what| {
        let setup = setup.variable(&format!("WHIMBREL_USER_{what}_MAX"), "100000");
        setup.variable(&format!("WHIMBREL_ADDRESS_{what}_MAX"), "100000")
    });
    let mut keys = Keys::default();
    keys.finish(create(&setup), None);
    let (_, secret) = keys.good.first().expect("nothing kills this one").clone();
    let mut server = setup.start();
    let mut model = Model::with(server.address, with_key(&secret)).await;
    for number in 0..times {
        let writing = model.write(server.address).await;
        writing.some_moment(CHANGES_MAX).await;
        // One that will be there, and one that may be.
        keys.finish(create(&setup), None);
        let revoked = (number % 2 == 1 && keys.good.len() > 1)
            .then(|| keys.good.swap_remove(fastrand::usize(1..keys.good.len())));
        let mut verb = match &revoked {
            Some((id, _)) => spawn(&setup, &["revoke", id]),
            None => create(&setup),
        };
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..VERB_MS_MAX))).await;
        server.kill();
        verb.kill().expect("it is our child");
        keys.finish(verb, revoked.map(|(_, secret)| secret));
        (model, _) = writing.lost().await;
        server = setup.start();
        keys.check(&server).await;
        model.check(server.address).await;
    }
    server.stop().await;
    check_data(setup.data());
    let Keys { good, revoked, killed } = keys;
    let (good, revoked) = (good.len(), revoked.len());
    Outcome::of(times, &model)
        .noting(format!("{good} keys were good, {revoked} revoked; {killed} verbs were killed"))
}

impl Keys {
    /// Waits for a verb that may have been killed, and takes what it said.
    fn finish(&mut self, verb: Child, revoked: Option<String>) {
        let output = verb.wait_with_output().expect("it is our child");
        let said = String::from_utf8(output.stdout).expect("it prints UTF-8");
        // Half of a line is no answer.
        let Some(key) = said.lines().find_map(|it| serde_json::from_str::<Value>(it).ok()) else {
            assert_eq!(output.status.code(), None, "it was killed: {said}");
            self.killed += 1;
            return;
        };
        let word = |name: &str| key["key"][name].as_str().expect("a text").to_owned();
        match revoked {
            Some(secret) => self.revoked.push(secret),
            None => self.good.push((word("id"), word("secret"))),
        }
    }

    async fn check(&self, server: &Server) {
        for (id, secret) in &self.good {
            let read = read_with(server, secret).await;
            assert!(read.is_ok(), "the key {id} was shown, and is refused: {read:?}");
        }
        for secret in &self.revoked {
            let read = read_with(server, secret).await;
            let is_refused = matches!(&read, Err(Error::Call(it)) if it.code == "UNAUTHENTICATED");
            assert!(is_refused, "a key that was revoked: {read:?}");
        }
    }
}

async fn read_with(server: &Server, secret: &str) -> Result<(), Error> {
    let client = Client::connect_with(&server.address.to_string(), &with_key(secret)).await?;
    let page = NewsFeedRequest { user_id: "reader".to_owned(), ..Default::default() };
    client.news_feed(page).await.map(drop)
}

fn with_key(secret: &str) -> ConnectOptions {
    let token = Some(TokenSource::Text(secret.to_owned().into()));
    ConnectOptions { token, ..Default::default() }
}

fn create(setup: &Setup) -> Child {
    spawn(setup, &["create", "--name", "backend", "--role", "service"])
}

fn spawn(setup: &Setup, arguments: &[&str]) -> Child {
    let mut verb = Command::new(PROGRAM);
    verb.args(["--json", "key"]).args(arguments).arg("--data").arg(setup.data());
    verb.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program is built")
}
