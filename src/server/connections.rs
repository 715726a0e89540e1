//! The registry of open connections: their number, in all, per address and per worker, and the
//! handles that end them. A connection holds a [`ConnectionSlot`] from accept to close.
//!
//! Never reads from or writes to a connection.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::api::{Accounts, AddressPot, Closer, OpenAccount};
use crate::config::Limits;

/// All open connections. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Connections(Arc<ConnectionRegistry>);

#[derive(Debug)]
struct ConnectionRegistry {
    open_max: usize,
    per_address_max: usize,
    table: Mutex<ConnectionTable>,
    open: watch::Sender<usize>,
    accounts: Accounts,
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
    address: IpAddr,
    /// The worker that the connection runs on, counted from 1.
    pub(super) worker: usize,
    pub(super) closer: Closer,
    pub(super) account: OpenAccount,
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the limit of {connections_max} open connections is reached")]
    Full { connections_max: usize },
    #[error("the limit of {connections_max} open connections from one address is reached")]
    FullForAddress { connections_max: usize },
}

impl Connections {
    /// An empty registry for connections on `workers` workers, which opens their `accounts`.
    pub(super) fn new(limits: &Limits, workers: usize, accounts: Accounts) -> Self {
        let table = ConnectionTable {
            next_id: 0,
            closers: BTreeMap::new(),
            by_address: HashMap::new(),
            by_worker: vec![0; workers],
        };
        Self(Arc::new(ConnectionRegistry {
            open_max: limits.connections_max,
            per_address_max: limits.connections_per_address_max,
            table: Mutex::new(table),
            open: watch::Sender::new(0),
            accounts,
        }))
    }

    /// Registers a connection from `peer`, on the worker with the fewest connections.
    pub(super) fn admit(&self, peer: IpAddr) -> Result<ConnectionSlot, Refusal> {
        let address = network(peer);
        let mut table = self.table();
        if table.closers.len() >= self.0.open_max {
            return Err(Refusal::Full { connections_max: self.0.open_max });
        }
        let of_address = table.by_address.get(&address).map_or(0, |entry| entry.open);
        if of_address >= self.0.per_address_max {
            return Err(Refusal::FullForAddress { connections_max: self.0.per_address_max });
        }
        let entry = table.by_address.entry(address).or_default();
        entry.open += 1;
        let pot = entry.pot.clone();
        let fewest = (0..table.by_worker.len()).min_by_key(|&worker| table.by_worker[worker]);
        let worker = fewest.unwrap_or(0);
        table.by_worker[worker] += 1;
        let (id, closer) = (table.next_id, Closer::default());
        table.next_id += 1;
        table.closers.insert(id, closer.clone());
        self.0.open.send_replace(table.closers.len());
        let worker = worker + 1;
        let account = self.0.accounts.open(closer.clone(), pot);
        Ok(ConnectionSlot { connections: self.clone(), id, address, worker, closer, account })
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

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut table = self.connections.table();
        table.closers.remove(&self.id);
        table.by_worker[self.worker - 1] -= 1;
        if let Some(entry) = table.by_address.get_mut(&self.address) {
            entry.open -= 1;
            if entry.open == 0 {
                table.by_address.remove(&self.address);
            }
        }
        self.connections.0.open.send_replace(table.closers.len());
    }
}

/// The key of the limit per address. For IPv6 it is the first 64 bits: who has one address of such
/// a network has all of them.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}
