//! The floor for reading a feed: the service of `src/bin/floor_service.rs`, whose call returns the
//! requested number of bytes and does nothing else. The client has the settings of Whimbrel's
//! client. It never serves a feed.

use std::process::Command;

use async_trait::async_trait;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use super::{Programs, Reader, System, data_folder, serve, sibling_program};
use crate::error::Error;
use crate::load::Callers;
use crate::server::{Server, free_port};
use crate::watchers::Watcher;
use crate::wire::{ECHO_PATH, Echo, EchoRequest};

/// HTTP/2 window of a stream; a connection has sixteen times as much. As in Whimbrel's client.
const WINDOW_BYTES: u32 = 1 << 20;

/// A server of the call that does nothing.
#[derive(Debug)]
pub(crate) struct Floor {
    server: Server,
    address: String,
}

/// A client of [`Floor`].
#[derive(Clone, Debug)]
pub(crate) struct FloorCalls(Grpc<Channel>);

impl Floor {
    pub(crate) async fn start(programs: &Programs) -> Result<Self, Error> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let (program, listen) = (sibling_program("floor_service")?, address.clone());
        let server = Server::new(data_folder(programs)?, move |_| {
            let mut command = Command::new(&program);
            command.arg(&listen);
            command
        })?;
        let system = Self { server, address };
        serve(&system).await?;
        Ok(system)
    }

    /// Opens a connection.
    pub(crate) async fn calls(&self) -> Result<FloorCalls, Error> {
        let channel = Endpoint::from_shared(format!("http://{}", self.address))?
            .tcp_nodelay(true)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(16 * WINDOW_BYTES)
            .connect()
            .await?;
        Ok(FloorCalls(Grpc::new(channel)))
    }
}

impl FloorCalls {
    /// Requests `bytes` bytes.
    pub(crate) async fn echo(&self, bytes: usize) -> Result<(), Error> {
        let mut grpc = self.0.clone();
        grpc.ready().await?;
        let codec = ProstCodec::<EchoRequest, Echo>::default();
        let path = http::uri::PathAndQuery::from_static(ECHO_PATH);
        let request = tonic::Request::new(EchoRequest { bytes: bytes as u32 });
        let echo = grpc.unary(request, path, codec).await?.into_inner();
        if echo.body.len() == bytes {
            Ok(())
        } else {
            Err(Error::Failed(format!("{} bytes came instead of {bytes}", echo.body.len())))
        }
    }
}

#[async_trait]
impl System for Floor {
    fn server(&self) -> &Server {
        &self.server
    }

    async fn answers(&self) -> Result<(), Error> {
        self.calls().await?.echo(1).await
    }

    async fn callers(&self, _in_flight: usize) -> Result<Callers, Error> {
        Err(Error::NotOffered("it does nothing"))
    }

    async fn watch(&self, _watchers: Vec<Watcher>) -> Result<Vec<Reader>, Error> {
        Err(Error::NotOffered("it does nothing"))
    }
}
