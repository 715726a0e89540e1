//! `whimbrel serve`: options, configuration and signals of the server. Never validates the
//! configuration.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::admin::AdminArgs;
use super::call_log::CallLogArgs;
use super::json::JsonLine;
use super::logging::{self, LogFilter, LogFormat};
use super::probe_index::ProbeIndexArgs;
use super::reload::Reload;
use super::settings::{Given, Settings, SettingsFile};
use super::signals::Signals;
use super::store::StoreArgs;
use super::tls::TransportArgs;
use super::{Error, Output, number, open_files, parse_flag};
use crate::auth;
use crate::client::Addresses;
use crate::config::{Config, ConsoleMode, Limits, Listen};
use crate::server::{self, Server};
use crate::storage::Probe;
use clap::Args;
use serde_json::json;

/// Bytes of a MiB, the unit of options with sizes.
const MIB: u64 = 1 << 20;
/// The largest size in MiB: a PiB, whose bytes are far below `u64::MAX`.
const MIB_MAX: u64 = 1 << 30;

/// The greatest rate of calls, which is no limit.
const CALLS_MAX: u32 = 1_000_000;
/// Ten years.
const HOURS_MAX: u32 = 10 * 366 * 24;

/// The settings of a server. `settings/` reads them, also from a file.
#[derive(Args, Debug)]
pub(super) struct ServeArgs {
    /// A TOML file with settings. A flag goes before its variable, that before the file.
    #[arg(long, env = "WHIMBREL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data folder. It is created if it does not exist.
    #[arg(long, env = "WHIMBREL_DATA", default_value = "./whimbrel-data", value_name = "DIR")]
    data: PathBuf,
    #[command(flatten)]
    store: StoreArgs,
    /// Where to listen: an address, a name (all its addresses) or *, and a port; 0 means a free
    /// one.
    #[arg(
        long,
        env = "WHIMBREL_LISTEN",
        default_value = "127.0.0.1:50051",
        value_name = "HOST:PORT"
    )]
    listen: Listen,
    #[command(flatten)]
    transport: TransportArgs,
    /// Allow addresses that other machines can reach, also without TLS and authentication.
    #[arg(long, env = "WHIMBREL_INSECURE", value_parser = parse_flag)]
    insecure: bool,
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    callers: CallerArgs,
    /// Serve the console, a page in a browser, at /console/: on, off, or auto, which is on if only this machine
    /// can reach --listen.
    #[arg(
        long,
        env = "WHIMBREL_CONSOLE",
        value_name = "WHEN",
        default_value = "auto",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "on",
        hide_possible_values = true
    )]
    console: ConsoleArg,
    /// Do not serve reflection, which lists the services and messages to callers.
    #[arg(long, env = "WHIMBREL_NO_REFLECTION", value_parser = parse_flag)]
    no_reflection: bool,
    /// Serve reflection also if callers are asked who they are. It needs no token.
    #[arg(long, env = "WHIMBREL_REFLECTION", value_parser = parse_flag)]
    reflection: bool,
    /// Level of the log on standard error: off, error, warn, info, debug or trace; or levels of
    /// parts, such as whimbrel=debug,h2=warn, with the rest at info. Colours need a terminal, and
    /// NO_COLOR turns them off.
    #[arg(long, env = "WHIMBREL_LOG", default_value = "info", value_name = "FILTER")]
    log: LogFilter,
    /// The form of the log's lines: text, json, or auto, which is text on a terminal and JSON
    /// elsewhere.
    #[arg(
        long,
        env = "WHIMBREL_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "auto",
        hide_possible_values = true
    )]
    log_format: LogFormat,
    #[command(flatten)]
    call_log: CallLogArgs,
    /// Refuse changes while less disk space than this is free, in MiB.
    #[arg(long, env = "WHIMBREL_DISK_FREE_MIN", default_value_t = 256, value_name = "MIB",
          value_parser = number::within(0..=MIB_MAX))]
    disk_free_min: u64,
    /// Memory of the post cache, in MiB.
    #[arg(long, env = "WHIMBREL_POST_CACHE", default_value_t = 256, value_name = "MIB",
          value_parser = number::within(0..=MIB_MAX))]
    post_cache: u64,
    /// Most users that one user may follow.
    #[arg(long, env = "WHIMBREL_FOLLOWS_MAX", default_value = "10000", value_name = "N",
          value_parser = number::at_least(NonZeroUsize::MIN))]
    follows_max: NonZeroUsize,
    /// Most open streams of one user.
    #[arg(long, env = "WHIMBREL_USER_STREAMS_MAX", default_value = "16", value_name = "N",
          value_parser = number::at_least(NonZeroUsize::MIN))]
    user_streams_max: NonZeroUsize,
    /// Most open streams in total.
    #[arg(long, env = "WHIMBREL_STREAMS_MAX", default_value = "100000", value_name = "N",
          value_parser = number::at_least(NonZeroUsize::MIN))]
    streams_max: NonZeroUsize,
    /// Most open connections [default: 20000, or as many as the limit of open files is enough for].
    #[arg(long, env = "WHIMBREL_CONNECTIONS_MAX", value_name = "N",
          value_parser = number::at_least(NonZeroUsize::MIN))]
    connections_max: Option<NonZeroUsize>,
    /// Most open connections from one address [default: three quarters of all].
    #[arg(long, env = "WHIMBREL_ADDRESS_CONNECTIONS_MAX", value_name = "N",
          value_parser = number::at_least(NonZeroUsize::MIN))]
    address_connections_max: Option<NonZeroUsize>,
    /// After how many silent seconds a client is asked whether it still lives. Its connection is closed
    /// if it does not answer within 10 s.
    #[arg(long, env = "WHIMBREL_KEEPALIVE", default_value_t = 30, value_name = "SECONDS",
          value_parser = number::within(1..=number::SECONDS_MAX))]
    keepalive: u64,
    /// Calls of one user that read, each second.
    #[arg(long, env = "WHIMBREL_USER_READS_MAX", default_value_t = 50, value_name = "N",
          value_parser = number::within(1..=CALLS_MAX))]
    user_reads_max: u32,
    /// Calls of one user that change something, each second.
    #[arg(long, env = "WHIMBREL_USER_CHANGES_MAX", default_value_t = 10, value_name = "N",
          value_parser = number::within(1..=CALLS_MAX))]
    user_changes_max: u32,
    /// Streams that one user opens, each second.
    #[arg(long, env = "WHIMBREL_USER_STREAM_OPENS_MAX", default_value_t = 4, value_name = "N",
          value_parser = number::within(1..=CALLS_MAX))]
    user_stream_opens_max: u32,
    /// Calls of all users of one address that read, each second.
    #[arg(long, env = "WHIMBREL_ADDRESS_READS_MAX", default_value_t = 2_000, value_name = "N",
          value_parser = number::within(1..=CALLS_MAX))]
    address_reads_max: u32,
    /// Their calls that change something, each second.
    #[arg(long, env = "WHIMBREL_ADDRESS_CHANGES_MAX", default_value_t = 400, value_name = "N",
          value_parser = number::within(1..=CALLS_MAX))]
    address_changes_max: u32,
    /// Streams that they open, each second.
    #[arg(long, env = "WHIMBREL_ADDRESS_STREAM_OPENS_MAX", default_value_t = 200, value_name = "N",
          value_parser = number::within(1..=CALLS_MAX))]
    address_stream_opens_max: u32,
    /// Tokens of one address that are not accepted, each second.
    #[arg(long, env = "WHIMBREL_ADDRESS_REFUSALS_MAX", default_value_t = 20, value_name = "N",
          value_parser = number::within(1..=CALLS_MAX))]
    address_refusals_max: u32,
    /// Follows of a new user, each hour. Who is new: since_claim in --auth-file.
    #[arg(long, env = "WHIMBREL_NEW_USER_FOLLOWS_MAX", default_value_t = 100, value_name = "N",
          value_parser = number::within(1..=CALLS_MAX))]
    new_user_follows_max: u32,
    /// Users mentioned by the posts of a new user, each hour.
    #[arg(long, env = "WHIMBREL_NEW_USER_MENTIONS_MAX", default_value_t = 30, value_name = "N",
          value_parser = number::within(1..=CALLS_MAX))]
    new_user_mentions_max: u32,
    /// How long a user is new, in hours.
    #[arg(long, env = "WHIMBREL_NEW_USER_HOURS", default_value_t = 72, value_name = "HOURS",
          value_parser = number::within(0..=HOURS_MAX))]
    new_user_hours: u32,
    /// Threads that serve connections [default: one per core].
    #[arg(long, env = "WHIMBREL_THREADS", value_name = "N",
          value_parser = number::at_least(NonZeroUsize::MIN))]
    threads: Option<NonZeroUsize>,
    /// How long the content of a deleted post stays in the data, in seconds. Then the segments of
    /// the log that have it are rewritten, which needs free space for one segment.
    #[arg(long, env = "WHIMBREL_COMPACT_EVERY", default_value_t = 86_400, value_name = "SECONDS",
          value_parser = number::within(1..=number::SECONDS_MAX))]
    compact_every: u64,
    /// How long a stopping server still accepts calls while health reports NOT_SERVING, in seconds,
    /// so that load balancers notice.
    #[arg(long, env = "WHIMBREL_DRAIN_NOTICE", default_value_t = 0, value_name = "SECONDS",
          value_parser = number::within(0..=number::SECONDS_MAX))]
    drain_notice: u64,
    /// The address that other verbs call. Accepted only to name --listen in the error.
    #[arg(long, hide = true, value_name = "URL")]
    addr: Option<Addresses>,
}

