//! `whimbrel chain`. Never reads a log itself.

use clap::Args;

use super::json::{JsonLine, ProtoJson};
use super::{Error, Output, ServerArgs, number};
use crate::api::v1;
use crate::client::Client;

/// Show the chain of the server's log: one value for its whole history.
///
/// Two logs with the same log id, revision and chain have the same history up to there. `whimbrel
/// check` compares a server with a data folder or a backup.
#[derive(Args, Debug)]
pub(super) struct ChainArgs {
    /// The revision; the newest, if not given.
    #[arg(value_name = "REVISION", default_value_t = 0, hide_default_value = true,
          value_parser = number::at_least(0_u64))]
    revision: u64,
    #[command(flatten)]
    server: ServerArgs,
}

impl ChainArgs {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let request = v1::GetChainRequest { revision: self.revision };
        let response =
            self.server.call(|client: Client| async move { client.get_chain(request).await });
        let response = response.await?;
        let v1::GetChainResponse { log_id, revision, chain } = &response;
        output.print(
            || format!("log {log_id}, revision {revision}: {chain}"),
            || JsonLine("response", ProtoJson(&response)),
        )
    }
}
