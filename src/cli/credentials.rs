//! The token of a verb that calls a server, and `login` and `logout`, which keep one. A token is never
//! an argument, which all users of a machine can see.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::context::{SERVER, ServerAddress, TargetServer};
use super::{Error, Output, user_files};
use crate::client::{Address, TokenSource};

/// The file of `login`.
const FILE: &str = "tokens.json";
/// The variable with a token.
const VARIABLE: &str = "WHIMBREL_TOKEN";
/// Longest token that is read from standard input: longer than a server accepts.
const TOKEN_BYTES_MAX: u64 = 16 << 10;

/// The token of a caller.
#[derive(Args, Clone, Debug)]
pub(super) struct CredentialArgs {
    /// A file with the token or API key to call with; read again when it changes. Without it the
    /// variable WHIMBREL_TOKEN has the token, or `whimbrel login` has kept one.
    #[arg(long, help_heading = SERVER, env = "WHIMBREL_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Keep a token or an API key for a server, so that other verbs call it with that.
///
/// The token is read from the terminal without showing it, or from standard input. It is kept in a
/// file that only you can read, in the folder whimbrel of $XDG_CONFIG_HOME or ~/.config.
#[derive(Args, Debug)]
pub(super) struct LoginArgs {
    #[command(flatten)]
    server: ServerAddress,
}

/// Forget the token for a server.
#[derive(Args, Debug)]
pub(super) struct LogoutArgs {
    #[command(flatten)]
    server: ServerAddress,
}

/// The file of `login`: tokens by the address of the server.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct KeptTokens {
    tokens: BTreeMap<String, Zeroizing<String>>,
}

impl CredentialArgs {
    /// The token for `server`; `None` to call without one.
    ///
    /// # Errors
    /// The file of `login` cannot be read.
    pub(super) fn source(&self, server: &TargetServer) -> Result<Option<TokenSource>, Error> {
        if let Some(file) = &self.token_file {
            return Ok(Some(TokenSource::File(file.clone())));
        }
        if let Ok(token) = std::env::var(VARIABLE) {
            return Ok(Some(TokenSource::Text(Zeroizing::new(token))));
        }
        if let Some(file) = &server.context.token_file {
            return Ok(Some(TokenSource::File(file.clone())));
        }
        let mut kept: KeptTokens = user_files::read(FILE)?;
        let of_one = |address: &Address| kept.tokens.remove(&address.uri());
        Ok(server.address.all().iter().find_map(of_one).map(TokenSource::Text))
    }
}

impl LoginArgs {
    pub(super) fn run(self, output: &Output) -> Result<(), Error> {
        let address = self.server.target()?.address;
        let token = read_token()?;
        for uri in address.all().iter().map(Address::uri) {
            change(|tokens| drop(tokens.insert(uri.clone(), token.clone())))?;
            output.note(&format!("kept a token for {uri}"));
        }
        Ok(())
    }
}

impl LogoutArgs {
    pub(super) fn run(self, output: &Output) -> Result<(), Error> {
        for uri in self.server.target()?.address.all().iter().map(Address::uri) {
            let mut was_there = false;
            change(|tokens| was_there = tokens.remove(&uri).is_some())?;
            let what = if was_there { "forgot the token" } else { "there was no token" };
            output.note(&format!("{what} for {uri}"));
        }
        Ok(())
    }
}

fn read_token() -> Result<Zeroizing<String>, Error> {
    let stdin = std::io::stdin();
    let text = if stdin.is_terminal() {
        Zeroizing::new(rpassword::prompt_password("Token (not shown): ")?)
    } else {
        let mut text = Zeroizing::new(String::new());
        stdin.take(TOKEN_BYTES_MAX).read_to_string(&mut text)?;
        text
    };
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let problem =
            "there is no token on standard input: a token is one word of ASCII characters";
        return Err(Error::Usage(problem.to_owned()));
    }
    Ok(Zeroizing::new(token.to_owned()))
}

fn change(change: impl FnOnce(&mut BTreeMap<String, Zeroizing<String>>)) -> Result<(), Error> {
    user_files::change(FILE, |kept: &mut KeptTokens| {
        change(&mut kept.tokens);
        Ok(())
    })
}