/// When the console is served.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ConsoleArg {
    Auto,
    On,
    Off,
}

impl From<ConsoleArg> for ConsoleMode {
    fn from(arg: ConsoleArg) -> Self {
        match arg {
            ConsoleArg::Auto => Self::Auto,
            ConsoleArg::On => Self::On,
            ConsoleArg::Off => Self::Off,
        }
    }
}

/// Who may call.
#[derive(Args, Debug)]
struct CallerArgs {
    /// Ask who calls: every call needs an API key of `whimbrel key`, or a token of an issuer in
    /// --auth-file.
    #[arg(long, env = "WHIMBREL_AUTH", value_parser = parse_flag)]
    auth: bool,
    /// The file with the identity providers and client certificates to trust. Implies --auth.
    #[arg(long, env = "WHIMBREL_AUTH_FILE", value_name = "FILE")]
    auth_file: Option<PathBuf>,
    /// Trust the tokens of `whimbrel token`, which everybody can make who can read the data folder.
    /// Implies --auth.
    #[arg(long, env = "WHIMBREL_DEVELOPMENT_TOKENS", value_parser = parse_flag)]
    development_tokens: bool,
}

impl CallerArgs {
    /// `None` if nobody is asked who calls.
    fn options(&self, file: Option<&SettingsFile>) -> Result<Option<auth::Options>, Error> {
        let in_settings = file.and_then(|file| file.callers.as_ref());
        let settings = match (&self.auth_file, in_settings) {
            (Some(file), Some(_)) => {
                return Err(Error::Usage(format!(
                    "issuers and certificates are in the file of --config, and in {}: leave out one",
                    file.display()
                )));
            }
            (None, Some(callers)) => callers.clone(),
            (Some(file), None) => auth::Settings::read(file).map_err(|error| {
                Error::Usage(format!("cannot use --auth-file {}: {error}", file.display()))
            })?,
            (None, None) => auth::Settings::default(),
        };
        let is_on = self.auth
            || self.auth_file.is_some()
            || in_settings.is_some()
            || self.development_tokens;
        let development = self.development_tokens;
        Ok(is_on.then_some(auth::Options { settings, development }))
    }
}

