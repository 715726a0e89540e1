//! From when until when the certificates and revocation lists of TLS are valid, and the lines in the
//! log when one is not, or not for much longer. Never refuses one: that is up to whoever is shown it.

use std::path::Path;
use std::time::Duration;

use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::crl::CertificateList;
use x509_cert::der::{self, Decode};
use x509_cert::time::Time;

use crate::runtime::{Clock, Reminder};

/// Longest time before its end for which a certificate is complained of. Programs that renew
/// certificates do it a month before the end: then they have failed for two weeks.
const WARNING_TIME_MAX: Duration = Duration::from_secs(14 * DAY_SECONDS);
/// The same as a part of the time for which it is valid: some are made for a few days.
const WARNING_PART: u32 = 6;
const DAY_SECONDS: u64 = 24 * 60 * 60;

/// What is wrong with the time of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeProblem {
    /// It is not valid yet.
    TooEarly,
    /// It is a certificate that ends soon.
    EndsSoon,
    /// It has ended.
    Ended,
}

/// The time of a certificate or a revocation list.
#[derive(Debug)]
pub struct Validity {
    /// What it is, and in which file.
    what: String,
    kind: Kind,
    from: Time,
    /// `None` for a list that says nothing of the next one.
    until: Option<Time>,
    reminder: Reminder<TimeProblem>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A certificate of the server, and how to renew it.
    Certificate {
        remedy: &'static str,
    },
    List,
}

impl Validity {
    /// The times of the server's `certificates`, in DER, which are in `file`. `remedy` says how to
    /// renew them.
    ///
    /// # Errors
    /// The library cannot read one.
    pub fn of_certificates(
        certificates: &[impl AsRef<[u8]>],
        file: &Path,
        remedy: &'static str,
    ) -> Result<Vec<Self>, der::Error> {
        let of = |(number, certificate)| {
            // Not by the rules of RFC 5280: what clients take is not decided here.
            let certificate = CertificateInner::<Raw>::from_der(certificate)?;
            let validity = certificate.tbs_certificate().validity();
            Ok(Self {
                what: format!("certificate {number} in {}", file.display()),
                kind: Kind::Certificate { remedy },
                from: validity.not_before,
                until: Some(validity.not_after),
                reminder: Reminder::default(),
            })
        };
        (1_u32..).zip(certificates.iter().map(AsRef::as_ref)).map(of).collect()
    }

    /// The times of the revocation `lists`, in DER, which are in `file`.
    ///
    /// # Errors
    /// The library cannot read one.
    pub fn of_lists(lists: &[impl AsRef<[u8]>], file: &Path) -> Result<Vec<Self>, der::Error> {
        let of = |list| {
            let list = CertificateList::<Raw>::from_der(list)?.tbs_cert_list;
            Ok(Self {
                what: format!("the revocation list of {} in {}", list.issuer, file.display()),
                kind: Kind::List,
                from: list.this_update,
                until: list.next_update,
                reminder: Reminder::default(),
            })
        };
        lists.iter().map(AsRef::as_ref).map(of).collect()
    }

    /// What is wrong at `now`, a time since 1970.
    #[must_use]
    pub fn problem(&self, now: Duration) -> Option<TimeProblem> {
        let from = self.from.to_unix_duration();
        if now < from {
            return Some(TimeProblem::TooEarly);
        }
        let until = self.until?.to_unix_duration();
        if until < now {
            return Some(TimeProblem::Ended);
        }
        // A list is replaced at its end, and not before. One that ends before it begins has ended.
        let lasts = until.checked_sub(from).filter(|_| self.kind != Kind::List)?;
        let warned = (lasts / WARNING_PART).min(WARNING_TIME_MAX);
        (until - now < warned).then_some(TimeProblem::EndsSoon)
    }

    /// What kind it is, and when it ends, since 1970; `None` for a list that says nothing of the next one.
    #[must_use]
    pub(super) fn end(&self) -> Option<(&'static str, Duration)> {
        let kind = match self.kind {
            Kind::Certificate { .. } => "certificate",
            Kind::List => "revocation_list",
        };
        Some((kind, self.until?.to_unix_duration()))
    }

    /// Logs what is wrong, when it begins and once a day.
    pub fn log_due(&mut self, clock: &Clock) {
        // A clock before 1970 is too early for everything.
        let now = clock.since_epoch().unwrap_or_default();
        let Some(problem) = self.reminder.due(self.problem(now), clock.elapsed()) else { return };
        let (what, from) = (&self.what, self.from);
        let until = self.until.map(|until| until.to_string()).unwrap_or_default();
        match (self.kind, problem) {
            (_, TimeProblem::TooEarly) => tracing::warn!(
                "{what} is not valid before {from}: if this machine's clock is right, it was made \
                 by one that is not"
            ),
            (Kind::Certificate { remedy }, TimeProblem::EndsSoon) => {
                let days = self.until.map_or(0, |until| {
                    // Otherwise it has ended.
                    (until.to_unix_duration() - now).as_secs() / DAY_SECONDS
                });
                tracing::warn!(days, "{what} ends soon, at {until}: {remedy}");
            }
            (Kind::Certificate { remedy }, TimeProblem::Ended) => {
                tracing::error!("{what} has ended at {until}, and clients refuse it: {remedy}");
            }
            (Kind::List, TimeProblem::Ended | TimeProblem::EndsSoon) => tracing::warn!(
                "{what} should have been replaced by a newer one until {until}: it is still used, \
                 and certificates that were revoked since then are accepted"
            ),
        }
    }
}
