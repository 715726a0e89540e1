//! The registry of open connections: their number, in all, per address and per worker, and the
//! handles that end them. A connection holds a [`ConnectionSlot`] from accept to close.
//!
//! Never reads from or writes to a connection.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::connection_metrics::{ClosedConnection, ConnectionMetrics, RefusedConnection};
use crate::api::{Account, Accounts, AddressPot, Closer, OpenAccount, network};
use crate::config::{LimitsInForce, Networks, Transport};

/// All open connections. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Connections(Arc<ConnectionRegistry>);

#[derive(Debug)]
struct ConnectionRegistry {
    limits: LimitsInForce,
    /// If there are any, connections are admitted from them alone.
    only_from: Networks,
    /// Networks of proxies, whose connections are those of other addresses.
    proxies: Networks,
    table: Mutex<ConnectionTable>,
    open: watch::Sender<usize>,
    accounts: Accounts,
    metrics: ConnectionMetrics,
}

#[derive(Debug)]
struct ConnectionTable {
    next_id: u64,
    /// By age, the oldest first.
    closers: BTreeMap<u64, Closer>,
    by_address: HashMap<IpAddr, AddressEntry>,
    by_worker: Vec<usize>,
}

/// The connections of one address.
#[derive(Debug, Default)]
struct AddressEntry {
    open: usize,
    pot: AddressPot,
}

/// A connection's entry in the registry. Dropping it removes the entry.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    connections: Connections,
    id: u64,
    /// `None` until the proxy has said whose the connection is.
    counted: Option<Counted>,
    /// The worker that the connection runs on, counted from 1.
    pub(super) worker: usize,
    pub(super) closer: Closer,
    /// Why it is closed, once it is.
    pub(super) closed: ClosedConnection,
}

/// The address that a connection counts for, and its account.
#[derive(Debug)]
struct Counted {
    address: IpAddr,
    account: OpenAccount,
}

/// Why a connection is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the limit of {connections_max} open connections is reached")]
    Full { connections_max: usize },
    #[error("the limit of {connections_max} open connections from one address is reached")]
    FullForAddress { connections_max: usize },
    #[error("only connections of the proxies in {only_from} (--behind-tls-proxy) are accepted")]
    Elsewhere { only_from: Networks },
}

impl From<&Refusal> for RefusedConnection {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Full { .. } => Self::Full,
            Refusal::FullForAddress { .. } => Self::FullForAddress,
            Refusal::Elsewhere { .. } => Self::Elsewhere,
        }
    }
}

impl Connections {
    /// An empty registry for connections on `workers` workers, which opens their `accounts` and
    /// counts in `metrics`.
    pub(super) fn new(
        limits: LimitsInForce,
        transport: &Transport,
        workers: usize,
        accounts: Accounts,
        metrics: ConnectionMetrics,
    ) -> Self {
        let table = ConnectionTable {
            next_id: 0,
            closers: BTreeMap::new(),
            by_address: HashMap::new(),
            by_worker: vec![0; workers],
        };
        Self(Arc::new(ConnectionRegistry {
            limits,
            only_from: transport.behind_tls_proxy.clone(),
            proxies: transport.proxy_protocol_from.clone(),
            table: Mutex::new(table),
            open: watch::Sender::new(0),
            accounts,
            metrics,
        }))
    }

    /// Where connections are counted.
    pub(super) fn metrics(&self) -> &ConnectionMetrics {
        &self.0.metrics
    }

    /// Registers a connection from `peer`, on the worker with the fewest connections. That of a
    /// proxy counts for nobody until [`ConnectionSlot::count_for`].
    pub(super) fn admit(&self, peer: IpAddr) -> Result<ConnectionSlot, Refusal> {
        self.register(peer).inspect_err(|refusal| self.0.metrics.refused(refusal.into()))
    }

