//! The command line: a verb is a file, except where many verbs have the same shape.
//!
//! Results go to standard output: for people, or with `--output` as JSON or YAML. Notes and errors go to
//! standard error. Never names tonic.

mod admin;
mod backup;
pub mod bench;
mod call_log;
mod chain;
mod change;
mod check;
mod check_index;
mod completions;
mod config;
mod context;
mod credentials;
mod cursor;
mod dump;
mod encoding;
mod error;
mod feed;
mod graph;
mod help;
mod hint;
mod import;
mod info;
mod json;
mod key;
mod key_place;
mod list;
mod log;
mod log_writer;
mod logging;
mod nodes;
mod notification;
mod number;
mod open_files;
mod output;
mod post;
mod probe_index;
mod reload;
mod serve;
mod settings;
mod signals;
mod status;
mod store;
mod table;
mod text;
mod tls;
mod token;
mod top;
mod user_files;
mod watch;

use std::time::Duration;

use clap::{Arg, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};
pub use error::Error;
pub use output::{Format, Output};

use crate::client::{self, Addresses, Client, ConnectOptions, Retry};

/// A social-feed server in one binary: follow graph, posts, home feed and live push over gRPC.
#[derive(Debug, Parser)]
#[command(name = "whimbrel", version, about, max_term_width = 100, after_help = help::AFTER)]
pub struct Cli {
    /// How to print results: table (text and tables for people), json (one object per line), or
    /// yaml (one document per object).
    #[arg(
        long,
        short,
        global = true,
        env = "WHIMBREL_OUTPUT",
        value_name = "FORMAT",
        default_value = "table",
        hide_possible_values = true
    )]
    output: Format,
    /// Print JSON: the same as --output=json.
    #[arg(long, global = true)]
    json: bool,
    /// The server to call; before or after the verb. [env: WHIMBREL_ADDR=]
    // Without the variable and the default, which belong to the verbs that call a server. Clap
    // passes the value on to them, and to the verbs with another option of this name.
    #[arg(long, global = true, value_name = "URL")]
    addr: Option<Addresses>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the server until SIGINT or SIGTERM.
    Serve(Box<settings::Given>),
    #[command(subcommand)]
    Config(config::ConfigVerb),
    #[command(flatten)]
    Feed(feed::FeedVerb),
    #[command(flatten)]
    Post(post::PostVerb),
    #[command(flatten)]
    Graph(graph::GraphVerb),
    #[command(flatten)]
    Notification(notification::NotificationVerb),
    #[command(subcommand)]
    Key(key::KeyVerb),
    Token(token::TokenArgs),
    Login(credentials::LoginArgs),
    Logout(credentials::LogoutArgs),
    #[command(subcommand)]
    Context(context::ContextVerb),
    Status(status::StatusArgs),
    Top(top::TopArgs),
    Info(info::InfoArgs),
    Nodes(nodes::NodesArgs),
    Cursor(cursor::CursorArgs),
    Chain(chain::ChainArgs),
    Check(check::CheckArgs),
    CheckIndex(check_index::CheckIndexArgs),
    Backup(Box<backup::BackupArgs>),
    Restore(backup::RestoreArgs),
    Dump(dump::DumpArgs),
    Load(dump::LoadArgs),
    #[command(subcommand)]
    Log(log::LogVerb),
    Import(import::ImportArgs),
    Bench(bench::BenchArgs),
    Completions(completions::CompletionsArgs),
    ManPages(completions::ManPagesArgs),
    #[command(hide = true)]
    ProbeIndex(probe_index::ProbeIndexArgs),
}

/// The server to call.
#[derive(Args, Clone, Debug)]
struct ServerArgs {
    #[command(flatten)]
    address: context::ServerAddress,
    #[command(flatten)]
    tls: tls::ClientTlsArgs,
    #[command(flatten)]
    credentials: credentials::CredentialArgs,
}

/// How long a call is retried: a server that restarts is back within this time.
const CALL_RETRY_TIME: Duration = Duration::from_secs(5);

impl Cli {
    /// Reads the command line and the environment. If there is no verb to run, ends the process
    /// with the help or with an error.
    #[must_use]
    pub fn read() -> Self {
        let read = command().try_get_matches().and_then(|matches| Self::from_arg_matches(&matches));
        read.unwrap_or_else(|error| error.exit())
    }

    /// How results are printed.
    #[must_use]
    pub fn output(&self) -> Output {
        Output::new(if self.json { Format::Json } else { self.output })
    }

