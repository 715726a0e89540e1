//! Requests to an admin listener, and the metrics that it answers with.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::patience::within;

/// An answer of an admin listener.
#[derive(Debug)]
pub(crate) struct AdminAnswer {
    pub(crate) code: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// The samples of a scrape by their names, with their labels as text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scraped(pub(crate) BTreeMap<String, f64>);

/// Gets a page.
pub(crate) async fn get(address: SocketAddr, path: &str) -> AdminAnswer {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: whimbrel\r\n\r\n")).await
}

/// Sends the bytes of a request, and reads until the server closes.
pub(crate) async fn ask(address: SocketAddr, request: &str) -> AdminAnswer {
    let answered = within("an answer of the admin listener", async {
        let mut socket = TcpStream::connect(address).await.expect("it listens");
        socket.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("it answers in UTF-8");
        answer
    });
    let answer = answered.await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a code");
    AdminAnswer { code, head: head.to_lowercase(), body: body.to_owned() }
}

/// All metrics, in the form of Prometheus.
pub(crate) async fn scrape(address: SocketAddr) -> Scraped {
    let answer = get(address, "/metrics").await;
    assert_eq!(answer.code, 200, "{answer:?}");
    let lines = answer.body.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        (name.to_owned(), value.parse().expect("a number"))
    };
    Scraped(lines.map(sample).collect())
}

impl Scraped {
    /// The sum of the samples whose text begins with `name` and has all of `labels`.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels: Vec<_> = labels.iter().map(|(key, it)| format!("{key}=\"{it}\"")).collect();
        let is_wanted = |sample: &&str| {
            sample.split('{').next() == Some(name) && labels.iter().all(|it| sample.contains(it))
        };
        let samples = self.0.iter().map(|(sample, value)| (sample.as_str(), value));
        samples.filter(|(sample, _)| is_wanted(sample)).map(|(_, value)| value).sum()
    }
}
