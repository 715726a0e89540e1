//! The way in: how many calls are answered at once and for how long, none while the server stops,
//! and every error in the same dress.
//!
//! A call counts until its response begins; a stream's own permits bound the rest.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::{deadline, status};
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
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.services.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let door = Arc::clone(&self.door);
        let always_open = request.uri().path().starts_with(ALWAYS_OPEN);
        if door.draining.load(Ordering::SeqCst) && !always_open {
            return Box::pin(async { Ok(status::draining().into_http()) });
        }
        let asked = deadline::of(request.headers());
        let time_max = asked.map_or(door.call_time_max, |asked| asked.min(door.call_time_max));
        // Nothing can be done in no time, so nothing is begun.
        if time_max.is_zero() {
            return Box::pin(async { Ok(status::deadline_exceeded().into_http()) });
        }
        let Ok(permit) = Arc::clone(&door.calls).try_acquire_owned() else {
            return Box::pin(async move { Ok(status::overloaded(door.calls_max).into_http()) });
        };
        let response = self.services.call(request);
        Box::pin(async move {
            let response = timeout(time_max, response).await;
            drop(permit);
            match response {
                Ok(response) => response.map(|response| dressed(response, door.request_bytes_max)),
                Err(_) => Ok(status::deadline_exceeded().into_http()),
            }
        })
    }
}

/// Gives an error that the transport made the details that all others have.
fn dressed(response: Response<Body>, request_bytes_max: usize) -> Response<Body> {
    let headers = response.headers();
    if !headers.contains_key(Status::GRPC_STATUS) || headers.contains_key(DETAILS_HEADER) {
        return response;
    }
    let Some(said) = Status::from_header_map(headers) else { return response };
    if said.code() == Code::Ok {
        return response;
    }
    let Some(status) = status::of_transport(said.code(), said.message(), request_bytes_max) else {
        return response;
    };
    let mut dressed = status.into_http();
    // Such as the compressions that would do.
    for (name, value) in headers {
        dressed.headers_mut().entry(name).or_insert_with(|| value.clone());
    }
    dressed
}