/// Runs the server until a signal stops it.
pub(super) async fn run(given: Given, output: &Output) -> Result<(), Error> {
    let settings = given.settings()?;
    let possible = open_files::raise().max(1);
    let config = settings.config(possible).await?;
    // Lines that wait are written when the guard is dropped.
    let begun = logging::begin(settings.args.log_filter(), settings.args.log_format);
    let (log, _guard) = begun.map_err(Error::Runtime)?;
    warn_of_open_files(config.limits.connections_max, possible);
    // Before the server opens, so that a signal at any later moment stops in order.
    let (mut signals, hang_ups) = Signals::catch().map_err(Error::Runtime)?;

    let (data_dir, is_tls) = (config.data_dir.clone(), config.transport.tls.is_some());
    let asks = config.authentication.is_some();
    // The start may be cancelled at any moment, as by a kill.
    let server = tokio::select! {
        server = Server::open_with_probe(config, Some(probe())) => server?,
        () = signals.stop() => return Ok(()),
    };
    print_serving(&server, (is_tls, asks), &data_dir, *output)?;

    let reload = Reload::new(given, &settings, possible, log, server.reloader());
    let stopped = async move {
        tokio::select! {
            () = signals.stop() => {}
            never = reload.run(hang_ups) => match never {},
        }
    };
    server.run(Box::pin(stopped)).await?;
    tracing::info!("stopped");
    Ok(())
}

