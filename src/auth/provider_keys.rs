//! Fetches the keys of identity providers, from the addresses that the operator configured and from
//! no other: redirects are not followed. Runs on a thread of its own, and never delays a call whose
//! key is known.

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use http::Uri;
use ureq::tls::{Certificate, PemItem};

use super::issuer::{FETCH_INTERVAL_MIN, Issuer};
use super::kept_keys::KeptKeys;
use super::keys::{KeyError, KeySet};
use super::settings::{IssuerSettings, KeySettings};
use crate::runtime::files::{self, FILE_BYTES_MAX};
use crate::runtime::{Clock, http_client};

/// How often keys are fetched without a reason: providers announce new ones for longer before they
/// use them, and a key that they withdraw should not be good for much longer.
const FETCH_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// Longest time of a fetch.
const FETCH_TIME_MAX: Duration = Duration::from_secs(5);

/// Why keys cannot be fetched from an address.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("cannot fetch {url}: {source}")]
    Http { url: String, source: Box<ureq::Error> },
    #[error("cannot use what {url} has: {problem}")]
    Keys { url: String, problem: KeyError },
}

/// Why an address for keys is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum AddressError {
    #[error(
        "jwks_url: {url:?} is no https address: keys that anybody can change on their way prove nothing"
    )]
    NotHttps { url: String },
    #[error("ca_file: {0}")]
    File(#[from] files::FileError),
    #[error("ca_file: {} has no certificate in PEM", path.display())]
    NoCertificate { path: std::path::PathBuf },
    #[error(
        "this machine's certificate authorities cannot be read: {0}; install ca-certificates, or give ca_file"
    )]
    SystemRoots(io::Error),
}

/// The keys of one issuer, as its provider has them.
#[derive(Debug)]
pub(super) struct ProviderKeys {
    url: String,
    agent: ureq::Agent,
    kept: KeptKeys,
}

/// Keys as the provider published them, and as they are used.
struct Fetched {
    json: Vec<u8>,
    keys: KeySet,
}

impl ProviderKeys {
    /// `None` if the keys of the issuer are in files. Those of a provider are kept in `data_dir`.
    ///
    /// # Errors
    /// The address is refused.
    pub(super) fn of(
        settings: &IssuerSettings,
        data_dir: &Path,
    ) -> Result<Option<Self>, AddressError> {
        let KeySettings::Url { url, ca_file } = &settings.keys else { return Ok(None) };
        let uri = url.parse::<Uri>().ok();
        let is_https = uri.as_ref().is_some_and(|uri| uri.scheme_str() == Some("https"));
        // For a provider on the same machine, as in tests: nobody is on the way.
        let is_here = uri.as_ref().is_some_and(|uri| {
            uri.scheme_str() == Some("http")
                && matches!(uri.host(), Some("127.0.0.1" | "[::1]" | "localhost"))
        });
        if !is_https && !is_here {
            return Err(AddressError::NotHttps { url: url.clone() });
        }
        let mut config = ureq::Agent::config_builder()
            .timeout_global(Some(FETCH_TIME_MAX))
            .max_redirects(0)
            .max_redirects_will_error(true)
            .https_only(is_https);
        if is_https {
            let roots = roots(ca_file.as_deref())?;
            config = config.tls_config(http_client::tls(roots));
        }
        let kept = KeptKeys::new(data_dir, &settings.issuer, url);
        Ok(Some(Self { url: url.clone(), agent: config.build().into(), kept }))
    }

    fn fetch(&self, settings: &IssuerSettings) -> Result<Fetched, FetchError> {
        let failed = |source| FetchError::Http { url: self.url.clone(), source: Box::new(source) };
        let mut response = self.agent.get(&self.url).call().map_err(failed)?;
        let body = response.body_mut().with_config().limit(FILE_BYTES_MAX);
        let json = body.read_to_vec().map_err(failed)?;
        let keys = KeySet::from_jwks(&json, settings.algorithm)
            .map_err(|problem| FetchError::Keys { url: self.url.clone(), problem })?;
        Ok(Fetched { json, keys })
    }
}

/// The certificate authorities in `ca_file`, or those of the machine.
fn roots(ca_file: Option<&Path>) -> Result<Vec<Certificate<'static>>, AddressError> {
    let Some(path) = ca_file else {
        return http_client::system_roots().map_err(AddressError::SystemRoots);
    };
    let pem = files::read(path)?;
    let roots: Vec<_> = ureq::tls::parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if roots.is_empty() {
        return Err(AddressError::NoCertificate { path: path.to_owned() });
    }
    Ok(roots)
}

