//! Keys that are fetched from a provider: at the start, when they change, and never too often.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jsonwebtoken::Algorithm;
use tempfile::{TempDir, tempdir};
use whimbrel::auth::{Auth, Caller, Options, Refusal, Settings};
use whimbrel::runtime::{Clock, CriticalThreads};

use super::issuer::{AUDIENCE, ISSUER, NOW, SigningKey, claims, key_set};
use crate::harness::{eventually, within};

/// A provider of keys. Ends with the process.
#[derive(Clone)]
pub(crate) struct Provider {
    pub(crate) address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    asked: Arc<Mutex<Vec<String>>>,
}

/// How it answers.
#[derive(Clone)]
pub(crate) enum Answer {
    Keys(String),
    Redirect(String),
    Error,
    /// It never does.
    Silence,
}

impl Provider {
    pub(crate) fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let provider =
            Self { address, answer: Arc::new(Mutex::new(answer)), asked: Arc::default() };
        let it = provider.clone();
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for socket in listener.incoming() {
                let mut socket = socket.unwrap();
                let mut lines = BufReader::new(socket.try_clone().unwrap()).lines();
                let first = lines.next().and_then(Result::ok).unwrap_or_default();
                while lines.next().and_then(Result::ok).is_some_and(|line| !line.is_empty()) {}
                it.asked.lock().unwrap().push(first);
                let answer = it.answer.lock().unwrap().clone();
                let (status, head, body) = match answer {
                    Answer::Keys(keys) => ("200 OK", String::new(), keys),
                    Answer::Redirect(to) => {
                        ("302 Found", format!("location: {to}\r\n"), String::new())
                    }
                    Answer::Error => ("503 Service Unavailable", String::new(), String::new()),
                    Answer::Silence => {
                        silent.push(socket);
                        continue;
                    }
                };
                let length = body.len();
                // Who asked may be gone.
                let _ = write!(
                    socket,
                    "HTTP/1.1 {status}\r\n{head}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
            }
        });
        provider
    }

    pub(crate) fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    /// The settings of a server that takes its tokens.
    pub(crate) fn settings(&self) -> String {
        let address = self.address;
        format!(
            "[[issuer]]\nissuer = '{ISSUER}'\naudience = '{AUDIENCE}'\n\
             jwks_url = 'http://{address}/keys'\n"
        )
    }

    /// Who may call with its tokens, where the data are in `folder`.
    pub(crate) fn trusted_in(&self, folder: &Path, clock: &Clock) -> Auth {
        let settings = Settings::parse(&self.settings(), folder).unwrap();
        let options = Options { settings, development: false };
        Auth::open(options, folder, clock.clone(), &CriticalThreads::new()).unwrap()
    }

    fn times_asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

/// Who may call with tokens of `provider`.
fn trusting(provider: &Provider) -> (Auth, TempDir) {
    let folder = tempdir().unwrap();
    let clock = Clock::held_at(Duration::from_secs(NOW));
    (provider.trusted_in(folder.path(), &clock), folder)
}

pub(crate) async fn identify(auth: &Auth, token: &str) -> Result<Caller, Refusal> {
    let caller = within("a fetch", auth.identify(Some(token), &[])).await?;
    Ok(caller.expect("there is a token"))
}

/// Keys are fetched at the start, and the last good ones stay when the provider is in trouble.
#[tokio::test]
async fn the_last_good_keys_stay() {
    let key = SigningKey::new(Algorithm::ES256, "1");
    let provider = Provider::start(Answer::Keys(key_set(&[&key])));
    let (auth, _folder) = trusting(&provider);
    identify(&auth, &key.sign(&claims("alice", NOW))).await.expect("the first call waits for keys");
    assert_eq!(provider.times_asked(), 1);
    assert!(provider.asked.lock().unwrap()[0].starts_with("GET /keys HTTP/1.1"));
    for trouble in [Answer::Error, Answer::Keys("{}".to_owned()), Answer::Keys(String::new())] {
        provider.answers(trouble);
        identify(&auth, &key.sign(&claims("bob", NOW))).await.expect("the keys are known");
    }
}

/// Without any keys a call is asked to come again, and no redirect is followed.
#[tokio::test]
async fn a_provider_that_is_down_is_no_refusal_of_the_token() {
    let key = SigningKey::new(Algorithm::ES256, "1");
    let elsewhere = Provider::start(Answer::Keys(key_set(&[&key])));
    let there = format!("http://{}/keys", elsewhere.address);
    for trouble in [Answer::Error, Answer::Redirect(there), Answer::Keys("[]".to_owned())] {
        let provider = Provider::start(trouble);
        let (auth, _folder) = trusting(&provider);
        let answer = identify(&auth, &key.sign(&claims("alice", NOW))).await;
        assert_eq!(answer.map(|_| ()), Err(Refusal::NoKeys));
        eventually("a fetch", async || (provider.times_asked() > 0).then_some(())).await;
    }
    assert_eq!(elsewhere.times_asked(), 0, "a redirect was followed");
}

/// Made-up keys make no more fetches than one in ten seconds, and hold no call: neither those of
/// known keys, nor more than a few of themselves.
#[tokio::test]
async fn unknown_keys_are_no_lever() {
    let key = SigningKey::new(Algorithm::ES256, "1");
    let provider = Provider::start(Answer::Keys(key_set(&[&key])));
    let (auth, _folder) = trusting(&provider);
    let good = key.sign(&claims("alice", NOW));
    identify(&auth, &good).await.expect("the keys are fetched");
    let fetched = provider.times_asked();
    provider.answers(Answer::Silence);
    for number in 0..1_000 {
        let made_up = key.with_id(&format!("made up {number}"));
        let answer = identify(&auth, &made_up.sign(&claims("mallory", NOW))).await;
        assert_eq!(answer.map(|_| ()), Err(Refusal::UnknownKey));
    }
    assert!(provider.times_asked() <= fetched + 1, "{} fetches", provider.times_asked());
    identify(&auth, &good).await.expect("known keys need no provider");
}
