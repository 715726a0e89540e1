//! Warnings of certificates and revocation lists that are not valid, or not for much longer.

use std::time::Duration;

use rcgen::{CertificateParams, date_time_ymd};
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;
use whimbrel::runtime::Clock;
use whimbrel::server::{TimeProblem, Validity};

use crate::harness::tls::{CertificateFiles, NAMES, TestAuthority};
use crate::harness::{LogLines, eventually};
use crate::server::process::ServerProcess;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const REMEDY: &str = "renew it";

/// A certificate that is valid for `days`, from a time after 1970.
fn lasting(authority: &TestAuthority, from: Duration, days: u32) -> CertificateFiles {
    authority.signs_with(&NAMES, |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(1970, 1, 1) + from;
        params.not_after = params.not_before + DAY * days;
    })
}

fn validity(files: &CertificateFiles) -> Validity {
    let mut read = Validity::of_certificates(&[files.der()], &files.certificate, REMEDY).unwrap();
    read.pop().unwrap()
}

/// The last two weeks of a certificate are short, or the last sixth of one for a few days.
#[test]
fn a_certificate_ends_soon_before_it_ends() {
    let authority = TestAuthority::new();
    let from = 20_000 * DAY;
    let second = Duration::from_secs(1);
    for (days, warned) in [(90, 14 * DAY), (365, 14 * DAY), (84, 14 * DAY), (6, DAY)] {
        let until = from + DAY * days;
        let validity = validity(&lasting(&authority, from, days));
        for (now, problem) in [
            (Duration::ZERO, Some(TimeProblem::TooEarly)),
            (from - second, Some(TimeProblem::TooEarly)),
            (from, None),
            (until - warned, None),
            (until - warned + second, Some(TimeProblem::EndsSoon)),
            (until, Some(TimeProblem::EndsSoon)),
            (until + second, Some(TimeProblem::Ended)),
        ] {
            assert_eq!(validity.problem(now), problem, "{days} days, at {now:?}");
        }
    }
    // It has ended before it begins.
    let never = authority.signs_with(&NAMES, |params| {
        params.not_before = date_time_ymd(2030, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    assert_eq!(validity(&never).problem(from), Some(TimeProblem::TooEarly));
    assert_eq!(validity(&never).problem(2 * from), Some(TimeProblem::Ended));
}

/// It is logged once when it begins, once a day, and when it becomes worse.
#[test]
fn it_is_logged_once_a_day() {
    let lines = LogLines::default();
    lines.collect();
    let clock = Clock::held_at(20_000 * DAY);
    let mut validity = validity(&lasting(&TestAuthority::new(), 20_000 * DAY, 90));
    let mut logged = || {
        let before = lines.so_far().len();
        validity.log_due(&clock);
        lines.so_far().split_off(before)
    };
    assert!(logged().is_empty(), "it is good");
    clock.pass(77 * DAY);
    let [line] = logged().try_into().unwrap();
    assert!(
        line.starts_with("WARN") && line.contains("days=13") && line.contains(REMEDY),
        "{line}"
    );
    for _ in 0..23 {
        clock.pass(DAY / 24);
        assert!(logged().is_empty(), "it was said less than a day ago");
    }
    clock.pass(DAY / 24);
    assert!(logged().remove(0).contains("days=12"));
    // Somebody corrects the clock, which is no day.
    clock.set(20_000 * DAY);
    assert!(logged().is_empty(), "it is good");
    clock.set(20_090 * DAY);
    assert!(logged().remove(0).contains("days=0"));
    clock.pass(DAY / 24);
    let [line] = logged().try_into().unwrap();
    assert!(line.starts_with("ERROR") && line.contains("clients refuse it"), "{line}");
    assert!(logged().is_empty(), "it was just said");
}

/// A list is out of date after the time at which the next one comes, and never soon.
#[test]
fn a_list_is_out_of_date_when_the_next_is_due() {
    let authority = TestAuthority::new();
    let file = authority.revokes_until(&[], (2027, 1, 1));
    let list = CertificateRevocationListDer::from_pem_file(&file).unwrap();
    let validity = Validity::of_lists(&[list], &file).unwrap().pop().unwrap();
    let at = |year, month, day| {
        let since = date_time_ymd(year, month, day) - date_time_ymd(1970, 1, 1);
        validity.problem(since.unsigned_abs())
    };
    assert_eq!(at(2025, 12, 31), Some(TimeProblem::TooEarly));
    assert_eq!(at(2026, 12, 31), None);
    assert_eq!(at(2027, 1, 2), Some(TimeProblem::Ended));
}

/// A server says what is wrong with its files at its start, and of files that come later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_says_what_is_wrong() {
    let now = Clock::system().since_epoch().unwrap();
    let authority = TestAuthority::new();
    let files = lasting(&authority, now - 85 * DAY, 90);
    let list = authority.revokes_until(&[], (2026, 1, 2));
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.txt");
    let ca_file = authority.file();
    let variables = [
        ("WHIMBREL_TLS_CERT", files.certificate.to_str().unwrap()),
        ("WHIMBREL_TLS_KEY", files.key.to_str().unwrap()),
        ("WHIMBREL_TLS_CLIENT_CA", ca_file.to_str().unwrap()),
        ("WHIMBREL_TLS_CLIENT_CRL", list.to_str().unwrap()),
    ];
    let server = ServerProcess::start_tracing(&folder.path().join("data"), &variables, &log);
    let lines = |text: &str| -> Vec<String> {
        let log = std::fs::read_to_string(&log).unwrap();
        log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    };
    let one = async |text: &str| eventually(text, async || lines(text).pop()).await;
    let soon = one("ends soon").await;
    let file = format!("certificate 1 in {}", files.certificate.display());
    assert!(soon.contains(&file) && soon.contains("put a new one in its place"), "{soon}");
    let out_of_date = one("should have been replaced by a newer one").await;
    assert!(out_of_date.contains(&list.display().to_string()), "{out_of_date}");
    assert!(out_of_date.contains("2026-01-02"), "{out_of_date}");

    files.replace_by(&lasting(&authority, now - 100 * DAY, 90));
    one("has ended at").await;
    files.replace_by(&lasting(&authority, now + DAY, 90));
    one("is not valid before").await;
    files.replace_by(&lasting(&authority, now - DAY, 90));
    let count = lines("the files of TLS have changed").len();
    eventually("the good one to be read", async || {
        (lines("new connections use them").len() > count).then_some(())
    })
    .await;
    assert_eq!(server.terminate(), Some(0));
    assert_eq!(lines("ends soon").len(), 1, "it is repeated");
}
