//! Admission of calls: refuses requests that are no gRPC call, calls beyond the limits of number
//! and time, and all calls while the server stops. Gives every error the same details.
//!
//! A call counts until its response begins; streams have permits of their own. Never reads a
//! message.

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

use super::framing::{CheckedBody, Compression};
use super::{deadline, head, status};
use crate::config::Limits;

/// The layer that admits calls, shared by all connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Admission(Arc<AdmissionState>);

#[derive(Debug)]
struct AdmissionState {
    draining: AtomicBool,
    calls: Arc<Semaphore>,
    calls_max: usize,
    call_time_max: Duration,
    request_bytes_max: usize,
}

/// The services behind the [`Admission`].
#[derive(Clone, Debug)]
pub struct AdmissionService<S> {
    services: S,
    state: Arc<AdmissionState>,
}

/// Added to a call's time limit, so that a handler whose own limit ends first can report what it
/// waited for.
const CALL_TIME_MARGIN: Duration = Duration::from_secs(1);
/// Health answers also while the server stops.
const ALWAYS_OPEN: &str = "/grpc.health.v1.Health/";
/// The header with the details of a status.
const DETAILS_HEADER: &str = "grpc-status-details-bin";

impl Admission {
    /// Admits calls within `limits`.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self(Arc::new(AdmissionState {
            draining: AtomicBool::new(false),
            calls: Arc::new(Semaphore::new(limits.calls_max.min(Semaphore::MAX_PERMITS))),
            calls_max: limits.calls_max,
            call_time_max: limits.call_time_max + CALL_TIME_MARGIN,
            request_bytes_max: limits.request_bytes_max,
        }))
    }

    /// Refuses all calls from now on with `DRAINING`.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::SeqCst);
    }
}

impl<S> Layer<S> for Admission {
    type Service = AdmissionService<S>;

    fn layer(&self, services: S) -> AdmissionService<S> {
        AdmissionService { services, state: Arc::clone(&self.0) }
    }
}

impl<S, B> Service<Request<B>> for AdmissionService<S>
where
    S: Service<Request<CheckedBody<B>>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.services.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if let Some(refusal) = head::refuse_non_grpc(&request) {
            return Box::pin(async { Ok(refusal) });
        }
        let admitted = match self.state.admit(&mut request) {
            Ok(admitted) => admitted,
            Err(refusal) => return Box::pin(async { Ok(refusal.into_http()) }),
        };
        let AdmittedCall { permit, time_max, compression } = admitted;
        let messages = head::message_count(request.uri().path());
        let bytes_max = self.state.request_bytes_max;
        let request = request.map(|body| CheckedBody::new(body, compression, messages, bytes_max));
        let response = self.services.call(request);
        Box::pin(async move {
            let response = timeout(time_max, response).await;
            drop(permit);
            match response {
                Ok(response) => response.map(with_details),
                Err(_) => Ok(status::deadline_exceeded().into_http()),
            }
        })
    }
}

/// What admission found for a call.
struct AdmittedCall {
    permit: OwnedSemaphorePermit,
    time_max: Duration,
    compression: Compression,
}

impl AdmissionState {
    /// Admits `request` by its headers.
    ///
    /// # Errors
    /// The status of the refusal.
    fn admit<B>(&self, request: &mut Request<B>) -> Result<AdmittedCall, Status> {
        let always_open = request.uri().path().starts_with(ALWAYS_OPEN);
        if self.draining.load(Ordering::SeqCst) && !always_open {
            return Err(status::draining());
        }
        let timeout = deadline::of(request.headers())?;
        let time_max = timeout.map_or(self.call_time_max, |time| time.min(self.call_time_max));
        // A call without any time must not start a change.
        if time_max.is_zero() {
            return Err(status::deadline_exceeded());
        }
        let compression = head::take_compression(request.headers_mut())?;
        let permit = Arc::clone(&self.calls).try_acquire_owned();
        let permit = permit.map_err(|_| status::overloaded(self.calls_max))?;
        Ok(AdmittedCall { permit, time_max, compression })
    }
}

/// Adds details to an error that the transport made, so that all errors have them.
fn with_details(response: Response<Body>) -> Response<Body> {
    let headers = response.headers();
    if !headers.contains_key(Status::GRPC_STATUS) || headers.contains_key(DETAILS_HEADER) {
        return response;
    }
    match Status::from_header_map(headers) {
        Some(error) if error.code() != Code::Ok => status::with_details(error).into_http(),
        _ => response,
    }
}
