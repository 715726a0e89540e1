//! The command line: one verb, one file, but where many are of one shape.
//!
//! What a verb prints goes to standard output, for people, or one JSON object a line with `--json`;
//! what it has to say about itself, and errors, to standard error.

mod bench;
mod change;
mod encoding;
mod error;
mod feed;
mod graph;
mod hint;
mod import;
mod json;
mod list;
mod live;
mod logging;
mod notification;
mod number;
mod output;
mod post;
mod probe_index;
mod serve;
mod show;
mod signals;

use std::time::Duration;

use clap::{Arg, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};
pub use error::Error;
pub use output::Output;

use crate::client::{self, Address, Client, Retry};

/// What every verb's help ends with.
const AFTER_HELP: &str = "\
Exit codes:
  0  done; a list may be empty
  1  refused, not found, or not all done
  2  wrong command line
  3  the server cannot be reached, or asks to be called later
  4  the server cannot start
  5  a part of the server failed

With --json every line is an object with one member, which says what it holds:
  item, post, user, notification, relationship  an entry of a list
  page       the end of a list: the rest of the answer, with nextPageToken and cursor
  missing    the postId of a post that `show` did not find
  response   the answer to any other call
  opened, batch, caughtUp, bookmark, reset, closing  a message of `watch`
  serving, imported, measured  of serve, import and bench
  error, note  on standard error
What calls answer is in the JSON form of Protobuf, as grpcurl prints it: names in lowerCamelCase,
64-bit numbers as strings, enums by name, times as RFC 3339; what has its default is left out.";

/// A social-feed server in one binary: follow graph, posts, home feed and live push over gRPC.
#[derive(Debug, Parser)]
#[command(name = "whimbrel", version, about, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    /// Print JSON, one object a line.
    #[arg(long, global = true, env = "WHIMBREL_JSON", value_parser = switch)]
    pub json: bool,
    /// The server to call; may stand before the verb or after it. [env: WHIMBREL_ADDR=]
    // Without the variable and the default, which are of the verbs that call a server: what is
    // given here is passed down to them, and to those that have another use for an address.
    #[arg(long, global = true, value_name = "URL")]
    addr: Option<Address>,
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
    addr: Address,
}

/// How long a single call is tried before it is given up: a server that is being restarted is
/// back within it.
const CALL_TRIED_FOR: Duration = Duration::from_secs(5);

impl Cli {
    /// Reads the command line and the environment. Ends the process if there is no verb to run:
    /// with help if that was asked for, else with what is wrong.
    #[must_use]
    pub fn read() -> Self {
        let read = command().try_get_matches().and_then(|matches| Self::from_arg_matches(&matches));
        read.unwrap_or_else(|error| error.exit())
    }

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
        Client::connect(&self.addr.to_string()).await
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

/// The command line, with what holds for all verbs.
fn command() -> Command {
    // Usage as it is. Made up from what was given, it would show as required what is set by a
    // variable.
    let mut built = Cli::command();
    built.build();
    let mut usage_of = |verb: &Command| {
        let usage = built.find_subcommand_mut(verb.get_name()).map(Command::render_usage);
        usage.map(|usage| usage.to_string().trim_start_matches("Usage: ").to_owned())
    };
    // A number below zero is a value, which is refused by what may be given, and no flag.
    let taking_negatives = |arg: Arg| match arg.get_action().takes_values() {
        true => arg.allow_negative_numbers(true),
        false => arg,
    };
    Cli::command().mut_subcommands(|verb| {
        let usage = usage_of(&verb);
        let verb = verb.mut_args(taking_negatives);
        match usage {
            Some(usage) => verb.override_usage(usage),
            None => verb,
        }
    })
}

/// Parses what the variable of a flag says: that it is given, or not.
fn switch(given: &str) -> Result<bool, &'static str> {
    match given.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("give its variable 1, true, yes or on; or 0, false, no or off; or do not set it"),
    }
}

fn one_thread() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)
}
