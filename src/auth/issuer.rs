//! The issuers of tokens with their keys: those in files are read again when a file changes, those
//! of a provider when they are fetched. Bad new keys never replace good ones.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout;

use super::keys::{KeyError, KeySet};
use super::settings::{IssuerSettings, KeySettings};
use crate::runtime::WatchedFile;
use crate::runtime::files::{self, FileError};

/// Shortest time between two fetches of a provider's keys, also if tokens with unknown keys come.
pub(super) const FETCH_INTERVAL_MIN: Duration = Duration::from_secs(10);
/// How long a call waits until keys are fetched: as long as a fetch takes that is not in trouble.
const FETCH_WAIT_MAX: Duration = Duration::from_secs(3);
/// Most calls that wait for the keys of one issuer. Others are refused at once, so that tokens with
/// made-up keys do not hold calls.
const WAITING_MAX: usize = 64;

/// An issuer.
#[derive(Debug)]
pub(super) struct Issuer {
    pub(super) settings: IssuerSettings,
    /// `None` until a provider's keys were fetched for the first time.
    keys: watch::Sender<Option<Arc<KeySet>>>,
    /// Until when the keys are good, as the time since 1970, if only a file has them. Locked while
    /// they are replaced.
    kept_until: Mutex<Option<Duration>>,
    files: Mutex<Vec<WatchedFile>>,
    fetches: watch::Sender<FetchState>,
    waiting: AtomicUsize,
}

/// The fetches of a provider's keys.
#[derive(Clone, Copy, Debug, Default)]
struct FetchState {
    ended: u64,
    last: Option<Instant>,
}

/// Why keys in files cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyFileError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("cannot use {}: {problem}", path.display())]
    Key { path: PathBuf, problem: KeyError },
}

impl Issuer {
    /// An issuer with the keys that its files have now.
    ///
    /// # Errors
    /// A file cannot be used.
    pub(super) fn open(settings: IssuerSettings) -> Result<Self, KeyFileError> {
        let paths = match &settings.keys {
            KeySettings::Url { .. } => Vec::new(),
            KeySettings::Jwks(file) | KeySettings::Secret(file) => vec![file.clone()],
            KeySettings::Pem(files) => files.clone(),
        };
        // Watched first, so that a change while they are read is noticed.
        let files = paths.into_iter().map(WatchedFile::new).collect();
        let keys = keys_in_files(&settings)?.map(Arc::new);
        Ok(Self {
            settings,
            keys: watch::Sender::new(keys),
            kept_until: Mutex::new(None),
            files: Mutex::new(files),
            fetches: watch::Sender::default(),
            waiting: AtomicUsize::new(0),
        })
    }

    /// Its keys; `None` if they were never fetched.
    pub(super) fn keys(&self) -> Option<Arc<KeySet>> {
        self.keys.borrow().clone()
    }

    /// Reads the keys again if one of its files has changed. Whether they are others now.
    pub(super) fn reload(&self) -> bool {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        // All of them, because each remembers what it saw.
        let changed = files.iter_mut().filter_map(|file| file.has_changed().then_some(())).count();
        if changed == 0 {
            return false;
        }
        match keys_in_files(&self.settings) {
            Ok(keys) => {
                tracing::info!(issuer = %self.settings.issuer, "read the changed keys of an issuer");
                self.keys.send_replace(keys.map(Arc::new));
                true
            }
            Err(error) => {
                let issuer = &self.settings.issuer;
                tracing::error!(%issuer, %error, "keys were changed to unusable ones: the old stay");
                false
            }
        }
    }

    /// Whether `keys` are the present ones.
    pub(super) fn has_same(&self, keys: &KeySet) -> bool {
        self.keys().is_some_and(|present| present.is_same(keys))
    }

