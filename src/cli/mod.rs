//! The command line: one verb, one file, but where many are of one shape.
//!
//! What a verb prints for people goes to standard output, or one JSON object a line with `--json`;
//! what it has to say about itself, and errors, to standard error.

mod bench;
mod change;
mod error;
mod feed;
mod graph;
mod import;
mod list;
mod live;
mod notification;
mod number;
mod output;
mod post;
mod probe_index;
mod serve;
mod show;
mod signals;

use std::time::Duration;

use clap::{Args, Parser, Subcommand};
pub use error::Error;
pub use output::Output;

use crate::client::{self, Client, Retry};

/// A social-feed server in one binary: follow graph, posts, home feed and live push over gRPC.
#[derive(Debug, Parser)]
#[command(name = "whimbrel", version, about, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done; 1 refused, or not all done; 2 wrong command line; \
    3 the server cannot be reached, or asks to be called later; 4 the server cannot start; \
    5 a part of the server failed.")]
pub struct Cli {
    /// Print JSON, one object a line.
    #[arg(long, global = true, env = "WHIMBREL_JSON")]
    pub json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Serve(Box<serve::Serve>),
    #[command(flatten)]
    Feed(feed::Verb),
    #[command(flatten)]
    Post(post::Verb),
    #[command(flatten)]
    Graph(graph::Verb),
    #[command(flatten)]
    Notification(notification::Verb),
    Import(import::Import),
    Bench(bench::Bench),
    #[command(hide = true)]
    ProbeIndex(probe_index::ProbeIndex),
}

/// How to reach a server.
#[derive(Args, Clone, Debug)]
struct Target {
    /// The server's address: host:port, or http://host:port.
    #[arg(long, env = "WHIMBREL_ADDR", default_value = "127.0.0.1:50051", value_name = "URL")]
    addr: String,
}

/// How long a single call is tried before it is given up: a server that is being restarted is
/// back within it.
const CALL_TRIED_FOR: Duration = Duration::from_secs(5);

impl Cli {
    /// Runs the verb.
    ///
    /// # Errors
    /// What kept it from being done, with the exit code to end with.
    pub fn run(self, output: &Output) -> Result<(), Error> {
        match self.verb {
            Verb::Serve(serve) => one_thread()?.block_on(serve.run(output)),
            Verb::Feed(verb) => one_thread()?.block_on(verb.run(output)),
            Verb::Post(verb) => one_thread()?.block_on(verb.run(output)),
            Verb::Graph(verb) => one_thread()?.block_on(verb.run(output)),
            Verb::Notification(verb) => one_thread()?.block_on(verb.run(output)),
            Verb::Import(import) => one_thread()?.block_on(import.run(output)),
            Verb::Bench(bench) => one_thread()?.block_on(bench.run(output)),
            Verb::ProbeIndex(probe) => {
                probe.run();
                Ok(())
            }
        }
    }
}

impl Target {
    async fn connect(&self) -> Result<Client, client::Error> {
        Client::connect(&self.addr).await
    }

    /// Makes one call that is safe to repeat, again if need be.
    async fn call<T, F>(&self, call: impl Fn(Client) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, client::Error>>,
    {
        let client = self.connect().await?;
        Ok(Retry::within(CALL_TRIED_FOR).call(|| call(client.clone())).await?)
    }
}

fn one_thread() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)
}
