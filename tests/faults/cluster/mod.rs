//! Three nodes on a PostgreSQL with two synchronous standbys: six machines with networks and disks of their own. What the
//! nodes have is compared with what they acknowledged, and with each other.

mod network;
mod postgres;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;
use tokio::time::sleep;
use whimbrel::api::v1::{ClusterNode, ClusterNodeState, GetChainRequest, GetClusterRequest};
use whimbrel::client::{Client, Retry};

use self::network::Machines;
use self::postgres::Postgres;
pub(crate) use self::postgres::cut_power;
use crate::case::Missing;
use crate::machine::{Disk, compile};
use crate::model::Model;
use crate::patience::{LOOK_INTERVAL, PATIENCE, within};
use crate::server::{Server, Setup};

pub(crate) const NODES: usize = 3;
const POSTGRES: usize = 3;
const PORT: u16 = 50051;
const DISK_BYTES: u64 = 512 << 20;

/// Six machines are more than this one has room for twice.
static ONE: Mutex<()> = Mutex::new(());

/// A node: its disk, how it is started, and its process while it runs.
pub(crate) struct Node {
    pub(crate) disk: Disk,
    setup: Setup,
    pub(crate) server: Option<Server>,
}

/// All of them.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    pub(crate) postgres: Postgres,
    pub(crate) machines: Machines,
    /// Cuts the power of a disk.
    pub(crate) tool: PathBuf,
    _folder: TempDir,
    _one: MutexGuard<'static, ()>,
}

impl Cluster {
    /// Starts all of it.
    pub(crate) fn start() -> Result<Self, Missing> {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let machines = Machines::new(NODES + POSTGRES)?;
        let folder = tempfile::tempdir().expect("a folder");
        let tool = compile(folder.path(), "cut.c", &[])?;
        let names = (NODES..NODES + POSTGRES).map(|machine| machines.address(machine));
        let key = KeyPair::generate().expect("a key");
        let parameters = CertificateParams::new(names.collect::<Vec<_>>()).expect("addresses");
        let certificate = parameters.self_signed(&key).expect("a certificate").pem();
        let authority = folder.path().join("ca.pem");
        std::fs::write(&authority, &certificate).expect("a file");
        let postgres = Postgres::start(&machines, NODES, (&certificate, &key.serialize_pem()))?;
        let mut nodes = Vec::new();
        for machine in 0..NODES {
            let disk = Disk::new(DISK_BYTES)?;
            let log = disk.outside.path().join("log");
            let setup = Setup::with_log(&disk.folder.join("data"), &log)
                .on(machines.on(machine))
                .listen(&format!("{}:{PORT}", machines.address(machine)))
                .argument("--insecure")
                .variable("WHIMBREL_STORE", &postgres.url())
                .variable("WHIMBREL_STORE_CA_FILE", authority.to_str().expect("UTF-8"));
            let server = Some(setup.start());
            nodes.push(Node { disk, setup, server });
        }
        Ok(Self { nodes, postgres, machines, tool, _folder: folder, _one: one })
    }

    /// Those of all nodes, for a client.
    pub(crate) fn addresses(&self) -> String {
        (0..NODES).map(|node| self.address(node)).collect::<Vec<_>>().join(",")
    }

    fn address(&self, node: usize) -> String {
        format!("{}:{PORT}", self.machines.address(node))
    }

    /// The machines of all nodes.
    pub(crate) fn all_nodes(&self) -> Vec<usize> {
        (0..NODES).collect()
    }

    /// The machines of all PostgreSQL.
    pub(crate) fn all_postgres(&self) -> Vec<usize> {
        (NODES..NODES + POSTGRES).collect()
    }

    /// The machine of the primary.
    pub(crate) fn primary(&self) -> usize {
        self.postgres.instances[self.postgres.primary].machine
    }

    /// The node to which the others forward changes now.
    pub(crate) async fn decider(&self) -> usize {
        let client = self.client(&self.addresses()).await;
        let request = || client.get_cluster(GetClusterRequest {});
        let nodes = within("the nodes", Retry::within(PATIENCE).call(request)).await;
        let nodes = nodes.expect("one of them answers").nodes;
        let decides = nodes.iter().find(|node| node.decides).expect("one decides");
        let is_there = |node: &usize| decides.address == format!("http://{}", self.address(*node));
        (0..NODES).find(is_there).expect("it is one of ours")
    }

    pub(crate) fn server(&mut self, node: usize) -> &mut Server {
        self.nodes[node].server.as_mut().expect("it runs")
    }

    /// The process of the node is gone, and nobody starts another one.
    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node].server.take().expect("it runs").kill();
    }

    /// Starts a node that has ended.
    pub(crate) fn restart(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        node.server = Some(node.setup.start());
    }

    async fn client(&self, addresses: &str) -> Client {
        let connect = || Client::connect(addresses);
        let client = within("a connection", Retry::within(PATIENCE).call(connect)).await;
        client.unwrap_or_else(|error| panic!("{addresses}: {error}"))
    }

    /// Makes the open calls of `model` again, and compares all that each node has with it, and all nodes with each other.
    pub(crate) async fn check(&self, model: &mut Model) {
        model.settle(self.addresses()).await;
        let mut clients = Vec::new();
        for node in 0..NODES {
            clients.push(self.client(&self.address(node)).await);
        }
        // What was given up may still be made: they are compared once they agree.
        within("the nodes to agree", agree(&clients)).await;
        for node in 0..NODES {
            let compared = model.compare(self.address(node)).await;
            compared.unwrap_or_else(|error| panic!("node {node} refuses a read: {error}"));
        }
        model.repeat(self.addresses()).await;
        model.watched().await;
    }

    /// Stops all nodes in order, and checks their data.
    pub(crate) async fn stop(mut self) {
        for node in &mut self.nodes {
            let server = node.server.take().expect("it runs");
            server.stop().await;
            crate::server::check_data(node.setup.data());
        }
    }

    /// Waits until a node has ended by itself.
    pub(crate) async fn ended(&mut self, node: usize) {
        let server = self.nodes[node].server.take().expect("it runs");
        let ended = server.end().await;
        assert_eq!(ended.status.code(), Some(5), "{ended:?}");
    }

    /// Waits until both standbys follow, and all nodes run and see each other.
    pub(crate) async fn is_whole(&mut self) {
        for node in 0..NODES {
            let runs = self.server(node).runs();
            assert!(runs, "node {node} has ended: {}", self.server(node).log());
        }
        self.postgres.is_whole(&self.machines).await;
        for node in 0..NODES {
            let client = self.client(&self.address(node)).await;
            within("the nodes to see each other", sees_all(&client)).await;
        }
    }
}

/// Returns once all have the same log, to its end.
async fn agree(nodes: &[Client]) {
    loop {
        let mut chains = Vec::new();
        for node in nodes {
            let chain = node.get_chain(GetChainRequest { revision: 0 }).await;
            chains.push(chain.map(|it| (it.log_id, it.revision, it.chain)).ok());
        }
        if chains[0].is_some() && chains.iter().all(|chain| *chain == chains[0]) {
            return;
        }
        sleep(LOOK_INTERVAL).await;
    }
}

/// Returns once the node sees all nodes run.
async fn sees_all(node: &Client) {
    loop {
        let seen = node.get_cluster(GetClusterRequest {}).await.expect("it is answered");
        let is_alive = |node: &&ClusterNode| node.state() == ClusterNodeState::Alive;
        if seen.nodes.iter().filter(is_alive).count() == NODES {
            return;
        }
        sleep(LOOK_INTERVAL).await;
    }
}
