//! The GetCluster RPC. Never asks another node.

use crate::api::context::ServiceContext;
use crate::api::v1;
use crate::cluster::{ClusterView, NodeState};
use crate::storage::NodeRecord;

pub(super) fn handle(
    context: &ServiceContext,
    request: v1::GetClusterRequest,
) -> v1::GetClusterResponse {
    let v1::GetClusterRequest {} = request;
    let view = context.nodes.as_ref().map(|nodes| nodes.cluster().view()).unwrap_or_default();
    v1::GetClusterResponse { nodes: view.nodes().iter().map(|it| node(&view, it)).collect() }
}

fn node(view: &ClusterView, node: &NodeState) -> v1::ClusterNode {
    let NodeState { record, is_alive } = node;
    let NodeRecord { number, address, public_address, version, applied, .. } = record;
    let state = match is_alive {
        true => v1::ClusterNodeState::Alive,
        false => v1::ClusterNodeState::Silent,
    };
    v1::ClusterNode {
        number: *number,
        address: address.clone().unwrap_or_default(),
        public_address: public_address.clone().unwrap_or_default(),
        version: version.clone(),
        state: state.into(),
        answers: view.is_own(node),
        decides: view.decider().is_some_and(|it| it.record.number == *number),
        applied_revision: applied.get(),
        behind_revisions: view.newest().get() - applied.get(),
    }
}
