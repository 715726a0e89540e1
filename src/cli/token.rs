//! `whimbrel token`: makes tokens for development, which a server takes that runs with
//! `--development-tokens`. Never asks a server.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::json::JsonLine;
use super::key::now;
use super::{Error, Output};
use crate::auth::{DevelopmentIssuer, Role};
use crate::model::UserId;

/// Make a token for development, for a server with --development-tokens.
///
/// A server takes it that has the same data folder.
#[derive(Args, Debug)]
pub(super) struct TokenArgs {
    /// Whose token it is; of a role for all users, nobody's.
    #[arg(value_name = "USER", value_parser = UserId::parse)]
    user: Option<UserId>,
    /// What its bearer may do: user, user-reader or moderator; or, without a user, service,
    /// service-reader or admin.
    #[arg(long, value_name = "ROLE", default_value = "user")]
    role: Role,
    /// For how long it is good, in minutes.
    #[arg(long, value_name = "MINUTES", default_value_t = 60,
          value_parser = clap::value_parser!(u32).range(1..=527_040))]
    minutes: u32,
    /// The data folder of the server.
    #[arg(long, env = "WHIMBREL_DATA", default_value = "./whimbrel-data", value_name = "DIR")]
    data: PathBuf,
}

impl TokenArgs {
    pub(super) fn run(self, output: &Output) -> Result<(), Error> {
        let issuer = DevelopmentIssuer::open(&self.data)?;
        let valid = Duration::from_secs(u64::from(self.minutes) * 60);
        let token = issuer.mint(self.role, self.user.as_ref(), now()?, valid)?;
        output.print(|| token.to_string(), || JsonLine("token", json!({ "token": *token })))
    }
}
