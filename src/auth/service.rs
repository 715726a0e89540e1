//! Makes callers of tokens and certificates, and keeps keys up to date. Never decides what a call
//! does.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use super::api_keys::{ApiKeys, KEY_MARK};
use super::caller::{Caller, Source};
use super::development::{DevelopmentIssuer, MintError};
use super::ends::{EndCause, Ends};
use super::error::Refusal;
use super::issuer::{Issuer, KeyFileError};
use super::key_table::KeyTableError;
use super::metrics::{self, KeyFetches};
use super::provider_keys::{self, AddressError, ProviderKeys};
use super::seen::{SeenTokens, TokenHash};
use super::settings::{CertificateSettings, Settings};
use super::token::{TOKEN_BYTES_MAX, Unverified};
use crate::runtime::metrics::Scrape;
use crate::runtime::{Clock, CriticalThreads};

/// How often files are looked at, and callers whose time is over are ended.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Requests for a fetch that wait. More say nothing new.
const FETCH_REQUESTS_MAX: usize = 16;

/// What [`Auth`] is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// Issuers and certificates.
    pub settings: Settings,
    /// Whether tokens for development are taken.
    pub development: bool,
}

/// Why a server cannot ask who calls.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The API keys cannot be read.
    #[error(transparent)]
    Keys(#[from] KeyTableError),
    /// The key for development cannot be used.
    #[error(transparent)]
    Development(#[from] MintError),
    /// The keys of an issuer cannot be used.
    #[error("the issuer {issuer:?}: {problem}")]
    Issuer {
        /// The issuer.
        issuer: String,
        /// The problem, and what to do.
        problem: String,
    },
    /// The operating system started no thread.
    #[error("cannot start the threads that read keys: {0}")]
    Threads(std::io::Error),
}

/// Knows callers. Cheap to clone; its threads end with the last clone.
#[derive(Clone, Debug)]
pub struct Auth {
    state: Arc<AuthState>,
    fetches: SyncSender<usize>,
    _running: Sender<()>,
}

#[derive(Debug)]
struct AuthState {
    issuers: Vec<Issuer>,
    certificates: HashMap<Arc<str>, Caller>,
    api_keys: ApiKeys,
    seen: SeenTokens,
    ends: Ends,
    clock: Clock,
    fetches: KeyFetches,
}

impl Auth {
    /// Reads the keys, and starts the threads that read them again. The API keys, and the key for
    /// development, are in `data_dir`.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        options: Options,
        data_dir: &Path,
        clock: Clock,
        critical: &CriticalThreads,
    ) -> Result<Self, OpenError> {
        let Options { settings, development } = options;
        let mut issuers = settings.issuers;
        if development {
            issuers.push(DevelopmentIssuer::open(data_dir)?.settings());
        }
        let mut opened = Vec::new();
        let mut providers = Vec::new();
        for settings in issuers {
            let name = settings.issuer.to_string();
            let refused = |problem: String| OpenError::Issuer { issuer: name.clone(), problem };
            let provider = ProviderKeys::of(&settings, data_dir);
            providers.push(provider.map_err(|error: AddressError| refused(error.to_string()))?);
            let issuer = Issuer::open(settings);
            opened.push(issuer.map_err(|error: KeyFileError| refused(error.to_string()))?);
        }
        let state = Arc::new(AuthState {
            issuers: opened,
            certificates: settings.certificates.into_iter().map(of_certificate).collect(),
            api_keys: ApiKeys::open(data_dir)?,
            seen: SeenTokens::new(),
            ends: Ends::default(),
            clock,
            fetches: KeyFetches::default(),
        });
        let (running, stopped) = channel();
        let (fetches, requests) = sync_channel(FETCH_REQUESTS_MAX);
        let checked = Arc::clone(&state);
        let check = move || -> Result<(), std::convert::Infallible> {
            checked.check_until(&stopped);
            Ok(())
        };
        critical.spawn("whimbrel-callers", check).map_err(OpenError::Threads)?;
        if providers.iter().any(Option::is_some) {
            let fetched = Arc::clone(&state);
            let fetch = move || -> Result<(), std::convert::Infallible> {
                let changed = || fetched.keys_changed();
                provider_keys::run(
                    &fetched.issuers,
                    &providers,
                    &requests,
                    &fetched.clock,
                    &fetched.fetches,
                    changed,
                );
                Ok(())
            };
            critical.spawn("whimbrel-jwks", fetch).map_err(OpenError::Threads)?;
        }
        Ok(Self { state, fetches, _running: running })
    }

    /// Collects the metrics of `auth`; without it callers are not asked who they are.
    pub fn collect(auth: Option<&Self>, scrape: &mut Scrape) {
        metrics::collect(auth.map(|auth| &auth.state.fetches), scrape);
    }

    /// As [`Auth::identify`] for a token that was accepted before, by a look-up alone; `None` for others.
    #[must_use]
    pub fn seen(&self, token: &str) -> Option<Result<Caller, Refusal>> {
        self.state.seen(&SeenTokens::hash(token))
    }

    /// The caller that gave `token`, or has a certificate with one of `names`; `None` if there is
    /// neither. A token goes before a certificate: a proxy may have one, and its users the other.
    ///
    /// Waits only if the token is signed with an unknown key: while the keys of its issuer are
    /// fetched, if they may be.
    ///
    /// # Errors
    /// The token is not accepted.
    pub async fn identify(
        &self,
        token: Option<&str>,
        names: &[String],
    ) -> Result<Option<Caller>, Refusal> {
        let Some(token) = token else { return Ok(self.of_names(names)) };
        let hash = SeenTokens::hash(token);
        match self.state.identify(token, &hash) {
            // Only a key that may have been published since is worth a wait.
            Err(Refusal::UnknownKey | Refusal::NoKeys) => {}
            identified => return identified.map(Some),
        }
        let issuer = Unverified::parse(token, &self.state.issuers)?.issuer;
        let start = || {
            let at = self.state.issuers.iter().position(|other| std::ptr::eq(other, issuer));
            // If there are too many requests already, one of them is enough.
            at.map(|at| self.fetches.try_send(at).is_ok());
        };
        issuer.wait_for_fetch(start).await;
        self.state.identify(token, &hash).map(Some)
    }

    fn of_names(&self, names: &[String]) -> Option<Caller> {
        let callers = names.iter().filter_map(|name| self.state.certificates.get(name.as_str()));
        // A certificate with several known names has the rights of the greatest.
        callers.max_by_key(|caller| caller.role()).cloned()
    }

    /// Has the token [`Caller::ended`] cancelled when `caller` is none any more.
    pub fn watch_end(&self, caller: &Caller) {
        self.state.ends.watch(caller);
    }
}

