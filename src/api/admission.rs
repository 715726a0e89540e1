//! Admission of calls: refuses requests that are no call, calls beyond the limits of number
//! and time, and all calls while the server stops. Gives every error the same details.
//!
//! ```text
//!   headers ──▶ caller ──▶ message arrives ──▶ room for an answer ──▶ slot ──▶ service ──▶ answer ──▶ sent
//!   └ the bytes count as an unfinished request ───────────────────────┘ counts as a call ┘ └ bytes count
//! ```
//!
//! So a slot is never held by a client that sends nothing or takes nothing, and nobody who may not call
//! is waited for. Streams have permits of their own. Never reads a message.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service;

use super::account::Account;
use super::answer::AnswerBody;
use super::authentication::Authentication;
use super::calls::CallLog;
use super::framing::{CheckedBody, Compression};
use super::web::{self, NotACall, Page, Protocol, Web};
use super::whole_request::{ArrivalTime, WholeBody};
use super::{deadline, head, status};
use crate::config::Limits;
use crate::query::QueryCaller;
use crate::runtime::{CallContext, Wait, call};

/// The answer to a call, which is being made. The error is the services' own.
pub type Answer<E> = Pin<Box<dyn Future<Output = Result<Response<AnswerBody>, E>> + Send>>;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Admits calls, for all connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Admission(Arc<AdmissionState>);

#[derive(Debug)]
struct AdmissionState {
    draining: AtomicBool,
    authentication: Authentication,
    log: CallLog,
    web: Web,
    calls: Semaphore,
    calls_max: usize,
    call_time_max: Duration,
    request_time_max: Duration,
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
    /// Admits calls within `limits`, of callers that `authentication` knows, and keeps what is known of them in
    /// `log`. `web` says what a request is.
    #[must_use]
    pub fn new(authentication: Authentication, limits: &Limits, web: Web, log: CallLog) -> Self {
        Self(Arc::new(AdmissionState {
            draining: AtomicBool::new(false),
            authentication,
            log,
            web,
            calls: Semaphore::new(limits.calls_max.min(Semaphore::MAX_PERMITS)),
            calls_max: limits.calls_max,
            call_time_max: limits.call_time_max + CALL_TIME_MARGIN,
            request_time_max: limits.request_time_max,
            request_bytes_max: limits.request_bytes_max,
        }))
    }

    /// Refuses all calls from now on with `DRAINING`.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::SeqCst);
    }
}

impl Admission {
    /// `services` behind this admission.
    pub fn before<S>(&self, services: S) -> AdmissionService<S> {
        AdmissionService { services, state: Arc::clone(&self.0) }
    }
}

impl<S> AdmissionService<S> {
    /// The answer to `request`, which came on the connection of `account`.
    pub fn call<B>(&self, account: &Account, mut request: Request<B>) -> Answer<S::Error>
    where
        S: Service<Request<WholeBody<B>>, Response = Response<Body>> + Clone + Send + 'static,
        S::Error: Send,
        S::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (services, state) = (self.services.clone(), Arc::clone(&self.state));
        let account = account.clone();
        web::lengthen(&mut request);
        let mut call = self.state.log.begin(&request);
        let context = Arc::clone(call.context());
        Box::pin(context.scope(async move {
            let mut stream_of = None;
            let (page, protocol) = match state.web.page(&mut request) {
                Ok(page) => (page, state.web.protocol(&request)),
                Err(not_a_call) => (Page::None, Err(not_a_call)),
            };
            let (mut answer, encoder) = match protocol {
                Ok(protocol) => {
                    let mut answer = match state.answer(services, &account, protocol, request).await
                    {
                        Ok((answer, caller)) => {
                            stream_of = call.is_stream().then(|| caller.patient());
                            with_details(answer?)
                        }
                        Err(refusal) => with_details(refusal.into_http()),
                    };
                    call.answered(answer.headers_mut());
                    protocol.answer(answer, &mut call).await
                }
                Err(not_a_call) => {
                    let file = || match not_a_call {
                        NotACall::Method => state.web.file(&request),
                        _ => None,
                    };
                    let mut answer = match page.preflight(&request).or_else(file) {
                        Some(answer) => {
                            call.permitted();
                            answer
                        }
                        None => {
                            call.refused();
                            not_a_call.response(request.method())
                        }
                    };
                    call.answered(answer.headers_mut());
                    (answer, None)
                }
            };
            page.allow(answer.headers_mut());
            Ok(answer.map(|body| AnswerBody::new(body, account, encoder, stream_of, call)))
        }))
    }
}

