//! This server as one of several nodes on a log: where the others reach it, and how it reaches them. Never forwards a
//! call.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Error;
use super::metrics::VERSION;
use super::opened_data::SharedData;
use super::seeding::Seeding;
use super::shared_keys::KeyCopy;
use crate::api::{ApiMetrics, ConnectNode, Nodes};
use crate::client::{Address, Client, ClientIdentity, ConnectOptions};
use crate::cluster::{Cluster, Membership, OwnNode, OwnSide};
use crate::config::{Config, ServerCertificate};
use crate::engine::Engine;
use crate::model::{NodeKey, Revision};
use crate::runtime::CriticalThreads;
use crate::storage::SharedKeys;

/// A node that runs accepts a connection, and answers a ping, well within it. Until then calls that were sent to it wait.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);

/// A server that shares its log, before it joins the other nodes.
#[derive(Debug)]
pub(super) struct OwnPlace {
    cluster: Cluster,
    shared: SharedData,
}

impl OwnPlace {
    /// Of a server that listens on `listen`.
    ///
    /// # Errors
    /// Other nodes would reach it, and send their keys, in clear text; or the operating system has no random numbers.
    pub(super) fn new(
        config: &Config,
        listen: SocketAddr,
        shared: SharedData,
    ) -> Result<Self, Error> {
        let Some(store) = &config.store else {
            unreachable!("a log without a store is not shared")
        };
        let address = own_address(config, listen);
        if let Some(address) = &address {
            let parsed: Result<Address, _> = address.parse();
            let is_safe = parsed.is_ok_and(|address| address.is_tls() || address.is_here());
            if !is_safe && !config.insecure {
                return Err(Error::NodeAddress { address: address.clone() });
            }
        } else {
            tracing::warn!(
                "other nodes forward no changes to this one: say where they reach it by --node-address"
            );
        }
        let (public_address, version) = (store.node_public_address.clone(), VERSION.to_owned());
        let own = OwnNode { address, public_address, version };
        let cluster = Cluster::new(own).map_err(Error::Workers)?;
        Ok(Self { cluster, shared })
    }

    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub(super) fn key(&self) -> NodeKey {
        self.cluster.key().clone()
    }

    /// The other nodes, for the services.
    pub(super) fn nodes(&self, config: &Config, metrics: ApiMetrics) -> Nodes {
        let options = connect_options(config);
        let connect: ConnectNode = Arc::new(move |address| {
            let channel = Client::node_channel(address, &options, ANSWER_TIME_MAX);
            channel.map_err(|error| error.to_string())
        });
        Nodes::new(self.cluster.clone(), connect, metrics, config.limits.call_time_max)
    }

    /// Joins the other nodes.
    ///
    /// # Errors
    /// The operating system cannot start a thread.
    pub(super) fn join(
        self,
        engine: Engine,
        critical: &CriticalThreads,
    ) -> Result<Membership, Error> {
        let SharedData { roster, keys } = self.shared;
        let own = Box::new(OwnNodeSide { engine, keys });
        self.cluster.begin(roster, own, critical).map_err(Error::Workers)
    }
}

/// What this node tells the others, and takes from the store.
struct OwnNodeSide {
    engine: Engine,
    keys: KeyCopy,
}

impl OwnSide for OwnNodeSide {
    fn applied(&self) -> Revision {
        self.engine.cursor().after
    }

    fn known_keys(&self) -> Option<u64> {
        self.keys.known()
    }

    fn take_keys(&mut self, keys: &SharedKeys) -> Result<(), String> {
        self.keys.take(keys).map_err(|error| error.to_string())
    }
}

/// How other nodes are connected to.
fn connect_options(config: &Config) -> ConnectOptions {
    ConnectOptions {
        ca_file: config.store.as_ref().and_then(|store| store.node_ca_file.clone()),
        identity: own_identity(config),
        is_network_trusted: config.insecure,
        ..ConnectOptions::default()
    }
}

/// How a node that listens on `listen` gets the log of the others.
pub(super) fn seeding(config: &Config, listen: SocketAddr) -> Seeding {
    Seeding { options: connect_options(config), own_address: own_address(config, listen) }
}

/// Where other nodes reach a server that listens on `listen`, if its settings say it.
fn own_address(config: &Config, listen: SocketAddr) -> Option<String> {
    if let Some(address) = config.store.as_ref().and_then(|store| store.node_address.clone()) {
        return Some(address);
    }
    let is_one_machine = !listen.ip().is_unspecified();
    let is_direct = config.transport.behind_tls_proxy.is_empty();
    let scheme = if config.transport.tls.is_some() { "https" } else { "http" };
    (is_one_machine && is_direct).then(|| format!("{scheme}://{listen}"))
}

/// The certificate that this node shows others, which ask for one as it does itself.
fn own_identity(config: &Config) -> Option<ClientIdentity> {
    let tls = config.transport.tls.as_ref().filter(|tls| tls.clients.is_some())?;
    match &tls.certificate {
        ServerCertificate::Files { certificate, key } => {
            Some(ClientIdentity { certificate: certificate.clone(), key: key.clone() })
        }
        ServerCertificate::SelfSigned => None,
    }
}