    /// Takes the outcome of a fetch that failed at a start, and keys that were fetched before, which
    /// are good until a time since 1970. Whether the keys are others now.
    pub(super) fn kept(&self, keys: KeySet, until: Duration) -> bool {
        assert!(self.keys().is_none(), "kept keys never replace those of the provider");
        self.take(Some(keys), Some(until))
    }

    /// Takes the outcome of a fetch. Whether the keys are others now.
    pub(super) fn fetched(&self, keys: Option<KeySet>) -> bool {
        self.take(keys, None)
    }

    /// Forgets keys that only a file has, if they are not good any more at `now`, a time since 1970.
    /// Whether it did.
    pub(super) fn forget_old(&self, now: Duration) -> bool {
        let mut until = self.kept_until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.is_none_or(|until| now < until) {
            return false;
        }
        *until = None;
        self.keys.send_replace(None);
        let issuer = &self.settings.issuer;
        tracing::error!(%issuer, "the keys that were fetched before this start are a day old: tokens are refused until the provider answers");
        true
    }

    fn take(&self, keys: Option<KeySet>, until: Option<Duration>) -> bool {
        let mut kept_until = self.kept_until.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.is_some() {
            *kept_until = until;
        }
        // The same keys again change nothing, so that no token has to be verified again.
        let present = self.keys();
        let new = keys.filter(|new| present.is_none_or(|present| !present.is_same(new)));
        let is_new = new.is_some();
        if let Some(new) = new {
            self.keys.send_replace(Some(Arc::new(new)));
        }
        let last = Some(Instant::now());
        self.fetches.send_modify(|state| *state = FetchState { ended: state.ended + 1, last });
        is_new
    }

    /// Whether its keys are fetched, and may be fetched again now.
    pub(super) fn may_fetch(&self) -> bool {
        let is_fetched = matches!(self.settings.keys, KeySettings::Url { .. });
        let last = self.fetches.borrow().last;
        is_fetched && last.is_none_or(|at| at.elapsed() >= FETCH_INTERVAL_MIN)
    }

    /// Waits until a fetch that `start` asks for has ended, or one that is under way. Whether the
    /// keys may be others now.
    pub(super) async fn wait_for_fetch(&self, start: impl FnOnce()) -> bool {
        if !self.may_fetch() {
            return false;
        }
        let waiting = Waiting::new(&self.waiting);
        if waiting.is_too_many() {
            return false;
        }
        let mut fetches = self.fetches.subscribe();
        let before = fetches.borrow_and_update().ended;
        start();
        let ended = fetches.wait_for(|state| state.ended > before);
        timeout(FETCH_WAIT_MAX, ended).await.is_ok()
    }
}

/// Counts the calls that wait.
struct Waiting<'a> {
    count: &'a AtomicUsize,
    before: usize,
}

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        Self { count, before: count.fetch_add(1, Ordering::Relaxed) }
    }

    fn is_too_many(&self) -> bool {
        self.before >= WAITING_MAX
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// `None` if the keys are in no file.
fn keys_in_files(settings: &IssuerSettings) -> Result<Option<KeySet>, KeyFileError> {
    let algorithm = settings.algorithm;
    match &settings.keys {
        KeySettings::Url { .. } => Ok(None),
        KeySettings::Jwks(file) => {
            let json = files::read(file)?;
            KeySet::from_jwks(&json, algorithm).map_err(of_file(file)).map(Some)
        }
        KeySettings::Secret(file) => {
            let secret = files::read_secret(file)?;
            KeySet::from_secret(&secret).map_err(of_file(file)).map(Some)
        }
        KeySettings::Pem(paths) => {
            let mut all = KeySet::default();
            for path in paths {
                let keys = KeySet::from_pem(&files::read(path)?, algorithm);
                all.extend(keys.map_err(of_file(path))?);
            }
            Ok(Some(all))
        }
    }
}

fn of_file(path: &Path) -> impl FnOnce(KeyError) -> KeyFileError {
    let path = path.to_owned();
    move |problem| KeyFileError::Key { path, problem }
}
