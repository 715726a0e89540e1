//! Whether the server takes calls, as load balancers ask for it: by gRPC, and by HTTP of the admin listener.
//! Never says two things at once.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::sleep;

use super::admin::{Admin, NotReady};
use crate::api::Health;
use crate::engine::Engine;

/// How often it is brought up to date with the index: load balancers ask about as often.
const INTERVAL: Duration = Duration::from_secs(1);

/// What both say.
pub(super) struct Readiness {
    health: Health,
    admin: Admin,
}

impl Readiness {
    /// Of a server that starts.
    pub(super) fn new(health: Health, admin: Admin) -> Self {
        Self { health, admin }
    }

    /// Why no calls are taken; `None` if they are.
    pub(super) async fn set(&self, problem: Option<NotReady>) {
        self.admin.set_ready(problem);
        match problem {
            None => self.health.serving().await,
            Some(_) => self.health.not_serving().await,
        }
    }

    /// Follows the index: calls are not taken while it cannot be read.
    pub(super) async fn follow(&self, engine: &Engine) -> Infallible {
        let mut is_complete = true;
        loop {
            sleep(INTERVAL).await;
            if is_complete != engine.is_complete() {
                is_complete = !is_complete;
                self.set((!is_complete).then_some(NotReady::IndexLost)).await;
            }
        }
    }

    /// Ends all streams of health, for good.
    pub(super) async fn end(&mut self) {
        self.admin.set_ready(Some(NotReady::Stopping));
        self.health.end_watches().await;
    }
}
