//! The flags about TLS of the verbs that call a server. Never reads a file.

use std::path::PathBuf;

use clap::Args;

use super::Error;
use crate::client::{ClientIdentity, ConnectOptions};

/// What a caller trusts and shows, if the server's address begins with https://.
#[derive(Args, Clone, Debug)]
pub(super) struct ClientTlsArgs {
    /// For https://, trust the authorities in this PEM file instead of the system's.
    #[arg(long, env = "WHIMBREL_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// For https://, the certificate of the caller, in PEM.
    #[arg(long, env = "WHIMBREL_CLIENT_CERT", value_name = "FILE")]
    client_cert: Option<PathBuf>,
    /// The private key of --client-cert, in PEM.
    #[arg(long, env = "WHIMBREL_CLIENT_KEY", value_name = "FILE")]
    client_key: Option<PathBuf>,
}

impl ClientTlsArgs {
    /// What the flags ask for.
    ///
    /// # Errors
    /// A certificate is given without its key, or a key without its certificate.
    pub(super) fn options(&self) -> Result<ConnectOptions, Error> {
        let identity = match (self.client_cert.clone(), self.client_key.clone()) {
            (Some(certificate), Some(key)) => Some(ClientIdentity { certificate, key }),
            (None, None) => None,
            _ => return usage("--client-cert and --client-key need each other: give both"),
        };
        Ok(ConnectOptions { ca_file: self.ca_file.clone(), identity })
    }
}

fn usage<T>(problem: &str) -> Result<T, Error> {
    Err(Error::Usage(problem.to_owned()))
}