/// What admission found in the headers of a call.
struct AdmittedCall {
    deadline: Instant,
    arrival: ArrivalTime,
    compression: Compression,
}

impl AdmissionState {
    /// The answer of `services` to `request`, and who called.
    ///
    /// # Errors
    /// The status of a refusal.
    async fn answer<S, B>(
        &self,
        mut services: S,
        account: &Account,
        protocol: Protocol,
        request: Request<B>,
    ) -> Result<(Result<Response<Body>, S::Error>, QueryCaller), Status>
    where
        S: Service<Request<WholeBody<B>>, Response = Response<Body>>,
        B: http_body::Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let request = protocol.to_grpc(request, self.request_bytes_max)?;
        let (mut head, body) = request.into_parts();
        let AdmittedCall { deadline, arrival, compression } = self.admit(&mut head)?;
        let messages = head::message_count(head.uri.path());
        let body = CheckedBody::new(body, compression, messages, self.request_bytes_max);
        let mut body = WholeBody::new(body, &head.headers, account);
        let caller = self.identify(&mut head, account, &mut body, deadline).await?;
        let asked_at = std::time::Instant::now();
        let arrived = body.arrives(arrival).await;
        let arrived_at = call::waited(Wait::Request, asked_at);
        arrived?;
        if let Some(call) = CallContext::current() {
            call.arrived(body.arrived_bytes());
        }
        if !account.has_room() {
            body.hold(body.arrived_bytes())?;
            let room = timeout_at(deadline, account.room()).await;
            call::waited(Wait::Answers, arrived_at);
            room.map_err(|_| status::answers_not_taken())?;
        }
        body.release();
        let permit = self.calls.try_acquire();
        let _permit = permit.map_err(|_| status::overloaded(self.calls_max))?;
        let answer = caller.clone().scope(services.call(Request::from_parts(head, body)));
        let answer = timeout_at(deadline, answer).await;
        Ok((answer.map_err(|_| status::deadline_exceeded())?, caller))
    }

    /// Who calls. Most are known at once.
    ///
    /// # Errors
    /// The status of a refusal.
    async fn identify<B>(
        &self,
        head: &mut Parts,
        account: &Account,
        body: &mut WholeBody<B>,
        deadline: Instant,
    ) -> Result<QueryCaller, Status>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let asked_at = std::time::Instant::now();
        let mut admitted = pin!(self.authentication.admit(head, account.key()));
        let caller = tokio::select! {
            biased;
            caller = &mut admitted => caller,
            // It waits for the keys of an issuer.
            () = std::future::ready(()) => {
                body.hold(0)?;
                let admitted = timeout_at(deadline, admitted).await;
                admitted.unwrap_or_else(|_| Err(status::deadline_exceeded()))
            }
        };
        call::waited(Wait::Authentication, asked_at);
        caller
    }

    /// Admits a call by its head, whoever calls.
    ///
    /// # Errors
    /// The status of the refusal.
    fn admit(&self, head: &mut Parts) -> Result<AdmittedCall, Status> {
        let always_open = head.uri.path().starts_with(ALWAYS_OPEN);
        if self.draining.load(Ordering::SeqCst) && !always_open {
            return Err(status::draining());
        }
        let timeout = deadline::of(&head.headers)?;
        let time_max = timeout.map_or(self.call_time_max, |time| time.min(self.call_time_max));
        // A call without any time must not start a change.
        if time_max.is_zero() {
            return Err(status::deadline_exceeded());
        }
        let compression = head::take_compression(&mut head.headers)?;
        let now = Instant::now();
        let arrival_time_max = self.request_time_max;
        let arrival = ArrivalTime {
            time_max: arrival_time_max,
            deadline: now + time_max.min(arrival_time_max),
        };
        Ok(AdmittedCall { deadline: now + time_max, arrival, compression })
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
