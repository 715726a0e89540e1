//! `whimbrel cursor`. Never reads a feed.

use clap::Args;

use super::json::{JsonLine, ProtoJson};
use super::{Error, Output, ServerArgs};
use crate::api::v1;
use crate::client::Client;

/// Print a cursor of now: a read with `--at-least CURSOR`, at any node, shows every change acknowledged before.
#[derive(Args, Debug)]
pub(super) struct CursorArgs {
    #[command(flatten)]
    server: ServerArgs,
}

impl CursorArgs {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let request = v1::GetLatestCursorRequest {};
        let call = |client: Client| async move { client.get_latest_cursor(request).await };
        let response = self.server.call(call).await?;
        output.print(|| response.cursor.clone(), || JsonLine("response", ProtoJson(&response)))
    }
}
