//! Which server a verb calls. A context is a server with a name, and how to connect to it: `whimbrel
//! context` keeps them, and the one in use is called by all verbs that name no other server.
//!
//! A context is taken whole or not at all: with `--addr`, nothing of one is used. So no token of one server
//! is ever sent to another.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::json::JsonLine;
use super::table::table;
use super::{Error, Output, user_files};
use crate::client::Addresses;

/// The file with the contexts.
const FILE: &str = "contexts.json";
/// The server that is called if nothing says which.
const DEFAULT: &str = "127.0.0.1:50051";
/// The heading of these options in the help of a verb.
pub(super) const SERVER: &str = "Server";
/// Longest name: it is a column of a table.
const NAME_CHARACTERS_MAX: usize = 64;

/// The server that a verb calls.
#[derive(Args, Clone, Debug)]
pub(super) struct ServerAddress {
    /// The server: host:port, http://host:port, or https://host:port for TLS; of several nodes some of them, with commas
    /// between [default: that of the context in use, or 127.0.0.1:50051].
    #[arg(long, help_heading = SERVER, env = "WHIMBREL_ADDR", value_name = "URL")]
    addr: Option<Addresses>,
    /// The context whose server to call, instead of the one in use.
    #[arg(long, help_heading = SERVER, env = "WHIMBREL_CONTEXT", value_name = "NAME")]
    context: Option<String>,
}

/// A server, and how to connect to it where the command line does not say.
#[derive(Clone, Debug)]
pub(super) struct TargetServer {
    pub(super) address: Addresses,
    pub(super) context: Connecting,
}

/// How to connect to the server of a context.
#[derive(Args, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Connecting {
    /// A file with the token or API key to call with.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token_file: Option<PathBuf>,
    /// For https://, trust the authorities in this PEM file instead of the system's.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ca_file: Option<PathBuf>,
    /// For https://, the certificate of the caller, in PEM.
    #[arg(long, value_name = "FILE", requires = "client_key")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_cert: Option<PathBuf>,
    /// The private key of --client-cert, in PEM.
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_key: Option<PathBuf>,
}

/// A context.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Context {
    addr: String,
    #[serde(flatten)]
    connecting: Connecting,
}

/// The file with the contexts.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Contexts {
    /// The one in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    contexts: BTreeMap<String, Context>,
}

/// Keep servers by name, and choose the one that verbs call.
#[derive(Debug, Subcommand)]
pub(super) enum ContextVerb {
    /// Add a context, or replace the one with this name. The first one is in use at once.
    Add(AddArgs),
    /// Use a context: verbs call its server from now on.
    Use(NameArgs),
    /// Use none: verbs call 127.0.0.1:50051 again.
    Unuse,
    /// List the contexts.
    List,
    /// Remove a context.
    Remove(NameArgs),
}

#[derive(Args, Debug)]
pub(super) struct AddArgs {
    /// The name of the context.
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// The server: host:port, http://host:port, or https://host:port for TLS; of several nodes some of them, with commas
    /// between.
    #[arg(long, value_name = "URL")]
    addr: Addresses,
    #[command(flatten)]
    connecting: Connecting,
}

#[derive(Args, Debug)]
pub(super) struct NameArgs {
    /// The name of the context.
    #[arg(value_name = "NAME")]
    name: String,
}

impl ServerAddress {
    /// The server to call.
    ///
    /// # Errors
    /// Both an address and a context are given, there is no such context, or they cannot be read.
    pub(super) fn target(&self) -> Result<TargetServer, Error> {
        match (&self.addr, &self.context) {
            (Some(_), Some(_)) => Err(Error::Usage(
                "--addr (WHIMBREL_ADDR) and --context (WHIMBREL_CONTEXT) both say which server to call: \
                 give one"
                    .to_owned(),
            )),
            (Some(address), None) => {
                Ok(TargetServer { address: address.clone(), context: Connecting::default() })
            }
            (None, Some(name)) => contexts()?.get(name)?.target(name),
            (None, None) => {
                let contexts = contexts()?;
                match &contexts.current {
                    Some(name) => contexts.get(name)?.target(name),
                    None => Context { addr: DEFAULT.to_owned(), connecting: Connecting::default() }
                        .target("default"),
                }
            }
        }
    }

