//! Why a measurement could not be made. Never ends the run by itself: a system that cannot do
//! something is said so in the table, and the others go on.

/// Why something was not measured.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The system is not on this machine. Says how to install it.
    #[error("not installed: {0}")]
    NotInstalled(String),
    /// The system has no such thing, so there is nothing to compare. Says why.
    #[error("{0}")]
    NotOffered(&'static str),
    /// It should have worked.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// What was being done when it failed.
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

/// Libraries hide the reason in the cause.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