    fn register(&self, peer: IpAddr) -> Result<ConnectionSlot, Refusal> {
        let only_from = &self.0.only_from;
        if !only_from.is_empty() && !only_from.contains(peer) {
            return Err(Refusal::Elsewhere { only_from: only_from.clone() });
        }
        let mut table = self.table();
        let connections_max = self.0.limits.now().connections_max;
        if table.closers.len() >= connections_max {
            return Err(Refusal::Full { connections_max });
        }
        let closer = Closer::default();
        let address = if self.0.proxies.contains(peer) { None } else { Some(network(peer)) };
        let counted = match address {
            Some(address) => Some(self.count(&mut table, address, &closer)?),
            None => None,
        };
        let fewest = (0..table.by_worker.len()).min_by_key(|&worker| table.by_worker[worker]);
        let worker = fewest.unwrap_or(0);
        table.by_worker[worker] += 1;
        let id = table.next_id;
        table.next_id += 1;
        table.closers.insert(id, closer.clone());
        self.0.open.send_replace(table.closers.len());
        self.0.metrics.accepted();
        Ok(ConnectionSlot {
            connections: self.clone(),
            id,
            counted,
            worker: worker + 1,
            closer,
            closed: ClosedConnection::NotBegun,
        })
    }

    /// Counts a connection of `address`, which `closer` closes, and opens its account.
    ///
    /// # Errors
    /// The address has as many connections as the limit allows.
    fn count(
        &self,
        table: &mut ConnectionTable,
        address: IpAddr,
        closer: &Closer,
    ) -> Result<Counted, Refusal> {
        let connections_max = self.0.limits.now().connections_per_address_max;
        let open = table.by_address.get(&address).map_or(0, |entry| entry.open);
        if open >= connections_max {
            return Err(Refusal::FullForAddress { connections_max });
        }
        let entry = table.by_address.entry(address).or_default();
        entry.open += 1;
        let account = self.0.accounts.open(closer.clone(), entry.pot.clone());
        Ok(Counted { address, account })
    }

    /// The closers of all open connections, the oldest connection first.
    pub(super) fn closers(&self) -> Vec<Closer> {
        self.table().closers.values().cloned().collect()
    }

    /// Waits until no connection is open.
    pub(super) async fn all_closed(&self) {
        // `self` holds the sender, so the wait cannot fail.
        let _ = self.0.open.subscribe().wait_for(|&open| open == 0).await;
    }

    fn table(&self) -> MutexGuard<'_, ConnectionTable> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionSlot {
    /// Whether a proxy has still to say whose connection it is.
    pub(super) fn is_of_proxy(&self) -> bool {
        self.counted.is_none()
    }

    /// Counts the connection of a proxy for `peer`.
    pub(super) fn count_for(&mut self, peer: IpAddr) -> Result<(), Refusal> {
        debug_assert!(self.is_of_proxy(), "a connection counts once");
        let mut table = self.connections.table();
        let counted = self.connections.count(&mut table, network(peer), &self.closer);
        drop(table);
        let metrics = self.connections.metrics();
        let counted = counted.inspect_err(|refusal| metrics.refused(refusal.into()))?;
        self.counted = Some(counted);
        Ok(())
    }

    /// The account of the connection.
    ///
    /// # Panics
    /// It is not known yet whose connection it is.
    pub(super) fn account(&self) -> Account {
        match &self.counted {
            Some(counted) => (*counted.account).clone(),
            None => unreachable!("a connection is served only when it is known whose it is"),
        }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut table = self.connections.table();
        table.closers.remove(&self.id);
        table.by_worker[self.worker - 1] -= 1;
        if let Some(Counted { address, .. }) = &self.counted
            && let Some(entry) = table.by_address.get_mut(address)
        {
            entry.open -= 1;
            if entry.open == 0 {
                table.by_address.remove(address);
            }
        }
        self.connections.0.open.send_replace(table.closers.len());
        self.connections.0.metrics.closed(self.closed);
    }
}