    /// Runs the verb.
    ///
    /// # Errors
    /// Why the verb failed. [`Error::exit_code`] is the exit code.
    pub fn run(self, output: &Output) -> Result<(), Error> {
        match self.verb {
            Verb::Serve(given) => single_threaded_runtime()?.block_on(serve::run(*given, output)),
            Verb::Config(verb) => verb.run(output),
            Verb::Feed(verb) => single_threaded_runtime()?.block_on(verb.run(output)),
            Verb::Post(verb) => single_threaded_runtime()?.block_on(verb.run(output)),
            Verb::Graph(verb) => single_threaded_runtime()?.block_on(verb.run(output)),
            Verb::Notification(verb) => single_threaded_runtime()?.block_on(verb.run(output)),
            Verb::Key(verb) => verb.run(output),
            Verb::Token(token) => token.run(output),
            Verb::Login(login) => login.run(output),
            Verb::Logout(logout) => logout.run(output),
            Verb::Context(verb) => verb.run(output),
            Verb::Status(status) => single_threaded_runtime()?.block_on(status.run(output)),
            Verb::Top(top) => top.run(output),
            Verb::Info(info) => single_threaded_runtime()?.block_on(info.run(output)),
            Verb::Nodes(nodes) => single_threaded_runtime()?.block_on(nodes.run(output)),
            Verb::Cursor(cursor) => single_threaded_runtime()?.block_on(cursor.run(output)),
            Verb::Chain(chain) => single_threaded_runtime()?.block_on(chain.run(output)),
            Verb::Check(check) => single_threaded_runtime()?.block_on(check.run(output)),
            Verb::CheckIndex(check) => single_threaded_runtime()?.block_on(check.run(output)),
            Verb::Backup(backup) => single_threaded_runtime()?.block_on(backup.run(output)),
            Verb::Restore(restore) => single_threaded_runtime()?.block_on(restore.run(output)),
            Verb::Dump(dump) => single_threaded_runtime()?.block_on(dump.run(output)),
            Verb::Load(load) => load.run(output),
            Verb::Log(log) => log.run(output),
            Verb::Import(import) => single_threaded_runtime()?.block_on(import.run(output)),
            Verb::Bench(bench) => single_threaded_runtime()?.block_on(bench.run(output)),
            Verb::Completions(completions) => completions.run(&command(), output),
            Verb::ManPages(pages) => pages.run(command(), output),
            Verb::ProbeIndex(probe) => {
                probe.run();
                Ok(())
            }
        }
    }
}

impl ServerArgs {
    /// The server to call, and how to connect to it.
    fn target(&self) -> Result<(Addresses, ConnectOptions), Error> {
        let target = self.address.target()?;
        let options = self.options(&target)?;
        Ok((target.address, options))
    }

    /// How to connect to `target`.
    fn options(&self, target: &context::TargetServer) -> Result<ConnectOptions, Error> {
        let token = self.credentials.source(target)?;
        Ok(ConnectOptions { token, ..self.tls.options(&target.context)? })
    }

    async fn connect(&self) -> Result<Client, Error> {
        let (address, options) = self.target()?;
        Ok(Client::connect_with(&address.to_string(), &options).await?)
    }

    /// Makes one call that is safe to repeat, with retries.
    async fn call<T, F>(&self, call: impl Fn(Client) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, client::Error>>,
    {
        let client = self.connect().await?;
        Ok(Retry::within(CALL_RETRY_TIME).call(|| call(client.clone())).await?)
    }
}

/// The command line, with the settings of all verbs.
fn command() -> Command {
    // The full usage of each verb. By default clap shows a usage for the given arguments, in which
    // options that a variable sets appear as required.
    let mut built = Cli::command();
    built.build();
    let mut usage_of = |verb: &Command| {
        let usage = built.find_subcommand_mut(verb.get_name()).map(Command::render_usage);
        usage.map(|usage| usage.to_string().trim_start_matches("Usage: ").to_owned())
    };
    // A negative number is a value, which the parser of the option refuses, and no flag.
    let taking_negatives = |arg: Arg| match arg.get_action().takes_values() {
        true => arg.allow_negative_numbers(true),
        false => arg,
    };
    help::grouped(Cli::command()).mut_subcommands(|verb| {
        let usage = usage_of(&verb);
        let verb = verb.mut_args(taking_negatives);
        match usage {
            Some(usage) => verb.override_usage(usage),
            None => verb,
        }
    })
}

/// Parses the variable of a flag: whether the flag is set.
fn parse_flag(given: &str) -> Result<bool, &'static str> {
    match given.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("give its variable 1, true, yes or on; or 0, false, no or off; or do not set it"),
    }
}

fn single_threaded_runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)
}
