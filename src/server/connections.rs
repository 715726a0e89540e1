//! The connections that are open: how many, from where, and on which worker; and the way to end
//! them.
//!
//! A connection has its place here from being accepted until it is closed.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::api::Closer;
use crate::config::Limits;

/// All open connections. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    open_max: usize,
    per_address_max: usize,
    places: Mutex<Places>,
    open: watch::Sender<usize>,
}

#[derive(Debug)]
struct Places {
    next_id: u64,
    /// By age, the oldest first.
    closers: BTreeMap<u64, Closer>,
    by_address: HashMap<IpAddr, usize>,
    by_worker: Vec<usize>,
}

/// A connection's place. Given up when dropped.
#[derive(Debug)]
pub(super) struct Place {
    connections: Connections,
    id: u64,
    address: IpAddr,
    /// The worker that the connection is to live on, from 1.
    pub(super) lane: usize,
    pub(super) closer: Closer,
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("{connections_max} connections are open, and that is the most")]
    Full { connections_max: usize },
    #[error("{connections_max} connections of one address are open, and that is the most")]
    FullForAddress { connections_max: usize },
}

impl Connections {
    /// None open yet, to be spread over so many workers.
    pub(super) fn new(limits: &Limits, workers: usize) -> Self {
        let places = Places {
            next_id: 0,
            closers: BTreeMap::new(),
            by_address: HashMap::new(),
            by_worker: vec![0; workers],
        };
        Self(Arc::new(Shared {
            open_max: limits.connections_max,
            per_address_max: limits.connections_per_address_max,
            places: Mutex::new(places),
            open: watch::Sender::new(0),
        }))
    }

    /// A place for a connection from `peer`, on the worker with the fewest.
    pub(super) fn admit(&self, peer: IpAddr) -> Result<Place, Refusal> {
        let address = network(peer);
        let mut places = self.places();
        if places.closers.len() >= self.0.open_max {
            return Err(Refusal::Full { connections_max: self.0.open_max });
        }
        let of_address = places.by_address.get(&address).copied().unwrap_or(0);
        if of_address >= self.0.per_address_max {
            return Err(Refusal::FullForAddress { connections_max: self.0.per_address_max });
        }
        places.by_address.insert(address, of_address + 1);
        let fewest = (0..places.by_worker.len()).min_by_key(|&worker| places.by_worker[worker]);
        let worker = fewest.unwrap_or(0);
        places.by_worker[worker] += 1;
        let (id, closer) = (places.next_id, Closer::default());
        places.next_id += 1;
        places.closers.insert(id, closer.clone());
        self.0.open.send_replace(places.closers.len());
        Ok(Place { connections: self.clone(), id, address, lane: worker + 1, closer })
    }

    /// All that are open, the oldest first.
    pub(super) fn closers(&self) -> Vec<Closer> {
        self.places().closers.values().cloned().collect()
    }

    /// Waits until none is open.
    pub(super) async fn ended(&self) {
        // The sender is held by `self`, so the wait cannot fail.
        let _ = self.0.open.subscribe().wait_for(|&open| open == 0).await;
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.connections.places();
        places.closers.remove(&self.id);
        places.by_worker[self.lane - 1] -= 1;
        if let Some(open) = places.by_address.get_mut(&self.address) {
            *open -= 1;
            if *open == 0 {
                places.by_address.remove(&self.address);
            }
        }
        self.connections.0.open.send_replace(places.closers.len());
    }
}

/// What counts as one address: of IPv6 the first 64 bits, as who has one address has all of those.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}
