//! Several servers on one log in PostgreSQL.

mod clients;
mod deciding;
mod joining;
mod keys;
mod moving;
mod observed;
mod together;

use whimbrel::api::v1::meta_service_client::MetaServiceClient;
use whimbrel::api::v1::{ClusterNode, GetClusterRequest};

use crate::harness::postgres::Postgres;
use crate::harness::{Setup, TestServer, eventually};

const NODES: usize = 3;

/// Servers on a new log, and where it is. They know each other.
async fn nodes(postgres: &Postgres) -> (String, Vec<TestServer>) {
    let address = postgres.new_log();
    let mut nodes = Vec::new();
    for number in 1..=NODES {
        nodes.push(Setup::new().store(&address).admin().start().await);
        // In this order: so that the first one decides.
        know_each_other(&nodes, number).await;
    }
    (address, nodes)
}

/// Waits until each of `nodes` sees so many that are alive, and all agree on the one that decides.
pub(crate) async fn know_each_other(nodes: &[TestServer], count: usize) {
    for node in nodes {
        let decides = |seen: &[ClusterNode]| {
            let decides = seen.iter().find(|it| it.decides)?;
            Some(decides.address.clone())
        };
        eventually("the nodes know each other", async || {
            let seen = seen_by(node).await;
            let alive = seen.iter().filter(|it| it.state == 1).count();
            let first = decides(&seen_by(&nodes[0]).await);
            (alive == count && first.is_some() && first == decides(&seen)).then_some(())
        })
        .await;
    }
}

/// The nodes as `node` knows them.
async fn seen_by(node: &TestServer) -> Vec<ClusterNode> {
    let mut client = MetaServiceClient::new(node.channel());
    client.get_cluster(GetClusterRequest {}).await.unwrap().into_inner().nodes
}
