//! The service of the suite: each request says how it is to be answered. Never takes a stream of requests, which no
//! RPC of Whimbrel but reflection does.

use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Response;
use prost::{Message, Name};
use tokio::time::{Instant, sleep, sleep_until};
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

use crate::answer;
use crate::request::Request;
use crate::v1::unary_response_definition::Response as Definition;
use crate::v1::{
    ConformancePayload, IdempotentUnaryRequest, IdempotentUnaryResponse, ServerStreamRequest,
    ServerStreamResponse, UnaryRequest, UnaryResponse, UnaryResponseDefinition,
};

type Answer = Result<Response<Body>, Status>;

/// `connectrpc.conformance.v1.ConformanceService`.
#[derive(Clone, Copy)]
pub struct ConformanceService;

impl NamedService for ConformanceService {
    const NAME: &'static str = "connectrpc.conformance.v1.ConformanceService";
}

impl Service<http::Request<Body>> for ConformanceService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let answer = match request.uri().path().rsplit('/').next() {
                Some("Unary") => unary::<UnaryRequest>(request).await,
                Some("IdempotentUnary") => unary::<IdempotentUnaryRequest>(request).await,
                Some("ServerStream") => server_stream(request).await,
                _ => Err(Status::unimplemented("the server has no such RPC")),
            };
            Ok(answer.unwrap_or_else(Status::into_http))
        })
    }
}

/// A request that is answered with one message.
trait UnaryCall: Message + Name + Default {
    type Answer: Message;

    fn definition(&mut self) -> Option<UnaryResponseDefinition>;
    fn answer(payload: ConformancePayload) -> Self::Answer;
}

impl UnaryCall for UnaryRequest {
    type Answer = UnaryResponse;

    fn definition(&mut self) -> Option<UnaryResponseDefinition> {
        self.response_definition.take()
    }

    fn answer(payload: ConformancePayload) -> UnaryResponse {
        UnaryResponse { payload: Some(payload) }
    }
}

impl UnaryCall for IdempotentUnaryRequest {
    type Answer = IdempotentUnaryResponse;

    fn definition(&mut self) -> Option<UnaryResponseDefinition> {
        self.response_definition.take()
    }

    fn answer(payload: ConformancePayload) -> IdempotentUnaryResponse {
        IdempotentUnaryResponse { payload: Some(payload) }
    }
}

async fn unary<M: UnaryCall>(request: http::Request<Body>) -> Answer {
    let Request { mut message, info, .. } = Request::<M>::read(request).await?;
    let definition = message.definition().unwrap_or_default();
    sleep(Duration::from_millis(definition.response_delay_ms.into())).await;
    let (data, status) = match definition.response {
        Some(Definition::Error(error)) => {
            let status = answer::error(error, Some(&info))?;
            if definition.response_headers.is_empty() && definition.response_trailers.is_empty() {
                // As the services of Whimbrel do it.
                return Err(status);
            }
            (None, status)
        }
        Some(Definition::ResponseData(data)) => (Some(data), Status::ok("")),
        None => (Some(Vec::new()), Status::ok("")),
    };
    let message = data.map(|data| {
        let payload = ConformancePayload { data, request_info: Some(info) };
        answer::message(&M::answer(payload))
    });
    let trailers = answer::trailers(&definition.response_trailers, &status)?;
    let frames = async_stream::stream! {
        if let Some(message) = message {
            yield Ok(message);
        }
        yield Ok(trailers);
    };
    answer::answer(&definition.response_headers, frames)
}

/// A stream has its own deadline, as those of Whimbrel have, since the layers only know that of the first answer.
async fn server_stream(request: http::Request<Body>) -> Answer {
    let Request { mut message, info, timeout } =
        Request::<ServerStreamRequest>::read(request).await?;
    let definition = message.response_definition.take().unwrap_or_default();
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let is_empty = definition.response_data.is_empty();
    let status = match definition.error {
        Some(error) => answer::error(error, is_empty.then_some(&info))?,
        None => Status::ok(""),
    };
    let trailers = answer::trailers(&definition.response_trailers, &status)?;
    let late = answer::trailers(&[], &Status::deadline_exceeded("the time of the call is over"))?;
    let delay = Duration::from_millis(definition.response_delay_ms.into());
    let frames = async_stream::stream! {
        let mut request_info = Some(info);
        for data in definition.response_data {
            tokio::select! {
                () = sleep(delay) => {}
                () = at(deadline) => {
                    yield Ok(late);
                    return;
                }
            }
            let payload = ConformancePayload { data, request_info: request_info.take() };
            yield Ok(answer::message(&ServerStreamResponse { payload: Some(payload) }));
        }
        yield Ok(trailers);
    };
    answer::answer(&definition.response_headers, frames)
}

/// Waits until `deadline`; for ever without one.
async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}