impl Settings {
    /// The configuration of a server, with as many connections by default as `possible`.
    ///
    /// # Errors
    /// Settings that exclude or need each other, or a file with callers is refused.
    pub(super) async fn config(&self, possible: u64) -> Result<Config, Error> {
        self.args.config(possible, self.file.as_ref()).await
    }
}

impl ServeArgs {
    pub(super) fn log_filter(&self) -> LogFilter {
        self.log.clone()
    }

    async fn config(&self, possible: u64, file: Option<&SettingsFile>) -> Result<Config, Error> {
        if let Some(addr) = &self.addr {
            return Err(Error::Usage(format!(
                "--addr is the server to call, and serve calls none: to set where it listens, \
                 give --listen {addr}"
            )));
        }
        if self.reflection && self.no_reflection {
            let problem = "reflection and no-reflection exclude each other: set one of them";
            return Err(Error::Usage(problem.to_owned()));
        }
        let defaults = Limits::default();
        let connections_max = match self.connections_max {
            Some(wanted) => wanted.get(),
            None => possible.min(defaults.connections_max as u64) as usize,
        };
        let authentication = self.callers.options(file)?;
        let reflection = self.reflection || (authentication.is_none() && !self.no_reflection);
        Ok(Config {
            data_dir: self.data.clone(),
            store: self.store.store()?,
            authentication,
            listen: server::resolve(&self.listen).await?,
            transport: self.transport.clone().transport()?,
            insecure: self.insecure,
            admin_listen: self.admin.addresses().await?,
            insecure_admin: self.admin.insecure_admin,
            reflection,
            call_log: self.call_log.settings(),
            tracing: self.call_log.tracing(),
            console: self.console.into(),
            limits: Limits {
                disk_free_bytes_min: self.disk_free_min * MIB,
                post_cache_bytes_max: self.post_cache * MIB,
                follows_per_user_max: self.follows_max.get(),
                streams_per_user_max: self.user_streams_max.get(),
                streams_max: self.streams_max.get(),
                connections_max,
                connections_per_address_max: self
                    .address_connections_max
                    .map_or(connections_max - connections_max / 4, NonZeroUsize::get),
                keepalive_interval: Duration::from_secs(self.keepalive),
                user_reads_per_second_max: self.user_reads_max,
                user_changes_per_second_max: self.user_changes_max,
                user_streams_per_second_max: self.user_stream_opens_max,
                address_reads_per_second_max: self.address_reads_max,
                address_changes_per_second_max: self.address_changes_max,
                address_streams_per_second_max: self.address_stream_opens_max,
                address_refusals_per_second_max: self.address_refusals_max,
                new_user_follows_per_hour_max: self.new_user_follows_max,
                new_user_mentions_per_hour_max: self.new_user_mentions_max,
                new_user_time: Duration::from_secs(u64::from(self.new_user_hours) * 60 * 60),
                compaction_interval: Duration::from_secs(self.compact_every),
                drain_notice: Duration::from_secs(self.drain_notice),
                worker_threads: self.threads.map_or(defaults.worker_threads, NonZeroUsize::get),
                ..defaults
            },
        })
    }
}

