//! Connections to PostgreSQL: made only to a server whose settings keep what is acknowledged. Never runs a statement
//! of the log.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio_postgres::{AsyncMessage, Client, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::StoreOptions;
use super::address::SILENCE_MAX;
use crate::runtime::files;
use crate::storage::error::Error;

/// A statement that takes longer has lost its connection. An append waits for a standby in it.
pub(super) const ANSWER_TIME_MAX: Duration = SILENCE_MAX;

/// Whether the settings that may be changed while a server runs keep what it acknowledges.
const KEEPS: &str = "current_setting('synchronous_standby_names') <> '' AND current_setting('fsync') = 'on' \
                     AND current_setting('full_page_writes') = 'on'";

/// An open connection. Its other half runs on the runtime that made it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) schema: String,
    is_replicated_elsewhere: bool,
}

/// What a statement failed with. The connection is not used after it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{}", describe(.0))]
    Refused(#[from] tokio_postgres::Error),
    #[error("it does not answer")]
    Silent,
    /// Its settings, or those of this node, are to be changed.
    #[error("{0}")]
    Unfit(String),
    /// What it has is not what was written, or not what this node has had from it.
    #[error("{0}")]
    Damaged(String),
}

/// The message of an error with those below it: the library's own leave out what PostgreSQL says.
fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(refused) => {
            let hint = refused.hint().map_or_else(String::new, |hint| format!(" ({hint})"));
            format!("{} [{}]{hint}", refused.message(), refused.code().code())
        }
        None => {
            let below = std::error::Error::source(error).map(ToString::to_string);
            match below.as_deref() {
                Some("password missing") => {
                    "it asks for a password: give --store-password-file".to_owned()
                }
                Some(below) => format!("{error}: {below}"),
                None => error.to_string(),
            }
        }
    }
}

impl Failure {
    /// Whether a node that runs must not go on. All else may be over later, as a fail-over, a changed password, or
    /// settings on the way: until then changes wait, and the node reads what it has.
    pub(super) fn is_final(&self) -> bool {
        match self {
            // Class 42: tables that are not there, or of another form.
            Self::Refused(error) => error.code().is_some_and(|code| code.code().starts_with("42")),
            Self::Silent | Self::Unfit(_) => false,
            Self::Damaged(_) => true,
        }
    }

    /// Whether PostgreSQL cannot be reached at this moment, as while it starts or another one takes its place.
    pub(super) fn is_away(&self) -> bool {
        match self {
            Self::Silent => true,
            Self::Refused(error) => match error.code() {
                // It starts, stops, has no room for a connection, or has lost one (PostgreSQL's documentation, appendix A).
                Some(code) => ["57P", "53300", "08"].iter().any(|it| code.code().starts_with(it)),
                None => {
                    let below = std::error::Error::source(error);
                    let io = below.and_then(|below| below.downcast_ref::<io::Error>());
                    // A certificate that is not to be trusted is invalid data.
                    let is_wrong = |io: &io::Error| {
                        matches!(io.kind(), ErrorKind::InvalidData | ErrorKind::InvalidInput)
                    };
                    io.map_or_else(|| error.is_closed(), |io| !is_wrong(io))
                }
            },
            Self::Unfit(_) | Self::Damaged(_) => false,
        }
    }

    pub(super) fn of(self, options: &StoreOptions) -> Error {
        Error::Store { server: options.address.server(), what: self.to_string() }
    }
}

/// A connection for the log, and what wakes whoever waits for a notification.
///
/// # Errors
/// There is none, or its server is not fit to keep a log.
pub(super) async fn connect(
    runtime: &Runtime,
    options: &StoreOptions,
    notified: Option<Arc<Notify>>,
) -> Result<Connection, Failure> {
    let mut config = options.address.config.clone();
    if let Some(file) = &options.password_file {
        let read = files::read_secret(file);
        let password = read.map_err(|error| Failure::Unfit(error.to_string()))?;
        config.password(password.trim_ascii_end());
    }
    let tls = MakeRustlsConnect::new(tls(options)?);
    let connecting = config.connect(tls);
    let (client, mut connection) = tokio::time::timeout(2 * ANSWER_TIME_MAX, connecting)
        .await
        .map_err(|_| Failure::Silent)??;
    // Ends with its client, or when the connection is lost, which the client's next call finds.
    runtime.spawn(async move {
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let (AsyncMessage::Notification(_), Some(notified)) = (message, &notified) {
                notified.notify_one();
            }
        }
        if let Some(notified) = notified {
            notified.notify_one();
        }
    });
    let (schema, is_replicated_elsewhere) =
        (options.address.schema.clone(), options.is_replicated_elsewhere);
    let connection = Connection { client, schema, is_replicated_elsewhere };
    connection.prepare_session().await?;
    Ok(connection)
}

