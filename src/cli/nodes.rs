//! `whimbrel nodes`. Never asks more than one of them.

use clap::Args;

use super::json::{JsonLine, ProtoJson};
use super::table::table;
use super::{Error, Output, ServerArgs};
use crate::api::v1::{self, ClusterNodeState};
use crate::client::Client;

/// Show the nodes that serve the same log, which of them decides changes, and how far each is.
#[derive(Args, Debug)]
pub(super) struct NodesArgs {
    #[command(flatten)]
    server: ServerArgs,
}

impl NodesArgs {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let request = v1::GetClusterRequest {};
        let call = |client: Client| async move { client.get_cluster(request).await };
        let response = self.server.call(call).await?;
        output.print(|| text(&response), || JsonLine("response", ProtoJson(&response)))
    }
}

fn text(cluster: &v1::GetClusterResponse) -> String {
    if cluster.nodes.is_empty() {
        return "this server has its log alone: --store makes it one of several".to_owned();
    }
    let rows: Vec<_> = cluster.nodes.iter().map(row).collect();
    table(["NODE", "ADDRESS", "STATE", "REVISION", "BEHIND", "VERSION"], &rows)
}

fn row(node: &v1::ClusterNode) -> [String; 6] {
    let mut state = match node.state() {
        ClusterNodeState::Unspecified => "unknown",
        ClusterNodeState::Alive => "alive",
        ClusterNodeState::Silent => "silent",
    }
    .to_owned();
    if node.decides {
        state += ", decides";
    }
    if node.answers {
        state += ", answers";
    }
    let address = if node.address.is_empty() { "-" } else { &node.address };
    [
        node.number.to_string(),
        address.to_owned(),
        state,
        node.applied_revision.to_string(),
        node.behind_revisions.to_string(),
        node.version.clone(),
    ]
}