/// When the keys of one issuer are fetched.
#[derive(Debug)]
struct Schedule<'a> {
    issuer: &'a Issuer,
    /// The place of the issuer among all.
    at: usize,
    provider: &'a ProviderKeys,
    due_at: Instant,
    is_failing: bool,
    /// Whether the provider was asked before.
    is_begun: bool,
    /// When its keys were last written to a file.
    written_at: Option<Instant>,
    is_not_kept: bool,
}

/// Fetches the keys of those `issuers` that have a provider, now and then, and when the place of one
/// comes in `requests`. Calls `changed` when keys may be others. Runs until `requests` is closed.
pub(super) fn run(
    issuers: &[Issuer],
    providers: &[Option<ProviderKeys>],
    requests: &Receiver<usize>,
    clock: &Clock,
    changed: impl Fn(),
) {
    let mut schedules: Vec<_> = (0..)
        .zip(issuers.iter().zip(providers))
        .filter_map(|(at, (issuer, provider))| {
            let (provider, due_at) = (provider.as_ref()?, Instant::now());
            Some(Schedule {
                issuer,
                at,
                provider,
                due_at,
                is_failing: false,
                is_begun: false,
                written_at: None,
                is_not_kept: false,
            })
        })
        .collect();
    loop {
        for schedule in &mut schedules {
            if schedule.due_at <= Instant::now() && schedule.fetch(clock) {
                changed();
            }
        }
        let next = schedules.iter().map(|schedule| schedule.due_at).min();
        let wait = next.map_or(FETCH_INTERVAL, |at| at.saturating_duration_since(Instant::now()));
        match requests.recv_timeout(wait) {
            Ok(at) => {
                for schedule in schedules.iter_mut().filter(|schedule| schedule.at == at) {
                    // Many calls may have asked for the fetch that was just made.
                    if schedule.issuer.may_fetch() {
                        schedule.due_at = Instant::now();
                    }
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

impl Schedule<'_> {
    /// Whether there are new keys.
    fn fetch(&mut self, clock: &Clock) -> bool {
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        let fetched = self.provider.fetch(&self.issuer.settings);
        report(self.issuer, fetched.as_ref().err(), &mut self.is_failing);
        // A provider that is in trouble is asked sooner again.
        let interval = if fetched.is_ok() { FETCH_INTERVAL } else { FETCH_INTERVAL_MIN };
        self.due_at = Instant::now() + interval;
        match fetched {
            Ok(Fetched { json, keys }) => {
                // Before they are used: a key that is withdrawn now must not come back at a start.
                self.keep(&json, &keys, clock);
                self.issuer.fetched(Some(keys))
            }
            // Never before the provider was asked, which may have withdrawn one of them.
            Err(_) if is_first => self.take_kept(clock),
            Err(_) => self.issuer.fetched(None),
        }
    }

    /// Takes the keys that a file has. Whether there are new keys.
    fn take_kept(&self, clock: &Clock) -> bool {
        let settings = &self.issuer.settings;
        let issuer = &settings.issuer;
        // Without a clock no token can be verified anyway.
        let now = clock.since_epoch().unwrap_or_default();
        match self.provider.kept.load(settings, now) {
            Ok(Some(kept)) => {
                let hours = (kept.until - now).as_secs() / (60 * 60);
                tracing::warn!(%issuer, hours, "using the keys of an issuer that were fetched before this start, until its provider answers, for so many hours at most");
                self.issuer.kept(kept.keys, kept.until)
            }
            Ok(None) => self.issuer.fetched(None),
            Err(error) => {
                tracing::warn!(%issuer, %error, "not using the keys of an issuer that were fetched before this start");
                self.issuer.fetched(None)
            }
        }
    }

    /// Writes keys that differ to a file, and others now and then, so that they are known to be good.
    fn keep(&mut self, json: &[u8], keys: &KeySet, clock: &Clock) {
        let is_fresh = self.written_at.is_some_and(|at| at.elapsed() < FETCH_INTERVAL);
        if is_fresh && self.issuer.has_same(keys) {
            return;
        }
        let kept = self.provider.kept.keep(json, clock.since_epoch());
        self.written_at = kept.is_ok().then(Instant::now);
        match kept {
            Err(error) if !self.is_not_kept => {
                let issuer = &self.issuer.settings.issuer;
                tracing::error!(%issuer, %error, "cannot keep the keys of an issuer for the next start");
                self.is_not_kept = true;
            }
            kept => self.is_not_kept = kept.is_err(),
        }
    }
}

/// Logs the first failure of several, and the end of them.
fn report(issuer: &Issuer, error: Option<&FetchError>, is_failing: &mut bool) {
    let issuer = &issuer.settings.issuer;
    match error {
        Some(error) if !*is_failing => {
            tracing::warn!(%issuer, %error, "cannot fetch the keys of an issuer: the last ones stay");
        }
        None if *is_failing => tracing::info!(%issuer, "fetched the keys of an issuer again"),
        _ => {}
    }
    *is_failing = error.is_some();
}
