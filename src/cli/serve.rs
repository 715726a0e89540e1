//! `whimbrel serve`.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tracing_subscriber::EnvFilter;

use super::probe_index::ProbeIndex;
use super::signals::Signals;
use super::{Error, Output};
use crate::config::{Config, Limits};
use crate::log::Probe;
use crate::server::Server;

/// The unit of the sizes given.
const MIB: u64 = 1 << 20;

/// Run the server until SIGINT or SIGTERM.
#[derive(Args, Debug)]
pub(super) struct Serve {
    /// The data folder; made if missing.
    #[arg(long, env = "WHIMBREL_DATA", default_value = "./whimbrel-data", value_name = "DIR")]
    data: PathBuf,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, env = "WHIMBREL_LISTEN", default_value = "127.0.0.1:50051", value_name = "ADDR")]
    listen: SocketAddr,
    /// Listen beyond this machine although callers are not authenticated.
    #[arg(long, env = "WHIMBREL_INSECURE")]
    insecure: bool,
    /// Do not serve reflection, which tells callers what there is to call.
    #[arg(long, env = "WHIMBREL_NO_REFLECTION")]
    no_reflection: bool,
    /// How much is logged: error, warn, info, debug, or filters such as whimbrel=debug,h2=warn.
    #[arg(long, env = "WHIMBREL_LOG", default_value = "info", value_name = "FILTER")]
    log: EnvFilter,
    /// Refuse changes while less disk space than this is free, in MiB.
    #[arg(long, env = "WHIMBREL_DISK_FREE_MIN", default_value_t = 256, value_name = "MIB")]
    disk_free_min: u64,
    /// Memory for the bodies of posts, in MiB.
    #[arg(long, env = "WHIMBREL_POST_CACHE", default_value_t = 256, value_name = "MIB")]
    post_cache: u64,
    /// How many users one user may follow.
    #[arg(long, env = "WHIMBREL_FOLLOWS_MAX", default_value = "10000", value_name = "N")]
    follows_max: NonZeroUsize,
    /// How many streams one user may have open.
    #[arg(long, env = "WHIMBREL_USER_STREAMS_MAX", default_value = "16", value_name = "N")]
    user_streams_max: NonZeroUsize,
    /// How many streams may be open in all.
    #[arg(long, env = "WHIMBREL_STREAMS_MAX", default_value = "100000", value_name = "N")]
    streams_max: NonZeroUsize,
    /// How many connections may be open.
    #[arg(long, env = "WHIMBREL_CONNECTIONS_MAX", default_value = "20000", value_name = "N")]
    connections_max: NonZeroUsize,
    /// How many connections may be open from one address [default: three quarters of all].
    #[arg(long, env = "WHIMBREL_ADDRESS_CONNECTIONS_MAX", value_name = "N")]
    address_connections_max: Option<NonZeroUsize>,
    /// Threads that connections live on [default: one per core].
    #[arg(long, env = "WHIMBREL_THREADS", value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// How long what a deleted post said stays in the data, in seconds: then the log is written
    /// anew without it, which takes as much free space again as the log.
    #[arg(long, env = "WHIMBREL_COMPACT_EVERY", default_value = "86400", value_name = "SECONDS")]
    compact_every: NonZeroU64,
    /// How long, when it is to stop, calls are still taken while health says that it does not
    /// serve, in seconds: for load balancers to hear of it.
    #[arg(long, env = "WHIMBREL_DRAIN_NOTICE", default_value_t = 0, value_name = "SECONDS")]
    drain_notice: u64,
}

impl Serve {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let defaults = Limits::default();
        let connections_max = self.connections_max.get();
        let config = Config {
            data_dir: self.data,
            listen: self.listen,
            insecure: self.insecure,
            reflection: !self.no_reflection,
            limits: Limits {
                disk_free_bytes_min: self.disk_free_min.saturating_mul(MIB),
                post_cache_bytes: self.post_cache.saturating_mul(MIB),
                follows_per_user_max: self.follows_max.get(),
                streams_per_user_max: self.user_streams_max.get(),
                streams_max: self.streams_max.get(),
                connections_max,
                connections_per_address_max: self
                    .address_connections_max
                    .map_or(connections_max - connections_max / 4, NonZeroUsize::get),
                compaction_interval: Duration::from_secs(self.compact_every.get()),
                drain_notice: Duration::from_secs(self.drain_notice),
                workers: self.threads.map_or(defaults.workers, NonZeroUsize::get),
                ..defaults
            },
        };
        tracing_subscriber::fmt()
            .with_env_filter(self.log)
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr)
            .init();
        // Before anything is open, so that a signal at any later moment stops in order.
        let mut signals = Signals::catch().map_err(Error::Runtime)?;

        let data_dir = config.data_dir.clone();
        // What is opened may be left at any moment, as by a kill.
        let server = tokio::select! {
            server = Server::open_probing(config, Some(probe())) => server?,
            () = signals.stop() => return Ok(()),
        };
        let address = server.address();
        output.print(
            || {
                format!(
                    "whimbrel {} listens on {address}, data in {}\n\
                     try: grpcurl -plaintext -d '{{\"author_id\":\"alice\",\"text\":\"hello\"}}' \
                     {address} whimbrel.v1.FeedService/Publish",
                    env!("CARGO_PKG_VERSION"),
                    data_dir.display(),
                )
            },
            || json!({ "listen": address.to_string(), "data": data_dir }),
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
