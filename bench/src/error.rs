//! Errors of a measurement. An error never ends the run: the table shows it for its system, and the
//! other systems continue.

/// Why a figure is missing.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The system is not on this machine. Has the way to install it.
    #[error("not installed: {0}")]
    NotInstalled(String),
    /// The system lacks the feature. Has the reason.
    #[error("{0}")]
    NotOffered(&'static str),
    /// An unexpected failure.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// Adds the step that failed.
    pub(crate) fn while_doing(self, what: &str) -> Self {
        match self {
            Self::Failed(why) => Self::Failed(format!("{what}: {why}")),
            other => other,
        }
    }
}

macro_rules! failed_from {
    ($($source:ty),+ $(,)?) => {$(
        impl From<$source> for Error {
            fn from(error: $source) -> Self {
                Self::Failed(with_causes(&error))
            }
        }
    )+};
}

failed_from!(
    std::io::Error,
    std::num::ParseIntError,
    serde_json::Error,
    whimbrel::auth::MintError,
    whimbrel::client::Error,
    whimbrel::storage::Error,
    whimbrel::model::UserIdError,
    redis::RedisError,
    tokio_postgres::Error,
    hyper::Error,
    http::Error,
    tonic::Status,
    tonic::transport::Error,
    tokio::sync::oneshot::error::RecvError,
);

/// The error with all its causes: many libraries have the reason only there.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
