//! `whimbrel serve`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::json::Line;
use super::logging::{self, Filter};
use super::probe_index::ProbeIndex;
use super::signals::Signals;
use super::{Error, Output, number, switch};
use crate::client::Address;
use crate::config::{Config, Limits, Listen};
use crate::server::{self, Server};
use crate::storage::Probe;
use clap::Args;
use serde_json::json;

/// The unit of the sizes given.
const MIB: u64 = 1 << 20;
/// The most that a size in MiB may be: a PiB, in bytes still far from what a u64 holds.
const MIB_MAX: u64 = 1 << 30;

/// Run the server until SIGINT or SIGTERM.
#[derive(Args, Debug)]
pub(super) struct Serve {
    /// The data folder; made if missing.
    #[arg(long, env = "WHIMBREL_DATA", default_value = "./whimbrel-data", value_name = "DIR")]
    data: PathBuf,
    /// Where to listen: an address, a name (all that it has) or *, and a port; 0 takes a free one.
    #[arg(
        long,
        env = "WHIMBREL_LISTEN",
        default_value = "127.0.0.1:50051",
        value_name = "HOST:PORT"
    )]
    listen: Listen,
    /// Listen beyond this machine although callers are not authenticated.
    #[arg(long, env = "WHIMBREL_INSECURE", value_parser = switch)]
    insecure: bool,
    /// Do not serve reflection, which tells callers what there is to call.
    #[arg(long, env = "WHIMBREL_NO_REFLECTION", value_parser = switch)]
    no_reflection: bool,
    /// How much is logged, to standard error: off, error, warn, info, debug or trace; or of parts,
    /// such as whimbrel=debug,h2=warn, and the rest at info. Colours need a terminal, and NO_COLOR
    /// turns them off.
    #[arg(long, env = "WHIMBREL_LOG", default_value = "info", value_name = "FILTER")]
    log: Filter,
    /// Refuse changes while less disk space than this is free, in MiB.
    #[arg(long, env = "WHIMBREL_DISK_FREE_MIN", default_value_t = 256, value_name = "MIB",
          value_parser = number::within(0..=MIB_MAX))]
    disk_free_min: u64,
    /// Memory for the bodies of posts, in MiB.
    #[arg(long, env = "WHIMBREL_POST_CACHE", default_value_t = 256, value_name = "MIB",
          value_parser = number::within(0..=MIB_MAX))]
    post_cache: u64,
    /// How many users one user may follow.
    #[arg(long, env = "WHIMBREL_FOLLOWS_MAX", default_value = "10000", value_name = "N",
          value_parser = number::at_least(NonZeroUsize::MIN))]
    follows_max: NonZeroUsize,
    /// How many streams one user may have open.
    #[arg(long, env = "WHIMBREL_USER_STREAMS_MAX", default_value = "16", value_name = "N",
          value_parser = number::at_least(NonZeroUsize::MIN))]
    user_streams_max: NonZeroUsize,
    /// How many streams may be open in all.
    #[arg(long, env = "WHIMBREL_STREAMS_MAX", default_value = "100000", value_name = "N",
          value_parser = number::at_least(NonZeroUsize::MIN))]
    streams_max: NonZeroUsize,
    /// How many connections may be open.
    #[arg(long, env = "WHIMBREL_CONNECTIONS_MAX", default_value = "20000", value_name = "N",
          value_parser = number::at_least(NonZeroUsize::MIN))]
    connections_max: NonZeroUsize,
    /// How many connections may be open from one address [default: three quarters of all].
    #[arg(long, env = "WHIMBREL_ADDRESS_CONNECTIONS_MAX", value_name = "N",
          value_parser = number::at_least(NonZeroUsize::MIN))]
    address_connections_max: Option<NonZeroUsize>,
    /// Threads that connections live on [default: one per core].
    #[arg(long, env = "WHIMBREL_THREADS", value_name = "N",
          value_parser = number::at_least(NonZeroUsize::MIN))]
    threads: Option<NonZeroUsize>,
    /// How long what a deleted post said stays in the data, in seconds: then the log is written
    /// anew without it, which takes as much free space again as the log.
    #[arg(long, env = "WHIMBREL_COMPACT_EVERY", default_value_t = 86_400, value_name = "SECONDS",
          value_parser = number::within(1..=number::SECONDS_MAX))]
    compact_every: u64,
    /// How long, when it is to stop, calls are still taken while health says that it does not
    /// serve, in seconds: for load balancers to hear of it.
    #[arg(long, env = "WHIMBREL_DRAIN_NOTICE", default_value_t = 0, value_name = "SECONDS",
          value_parser = number::within(0..=number::SECONDS_MAX))]
    drain_notice: u64,
    /// Where others would find a server to call. Taken only to say what to give instead.
    #[arg(long, hide = true, value_name = "URL")]
    addr: Option<Address>,
}

impl Serve {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        if let Some(addr) = &self.addr {
            return Err(Error::Usage(format!(
                "--addr says which server to call, and serve calls none: to say where it listens, \
                 give --listen {addr}"
            )));
        }
        let defaults = Limits::default();
        let connections_max = self.connections_max.get();
        let config = Config {
            data_dir: self.data,
            listen: server::resolve(&self.listen).await?,
            insecure: self.insecure,
            reflection: !self.no_reflection,
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
                compaction_interval: Duration::from_secs(self.compact_every),
                drain_notice: Duration::from_secs(self.drain_notice),
                worker_threads: self.threads.map_or(defaults.worker_threads, NonZeroUsize::get),
                ..defaults
            },
        };
        logging::begin(self.log);
        // Before anything is open, so that a signal at any later moment stops in order.
        let mut signals = Signals::catch().map_err(Error::Runtime)?;

        let data_dir = config.data_dir.clone();
        // What is opened may be left at any moment, as by a kill.
        let server = tokio::select! {
            server = Server::open_with_probe(config, Some(probe())) => server?,
            () = signals.stop() => return Ok(()),
        };
        let addresses = server.addresses().to_vec();
        let address = server.address();
        output.print(
            || {
                let all: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                format!(
                    "whimbrel {} listens on {}, data in {}\n\
                     try: grpcurl -plaintext -d '{{\"author_id\":\"alice\",\"text\":\"hello\"}}' \
                     {address} whimbrel.v1.FeedService/Publish",
                    env!("CARGO_PKG_VERSION"),
                    all.join(" and "),
                    data_dir.display(),
                )
            },
            || {
                let address = address.to_string();
                let all = json!({ "listen": address, "addresses": addresses, "data": data_dir });
                Line("serving", all)
            },
        )?;

        server.run(async move { signals.stop().await }).await?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// This program, in another process.
fn probe() -> Probe {
    // The file may have been replaced since it was started; on Linux this is the one that runs.
    let own = PathBuf::from("/proc/self/exe");
    let program = if own.exists() { Some(own) } else { std::env::current_exe().ok() };
    Probe::new(program.unwrap_or_default(), vec![ProbeIndex::NAME.into()])
}
