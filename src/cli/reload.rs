//! Reads the settings of a running server again, at SIGHUP and when their file changes. What can be
//! changed is put in force all at once, and the rest is logged. Never stops the server.

use std::convert::Infallible;
use std::time::Duration;

use super::Error;
use super::logging::LogReload;
use super::settings::{Given, Setting, Settings};
use super::signals::HangUps;
use crate::runtime::WatchedFile;
use crate::server::Reloader;

/// How often the file is looked at, as those of keys and certificates are.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The settings that can be changed while a server runs. All others are for what is made at the start.
const RELOADED: [&str; 21] = [
    "access_log",
    "address_changes_max",
    "address_connections_max",
    "address_reads_max",
    "address_refusals_max",
    "address_stream_opens_max",
    "compact_every",
    "connections_max",
    "disk_free_min",
    "drain_notice",
    "follows_max",
    "log",
    "new_user_follows_max",
    "new_user_hours",
    "new_user_mentions_max",
    "slow_call",
    "streams_max",
    "user_changes_max",
    "user_reads_max",
    "user_stream_opens_max",
    "user_streams_max",
];

/// Whether the setting `key` can be changed while a server runs.
pub(super) fn is_reloaded(key: &str) -> bool {
    RELOADED.contains(&key)
}

/// The settings of a running server.
#[derive(Debug)]
pub(super) struct Reload {
    given: Given,
    /// Those that are in force.
    present: Vec<Setting>,
    /// The tables about who may call that are in force.
    tables: Option<String>,
    /// Files that may be open, which bounds connections.
    possible: u64,
    log: LogReload,
    reloader: Reloader,
}

impl Reload {
    pub(super) fn new(
        given: Given,
        settings: &Settings,
        possible: u64,
        log: LogReload,
        reloader: Reloader,
    ) -> Self {
        let (present, tables) = (settings.all.clone(), tables(settings));
        Self { given, present, tables, possible, log, reloader }
    }

    /// Reads the settings again at each of `hang_ups`, and when their file has changed.
    pub(super) async fn run(mut self, mut hang_ups: HangUps) -> Infallible {
        let mut file = self.given.file().map(WatchedFile::new);
        let mut is_changing = false;
        loop {
            tokio::select! {
                () = hang_ups.next() => self.again("SIGHUP").await,
                () = tokio::time::sleep(LOOK_INTERVAL) => {
                    self.log.report_lost_lines();
                    let has_changed = file.as_mut().is_some_and(WatchedFile::has_changed);
                    // Only once it does not change any more: a half of it may be valid.
                    if is_changing && !has_changed {
                        self.again("the file has changed").await;
                    }
                    is_changing = has_changed;
                }
            }
        }
    }

    async fn again(&mut self, why: &str) {
        if let Err(error) = self.replace(why).await {
            tracing::error!(why, %error, "the settings are refused: the former ones stay in force");
        }
    }

    async fn replace(&mut self, why: &str) -> Result<(), Error> {
        let settings = self.given.settings()?;
        let config = settings.config(self.possible).await?;
        config.check().map_err(crate::server::Error::from)?;
        // All is checked. From here on nothing fails.
        let replaced = self.reloader.replace(&config.limits);
        replaced.map_err(|error| crate::server::Error::from(crate::config::Error::from(error)))?;
        self.reloader.log_calls(&config.call_log);
        self.log.replace(settings.args.log_filter());
        let mut changed = 0;
        for (present, next) in self.present.iter_mut().zip(&settings.all) {
            if present.value == next.value {
                continue;
            }
            changed += 1;
            let (setting, value) = (next.key(), next.value.as_deref().unwrap_or("not set"));
            if is_reloaded(&setting) {
                tracing::info!(setting, value, why, "the setting is changed");
                *present = next.clone();
            } else {
                tracing::warn!(setting, value, why, "the setting needs a restart");
            }
        }
        if tables(&settings) != self.tables {
            changed += 1;
            tracing::warn!(setting = "issuer, certificate", why, "the setting needs a restart");
        }
        if changed == 0 {
            tracing::info!(why, "no setting has changed");
        }
        Ok(())
    }
}

fn tables(settings: &Settings) -> Option<String> {
    settings.file.as_ref().map(|file| file.tables.clone()).filter(|tables| !tables.is_empty())
}
