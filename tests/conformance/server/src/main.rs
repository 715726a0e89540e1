//! The server under test of Connect's conformance suite: Whimbrel's own connections, admission and protocols, with
//! the service of the suite behind them. The suite says by standard input what to serve, and learns the address by
//! standard output. Never serves anybody else.

mod answer;
mod request;
mod service;

use std::error::Error;
use std::fs::{self, Permissions};
use std::future::pending;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use prost::Message;
use tonic::service::Routes;
use whimbrel::api::Schema;
use whimbrel::config::{Config, ConsoleMode, Limits, ServerCertificate, Tls, Transport};
use whimbrel::server::Server;

/// The messages of the suite.
#[allow(dead_code, clippy::all, rustdoc::all, reason = "generated")]
mod v1 {
    include!(concat!(env!("OUT_DIR"), "/connectrpc.conformance.v1.rs"));
}

/// Of the suite's protos.
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/conformance.bin"));
/// In bytes, where the suite sets no limit.
const REQUEST_BYTES_MAX: usize = 4 << 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let asked: v1::ServerCompatRequest = read(&mut std::io::stdin())?;
    let folder = tempfile::tempdir()?;
    let schema: &'static Schema = Box::leak(Box::new(Schema::from_sets(&[DESCRIPTORS])?));
    let config = config(&asked, folder.path())?;
    let routes = Routes::new(service::ConformanceService);
    let server = Server::open(config).await?.with_services(routes, schema);
    let address = server.address();
    let answer = v1::ServerCompatResponse {
        host: address.ip().to_string(),
        port: address.port().into(),
        pem_cert: asked.server_creds.map(|it| it.cert).unwrap_or_default(),
    };
    write(&mut std::io::stdout(), &answer)?;
    // The suite ends the process.
    server.run(pending()).await?;
    Ok(())
}

/// As the suite asks. TLS has its files in `folder`, as the data have.
fn config(asked: &v1::ServerCompatRequest, folder: &Path) -> Result<Config, Box<dyn Error>> {
    let request_bytes_max = match asked.message_receive_limit {
        0 => REQUEST_BYTES_MAX,
        bytes => bytes as usize,
    };
    Ok(Config {
        data_dir: folder.join("data"),
        authentication: None,
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        transport: Transport { tls: tls(asked, folder)?, ..Transport::default() },
        insecure: false,
        admin_listen: Vec::new(),
        insecure_admin: false,
        reflection: false,
        call_log: Default::default(),
        tracing: None,
        console: ConsoleMode::Off,
        store: None,
        limits: Limits {
            request_bytes_max,
            // The largest requests of the suite take long on a busy machine.
            request_time_max: Duration::from_secs(60),
            call_time_max: Duration::from_secs(60),
            ..Limits::default()
        },
    })
}

fn tls(asked: &v1::ServerCompatRequest, folder: &Path) -> Result<Option<Tls>, Box<dyn Error>> {
    let Some(creds) = &asked.server_creds else { return Ok(None) };
    let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
    fs::write(&certificate, &creds.cert)?;
    fs::write(&key, &creds.key)?;
    // Others may not read it.
    fs::set_permissions(&key, Permissions::from_mode(0o600))?;
    // The suite has no case with certificates of clients for an RPC that is served here.
    if !asked.client_tls_cert.is_empty() {
        return Err("certificates of clients are not asked for".into());
    }
    let certificate = ServerCertificate::Files { certificate, key };
    Ok(Some(Tls { certificate, clients: None }))
}

/// Reads a message after its length, four bytes in network order.
fn read<M: Message + Default>(from: &mut impl Read) -> Result<M, Box<dyn Error>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut bytes = vec![0; u32::from_be_bytes(length) as usize];
    from.read_exact(&mut bytes)?;
    Ok(M::decode(&bytes[..])?)
}

/// Writes a message after its length.
fn write(to: &mut impl Write, message: &impl Message) -> Result<(), Box<dyn Error>> {
    let bytes = message.encode_to_vec();
    to.write_all(&u32::try_from(bytes.len())?.to_be_bytes())?;
    to.write_all(&bytes)?;
    Ok(to.flush()?)
}
