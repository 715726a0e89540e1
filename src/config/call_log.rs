//! What is kept of calls: lines of the log, and traces. Never opens a connection.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

/// What the log has about single calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLogSettings {
    /// Whether each call that ends has a line.
    pub access: bool,
    /// From which time on a call is slow, and logged; zero if none is.
    pub slow_time: Duration,
}

impl Default for CallLogSettings {
    /// A call that takes a second keeps a person waiting, and takes hundreds of times as long as most do.
    fn default() -> Self {
        Self { access: false, slow_time: Duration::from_secs(1) }
    }
}

/// Traces of calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracing {
    /// Where the collector is, which takes OTLP over gRPC: `http://` or `https://`, a host and a port.
    pub endpoint: String,
    /// PEM file with the authorities of an `https` collector; `None` for those of the system.
    pub authorities: Option<PathBuf>,
    /// File with headers for the collector, which only its owner can read; `None` for none.
    pub headers: Option<PathBuf>,
    /// The name of the service in its traces.
    pub service_name: String,
    /// The part of calls that are traced, from 0 to 1.
    pub sampling: f64,
    /// Whether callers decide about their calls, as the standard of W3C has it. A stranger could have all
    /// of theirs traced.
    pub trusts_callers: bool,
}

impl Tracing {
    /// Checks the address of a collector.
    ///
    /// # Errors
    /// What is wrong with it, without it: it may have a password.
    pub fn check_endpoint(endpoint: &str) -> Result<(), &'static str> {
        let url: Uri = endpoint.parse().map_err(|_| "it is no URL")?;
        if !matches!(url.scheme_str(), Some("http" | "https")) {
            return Err("it has no scheme http or https");
        }
        // Nothing would send them, and settings are printed.
        if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err("it must have no name and no password");
        }
        // Tonic would ignore it, and all paths are those of OTLP.
        if !matches!(url.path(), "" | "/") || url.query().is_some() {
            return Err("it must end with the port");
        }
        Ok(())
    }
}