fn tls(options: &StoreOptions) -> Result<ClientConfig, Failure> {
    let unfit = |what: String| Failure::Unfit(what);
    let mut roots = RootCertStore::empty();
    match &options.ca_file {
        Some(file) => {
            let read = CertificateDer::pem_file_iter(file)
                .and_then(|all| all.collect::<Result<Vec<_>, _>>())
                .map_err(|error| unfit(format!("cannot read {}: {error}", file.display())))?;
            let (added, _) = roots.add_parsable_certificates(read);
            if added == 0 {
                return Err(unfit(format!("{} has no certificate", file.display())));
            }
        }
        // Nobody is asked for a certificate.
        None if options.address.is_local() => {}
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unfit(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

impl Connection {
    /// Gives `statement` a limited time.
    pub(super) async fn timed<T>(
        &self,
        statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Failure> {
        let answer = tokio::time::timeout(ANSWER_TIME_MAX, statement).await;
        Ok(answer.map_err(|_| Failure::Silent)??)
    }

    /// [`KEEPS`], for a statement that is to do nothing otherwise.
    pub(super) fn keeps(&self) -> &'static str {
        if self.is_replicated_elsewhere { "true" } else { KEEPS }
    }

    /// The result of a prepared statement that writes, or reads what others wrote, if the server still has settings that keep
    /// that. Who takes the last synchronous standby away releases all commits that wait for one.
    ///
    /// # Errors
    /// It is not known whether that is kept.
    pub(super) async fn kept<T>(
        &self,
        statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Failure> {
        if self.is_replicated_elsewhere {
            return self.timed(statement).await;
        }
        // Sent behind it, without waiting for its answer.
        let ask = format!("SELECT {KEEPS}");
        let both = async { tokio::join!(biased; statement, self.client.simple_query(&ask)) };
        let answers = tokio::time::timeout(ANSWER_TIME_MAX, both).await;
        let (done, kept) = answers.map_err(|_| Failure::Silent)?;
        let (done, kept) = (done?, kept?);
        let is_true = |answer: &SimpleQueryMessage| matches!(answer, SimpleQueryMessage::Row(row) if row.get(0) == Some("t"));
        if !kept.iter().any(is_true) {
            self.check_settings().await?;
            return Err(Failure::Unfit("its settings have just been changed".to_owned()));
        }
        Ok(done)
    }

    /// Sets what this session needs, and checks what the server has.
    async fn prepare_session(&self) -> Result<(), Failure> {
        // A commit is acknowledged once a standby shows it.
        let set = "SET synchronous_commit = remote_apply; SET client_min_messages = error; \
                   SET default_transaction_isolation = 'read committed'";
        self.timed(self.client.batch_execute(set)).await?;
        self.check_settings().await
    }

    /// Fails if the server does not keep what it acknowledges, with the lines to run.
    pub(super) async fn check_settings(&self) -> Result<(), Failure> {
        let ask = "SELECT current_setting('fsync'), current_setting('full_page_writes'), \
                   current_setting('data_checksums'), current_setting('synchronous_standby_names')";
        let row = self.timed(self.client.query_one(ask, &[])).await?;
        let setting = |at: usize| row.get::<_, &str>(at);
        let mut wrong = Vec::new();
        if !self.is_replicated_elsewhere {
            if setting(0) != "on" {
                wrong.push("fsync is off: ALTER SYSTEM SET fsync = on");
            }
            if setting(1) != "on" {
                wrong.push("full_page_writes is off: ALTER SYSTEM SET full_page_writes = on");
            }
            if setting(2) != "on" {
                wrong.push(
                    "it has no data checksums, so a damaged page would be served: stop it and run pg_checksums --enable",
                );
            }
            if setting(3).is_empty() {
                wrong.push(
                    "no standby is synchronous, so that what is acknowledged is lost with its machine: \
                     ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (NAME, NAME)'",
                );
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        Err(Failure::Unfit(format!(
            "{}; then SELECT pg_reload_conf(). If it keeps what it acknowledges by other means, say so with \
             --store-replicated-elsewhere",
            wrong.join("; ")
        )))
    }
}
