//! Where clients and operators come in: the addresses, TLS, and the admin listener, all of it made before the
//! data are touched. Never accepts a connection.

use super::Error;
use super::admin::Admin;
use super::handshakes::Handshakes;
use super::listener::Listener;
use super::metrics::ServerMetrics;
use super::self_signed::{Authority, SelfSigned};
use super::tls::Tls;
use crate::config::{Config, ServerCertificate};
use crate::runtime::{Clock, CriticalThreads};

/// How to renew a certificate of an authority.
const RENEWAL: &str = "put a new one in its place, which new connections use at once";
/// How to renew a self-signed one.
const SELF_SIGNED_RENEWAL: &str = "stop the server and remove the folder `tls` of the data; the \
                                   next start makes another one, whose ca.pem clients need";

/// Where clients come in.
#[derive(Debug)]
pub(super) struct Entrance {
    pub(super) listener: Listener,
    tls: Option<Tls>,
    /// Of a self-signed certificate.
    pub(super) authority: Option<Authority>,
    pub(super) admin: Admin,
    pub(super) metrics: ServerMetrics,
    pub(super) critical: CriticalThreads,
}

impl Entrance {
    /// Binds the addresses, and loads TLS.
    pub(super) fn open(config: &Config) -> Result<Self, Error> {
        let bound = Listener::bind(&config.listen);
        let listener = bound.map_err(|(address, source)| Error::Listen { address, source })?;
        let critical = CriticalThreads::new();
        let metrics = ServerMetrics::new(&config.limits);
        let admin = Admin::open(config, &metrics, &critical)?;
        let (tls, authority) = load_tls(config)?.unzip();
        let authority = authority.flatten();
        Ok(Self { listener, tls, authority, admin, metrics, critical })
    }

    /// Starts the thread for handshakes, if connections begin with one.
    pub(super) fn begin(
        self,
        config: &Config,
        clock: Clock,
        critical: &CriticalThreads,
    ) -> std::io::Result<(Listener, Option<Handshakes>)> {
        let has_handshakes = self.tls.is_some() || !config.transport.proxy_protocol_from.is_empty();
        let handshakes = has_handshakes
            .then(|| {
                Handshakes::start(
                    self.tls,
                    &config.limits,
                    clock,
                    self.metrics.connections().clone(),
                    critical,
                )
            })
            .transpose()?;
        Ok((self.listener, handshakes))
    }
}

/// TLS, and the authority of a self-signed certificate.
fn load_tls(config: &Config) -> Result<Option<(Tls, Option<Authority>)>, Error> {
    let Some(tls) = &config.transport.tls else { return Ok(None) };
    let clients = tls.clients.as_ref();
    Ok(Some(match &tls.certificate {
        ServerCertificate::Files { certificate, key } => {
            (Tls::load(certificate, key, RENEWAL, clients)?, None)
        }
        ServerCertificate::SelfSigned => {
            let made = SelfSigned::in_folder(&config.data_dir)?;
            let tls = Tls::load(&made.certificate, &made.key, SELF_SIGNED_RENEWAL, clients)?;
            (tls, Some(made.authority))
        }
    }))
}