/// Prints where the server listens, and how to call it.
fn print_serving(
    server: &Server,
    (is_tls, asks): (bool, bool),
    data_dir: &Path,
    output: Output,
) -> Result<(), Error> {
    let (address, addresses) = (server.address(), server.addresses());
    let authority = server.authority();
    let scheme = if is_tls { "https" } else { "http" };
    let console = server.has_console().then(|| format!("{scheme}://{address}/console/"));
    output.print(
        || {
            let all: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            let tls = match authority {
                Some(authority) => format!(
                    "clients need {} (SHA-256 {}), as in: whimbrel feed alice --addr \
                     https://{address} --ca-file {}\n",
                    authority.file.display(),
                    authority.sha256,
                    authority.file.display()
                ),
                None => String::new(),
            };
            let grpcurl = match authority {
                Some(authority) => format!("-cacert {}", authority.file.display()),
                None => if is_tls { "" } else { "-plaintext" }.to_owned(),
            };
            let next = if asks {
                "callers need a token: `whimbrel key create` makes one for a backend, and `whimbrel \
                 token` one for --development-tokens"
                    .to_owned()
            } else {
                format!(
                    "try: grpcurl {grpcurl} -d '{{\"user_id\":\"alice\",\"text\":\"hello\"}}' \
                     {address} whimbrel.v1.FeedService/Publish"
                )
            };
            let (version, all) = (env!("CARGO_PKG_VERSION"), all.join(" and "));
            let data = data_dir.display();
            let admin = server.admin_address().map_or_else(String::new, |admin| {
                format!("metrics: http://{admin}/metrics\n")
            });
            let console = console.as_ref().map_or_else(String::new, |url| format!("console: {url}\n"));
            format!("whimbrel {version} listens on {all}, data in {data}\n{console}{admin}{tls}{next}")
        },
        || {
            let address = address.to_string();
            let mut all = json!({
                "listen": address, "addresses": addresses, "data": data_dir, "tls": is_tls,
                "admin": server.admin_address(), "console": console,
            });
            if let Some(authority) = authority {
                all["caFile"] = json!(authority.file);
                all["caSha256"] = json!(authority.sha256);
            }
            JsonLine("serving", all)
        },
    )
}

/// Warns if the limit of open files makes fewer connections `possible`.
fn warn_of_open_files(connections_max: usize, possible: u64) {
    if connections_max as u64 > possible {
        tracing::warn!(
            connections_max,
            possible,
            "fewer files may be open than connections: raise the limit (ulimit -n, or LimitNOFILE of \
             a service), or lower --connections-max"
        );
    }
}

/// The probe: this program in another process.
fn probe() -> Probe {
    // The file of the program may have been replaced since the start. On Linux this path is the
    // running one.
    let own = PathBuf::from("/proc/self/exe");
    let program = if own.exists() { Some(own) } else { std::env::current_exe().ok() };
    Probe::new(program.unwrap_or_default(), vec![ProbeIndexArgs::NAME.into()])
}