impl AuthState {
    /// The caller of a token that was accepted before.
    fn seen(&self, hash: &TokenHash) -> Option<Result<Caller, Refusal>> {
        let caller = self.seen.get(hash)?;
        let Some(now) = self.clock.since_epoch() else { return Some(Err(Refusal::Clock)) };
        Some(match (caller.expired(now), caller.source()) {
            (None, _) => Ok(caller),
            (Some(_), Source::Key(_)) => Err(Refusal::KeyExpired),
            (Some(_), _) => Err(Refusal::Expired),
        })
    }

    /// # Errors
    /// The token is not accepted, or [`Refusal::UnknownKey`] or [`Refusal::NoKeys`] as its key is
    /// not known.
    fn identify(&self, token: &str, hash: &TokenHash) -> Result<Caller, Refusal> {
        if let Some(seen) = self.seen(hash) {
            return seen;
        }
        let now = self.clock.since_epoch().ok_or(Refusal::Clock)?;
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::TooLong { bytes: token.len(), bytes_max: TOKEN_BYTES_MAX });
        }
        let caller = if token.starts_with(KEY_MARK) {
            match self.api_keys.caller(token, now) {
                // One that was just made works at once. Tries with others are limited.
                Err(Refusal::NoSuchKey) if self.api_keys.reload() => {
                    self.keys_changed();
                    self.api_keys.caller(token, now)?
                }
                caller => caller?,
            }
        } else {
            let token = Unverified::parse(token, &self.issuers)?;
            token.verify(&*token.issuer.keys().ok_or(Refusal::NoKeys)?, now)?
        };
        self.seen.insert(*hash, caller.clone());
        // The keys may have changed in between, and the seen tokens have been forgotten before this.
        match self.cause_of_end(&caller, now) {
            None => Ok(caller),
            Some(_) => {
                self.seen.clear();
                Err(Refusal::Revoked)
            }
        }
    }

    fn check_until(&self, stopped: &Receiver<()>) {
        while stopped.recv_timeout(CHECK_INTERVAL) != Err(RecvTimeoutError::Disconnected) {
            let mut has_changed = self.api_keys.reload();
            let now = self.clock.since_epoch().unwrap_or_default();
            for issuer in &self.issuers {
                has_changed |= issuer.reload() | issuer.forget_old(now);
            }
            if has_changed {
                self.keys_changed();
            }
            self.end_callers();
        }
    }

    fn keys_changed(&self) {
        self.seen.clear();
        self.end_callers();
    }

    fn end_callers(&self) {
        // Of a clock that shows a time before 1970, nothing has expired.
        let now = self.clock.since_epoch().unwrap_or_default();
        self.ends.check(|caller| self.cause_of_end(caller, now));
    }

    /// Why `caller` is none any more.
    fn cause_of_end(&self, caller: &Caller, now: Duration) -> Option<EndCause> {
        let is_there = match caller.source() {
            Source::Nobody | Source::Certificate(_) | Source::Node => true,
            Source::Key(id) => match self.api_keys.check(id, now) {
                Err(Refusal::KeyExpired) => return Some(EndCause::Expired),
                checked => checked.is_ok(),
            },
            Source::Token { issuer, key, .. } => self
                .issuers
                .iter()
                .find(|it| it.settings.issuer == *issuer)
                .and_then(Issuer::keys)
                .is_some_and(|keys| keys.has(key)),
        };
        if is_there { caller.expired(now) } else { Some(EndCause::Revoked) }
    }
}

fn of_certificate(settings: CertificateSettings) -> (Arc<str>, Caller) {
    let CertificateSettings { name, role, user } = settings;
    (name.clone(), Caller::new(role, user, Source::Certificate(name), None))
}
