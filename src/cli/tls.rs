//! The flags about TLS and proxies, of `serve` and of the verbs that call a server. Never reads a
//! file.

use std::path::PathBuf;

use clap::Args;

use super::context::{Connecting, SERVER};
use super::{Error, parse_flag};
use crate::client::{ClientIdentity, ConnectOptions};
use crate::config::{
    ClientCertificates, ForwardedHeader, Networks, Origins, ServerCertificate, Tls, Transport,
};

/// How clients reach the server.
#[derive(Args, Clone, Debug)]
pub(super) struct TransportArgs {
    /// Serve with TLS: a PEM file with the server's certificate, and those that lead to its
    /// authority. Read again when it changes, as all files of TLS.
    #[arg(long, env = "WHIMBREL_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert, in PEM. Only its owner may read the file, or
    /// its group if it is root's.
    #[arg(long, env = "WHIMBREL_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Serve with TLS for a try on this machine: the certificate is for localhost, and made in the
    /// data folder. Prints the file that clients need.
    #[arg(long, env = "WHIMBREL_TLS_SELF_SIGNED", value_parser = parse_flag)]
    tls_self_signed: bool,
    /// Accept only clients with a certificate of an authority in this PEM file.
    #[arg(long, env = "WHIMBREL_TLS_CLIENT_CA", value_name = "FILE")]
    tls_client_ca: Option<PathBuf>,
    /// Refuse the client certificates in these revocation lists, one of each authority, in PEM.
    #[arg(long, env = "WHIMBREL_TLS_CLIENT_CRL", value_name = "FILE")]
    tls_client_crl: Option<PathBuf>,
    /// Accept clients without a certificate, too.
    #[arg(long, env = "WHIMBREL_TLS_CLIENT_OPTIONAL", value_parser = parse_flag)]
    tls_client_optional: bool,
    /// A proxy in one of these networks ends TLS, such as 10.0.0.0/8,192.0.2.7. Connections from
    /// elsewhere are refused.
    #[arg(long, env = "WHIMBREL_BEHIND_TLS_PROXY", value_name = "NETWORK,…")]
    behind_tls_proxy: Option<Networks>,
    /// The header to which the proxy of --behind-tls-proxy adds its client's address, for limits
    /// for each address: forwarded or x-forwarded-for. Without it the proxy is the client.
    #[arg(long, env = "WHIMBREL_FORWARDED_HEADER", value_name = "NAME", value_parser = forwarded_header)]
    forwarded_header: Option<ForwardedHeader>,
    /// Connections from these networks begin with a PROXY header of version 2, which says whose
    /// they are.
    #[arg(long, env = "WHIMBREL_PROXY_PROTOCOL_FROM", value_name = "NETWORK,…")]
    proxy_protocol_from: Option<Networks>,
    /// Pages of these origins may call from browsers, such as https://app.example.org; * for all.
    #[arg(long, env = "WHIMBREL_CORS_ORIGIN", value_name = "ORIGIN,…")]
    cors_origin: Option<Origins>,
}

/// What a caller trusts and shows, if the server's address begins with https://.
#[derive(Args, Clone, Debug)]
pub(super) struct ClientTlsArgs {
    /// For https://, trust the authorities in this PEM file instead of the system's.
    #[arg(long, help_heading = SERVER, env = "WHIMBREL_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// For https://, the certificate of the caller, in PEM.
    #[arg(long, help_heading = SERVER, env = "WHIMBREL_CLIENT_CERT", value_name = "FILE")]
    client_cert: Option<PathBuf>,
    /// The private key of --client-cert, in PEM.
    #[arg(long, help_heading = SERVER, env = "WHIMBREL_CLIENT_KEY", value_name = "FILE")]
    client_key: Option<PathBuf>,
}

impl TransportArgs {
    /// The transport that the flags ask for.
    ///
    /// # Errors
    /// A flag is missing that another one needs, or excludes another.
    pub(super) fn transport(self) -> Result<Transport, Error> {
        let clients = self.tls_client_ca.map(|authorities| ClientCertificates {
            authorities,
            revoked: self.tls_client_crl.clone(),
            is_optional: self.tls_client_optional,
        });
        if clients.is_none() && (self.tls_client_crl.is_some() || self.tls_client_optional) {
            return usage("--tls-client-crl and --tls-client-optional need --tls-client-ca");
        }
        let certificate = match (self.tls_cert, self.tls_key, self.tls_self_signed) {
            (Some(certificate), Some(key), false) => {
                Some(ServerCertificate::Files { certificate, key })
            }
            (None, None, true) => Some(ServerCertificate::SelfSigned),
            (None, None, false) if clients.is_some() => {
                return usage("--tls-client-ca needs TLS: give --tls-cert and --tls-key");
            }
            (None, None, false) => None,
            (_, _, true) => {
                return usage(
                    "--tls-self-signed makes its own certificate: leave out --tls-cert and --tls-key",
                );
            }
            (_, _, false) => return usage("--tls-cert and --tls-key need each other: give both"),
        };
        if self.forwarded_header.is_some() && self.behind_tls_proxy.is_none() {
            return usage(
                "--forwarded-header is believed of proxies only: give --behind-tls-proxy",
            );
        }
        Ok(Transport {
            tls: certificate.map(|certificate| Tls { certificate, clients }),
            behind_tls_proxy: self.behind_tls_proxy.unwrap_or_default(),
            proxy_protocol_from: self.proxy_protocol_from.unwrap_or_default(),
            forwarded_header: self.forwarded_header,
            origins: self.cors_origin.unwrap_or_default(),
        })
    }
}

impl ClientTlsArgs {
    /// What the flags ask for and, where they say nothing, `context`.
    ///
    /// # Errors
    /// A certificate is given without its key, or a key without its certificate.
    pub(super) fn options(&self, context: &Connecting) -> Result<ConnectOptions, Error> {
        let Connecting { ca_file, client_cert, client_key, .. } = context.clone();
        let of_flags = (self.client_cert.clone(), self.client_key.clone());
        let given = if of_flags == (None, None) { (client_cert, client_key) } else { of_flags };
        let identity = match given {
            (Some(certificate), Some(key)) => Some(ClientIdentity { certificate, key }),
            (None, None) => None,
            _ => return usage("--client-cert and --client-key need each other: give both"),
        };
        let ca_file = self.ca_file.clone().or(ca_file);
        // What runs this program in a trace says so there.
        let traceparent = std::env::var("TRACEPARENT").ok();
        Ok(ConnectOptions { ca_file, identity, traceparent, ..ConnectOptions::default() })
    }
}

fn usage<T>(problem: &str) -> Result<T, Error> {
    Err(Error::Usage(problem.to_owned()))
}

fn forwarded_header(name: &str) -> Result<ForwardedHeader, &'static str> {
    match name.to_ascii_lowercase().as_str() {
        "forwarded" => Ok(ForwardedHeader::Forwarded),
        "x-forwarded-for" => Ok(ForwardedHeader::XForwardedFor),
        _ => Err("give forwarded, or x-forwarded-for"),
    }
}
