//! Server reflection, so that `grpcurl` needs no proto files: v1, and v1alpha for older tools.
//!
//! The library's service ends a stream at the first request that it cannot answer, and gives no
//! details for a malformed message. This one answers such a request with an `ErrorResponse`, as the
//! protocol demands, and never ends the stream because of it.

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

use super::Closer;
use super::status;

/// This service's protos, with their comments, as an encoded `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/whimbrel.v1.bin"));

/// How long requests are still answered on a retired connection: a tool looks up the error that has
/// just ended another of its calls.
const LAST_REQUESTS_TIME: Duration = Duration::from_secs(1);

/// The descriptors built into this program are damaged.
#[derive(Debug, thiserror::Error)]
#[error("the built-in descriptors cannot be served: {0}")]
pub struct ReflectionError(#[from] Error);

pub(super) fn add(routes: &mut RoutesBuilder) -> Result<(), ReflectionError> {
    let library = Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // Tools look up the details of errors by their type names.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(v1alpha::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let rpcs = ReflectionRpcs(ServerReflectionClient::new(library));
    let service = server_reflection_server::ServerReflectionServer::new(rpcs);
    routes.add_service(AlphaReflection(service.clone()));
    routes.add_service(service);
    Ok(())
}

/// Answers each request of a stream by a separate call to the library's service, in this process.
#[derive(Clone)]
struct ReflectionRpcs<S>(ServerReflectionClient<S>);

type ReflectionStream =
    Pin<Box<dyn Stream<Item = Result<ServerReflectionResponse, Status>> + Send>>;

#[tonic::async_trait]
impl<S> ServerReflection for ReflectionRpcs<S>
where
    S: GrpcService<Body, ResponseBody = Body, Future: Send> + Clone + Send + Sync + 'static,
    S::Error: Into<tonic::codegen::StdError>,
{
    type ServerReflectionInfoStream = ReflectionStream;

    async fn server_reflection_info(
        &self,
        request: Request<Streaming<ServerReflectionRequest>>,
    ) -> Result<Response<ReflectionStream>, Status> {
        let closer = request.extensions().get::<Closer>().cloned().unwrap_or_default();
        let (library, mut requests) = (self.0.clone(), request.into_inner());
        let responses = async_stream::stream! {
            let mut deadline = pin!(async {
                closer.retirement().cancelled().await;
                sleep(LAST_REQUESTS_TIME).await;
            });
            loop {
                let request = tokio::select! {
                    request = requests.message() => request,
                    () = &mut deadline => Err(status::draining()),
                };
                match request {
                    Ok(Some(request)) => yield Ok(answer(library.clone(), request).await),
                    Ok(None) => return,
                    Err(error) => {
                        yield Err(status::with_details(error));
                        return;
                    }
                }
            }
        };
        Ok(Response::new(Box::pin(responses)))
    }
}

async fn answer<S>(
    mut library: ServerReflectionClient<S>,
    request: ServerReflectionRequest,
) -> ServerReflectionResponse
where
    S: GrpcService<Body, ResponseBody = Body>,
    S::Error: Into<tonic::codegen::StdError>,
{
    let call = async {
        let responses = library.server_reflection_info(once(request.clone())).await?;
        responses.into_inner().message().await
    };
    let (code, error_message) = match call.await {
        Ok(Some(response)) => return response,
        Ok(None) => (Code::Internal, "there is no answer".to_owned()),
        Err(status) => (status.code(), status.message().to_owned()),
    };
    let error = ErrorResponse { error_code: code.into(), error_message };
    ServerReflectionResponse {
        valid_host: request.host.clone(),
        original_request: Some(request),
        message_response: Some(MessageResponse::ErrorResponse(error)),
    }
}

/// The service under its older name v1alpha, whose messages are the same, byte for byte.
#[derive(Clone)]
struct AlphaReflection<S>(S);

impl<S> NamedService for AlphaReflection<S> {
    const NAME: &'static str = v1alpha::server_reflection_server::SERVICE_NAME;
}

impl<S: Service<HttpRequest<Body>>> Service<HttpRequest<Body>> for AlphaReflection<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: HttpRequest<Body>) -> S::Future {
        let name = v1::server_reflection_server::SERVICE_NAME;
        let rpc = request.uri().path().rsplit('/').next().unwrap_or_default();
        // If this is no valid path, the old one stays, which the service does not know.
        if let Ok(path) = format!("/{name}/{rpc}").parse() {
            *request.uri_mut() = path;
        }
        self.0.call(request)
    }
}