    /// The servers of all contexts, by name.
    ///
    /// # Errors
    /// As for [`ServerAddress::target`].
    pub(super) fn all() -> Result<Vec<(String, TargetServer)>, Error> {
        let contexts = contexts()?.contexts;
        contexts.iter().map(|(name, it)| Ok((name.clone(), it.target(name)?))).collect()
    }
}

impl Context {
    fn target(&self, name: &str) -> Result<TargetServer, Error> {
        let address = self.addr.parse().map_err(|error| {
            Error::Usage(format!("the context {name} has the address {}: {error}", self.addr))
        })?;
        Ok(TargetServer { address, context: self.connecting.clone() })
    }
}

impl Contexts {
    fn get(&self, name: &str) -> Result<&Context, Error> {
        self.contexts.get(name).ok_or_else(|| {
            let known: Vec<_> = self.contexts.keys().map(String::as_str).collect();
            let add = "`whimbrel context add` makes one";
            Error::Usage(match known.as_slice() {
                [] => format!("there is no context {name}, and no other one: {add}"),
                known => format!("there is no context {name}, only {}: {add}", known.join(", ")),
            })
        })
    }
}

impl ContextVerb {
    pub(super) fn run(self, output: &Output) -> Result<(), Error> {
        match self {
            Self::Add(args) => args.run(output),
            Self::Use(NameArgs { name }) => {
                change(|contexts| {
                    contexts.get(&name)?;
                    contexts.current = Some(name.clone());
                    Ok(())
                })?;
                output.note(&format!("verbs call the server of {name} now"));
                Ok(())
            }
            Self::Unuse => {
                change(|contexts| {
                    contexts.current = None;
                    Ok(())
                })?;
                output.note(&format!("verbs call {DEFAULT} now"));
                Ok(())
            }
            Self::List => list(output),
            Self::Remove(NameArgs { name }) => {
                change(|contexts| {
                    contexts.get(&name)?;
                    contexts.contexts.remove(&name);
                    contexts.current.take_if(|current| *current == name);
                    Ok(())
                })?;
                output.note(&format!("the context {name} is removed"));
                Ok(())
            }
        }
    }
}

impl AddArgs {
    fn run(self, output: &Output) -> Result<(), Error> {
        let Self { name, addr, connecting } = self;
        // So that they mean the same in every folder.
        let absolute = |file: Option<PathBuf>| file.map(std::path::absolute).transpose();
        let connecting = Connecting {
            token_file: absolute(connecting.token_file)?,
            ca_file: absolute(connecting.ca_file)?,
            client_cert: absolute(connecting.client_cert)?,
            client_key: absolute(connecting.client_key)?,
        };
        let context = Context { addr: addr.to_string(), connecting };
        let is_used = change(|contexts| {
            contexts.contexts.insert(name.clone(), context);
            Ok(*contexts.current.get_or_insert_with(|| name.clone()) == name)
        })?;
        let used = if is_used { ", and in use" } else { "" };
        output.note(&format!("the context {name} is kept{used}"));
        Ok(())
    }
}

fn list(output: &Output) -> Result<(), Error> {
    let Contexts { current, contexts } = contexts()?;
    if contexts.is_empty() {
        output.note("there is no context: `whimbrel context add` makes one");
    } else {
        output.print_for_people(|| {
            let row = |(name, it): (&String, &Context)| {
                let mark = if current.as_ref() == Some(name) { "*" } else { "" };
                let token = it.connecting.token_file.as_ref();
                let token = token.map_or_else(String::new, |file| file.display().to_string());
                [mark.to_owned(), name.clone(), it.addr.clone(), token]
            };
            let rows: Vec<_> = contexts.iter().map(row).collect();
            table(["USED", "NAME", "SERVER", "TOKEN FILE"], &rows)
        })?;
    }
    contexts.iter().try_for_each(|(name, it)| {
        let is_current = current.as_ref() == Some(name);
        output.print_for_machines(|| {
            let line = json!({ "name": name, "isCurrent": is_current, "server": it });
            JsonLine("context", line)
        })
    })
}

fn contexts() -> Result<Contexts, Error> {
    user_files::read(FILE)
}

fn change<R>(change: impl FnOnce(&mut Contexts) -> Result<R, Error>) -> Result<R, Error> {
    user_files::change(FILE, change)
}

fn name(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if text.is_empty() || text.len() > NAME_CHARACTERS_MAX || !text.chars().all(is_plain) {
        return Err(format!("give up to {NAME_CHARACTERS_MAX} letters, digits, dots, - and _"));
    }
    Ok(text.to_owned())
}
