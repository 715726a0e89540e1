//! The way in: what is a call at all, how many are answered at once and for how long, none while
//! the server stops, and every error in the same dress.
//!
//! A call counts until its response begins; a stream's own permits bound the rest.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::framing::{Encoding, Framed};
use super::{deadline, head, status};
use crate::config::Limits;

/// What is asked at the door, for all connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Door>);

#[derive(Debug)]
struct Door {
    draining: AtomicBool,
    calls: Arc<Semaphore>,
    calls_max: usize,
    call_time_max: Duration,
    request_bytes_max: usize,
}

/// The services behind the door.
#[derive(Clone, Debug)]
pub struct Admitted<S> {
    services: S,
    door: Arc<Door>,
}

/// What a call has beyond its own time, so that a handler that runs out of it can still say what it
/// waited for.
const CALL_TIME_MARGIN: Duration = Duration::from_secs(1);
/// Health has to be told to the last.
const ALWAYS_OPEN: &str = "/grpc.health.v1.Health/";
/// The header in which a status carries its details.
const DETAILS_HEADER: &str = "grpc-status-details-bin";

impl Admission {
    /// An open door.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self(Arc::new(Door {
            draining: AtomicBool::new(false),
            calls: Arc::new(Semaphore::new(limits.calls_max.min(Semaphore::MAX_PERMITS))),
            calls_max: limits.calls_max,
            call_time_max: limits.call_time_max + CALL_TIME_MARGIN,
            request_bytes_max: limits.request_bytes_max,
        }))
    }

    /// From now on calls are told to go elsewhere.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::SeqCst);
    }
}

impl<S> Layer<S> for Admission {
    type Service = Admitted<S>;

    fn layer(&self, services: S) -> Admitted<S> {
        Admitted { services, door: Arc::clone(&self.0) }
    }
}

impl<S, B> Service<Request<B>> for Admitted<S>
where
    S: Service<Request<Framed<B>>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.services.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let entry = match self.door.enter(&mut request) {
            Ok(entry) => entry,
            Err(refused) => return Box::pin(async { Ok(refused) }),
        };
        let Entry { permit, time_max, encoding } = entry;
        let messages = head::messages_of(request.uri().path());
        let bytes_max = self.door.request_bytes_max;
        let request = request.map(|body| Framed::new(body, encoding, messages, bytes_max));
        let response = self.services.call(request);
        Box::pin(async move {
            let response = timeout(time_max, response).await;
            drop(permit);
            match response {
                Ok(response) => response.map(dressed),
                Err(_) => Ok(status::deadline_exceeded().into_http()),
            }
        })
    }
}

/// What a call has that was let in.
struct Entry {
    permit: OwnedSemaphorePermit,
    time_max: Duration,
    encoding: Encoding,
}

impl Door {
    /// Lets `request` in by what its head says, or gives the answer that refuses it.
    fn enter<B>(&self, request: &mut Request<B>) -> Result<Entry, Response<Body>> {
        head::check_is_call(request)?;
        let always_open = request.uri().path().starts_with(ALWAYS_OPEN);
        if self.draining.load(Ordering::SeqCst) && !always_open {
            return Err(status::draining().into_http());
        }
        let asked = deadline::of(request.headers()).map_err(Status::into_http)?;
        let time_max = asked.map_or(self.call_time_max, |asked| asked.min(self.call_time_max));
        // Nothing can be done in no time, so nothing is begun.
        if time_max.is_zero() {
            return Err(status::deadline_exceeded().into_http());
        }
        let encoding = head::take_encoding(request.headers_mut()).map_err(Status::into_http)?;
        let permit = Arc::clone(&self.calls).try_acquire_owned();
        let permit = permit.map_err(|_| status::overloaded(self.calls_max).into_http())?;
        Ok(Entry { permit, time_max, encoding })
    }
}

/// Gives an error that the transport made the details that all others have.
fn dressed(response: Response<Body>) -> Response<Body> {
    let headers = response.headers();
    if !headers.contains_key(Status::GRPC_STATUS) || headers.contains_key(DETAILS_HEADER) {
        return response;
    }
    match Status::from_header_map(headers) {
        Some(said) if said.code() != Code::Ok => status::dressed(said).into_http(),
        _ => response,
    }
}
