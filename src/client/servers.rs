//! The servers of one log, as one service: calls go to one of them until it cannot be reached, or takes no calls; the next
//! calls go to the next one. Never makes a call again: whether that is safe, its caller knows.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{Request, Response};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::transport::{Channel, Error};
use tonic::{Code, Status};

use super::Address;
use crate::api;

/// A call that is given up after so long says what a call that fails says: its server may hang.
const PATIENCE: Duration = Duration::from_secs(1);

/// Connections to all of them, of which one is used. Cheap to clone; clones use the same.
#[derive(Clone, Debug)]
pub(super) struct Servers(Arc<ServerList>);

#[derive(Debug)]
struct ServerList {
    all: Vec<(Address, Channel)>,
    used: AtomicUsize,
    /// The newest position that was seen at any of them, and its cursor.
    newest: Mutex<Option<(u64, String)>>,
}

impl Servers {
    /// `all` of them, of which the one at `used` is called first.
    pub(super) fn new(all: Vec<(Address, Channel)>, used: usize) -> Self {
        assert!(used < all.len(), "it is one of them");
        let (used, newest) = (AtomicUsize::new(used), Mutex::default());
        Self(Arc::new(ServerList { all, used, newest }))
    }

    /// Whether there are others than the one that is used.
    pub(super) fn are_several(&self) -> bool {
        self.0.all.len() > 1
    }

    /// Calls the next one from now on, or the one at `named` if it is one of them.
    pub(super) fn leave(&self, named: &str) {
        let is_named = |(address, _): &(Address, _)| {
            named.parse().is_ok_and(|named: Address| named == *address)
        };
        match self.0.all.iter().position(is_named) {
            Some(at) => self.0.used.store(at, Ordering::Release),
            None => self.leave_from(self.0.used.load(Ordering::Acquire)),
        }
    }

    /// Calls another one than the one at `at`, unless that is so already.
    fn leave_from(&self, at: usize) {
        let next = (at + 1) % self.0.all.len();
        // Fails if another call has left it.
        let _ = self.0.used.compare_exchange(at, next, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Notes a cursor that one of them has given.
    pub(super) fn saw(&self, cursor: &str) {
        if !self.are_several() {
            return;
        }
        let Some(position) = api::cursor_position(cursor) else { return };
        let mut newest = self.0.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.as_ref().is_none_or(|(known, _)| position > *known) {
            *newest = Some((position, cursor.to_owned()));
        }
    }

    /// Fills in the field `at_least` of a read that has none: so that another server shows what one has shown.
    pub(super) fn fill_in(&self, at_least: &mut String) {
        if !self.are_several() || !at_least.is_empty() {
            return;
        }
        let newest = self.0.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, cursor)) = &*newest {
            at_least.clone_from(cursor);
        }
    }
}

impl Service<Request<Body>> for Servers {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (servers, at) = (self.clone(), self.0.used.load(Ordering::Acquire));
        let mut channel = self.0.all[at].1.clone();
        Box::pin(async move {
            let mut waiting = WaitingCall { servers, at, begun_at: Instant::now(), is_over: false };
            let answer = async {
                poll_fn(|cx| channel.poll_ready(cx)).await?;
                channel.call(request).await
            };
            let answer = answer.await;
            waiting.is_over = true;
            if !takes_calls(&answer) {
                waiting.servers.leave_from(at);
            }
            answer
        })
    }
}

/// A call that waits for its answer, or is given up.
struct WaitingCall {
    servers: Servers,
    at: usize,
    begun_at: Instant,
    is_over: bool,
}

impl Drop for WaitingCall {
    fn drop(&mut self) {
        if !self.is_over && self.begun_at.elapsed() >= PATIENCE {
            self.servers.leave_from(self.at);
        }
    }
}

/// Whether a server that answered so is to be called again.
fn takes_calls(answer: &Result<Response<Body>, Error>) -> bool {
    let Ok(answer) = answer else { return false };
    let status = answer.headers().get(Status::GRPC_STATUS);
    status.is_none_or(|status| Code::from_bytes(status.as_bytes()) != Code::Unavailable)
}
