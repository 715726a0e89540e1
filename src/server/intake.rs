//! The way of a connection from the listener to its worker, over the handshake thread if it begins
//! with a handshake. Never reads from a connection.

use std::convert::Infallible;
use std::sync::Arc;

use super::connection::{self, Services};
use super::connection_metrics::RefusedConnection;
use super::connections::Connections;
use super::handshakes::{Begun, Handshakes};
use super::listener::Listener;
use crate::runtime::Workers;

/// The ends of the way.
pub(super) struct Intake<'a> {
    pub(super) listener: &'a mut Listener,
    pub(super) connections: &'a Connections,
    pub(super) handshakes: Option<Handshakes>,
    pub(super) workers: &'a Workers,
    pub(super) services: &'a Arc<Services>,
}

impl Intake<'_> {
    /// Takes connections until it is dropped.
    pub(super) async fn run(self) -> Infallible {
        let Self { listener, connections, handshakes, workers, services } = self;
        let Some(mut handshakes) = handshakes else {
            loop {
                hand_over(
                    listener.accept(connections).await.into(),
                    workers,
                    connections,
                    services,
                );
            }
        };
        let beginner = handshakes.beginner();
        let accepting = async {
            loop {
                if beginner.try_send(listener.accept(connections).await).is_err() {
                    connections.metrics().refused(RefusedConnection::HandshakesBehind);
                    tracing::debug!("closed a connection: the handshakes are behind");
                }
            }
        };
        let handing_over = async {
            loop {
                hand_over(handshakes.next().await, workers, connections, services);
            }
        };
        tokio::select! { never = accepting => never, never = handing_over => never }
    }
}

/// Never waits for a slow worker: the others keep getting connections.
fn hand_over(begun: Begun, workers: &Workers, connections: &Connections, services: &Arc<Services>) {
    let (worker, services) = (begun.slot.worker, Arc::clone(services));
    if !workers.try_spawn_on(worker, move || connection::serve(begun, services)) {
        connections.metrics().refused(RefusedConnection::WorkerBehind);
        tracing::debug!(worker, "closed a connection: its worker is behind");
    }
}
