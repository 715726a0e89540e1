//! The token of a verb that calls a server, and `login` and `logout`, which keep one. A token is never
//! an argument, which all users of a machine can see.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Error, Output};
use crate::client::{Address, TokenSource};
use crate::runtime::files::{self, FileError};

/// The variable with a token.
const VARIABLE: &str = "WHIMBREL_TOKEN";
/// Longest token that is read from standard input: longer than a server accepts.
const TOKEN_BYTES_MAX: u64 = 16 << 10;

/// The token of a caller.
#[derive(Args, Clone, Debug)]
pub(super) struct CredentialArgs {
    /// A file with the token or API key to call with; read again when it changes. Without it the
    /// variable WHIMBREL_TOKEN has the token, or `whimbrel login` has kept one.
    #[arg(long, env = "WHIMBREL_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Keep a token or an API key for a server, so that other verbs call it with that.
///
/// The token is read from the terminal without showing it, or from standard input. It is kept in a
/// file that only you can read, in the folder whimbrel of $XDG_CONFIG_HOME or ~/.config.
#[derive(Args, Debug)]
pub(super) struct LoginArgs {
    /// The server: host:port, or https://host:port.
    #[arg(long, env = "WHIMBREL_ADDR", default_value = "127.0.0.1:50051", value_name = "URL")]
    addr: Address,
}

/// Forget the token for a server.
#[derive(Args, Debug)]
pub(super) struct LogoutArgs {
    /// The server: host:port, or https://host:port.
    #[arg(long, env = "WHIMBREL_ADDR", default_value = "127.0.0.1:50051", value_name = "URL")]
    addr: Address,
}

/// The file of `login`: tokens by the address of the server.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct KeptTokens {
    tokens: BTreeMap<String, Zeroizing<String>>,
}

impl CredentialArgs {
    /// The token for the server at `address`; `None` to call without one.
    ///
    /// # Errors
    /// The file of `login` cannot be read.
    pub(super) fn source(&self, address: &Address) -> Result<Option<TokenSource>, Error> {
        if let Some(file) = &self.token_file {
            return Ok(Some(TokenSource::File(file.clone())));
        }
        if let Ok(token) = std::env::var(VARIABLE) {
            return Ok(Some(TokenSource::Text(Zeroizing::new(token))));
        }
        let Some(path) = path() else { return Ok(None) };
        Ok(kept(&path)?.tokens.remove(&address.uri()).map(TokenSource::Text))
    }
}

impl LoginArgs {
    pub(super) fn run(self, output: &Output) -> Result<(), Error> {
        let token = read_token()?;
        change(|tokens| {
            tokens.insert(self.addr.uri(), token);
        })?;
        output.note(&format!("kept a token for {}", self.addr.uri()));
        Ok(())
    }
}

impl LogoutArgs {
    pub(super) fn run(self, output: &Output) -> Result<(), Error> {
        let mut was_there = false;
        change(|tokens| was_there = tokens.remove(&self.addr.uri()).is_some())?;
        let what = if was_there { "forgot the token" } else { "there was no token" };
        output.note(&format!("{what} for {}", self.addr.uri()));
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

/// Where `login` keeps tokens; `None` if the user has no home.
fn path() -> Option<PathBuf> {
    let folder = |variable: &str| std::env::var_os(variable).filter(|it| !it.is_empty());
    let config = folder("XDG_CONFIG_HOME").map(PathBuf::from);
    let config = config.or_else(|| Some(Path::new(&folder("HOME")?).join(".config")))?;
    Some(config.join("whimbrel").join("tokens.json"))
}

fn kept(path: &Path) -> Result<KeptTokens, Error> {
    let bytes = match files::read_secret(path) {
        Err(FileError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(KeptTokens::default());
        }
        bytes => bytes?,
    };
    serde_json::from_slice(&bytes).map_err(|error| {
        Error::Usage(format!(
            "{} is damaged ({error}): remove it, and use `whimbrel login` again",
            path.display()
        ))
    })
}

fn change(change: impl FnOnce(&mut BTreeMap<String, Zeroizing<String>>)) -> Result<(), Error> {
    let no_home = "there is no folder to keep a token in: set HOME, or give --token-file";
    let path = path().ok_or_else(|| Error::Usage(no_home.to_owned()))?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|source| Error::File { file: folder.to_owned(), source })?;
    }
    let _lock = files::lock(&path.with_extension("lock"))?;
    let mut kept = kept(&path)?;
    change(&mut kept.tokens);
    let json = Zeroizing::new(serde_json::to_vec_pretty(&kept).map_err(std::io::Error::from)?);
    Ok(files::write_secret(&path, &json)?)
}
