//! Server reflection, so that `grpcurl` needs no proto files: v1, and v1alpha for older tools.
//!
//! The library's service ends a stream at the first question that it has no answer to, and says
//! nothing of a message that it cannot read. Here a question without an answer is answered by an
//! `ErrorResponse`, as the protocol has it, and the stream goes on.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Request as HttpRequest;
use tokio::time::sleep;
use tokio_stream::{Stream, once};
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::server::NamedService;
use tonic::service::RoutesBuilder;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::server_reflection_server::{self, ServerReflection};
use tonic_reflection::pb::v1::{ErrorResponse, ServerReflectionRequest, ServerReflectionResponse};
use tonic_reflection::pb::{v1, v1alpha};
use tonic_reflection::server::{Builder, Error};
use tower::Service;

use super::stall::Closer;
use super::status;

/// This service's protos, with their comments, as an encoded `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/whimbrel.v1.bin"));

/// How long questions are still answered on a connection that is retired: a tool asks what the error is
/// that another call of its has just ended with.
const LAST_QUESTIONS_TIME: Duration = Duration::from_secs(1);

/// The descriptors built into this program are damaged.
#[derive(Debug, thiserror::Error)]
#[error("the built-in descriptors cannot be served: {0}")]
pub struct ReflectionError(#[from] Error);

pub(super) fn add(routes: &mut RoutesBuilder) -> Result<(), ReflectionError> {
    let library = Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // Tools look the details of errors up by their names.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(v1alpha::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let answers = Answers(ServerReflectionClient::new(library));
    let service = server_reflection_server::ServerReflectionServer::new(answers);
    routes.add_service(Alpha(service.clone()));
    routes.add_service(service);
    Ok(())
}

/// Answers each question by a call of its own to the library's service, in this process.
#[derive(Clone)]
struct Answers<S>(ServerReflectionClient<S>);

type Answered = Pin<Box<dyn Stream<Item = Result<ServerReflectionResponse, Status>> + Send>>;

#[tonic::async_trait]
impl<S> ServerReflection for Answers<S>
where
    S: GrpcService<Body, ResponseBody = Body, Future: Send> + Clone + Send + Sync + 'static,
    S::Error: Into<tonic::codegen::StdError>,
{
    type ServerReflectionInfoStream = Answered;

    async fn server_reflection_info(
        &self,
        request: Request<Streaming<ServerReflectionRequest>>,
    ) -> Result<Response<Answered>, Status> {
        let closer = request.extensions().get::<Closer>().cloned().unwrap_or_default();
        let (library, mut questions) = (self.0.clone(), request.into_inner());
        let answers = async_stream::stream! {
            let mut over = pin!(async {
                closer.retirement().cancelled().await;
                sleep(LAST_QUESTIONS_TIME).await;
            });
            loop {
                let question = tokio::select! {
                    question = questions.message() => question,
                    () = &mut over => Err(status::draining()),
                };
                match question {
                    Ok(Some(question)) => yield Ok(answer(library.clone(), question).await),
                    Ok(None) => return,
                    Err(said) => {
                        yield Err(status::dressed(said));
                        return;
                    }
                }
            }
        };
        Ok(Response::new(Box::pin(answers)))
    }
}

async fn answer<S>(
    mut library: ServerReflectionClient<S>,
    question: ServerReflectionRequest,
) -> ServerReflectionResponse
where
    S: GrpcService<Body, ResponseBody = Body>,
    S::Error: Into<tonic::codegen::StdError>,
{
    let answered = async {
        let answers = library.server_reflection_info(once(question.clone())).await?;
        answers.into_inner().message().await
    };
    let (code, error_message) = match answered.await {
        Ok(Some(answer)) => return answer,
        Ok(None) => (Code::Internal, "there is no answer".to_owned()),
        Err(said) => (said.code(), said.message().to_owned()),
    };
    let error = ErrorResponse { error_code: code.into(), error_message };
    ServerReflectionResponse {
        valid_host: question.host.clone(),
        original_request: Some(question),
        message_response: Some(MessageResponse::ErrorResponse(error)),
    }
}

/// The same service by its older name: the messages are the same, byte for byte.
#[derive(Clone)]
struct Alpha<S>(S);

impl<S> NamedService for Alpha<S> {
    const NAME: &'static str = v1alpha::server_reflection_server::SERVICE_NAME;
}

impl<S: Service<HttpRequest<Body>>> Service<HttpRequest<Body>> for Alpha<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: HttpRequest<Body>) -> S::Future {
        let name = v1::server_reflection_server::SERVICE_NAME;
        let rpc = request.uri().path().rsplit('/').next().unwrap_or_default();
        // What is no path stays as it is, and the service does not know it.
        if let Ok(path) = format!("/{name}/{rpc}").parse() {
            *request.uri_mut() = path;
        }
        self.0.call(request)
    }
}
