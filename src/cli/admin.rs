//! The flags of the admin listener. Never decides whether an address is safe.

use std::net::SocketAddr;

use clap::Args;

use crate::config::{Listen, ListenError};
use crate::server;

use super::{Error, parse_flag};

/// Where metrics and probes are served.
#[derive(Args, Clone, Debug)]
pub(super) struct AdminArgs {
    /// Where to serve metrics and probes over HTTP (/metrics, /livez, /readyz, /version): an
    /// address, a name or *, and a port; or none.
    #[arg(long, env = "WHIMBREL_ADMIN_LISTEN", default_value = "127.0.0.1:50052",
          value_name = "HOST:PORT", value_parser = parse_listen)]
    admin_listen: AdminListen,
    /// Allow --admin-listen on addresses that other machines can reach. It asks nobody who calls.
    #[arg(long, env = "WHIMBREL_INSECURE_ADMIN", value_parser = parse_flag)]
    pub(super) insecure_admin: bool,
}

/// Where the admin listener is.
#[derive(Clone, Debug)]
enum AdminListen {
    Nowhere,
    At(Listen),
}

impl AdminArgs {
    /// The addresses to listen on.
    pub(super) async fn addresses(&self) -> Result<Vec<SocketAddr>, Error> {
        match &self.admin_listen {
            AdminListen::Nowhere => Ok(Vec::new()),
            AdminListen::At(listen) => {
                let resolved = server::resolve(listen).await;
                resolved.map_err(|error| Error::Usage(format!("--admin-listen: {error}")))
            }
        }
    }
}

fn parse_listen(text: &str) -> Result<AdminListen, ListenError> {
    if text == "none" { Ok(AdminListen::Nowhere) } else { text.parse().map(AdminListen::At) }
}
