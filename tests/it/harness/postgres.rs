//! A real PostgreSQL for the tests of this process, and logs in it. Where there is none, tests that need it are skipped,
//! and say so; with `WHIMBREL_NEEDS_POSTGRES` they fail.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use whimbrel::config::Store;
use whimbrel::storage::StoreOptions;

/// Ends with this process, whose end closes its input.
static SHARED: LazyLock<Option<Postgres>> = LazyLock::new(|| Postgres::start(&[]));
static SCHEMAS: AtomicU64 = AtomicU64::new(0);

/// A running PostgreSQL.
#[derive(Debug)]
pub(crate) struct Postgres {
    address: String,
    process: Child,
}

impl Postgres {
    /// The one that all tests share; `None` if there is none here.
    pub(crate) fn shared() -> Option<&'static Self> {
        SHARED.as_ref()
    }

    /// One of its own, with these settings.
    pub(crate) fn start(settings: &[&str]) -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres/start");
        let settings = settings.iter().flat_map(|setting| ["-c", setting]);
        let mut process = Command::new(script)
            .args(settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the script can be run");
        let mut address = String::new();
        let output = process.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut address).expect("it can be read");
        if address.is_empty() {
            let code = process.wait().expect("it ends").code();
            assert_eq!(code, Some(75), "PostgreSQL does not start");
            assert!(env::var_os("WHIMBREL_NEEDS_POSTGRES").is_none(), "there is no PostgreSQL");
            eprintln!("SKIPPED: there is no PostgreSQL here");
            return None;
        }
        Some(Self { address: address.trim().to_owned(), process })
    }

    /// The place of a new log in it.
    pub(crate) fn new_log(&self) -> String {
        let number = SCHEMAS.fetch_add(1, Ordering::Relaxed);
        format!("{}?schema=log_{number}", self.address)
    }

    /// Cuts all connections to the log, as a fail-over does. Returns how many.
    pub(crate) fn cut_connections(&self, log: &str) -> usize {
        // Those of other tests go on.
        let channel = format!("%{}.%", schema(log));
        let cut = self.sql(&format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE pid <> pg_backend_pid() AND query LIKE '{channel}'"
        ));
        cut.trim().parse().expect("a number")
    }

    /// Makes the log one that never had what is after `revision`.
    pub(crate) fn forget_after(&self, log: &str, revision: u64) {
        let schema = schema(log);
        self.sql(&format!("DELETE FROM {schema}.log WHERE revision > {revision}"));
        self.sql(&format!("UPDATE {schema}.head SET last = {revision}"));
    }

    /// Makes it one that a copy has filled up to `revision` only, where a batch ends.
    pub(crate) fn interrupt_copy(&self, log: &str, revision: u64) {
        let schema = schema(log);
        let chain = format!("SELECT count(chain) FROM {schema}.log WHERE revision = {revision}");
        assert_eq!(self.sql(&chain).trim(), "1", "no batch ends there");
        self.sql(&format!("DELETE FROM {schema}.log WHERE revision > {revision}"));
        self.sql(&format!("UPDATE {schema}.head SET version = 0, last = 0"));
    }

    /// Makes its tables those that version 1 made.
    pub(crate) fn go_back_to_version_1(&self, log: &str) {
        let schema = schema(log);
        self.sql(&format!("DROP TABLE {schema}.node, {schema}.keys"));
        self.sql(&format!("DROP SEQUENCE {schema}.node_numbers"));
        self.sql(&format!("UPDATE {schema}.head SET version = 1"));
    }

    /// Puts `new` in the place of `text`, which is as long, in all events of the log.
    pub(crate) fn change_text(&self, log: &str, text: &str, new: &str) {
        let schema = schema(log);
        self.sql(&format!(
            "UPDATE {schema}.log SET event = decode(replace(encode(event, 'hex'), \
             encode('{text}', 'hex'), encode('{new}', 'hex')), 'hex')"
        ));
    }

    fn sql(&self, statement: &str) -> String {
        let mut psql = Command::new("psql");
        psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", &self.address, "-c", statement]);
        let done = psql.output().expect("psql is there");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).expect("it is a text")
    }

    /// The setting of a server that uses that log.
    pub(crate) fn store(address: &str) -> Store {
        Store {
            address: address.to_owned(),
            password_file: None,
            ca_file: None,
            is_replicated_elsewhere: true,
            node_address: None,
            node_public_address: None,
            node_ca_file: None,
        }
    }

    /// What a node uses for that log.
    pub(crate) fn options(address: &str) -> StoreOptions {
        Self::store(address).try_into().expect("it has an address")
    }
}

/// The schema of a log.
fn schema(log: &str) -> &str {
    log.split_once("?schema=").expect("it names one").1
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The script ends it when its input ends.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
