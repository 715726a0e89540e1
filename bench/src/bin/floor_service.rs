//! A gRPC server of one call, which returns the requested number of bytes: the cost of the
//! framework and the sockets. It never does anything else.

#[path = "../wire.rs"]
mod wire;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use wire::{ECHO_PATH, Echo, EchoRequest};

/// The same allocator as in Whimbrel.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Most bytes of a response.
const BYTES_MAX: usize = 1 << 20;

/// The service, with the bytes that responses share.
#[derive(Clone, Debug)]
struct Floor(Bytes);

impl NamedService for Floor {
    const NAME: &'static str = "whimbrel.bench.Floor";
}

impl UnaryService<EchoRequest> for Floor {
    type Response = Echo;
    type Future = Ready<Result<Response<Echo>, Status>>;

    fn call(&mut self, request: Request<EchoRequest>) -> Self::Future {
        let bytes = (request.into_inner().bytes as usize).min(BYTES_MAX);
        ready(Ok(Response::new(Echo { body: self.0.slice(..bytes) })))
    }
}

impl Service<http::Request<Body>> for Floor {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            if request.uri().path() != ECHO_PATH {
                return Ok(Status::unimplemented("there is one call only").into_http());
            }
            let mut grpc = Grpc::new(ProstCodec::<Echo, EchoRequest>::default());
            Ok(grpc.unary(service, request).await)
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(&address).await?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let service = Floor(Bytes::from(vec![b'w'; BYTES_MAX]));
    Server::builder().add_service(service).serve_with_incoming(incoming).await?;
    Ok(())
}
